//! Nodes join, leave, change weight and are replaced by an operator's commands, over real servers.

use std::collections::BTreeSet;

use crate::support::{
    changing::{Changing, texts},
    circlet::Plan,
    client::Client,
    redis::Redis,
    resp::{self, Value},
    wait::until_true,
};

const KEYS: usize = 3_000;

/// `nodes` of `servers` are nodes.
fn scene(nodes: usize, servers: usize) -> Changing {
    Changing::start(Plan::default(), Redis::several(servers), nodes)
}

impl Changing {
    /// Writes keys of several types into two dbs.
    fn fill(&self) {
        let mut client = self.client();
        for db in [0, 3] {
            client.expect(&format!("SELECT {db}"), "+OK\r\n");
            let mut bytes = Vec::new();
            for number in 0..KEYS {
                let (key, value) = (format!("key:{number}"), format!("{db}-{number}"));
                let words = match number % 4 {
                    0 => vec!["SET", &key, &value],
                    1 => vec!["RPUSH", &key, &value, "x"],
                    2 => vec!["HSET", &key, "f", &value],
                    _ => vec!["SET", &key, &value, "EX", "10000"],
                };
                resp::request(&mut bytes, &words);
            }
            let replies = client.pipeline(&bytes, KEYS);
            assert!(replies.iter().all(|reply| !reply.starts_with(b"-")));
        }
    }

    /// Everything that [`Changing::fill`] has written is there, through Circlet, and each key on one server only, which holds
    /// nothing else.
    fn is_whole(&self) {
        let mut client = self.client();
        for db in [0, 3] {
            client.expect(&format!("SELECT {db}"), "+OK\r\n");
            for number in 0..KEYS {
                let (key, value) = (format!("key:{number}"), format!("{db}-{number}"));
                let line = match number % 4 {
                    1 => format!("LINDEX {key} 0"),
                    2 => format!("HGET {key} f"),
                    _ => format!("GET {key}"),
                };
                client.expect(&line, &format!("${}\r\n{value}\r\n", value.len()));
                if number % 4 == 3 {
                    let left: i64 = client.ask(&format!("TTL {key}"))[1..].trim().parse().unwrap();
                    assert!(left > 9_000, "{key} has lost its time: {left}");
                }
            }
            client.expect("DBSIZE", &format!(":{KEYS}\r\n"));
            let mut seen = BTreeSet::new();
            for server in &self.servers {
                let mut direct = server.client();
                direct.expect(&format!("SELECT {db}"), "+OK\r\n");
                for key in texts(&direct.value("KEYS *")) {
                    assert!(key.starts_with("key:"), "{key} was left behind");
                    assert!(seen.insert(key.clone()), "{key} is on two servers");
                }
            }
            assert_eq!(seen.len(), KEYS);
        }
    }

    fn nodes(&self) -> Vec<String> {
        let Value::List(_, nodes) = self.client().value("CIRCLET NODES") else { panic!("no list") };
        nodes.iter().map(|node| texts(node)[1].clone()).collect()
    }
}

#[test]
fn one_redis_becomes_many_and_one_again() {
    let scene = scene(1, 4);
    scene.fill();
    scene.change(&format!("CIRCLET NODE ADD n1 {}", scene.servers[1].address()));
    scene.settle();
    scene.is_whole();
    let (two, three) = (scene.servers[2].address(), scene.servers[3].address());
    scene.change(&format!("CIRCLET NODE ADD n2 {two} AND ADD n3 {three} WEIGHT 2"));
    scene.settle();
    scene.is_whole();
    assert!(scene.keys_on(3) > scene.keys_on(2) && scene.keys_on(2) > KEYS / 8);
    assert_eq!(scene.nodes(), ["n0", "n1", "n2", "n3"]);
    scene.change("CIRCLET NODE REMOVE n0 AND REMOVE n2 AND REMOVE n3");
    scene.settle();
    scene.is_whole();
    assert_eq!((scene.keys_on(1), scene.nodes()), (KEYS, vec!["n1".to_owned()]));
}

