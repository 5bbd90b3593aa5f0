//! Nodes of a cache come and go: a key may be a miss, and is never old. Over real servers.

use crate::support::{
    changing::Changing,
    circlet::Plan,
    redis::Redis,
    resp::{self, Value},
    wait::until_true,
};

pub const KEYS: usize = 2_000;

/// Servers that have their data again after they were killed.
pub const KEEPS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// `nodes` of `servers` are nodes of a cache.
fn cache(nodes: usize, servers: usize) -> Changing {
    let servers = (0..servers).map(|_| Redis::with(&KEEPS)).collect();
    Changing::start(Plan::default().set("profile=cache"), servers, nodes)
}

impl Changing {
    /// Gives every key this value.
    pub fn write(&self, value: &str) {
        let mut bytes = Vec::new();
        (0..KEYS).for_each(|number| resp::request(&mut bytes, &["SET", &format!("key:{number}"), value]));
        let replies = self.client().pipeline(&bytes, KEYS);
        assert!(replies.iter().all(|reply| reply == b"+OK\r\n"));
    }

    /// Waits until every key's node can be asked.
    pub fn serves(&self) {
        let mut client = self.client();
        until_true("every node to serve", || {
            (0..KEYS).all(|number| !client.ask(&format!("EXISTS key:{number}")).starts_with('-'))
        });
    }

    /// The values of all keys; none has another than these.
    #[track_caller]
    pub fn read(&self, allowed: &[Option<&str>]) -> Vec<Option<String>> {
        let mut bytes = Vec::new();
        (0..KEYS).for_each(|number| resp::request(&mut bytes, &["GET", &format!("key:{number}")]));
        let replies = self.client().pipeline(&bytes, KEYS);
        let value = |reply: &Vec<u8>| match Value::of(reply) {
            Value::Null => None,
            value => Some(value.text()),
        };
        let values: Vec<Option<String>> = replies.iter().map(value).collect();
        for (number, value) in values.iter().enumerate() {
            assert!(allowed.contains(&value.as_deref()), "key:{number} is {value:?}, not one of {allowed:?}");
        }
        values
    }

    #[track_caller]
    pub fn add(&self, server: usize) {
        self.change(&format!("CIRCLET NODE ADD n{server} {}", self.servers[server].address()));
    }

    /// No server has a key that is not its own.
    #[track_caller]
    pub fn is_clean(&self) {
        let Value::List(_, found) = self.client().value("CIRCLET REBALANCE VERIFY") else { panic!("no list") };
        let sum: Vec<String> = found[0].list().iter().map(|field| field.text()).collect();
        assert_eq!(sum[2..4], ["strays", "0"], "{sum:?}");
    }
}

pub fn misses(values: &[Option<String>]) -> usize {
    values.iter().filter(|value| value.is_none()).count()
}

#[test]
fn who_joins_begins_with_misses_and_who_leaves_gives_no_old_value_back() {
    let scene = cache(2, 3);
    scene.write("first");
    scene.add(2);
    scene.settle();
    let missed = misses(&scene.read(&[None, Some("first")]));
    assert!(missed > KEYS / 5 && missed < KEYS / 2, "{missed} of {KEYS} are a miss");
    assert_eq!((scene.keys_on(0) + scene.keys_on(1), scene.keys_on(2)), (KEYS - missed, 0));
    scene.write("second");
    scene.change("CIRCLET NODE REMOVE n2");
    scene.settle();
    // The first owners had "first" of every one of these.
    assert_eq!(misses(&scene.read(&[None, Some("second")])), missed);
    assert_eq!(scene.keys_on(2), 0);
    scene.client().expect("DBSIZE", &format!(":{}\r\n", KEYS - missed));
    scene.change("CIRCLET NODE WEIGHT n0 0.2");
    scene.settle();
    assert!(misses(&scene.read(&[None, Some("second")])) > missed);
    scene.is_clean();
}

