//! MONITOR: Redis's lines, of all workers, sampled when there are too many.

use crate::support::{Client, Cluster, Redis, resp, wait::until_true};

fn monitor(address: &str) -> Client {
    let mut client = Client::connect(address);
    client.expect("MONITOR", "+OK\r\n");
    client
}

/// The next line's database and words, without time and address.
fn shown(monitor: &mut Client) -> String {
    let line = String::from_utf8(monitor.frame()).unwrap();
    let (head, words) = line.split_once("] ").unwrap_or_else(|| panic!("{line}"));
    let (time, source) = head.split_once(" [").unwrap();
    assert!(time.strip_prefix('+').unwrap().parse::<f64>().unwrap() > 1.7e9, "{line}");
    format!("{} {}", source.split(' ').next().unwrap(), words.trim_end())
}

#[test]
fn lines_are_those_of_redis() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let (mut expected, mut client) = (plain.client(), cluster.client());
    let mut monitors = [monitor(&plain.address()), monitor(&cluster.circlet.address())];
    for words in [
        vec!["SET", "a", "b"],
        vec!["get", "a"],
        vec!["AUTH", "secret"],
        vec!["AUTH", "default", "secret"],
        vec!["HELLO", "2", "AUTH", "default", "secret", "SETNAME", "x"],
        vec!["EVAL_RO", "return 1", "0"],
        vec!["SELECT", "3"],
        vec!["CLIENT", "SETNAME", "x"],
        vec!["CONFIG", "GET", "port"],
        vec!["CLIENT", "LIST", "ID", "99999"],
        vec!["nosuch", "x"],
        vec!["GET"],
        vec!["MGET", "{a}1", "{a}2"],
        vec!["SET", "a", "b\"\\x\n\r\t\u{7}\u{8}\u{e9}"],
        vec!["LPUSH", "a", "wrong type"],
        vec!["SCRIPT", "EXISTS", "x"],
        vec!["ECHO", "the-end"],
    ] {
        expected.call(&words);
        client.call(&words);
    }
    loop {
        let lines: Vec<String> = monitors.iter_mut().map(shown).collect();
        assert_eq!(lines[1], lines[0]);
        if lines[0].ends_with("\"the-end\"") {
            break;
        }
    }
}

#[test]
fn commands_of_all_workers_are_shown_with_their_addresses_and_keys_are_not_for_a_monitor() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut monitor = monitor(&cluster.circlet.address());
    for _ in 0..4 {
        let mut client = cluster.client();
        client.ask("GET k");
        let line = String::from_utf8(monitor.frame()).unwrap();
        assert!(line.contains(&format!(" [0 {}] \"GET\" \"k\"", client.local_address())), "{line}");
    }
    assert!(cluster.client().value("CLIENT LIST FLAGS O").text().contains(" cmd=monitor "));
    let mut redis = self::monitor(&plain.address());
    for line in ["GET k", "SET k v", "PUBLISH c m"] {
        assert_eq!(monitor.ask(line), redis.ask(line), "{line}");
    }
    monitor.expect("RESET", "+RESET\r\n");
    cluster.client().ask("GET k");
    monitor.expect("GET k", "$-1\r\n");
    let mut monitor = self::monitor(&cluster.circlet.address());
    monitor.expect("QUIT", "+OK\r\n");
    assert!(monitor.rest().is_empty());
}

#[test]
fn above_the_rate_it_says_what_it_leaves_out() {
    let cluster = Cluster::start();
    let mut monitor = monitor(&cluster.circlet.address());
    let mut client = cluster.client();
    client.pipeline(&b"PING\r\n".repeat(50_000), 50_000);
    until_true("the notice", || {
        let line = String::from_utf8(monitor.frame()).unwrap();
        line.contains("\"CIRCLET\" \"MONITOR\" \"") && line.contains("commands left out")
    });
}

#[test]
fn one_that_does_not_read_is_closed_and_nobody_else_notices() {
    let cluster = Cluster::with(|plan| plan.set("session.hard_pushes=1MB"));
    let _asleep = monitor(&cluster.circlet.address());
    let mut client = cluster.client();
    let long = "x".repeat(200_000);
    let mut request = Vec::new();
    resp::request(&mut request, &["ECHO", &long]);
    until_true("the monitor to be closed", || {
        assert_eq!(client.pipeline(&request, 1)[0].len(), 200_011);
        cluster.circlet.metric("circlet_sessions_closed_total{reason=\"push_limit\"}") == Some(1.0)
    });
}
