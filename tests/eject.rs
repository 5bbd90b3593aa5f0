//! Nodes of a cache that are down are left out, and come back without anything old. Over real servers.

use std::process::Command;

use crate::{
    cache::{KEEPS, KEYS, misses},
    support::{
        changing::{Changing, texts},
        circlet::{BINARY, Plan},
        redis::Redis,
        resp::{self, Value},
        wait::until_true,
    },
};

/// Options with which a node that hangs is found out soon.
const SOON: [&str; 5] = [
    "profile=cache",
    "on_node_down=eject",
    "pipe.connect_timeout=400ms",
    "pipe.request_timeout=700ms",
    "pipe.backoff_max=200ms",
];

fn plan(settings: &[&str]) -> Plan {
    settings.iter().fold(Plan::default(), |plan, setting| plan.set(setting))
}

fn scene(nodes: usize, servers: usize) -> Changing {
    let servers = (0..servers).map(|_| Redis::with(&KEEPS)).collect();
    Changing::start(plan(&SOON), servers, nodes)
}

impl Changing {
    /// Waits until exactly these nodes are left out, and nothing else is to be done.
    #[track_caller]
    fn has_out(&self, names: &str) {
        until_true(&format!("'{names}' to be left out"), || {
            self.status("out") == names && self.status("state") == "idle" && self.status("change") == "0"
        });
    }

    /// Waits until all nodes are back and have deleted what is not theirs.
    #[track_caller]
    fn is_back(&self) {
        self.has_out("");
        until_true("all to be purged", || self.status("owing") == "0" && self.status("state") == "idle");
        self.serves();
        self.is_clean();
    }

    fn events(&self) -> String {
        self.client().ask("CIRCLET EVENTS")
    }

    /// The keys whose node this is.
    fn keys_of(&self, name: &str) -> Vec<String> {
        let mut client = self.client();
        let of = |number: usize| format!("key:{number}");
        let at =
            |key: &String| client.value(&format!("CIRCLET WHERE {key}")).list()[0].get("node").unwrap().text() == name;
        (0..200).map(of).filter(at).collect()
    }
}

#[test]
fn the_others_have_the_keys_of_a_node_that_dies_and_it_comes_back_without_anything_old() {
    let mut scene = scene(3, 3);
    scene.write("first");
    scene.servers[1].kill();
    scene.has_out("n1");
    scene.serves();
    let missed = misses(&scene.read(&[None, Some("first")]));
    assert!(missed > KEYS / 6 && missed < KEYS / 2, "{missed} of {KEYS} are a miss");
    scene.write("second");
    assert_eq!(scene.circlet.metric("circlet_nodes_out"), Some(1.0));
    assert_eq!(scene.circlet.metric("circlet_node_out{node=\"n1\"}"), Some(1.0));
    assert_eq!(scene.circlet.metric("circlet_ejections_total"), Some(1.0));
    // It has "first" of its keys on its disk.
    scene.servers[1].start_again();
    scene.is_back();
    assert_eq!(misses(&scene.read(&[None, Some("second")])), missed);
    assert_eq!(scene.circlet.metric("circlet_readmissions_total"), Some(1.0));
    scene.write("third");
    // Its stand-ins had "second" of its keys.
    scene.servers[1].kill();
    scene.has_out("n1");
    scene.serves();
    assert_eq!(misses(&scene.read(&[None, Some("third")])), missed);
    scene.servers[1].start_again();
    scene.is_back();
    scene.read(&[None, Some("third")]);
    let events = scene.events();
    for told in ["node-out", "it is left out", "node-back", "EJECT n1", "READMIT n1"] {
        assert!(events.contains(told), "{told} in {events}");
    }
}

#[test]
fn a_node_that_hung_comes_back_without_what_it_had_and_what_it_was_sent_too_late() {
    let mut scene = scene(3, 3);
    scene.write("first");
    let keys = scene.keys_of("n2");
    let (mut late, mut blocked) = (scene.client(), scene.client());
    let list = keys.last().unwrap().replace("key:", "list:{key:") + "}";
    blocked.send(&resp::words(&format!("BLPOP {list} 0")));
    until_true("it to wait", || scene.circlet.metric("circlet_sessions_blocked") == Some(1.0));
    scene.servers[2].pause();
    let mut bytes = Vec::new();
    keys.iter().for_each(|key| resp::request(&mut bytes, &["SET", key, "late"]));
    late.send(&bytes);
    scene.has_out("n2");
    for _ in &keys {
        let told = String::from_utf8(late.frame()).unwrap();
        assert!(
            told.starts_with("-TIMEOUT node n2") || told.starts_with("-NODEDOWN node n2") || told == "+OK\r\n",
            "{told}"
        );
    }
    // Whoever waited there waits elsewhere, or was told.
    scene.serves();
    scene.write("second");
    scene.client().expect(&format!("RPUSH {list} element"), ":1\r\n");
    let told = String::from_utf8(blocked.frame()).unwrap();
    assert!(told.contains("element") || told.starts_with('-'), "{told}");
    scene.servers[2].resume();
    scene.is_back();
    let values = scene.read(&[None, Some("second")]);
    assert!(misses(&values) > KEYS / 6);
}

