//! SLOWLOG and LATENCY over what Circlet measured: Redis's shapes, and where the time went.

use crate::support::{Client, Cluster, Redis, resp::Value, wait::until_true};

/// A loop that takes a node some milliseconds.
const SLOW: &str = "for i=1,5e6 do end return 1";

fn slow(client: &mut Client, key: &str) {
    assert_eq!(client.call(&["EVAL", SLOW, "1", key]), b":1\r\n");
}

/// The arguments of the entries of SLOWLOG GET, newest first.
fn arguments(client: &mut Client) -> Vec<Vec<String>> {
    let log = client.value("SLOWLOG GET -1");
    log.list().iter().map(|entry| entry.list()[3].list().iter().map(|arg| arg.text()).collect()).collect()
}

#[test]
fn an_entry_has_the_fields_of_redis_and_says_where_the_time_went() {
    let cluster = Cluster::with(|plan| plan.set("slowlog.slower_than=0us"));
    let mut client = cluster.client();
    client.expect("CLIENT SETNAME worker-7", "+OK\r\n");
    let key = cluster.key_on(1, 0);
    client.expect(&format!("SET {key} v"), "+OK\r\n");
    // Pipelined behind it, the log already has it.
    client.send(format!("GET {key}\r\nSLOWLOG GET 1\r\n").as_bytes());
    assert_eq!(client.frame(), b"$1\r\nv\r\n");
    let log = Value::of(&client.frame());
    let entry = log.list()[0].list();
    assert_eq!(entry.len(), 6, "go-redis and others read these and no more");
    assert_eq!(entry[0].number(), 1);
    assert!(entry[1].number() > 1_700_000_000);
    let us = entry[2].number();
    let args: Vec<String> = entry[3].list().iter().map(|arg| arg.text()).collect();
    assert_eq!(args[..2], ["GET".to_owned(), key.clone()]);
    let parts = args[2].strip_prefix("... (node n2: ").unwrap_or_else(|| panic!("{args:?}"));
    let (node_us, rest) = parts.split_once(" us, circlet: ").unwrap();
    let own_us = rest.strip_suffix(" us)").unwrap();
    assert_eq!(node_us.parse::<i64>().unwrap() + own_us.parse::<i64>().unwrap(), us);
    assert_eq!(entry[4].text(), client.local_address());
    assert_eq!(entry[5].text(), "worker-7");
    assert_eq!(client.value("SLOWLOG LEN").number(), 2);
    client.expect("SLOWLOG RESET", "+OK\r\n");
    client.expect("SLOWLOG LEN", ":0\r\n");
    client.expect("SLOWLOG GET", "*0\r\n");
    client.ask(&format!("GET {key}"));
    assert_eq!(client.value("SLOWLOG GET").list()[0].list()[0].number(), 2, "numbers go on");
}

/// As in Redis, the log begins with the command that lowers the threshold.
#[test]
fn redis_s_parameters_set_what_is_logged_here_and_at_the_nodes() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client(), cluster.client());
    let parameter =
        |client: &mut Client, name: &str| client.value(&format!("CONFIG GET {name}")).get(name).unwrap().text();
    assert_eq!(parameter(&mut client, "slowlog-log-slower-than"), "10000");
    client.expect("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 2", "+OK\r\n");
    let begin = arguments(&mut client).pop().unwrap();
    assert_eq!(begin[..4], ["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    for node in &cluster.nodes {
        assert_eq!(parameter(&mut node.client(), "slowlog-log-slower-than"), "0");
    }
    for number in 0..3 {
        other.ask(&format!("GET {number}"));
    }
    let shown: Vec<String> = arguments(&mut other).into_iter().map(|args| args[..2].join(" ")).collect();
    assert_eq!(shown, ["GET 2", "GET 1"], "two are kept");
    assert_eq!(parameter(&mut other, "slowlog-max-len"), "2");
    other.expect("CONFIG SET slowlog-log-slower-than -1 latency-monitor-threshold 7", "+OK\r\n");
    assert_eq!(parameter(&mut client, "slowlog-log-slower-than"), "-1");
    assert_eq!(parameter(&mut client, "latency-monitor-threshold"), "7");
    assert_eq!(parameter(&mut client, "circlet.slowlog.slower_than"), "off");
    client.expect("SLOWLOG RESET", "+OK\r\n");
    client.ask("GET 1");
    client.expect("SLOWLOG LEN", ":0\r\n");
    // Refused by the nodes or here: both stay as they were.
    for line in [
        "CONFIG SET slowlog-max-len x",
        "CONFIG SET slowlog-max-len 5 maxmemory x",
        "CONFIG SET slowlog-max-len 9999999",
    ] {
        let reply = client.ask(line);
        assert!(reply.starts_with("-ERR CONFIG SET failed"), "{line}: {reply}");
        assert_eq!(parameter(&mut client, "slowlog-max-len"), "2", "{line}");
        assert_eq!(parameter(&mut cluster.nodes[0].client(), "slowlog-max-len"), "2", "{line}");
    }
}

