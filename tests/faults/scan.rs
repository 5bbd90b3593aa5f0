//! A scan under whose feet nodes and Circlet restart: what is there all the time is found.

use std::collections::BTreeSet;

use crate::support::{Cluster, resp, resp::Value, wait::LONG, wait::until};

/// The next step of a scan, asked by a client of its own (so that both workers have their turn) and again while a node is
/// not back yet.
fn step(cluster: &Cluster, line: &str) -> (String, Vec<String>) {
    until(line, LONG, || {
        let reply = cluster.client().value(line);
        if !matches!(reply, Value::List(..)) {
            return None;
        }
        let parts = reply.list();
        Some((parts[0].text(), parts[1].list().iter().map(|item| item.text()).collect()))
    })
}

/// Restarts a node with the data that it has.
fn restart(cluster: &mut Cluster, index: usize) {
    cluster.nodes[index].client().expect("SAVE", "+OK\r\n");
    cluster.nodes[index].start_again();
}

#[test]
fn a_scan_misses_no_key_when_nodes_and_circlet_restart_between_its_steps() {
    let mut cluster = Cluster::start();
    let keys: BTreeSet<String> = (0..3_000).map(|number| format!("key:{number}")).collect();
    let mut bytes = Vec::new();
    keys.iter().for_each(|key| resp::request(&mut bytes, &["SET", key, "v"]));
    assert_eq!(cluster.client().pipeline(&bytes, keys.len()).len(), keys.len());
    let (mut cursor, mut found, mut steps) = ("0".to_owned(), BTreeSet::new(), 0);
    let mut restarts = vec![(60, None), (45, Some(2)), (30, Some(1)), (8, Some(0))];
    loop {
        let (next, named) = step(&cluster, &format!("SCAN {cursor} COUNT 100"));
        (cursor, steps) = (next, steps + 1);
        found.extend(named);
        if cursor == "0" {
            break;
        }
        if restarts.last().is_some_and(|(at, _)| steps >= *at) {
            match restarts.pop().unwrap() {
                (_, Some(node)) => restart(&mut cluster, node),
                (_, None) => cluster.circlet.restart(),
            }
        }
        assert!(steps < 1_000, "the scan does not end");
    }
    assert!(
        restarts.len() < 3,
        "the scan was through before its nodes were restarted: {restarts:?} after {steps} steps"
    );
    let missed: Vec<&String> = keys.difference(&found).collect();
    assert!(missed.is_empty(), "{} keys were missed, such as {:?}", missed.len(), &missed[..missed.len().min(5)]);
}

#[test]
fn scans_of_one_key_miss_no_element_when_its_node_restarts() {
    for (scan, add) in [("HSCAN", "HSET"), ("SSCAN", "SADD"), ("ZSCAN", "ZADD")] {
        let mut cluster = Cluster::start();
        let key = cluster.key_on(1, 0);
        let elements: BTreeSet<String> = (0..2_000).map(|number| format!("element:{number}")).collect();
        let mut bytes = Vec::new();
        for element in &elements {
            match add {
                "HSET" => resp::request(&mut bytes, &[add, &key, element, "v"]),
                "ZADD" => resp::request(&mut bytes, &[add, &key, "1", element]),
                _ => resp::request(&mut bytes, &[add, &key, element]),
            }
        }
        assert_eq!(cluster.client().pipeline(&bytes, elements.len()).len(), elements.len());
        let (mut cursor, mut found, mut steps) = ("0".to_owned(), BTreeSet::new(), 0);
        loop {
            let (next, items) = step(&cluster, &format!("{scan} {key} {cursor} COUNT 50"));
            (cursor, steps) = (next, steps + 1);
            found.extend(items);
            if cursor == "0" {
                break;
            }
            if steps == 20 || steps == 35 {
                restart(&mut cluster, 1);
            }
            assert!(steps < 1_000, "{scan} does not end");
        }
        assert!(steps > 36, "{scan} was through before its node was restarted");
        assert!(found.is_superset(&elements), "{scan} missed {}", elements.difference(&found).count());
    }
}
