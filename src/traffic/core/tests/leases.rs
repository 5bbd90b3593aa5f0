//! Connections of one session's own: who gets them, and that nothing is left behind on them.

use super::*;
use crate::traffic::pipe::{Holder, connect::Greeting};

impl World {
    /// The connections that `client` has for itself.
    pub(super) fn leases(&self, client: ClientKey) -> Vec<PipeId> {
        self.core.client(client).map(|client| client.leases().to_vec()).unwrap_or_default()
    }

    /// Lets every connection attempt succeed; the node calls each connection 1000 and its index.
    pub(super) fn greet_all(&mut self) {
        for todo in self.core.take_todo() {
            if let Todo::Connect(id, attempt) = todo {
                assert!(self.core.pipe_connected(id, attempt));
                let client = 1_000 + id.index() as u64;
                self.core.pipe_greeted(id, &Greeting { client, run: 7, ..Greeting::default() });
            }
        }
    }

    /// What a connection's socket is given.
    pub(super) fn asked_on(&mut self, id: PipeId) -> String {
        let mut text = Vec::new();
        let (pipe, pool) = self.core.pipe_out(id);
        pipe.out.copy_to(&mut text);
        pipe.out.clear(pool);
        String::from_utf8(text).unwrap()
    }

    pub(super) fn says_on(&mut self, id: PipeId, bytes: &str) {
        let mut chunk = self.core.pool().take();
        Rc::get_mut(&mut chunk).unwrap()[..bytes.len()].copy_from_slice(bytes.as_bytes());
        self.core.feed_node(id, &chunk, bytes.len()).unwrap();
        self.core.pool().give(chunk);
    }

    fn blpop(&mut self, node: usize) -> (ClientKey, PipeId, String) {
        let client = self.client();
        let request = command(&["BLPOP", &self.key(node, 0), "0"]);
        self.say(client, &request);
        let leases = self.leases(client);
        assert_eq!(leases.len(), 1);
        (client, leases[0], request)
    }
}

const POPPED: &str = "*2\r\n$1\r\nq\r\n$1\r\nx\r\n";

#[test]
fn a_blocking_command_has_a_connection_of_its_own_and_the_next_one_uses_it_again() {
    let mut world = World::new(settings());
    let (client, id, request) = world.blpop(1);
    world.greet_all();
    assert_eq!(world.asked_on(id), request);
    assert_eq!(world.asked(1), "");
    assert!(world.core.client(client).unwrap().record.is_marked(Record::BLOCKED));
    // What comes behind it waits, and nothing of it is lost.
    world.say(client, &command(&["ECHO", "later"])[..9]);
    world.say(client, &command(&["ECHO", "later"])[9..]);
    assert_eq!(world.heard(client), "");
    world.says_on(id, POPPED);
    assert_eq!(world.heard(client), POPPED);
    world.core.resume_client(client);
    assert_eq!(world.heard(client), "$5\r\nlater\r\n");
    assert!(world.leases(client).is_empty());
    assert!(!world.core.client(client).unwrap().record.is_marked(Record::BLOCKED));
    let (_, again, _) = world.blpop(1);
    assert_eq!(again, id);
    assert!(world.core.take_todo().iter().all(|todo| !matches!(todo, Todo::Connect(..) | Todo::Disconnect(_))));
}

#[test]
fn a_blocking_command_waits_for_the_replies_before_it() {
    let mut world = World::new(settings());
    let client = world.client();
    let (key, other) = (world.key(0, 0), world.key(1, 0));
    let both = command(&["GET", &key]) + &command(&["BLPOP", &other, "0"]);
    world.say(client, &both);
    assert!(world.leases(client).is_empty());
    world.node_says(0, "$1\r\nv\r\n");
    assert_eq!(world.heard(client), "$1\r\nv\r\n");
    world.core.resume_client(client);
    assert_eq!(world.leases(client).len(), 1);
}

#[test]
fn the_connection_of_a_client_that_left_while_blocked_is_closed_at_once() {
    let mut world = World::new(settings());
    let (client, id, _) = world.blpop(2);
    world.greet_all();
    assert!(world.core.wants_input(client), "its end must be seen");
    world.core.client_ended(client);
    let todo = world.core.take_todo();
    assert!(todo.contains(&Todo::Disconnect(id)) && todo.contains(&Todo::Close(client)), "{todo:?}");
    assert_eq!(world.core.counters.blocked, 0);
    let (_, next, _) = world.blpop(2);
    let connects = world.core.take_todo().iter().any(|todo| matches!(todo, Todo::Connect(pipe, _) if *pipe == next));
    assert!(connects, "a connection that somebody blocked on was used again");
}