#[test]
fn reads_writes_and_splits_are_shown_with_the_cuts_of_redis_and_no_password() {
    let plain = Redis::with(&["--slowlog-log-slower-than", "0"]);
    let cluster = Cluster::with(|plan| plan.set("slowlog.slower_than=0us"));
    let (mut expected, mut client) = (plain.client(), cluster.client());
    let long = "x".repeat(300);
    let many: Vec<String> = (0..40).map(|number| number.to_string()).collect();
    let mut push = vec!["RPUSH", "list"];
    push.extend(many.iter().map(String::as_str));
    for words in [
        vec!["SET", "k", &long],
        vec!["GET", "k"],
        vec!["APPEND", &long, "v"],
        push,
        vec!["CONFIG", "SET", "masterauth", "secret"],
        vec!["HSET", "h", "", "a\r\nb"],
    ] {
        expected.call(&words);
        client.call(&words);
        let mut wanted = arguments(&mut expected).swap_remove(0);
        let mut shown = arguments(&mut client).swap_remove(0);
        let parts = shown.pop().unwrap();
        assert!(parts.starts_with("... (node n"), "{parts}");
        if wanted.len() == 32 {
            // One of Redis's 32 places is taken by Circlet's own words.
            wanted.truncate(30);
            wanted.push("... (12 more arguments)".to_owned());
        }
        assert_eq!(shown, wanted);
    }
    client.expect("SLOWLOG RESET", "+OK\r\n");
    let keys: Vec<String> = (0..3).map(|node| cluster.key_on(node, 0)).collect();
    client.ask(&format!("MGET {}", keys.join(" ")));
    client.ask("PING");
    let shown = arguments(&mut client);
    assert_eq!(shown.len(), 1, "what was split is logged once, what Circlet answers itself not: {shown:?}");
    assert_eq!(shown[0][0], "MGET");
    assert!(keys.contains(&shown[0][1]), "{shown:?}");
}

#[test]
fn only_what_is_slow_is_logged_of_all_workers_and_no_more_than_max_len() {
    let cluster = Cluster::with(|plan| plan.set("slowlog.slower_than=2ms").set("slowlog.max_len=4"));
    let mut clients = [cluster.client(), cluster.client()];
    let keys = [cluster.key_on(0, 0), cluster.key_on(1, 0)];
    let mut wanted = std::collections::BTreeSet::new();
    for (client, key) in clients.iter_mut().zip(&keys) {
        client.ask("SET a b");
        slow(client, key);
        wanted.insert(client.local_address());
    }
    let log = clients[0].value("SLOWLOG GET 10");
    let seen: std::collections::BTreeSet<String> = log.list().iter().map(|entry| entry.list()[4].text()).collect();
    assert!(seen.is_superset(&wanted), "{log:?}");
    for _ in 0..5 {
        slow(&mut clients[0], &keys[0]);
    }
    clients[1].expect("SLOWLOG LEN", ":4\r\n");
    let off = Cluster::with(|plan| plan.set("slowlog.slower_than=off"));
    let mut client = off.client();
    slow(&mut client, "k");
    client.expect("SLOWLOG LEN", ":0\r\n");
}

#[test]
fn mistakes_get_the_texts_of_redis() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let (mut expected, mut client) = (plain.client(), cluster.client());
    for line in [
        "SLOWLOG GET -2",
        "SLOWLOG GET a",
        "SLOWLOG GET 1 2",
        "SLOWLOG NOSUCH",
        "SLOWLOG",
        "SLOWLOG LEN 1",
        "SLOWLOG GET 0",
        "SLOWLOG HELP",
        "LATENCY HISTORY nosuch",
        "LATENCY GRAPH nosuch",
        "LATENCY RESET a b",
        "LATENCY LATEST x",
        "LATENCY LATEST",
        "LATENCY DOCTOR x",
        "LATENCY HISTOGRAM nosuch",
        "LATENCY NOSUCH",
        "LATENCY HELP",
    ] {
        assert_eq!(client.ask(line), expected.ask(line), "{line}");
    }
}

#[test]
fn latency_events_are_kept_drawn_and_explained() {
    let cluster = Cluster::with(|plan| plan.set("latency.monitor_threshold=1ms").set("slowlog.slower_than=1ms"));
    let mut client = cluster.client();
    slow(&mut client, "k");
    let latest = client.value("LATENCY LATEST");
    let event = latest.list().into_iter().find(|event| event.list()[0].text() == "command").unwrap();
    assert!(event.list()[2].number() >= 1 && event.list()[3].number() >= event.list()[2].number());
    let history = client.value("LATENCY HISTORY command");
    assert_eq!(history.list().last().unwrap().list()[0].number(), event.list()[1].number());
    assert!(client.value("LATENCY GRAPH command").text().starts_with("command - high "));
    let doctor = client.value("LATENCY DOCTOR").text();
    assert!(doctor.contains("command: 1 latency spikes") && doctor.contains("SLOWLOG"), "{doctor}");
    assert!(client.value("LATENCY RESET command").number() == 1);
    client.expect("LATENCY HISTORY command", "*0\r\n");
    let calm = Cluster::start();
    assert!(calm.client().value("LATENCY DOCTOR").text().contains("disabled"));
}

#[test]
fn histograms_are_those_of_all_workers_in_both_protocols() {
    let cluster = Cluster::start();
    let mut clients = [cluster.client(), cluster.client()];
    for client in &mut clients {
        client.expect("SET k v", "+OK\r\n");
        client.ask("GET k");
        client.ask("OBJECT ENCODING k");
    }
    until_true("both workers to publish", || {
        let all = clients[0].value("LATENCY HISTOGRAM set");
        all.list().len() == 2 && all.list()[1].list()[1].number() == 2
    });
    let text = clients[0].value("LATENCY HISTOGRAM GET object nosuch");
    let names: Vec<String> = text.list().iter().step_by(2).map(|name| name.text()).collect();
    assert_eq!(names, ["get", "object|encoding"]);
    let buckets: Vec<i64> = text.list()[1].list()[3].list().iter().map(|number| number.number()).collect();
    assert_eq!(buckets.last(), Some(&2), "cumulative: {buckets:?}");
    let mut client = cluster.client3();
    let map = client.value("LATENCY HISTOGRAM get");
    assert_eq!(map.get("get").unwrap().get("calls").unwrap().number(), 2);
    assert!(!map.get("get").unwrap().get("histogram_usec").unwrap().list().is_empty());
}
