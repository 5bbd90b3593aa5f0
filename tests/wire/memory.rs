//! MEMORY, OBJECT, COPY and SORT over several nodes.

use crate::support::{Cluster, Redis, resp::Value};

#[test]
fn memory_stats_are_added_up_in_the_shape_of_redis() {
    let cluster = Cluster::start();
    for proto in ["HELLO 2", "HELLO 3"] {
        let (mut client, mut node) = (cluster.client(), cluster.nodes[0].client());
        client.ask(proto);
        node.ask(proto);
        for number in 0..100 {
            client.expect(&format!("SET k{number} v"), "+OK\r\n");
        }
        let (merged, one) = (client.value("MEMORY STATS"), node.value("MEMORY STATS"));
        let keys: i64 = cluster
            .nodes
            .iter()
            .map(|node| node.client().value("MEMORY STATS").get("keys.count").unwrap().number())
            .sum();
        assert_eq!(keys, 100);
        assert_eq!(merged.get("keys.count").unwrap().number(), 100);
        assert!(merged.get("total.allocated").unwrap().number() > 2 * one.get("total.allocated").unwrap().number());
        assert!(merged.get("db.0").unwrap().get("overhead.hashtable.main").unwrap().number() > 0);
        let ratio: f64 = merged.get("allocator-rss.ratio").unwrap().text().parse().unwrap();
        assert!(ratio > 1.0 && ratio < 10.0, "{ratio}");
        assert_eq!(names(&merged), names(&one));
    }
}

fn names(map: &Value) -> Vec<String> {
    match map {
        Value::Map(pairs) => pairs.iter().map(|(name, _)| name.text()).collect(),
        list => list.list().iter().step_by(2).map(|name| name.text()).collect(),
    }
}

#[test]
fn what_is_told_of_memory_names_the_node() {
    let mut cluster = Cluster::start();
    let mut client = cluster.client();
    // All say the same: once, as from one server.
    let one = cluster.nodes[0].client().ask("MEMORY DOCTOR");
    assert_eq!(client.ask("MEMORY DOCTOR"), one);
    let stats = client.value("MEMORY MALLOC-STATS").text();
    for node in ["# n1\n", "# n2\n", "# n3\n"] {
        assert!(stats.contains(node), "{node}: {stats}");
    }
    assert!(cluster.client3().ask("MEMORY MALLOC-STATS").starts_with('='));
    client.expect("MEMORY PURGE", "+OK\r\n");
    client.expect("MEMORY USAGE nosuch", "$-1\r\n");
    cluster.nodes[1].kill();
    cluster.circlet.wait_nodes_up(2);
    let told = client.value("MEMORY DOCTOR").text();
    assert!(told.contains("# n2\n-NODEDOWN node n2") && told.contains("# n1\nHi Sam"), "{told}");
    let refused = client.ask("MEMORY STATS");
    assert!(refused.starts_with("-NODEDOWN node n2"), "{refused}");
}

#[test]
fn copies_and_sorts_of_one_node_are_those_of_redis() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let (mut expected, mut got) = (plain.client(), cluster.client());
    for line in [
        "RPUSH {t}l 3 1 2",
        "MSET {t}w_1 30 {t}w_2 20 {t}w_3 10 {t}o_1 one {t}o_2 two {t}o_3 three",
        "HSET {t}h_1 f 3",
        "HSET {t}h_2 f 1",
        "HSET {t}h_3 f 2",
        "SORT {t}l BY {t}w_*",
        "SORT {t}l BY {t}w_* GET # GET {t}o_* DESC",
        "SORT {t}l BY {t}h_*->f GET {t}o_*",
        "SORT {t}l BY nosort GET {t}o_* LIMIT 0 2",
        "SORT_RO {t}l BY {t}w_* GET {t}o_*",
        "SORT {t}l BY {t}w_* GET {t}o_* STORE {t}sorted",
        "LRANGE {t}sorted 0 -1",
        "COPY {t}l {t}l2",
        "COPY {t}l {t}l2",
        "COPY {t}l {t}l2 REPLACE",
        "COPY {t}l {t}l DB 1",
        "COPY {t}l {t}l",
        "COPY {t}nosuch {t}x",
        "COPY {t}l {t}l3 DB 99",
        "COPY {t}l {t}l3 NOSUCH",
        "OBJECT ENCODING {t}l",
        "OBJECT REFCOUNT {t}l",
        "OBJECT IDLETIME {t}l",
        "OBJECT FREQ {t}l",
        "OBJECT ENCODING {t}nosuch",
        "OBJECT FREQ",
        "OBJECT HELP",
    ] {
        assert_eq!(got.ask(line), expected.ask(line), "{line}");
    }
    got.expect("SELECT 1", "+OK\r\n");
    got.expect("LLEN {t}l", ":3\r\n");
}
