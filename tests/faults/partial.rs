//! `partial_reads = "nil"`: reads over several nodes without the one that is down.

use crate::support::{Cluster, wait::until_true};

#[test]
fn missing_parts_are_nil_and_writes_still_fail() {
    let mut cluster = Cluster::with(|plan| plan.set("partial_reads=nil"));
    let keys: Vec<String> = (0..3).map(|node| cluster.key_on(node, 0)).collect();
    let mut client = cluster.client();
    let mut client3 = cluster.client3();
    client.expect(&format!("MSET {} a {} b {} c", keys[0], keys[1], keys[2]), "+OK\r\n");
    cluster.nodes[1].kill();
    until_true("the node to be known as down", || client.ask(&format!("GET {}", keys[1])).starts_with("-NODEDOWN "));
    let all = keys.join(" ");
    for client in [&mut client, &mut client3] {
        // Either worker must have noticed.
        until_true("the other keys", || client.ask(&format!("EXISTS {all}")) == ":2\r\n");
        client.expect(&format!("TOUCH {all}"), ":2\r\n");
        client.expect("DBSIZE", ":2\r\n");
        assert_eq!(client.value("KEYS *").list().len(), 2);
        assert!(client.ask("RANDOMKEY").starts_with('$'));
        // One key is no multi-key read.
        assert!(client.ask(&format!("GET {}", keys[1])).starts_with("-NODEDOWN "));
        assert!(client.ask(&format!("DEL {all}")).starts_with("-NODEDOWN "));
        client.expect(&format!("SET {} a", keys[0]), "+OK\r\n");
        client.expect(&format!("SET {} c", keys[2]), "+OK\r\n");
        assert!(client.ask(&format!("MSET {} a {} b", keys[0], keys[1])).starts_with("-NODEDOWN "));
    }
    client.expect(&format!("MGET {all}"), "*3\r\n$1\r\na\r\n$-1\r\n$1\r\nc\r\n");
    client3.expect(&format!("MGET {all}"), "*3\r\n$1\r\na\r\n_\r\n$1\r\nc\r\n");
    let (mut cursor, mut found) = ("0".to_owned(), 0);
    loop {
        let reply = client.value(&format!("SCAN {cursor} COUNT 100"));
        found += reply.list()[1].list().len();
        cursor = reply.list()[0].text();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(found, 2);
}
