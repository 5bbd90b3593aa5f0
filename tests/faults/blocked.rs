//! Nodes that fail while clients wait at them.

use crate::support::{Cluster, resp, wait::until_true};

/// Whether a client waits at the first node, and the node knows it.
fn blocked(cluster: &Cluster) -> bool {
    cluster.nodes[0].client().ask("INFO clients").contains("blocked_clients:1")
}

#[test]
fn a_node_that_is_killed_ends_the_waiting_with_an_error_and_serves_again_when_it_is_back() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=300ms"));
    let queue = cluster.key_on(0, 0);
    let mut client = cluster.client();
    client.send(&resp::words(&format!("BLPOP {queue} 0")));
    until_true("the client to be blocked", || blocked(&cluster));
    cluster.nodes[0].kill();
    let text = String::from_utf8(client.frame()).unwrap();
    assert!(text.starts_with("-OUTCOMEUNKNOWN node n1 ("), "{text}");
    let down = |text: &str| text.starts_with("-NODEDOWN node n1 (");
    until_true("the node to be known as down", || down(&client.ask(&format!("BLPOP {queue} 0.01"))));
    cluster.nodes[0].start_again();
    until_true("the node to be used again", || client.ask(&format!("BLPOP {queue} 0.01")) == "*-1\r\n");
}

#[test]
fn a_node_that_hangs_is_noticed_by_who_only_waits() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.request_timeout=400ms").set("pipe.connect_timeout=400ms"));
    let queue = cluster.key_on(0, 0);
    let mut client = cluster.client();
    client.send(&resp::words(&format!("BLPOP {queue} 0")));
    until_true("the client to be blocked", || blocked(&cluster));
    cluster.nodes[0].pause();
    let text = String::from_utf8(client.frame()).unwrap();
    assert!(text.starts_with("-OUTCOMEUNKNOWN node n1 ("), "{text}");
    cluster.nodes[0].resume();
    client.expect("PING", "+PONG\r\n");
}
