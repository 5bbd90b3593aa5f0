//! Connections to a node that are cut while requests are in flight.

use std::io::ErrorKind;

use crate::support::{
    Circlet, Redis,
    circlet::Plan,
    client::shown,
    cluster::{key_on, named},
    relay::Relay,
    resp,
    wait::{LONG, until_true},
};

/// Circlet over two nodes, the first behind a relay.
fn staged() -> (Circlet, Relay, Vec<Redis>) {
    let nodes = Redis::several(2);
    let relay = Relay::to(&nodes[0].address());
    let circlet = Plan::default().node(named(0, &relay.address())).node(named(1, &nodes[1].address())).start();
    (circlet, relay, nodes)
}

#[test]
fn a_read_that_was_in_flight_is_sent_again() {
    let (circlet, relay, _nodes) = staged();
    let key = key_on(2, 0, 0);
    let mut client = circlet.client();
    client.expect(&format!("SET {key} v"), "+OK\r\n");
    let before = circlet.metric("circlet_node_retries_total{node=\"n1\"}").unwrap_or_default();
    relay.hold();
    client.send(&resp::words(&format!("GET {key}")));
    client.send(&resp::words(&format!("STRLEN {key}")));
    client.send(&resp::words(&format!("MGET {key} {}", key_on(2, 1, 0))));
    until_true("the replies to be held", || relay.holds_a_reply());
    relay.cut();
    assert_eq!(client.frame(), b"$1\r\nv\r\n");
    assert_eq!(client.frame(), b":1\r\n");
    assert_eq!(client.frame(), b"*2\r\n$1\r\nv\r\n$-1\r\n");
    until_true("the retries to be counted", || {
        circlet.metric("circlet_node_retries_total{node=\"n1\"}").is_some_and(|now| now > before)
    });
}

#[test]
fn a_write_that_was_in_flight_is_not_sent_again_and_says_so() {
    let (circlet, relay, nodes) = staged();
    let key = key_on(2, 0, 0);
    let mut client = circlet.client();
    client.expect(&format!("INCR {key}"), ":1\r\n");
    relay.hold();
    client.send(&resp::words(&format!("INCR {key}")));
    client.send(&resp::words(&format!("GET {key}")));
    until_true("the node to have done it", || nodes[0].client().ask(&format!("GET {key}")) == "$1\r\n2\r\n");
    relay.cut();
    let reply = String::from_utf8(client.frame()).unwrap();
    let start = format!("-OUTCOMEUNKNOWN node n1 ({}): ", relay.address());
    assert!(reply.starts_with(&start), "{reply}");
    assert!(reply.ends_with("; the command may or may not have been executed\r\n"), "{reply}");
    assert_eq!(client.frame(), b"$1\r\n2\r\n");
    nodes[0].client().expect(&format!("GET {key}"), "$1\r\n2\r\n");
}

#[test]
fn a_read_is_sent_again_once_only() {
    let (circlet, relay, _nodes) = staged();
    let key = key_on(2, 0, 0);
    let mut client = circlet.client();
    client.expect(&format!("SET {key} v"), "+OK\r\n");
    relay.hold();
    client.send(&resp::words(&format!("GET {key}")));
    until_true("the reply to be held", || relay.holds_a_reply());
    // Whatever comes next is refused: the second try finds no node.
    relay.refuse(true);
    relay.cut();
    let reply = String::from_utf8(client.frame()).unwrap();
    assert!(reply.starts_with("-NODEDOWN node n1 ("), "{reply}");
    relay.refuse(false);
    until_true("the node to be used again", || client.ask(&format!("GET {key}")) == "$1\r\nv\r\n");
}

#[test]
fn scripts_and_other_calls_that_may_write_are_not_sent_again() {
    let (circlet, relay, nodes) = staged();
    let key = key_on(2, 0, 0);
    let mut client = circlet.client();
    client.expect(&format!("RPUSH {key} a b c d e f"), ":6\r\n");
    let mut bytes = Vec::new();
    resp::request(&mut bytes, &["EVAL", "return redis.call('LPOP', KEYS[1])", "1", &key]);
    let length = |node: &Redis| node.client().value(&format!("LLEN {key}")).number();
    for (request, left) in [(bytes, 5), (resp::words(&format!("LPOP {key}")), 4)] {
        until_true("the node to be used", || client.ask(&format!("EXISTS {key}")) == ":1\r\n");
        relay.hold();
        client.send(&request);
        until_true("the node to have done it", || length(&nodes[0]) == left);
        relay.cut();
        let reply = String::from_utf8(client.frame()).unwrap();
        assert!(reply.starts_with("-OUTCOMEUNKNOWN "), "{reply}");
    }
    until_true("the node to be used", || client.ask(&format!("LLEN {key}")) == ":4\r\n");
}

#[test]
fn replies_that_were_cut_in_the_middle_are_not_passed_on_as_whole_ones() {
    let (circlet, relay, _nodes) = staged();
    let key = key_on(2, 0, 0);
    let mut client = circlet.client();
    let value = "v".repeat(8 << 20);
    client.call(&["SET", &key, &value]);
    for _ in 0..10 {
        let mut other = circlet.client();
        until_true("the node to be used", || other.ask(&format!("STRLEN {key}")) == ":8388608\r\n");
        other.send(&resp::words(&format!("GET {key}")));
        other.send(b"PING\r\n");
        let some = other.whatever_comes(LONG);
        assert!(some.starts_with(b"$8388608\r\n"), "{}", shown(&some));
        relay.cut();
        // Either all of it comes (it was on its way, or nothing of it was and it was asked for again), or the connection
        // ends; nothing else comes.
        match other.try_frame(LONG) {
            Ok(frame) => {
                let strange = frame[10..frame.len() - 2].iter().position(|&byte| byte != b'v');
                assert_eq!(strange.map(|at| shown(&frame[10 + at..])), None);
                assert_eq!(other.frame(), b"+PONG\r\n");
            }
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}")
            }
        }
    }
}
