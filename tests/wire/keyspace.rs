//! The whole key space behind one endpoint: SCAN, KEYS, DBSIZE, RANDOMKEY, FLUSHALL, LASTSAVE.

use std::collections::BTreeSet;

use crate::support::{Client, Cluster, Redis, resp, resp::Value, seed};

fn fill(client: &mut Client, count: usize) -> BTreeSet<String> {
    let keys: BTreeSet<String> = (0..count).map(|number| format!("key:{number}")).collect();
    let mut bytes = Vec::new();
    for key in &keys {
        resp::request(&mut bytes, &["SET", key, "v"]);
    }
    assert!(client.pipeline(&bytes, count).iter().all(|reply| reply == b"+OK\r\n"));
    keys
}

/// All keys that a whole SCAN gives, in order.
fn scan(client: &mut Client, options: &str) -> Vec<String> {
    let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
    for _ in 0..100_000 {
        let reply = client.value(&format!("SCAN {cursor}{options}"));
        let parts = reply.list();
        cursor = parts[0].text();
        keys.extend(parts[1].list().iter().map(|key| key.text()));
        if cursor == "0" {
            return keys;
        }
    }
    panic!("SCAN does not end");
}

fn each_once(keys: Vec<String>) -> BTreeSet<String> {
    let count = keys.len();
    let set: BTreeSet<String> = keys.into_iter().collect();
    assert_eq!(set.len(), count, "no key comes twice");
    set
}

#[test]
fn scan_gives_the_whole_key_space_each_key_once() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    assert_eq!(scan(&mut client, ""), Vec::<String>::new());
    let keys = fill(&mut client, 3_000);
    for options in ["", " COUNT 1000", " COUNT 7", " MATCH key:*", " TYPE string", " COUNT 100000"] {
        assert_eq!(each_once(scan(&mut client, options)), keys, "SCAN{options}");
    }
    let mut client3 = cluster.client3();
    assert_eq!(each_once(scan(&mut client3, " COUNT 500")), keys);
}

#[test]
fn scan_honours_its_options() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let keys = fill(&mut client, 500);
    for number in 0..40 {
        client.expect(&format!("SADD set:{number} a"), ":1\r\n");
    }
    let ones: BTreeSet<String> = keys.iter().filter(|key| key.starts_with("key:1")).cloned().collect();
    assert_eq!(each_once(scan(&mut client, " MATCH key:1*")), ones);
    let sets: BTreeSet<String> = (0..40).map(|number| format!("set:{number}")).collect();
    assert_eq!(each_once(scan(&mut client, " TYPE set")), sets);
    assert_eq!(each_once(scan(&mut client, " TYPE set MATCH set:?")).len(), 10);
    assert_eq!(scan(&mut client, " TYPE hash"), Vec::<String>::new());
    // COUNT is what one step looks at: fewer steps with a larger one.
    let steps = |client: &mut Client, count: usize| {
        let (mut cursor, mut steps) = ("0".to_owned(), 0);
        loop {
            steps += 1;
            cursor = client.value(&format!("SCAN {cursor} COUNT {count}")).list()[0].text();
            if cursor == "0" {
                return steps;
            }
        }
    };
    let (small, large) = (steps(&mut client, 10), steps(&mut client, 10_000));
    assert_eq!(large, 3);
    assert!(small > 30, "{small}");
}

#[test]
fn scan_finds_what_is_there_all_the_time_while_others_come_and_go() {
    let cluster = Cluster::start();
    let mut rng = seed::rng("scan_finds_what_is_there_all_the_time");
    let mut client = cluster.client();
    let keys = fill(&mut client, 1_000);
    let mut other = cluster.client();
    let (mut cursor, mut found) = ("0".to_owned(), Vec::new());
    loop {
        let reply = client.value(&format!("SCAN {cursor} COUNT 20"));
        cursor = reply.list()[0].text();
        found.extend(reply.list()[1].list().iter().map(|key| key.text()));
        for _ in 0..20 {
            other.ask(&format!("SET new:{} v", rng.u32(..5_000)));
            other.ask(&format!("DEL new:{}", rng.u32(..5_000)));
        }
        if cursor == "0" {
            break;
        }
    }
    let found: BTreeSet<String> = found.into_iter().collect();
    assert!(found.is_superset(&keys));
}

