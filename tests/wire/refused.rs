//! What Circlet does not do is refused clearly, and the connection stays open.

use crate::support::{Cluster, Redis};

#[test]
fn the_lua_debugger_needs_a_connection_of_its_own() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let reply = client.ask("SCRIPT DEBUG YES");
    assert!(reply.starts_with("-ERR 'script|debug' needs a node connection of its own"), "{reply}");
    client.expect("PING", "+PONG\r\n");
}

#[test]
fn commands_that_are_refused_say_why_and_what_does_instead() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for (line, cure) in [
        ("SAVE", "CONFIG SET save"),
        ("BGSAVE", "CONFIG SET save"),
        ("BGSAVE SCHEDULE", "BGSAVE to each node"),
        ("BGREWRITEAOF", "auto-aof-rewrite-percentage"),
        ("SHUTDOWN", "SIGTERM"),
        ("SHUTDOWN NOSAVE", "at the node itself"),
        ("REPLICAOF h 1", "Circlet's configuration"),
        ("SLAVEOF NO ONE", "at the node"),
        ("FAILOVER", "at the node"),
        ("MIGRATE h 1 k 0 10", "DUMP here and RESTORE there"),
        ("MODULE LOAD /m.so", "loadmodule"),
        ("MODULE LOADEX /m.so", "loadmodule"),
        ("MODULE UNLOAD m", "each node's machine"),
        ("ACL SETUSER u", "requirepass"),
        ("ACL DELUSER u", "requirepass"),
        ("ACL SAVE", "no file of users"),
        ("ACL LOAD", "no file of users"),
    ] {
        let reply = client.ask(line);
        let name = line.split(' ').next().unwrap().to_lowercase();
        let told = reply.starts_with(&format!("-ERR '{name}")) && reply.contains("is refused") && reply.contains(cure);
        assert!(told, "{line}: {reply}");
    }
    client.expect("PING", "+PONG\r\n");
    for node in &cluster.nodes {
        assert!(node.client().value("INFO replication").text().contains("role:master"));
    }
}

#[test]
fn commands_between_servers() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for line in
        ["SYNC", "PSYNC ? -1", "REPLCONF listening-port 1", "PFSELFTEST", "PFDEBUG ENCODING k", "RESTORE-ASKING k 0 x"]
    {
        let reply = client.ask(line);
        assert!(reply.starts_with("-ERR '") && reply.contains("between servers"), "{line}: {reply}");
    }
    client.expect("PING", "+PONG\r\n");
    for node in &cluster.nodes {
        node.client().expect("PING", "+PONG\r\n");
    }
}

#[test]
fn unknown_commands_get_the_text_of_redis_and_the_connection_stays_open() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut expected = plain.client();
    let mut client = cluster.client();
    let long = "x".repeat(300);
    for words in [
        vec!["nosuch"],
        vec!["NoSuch", "a", "b"],
        vec!["nosuch", "", " ", "a b"],
        vec!["nosuch", &long],
        vec![&long, "a"],
        vec![
            "nosuch",
            "1234567890123456789012345678901234567890",
            "1234567890123456789012345678901234567890",
            "1234567890123456789012345678901234567890",
            "1234567890123456789012345678901234567890",
        ],
        vec!["nosuch", "a\r\nb"],
        vec!["no\r\nsuch"],
        vec![""],
        vec!["get|x"],
        vec!["client|list"],
        vec!["CLIENT", "NOSUCH"],
        vec!["CLIENT", "NOSUCH", "a", "b"],
        vec!["CONFIG", "NOSUCH"],
        vec!["OBJECT", "NOSUCH", "k"],
        vec!["XGROUP", "NOSUCH", "k"],
        vec!["COMMAND", "NOSUCH"],
        vec!["CLIENT"],
        vec!["CONFIG"],
        vec!["OBJECT"],
        vec!["CLUSTER"],
        vec!["FUNCTION", "NOSUCH"],
        vec!["MEMORY", "NOSUCH", "k"],
    ] {
        let (redis, circlet) = (expected.call(&words), client.call(&words));
        assert_eq!(String::from_utf8_lossy(&circlet), String::from_utf8_lossy(&redis), "{words:?}");
    }
    client.expect("PING", "+PONG\r\n");
}

#[test]
fn sort_by_keys_of_other_nodes_is_refused() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("RPUSH l 3 1 2", ":3\r\n");
    for line in ["SORT l BY w_*", "SORT l GET o_*", "SORT_RO l BY w_*->f", "SORT l GET # GET o_*"] {
        let reply = client.ask(line);
        assert!(reply.starts_with("-ERR '") && reply.contains("other nodes"), "{line}: {reply}");
    }
    client.expect("SORT l", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    client.expect("SORT l BY nosort GET # DESC", "*3\r\n$1\r\n2\r\n$1\r\n1\r\n$1\r\n3\r\n");
}
