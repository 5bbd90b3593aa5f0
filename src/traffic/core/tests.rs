//! The core, byte by byte, without sockets: what goes in, what comes out, and what is kept apart.

use std::{rc::Rc, sync::Arc, time::Duration};

mod pubsub;

use super::*;
use crate::traffic::{
    client::Names,
    pipe::{State, chunk::CHUNK},
    route::{Address, Epoch, Node, Ring},
    settings::PartialReads,
};

mod circlet;
mod clients;
mod cluster;
mod gate;
mod leases;
mod linger;
mod locks;
mod measured;
mod members;
mod scripts;
mod slow;
mod tracking;
mod transactions;

/// A core over nodes a, b and c, with its pipes open, and helpers that play sockets.
struct World {
    core: Core,
    next_id: u64,
}

fn settings() -> Settings {
    Settings::default()
}

impl World {
    fn new(settings: Settings) -> Self {
        let names = ["a", "b", "c"];
        let node = |(at, name): (usize, &&str)| {
            Node::new(*name, Address::Tcp { host: "127.0.0.1".into(), port: 7001 + at as u16 })
        };
        let nodes: Vec<Node> = names.iter().enumerate().map(node).collect();
        let ring = Ring::build(&names.map(|name| (name, 1.0)), 512).unwrap();
        let topology = Arc::new(Topology::new(nodes, ring, Epoch(1)));
        let snapshot = Snapshot { topology, table: Arc::new(Table::builtin()), facts: Facts::default() };
        let mut core = Core::new(Arc::new(settings), snapshot, Arc::default(), 0, 7);
        core.open_all();
        let mut world = Self { core, next_id: 0 };
        world.connect_all();
        world
    }

    /// Lets every connection attempt succeed.
    fn connect_all(&mut self) {
        for todo in self.core.take_todo() {
            if let Todo::Connect(id, attempt) = todo {
                assert!(self.core.pipe_connected(id, attempt));
            }
        }
        self.core.take_todo();
    }

    fn client(&mut self) -> ClientKey {
        self.next_id += 1;
        let record = Record::new(self.next_id, format!("127.0.0.1:{}", 5000 + self.next_id), "l".into(), 0, 0);
        self.core.add_client(Arc::new(record))
    }

    fn say(&mut self, key: ClientKey, bytes: &str) {
        self.core.feed_client(key, bytes.as_bytes());
    }

    /// What a session's socket is given.
    fn heard(&mut self, key: ClientKey) -> String {
        let mut text = Vec::new();
        if let Some((client, pool)) = self.core.client_out(key) {
            client.out.copy_to(&mut text);
            client.out.clear(pool);
            self.core.settle_client(key);
        }
        String::from_utf8(text).unwrap()
    }

    fn pipe(&self, node: usize) -> PipeId {
        let index = self.core.pipes.iter().position(|p| p.node.index() == node && p.db == 0 && p.proto == Proto::Resp2);
        PipeId(index.unwrap() as u32)
    }

    /// What a node's socket is given.
    fn asked(&mut self, node: usize) -> String {
        let id = self.pipe(node);
        let mut text = Vec::new();
        let (pipe, pool) = self.core.pipe_out(id);
        pipe.out.copy_to(&mut text);
        pipe.out.clear(pool);
        String::from_utf8(text).unwrap()
    }

    fn node_says(&mut self, node: usize, bytes: &str) {
        for part in bytes.as_bytes().chunks(CHUNK) {
            let mut chunk = self.core.pool().take();
            Rc::get_mut(&mut chunk).unwrap()[..part.len()].copy_from_slice(part);
            let id = self.pipe(node);
            self.core.feed_node(id, &chunk, part.len()).unwrap();
            self.core.pool().give(chunk);
        }
    }

    fn lose(&mut self, node: usize, how: &Lost) {
        let id = self.pipe(node);
        let attempt = self.core.pipes[id.index()].attempt;
        self.core.pipe_lost(id, attempt, how);
    }

    fn owner(&self, key: &str) -> usize {
        self.core.snapshot.topology.owner(key.as_bytes()).index()
    }