#[test]
fn circlet_goes_on_where_it_was_killed_while_a_node_is_out_or_comes_back() {
    let mut scene = scene(3, 3);
    scene.write("first");
    scene.servers[0].kill();
    scene.has_out("n0");
    scene.circlet.kill();
    scene.circlet.start_again_with(2);
    scene.has_out("n0");
    scene.serves();
    scene.write("second");
    // It comes back while nobody looks, with "first" of its keys.
    scene.circlet.kill();
    scene.servers[0].start_again();
    scene.circlet.start_again_with(2);
    scene.serves();
    scene.read(&[None, Some("second")]);
    scene.is_back();
    scene.read(&[None, Some("second")]);
    // And it is killed again and again, while the node comes back.
    for round in 0..4 {
        let value = format!("round {round}");
        scene.servers[0].kill();
        scene.has_out("n0");
        scene.serves();
        scene.write(&value);
        scene.servers[0].start_again();
        let begun = |scene: &Changing| scene.status("what") == "READMIT n0" || scene.status("out").is_empty();
        if round % 2 == 0 {
            until_true("it to come back", || begun(&scene));
        }
        scene.circlet.kill();
        scene.circlet.start_again_with(2);
        scene.serves();
        scene.read(&[None, Some(&value)]);
        scene.is_back();
        scene.read(&[None, Some(&value)]);
    }
}

#[test]
fn several_are_left_out_at_once_and_never_more_than_half() {
    let mut scene = scene(4, 4);
    scene.write("first");
    scene.servers[1].kill();
    scene.servers[3].kill();
    scene.has_out("n1,n3");
    scene.serves();
    scene.write("second");
    let keys = scene.keys_of("n2");
    scene.servers[2].kill();
    until_true("it to be told", || scene.events().contains("fewer than half of the nodes would be left"));
    let refused = scene.client().ask(&format!("GET {}", keys[0]));
    assert!(refused.starts_with("-NODEDOWN node n2"), "{refused}");
    assert_eq!(scene.status("out"), "n1,n3");
    // As soon as another one is back, it goes.
    scene.servers[1].start_again();
    scene.has_out("n2,n3");
    scene.serves();
    scene.read(&[None, Some("second")]);
    scene.write("third");
    scene.servers[2].start_again();
    scene.servers[3].start_again();
    scene.is_back();
    scene.read(&[None, Some("third")]);
}

#[test]
fn nodes_may_change_while_one_is_out() {
    let mut scene = scene(3, 5);
    scene.write("first");
    scene.servers[1].kill();
    scene.has_out("n1");
    scene.serves();
    scene.write("second");
    scene.change(&format!("CIRCLET NODE ADD n3 {} AND WEIGHT n1 2", scene.servers[3].address()));
    scene.has_out("n1");
    scene.read(&[None, Some("second")]);
    scene.write("third");
    scene.change("CIRCLET NODE REMOVE n3");
    scene.has_out("n1");
    scene.read(&[None, Some("third")]);
    scene.servers[1].start_again();
    scene.is_back();
    scene.read(&[None, Some("third")]);
    // Another server takes the place of one that is out, at once.
    scene.write("fourth");
    scene.servers[1].kill();
    scene.has_out("n1");
    scene.serves();
    scene.write("fifth");
    scene.change(&format!("CIRCLET NODE REPLACE n1 {}", scene.servers[4].address()));
    scene.is_back();
    scene.read(&[None, Some("fifth")]);
    // One that is out is given up, or leaves.
    for line in ["FORGET n1 --lost", "REMOVE n0"] {
        scene.write(line);
        let server = if line.contains("n1") { 4 } else { 0 };
        scene.servers[server].kill();
        scene.has_out(if server == 4 { "n1" } else { "" });
        if server == 0 {
            // Of two nodes one is half.
            scene.has_out("n0");
        }
        scene.change(&format!("CIRCLET NODE {line}"));
        scene.is_back();
        scene.read(&[None, Some(line)]);
    }
    let last = scene.client().ask("CIRCLET NODE REMOVE n2");
    assert!(last.starts_with("-ERR"), "{last}");
}

#[test]
fn the_last_node_that_has_keys_may_not_leave() {
    let mut scene = scene(2, 2);
    scene.servers[1].kill();
    scene.has_out("n1");
    let refused = scene.client().ask("CIRCLET NODE REMOVE n0");
    assert!(refused.starts_with("-ERR no node would be left that has keys") && refused.contains("(n1)"), "{refused}");
    let planned = scene.client().ask("CIRCLET PLAN WEIGHT n1 3");
    assert!(planned.starts_with('*'), "{planned}");
}