#[test]
fn wrong_scans_get_the_text_of_redis() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    for line in [
        "SCAN x",
        "SCAN",
        "SCAN -1",
        "SCAN 0 COUNT",
        "SCAN 0 COUNT 0",
        "SCAN 0 COUNT x",
        "SCAN 0 NOSUCH 1",
        "SCAN 0 MATCH",
        "SCAN 0 TYPE nosuch",
        "SCAN 99999999999999999999999",
        "SCAN 0",
        "SCAN 123456789",
    ] {
        let (expected, got) = (plain.client().ask(line), cluster.client().ask(line));
        if expected.starts_with('-') {
            assert_eq!(got, expected, "{line}");
        } else {
            // Circlet's cursor may go on to the next node where Redis's is at its end.
            assert!(got.starts_with("*2\r\n$") && got.ends_with("*0\r\n"), "{line}: {got}");
        }
    }
}

#[test]
fn copies_on_other_nodes_are_not_seen() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let keys = fill(&mut client, 50);
    let owned_by_first = cluster.key_on(0, 0);
    cluster.nodes[1].client().expect(&format!("SET {owned_by_first} copy"), "+OK\r\n");
    client.expect(&format!("SET {owned_by_first} original"), "+OK\r\n");
    let mut all = keys;
    all.insert(owned_by_first);
    assert_eq!(each_once(scan(&mut client, "")), all);
    let named = client.value("KEYS *");
    assert_eq!(each_once(named.list().iter().map(|key| key.text()).collect()), all);
}

#[test]
fn keys_counts_and_flushes_go_over_all_nodes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("RANDOMKEY", "$-1\r\n");
    cluster.client3().expect("RANDOMKEY", "_\r\n");
    client.expect("KEYS *", "*0\r\n");
    let keys = fill(&mut client, 300);
    client.expect("DBSIZE", ":300\r\n");
    let named = client.value("KEYS key:*");
    assert_eq!(each_once(named.list().iter().map(|key| key.text()).collect()), keys);
    assert_eq!(client.value("KEYS key:1?").list().len(), 10);
    client.expect("KEYS nosuch*", "*0\r\n");
    let mut random = BTreeSet::new();
    let ring = crate::support::cluster::ring(3);
    for _ in 0..200 {
        let key = client.value("RANDOMKEY").text();
        assert!(keys.contains(&key), "{key}");
        random.insert(ring.owner_of(key.as_bytes()).index());
    }
    assert_eq!(random.len(), 3, "keys of every node come");
    client.expect("SELECT 5", "+OK\r\n");
    fill(&mut client, 10);
    for command in ["FLUSHDB", "FLUSHDB SYNC", "FLUSHDB ASYNC"] {
        client.expect(command, "+OK\r\n");
        client.expect("DBSIZE", ":0\r\n");
    }
    client.expect("FLUSHDB NOSUCH", "-ERR syntax error\r\n");
    client.expect("SELECT 0", "+OK\r\n");
    client.expect("DBSIZE", ":300\r\n");
    client.expect("FLUSHALL", "+OK\r\n");
    client.expect("DBSIZE", ":0\r\n");
    for node in &cluster.nodes {
        node.client().expect("DBSIZE", ":0\r\n");
    }
}

#[test]
fn lastsave_is_the_oldest() {
    let cluster = Cluster::start();
    let oldest = cluster.nodes.iter().map(|node| node.client().value("LASTSAVE").number()).min().unwrap();
    assert_eq!(cluster.client().value("LASTSAVE"), Value::Scalar(b':', oldest.to_string()));
}
