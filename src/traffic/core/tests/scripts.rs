//! Scripts by their digests: told to nodes that may not know them, before it is too late.

use super::*;

const TEXT: &str = "return 1";
const SHA: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
const NOSCRIPT: &str = "-NOSCRIPT No matching script. Please use EVAL.\r\n";

fn load() -> String {
    command(&["SCRIPT", "LOAD", TEXT])
}

impl World {
    /// A world that has seen [`TEXT`] run at node a.
    fn with_script() -> (Self, ClientKey) {
        let mut world = Self::new(settings());
        let client = world.client();
        let eval = command(&["EVAL", TEXT, "1", &world.key(0, 0)]);
        world.say(client, &eval);
        assert_eq!(world.asked(0), eval);
        world.node_says(0, ":1\r\n");
        assert_eq!(world.heard(client), ":1\r\n");
        (world, client)
    }

    fn evalsha(&self, node: usize) -> String {
        command(&["EVALSHA", SHA, "1", &self.key(node, 0)])
    }
}

#[test]
fn an_unknown_script_is_the_nodes_own_error() {
    let mut world = World::new(settings());
    let client = world.client();
    for sha in [SHA, "x", &"z".repeat(40)] {
        let evalsha = command(&["EVALSHA", sha, "1", &world.key(0, 0)]);
        world.say(client, &evalsha);
        assert_eq!(world.asked(0), evalsha);
        world.node_says(0, NOSCRIPT);
        assert_eq!(world.heard(client), NOSCRIPT);
    }
}

#[test]
fn a_script_is_told_once_per_connection_in_front_of_its_first_call() {
    let (mut world, client) = World::with_script();
    let evalsha = world.evalsha(1);
    world.say(client, &evalsha.repeat(2));
    assert_eq!(world.asked(1), format!("{}{evalsha}{evalsha}", load()));
    world.node_says(1, &format!("$40\r\n{SHA}\r\n:1\r\n:1\r\n"));
    assert_eq!(world.heard(client), ":1\r\n:1\r\n");
    world.lose(1, &Lost::Broken("the node closed the connection".into()));
    world.connect_all();
    world.say(client, &evalsha);
    assert_eq!(world.asked(1), format!("{}{evalsha}", load()), "a new connection may be a new node");
    assert_eq!(world.core.counters.script_loads, 2);
}

#[test]
fn a_script_that_the_node_forgot_is_told_and_called_once_more() {
    let (mut world, client) = World::with_script();
    let evalsha = world.evalsha(2);
    world.say(client, &evalsha);
    world.asked(2);
    world.node_says(2, &format!("$40\r\n{SHA}\r\n{NOSCRIPT}"));
    assert_eq!(world.heard(client), "");
    assert_eq!(world.asked(2), format!("{}{evalsha}", load()));
    world.node_says(2, &format!("$40\r\n{SHA}\r\n{NOSCRIPT}"));
    assert_eq!(world.heard(client), NOSCRIPT, "twice is enough");
    assert_eq!(world.asked(2), "");
}

#[test]
fn a_second_call_whose_node_is_gone_is_refused_in_its_place() {
    let (mut world, client) = World::with_script();
    let evalsha = world.evalsha(2);
    world.say(client, &format!("{evalsha}PING\r\n"));
    world.core.node_down(NodeId(2), "connection refused");
    let id = world.pipe(2);
    let text = format!("$40\r\n{SHA}\r\n{NOSCRIPT}");
    // Its connection says so before it is noticed to be up again.
    let mut chunk = world.core.pool().take();
    Rc::get_mut(&mut chunk).unwrap()[..text.len()].copy_from_slice(text.as_bytes());
    world.core.feed_node(id, &chunk, text.len()).unwrap();
    world.core.pool().give(chunk);
    assert_eq!(world.heard(client), "-NODEDOWN node c (127.0.0.1:7003): connection refused\r\n+PONG\r\n");
}

#[test]
fn what_was_flushed_is_not_told() {
    let (mut world, client) = World::with_script();
    world.say(client, &command(&["SCRIPT", "FLUSH", "NOSUCH"]));
    let evalsha = world.evalsha(1);
    world.say(client, &evalsha);
    assert!(world.asked(1).contains("LOAD"), "that was no flush");
    world.say(client, &command(&["SCRIPT", "FLUSH"]));
    world.say(client, &evalsha);
    assert!(!world.asked(1).contains("LOAD"));
}