    /// A key that `node` owns; `n` tells several apart.
    fn key(&self, node: usize, n: usize) -> String {
        (0..).map(|i| format!("k{n}-{i}")).find(|key| self.owner(key) == node).unwrap()
    }
}

fn command(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
    text
}

#[test]
fn a_request_goes_to_its_keys_node_as_it_came_and_the_reply_comes_back() {
    let mut world = World::new(settings());
    let client = world.client();
    for node in 0..3 {
        let get = command(&["gEt", &world.key(node, 0)]);
        world.say(client, &get);
        assert_eq!(world.asked(node), get);
        world.node_says(node, "$5\r\nhello\r\n");
        assert_eq!(world.heard(client), "$5\r\nhello\r\n");
    }
}

#[test]
fn any_split_of_the_bytes_gives_the_same_requests() {
    let mut world = World::new(settings());
    let (first, second) = (command(&["GET", &world.key(1, 0)]), command(&["SET", &world.key(1, 1), "va\r\nlue"]));
    let whole = format!("{first}{second}PING\r\n");
    for cut in 0..whole.len() {
        let client = world.client();
        world.say(client, &whole[..cut]);
        world.say(client, &whole[cut..]);
        assert_eq!(world.asked(1), format!("{first}{second}"), "cut at {cut}");
        world.node_says(1, "$1\r\nx\r\n");
        world.node_says(1, "+OK\r\n");
        assert_eq!(world.heard(client), "$1\r\nx\r\n+OK\r\n+PONG\r\n", "cut at {cut}");
    }
}

#[test]
fn any_split_of_a_nodes_bytes_gives_the_same_replies() {
    let mut world = World::new(settings());
    let replies = ["$4\r\na\r\nb\r\n", "*2\r\n$1\r\nx\r\n*1\r\n:5\r\n", "-ERR no\r\n", "$-1\r\n"];
    let whole = replies.concat();
    let get = command(&["GET", &world.key(2, 0)]);
    for cut in 0..whole.len() {
        let client = world.client();
        world.say(client, &get.repeat(replies.len()));
        world.node_says(2, &whole[..cut]);
        world.node_says(2, &whole[cut..]);
        assert_eq!(world.heard(client), whole, "cut at {cut}");
    }
}

