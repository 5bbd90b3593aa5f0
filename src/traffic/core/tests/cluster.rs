//! Circlet as the only member of a cluster: who and where each client is told that it is.

use super::*;
use crate::traffic::settings::Facade;

fn world(facade: &str) -> World {
    let cluster_facade = match facade {
        "off" => Facade::Off,
        "on" => Facade::On,
        address => Facade::At(address.parse().unwrap()),
    };
    World::new(Settings { cluster_facade, ..settings() })
}

/// A client that came to the address `laddr`.
fn client_at(world: &mut World, laddr: &str) -> ClientKey {
    world.next_id += 1;
    world.core.add_client(Arc::new(Record::new(world.next_id, "10.9.9.9:1".into(), laddr.into(), 0, 0)))
}

/// The reply to a line of one session at `laddr`.
fn ask(world: &mut World, laddr: &str, line: &str) -> String {
    let client = client_at(world, laddr);
    world.say(client, &format!("{line}\r\n"));
    world.heard(client)
}

fn id(facade: &str) -> String {
    let reply = ask(&mut world(facade), "127.0.0.1:6380", "CLUSTER MYID");
    reply.strip_prefix("$40\r\n").unwrap().trim_end().to_owned()
}

#[test]
fn the_id_is_that_of_the_nodes_and_the_announced_address() {
    let (on, at) = (id("on"), id("redis.example:6380"));
    assert!(on.len() == 40 && on.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)), "{on}");
    assert_eq!((&on, &at), (&id("on"), &id("redis.example:6380")));
    assert_ne!(on, at);
    assert_ne!(at, id("redis.example:6381"));
    let mut other = world("on");
    let mine = ask(&mut other, "127.0.0.1:6380", "CLUSTER MYID");
    assert_eq!(mine, ask(&mut other, "10.0.0.1:6380", "CLUSTER MYID"), "wherever a client comes from");
    assert_ne!(mine, ask(&mut other, "127.0.0.1:6380", "CLUSTER MYSHARDID"));
    let topology = Arc::clone(&other.core.snapshot.topology);
    let mut nodes = topology.nodes.clone();
    nodes[2].name = "d".into();
    let names: Vec<(&str, f64)> = nodes.iter().map(|node| (node.name.as_str(), 1.0)).collect();
    let ring = Ring::build(&names, 512).unwrap();
    other.core.snapshot.topology = Arc::new(Topology::new(nodes, ring, Epoch(2)));
    assert_ne!(mine, ask(&mut other, "127.0.0.1:6380", "CLUSTER MYID"));
    assert!(ask(&mut other, "127.0.0.1:6380", "CLUSTER INFO").contains("cluster_my_epoch:2\r\n"));
}

#[test]
fn each_client_is_told_where_it_came_to() {
    let id = id("on");
    for (laddr, host, port) in [
        ("10.0.0.1:6380", "10.0.0.1", 6380),
        ("[::1]:7000", "::1", 7000),
        ("[::ffff:10.0.0.1]:6380", "10.0.0.1", 6380),
        ("[fe80::1%3]:6380", "fe80::1", 6380),
    ] {
        let mut world = world("on");
        let slots = ask(&mut world, laddr, "CLUSTER SLOTS");
        let length = host.len();
        let expected =
            format!("*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n${length}\r\n{host}\r\n:{port}\r\n$40\r\n{id}\r\n*0\r\n");
        assert_eq!(slots, expected);
        let nodes = ask(&mut world, laddr, "CLUSTER NODES");
        let line = format!("{id} {host}:{port}@{} myself,master - 0 0 1 connected 0-16383\n", port + 10_000);
        assert_eq!(nodes, format!("${}\r\n{line}\r\n", line.len()));
        let shards = ask(&mut world, laddr, "CLUSTER SHARDS");
        for name in ["ip", "endpoint"] {
            let field = format!("${}\r\n{name}\r\n${length}\r\n{host}\r\n", name.len());
            assert!(shards.contains(&field), "{shards}");
        }
    }
}

