//! CIRCLET: over real nodes, as redis-cli and any client library see it.

use crate::support::{Cluster, resp::Value, wait::until_true};

#[test]
fn a_key_is_where_circlet_where_says() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for protocol in [2, 3] {
        client.ask(&format!("HELLO {protocol}"));
        let told = client.value("CIRCLET WHERE user:1 cart:{user:1} user:2");
        let names: Vec<String> = told.list().iter().map(|way| way.get("node").unwrap().text()).collect();
        for (key, name) in ["user:1", "cart:{user:1}", "user:2"].iter().zip(&names) {
            client.expect(&format!("SET {key} v"), "+OK\r\n");
            let node = &cluster.nodes[name[1..].parse::<usize>().unwrap() - 1];
            assert_eq!(node.client().value(&format!("EXISTS {key}")).number(), 1, "{key} on {name}");
        }
        assert_eq!(names[0], names[1], "one hash tag, one node");
        assert_eq!(told.list()[1].get("hash_tag").unwrap().text(), "user:1");
        assert_eq!(told.list()[0].get("hash_tag"), Some(&Value::Null));
    }
}

#[test]
fn a_node_that_is_down_is_told_with_its_reason() {
    let mut cluster = Cluster::start();
    let mut client = cluster.client();
    let state = |client: &mut crate::support::Client| {
        let nodes = client.value("CIRCLET NODES");
        let node = nodes.list()[1];
        (node.get("state").unwrap().text(), node.get("why").unwrap().text())
    };
    until_true("every node to be up", || state(&mut client) == ("up".to_owned(), String::new()));
    cluster.nodes[1].kill();
    let key = cluster.key_on(1, 0);
    until_true("it to be told", || {
        client.ask(&format!("GET {key}"));
        state(&mut client).0 == "down"
    });
    assert!(!state(&mut client).1.is_empty());
}

#[test]
fn it_is_told_in_a_transaction_too_and_needs_the_password() {
    let cluster = Cluster::with(|plan| plan.set("requirepass=hush"));
    let mut client = cluster.client();
    assert!(client.ask("CIRCLET RING").starts_with("-NOAUTH"));
    client.expect("AUTH hush", "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect("CIRCLET RING", "+QUEUED\r\n");
    client.expect("SET k v", "+QUEUED\r\n");
    let told = client.value("EXEC");
    let ring = told.list()[0];
    assert_eq!(ring.get("distribution").unwrap().text(), "xxh3");
    assert_eq!(ring.get("nodes").unwrap().list().len(), 3);
}

#[test]
fn hot_and_big_keys_of_all_workers_are_told() {
    let cluster = Cluster::with(|plan| plan.set("keys.big=64KB"));
    // Sessions are shared out over both workers.
    let mut clients: Vec<_> = (0..4).map(|_| cluster.client()).collect();
    let (hot, big) = (cluster.key_on(1, 0), cluster.key_on(2, 0));
    let value = "x".repeat(300_000);
    assert_eq!(clients[0].call(&["SET", &big, &value]), b"+OK\r\n");
    until_true("both to be told", || {
        for client in &mut clients {
            client.ask(&format!("INCR {hot}"));
            client.ask("GET other");
            client.ask(&format!("GET {hot}"));
        }
        let told = clients[3].value("CIRCLET HOTKEYS COUNT 2");
        let hottest = told.list();
        let (text, float) = (
            |name: &str| hottest.first().map(|key| key.get(name).unwrap().text()),
            |text: String| text.parse::<f64>().unwrap(),
        );
        let bigs = clients[3].value("CIRCLET BIGKEYS");
        text("key").as_ref() == Some(&hot)
            && text("node").as_deref() == Some("n2")
            && text("per_s").map(float) > Some(10.0)
            && (0.5..0.8).contains(&text("share").map_or(0.0, float))
            && bigs
                .list()
                .iter()
                .any(|key| key.get("key").unwrap().text() == big && key.get("bytes").unwrap().number() >= 300_000)
    });
    assert!(cluster.circlet.metric("circlet_big_values_total") >= Some(1.0));
    clients[0].expect("CONFIG SET circlet.keys.samples 0", "+OK\r\n");
}
