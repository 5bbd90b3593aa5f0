//! CIRCLET: what it tells, in both protocols, and what it refuses.

use super::*;
use crate::traffic::observe::{census::Said, chronicle::Kind};
use crate::traffic::route::{KeyHash, Scheme, hash_tag::Tag, ring::Hashing};

/// The reply to `words`, its lengths left out: what redis-cli would show.
fn told(world: &mut World, key: ClientKey, words: &[&str]) -> Vec<String> {
    world.say(key, &command(words));
    let heard = world.heard(key);
    heard.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('$')).map(str::to_owned).collect()
}

fn over(scheme: &Scheme) -> World {
    let mut world = World::new(settings());
    let nodes = world.core.snapshot.topology.nodes.clone();
    let ring = Ring::of(&[("a", 1.0), ("b", 1.0), ("c", 1.0)], scheme).unwrap();
    world.core.snapshot.topology = Arc::new(Topology::new(nodes, ring, Epoch(7)));
    world
}

#[test]
fn the_ring_says_how_keys_are_spread_and_over_whom() {
    let mut world = World::new(settings());
    let key = world.client();
    let ring = told(&mut world, key, &["CIRCLET", "RING"]);
    assert_eq!(
        ring[..12],
        ["*14", "epoch", ":1", "distribution", "xxh3", "points", ":512", "hash", "xxh3", "hash_tag", "{}", "nodes"]
    );
    assert_eq!(ring[12..19], ["*3", "*8", "name", "a", "address", "127.0.0.1:7001", "weight"]);
    world.say(key, "HELLO 3\r\n");
    world.heard(key);
    let ring = told(&mut world, key, &["circlet", "ring"]);
    assert_eq!((ring[0].as_str(), ring[13].as_str(), ring[19].as_str()), ("%7", "%4", ",1"));
    let hashing = Hashing { hash: KeyHash::Md5, tag: None };
    let mut world = over(&Scheme::Ketama(hashing));
    let key = world.client();
    let ring = told(&mut world, key, &["CIRCLET", "RING"]);
    assert_eq!(ring[..8], ["*12", "epoch", ":7", "distribution", "ketama", "hash", "md5", "hash_tag"]);
}

#[test]
fn nodes_have_their_state_and_its_reason() {
    let mut world = World::new(settings());
    let key = world.client();
    world.lose(1, &Lost::Broken("it closed the connection".to_owned()));
    let (id, attempt) = (world.pipe(1), world.core.pipes[world.pipe(1).index()].attempt);
    world.core.pipe_failed(id, attempt, Fault::Node, "connection refused");
    {
        let mut census = world.core.journal.census();
        census.entry(NodeId(0)).set_answers(true, "", 5_000);
        census.entry(NodeId(0)).set_said(Said { keys: 77, version: "7.0.15".to_owned(), ..Said::default() });
    }
    let nodes = told(&mut world, key, &["CIRCLET", "NODES"]);
    let after = |field: &str| nodes.iter().skip_while(|line| *line != field).nth(1).unwrap().as_str();
    assert_eq!((after("since"), after("keys"), after("version")), (":5", ":77", "7.0.15"));
    let states: Vec<&str> = nodes.windows(2).filter(|pair| pair[0] == "state").map(|pair| pair[1].as_str()).collect();
    assert_eq!(states, ["up", "down", "up"]);
    assert!(nodes.contains(&"connection refused".to_owned()), "{nodes:?}");
}

#[test]
fn events_are_told_newest_first() {
    let mut world = World::new(settings());
    let key = world.client();
    assert_eq!(told(&mut world, key, &["CIRCLET", "EVENTS"]), ["*0"]);
    for number in 0..30 {
        world.core.journal.chronicle().note(number * 1_000, Kind::NodeDown, "a", &format!("reason {number}"));
    }
    let events = told(&mut world, key, &["CIRCLET", "EVENTS"]);
    assert_eq!((events[0].as_str(), events[1].as_str()), ("*20", "*14"));
    assert_eq!(events[2..12], ["id", ":29", "time", ":29", "last", ":29", "event", "node-down", "node", "a"]);
    assert_eq!(told(&mut world, key, &["CIRCLET", "EVENTS", "count", "3"])[0], "*3");
    assert_eq!(told(&mut world, key, &["CIRCLET", "EVENTS", "COUNT", "0"]), ["*0"]);
}