#[test]
fn a_read_only_call_that_is_repeated_on_a_new_connection_finds_its_script() {
    let (mut world, client) = World::with_script();
    let evalsha = command(&["EVALSHA_RO", SHA, "1", &world.key(1, 0)]);
    world.say(client, &evalsha);
    world.asked(1);
    world.lose(1, &Lost::Broken("the node closed the connection".into()));
    world.connect_all();
    assert_eq!(world.asked(1), evalsha);
    world.node_says(1, NOSCRIPT);
    assert_eq!(world.asked(1), format!("{}{evalsha}", load()));
    world.node_says(1, &format!("$40\r\n{SHA}\r\n:1\r\n"));
    assert_eq!(world.heard(client), ":1\r\n");
}

#[test]
fn a_transaction_tells_its_scripts_before_it_begins() {
    let (mut world, client) = World::with_script();
    let evalsha = world.evalsha(1);
    let (multi, exec) = (command(&["MULTI"]), command(&["EXEC"]));
    world.say(client, &format!("{multi}{evalsha}{evalsha}{exec}"));
    assert_eq!(world.asked(1), format!("{}{multi}{evalsha}{evalsha}{exec}", load()));
    world.node_says(1, &format!("$40\r\n{SHA}\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n:1\r\n"));
    assert!(world.heard(client).ends_with("*2\r\n:1\r\n:1\r\n"));
    // A script that the transaction itself has shown.
    let (text, eval) = ("return 2", command(&["EVAL", "return 2", "0"]));
    let sha = "7f923f79fe76194c868d7e1d0820de36700eb649";
    world.say(client, &format!("{multi}{eval}{}{exec}", command(&["EVALSHA", sha, "0"])));
    let told = command(&["SCRIPT", "LOAD", text]);
    let block = format!("{multi}{eval}{}{exec}", command(&["EVALSHA", sha, "0"]));
    let node = (0..3).find(|node| world.asked(*node) == block).unwrap();
    world.node_says(node, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n:2\r\n");
    let other = world.key((node + 1) % 3, 0);
    let evalsha = command(&["EVALSHA", sha, "1", &other]);
    world.say(client, &evalsha);
    assert_eq!(world.asked((node + 1) % 3), format!("{told}{evalsha}"));
}

#[test]
fn a_script_that_was_queued_and_never_run_is_not_known() {
    let (mut world, client) = World::with_script();
    let (key, watch) = (world.key(1, 0), command(&["WATCH", &world.key(1, 0)]));
    let (multi, exec) = (command(&["MULTI"]), command(&["EXEC"]));
    let (eval, evalsha) = (
        command(&["EVAL", "return 2", "1", &key]),
        command(&["EVALSHA", "7f923f79fe76194c868d7e1d0820de36700eb649", "1", &key]),
    );
    world.say(client, &format!("{multi}{eval}DISCARD\r\n{multi}{eval}GET\r\n{exec}{watch}"));
    let id = world.leases(client)[0];
    world.greet_all();
    world.asked_on(id);
    world.says_on(id, "+OK\r\n");
    world.resume(client);
    world.say(client, &format!("{multi}{eval}{exec}"));
    world.says_on(id, "+OK\r\n+QUEUED\r\n*-1\r\n");
    world.resume(client);
    world.heard(client);
    world.say(client, &evalsha);
    assert_eq!(world.asked(1), evalsha, "it is not told to the node");
}

#[test]
fn exists_is_what_all_have_or_one_has_and_is_remembered() {
    let (mut world, client) = World::with_script();
    let other = "0".repeat(40);
    world.say(client, &command(&["SCRIPT", "EXISTS", SHA, &other, SHA]));
    for (node, reply) in
        ["*3\r\n:1\r\n:1\r\n:0\r\n", "*3\r\n:0\r\n:0\r\n:0\r\n", "*3\r\n:0\r\n:1\r\n:0\r\n"].iter().enumerate()
    {
        world.asked(node);
        world.node_says(node, reply);
    }
    assert_eq!(world.heard(client), "*3\r\n:1\r\n:0\r\n:0\r\n");
}