#[test]
fn a_node_changes_its_weight_and_its_server() {
    let scene = scene(3, 4);
    scene.fill();
    let before = scene.keys_on(0);
    scene.change("CIRCLET NODE WEIGHT n0 0.5");
    scene.settle();
    scene.is_whole();
    assert!(scene.keys_on(0) < before);
    let (one, two) = (scene.keys_on(1), scene.keys_on(2));
    scene.change(&format!("CIRCLET NODE REPLACE n1 {}", scene.servers[3].address()));
    scene.settle();
    scene.is_whole();
    assert_eq!([1, 2, 3].map(|server| scene.keys_on(server)), [0, two, one]);
    assert_eq!(scene.nodes(), ["n0", "n2", "n1"]);
}

#[test]
fn a_change_is_taken_back_in_the_middle_with_what_was_written_meanwhile() {
    let scene = scene(3, 4);
    scene.fill();
    let before = [0, 1, 2].map(|server| scene.keys_on(server));
    scene.client().expect("CIRCLET REBALANCE RATE 100", "+OK\r\n");
    scene.change(&format!("CIRCLET NODE ADD n3 {}", scene.servers[3].address()));
    until_true("some keys to have moved", || scene.status("keys-moved").parse::<u64>().unwrap() > 50);
    assert_eq!(scene.status("state"), "moving");
    let mut client = scene.client();
    // Some of these have moved, some have not; some are deleted, and must not come back.
    for number in (0..KEYS).step_by(3) {
        client.ask(&format!("DEL key:{number}"));
    }
    assert!(client.ask("CIRCLET REBALANCE ABORT").starts_with("+OK"));
    client.expect("CIRCLET REBALANCE RATE 0", "+OK\r\n");
    scene.settle();
    for number in 0..KEYS {
        let there = client.ask(&format!("EXISTS key:{number}"));
        assert_eq!(there, if number % 3 == 0 { ":0\r\n" } else { ":1\r\n" }, "key:{number}");
    }
    assert_eq!((scene.keys_on(3), scene.nodes().len()), (0, 3));
    let after = [0, 1, 2].map(|server| scene.keys_on(server));
    assert!(after.iter().zip(before).all(|(after, before)| *after < before));
}

#[test]
fn a_change_goes_on_after_circlet_was_killed() {
    let mut scene = scene(2, 3);
    scene.fill();
    scene.client().expect("CIRCLET REBALANCE RATE 100", "+OK\r\n");
    scene.change(&format!("CIRCLET NODE ADD n2 {}", scene.servers[2].address()));
    until_true("some keys to have moved", || scene.status("keys-moved").parse::<u64>().unwrap() > 50);
    scene.client().ask("DEL key:0 key:1 key:2 key:3");
    scene.circlet.kill();
    scene.circlet.start_again();
    // What was said of its pace was kept, too.
    assert_eq!(scene.status("rate"), "100");
    scene.client().expect("CIRCLET REBALANCE RATE 0", "+OK\r\n");
    scene.settle();
    assert_eq!(scene.nodes().len(), 3);
    let mut client = scene.client();
    client.expect("EXISTS key:0 key:1 key:2 key:3", ":0\r\n");
    client.expect("DBSIZE", &format!(":{}\r\n", KEYS - 4));
    // And the nodes are still three though the command line says two.
    scene.circlet.restart();
    assert_eq!(scene.nodes().len(), 3);
    scene.client().expect("DBSIZE", &format!(":{}\r\n", KEYS - 4));
}

