//! Nodes that restart and have forgotten every script.

use crate::support::{Cluster, resp, resp::Value, wait::until_true};

#[test]
fn a_script_is_known_again_after_its_node_has_restarted() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=300ms"));
    let key = cluster.key_on(1, 0);
    let text = "return redis.call('INCR', KEYS[1])";
    let mut client = cluster.client();
    let loaded = Value::of(&client.call(&["SCRIPT", "LOAD", text])).text();
    let run = "return redis.call('GET', KEYS[1])";
    assert_eq!(client.call(&["EVAL_RO", run, "1", &key]), b"$-1\r\n");
    client.expect(&format!("EVALSHA {loaded} 1 {key}"), ":1\r\n");
    for _ in 0..2 {
        cluster.nodes[1].start_again();
        until_true("the node to be used again", || client.ask(&format!("SET {key} 5")) == "+OK\r\n");
        cluster.nodes[1].client().expect(&format!("SCRIPT EXISTS {loaded}"), "*1\r\n:0\r\n");
        // In one write: what comes behind must not be there first.
        let bytes: Vec<u8> = [format!("EVALSHA {loaded} 1 {key}"), format!("SET {key} 9"), format!("GET {key}")]
            .iter()
            .flat_map(|line| resp::words(line))
            .collect();
        let replies = client.pipeline(&bytes, 3);
        assert_eq!(replies, [&b":6\r\n"[..], b"+OK\r\n", b"$1\r\n9\r\n"]);
    }
    assert!(cluster.circlet.metric("circlet_script_loads_total").is_some());
}

#[test]
fn a_transaction_finds_its_script_after_its_node_has_restarted() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=300ms"));
    let key = cluster.key_on(2, 0);
    let mut client = cluster.client();
    let sha = Value::of(&client.call(&["SCRIPT", "LOAD", "return redis.call('INCR', KEYS[1])"])).text();
    for watch in [false, true] {
        cluster.nodes[2].start_again();
        until_true("the node to be used again", || client.ask(&format!("SET {key} 5")) == "+OK\r\n");
        if watch {
            client.expect(&format!("WATCH {key}"), "+OK\r\n");
        }
        client.expect("MULTI", "+OK\r\n");
        client.expect(&format!("EVALSHA {sha} 1 {key}"), "+QUEUED\r\n");
        client.expect(&format!("GET {key}"), "+QUEUED\r\n");
        client.expect("EXEC", "*2\r\n:6\r\n$1\r\n6\r\n");
    }
}
