//! How Circlet ends: what is in flight is answered, and the exit code tells why it ended.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{
    Client, Cluster, resp,
    wait::{LONG, until_true},
};

/// A request that takes its node a second, already running.
fn slow(cluster: &Cluster, client: &mut Client) {
    let script = "local t=redis.call('TIME') local e=t[1]*1000000+t[2]+1000000 \
                  repeat t=redis.call('TIME') until t[1]*1000000+t[2]>=e return 'slow'";
    let mut bytes = Vec::new();
    resp::request(&mut bytes, &["EVAL", script, "1", &cluster.key_on(0, 0)]);
    client.send(&bytes);
    in_flight(cluster);
}

fn in_flight(cluster: &Cluster) {
    until_true("the request to be in flight", || {
        cluster.circlet.metric("circlet_node_in_flight{node=\"n1\"}").is_some_and(|count| count > 0.0)
    });
}

#[test]
fn a_signal_lets_what_is_in_flight_be_answered() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut cluster = Cluster::start();
        let mut idle = cluster.client();
        idle.expect("PING", "+PONG\r\n");
        let mut client = cluster.client();
        slow(&cluster, &mut client);
        cluster.circlet.signal(signal);
        until_true("the door to be closed", || Client::try_connect(&cluster.circlet.address(), LONG).is_err());
        assert_eq!(client.frame(), b"$4\r\nslow\r\n");
        assert_eq!(client.rest(), b"");
        assert_eq!(idle.rest(), b"");
        assert_eq!(cluster.circlet.exit_code(LONG), 0);
    }
}

#[test]
fn without_clients_it_ends_at_once() {
    let mut cluster = Cluster::start();
    let start = Instant::now();
    cluster.circlet.signal(Signal::TERM);
    assert_eq!(cluster.circlet.exit_code(LONG), 0);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn what_takes_too_long_is_cut_off_and_told() {
    let mut cluster = Cluster::with(|plan| plan.set("drain_timeout=300ms").set("pipe.request_timeout=60s"));
    let mut client = cluster.client();
    client.expect(&format!("SET {} v", cluster.key_on(0, 0)), "+OK\r\n");
    cluster.nodes[0].pause();
    client.send(&resp::words(&format!("GET {}", cluster.key_on(0, 0))));
    in_flight(&cluster);
    let start = Instant::now();
    cluster.circlet.signal(Signal::TERM);
    assert_eq!(cluster.circlet.exit_code(LONG), 3);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut cluster = Cluster::with(|plan| plan.set("drain_timeout=1h").set("pipe.request_timeout=30m"));
    let mut client = cluster.client();
    client.expect(&format!("SET {} v", cluster.key_on(0, 0)), "+OK\r\n");
    cluster.nodes[0].pause();
    client.send(&resp::words(&format!("GET {}", cluster.key_on(0, 0))));
    in_flight(&cluster);
    cluster.circlet.signal(Signal::TERM);
    until_true("the door to be closed", || Client::try_connect(&cluster.circlet.address(), LONG).is_err());
    assert!(cluster.circlet.runs());
    cluster.circlet.signal(Signal::TERM);
    assert_eq!(cluster.circlet.exit_code(LONG), 3);
}