#[test]
fn what_was_acknowledged_last_is_read_or_nothing_while_nodes_change() {
    let scene = cache(2, 4);
    let mut client = scene.client();
    let mut round = 0_usize;
    let (two, three) = (scene.servers[2].address(), scene.servers[3].address());
    for line in [
        format!("CIRCLET NODE ADD n2 {two}"),
        format!("CIRCLET NODE ADD n3 {three} AND WEIGHT n0 0.5"),
        "CIRCLET NODE REMOVE n2".to_owned(),
        format!("CIRCLET NODE REPLACE n3 {two}"),
        "CIRCLET NODE REMOVE n3 AND WEIGHT n0 1".to_owned(),
    ] {
        scene.change(&line);
        loop {
            let over = scene.status("state") == "idle";
            for number in 0..200 {
                let (key, value) = (format!("key:{number}"), format!("{round}"));
                let read = client.value(&format!("GET {key}"));
                let before = round.checked_sub(1).map(|before| before.to_string());
                assert!(matches!(read, Value::Null) || Some(read.text()) == before, "{line}: {key} is {read:?}");
                client.expect(&format!("SET {key} {value}"), "+OK\r\n");
            }
            round += 1;
            if over {
                break;
            }
        }
    }
    scene.is_clean();
}

#[test]
fn a_purge_goes_on_after_circlet_was_killed() {
    let mut scene = cache(2, 3);
    scene.write("first");
    scene.client().expect("CIRCLET REBALANCE RATE 100", "+OK\r\n");
    scene.add(2);
    until_true("the purge to have begun", || scene.status("keys-purged").parse::<u64>().unwrap() > 0);
    assert_eq!(scene.status("state"), "purging");
    let refused = scene.client().ask("CIRCLET REBALANCE ABORT");
    assert!(refused.starts_with("-ERR the new nodes have the keys"), "{refused}");
    scene.change("CIRCLET NODE REMOVE n2");
    // The first owners still have old copies; nobody is shown them.
    let missed = misses(&scene.read(&[None, Some("first")]));
    assert!(scene.keys_on(0) + scene.keys_on(1) > KEYS - missed, "there is nothing left to purge");
    scene.write("second");
    scene.circlet.kill();
    scene.circlet.start_again();
    scene.read(&[Some("second")]);
    scene.client().expect("CIRCLET REBALANCE RATE 0", "+OK\r\n");
    scene.settle();
    assert_eq!(misses(&scene.read(&[None, Some("second")])), missed);
    scene.is_clean();
}

#[test]
fn a_change_is_not_begun_for_a_node_that_cannot_serve() {
    let scene = cache(2, 3);
    scene.write("first");
    scene.servers[2].client().expect("SET key:1 foreign", "+OK\r\n");
    let add = format!("CIRCLET NODE ADD n2 {}", scene.servers[2].address());
    let busy = scene.client().ask(&add);
    assert!(busy.starts_with("-ERR") && busy.contains("has keys ('key:1' in db 0)"), "{busy}");
    scene.servers[2].client().expect("FLUSHALL", "+OK\r\n");
    scene.servers[2].client().expect(&format!("REPLICAOF 127.0.0.1 {}", scene.servers[0].port()), "+OK\r\n");
    let replica = scene.client().ask(&add);
    assert!(replica.starts_with("-ERR") && replica.contains("is a replica"), "{replica}");
    scene.read(&[Some("first")]);
}

#[test]
fn a_node_that_is_down_owes_its_purge_and_pays_before_the_next_change() {
    let mut scene = cache(2, 4);
    scene.write("first");
    scene.servers[0].kill();
    scene.circlet.wait_nodes_up(1);
    scene.add(2);
    until_true("the change to be over", || scene.status("state") != "fence" && scene.status("change") == "0");
    assert!(scene.client().ask("CIRCLET EVENTS").contains("are deleted when it answers"));
    // Neither killing Circlet nor another change lets it off.
    scene.circlet.kill();
    scene.circlet.start_again_with(2);
    scene.change("CIRCLET NODE REMOVE n2");
    until_true("the debt to be told", || scene.status("last-error").contains("node n0 must delete keys"));
    // Whoever flushes meanwhile is answered.
    let mut client = scene.client();
    client.expect("SELECT 5", "+OK\r\n");
    let flushed = client.ask("FLUSHDB");
    assert!(flushed.starts_with("-NODEDOWN node n0"), "{flushed}");
    scene.servers[0].start_again();
    scene.settle();
    scene.serves();
    // n0 had "first" of the keys that n2 had in between.
    let missed = misses(&scene.read(&[None, Some("first")]));
    assert!(missed > KEYS / 5, "{missed}");
    scene.is_clean();
    // Who is dead for good is not waited for.
    scene.servers[1].kill();
    scene.circlet.wait_nodes_up(1);
    scene.change(&format!("CIRCLET NODE ADD n3 {} AND REMOVE n1", scene.servers[3].address()));
    scene.settle();
    scene.read(&[None, Some("first")]);
    assert!(scene.client().ask("CIRCLET EVENTS").contains("it has left with its keys"));
}