#[test]
fn keys_that_are_asked_for_most_are_told() {
    let mut world = World::new(settings());
    let key = world.client();
    let (hot, cold) = (world.key(1, 0), world.key(2, 0));
    // The first tick begins.
    for tick in 0..20 {
        world.core.set_now(tick * 100_000);
        world.core.tick();
        for _ in 0..30 {
            world.say(key, &(command(&["GET", &hot]) + &command(&["SET", &hot, "v"])));
        }
        world.say(key, &(command(&["MGET", &cold, &hot]) + &command(&["PING"])));
    }
    world.core.set_now(2_000_000);
    world.core.sweep();
    world.heard(key);
    let other = world.client();
    let told = told(&mut world, other, &["CIRCLET", "HOTKEYS"]);
    assert_eq!((told[0].as_str(), told[1].as_str()), ("*2", "*10"));
    assert_eq!(told[2..5], ["key".to_owned(), hot, "per_s".to_owned()]);
    let per_s: f64 = told[5].parse().unwrap();
    assert!((400.0..700.0).contains(&per_s), "{told:?}");
    let share: f64 = told[7].parse().unwrap();
    assert!(share > 0.95, "{told:?}");
    assert_eq!((told[11].as_str(), told[14].as_str(), told[14] == cold), ("b", cold.as_str(), true));
    world.core.keys.seen = crate::traffic::observe::Keys::default();
    assert_eq!(super::circlet::told(&mut world, other, &["CIRCLET", "HOTKEYS", "COUNT", "1"]), ["*0"]);
}

#[test]
fn with_no_samples_nothing_is_looked_at() {
    let mut settings = settings();
    settings.keys.samples = 0;
    let mut world = World::new(settings);
    let key = world.client();
    world.core.tick();
    for _ in 0..100 {
        world.say(key, &command(&["GET", "k"]));
    }
    world.core.sweep();
    let key = world.client();
    assert_eq!(
        (world.core.keys.seen.samples, told(&mut world, key, &["CIRCLET", "HOTKEYS"])),
        (0, vec!["*0".to_owned()])
    );
}

#[test]
fn a_sudden_crowd_costs_no_more_than_twice_the_samples() {
    let mut world = World::new(settings());
    let key = world.client();
    world.core.tick();
    let batch = command(&["PING"]).repeat(1_000);
    for _ in 0..10 {
        world.say(key, &batch);
        world.heard(key);
    }
    assert!(world.core.keys.seen.samples <= 200, "{}", world.core.keys.seen.samples);
    world.core.tick();
    assert!(world.core.keys.next < u64::MAX);
}

#[test]
fn big_values_are_told_with_their_key_written_or_read() {
    let mut settings = settings();
    settings.keys.big = 64 << 10;
    let mut world = World::new(settings);
    let key = world.client();
    let value = "x".repeat(100_000);
    let (one, other) = (world.key(0, 0), world.key(1, 0));
    for part in command(&["HSET", &one, "field", &value]).as_bytes().chunks(16 << 10) {
        world.say(key, std::str::from_utf8(part).unwrap());
    }
    world.asked(0);
    world.node_says(0, ":1\r\n");
    world.say(key, &format!("GET {other}\r\n"));
    world.node_says(1, &format!("$200000\r\n{}\r\n", "y".repeat(200_000)));
    world.heard(key);
    let told = told(&mut world, key, &["CIRCLET", "BIGKEYS"]);
    assert_eq!(told[0], "*2");
    let bytes: u64 = told[5].trim_start_matches(':').parse().unwrap();
    assert!((200_000..200_020).contains(&bytes), "{told:?}");
    assert_eq!(
        (told[3].as_str(), told[7].as_str(), told[9].as_str(), told[13].as_str()),
        (other.as_str(), "get", "read", "b")
    );
    assert_eq!(
        (told[16].as_str(), told[18].as_str(), told[20].as_str(), told[22].as_str()),
        (one.as_str(), ":100000", "hset", "written")
    );
}