#[test]
fn replies_of_several_nodes_leave_in_request_order() {
    let mut world = World::new(settings());
    let client = world.client();
    let gets: String = (0..3).map(|node| command(&["GET", &world.key(node, 0)])).collect();
    world.say(client, &gets);
    world.node_says(2, "$1\r\n2\r\n");
    world.node_says(1, "$1\r\n1\r\n");
    assert_eq!(world.heard(client), "");
    world.node_says(0, "$1\r\n0\r\n");
    assert_eq!(world.heard(client), "$1\r\n0\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

#[test]
fn a_large_reply_streams_to_the_head_and_waits_behind_it() {
    let mut world = World::new(settings());
    let client = world.client();
    let large = format!("${}\r\n{}\r\n", 1_000_000, "x".repeat(1_000_000));
    world.say(client, &command(&["GET", &world.key(0, 0)]));
    world.say(client, &command(&["GET", &world.key(1, 0)]));
    world.node_says(1, &large[..700_000]);
    assert_eq!(world.heard(client), "", "an earlier reply is missing");
    world.node_says(0, "$1\r\na\r\n");
    let begun = world.heard(client);
    assert!(begun.len() > 256 << 10, "what has come leaves at once: {}", begun.len());
    world.node_says(1, &large[700_000..]);
    assert_eq!(begun + &world.heard(client), format!("$1\r\na\r\n{large}"));
    assert_eq!(world.core.pool.bytes_out(), 0, "every chunk came back");
}

#[test]
fn a_reply_that_was_handed_on_in_part_is_not_asked_for_again() {
    let mut world = World::new(settings());
    let (cut, waits) = (world.client(), world.client());
    let (first, second) = (command(&["GET", &world.key(0, 0)]), command(&["GET", &world.key(0, 1)]));
    world.say(cut, &first);
    world.say(waits, &second);
    world.asked(0);
    world.node_says(0, &format!("${}\r\n{}", 1_000_000, "x".repeat(500_000)));
    assert!(world.heard(cut).len() >= 256 << 10);
    world.lose(0, &Lost::Broken("connection reset by the node".into()));
    world.connect_all();
    assert!(world.core.client(cut).is_none(), "nothing can follow half a reply");
    assert_eq!(world.core.counters.closed[Closed::CutReply as usize], 1);
    assert_eq!(world.asked(0), second, "the other read is asked again");
}

#[test]
fn mget_asks_each_node_once_and_answers_in_key_order() {
    let mut world = World::new(settings());
    let client = world.client();
    let (a, b, a2) = (world.key(0, 0), world.key(1, 1), world.key(0, 2));
    world.say(client, &command(&["MGET", &a, &b, &a2]));
    assert_eq!(world.asked(0), command(&["MGET", &a, &a2]));
    assert_eq!(world.asked(1), command(&["MGET", &b]));
    assert_eq!(world.asked(2), "");
    world.node_says(1, "*1\r\n$1\r\nB\r\n");
    world.node_says(0, "*2\r\n$1\r\nA\r\n$-1\r\n");
    assert_eq!(world.heard(client), "*3\r\n$1\r\nA\r\n$1\r\nB\r\n$-1\r\n");
}

#[test]
fn keys_of_several_nodes_are_refused_where_nothing_can_be_split() {
    let mut world = World::new(settings());
    let client = world.client();
    let (a, b) = (world.key(0, 0), world.key(1, 0));
    world.say(client, &command(&["SUNION", &a, &b]));
    let heard = world.heard(client);
    assert!(heard.starts_with("-CROSSSLOT Keys in request don't hash to the same slot"), "{heard}");
    assert!(
        heard.contains(&a) && heard.contains(&b) && heard.contains("node a") && heard.contains("node b"),
        "{heard}"
    );
    assert_eq!((world.asked(0), world.asked(1)), (String::new(), String::new()));
}

#[test]
fn a_reply_for_a_session_that_is_gone_reaches_nobody() {
    let mut world = World::new(settings());
    let (gone, key) = (world.client(), world.key(0, 0));
    world.say(gone, &command(&["GET", &key]));
    world.core.drop_client(gone, Closed::ByClient);
    let next = world.client();
    assert_eq!(gone.index, next.index, "the place is used again");
    world.say(next, &command(&["GET", &key]));
    world.node_says(0, "$6\r\nothers\r\n$4\r\nmine\r\n");
    assert_eq!(world.heard(next), "$4\r\nmine\r\n");
}

#[test]
fn reads_are_asked_again_once_and_writes_are_not() {
    let mut world = World::new(settings());
    let client = world.client();
    let (get, set) = (command(&["GET", &world.key(0, 0)]), command(&["SET", &world.key(0, 1), "v"]));
    world.say(client, &format!("{get}{set}{get}"));
    world.asked(0);
    world.lose(0, &Lost::Broken("the node closed the connection".into()));
    world.connect_all();
    assert_eq!(world.asked(0), format!("{get}{get}"));
    world.node_says(0, "$1\r\n1\r\n");
    let heard = world.heard(client);
    assert!(heard.starts_with("$1\r\n1\r\n-OUTCOMEUNKNOWN node a (127.0.0.1:7001): the node closed"), "{heard}");
    world.lose(0, &Lost::Broken("the node closed the connection".into()));
    let heard = world.heard(client);
    assert!(heard.starts_with("-NODEDOWN node a") && heard.contains("safe to send it again"), "{heard}");
}

#[test]
fn a_silent_node_times_out_and_is_refused_at_once_until_it_answers() {
    let mut world = World::new(settings());
    let client = world.client();
    let (get, set) = (command(&["GET", &world.key(0, 0)]), command(&["SET", &world.key(0, 1), "v"]));
    world.say(client, &set);
    world.core.set_now(6_000_000);
    world.core.tick();
    let heard = world.heard(client);
    assert!(heard.starts_with("-TIMEOUT node a (127.0.0.1:7001): no reply within 5000 ms"), "{heard}");
    assert!(heard.contains("may or may not have been executed"), "{heard}");
    assert!(world.core.take_todo().contains(&Todo::Disconnect(world.pipe(0))));
    world.say(client, &get);
    assert_eq!(world.heard(client), "-NODEDOWN node a (127.0.0.1:7001): no reply for 5000 ms\r\n");
    world.core.set_now(7_000_000);
    world.core.tick();
    world.connect_all();
    world.say(client, &get);
    assert_eq!(world.asked(0), get, "nothing of the old connection is left");
    world.node_says(0, "$1\r\nv\r\n");
    assert_eq!(world.heard(client), "$1\r\nv\r\n");
}

#[test]
fn a_node_that_cannot_be_reached_is_tried_again_with_growing_pauses() {
    let mut world = World::new(settings());
    world.lose(1, &Lost::Broken("the node closed the connection".into()));
    let mut tries = Vec::new();
    for tick in 0..600 {
        world.core.set_now(tick * 100_000);
        world.core.tick();
        for todo in world.core.take_todo() {
            if let Todo::Connect(id, attempt) = todo {
                tries.push(tick);
                world.core.pipe_failed(id, attempt, Fault::Node, "connection refused");
            }
        }
    }
    let pauses: Vec<u64> = tries.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(tries.len() > 12 && tries.len() < 40, "{tries:?}");
    assert!(pauses.iter().all(|pause| *pause <= 51), "never longer than backoff_max: {pauses:?}");
    assert!(pauses[pauses.len() - 3..].iter().all(|pause| *pause >= 25), "long in the end: {pauses:?}");
}

#[test]
fn a_node_that_accepts_and_closes_is_not_hammered() {
    let mut world = World::new(settings());
    let mut connects = 0;
    for tick in 0..100 {
        world.core.set_now(tick * 100_000);
        world.core.tick();
        for todo in world.core.take_todo() {
            if let Todo::Connect(id, attempt) = todo {
                connects += 1;
                assert!(world.core.pipe_connected(id, attempt));
            }
        }
        world.lose(2, &Lost::Broken("the node closed the connection".into()));
    }
    assert!((3..20).contains(&connects), "{connects} in 10 s");
}

#[test]
fn silence_on_one_connection_is_checked_with_a_new_handshake() {
    let mut world = World::new(settings());
    let client = world.client();
    world.say(client, &format!("SELECT 2\r\n{}", command(&["GET", &world.key(0, 0)])));
    world.connect_all();
    world.core.set_now(6_000_000);
    world.core.tick();
    assert!(world.heard(client).contains("-TIMEOUT node a"));
    world.core.take_todo();
    world.core.set_now(6_500_000);
    world.core.tick();
    let first = world.pipe(0);
    let todo = world.core.take_todo();
    assert!(todo.contains(&Todo::Disconnect(first)), "the first pipe's old connection proves nothing: {todo:?}");
    assert!(matches!(todo.last(), Some(Todo::Connect(id, _)) if *id == first), "{todo:?}");
}

#[test]
fn a_partial_read_is_nil_only_where_configured() {
    for (partial_reads, expected) in
        [(PartialReads::Error, "-NODEDOWN node b"), (PartialReads::Nil, "*2\r\n$1\r\nA\r\n$-1\r\n")]
    {
        let mut world = World::new(Settings { partial_reads, ..settings() });
        world.core.node_down(NodeId(1), "connection refused");
        let client = world.client();
        let mget = command(&["MGET", &world.key(0, 0), &world.key(1, 0)]);
        world.say(client, &mget);
        world.node_says(0, "*1\r\n$1\r\nA\r\n");
        let heard = world.heard(client);
        assert!(heard.starts_with(expected), "{heard}");
    }
}

#[test]
fn a_session_that_does_not_read_is_paused_and_goes_on_when_it_does() {
    let mut world = World::new(settings());
    let client = world.client();
    let get = command(&["GET", &world.key(0, 0)]);
    let many = 3_000;
    world.say(client, &get.repeat(many));
    assert!(!world.core.wants_input(client));
    let mut answered = 0;
    while answered < many {
        let asked = world.asked(0).matches("GET").count();
        assert!(asked > 0 && asked <= 1_024, "{asked} in flight");
        world.node_says(0, &"$1\r\nv\r\n".repeat(asked));
        answered += world.heard(client).matches("$1").count();
        for todo in world.core.take_todo() {
            assert_eq!(todo, Todo::Resume(client));
            world.core.resume_client(client);
        }
    }
    assert_eq!(answered, many);
    assert!(world.core.wants_input(client));
}

#[test]
fn a_full_pipe_makes_sessions_wait_and_lets_them_go_on() {
    let mut settings = settings();
    settings.pipe.max_in_flight = 4;
    let mut world = World::new(settings);
    let client = world.client();
    world.say(client, &command(&["GET", &world.key(0, 0)]).repeat(6));
    assert_eq!(world.asked(0).matches("GET").count(), 4);
    world.node_says(0, "$1\r\na\r\n$1\r\nb\r\n");
    assert_eq!(world.core.take_todo(), [Todo::Resume(client)]);
    world.core.resume_client(client);
    assert_eq!(world.asked(0).matches("GET").count(), 2);
    world.node_says(0, &"$1\r\nc\r\n".repeat(4));
    assert_eq!(world.heard(client).matches("$1").count(), 6);
}

#[test]
fn whoever_owes_too_much_is_closed_but_one_reply_may_be_larger() {
    let mut settings = settings();
    settings.session.hard_output = 100_000;
    settings.session.soft_output = 100_000;
    let mut world = World::new(settings);
    let (one, many) = (world.client(), world.client());
    let get = command(&["GET", &world.key(0, 0)]);
    let reply = |len: usize| format!("${len}\r\n{}\r\n", "x".repeat(len));
    world.say(one, &get);
    world.node_says(0, &reply(500_000));
    world.core.settle_client(one);
    assert_eq!(world.heard(one).len(), reply(500_000).len());
    world.say(many, &get.repeat(9));
    world.node_says(0, &reply(20_000).repeat(9));
    world.core.settle_client(many);
    assert!(world.core.client(many).is_none());
    assert_eq!(world.core.counters.closed[Closed::Output as usize], 1);
}

#[test]
fn protocol_errors_answer_and_close_only_that_session() {
    let mut world = World::new(settings());
    let (bad, good) = (world.client(), world.client());
    world.say(bad, "*1\r\n$x\r\n");
    assert_eq!(world.heard(bad), "-ERR Protocol error: invalid bulk length\r\n");
    assert!(world.core.client(bad).is_none());
    world.say(good, "PING\r\n");
    assert_eq!(world.heard(good), "+PONG\r\n");
}

#[test]
fn a_password_is_asked_for_before_anything_else() {
    let mut world = World::new(Settings { requirepass: Some("secret".into()), ..settings() });
    let client = world.client();
    world.say(client, "PING\r\nGET x\r\nNOSUCH\r\nAUTH wrong\r\nHELLO 3\r\n");
    let heard = world.heard(client);
    assert_eq!(heard.matches("-NOAUTH Authentication required.").count(), 2, "{heard}");
    assert!(heard.contains("-ERR unknown command 'NOSUCH'"), "as Redis: {heard}");
    assert!(heard.contains("-WRONGPASS") && heard.contains("-NOAUTH HELLO must be called"), "{heard}");
    world.say(client, "HELLO 3 AUTH default secret SETNAME me\r\nPING\r\n");
    let heard = world.heard(client);
    assert!(heard.starts_with("%7\r\n") && heard.ends_with("+PONG\r\n"), "{heard}");
    assert_eq!(world.core.registry.all()[0].names().name, "me");
}

#[test]
fn client_reply_off_and_skip_leave_no_byte() {
    let mut world = World::new(settings());
    let client = world.client();
    let key = world.key(0, 0);
    world.say(client, &format!("CLIENT REPLY SKIP\r\nGET {key}\r\nPING\r\nCLIENT REPLY OFF\r\nPING\r\nGET {key}\r\n"));
    world.say(client, "CLIENT REPLY ON\r\n");
    world.node_says(0, "$4\r\nskip\r\n$3\r\noff\r\n");
    assert_eq!(world.heard(client), "+PONG\r\n+OK\r\n");
}

#[test]
fn each_db_and_protocol_has_pipes_of_its_own() {
    let mut world = World::new(settings());
    let client = world.client();
    let get = command(&["GET", &world.key(0, 0)]);
    world.say(client, &format!("SELECT 3\r\n{get}HELLO 3\r\n{get}SELECT 16\r\nSELECT x\r\n"));
    let mut heard = String::new();
    for (id, proto, reply) in [(PipeId(3), Proto::Resp2, "$-1\r\n"), (PipeId(4), Proto::Resp3, "_\r\n")] {
        // What is behind a change of the pipe waits for what is before it, or could overtake it.
        assert_eq!(world.core.pipes.len(), id.index() + 1);
        let pipe = &world.core.pipes[id.index()];
        assert_eq!((pipe.db, pipe.proto, pipe.state.clone()), (3, proto, State::Connecting));
        world.connect_all();
        let mut chunk = world.core.pool().take();
        Rc::get_mut(&mut chunk).unwrap()[..reply.len()].copy_from_slice(reply.as_bytes());
        world.core.feed_node(id, &chunk, reply.len()).unwrap();
        world.core.pool().give(chunk);
        heard += &world.heard(client);
        world.core.take_todo();
        world.core.resume_client(client);
    }
    heard += &world.heard(client);
    assert!(heard.starts_with("+OK\r\n$-1\r\n%7\r\n"), "{heard}");
    let end = "_\r\n-ERR DB index is out of range\r\n-ERR value is not an integer or out of range\r\n";
    assert!(heard.ends_with(end), "{heard}");
}

#[test]
fn killed_sessions_end_and_the_killer_gets_its_answer_first() {
    let mut world = World::new(settings());
    let (me, other) = (world.client(), world.client());
    *world.core.client(other).unwrap().record.names() = Names { name: "other".into(), ..Names::default() };
    world.say(me, "CLIENT KILL ID 2\r\nCLIENT KILL 127.0.0.1:9\r\nCLIENT KILL ID 1 SKIPME no\r\nPING\r\n");
    assert!(world.core.client(other).is_none());
    assert_eq!(world.heard(me), ":1\r\n-ERR No such client\r\n:1\r\n");
    assert!(world.core.client(me).is_none());
}

#[test]
fn too_many_bytes_close_the_largest_holder() {
    let mut settings = settings();
    settings.max_buffered = 1 << 20;
    let mut world = World::new(settings);
    let (large, small) = (world.client(), world.client());
    world.say(large, &format!("*2\r\n$3\r\nGET\r\n$9000000\r\n{}", "x".repeat(2_000_000)));
    world.say(small, &format!("*2\r\n$3\r\nGET\r\n$9000000\r\n{}", "x".repeat(100_000)));
    world.core.tick();
    assert!(world.core.client(large).is_none() && world.core.client(small).is_some());
    assert_eq!(world.core.counters.closed[Closed::Memory as usize], 1);
}

#[test]
fn idle_sessions_and_pipes_are_closed_and_the_first_pipe_is_kept() {
    let mut settings = settings();
    settings.session.idle_timeout = Some(Duration::from_secs(10));
    let mut world = World::new(settings);
    let (idle, busy) = (world.client(), world.client());
    world.say(busy, &format!("SELECT 1\r\n{}", command(&["GET", &world.key(0, 0)])));
    world.connect_all();
    let mut chunk = world.core.pool().take();
    Rc::get_mut(&mut chunk).unwrap()[..5].copy_from_slice(b"$-1\r\n");
    world.core.feed_node(PipeId(3), &chunk, 5).unwrap();
    world.core.pool().give(chunk);
    world.core.set_now(400_000_000);
    world.say(busy, "PING\r\n");
    world.core.sweep();
    assert!(world.core.client(idle).is_none() && world.core.client(busy).is_some());
    assert_eq!(world.core.pipes[3].state, State::Idle);
    assert_eq!(world.core.pipes[0].state, State::Ready);
}

#[test]
fn draining_answers_what_was_asked_and_takes_no_more() {
    let mut world = World::new(settings());
    let client = world.client();
    let get = command(&["GET", &world.key(0, 0)]);
    world.say(client, &get);
    world.core.drain();
    world.say(client, &get);
    assert!(!world.core.is_drained());
    world.node_says(0, "$1\r\nv\r\n");
    assert_eq!(world.heard(client), "$1\r\nv\r\n");
    assert!(world.core.is_drained());
}

/// Bytes a socket would take, taken without a buffer of its own.
fn flush(core: &mut Core) {
    while let Some(id) = core.next_dirty_pipe() {
        let (pipe, pool) = core.pipe_out(id);
        let len = pipe.out.len();
        pipe.out.advance(len, pool);
        core.pipe_wrote(id, len);
    }
    while let Some(key) = core.next_dirty_client() {
        if let Some((client, pool)) = core.client_out(key) {
            let len = client.out.len();
            client.out.advance(len, pool);
            core.settle_client(key);
        }
    }
}

#[test]
fn get_and_set_allocate_nothing_in_steady_state() {
    let mut world = World::new(settings());
    let clients = [world.client(), world.client()];
    let mut batches = Vec::new();
    for node in 0..3 {
        let get = command(&["GET", &world.key(node, 0)]);
        let set = command(&["SET", &world.key(node, 1), &"v".repeat(64)]);
        batches.push((node, format!("{get}{set}").repeat(16), "$5\r\nhello\r\n+OK\r\n".repeat(16)));
    }
    let chunks: Vec<_> = batches
        .iter()
        .map(|(node, _, replies)| {
            let mut chunk = world.core.pool().take();
            Rc::get_mut(&mut chunk).unwrap()[..replies.len()].copy_from_slice(replies.as_bytes());
            (world.pipe(*node), chunk, replies.len())
        })
        .collect();
    let mut round = |cut: usize| {
        for client in clients {
            for (_, requests, _) in &batches {
                // Also across two reads: an unfinished request must not cost an allocation either.
                world.core.feed_client(client, &requests.as_bytes()[..cut]);
                world.core.feed_client(client, &requests.as_bytes()[cut..]);
            }
        }
        flush(&mut world.core);
        // The last node answers first, so that replies wait for earlier ones.
        for _ in clients {
            for (id, chunk, len) in chunks.iter().rev() {
                world.core.feed_node(*id, chunk, *len).unwrap();
            }
        }
        flush(&mut world.core);
    };
    (0..64).for_each(&mut round);
    let counted = allocation_counter::measure(|| (0..64).for_each(&mut round));
    assert_eq!(counted.count_total, 0, "allocations in {} requests", 64 * 2 * 3 * 32);
}

#[test]
fn a_key_that_was_seen_ahead_is_forgotten_with_the_bytes_it_lay_in() {
    let mut world = World::new(settings());
    let [here, there] =
        [0, 1].map(|node| (0..).map(|n| format!("k{n:05}")).find(|key| world.owner(key) == node).unwrap());
    // All reads of a worker go into one buffer: the same place holds another key each time.
    let mut buffer = (command(&["GET", &here]) + &command(&["GET", &here])).into_bytes();
    let first = world.client();
    world.core.feed_client(first, &buffer[..buffer.len() - 2]);
    assert_eq!(world.asked(0), command(&["GET", &here]));
    buffer.copy_from_slice((command(&["GET", &here]) + &command(&["GET", &there])).as_bytes());
    let second = world.client();
    let begin = buffer.len() / 2;
    world.core.feed_client(second, &buffer[begin..]);
    assert_eq!((world.asked(0), world.asked(1)), (String::new(), command(&["GET", &there])));
}
