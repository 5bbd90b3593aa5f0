//! Nodes that cannot be reached, from the start or for a while.

use std::time::Instant;

use crate::support::{
    Cluster, Redis,
    circlet::Plan,
    cluster::{key_on, named, plan_over},
    port::Port,
    relay::Relay,
    wait::until_true,
};

#[test]
fn a_node_that_is_down_at_the_start_stops_nobody() {
    let nodes = Redis::several(2);
    let third = Port::lease();
    let address = format!("127.0.0.1:{}", third.number());
    let circlet = plan_over(&nodes).node(named(2, &address)).set("pipe.backoff_max=300ms").wait_for(2).start();
    let mut client = circlet.client();
    let keys: Vec<String> = (0..3).map(|node| key_on(3, node, 0)).collect();
    client.expect(&format!("SET {} v", keys[0]), "+OK\r\n");
    client.expect(&format!("SET {} v", keys[1]), "+OK\r\n");
    let refusal = format!("-NODEDOWN node n3 ({address}): connection refused\r\n");
    until_true("the node to be known as down", || client.ask(&format!("GET {}", keys[2])) == refusal);
    // At once, not after a time-out.
    let start = Instant::now();
    for _ in 0..200 {
        client.expect(&format!("SET {} v", keys[2]), &refusal);
    }
    assert!(start.elapsed().as_secs() < 2, "{:?}", start.elapsed());
    // What needs all nodes says which is missing.
    client.expect(&format!("MGET {} {}", keys[0], keys[2]), &refusal);
    client.expect(&format!("DEL {} {}", keys[1], keys[2]), &refusal);
    client.expect("DBSIZE", &refusal);
    client.expect("FLUSHALL", &refusal);
    client.expect(&format!("EXISTS {}", keys[0]), ":0\r\n");
    assert!(client.value("INFO circlet").text().contains("circlet_nodes_up:2"));
    assert!(client.value("INFO").text().contains("state=down"));
    assert!(client.ask("INFO n3").starts_with(&refusal[..refusal.len() - 2]));
    // Workers publish from time to time.
    for (node, up) in [("n3", 0.0), ("n1", 1.0)] {
        let name = format!("circlet_node_up{{node=\"{node}\"}}");
        until_true("the metric to tell it", || circlet.metric(&name) == Some(up));
    }

    let _third = Redis::on(third, &[]);
    until_true("the node to be used", || client.ask(&format!("SET {} v", keys[2])) == "+OK\r\n");
    client.expect("DBSIZE", ":1\r\n");
    until_true("the node to be up", || circlet.metric("circlet_node_up{node=\"n3\"}") == Some(1.0));
}

#[test]
fn a_name_that_does_not_resolve_stops_nobody() {
    let nodes = Redis::several(2);
    let circlet = plan_over(&nodes).node("n3=no-such-host.invalid:7003").wait_for(2).start();
    let mut client = circlet.client();
    let (good, bad) = (key_on(3, 0, 0), key_on(3, 2, 0));
    client.expect(&format!("SET {good} v"), "+OK\r\n");
    until_true("the refusal", || {
        let reply = client.ask(&format!("GET {bad}"));
        reply.starts_with("-NODEDOWN node n3 (no-such-host.invalid:7003): ") && reply.contains("resolve")
    });
    client.expect(&format!("GET {good}"), "$1\r\nv\r\n");
}

#[test]
fn without_any_node_circlet_serves_what_it_can() {
    let port = Port::lease();
    let address = format!("127.0.0.1:{}", port.number());
    let circlet = Plan::default().node(named(0, &address)).wait_for(0).set("pipe.backoff_max=300ms").start();
    let mut client = circlet.client();
    client.expect("PING", "+PONG\r\n");
    client.expect("ECHO x", "$1\r\nx\r\n");
    until_true("the refusal", || client.ask("GET k").starts_with("-NODEDOWN node n1"));
    let (status, body) = crate::support::http::get(&circlet.admin(), "/readyz").unwrap();
    assert_eq!(status, 503, "{body}");
    assert_eq!(crate::support::http::get(&circlet.admin(), "/healthz").unwrap().0, 200);
    assert!(client.ask("CONFIG GET save").starts_with("-NODEDOWN "));
    let _node = Redis::on(port, &[]);
    until_true("the node to be used", || client.ask("SET k v") == "+OK\r\n");
    circlet.wait_nodes_up(1);
}