#[test]
fn where_tells_the_way_of_each_key() {
    let mut world = World::new(settings());
    let key = world.client();
    let name = format!("cart:{{{}}}", world.key(2, 0));
    let ways = told(&mut world, key, &["CIRCLET", "WHERE", &name, "plain"]);
    let way = &ways[1..];
    assert_eq!((ways[0].as_str(), way[0].as_str()), ("*2", "*16"));
    let value = |field: &str| way[way.iter().position(|line| line == field).unwrap() + 1].clone();
    assert_eq!((value("key"), value("hash_tag")), (name, world.key(2, 0)));
    assert!(value("hash").starts_with("xxh3 0x") && value("point").starts_with("0x") && value("arc").contains("-0x"));
    assert_eq!((value("node"), value("address")), ("c".to_owned(), "127.0.0.1:7003".to_owned()));
    assert!(value("why").starts_with("its hash tag is hashed, and 0x"));

    let mut world = over(&Scheme::Modula(Hashing { hash: KeyHash::Md5, tag: Some(Tag::BRACES) }));
    let key = world.client();
    let ways = told(&mut world, key, &["CIRCLET", "WHERE", "k"]);
    assert!(ways.iter().any(|line| line.ends_with(" of 3")), "{ways:?}");
    let mut world = over(&Scheme::Random);
    let key = world.client();
    let ways = told(&mut world, key, &["CIRCLET", "WHERE", "k"]);
    assert!(ways.contains(&"any node, and another one next time".to_owned()), "{ways:?}");
}

#[test]
fn what_is_wrong_is_refused_with_its_cure() {
    let mut world = World::new(settings());
    let key = world.client();
    let many: Vec<&str> = ["CIRCLET", "WHERE"].into_iter().chain(std::iter::repeat_n("k", 1_001)).collect();
    let long = "x".repeat(1 << 20);
    for (words, error) in [
        (&["CIRCLET"][..], "-ERR wrong number of arguments for 'circlet' command"),
        (&["CIRCLET", "WHERE"], "-ERR wrong number of arguments for 'circlet|where' command"),
        (&["CIRCLET", "RING", "x"], "-ERR wrong number of arguments for 'circlet|ring' command"),
        (&["CIRCLET", "HOTKEYS", "COUNT"], "-ERR syntax error"),
        (&["CIRCLET", "EVENTS", "3"], "-ERR syntax error"),
        (&["CIRCLET", "EVENTS", "COUNT", "x"], "-ERR value is not an integer or out of range"),
        (&["CIRCLET", "EVENTS", "COUNT", "-1"], "-ERR COUNT should be greater than or equal to 0"),
        (&["CIRCLET", "RNG"], "-ERR unknown subcommand 'RNG'. Try CIRCLET HELP."),
        (&many, "-ERR CIRCLET WHERE takes at most 1000 keys, of 1 MB together; ask for them in parts"),
        (&["CIRCLET", "WHERE", &long, "k"], "-ERR CIRCLET WHERE takes at most 1000 keys"),
    ] {
        assert!(told(&mut world, key, words)[0].starts_with(error), "{words:?}");
    }
    let help = told(&mut world, key, &["CIRCLET", "HELP"]);
    let table = Table::builtin();
    for sub in &table.lookup(b"circlet").unwrap().subs {
        let name = sub.name.trim_start_matches("circlet|").to_uppercase();
        assert!(help.iter().any(|line| line.trim_start_matches('+').starts_with(&name)), "{name} has no help");
    }
}
