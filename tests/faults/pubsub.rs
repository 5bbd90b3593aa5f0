//! Subscribers while nodes die, hang and lose connections, and subscribers that do not read.

use std::time::Duration;

use crate::support::{
    Client, Cluster, Redis,
    circlet::Plan,
    cluster::plan_over,
    relay::Relay,
    resp::{self, Value},
    wait::{LONG, until, until_true},
};

fn quick(plan: Plan) -> Plan {
    plan.set("pipe.request_timeout=400ms").set("pipe.connect_timeout=400ms").set("pipe.backoff_max=300ms")
}

fn message(channel: &str, payload: &str) -> String {
    let mut out = Vec::new();
    resp::request(&mut out, &["message", channel, payload]);
    String::from_utf8(out).unwrap()
}

/// Publishes until `subscriber` hears it. The number that PUBLISH answers does not tell: a
/// node may still count a connection whose end it has not seen.
fn publish_until_heard(publisher: &mut Client, channel: &str, subscriber: &mut Client) {
    let mut number = 0;
    until("the subscriber to be served again", LONG, || {
        number += 1;
        publisher.ask(&format!("PUBLISH {channel} {number}"));
        let frame = subscriber.try_frame(Duration::from_millis(100)).ok()?;
        let message = Value::of(&frame);
        (message.list()[1].text() == channel).then_some(())
    });
}

/// Reads messages until that with `payload` comes.
fn hears(client: &mut Client, channel: &str, payload: &str) {
    until_true("the message", || String::from_utf8(client.frame()).unwrap() == message(channel, payload));
}

#[test]
fn a_node_that_dies_and_returns_is_listened_to_again() {
    let mut cluster = Cluster::with(quick);
    let (dies, lives) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    let mut subscribers: Vec<Client> = (0..4).map(|_| cluster.client()).collect();
    for client in &mut subscribers {
        client.ask(&format!("SUBSCRIBE {dies}"));
        client.ask(&format!("SUBSCRIBE {lives}"));
    }
    let mut pattern = cluster.client();
    pattern.ask("PSUBSCRIBE key*");
    let mut publisher = cluster.client();
    let address = cluster.nodes[0].address();
    cluster.nodes[0].kill();
    let refusal = format!("-NODEDOWN node n1 ({address}): connection refused\r\n");
    until_true("the node to be known as down", || publisher.ask(&format!("PUBLISH {dies} m")) == refusal);
    // New subscriptions are refused, the old ones stay; other nodes are heard.
    let mut late = cluster.client();
    until_true("subscriptions to be refused", || {
        let reply = late.ask(&format!("SUBSCRIBE {lives} {dies}"));
        reply == refusal || {
            assert!(reply.starts_with("*3") || reply.starts_with("-NODEDOWN"), "{reply}");
            if reply.starts_with("*3") {
                late.frame();
                late.expect("RESET", "+RESET\r\n");
            }
            false
        }
    });
    late.expect("PSUBSCRIBE k*", &refusal);
    late.expect("PUBSUB CHANNELS", &refusal);
    assert!(late.ask(&format!("SUBSCRIBE {lives}")).starts_with("*3"));
    publisher.expect(&format!("PUBLISH {lives} m"), ":6\r\n");
    for client in &mut subscribers {
        hears(client, &lives, "m");
    }

    cluster.nodes[0].start_again();
    for client in &mut subscribers {
        publish_until_heard(&mut publisher, &dies, client);
    }
    let heard = |client: &mut Client, channel: &str, payload: &str| {
        let frame = String::from_utf8(client.frame()).unwrap();
        frame.contains(&format!("{channel}\r\n")) && frame.contains(&format!("\r\n{payload}\r\n"))
    };
    until_true("the pattern to be heard again", || publisher.ask(&format!("PUBLISH {dies} last")) == ":5\r\n");
    for client in subscribers.iter_mut().chain([&mut pattern]) {
        until_true("the last message", || heard(client, &dies, "last"));
    }
    let log = cluster.circlet.output();
    assert!(log.contains("messages are not heard") && log.contains("messages are heard again"), "{log}");
}

#[test]
fn a_node_that_hangs_is_noticed_although_nothing_is_asked_of_it() {
    let mut cluster = Cluster::with(quick);
    let channel = cluster.key_on(0, 0);
    let mut subscriber = cluster.client();
    subscriber.ask(&format!("SUBSCRIBE {channel}"));
    cluster.nodes[0].pause();
    until_true("the silence to be noticed", || cluster.circlet.output().contains("messages are not heard"));
    cluster.nodes[0].resume();
    let mut publisher = cluster.client();
    publish_until_heard(&mut publisher, &channel, &mut subscriber);
}

#[test]
fn a_cut_connection_is_opened_again_and_whoever_waits_is_answered() {
    let node = Redis::start();
    let relay = Relay::to(&node.address());
    let circlet = quick(Plan::default().node(format!("n1={}", relay.address()))).start();
    let mut subscriber = circlet.client();
    subscriber.ask("SUBSCRIBE c");
    for _ in 0..3 {
        relay.cut();
        let mut publisher = circlet.client();
        publish_until_heard(&mut publisher, "c", &mut subscriber);
    }
    // A SUBSCRIBE whose node falls silent under it is answered, and the session goes on.
    let mut waits = circlet.client();
    relay.hold();
    waits.send(&resp::words("SUBSCRIBE other"));
    waits.send(&resp::words("PING"));
    let refusal = String::from_utf8(waits.frame()).unwrap();
    assert!(refusal.starts_with("-NODEDOWN node n1"), "{refusal}");
    assert_eq!(waits.frame(), b"+PONG\r\n");
    relay.cut();
    let mut publisher = circlet.client();
    publish_until_heard(&mut publisher, "c", &mut subscriber);
}

#[test]
fn a_subscriber_that_does_not_read_is_disconnected_and_nobody_else_notices() {
    let nodes = Redis::several(1);
    let circlet = plan_over(&nodes).set("session.hard_pushes=1MB").start();
    let (mut slow, mut quick) = (circlet.client(), circlet.client());
    for client in [&mut slow, &mut quick] {
        client.ask("SUBSCRIBE c");
    }
    let mut publisher = circlet.client();
    let payload = "x".repeat(100_000);
    let dropped = "circlet_sessions_closed_total{reason=\"push_limit\"}";
    let mut published = 0;
    // The sockets' buffers take some of it.
    until_true("the slow one to be disconnected", || {
        for _ in 0..20 {
            publisher.ask(&format!("PUBLISH c {payload}"));
            published += 1;
            assert_eq!(String::from_utf8(quick.frame()).unwrap(), message("c", &payload));
        }
        circlet.metric(dropped) == Some(1.0)
    });
    assert!(published < 1_000, "{published}");
    assert!(circlet.output().contains("push_limit"));
    publisher.expect("PUBLISH c last", ":1\r\n");
    assert_eq!(String::from_utf8(quick.frame()).unwrap(), message("c", "last"));
    let rest = slow.rest();
    assert!(rest.len() < published * 100_100, "{}", rest.len());
}