#[test]
fn a_node_that_restarts_is_used_again() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=300ms"));
    let mut client = cluster.client();
    let (one, other) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    for round in 0..3 {
        client.expect(&format!("SET {one} {round}"), "+OK\r\n");
        cluster.nodes[0].kill();
        until_true("the refusal", || client.ask(&format!("GET {one}")).starts_with("-NODEDOWN node n1"));
        client.expect(&format!("SET {other} {round}"), "+OK\r\n");
        cluster.nodes[0].start_again();
        until_true("the node to be used", || client.ask(&format!("GET {one}")) == "$-1\r\n");
        client.expect(&format!("GET {other}"), &format!("$1\r\n{round}\r\n"));
    }
}

#[test]
fn an_idle_connection_that_died_unnoticed_costs_no_read() {
    // The node restarts while nobody asks anything: the next read finds a connection that works.
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_min=10ms"));
    let mut client = cluster.client();
    let key = cluster.key_on(0, 0);
    client.expect(&format!("GET {key}"), "$-1\r\n");
    cluster.nodes[0].kill();
    cluster.nodes[0].start_again();
    until_true("reads to work", || client.ask(&format!("GET {key}")) == "$-1\r\n");
    client.expect(&format!("GET {key}"), "$-1\r\n");
}

#[test]
fn tries_become_rarer() {
    let node = Redis::start();
    let relay = Relay::to(&node.address());
    relay.refuse(true);
    let circlet = Plan::default()
        .node(named(0, &relay.address()))
        .set("pipe.backoff_min=20ms")
        .set("pipe.backoff_max=30s")
        .wait_for(0)
        .start();
    let mut client = circlet.client();
    let start = Instant::now();
    until_true("the node to be down", || client.ask("GET k").starts_with("-NODEDOWN "));
    let mut failures = Vec::new();
    until_true("some tries", || {
        client.ask("GET k");
        let count = circlet.metric("circlet_node_failures_total{node=\"n1\"}").unwrap_or_default();
        if failures.last().is_none_or(|&(last, _)| count > last) {
            failures.push((count, start.elapsed()));
        }
        start.elapsed().as_secs() >= 4
    });
    let total = failures.last().unwrap().0;
    // Two workers, pauses of 20, 40, 80 … ms: without doubling there would be two hundred each.
    assert!((4.0..60.0).contains(&total), "{failures:?}");
}

#[test]
fn a_wrong_password_of_a_node_is_told() {
    let mut nodes = Redis::several(2);
    nodes.push(Redis::with(&["--requirepass", "right"]));
    let config = |password: &str| {
        let mut text = String::new();
        for (at, node) in nodes.iter().enumerate() {
            text += &format!("[[nodes]]\nname = \"n{}\"\naddress = \"{}\"\n", at + 1, node.address());
            if at == 2 && !password.is_empty() {
                text += &format!("password = \"{password}\"\n");
            }
        }
        text
    };
    let keys: Vec<String> = (0..3).map(|node| key_on(3, node, 0)).collect();
    for (password, says) in [("wrong", "WRONGPASS"), ("", "NOAUTH")] {
        let circlet = Plan::default().config(config(password)).wait_for(2).start();
        let mut client = circlet.client();
        client.expect(&format!("SET {} v", keys[0]), "+OK\r\n");
        until_true("the refusal", || {
            let reply = client.ask(&format!("SET {} v", keys[2]));
            assert!(!reply.starts_with("+OK"), "{reply}");
            reply.starts_with("-NODEDOWN node n3 (") && reply.contains(says)
        });
    }
    let circlet = Plan::default().config(config("right")).wait_for(3).start();
    let mut client = circlet.client();
    client.expect(&format!("SET {} v", keys[2]), "+OK\r\n");
    // Users of the nodes' access lists too.
    nodes[2].client().call(&["AUTH", "right"]);
    let mut admin = nodes[2].client();
    admin.expect("AUTH right", "+OK\r\n");
    admin.expect("ACL SETUSER circlet on >pw ~* &* +@all", "+OK\r\n");
    let text = config("pw") + "username = \"circlet\"\n";
    let circlet = Plan::default().config(text).wait_for(3).start();
    circlet.client().expect(&format!("GET {}", keys[2]), "$1\r\nv\r\n");
    let list = admin.value("CLIENT LIST").text();
    assert!(list.contains("user=circlet"), "{list}");
}

#[test]
fn a_replica_is_told_as_not_up_for_writes_until_it_is_none() {
    let servers = Redis::several(2);
    let circlet = Plan::default().set("node_info=1s").node(format!("n0={}", servers[0].address())).start();
    let (mut direct, mut client) = (servers[0].client(), circlet.client());
    direct.expect(&format!("REPLICAOF 127.0.0.1 {}", servers[1].port()), "+OK\r\n");
    until_true("it to be told", || client.ask("CIRCLET EVENTS").contains("it is a read-only replica"));
    direct.expect("REPLICAOF NO ONE", "+OK\r\n");
    until_true("its return to be told", || client.ask("CIRCLET EVENTS").contains("it is up for writes"));
}
