//! The figures of INFO over several real nodes, with counts that are known.

use std::collections::BTreeMap;

use crate::support::{Client, Cluster, Redis, circlet::Plan, cluster::named, wait::until_true};

/// The fields of an INFO text; of a list `a=1,b=2` each as `field.a`.
fn fields(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        for (key, part) in value.split(',').filter_map(|pair| pair.split_once('=')) {
            fields.insert(format!("{name}.{key}"), part.to_owned());
        }
        fields.insert(name.to_owned(), value.to_owned());
    }
    fields
}

fn info(client: &mut Client) -> BTreeMap<String, String> {
    fields(&client.value("INFO all").text())
}

#[test]
fn counts_of_work_and_data_are_the_sums_of_the_nodes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for number in 0..30 {
        client.expect(&format!("SET k{number} v"), "+OK\r\n");
        client.expect(&format!("SET gone{number} v PX 1"), "+OK\r\n");
        client.expect(&format!("SET later{number} v EX 1000"), "+OK\r\n");
        client.expect(&format!("GET k{number}"), "$1\r\nv\r\n");
        client.expect(&format!("GET missing{number}"), "$-1\r\n");
        assert!(client.ask(&format!("INCR k{number}")).starts_with("-ERR value is not an integer"));
    }
    until_true("keys to expire", || info(&mut client)["expired_keys"] == "30");
    let merged = info(&mut client);
    let nodes: Vec<BTreeMap<String, String>> = cluster.nodes.iter().map(|node| info(&mut node.client())).collect();
    let expected = [
        ("db0.keys", "60"),
        ("db0.expires", "30"),
        ("keyspace_hits", "30"),
        ("keyspace_misses", "30"),
        ("evicted_keys", "0"),
        ("cmdstat_get.calls", "60"),
        ("cmdstat_get.failed_calls", "0"),
        ("cmdstat_incr.calls", "30"),
        ("cmdstat_incr.failed_calls", "30"),
        ("errorstat_ERR.count", "30"),
        ("role", "master"),
        ("cluster_enabled", "0"),
        ("redis_mode", "standalone"),
    ];
    for (field, value) in expected {
        assert_eq!(merged.get(field).map(String::as_str), Some(value), "{field}");
    }
    for field in ["keyspace_hits", "expired_keys", "cmdstat_set.calls", "cmdstat_get.usec", "maxmemory", "db0.keys"] {
        let sum: u64 = nodes.iter().map(|node| node[field].parse::<u64>().unwrap()).sum();
        assert_eq!(merged[field], sum.to_string(), "{field}");
    }
    let largest = nodes.iter().map(|node| node["latency_percentiles_usec_get.p99"].parse::<f64>().unwrap());
    let p99: f64 = merged["latency_percentiles_usec_get.p99"].parse().unwrap();
    assert!((p99 - largest.fold(0.0, f64::max)).abs() < 0.001, "{p99}");
    assert!(merged["used_cpu_user"].parse::<f64>().is_ok() && merged["used_memory_human"].ends_with('M'));
}

#[test]
fn evictions_are_counted_over_all_nodes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("CONFIG SET maxmemory-policy allkeys-random maxmemory 3mb", "+OK\r\n");
    let value = "x".repeat(4_000);
    for number in 0..3_000 {
        client.expect(&format!("SET k{number} {value}"), "+OK\r\n");
    }
    assert_eq!(info(&mut client)["maxmemory"], (9 << 20).to_string());
    // No more are evicted from here on.
    client.expect("CONFIG SET maxmemory 0", "+OK\r\n");
    let merged = info(&mut client);
    let sum: u64 =
        cluster.nodes.iter().map(|node| info(&mut node.client())["evicted_keys"].parse::<u64>().unwrap()).sum();
    assert!(sum > 0);
    assert_eq!(merged["evicted_keys"], sum.to_string());
}

#[test]
fn clients_are_those_of_circlet() {
    let cluster = Cluster::with(|plan| plan.set("session.max_sessions=20"));
    let mut client = cluster.client();
    let mut others: Vec<Client> = (0..6).map(|_| cluster.client()).collect();
    others.iter_mut().for_each(|other| other.expect("PING", "+PONG\r\n"));
    let of = |client: &mut Client, field: &str| info(client)[field].clone();
    assert_eq!(of(&mut client, "connected_clients"), "7");
    assert_eq!(of(&mut client, "maxclients"), "20");
    assert_eq!(of(&mut client, "total_connections_received"), "7");
    assert_eq!(of(&mut client, "rejected_connections"), "0");
    assert_eq!(of(&mut client, "blocked_clients"), "0");
    others[0].send(b"BLPOP nosuch 0\r\n");
    others[1].send(b"BLPOP nosuch2 0\r\n");
    until_true("two clients to be blocked", || of(&mut client, "blocked_clients") == "2");
    client.expect("RPUSH nosuch v", ":1\r\n");
    until_true("one client to be blocked", || of(&mut client, "blocked_clients") == "1");
    drop(others);
    until_true("the others to be gone", || of(&mut client, "connected_clients") == "1");
    assert_eq!(of(&mut client, "blocked_clients"), "0");
    let mut all: Vec<Client> = (0..19).map(|_| cluster.client()).collect();
    all.iter_mut().for_each(|other| other.expect("PING", "+PONG\r\n"));
    let mut refused = cluster.client();
    assert_eq!(refused.rest(), b"-ERR max number of clients reached\r\n");
    assert_eq!(of(&mut client, "rejected_connections"), "1");
    // Of one node by its name: as that node says it.
    let one = fields(&client.value("INFO n1 clients").text());
    assert_eq!(one["maxclients"], "10000");
}

#[test]
fn replicas_of_all_nodes_are_listed() {
    let masters =
        [Redis::with(&["--repl-diskless-sync-delay", "0"]), Redis::with(&["--repl-diskless-sync-delay", "0"])];
    let _replicas: Vec<Redis> =
        masters.iter().map(|master| Redis::with(&["--replicaof", &format!("127.0.0.1 {}", master.port())])).collect();
    let plan =
        masters.iter().enumerate().fold(Plan::default(), |plan, (at, node)| plan.node(named(at, &node.address())));
    let circlet = plan.start();
    let mut client = circlet.client();
    until_true("replicas to be online", || {
        let info = info(&mut client);
        ["slave0.state", "slave1.state"].iter().all(|field| info.get(*field).is_some_and(|state| state == "online"))
    });
    let info = info(&mut client);
    assert_eq!(info["connected_slaves"], "2");
    assert_ne!(info["slave0.port"], info["slave1.port"]);
}