#[test]
fn what_is_announced_counts_for_everybody_also_through_a_unix_socket() {
    for laddr in ["10.0.0.1:6380", "unix:/run/c.sock", "/run/c.sock:0"] {
        let slots = ask(&mut world("[fd00::7]:60000"), laddr, "CLUSTER SLOTS");
        assert!(slots.contains("*4\r\n$7\r\nfd00::7\r\n:60000\r\n"), "{slots}");
        let nodes = ask(&mut world("[fd00::7]:60000"), laddr, "CLUSTER NODES");
        assert!(nodes.contains(" fd00::7:60000@65535 myself,"), "a port stays one: {nodes}");
    }
    let reply = ask(&mut world("on"), "unix:/run/c.sock", "CLUSTER SLOTS");
    assert!(reply.starts_with("-ERR Circlet does not know") && reply.contains("cluster_facade"), "{reply}");
}

#[test]
fn without_the_option_nothing_of_it_is_there() {
    for line in ["CLUSTER SLOTS", "CLUSTER COUNTKEYSINSLOT x", "CLUSTER MEET h 1", "READONLY", "READWRITE", "ASKING"] {
        let disabled = "-ERR This instance has cluster support disabled\r\n";
        assert_eq!(ask(&mut world("off"), "10.0.0.1:6380", line), disabled, "{line}");
    }
    let mut world = world("off");
    assert!(ask(&mut world, "10.0.0.1:6380", "HELLO").contains("standalone"));
}

#[test]
fn no_node_is_asked_for_what_circlet_knows() {
    let mut world = world("on");
    for line in ["CLUSTER SLOTS", "CLUSTER KEYSLOT foo", "CLUSTER HELP", "CLUSTER INFO", "READONLY", "ASKING"] {
        assert!(!ask(&mut world, "10.0.0.1:6380", line).starts_with('-'), "{line}");
    }
    assert!((0..3).all(|node| world.asked(node).is_empty()));
    let client = client_at(&mut world, "10.0.0.1:6380");
    world.say(client, "CLUSTER GETKEYSINSLOT 12182 10\r\n");
    let scan = command(&["SCAN", "0", "COUNT", "1000"]);
    for node in 0..3 {
        assert_eq!(world.asked(node), scan);
        let key = if world.owner("foo") == node { "*1\r\n$3\r\nfoo\r\n" } else { "*0\r\n" };
        world.node_says(node, &format!("*2\r\n$1\r\n0\r\n{key}"));
    }
    assert_eq!(world.heard(client), "*1\r\n$3\r\nfoo\r\n");
}

#[test]
fn keys_that_were_found_count_as_held_until_they_are_given() {
    let mut world = world("on");
    let client = client_at(&mut world, "10.0.0.1:6380");
    let leaver = client_at(&mut world, "10.0.0.1:6380");
    let key = "foo".to_owned();
    let owner = world.owner(&key);
    for who in [client, leaver] {
        world.say(who, "CLUSTER COUNTKEYSINSLOT 12182\r\n");
        for node in 0..3 {
            let found = if node == owner {
                "*2\r\n$1\r\n7\r\n*2\r\n$3\r\nfoo\r\n$3\r\nfoo\r\n"
            } else {
                "*2\r\n$1\r\n0\r\n*0\r\n"
            };
            world.node_says(node, found);
        }
        assert_eq!(world.core.gathered, key.len() + 64, "each key once");
        (0..3).for_each(|node| drop(world.asked(node)));
        if who == client {
            world.node_says(owner, "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nfoo\r\n");
            assert_eq!(world.heard(client), ":1\r\n");
            assert_eq!(world.core.gathered, 0);
        }
    }
    world.core.drop_client(leaver, Closed::ByClient);
    assert_eq!(world.core.gathered, 0);
    world.node_says(owner, "*2\r\n$1\r\n0\r\n*0\r\n");
    assert_eq!((world.core.gathered, world.core.aggregates.len()), (0, 0));
}
