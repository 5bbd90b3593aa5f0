//! Commands over several keys: split by node and put together again, or refused.

use crate::support::{Cluster, Redis, circlet::Plan, cluster::named, resp, seed};

#[test]
fn each_key_lies_on_the_node_that_the_ring_says() {
    let cluster = Cluster::start();
    let ring = crate::support::cluster::ring(3);
    let mut client = cluster.client();
    let mut nodes: Vec<_> = cluster.nodes.iter().map(Redis::client).collect();
    let mut seen = [0; 3];
    for number in 0..60 {
        let key = format!("some:{number}");
        client.expect(&format!("SET {key} v"), "+OK\r\n");
        let owner = ring.owner_of(key.as_bytes()).index();
        seen[owner] += 1;
        for (index, node) in nodes.iter_mut().enumerate() {
            node.expect(&format!("EXISTS {key}"), if index == owner { ":1\r\n" } else { ":0\r\n" });
        }
    }
    assert!(seen.iter().all(|&count| count > 5), "{seen:?}");
}

#[test]
fn values_come_in_the_order_of_their_keys() {
    let cluster = Cluster::start();
    let mut rng = seed::rng("values_come_in_the_order_of_their_keys");
    let mut client = cluster.client();
    let mut client3 = cluster.client3();
    let mut set = vec!["MSET".to_owned()];
    for number in (0..200).step_by(2) {
        set.extend([format!("k{number}"), format!("v{number}")]);
    }
    assert_eq!(client.call(&set), b"+OK\r\n");
    client.expect("HSET k7 f v", ":1\r\n");
    for size in [1, 2, 3, 10, 500] {
        // Repeated, missing and keys of another type among them.
        let numbers: Vec<usize> = (0..size).map(|_| rng.usize(..200)).collect();
        let mut get = vec!["MGET".to_owned()];
        get.extend(numbers.iter().map(|number| format!("k{number}")));
        for (client, null) in [(&mut client, "$-1\r\n"), (&mut client3, "_\r\n")] {
            let mut expected = format!("*{size}\r\n").into_bytes();
            for number in &numbers {
                if number % 2 == 0 {
                    resp::bulk(&mut expected, format!("v{number}").as_bytes());
                } else {
                    expected.extend_from_slice(null.as_bytes());
                }
            }
            assert_eq!(client.call(&get), expected, "{get:?}");
        }
    }
}

#[test]
fn the_last_of_equal_keys_wins_in_mset() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("MSET a 1 b 2 c 3 a 4 d 5 b 6", "+OK\r\n");
    client.expect("MGET a b c d", "*4\r\n$1\r\n4\r\n$1\r\n6\r\n$1\r\n3\r\n$1\r\n5\r\n");
}

#[test]
fn counts_are_summed() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for command in ["DEL", "UNLINK"] {
        client.expect("MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8", "+OK\r\n");
        client.expect("EXISTS a b c d e f g h a a x y", ":10\r\n");
        client.expect("TOUCH a b c d e f g h x", ":8\r\n");
        client.expect(&format!("{command} a b c d x y a"), ":4\r\n");
        client.expect("EXISTS a b c d e f g h", ":4\r\n");
        client.expect(&format!("{command} e f g h"), ":4\r\n");
        client.expect("DBSIZE", ":0\r\n");
    }
}

#[test]
fn one_command_per_node_is_sent_and_not_one_per_key() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let calls = |name: &str| {
        let count = |node: &Redis| {
            let text = node.client().value("INFO commandstats").text();
            let line = text.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:"))).map(str::to_owned);
            line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap())
        };
        cluster.nodes.iter().map(count).collect::<Vec<_>>()
    };
    let keys: Vec<String> = (0..300).map(|number| format!("k{number}")).collect();
    let mut mset = vec!["MSET"];
    keys.iter().for_each(|key| mset.extend([key.as_str(), "v"]));
    client.call(&mset);
    for (command, name) in
        [("MGET", "mget"), ("EXISTS", "exists"), ("TOUCH", "touch"), ("UNLINK", "unlink"), ("DEL", "del")]
    {
        let request: Vec<&str> = [command].into_iter().chain(keys.iter().map(String::as_str)).collect();
        client.call(&request);
        assert_eq!(calls(name), [1, 1, 1], "{name}");
    }
    assert_eq!(calls("mset"), [1, 1, 1]);
}