#[test]
fn who_is_left_out_is_shown_and_the_option_holds_at_once() {
    let servers = (0..3).map(|_| Redis::with(&KEEPS)).collect();
    let settings: Vec<&str> = SOON.into_iter().filter(|setting| !setting.starts_with("on_node_down")).collect();
    let mut scene = Changing::start(plan(&settings), servers, 3);
    let key = scene.keys_of("n0").remove(0);
    scene.servers[0].kill();
    let judged = |scene: &Changing| scene.client().value("CIRCLET NODES").list()[0].get("judged").unwrap().text();
    until_true("it to be judged", || judged(&scene) == "down");
    assert!(scene.client().ask(&format!("GET {key}")).starts_with("-NODEDOWN node n0"));
    let mut client = scene.client();
    client.expect("CONFIG SET circlet.on_node_down eject", "+OK\r\n");
    scene.has_out("n0");
    client.expect(&format!("GET {key}"), "$-1\r\n");
    let nodes = client.value("CIRCLET NODES");
    assert_eq!((nodes.list().len(), nodes.list()[0].get("state").unwrap().text()), (3, "out".to_owned()));
    let ring = client.value("CIRCLET RING");
    assert_eq!(ring.get("nodes").unwrap().list().len(), 2);
    assert_eq!(texts(ring.get("out").unwrap()), ["n0"]);
    let told = Command::new(BINARY).args(["ring", "--at", &scene.circlet.address()]).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("left out since they are down: n0\n") && !told.contains("n0  "), "{told}");
    let info = client.ask("INFO circlet");
    for told in
        ["circlet_nodes:3\r\n", "circlet_nodes_up:2\r\n", "circlet_nodes_out:1\r\n", "name=n0,", "state=out\r\n"]
    {
        assert!(info.contains(told), "{told} in {info}");
    }
    assert!(!matches!(client.value(&format!("CIRCLET WHERE {key}")).list()[0].get("node"), Some(Value::Null) | None));
    // What is out comes back, also when nobody else may follow it.
    client.expect("CONFIG SET circlet.on_node_down error", "+OK\r\n");
    let refused = client.ask("CIRCLET REBALANCE ABORT");
    assert!(refused.starts_with("-ERR nothing is under way"), "{refused}");
    scene.servers[0].start_again();
    scene.is_back();
}

#[test]
fn listeners_and_tracking_clients_go_on_at_the_stand_ins() {
    let mut scene = scene(3, 3);
    let key = scene.keys_of("n1").remove(0);
    let channel = format!("news:{{{key}}}");
    let (mut listener, mut tracker, mut client) = (scene.client(), scene.circlet.client3(), scene.client());
    listener.ask(&format!("SUBSCRIBE {channel}"));
    client.expect(&format!("SET {key} first"), "+OK\r\n");
    tracker.expect("CLIENT TRACKING ON", "+OK\r\n");
    tracker.expect(&format!("GET {key}"), "$5\r\nfirst\r\n");
    scene.servers[1].kill();
    scene.has_out("n1");
    // What it has cached no node will tell it of any more: it is told to forget it.
    let told = String::from_utf8(tracker.frame()).unwrap();
    assert!(told.contains("invalidate"), "{told}");
    until_true("a message to be heard", || client.ask(&format!("PUBLISH {channel} hello")) == ":1\r\n");
    let heard = String::from_utf8(listener.frame()).unwrap();
    assert!(heard.contains("hello"), "{heard}");
    scene.servers[1].start_again();
    scene.is_back();
    until_true("a message to be heard again", || client.ask(&format!("PUBLISH {channel} again")) == ":1\r\n");
    let heard = String::from_utf8(listener.frame()).unwrap();
    assert!(heard.contains("again"), "{heard}");
}

#[test]
fn a_change_that_begins_before_the_verdict_leaves_nothing_old_behind() {
    let mut scene = scene(3, 5);
    scene.write("first");
    // It owes what the new node gets of its keys, and then all that it has.
    scene.servers[1].kill();
    scene.add(3);
    scene.has_out("n1");
    scene.serves();
    scene.read(&[None, Some("first")]);
    scene.write("second");
    // Its stand-ins have much to delete when it falls again; one of them leaves meanwhile.
    scene.client().expect("CIRCLET REBALANCE RATE 100", "+OK\r\n");
    scene.servers[1].start_again();
    until_true("it to be back", || scene.status("out").is_empty());
    scene.serves();
    scene.write("third");
    scene.servers[1].pause();
    scene.change("CIRCLET NODE REMOVE n3");
    until_true("it to be left out again", || scene.status("out") == "n1");
    scene.serves();
    scene.read(&[None, Some("third")]);
    scene.write("fourth");
    scene.servers[1].resume();
    scene.client().expect("CIRCLET REBALANCE RATE 0", "+OK\r\n");
    scene.is_back();
    scene.read(&[None, Some("fourth")]);
}
