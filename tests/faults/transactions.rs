//! Nodes that die around EXEC: what ran is known, or said not to be.

use crate::support::{
    Circlet, Cluster, Redis,
    circlet::Plan,
    cluster::{key_on, named},
    relay::Relay,
    resp,
    wait::until_true,
};

/// Circlet over two nodes, the first behind a relay.
fn staged() -> (Circlet, Relay, Vec<Redis>) {
    let nodes = Redis::several(2);
    let relay = Relay::to(&nodes[0].address());
    let circlet = Plan::default()
        .node(named(0, &relay.address()))
        .node(named(1, &nodes[1].address()))
        .set("pipe.backoff_max=300ms")
        .start();
    (circlet, relay, nodes)
}

#[test]
fn a_node_that_dies_before_exec_runs_nothing() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=300ms").set("workers=1"));
    let (key, other) = (cluster.key_on(1, 0), cluster.key_on(0, 0));
    let mut client = cluster.client();
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("INCR {key}"), "+QUEUED\r\n");
    cluster.nodes[1].kill();
    let mut probe = cluster.client();
    until_true("the node to be known as down", || probe.ask(&format!("SET {key} v")).starts_with("-NODEDOWN"));
    let reply = client.ask("EXEC");
    assert!(reply.starts_with("-NODEDOWN node n2 ("), "{reply}");
    client.expect("EXEC", "-ERR EXEC without MULTI\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("INCR {other}"), "+QUEUED\r\n");
    client.expect("EXEC", "*1\r\n:1\r\n");
    assert!(client.ask(&format!("WATCH {key}")).starts_with("-NODEDOWN node n2 ("));
    cluster.nodes[1].start_again();
    until_true("the node to be used again", || probe.ask(&format!("SET {key} 5")) == "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("INCR {key}"), "+QUEUED\r\n");
    client.expect("EXEC", "*1\r\n:6\r\n");
}

#[test]
fn a_connection_that_is_cut_under_exec_leaves_the_outcome_open() {
    for watch in [false, true] {
        let (circlet, relay, nodes) = staged();
        let key = key_on(2, 0, 0);
        let mut client = circlet.client();
        if watch {
            client.expect(&format!("WATCH {key}"), "+OK\r\n");
        }
        client.expect("MULTI", "+OK\r\n");
        client.expect(&format!("INCR {key}"), "+QUEUED\r\n");
        client.expect("CLIENT SETNAME never", "+QUEUED\r\n");
        relay.hold();
        client.send(&resp::words("EXEC"));
        client.send(&resp::words("CLIENT GETNAME"));
        until_true("the node to have done it", || nodes[0].client().ask(&format!("GET {key}")) == "$1\r\n1\r\n");
        relay.cut();
        let reply = String::from_utf8(client.frame()).unwrap();
        assert!(reply.starts_with(&format!("-OUTCOMEUNKNOWN node n1 ({})", relay.address())), "{reply}");
        assert_eq!(client.frame(), b"$-1\r\n", "own commands are not carried out then");
        until_true("the node to be used again", || client.ask(&format!("GET {key}")) == "$1\r\n1\r\n");
        client.expect("MULTI", "+OK\r\n");
        client.expect(&format!("INCR {key}"), "+QUEUED\r\n");
        client.expect("EXEC", "*1\r\n:2\r\n");
    }
}

#[test]
fn a_watch_that_is_lost_runs_nothing_even_when_the_node_is_back() {
    let (circlet, relay, _nodes) = staged();
    let (key, other) = (key_on(2, 0, 0), key_on(2, 1, 0));
    let mut client = circlet.client();
    client.expect(&format!("WATCH {key}"), "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("INCR {key}"), "+QUEUED\r\n");
    until_true("the lease to be counted", || circlet.metric("circlet_leased_connections") == Some(1.0));
    relay.cut();
    until_true("the lease to be lost", || circlet.metric("circlet_leased_connections") == Some(0.0));
    let mut probe = circlet.client();
    until_true("the node to be used again", || probe.ask(&format!("SET {key} 0")) == "+OK\r\n");
    let reply = client.ask("EXEC");
    assert!(reply.starts_with("-NODEDOWN node n1 (") && reply.contains("nothing was executed"), "{reply}");
    until_true("nothing to have run", || client.ask(&format!("GET {key}")) == "$1\r\n0\r\n");
    client.expect(&format!("WATCH {other}"), "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect("EXEC", "*0\r\n");
}

#[test]
fn a_node_that_hangs_under_exec_times_out() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.request_timeout=300ms").set("pipe.backoff_max=300ms"));
    let key = cluster.key_on(0, 0);
    let mut client = cluster.client();
    client.expect(&format!("WATCH {key}"), "+OK\r\n");
    cluster.nodes[0].pause();
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("INCR {key}"), "+QUEUED\r\n");
    let reply = client.ask("EXEC");
    assert!(reply.starts_with("-TIMEOUT node n1 (") && reply.contains("may or may not"), "{reply}");
    cluster.nodes[0].resume();
    until_true("the node to be used again", || client.ask(&format!("SET {key} 0")) == "+OK\r\n");
}