#[test]
fn wrong_numbers_of_arguments_get_the_text_of_redis() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut expected = plain.client();
    let mut client = cluster.client();
    for line in
        ["MGET", "MSET", "MSET a", "MSET a 1 b", "DEL", "EXISTS", "TOUCH", "UNLINK", "MSETNX a", "DBSIZE x", "KEYS"]
    {
        assert_eq!(client.ask(line), expected.ask(line), "{line}");
    }
}

#[test]
fn keys_of_several_nodes_are_refused_with_their_names() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (a, b) = (cluster.key_on(0, 0), cluster.key_on(2, 0));
    for line in [
        format!("SINTER {a} {b}"),
        format!("RENAME {a} {b}"),
        format!("MSETNX {a} 1 {b} 2"),
        format!("SUNIONSTORE {a} {b}"),
        format!("BITOP AND {a} {b}"),
        format!("EVAL return 2 {a} {b}"),
        format!("ZUNION 2 {a} {b}"),
        format!("XREAD COUNT 1 STREAMS {a} {b} 0 0"),
        format!("COPY {a} {b}"),
        format!("LMOVE {a} {b} LEFT RIGHT"),
        format!("PFCOUNT {a} {b}"),
        format!("SORT {a} STORE {b}"),
        format!("GEORADIUS {a} 0 0 1 m STORE {b}"),
    ] {
        let reply = client.ask(&line);
        let start = "-CROSSSLOT Keys in request don't hash to the same slot";
        assert!(reply.starts_with(start), "{line}: {reply}");
        for part in [a.as_str(), "n1", b.as_str(), "n3"] {
            assert!(reply.contains(part), "{line}: {part} in {reply}");
        }
    }
    client.expect("DBSIZE", ":0\r\n");
}

#[test]
fn keys_with_one_tag_may_be_used_together() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("SADD {t}a 1 2 3", ":3\r\n");
    client.expect("SADD {t}b 2 3 4", ":3\r\n");
    client.expect("SINTERSTORE {t}c {t}a {t}b", ":2\r\n");
    client.expect("SINTERCARD 2 {t}a {t}b", ":2\r\n");
    client.expect("RENAME {t}c {t}d", "+OK\r\n");
    client.expect("EXISTS {t}a {t}b {t}c {t}d", ":3\r\n");
    client.expect("MSETNX {t}x 1 {t}y 2", ":1\r\n");
    // Keys of one node need no tag.
    let (a, b) = (cluster.key_on(1, 0), cluster.key_on(1, 1));
    client.expect(&format!("SET {a} v"), "+OK\r\n");
    client.expect(&format!("RENAME {a} {b}"), "+OK\r\n");
    client.expect(&format!("GET {b}"), "$1\r\nv\r\n");
}

#[test]
fn an_error_of_a_node_names_the_node() {
    // A node that takes nothing more.
    let mut nodes = Redis::several(2);
    nodes.push(Redis::with(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]));
    let circlet = nodes
        .iter()
        .enumerate()
        .fold(Plan::default(), |plan, (at, node)| plan.node(named(at, &node.address())))
        .start();
    let mut client = circlet.client();
    let keys: Vec<String> = (0..3).map(|node| crate::support::cluster::key_on(3, node, 0)).collect();
    let reply = client.ask(&format!("MSET {} 1 {} 2 {} 3", keys[0], keys[1], keys[2]));
    assert!(reply.starts_with("-OOM ") && reply.contains("n3"), "{reply}");
    // A single key's error is the node's own, to the byte.
    client.expect(&format!("SET {} 3", keys[2]), "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    client.expect(&format!("SET {} 1", keys[0]), "+OK\r\n");
}