#[test]
fn a_flush_in_the_middle_leaves_nothing_that_could_come_back() {
    let scene = scene(2, 3);
    scene.fill();
    scene.client().expect("CIRCLET REBALANCE RATE 100", "+OK\r\n");
    scene.change(&format!("CIRCLET NODE ADD n2 {}", scene.servers[2].address()));
    until_true("some keys to have moved", || scene.status("keys-moved").parse::<u64>().unwrap() > 50);
    let mut client = scene.client();
    client.expect("FLUSHALL", "+OK\r\n");
    client.expect("SET after 1", "+OK\r\n");
    client.expect("CIRCLET REBALANCE RATE 0", "+OK\r\n");
    scene.settle();
    client.expect("DBSIZE", ":1\r\n");
    assert_eq!((0..3).map(|server| scene.keys_on(server)).sum::<usize>(), 1);
}

#[test]
fn a_dead_node_is_given_up_only_when_that_is_said() {
    let mut scene = scene(3, 3);
    scene.fill();
    let lost = scene.keys_on(1);
    let dead = scene.servers.remove(1);
    drop(dead);
    let mut client = scene.client();
    until_true("the node to be down", || {
        (0..100).any(|n| client.ask(&format!("GET key:{}", n * 4)).starts_with("-NODEDOWN"))
    });
    let refused = client.ask("CIRCLET NODE FORGET n1");
    assert!(refused.starts_with("-ERR FORGET n1 gives up the keys of this node for good"), "{refused}");
    scene.change("CIRCLET NODE FORGET n1 --lost");
    scene.settle();
    client.expect("DBSIZE", &format!(":{}\r\n", KEYS - lost));
    assert_eq!(scene.nodes(), ["n0", "n2"]);
    assert!((0..100).all(|n| !client.ask(&format!("GET key:{}", n * 4)).starts_with("-")));
    assert!(client.ask("CIRCLET EVENTS").contains("DATA_LOSS"));
}

#[test]
fn what_cannot_be_done_is_refused_with_the_cure_and_changes_nothing() {
    let scene = scene(2, 3);
    let mut client = scene.client();
    for (line, told) in [
        ("CIRCLET NODE ADD n0 127.0.0.1:1", "-ERR"),
        ("CIRCLET NODE REMOVE nobody", "-ERR"),
        ("CIRCLET NODE WEIGHT n0 -1", "-ERR"),
        ("CIRCLET NODE REMOVE n0 AND REMOVE n1", "-ERR"),
        ("CIRCLET NODE MOVE n0", "-ERR unknown change 'MOVE'"),
        ("CIRCLET REBALANCE ABORT", "-ERR nothing is under way"),
        ("CIRCLET REBALANCE PAUSE", "-ERR no keys are being moved"),
        ("CIRCLET REBALANCE RATE fast", "-ERR 'fast' is no rate"),
        ("CIRCLET REBALANCE DANCE", "-ERR this is not understood; CIRCLET HELP"),
    ] {
        let reply = client.ask(line);
        assert!(reply.starts_with(told), "{line}: {reply}");
    }
    assert_eq!(scene.status("state"), "idle");
    // Without a state directory a restart would not know of a change.
    let bare = Plan::default().node(format!("a={}", scene.servers[0].address())).start();
    let reply = bare.client().ask(&format!("CIRCLET NODE ADD b {}", scene.servers[2].address()));
    assert!(reply.contains("--state DIR"), "{reply}");
}

#[test]
fn blocked_clients_follow_their_keys() {
    let scene = scene(1, 2);
    let mut waiting: Vec<Client> = (0..20).map(|_| scene.client()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(&resp::words(&format!("BLPOP queue:{number} 0")));
    }
    let mut client = scene.client();
    until_true("all to wait", || client.ask("INFO clients").contains("blocked_clients:20"));
    scene.change(&format!("CIRCLET NODE ADD n1 {}", scene.servers[1].address()));
    scene.settle();
    for number in 0..20 {
        client.expect(&format!("RPUSH queue:{number} x"), ":1\r\n");
    }
    for (number, client) in waiting.iter_mut().enumerate() {
        let popped = String::from_utf8(client.frame()).unwrap();
        assert!(popped.ends_with(&format!("queue:{number}\r\n$1\r\nx\r\n")), "{popped}");
    }
    assert_eq!(
        [0, 1].map(|server| texts(&scene.servers[server].client().value("KEYS *"))),
        [Vec::<String>::new(), Vec::new()]
    );
}

