//! A node that keeps its connections and answers nothing.

use std::time::Duration;

use crate::support::{Cluster, resp, wait::until_true};

/// To look whether something has come.
const INSTANT: Duration = Duration::from_millis(1);

fn with_short_timeout() -> Cluster {
    Cluster::with(|plan| {
        plan.set("pipe.request_timeout=2s").set("pipe.connect_timeout=400ms").set("pipe.backoff_max=300ms")
    })
}

#[test]
fn requests_to_a_hung_node_end_with_a_timeout_and_others_are_not_delayed() {
    let mut cluster = with_short_timeout();
    let (hung, fine) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    let mut waiting = cluster.client();
    let mut writing = cluster.client();
    let mut client = cluster.client();
    waiting.expect(&format!("SET {hung} old"), "+OK\r\n");
    client.expect(&format!("SET {fine} v"), "+OK\r\n");
    cluster.nodes[0].pause();
    waiting.send(&resp::words(&format!("GET {hung}")));
    writing.send(&resp::words(&format!("SET {hung} new")));
    // Others go on meanwhile: all of theirs is answered before the time of the first is over.
    for _ in 0..50 {
        client.expect(&format!("GET {fine}"), "$1\r\nv\r\n");
    }
    assert_eq!(waiting.whatever_comes(INSTANT), b"");
    let address = cluster.nodes[0].address();
    let text = |outcome: &str| format!("-TIMEOUT node n1 ({address}): no reply within 2000 ms; {outcome}\r\n");
    let read = String::from_utf8(waiting.frame()).unwrap();
    assert_eq!(read, text("the command only reads, it is safe to send it again"));
    let write = String::from_utf8(writing.frame()).unwrap();
    assert_eq!(write, text("the command may or may not have been executed"));
    // Known to hang: refused at once.
    until_true("the node to be known as down", || waiting.ask(&format!("GET {hung}")).starts_with("-NODEDOWN node n1"));
    assert!(client.ask(&format!("GET {hung}")).starts_with("-NODEDOWN node n1"));
    cluster.nodes[0].resume();
    // The late reply goes to nobody: each client gets what it asked for.
    until_true("the node to be used again", || !client.ask(&format!("GET {hung}")).starts_with('-'));
    for client in [&mut waiting, &mut writing] {
        until_true("its own reply", || client.ask("ECHO mine") == "$4\r\nmine\r\n");
        // Its worker may be the later one to have a connection again.
        let mut value = String::new();
        until_true("its worker to use the node again", || {
            value = client.ask(&format!("GET {hung}"));
            !value.starts_with('-')
        });
        assert!(["$3\r\nold\r\n", "$3\r\nnew\r\n"].contains(&value.as_str()), "{value}");
    }
    assert!(cluster.circlet.metric("circlet_node_timeouts_total{node=\"n1\"}").unwrap() >= 2.0);
}

#[test]
fn a_clients_own_order_is_kept_over_a_hung_node() {
    let mut cluster = with_short_timeout();
    let (hung, fine) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    let mut client = cluster.client();
    client.expect(&format!("SET {fine} v"), "+OK\r\n");
    client.expect(&format!("GET {hung}"), "$-1\r\n");
    cluster.nodes[0].pause();
    let mut bytes = Vec::new();
    for line in [
        format!("GET {fine}"),
        format!("GET {hung}"),
        format!("GET {fine}"),
        format!("MGET {fine} {hung}"),
        "PING".to_owned(),
    ] {
        bytes.extend(resp::words(&line));
    }
    client.send(&bytes);
    assert_eq!(client.frame(), b"$1\r\nv\r\n");
    assert!(client.frame().starts_with(b"-TIMEOUT node n1"));
    assert_eq!(client.frame(), b"$1\r\nv\r\n");
    assert!(client.frame().starts_with(b"-TIMEOUT node n1"));
    assert_eq!(client.frame(), b"+PONG\r\n");
    cluster.nodes[0].resume();
}

#[test]
fn clients_that_leave_while_a_node_hangs_leave_nothing() {
    let mut cluster = with_short_timeout();
    let hung = cluster.key_on(0, 0);
    let mut staying = cluster.client();
    staying.expect(&format!("SET {hung} staying"), "+OK\r\n");
    cluster.nodes[0].pause();
    for number in 0..20 {
        let mut leaving = cluster.client();
        leaving.send(&resp::words(&format!("ECHO leaving{number}")));
        leaving.send(&resp::words(&format!("APPEND {hung} x")));
        assert!(leaving.frame().ends_with(format!("leaving{number}\r\n").as_bytes()));
    }
    staying.send(&resp::words(&format!("STRLEN {hung}")));
    cluster.nodes[0].resume();
    let reply = String::from_utf8(staying.frame()).unwrap();
    assert!(reply.starts_with(':') || reply.starts_with("-TIMEOUT "), "{reply}");
    until_true("the node to answer", || staying.ask(&format!("STRLEN {hung}")).starts_with(':'));
    until_true("one session", || cluster.circlet.metric("circlet_sessions") == Some(1.0));
    until_true("nothing in flight", || cluster.circlet.metric("circlet_node_in_flight{node=\"n1\"}") == Some(0.0));
}

#[test]
fn a_slow_command_holds_up_its_own_node_only() {
    let cluster = Cluster::start();
    let (slow, fine) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    let mut waiting = cluster.client();
    let script = "local t=redis.call('TIME')[1]+0 local n=t while n<t+4 do n=redis.call('TIME')[1]+0 end return 'slow'";
    let mut request = Vec::new();
    resp::request(&mut request, &["EVAL", script, "1", &slow]);
    waiting.send(&request);
    let mut client = cluster.client();
    for _ in 0..20 {
        client.expect(&format!("GET {fine}"), "$-1\r\n");
    }
    assert_eq!(waiting.whatever_comes(INSTANT), b"", "the script still runs");
    assert_eq!(waiting.frame(), b"$4\r\nslow\r\n");
}

#[test]
fn a_node_that_leaves_requests_unanswered_is_suspected_then_judged_down_and_up_again() {
    let mut cluster = with_short_timeout();
    let key = cluster.key_on(0, 0);
    let (mut client, mut asking) = (cluster.client(), cluster.client());
    let mut judged = || client.value("CIRCLET NODES").list()[0].get("judged").unwrap().text();
    until_true("it to be known", || judged() == "up");
    cluster.nodes[0].pause();
    asking.send(&resp::words(&format!("GET {key}")));
    until_true("it to be judged", || judged() == "down");
    assert!(String::from_utf8(asking.frame()).unwrap().starts_with("-TIMEOUT"));
    let judged_down = "circlet_node_judged{node=\"n1\",state=\"down\"}";
    assert_eq!(cluster.circlet.metric(judged_down), Some(1.0));
    cluster.nodes[0].resume();
    until_true("it to have proved itself", || judged() == "up");
    assert_eq!(cluster.circlet.metric(judged_down), Some(0.0));
    let events = cluster.client().ask("CIRCLET EVENTS");
    assert!(events.contains("it is not up for writes: it does not answer") && events.contains("it is up for writes"));
}