#[test]
fn unblocking_tells_the_node_and_the_connection_is_not_used_again() {
    let mut world = World::new(settings());
    let (client, id, _) = world.blpop(0);
    world.greet_all();
    world.asked_on(id);
    let other = world.client();
    let number = world.core.client(client).unwrap().record.id.to_string();
    world.say(other, &command(&["CLIENT", "UNBLOCK", &number, "ERROR"]));
    assert_eq!(world.heard(other), "", "the node knows whether anybody waited");
    assert_eq!(world.asked(0), command(&["CLIENT", "UNBLOCK", &(1_000 + id.index()).to_string(), "ERROR"]));
    // The node has not come to the blocking command yet: it is told again.
    world.node_says(0, ":0\r\n");
    assert!(world.asked(0).contains("UNBLOCK"));
    world.node_says(0, ":1\r\n");
    assert_eq!(world.asked(0), "");
    assert_eq!(world.heard(other), ":1\r\n");
    world.says_on(id, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_eq!(world.heard(client), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert!(world.core.take_todo().contains(&Todo::Disconnect(id)));
    world.say(other, &command(&["CLIENT", "UNBLOCK", &number]));
    assert_eq!(world.heard(other), ":0\r\n");
}

#[test]
fn who_is_unblocked_before_the_connection_is_there_is_answered_as_by_redis() {
    let mut world = World::new(settings());
    let other = world.client();
    for (how, reply) in [("TIMEOUT", "*-1\r\n"), ("ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")] {
        let (client, _, _) = world.blpop(0);
        let number = world.core.client(client).unwrap().record.id.to_string();
        world.say(other, &command(&["CLIENT", "UNBLOCK", &number, how]));
        assert_eq!(world.heard(other), ":1\r\n");
        assert_eq!(world.heard(client), reply);
        assert!(world.leases(client).is_empty());
    }
}

#[test]
fn connections_for_one_are_bounded_and_idle_ones_make_room() {
    let mut settings = settings();
    settings.pipe.max_leased = 2;
    let mut world = World::new(settings);
    let (first, id, _) = world.blpop(0);
    let (_, _, _) = world.blpop(1);
    world.greet_all();
    let refused = world.client();
    let key = world.key(2, 0);
    world.say(refused, &command(&["BLPOP", &key, "0"]));
    let text = world.heard(refused);
    assert!(text.starts_with("-ERR 'blpop' needs a node connection of its own and all 2 are taken"), "{text}");
    assert!(text.contains("raise pipe.max_leased"), "{text}");
    // One that waits for its next user gives way to another kind.
    world.says_on(id, POPPED);
    assert_eq!(world.heard(first), POPPED);
    let (_, other, _) = world.blpop(2);
    assert_eq!(other, id, "the place of the closed one");
    assert_eq!(world.core.pipes[other.index()].node, NodeId(2));
}

#[test]
fn a_lost_connection_ends_the_waiting_and_says_what_may_have_happened() {
    let mut world = World::new(settings());
    let (client, id, _) = world.blpop(1);
    world.greet_all();
    let attempt = world.core.pipes[id.index()].attempt;
    world.core.pipe_lost(id, attempt, &Lost::Broken("the node closed the connection".to_owned()));
    assert!(world.heard(client).starts_with("-OUTCOMEUNKNOWN node b (127.0.0.1:7002): the node closed the connection"));
    assert!(world.leases(client).is_empty());
    assert_eq!(world.core.counters.blocked, 0);
    assert_eq!(world.core.pipes[id.index()].holder, Holder::Nobody);
}

#[test]
fn a_node_that_dies_without_a_word_is_noticed_by_who_only_waits() {
    let mut world = World::new(settings());
    let (client, id, _) = world.blpop(1);
    world.greet_all();
    world.asked_on(id);
    let mut now = 0;
    let mut tick = |world: &mut World, seconds: u64| {
        now += seconds * 1_000_000;
        world.core.set_now(now);
        world.core.tick();
    };
    // No time limit is on the blocking command itself …
    tick(&mut world, 2);
    assert_eq!(world.asked(1), command(&["PING"]));
    world.node_says(1, "+PONG\r\n");
    tick(&mut world, 600);
    assert_eq!(world.heard(client), "");
    // … but a node that gives no sign of life is given up, with all its connections.
    assert_eq!(world.asked(1), command(&["PING"]));
    tick(&mut world, 6);
    assert!(world.heard(client).starts_with("-OUTCOMEUNKNOWN node b"));
}

#[test]
fn wait_asks_every_node_behind_a_ping_and_answers_the_smallest_number() {
    let mut world = World::new(settings());
    let client = world.client();
    world.say(client, &command(&["WAIT", "1", "100"]));
    let leases = world.leases(client);
    assert_eq!(leases.len(), 3);
    world.greet_all();
    for (id, number) in leases.into_iter().zip([2, 1, 3]) {
        assert_eq!(world.asked_on(id), command(&["PING"]) + &command(&["WAIT", "1", "100"]));
        assert_eq!(world.heard(client), "");
        world.says_on(id, &format!("+PONG\r\n:{number}\r\n"));
    }
    assert_eq!(world.heard(client), ":1\r\n");
    world.core.resume_client(client);
    assert!(world.leases(client).is_empty());
    world.say(client, &command(&["WAITAOF", "1", "0", "100"]));
    for (id, reply) in
        world.leases(client).into_iter().zip(["*2\r\n:1\r\n:5\r\n", "*2\r\n:1\r\n:2\r\n", "*2\r\n:0\r\n:4\r\n"])
    {
        world.says_on(id, &format!("+PONG\r\n{reply}"));
    }
    assert_eq!(world.heard(client), "*2\r\n:0\r\n:2\r\n");
}

#[test]
fn a_drain_unblocks_who_waits() {
    let mut world = World::new(settings());
    let (client, id, _) = world.blpop(0);
    world.greet_all();
    world.core.drain();
    assert!(world.asked(0).contains("UNBLOCK"));
    world.says_on(id, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert!(world.heard(client).starts_with("-UNBLOCKED"));
    assert!(world.core.is_drained());
}