#[test]
fn subscribers_hear_every_message_of_a_change() {
    let scene = scene(1, 3);
    let mut listener = scene.client();
    for number in 0..10 {
        listener.ask(&format!("SUBSCRIBE channel:{number}"));
    }
    let mut client = scene.client();
    let (one, two) = (scene.servers[1].address(), scene.servers[2].address());
    scene.change(&format!("CIRCLET NODE ADD n1 {one} AND ADD n2 {two}"));
    let mut sent = 0;
    loop {
        let over = scene.status("state") == "idle";
        for number in 0..10 {
            client.expect(&format!("PUBLISH channel:{number} {sent}"), ":1\r\n");
            sent += 1;
        }
        if over {
            break;
        }
    }
    let heard: BTreeSet<String> = (0..sent).map(|_| texts(&Value::of(&listener.frame()))[2].clone()).collect();
    assert_eq!(heard.len(), sent);
}

/// Everything that SCAN names until it is through.
fn scan(client: &mut Client) -> BTreeSet<String> {
    let (mut cursor, mut keys) = ("0".to_owned(), BTreeSet::new());
    loop {
        let Value::List(_, step) = client.value(&format!("SCAN {cursor} COUNT 20")) else { panic!("no scan") };
        keys.extend(texts(&step[1]));
        cursor = texts(&Value::List(b'*', vec![step[0].clone()]))[0].clone();
        if cursor == "0" {
            return keys;
        }
    }
}

#[test]
fn a_scan_names_every_key_whatever_moves_meanwhile() {
    let scene = scene(2, 4);
    scene.fill();
    let (two, three) = (scene.servers[2].address(), scene.servers[3].address());
    for line in [
        format!("CIRCLET NODE ADD n2 {two} AND ADD n3 {three}"),
        "CIRCLET NODE REMOVE n3 AND WEIGHT n0 0.3".to_owned(),
        "CIRCLET NODE REMOVE n2 AND WEIGHT n0 3".to_owned(),
    ] {
        scene.change(&line);
        let mut client = scene.client();
        loop {
            let over = scene.status("state") == "idle";
            let seen = scan(&mut client);
            assert_eq!(seen.len(), KEYS, "{line}");
            assert!(seen.iter().all(|key| key.starts_with("key:")));
            if over {
                break;
            }
        }
        client.expect("DBSIZE", &format!(":{KEYS}\r\n"));
        let Value::List(_, found) = client.value("CIRCLET REBALANCE VERIFY") else { panic!("no list") };
        assert_eq!(texts(&found[0])[..4], ["keys", &(2 * KEYS).to_string(), "strays", "0"]);
    }
}

#[test]
fn a_node_that_cannot_take_keys_is_refused_before_anything_moves() {
    let scene = scene(2, 3);
    let mut client = scene.client();
    let nobody = client.ask("CIRCLET NODE ADD n2 127.0.0.1:1");
    assert!(nobody.starts_with("-ERR") && nobody.contains("connection refused"), "{nobody}");
    let mut third = scene.servers[2].client();
    third.expect("SET there 1", "+OK\r\n");
    let add = format!("CIRCLET NODE ADD n2 {}", scene.servers[2].address());
    let busy = client.ask(&add);
    assert!(busy.starts_with("-ERR") && busy.contains("has keys ('there' in db 0)"), "{busy}");
    third.expect("DEL there", ":1\r\n");
    third.expect(&format!("REPLICAOF 127.0.0.1 {}", scene.servers[0].port()), "+OK\r\n");
    let replica = client.ask(&add);
    assert!(replica.starts_with("-ERR") && replica.contains("replica"), "{replica}");
    third.expect("REPLICAOF NO ONE", "+OK\r\n");
    assert_eq!((scene.status("state"), scene.nodes().len()), ("idle".to_owned(), 2));
    scene.change(&add);
    scene.settle();
}
