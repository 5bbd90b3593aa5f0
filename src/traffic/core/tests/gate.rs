//! Keys on the move: who waits, for what, and that a fence is quiet when it says so.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::RandomState,
    sync::Mutex,
};

use super::*;
use crate::traffic::{
    control::{Ask, Wanted},
    route::{Arrived, Change, Phase},
};

/// A control plane that only listens.
#[derive(Debug, Default)]
struct Desk(Mutex<Vec<Ask>>);

impl Control for Desk {
    fn ask(&self, ask: Ask) {
        self.0.lock().unwrap().push(ask);
    }

    fn surplus(&self, db: u32) -> u64 {
        if db == 0 { 7 } else { 0 }
    }
}

/// A world in which node 0 loses keys to the others.
struct Moving {
    world: World,
    desk: Arc<Desk>,
    next: Arc<Ring>,
    /// What has arrived, by the topology that was published last.
    arrived: Arc<Arrived>,
    /// One table for all topologies in which keys move, as it must not be.
    kept: Option<Arc<Arrived>>,
}

impl Moving {
    fn new() -> Self {
        let mut world = World::new(settings());
        let desk = Arc::new(Desk::default());
        world.core.answer_to(Arc::clone(&desk) as Arc<dyn Control>);
        let next = Arc::new(Ring::build(&[("a", 0.5), ("b", 1.0), ("c", 1.0)], 512).unwrap());
        Self { world, desk, next, arrived: Arc::default(), kept: None }
    }

    /// The next topology; gives the epochs that are acknowledged.
    fn publish(&mut self, phase: Option<Phase>) -> Vec<u64> {
        let before = Arc::clone(&self.world.core.snapshot.topology);
        let epoch = Epoch(before.epoch.0 + 1);
        let ring = if phase.is_some() { Arc::clone(&before.ring) } else { Arc::clone(&self.next) };
        let mut topology = Topology::new(before.nodes.clone(), ring, epoch);
        if let Some(phase) = phase {
            let next = Arc::clone(&self.next);
            let loses = Box::new([true, false, false]);
            let own = || self.kept.clone().unwrap_or_else(arrived);
            self.arrived = if phase == Phase::Moving { own() } else { Arc::default() };
            let change =
                Change { id: 1, next, done: Box::new([false]), part: 0, phase, loses, arrived: Arc::default() };
            topology = topology.changing(change).marked_in(Arc::clone(&self.arrived));
        }
        let mut snapshot = self.world.core.snapshot().clone();
        snapshot.topology = Arc::new(topology);
        self.world.core.publish(snapshot);
        self.acknowledged()
    }

    fn acknowledged(&mut self) -> Vec<u64> {
        let (mut epochs, mut resumed) = (Vec::new(), Vec::new());
        let mut rest = Vec::new();
        for todo in self.world.core.take_todo() {
            match todo {
                Todo::Acknowledge(epoch) => epochs.push(epoch.0),
                Todo::Resume(key) => resumed.push(key),
                other => rest.push(other),
            }
        }
        self.world.core.todo = rest;
        resumed.into_iter().for_each(|key| self.world.core.resume_client(key));
        epochs
    }

    /// What was asked of the control plane since the last call.
    fn asked(&self) -> Vec<Ask> {
        std::mem::take(&mut self.desk.0.lock().unwrap())
    }

    fn wanted(&self) -> Wanted {
        match self.asked().as_slice() {
            [Ask::Bring(wanted)] => wanted.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The mover has done what was wanted.
    fn brought(&mut self, wanted: &Wanted) {
        wanted.keys.iter().for_each(|key| self.arrived.mark(wanted.db, key));
        self.tell_brought(wanted.ticket, Ok(()));
        self.acknowledged();
    }

    fn tell_brought(&mut self, ticket: u64, result: Result<(), String>) {
        self.world.core.receive(Message::Brought { ticket, result });
    }

    /// A key that node 0 loses, and its new node; `n` tells several apart.
    fn moving(&self, n: usize) -> (String, usize) {
        let ring = &self.world.core.snapshot.topology.ring;
        let moves = |key: &String| {
            ring.owner_of(key.as_bytes()) == NodeId(0) && self.next.owner_of(key.as_bytes()) != NodeId(0)
        };
        let key = (0..).map(|i| format!("m{n}-{i}")).find(moves).unwrap();
        let to = self.next.owner_of(key.as_bytes()).index();
        (key, to)
    }

    /// A key that stays at node 0.
    fn staying(&self) -> String {
        let ring = &self.world.core.snapshot.topology.ring;
        let stays = |key: &String| {
            ring.owner_of(key.as_bytes()) == NodeId(0) && self.next.owner_of(key.as_bytes()) == NodeId(0)
        };
        (0..).map(|i| format!("s{i}")).find(stays).unwrap()
    }
}

/// A table with secrets of its own.
fn arrived() -> Arc<Arrived> {
    Arc::new(Arrived::new([RandomState::new(), RandomState::new()]))
}

const PING: &str = "*1\r\n$4\r\nPING\r\n";

/// No epoch is acknowledged.
const QUIET: [u64; 0] = [];

/// Nothing is asked.
const NOTHING: [Ask; 0] = [];

#[test]
fn a_fence_lets_pass_what_stays_holds_what_moves_and_waits_for_what_is_under_way() {
    let mut moving = Moving::new();
    let ((key, to), stays) = (moving.moving(0), moving.staying());
    let client = moving.world.client();
    moving.world.say(client, &command(&["SET", &key, "1"]));
    assert_eq!(moving.publish(Some(Phase::Prepare)), [2]);
    assert_eq!(moving.world.asked(0), command(&["SET", &key, "1"]));
    assert_eq!(moving.publish(Some(Phase::Fence)), QUIET, "a write is under way");
    assert_eq!(moving.world.asked(0), PING);
    let other = moving.world.client();
    moving.world.say(other, &command(&["GET", &stays]));
    moving.world.say(client, &command(&["GET", &key]));
    assert_eq!(moving.world.asked(0), command(&["GET", &stays]));
    moving.world.node_says(0, "+OK\r\n");
    assert_eq!(moving.acknowledged(), QUIET);
    moving.world.node_says(0, "+PONG\r\n");
    assert_eq!(moving.acknowledged(), [3]);
    assert_eq!(moving.world.heard(client), "+OK\r\n");
    // Nobody asks for anything before it moves.
    assert_eq!(moving.asked(), NOTHING);
    assert_eq!(moving.publish(Some(Phase::Moving)), [4]);
    let wanted = moving.wanted();
    assert_eq!((wanted.epoch, wanted.db, wanted.keys.as_slice()), (Epoch(4), 0, [key.clone().into()].as_slice()));
    assert_eq!(moving.world.asked(to), "");
    moving.brought(&wanted);
    assert_eq!(moving.world.asked(to), command(&["GET", &key]));
    moving.world.node_says(to, "$1\r\n1\r\n");
    assert_eq!(moving.world.heard(client), "$1\r\n1\r\n");
    // From now on it is there.
    moving.world.say(other, &command(&["GET", &key]));
    assert_eq!((moving.asked(), moving.world.asked(to)), (vec![], command(&["GET", &key])));
    assert_eq!(moving.publish(None), [5]);
    moving.world.say(other, &command(&["INCR", &key]));
    assert_eq!(moving.world.asked(to), command(&["INCR", &key]));
}

#[test]
fn a_quiet_worker_acknowledges_a_fence_at_once_and_whoever_is_held_sees_the_end() {
    let mut moving = Moving::new();
    let (key, _) = moving.moving(0);
    assert_eq!(moving.publish(Some(Phase::Fence)), [2]);
    let client = moving.world.client();
    moving.world.say(client, &command(&["GET", &key]));
    assert_eq!(moving.world.asked(0), "");
    assert!(!moving.world.core.wants_input(client));
    // The change is given up.
    moving.next = Arc::clone(&moving.world.core.snapshot.topology.ring);
    assert_eq!(moving.publish(None), [3]);
    assert_eq!(moving.world.asked(0), command(&["GET", &key]));
}

#[test]
fn a_worker_that_begins_while_keys_move_asks_for_them() {
    // Circlet was killed, and goes on where it was.
    let mut moving = Moving::new();
    let (key, _) = moving.moving(0);
    moving.publish(Some(Phase::Moving));
    let (settings, snapshot) = (Arc::clone(&moving.world.core.settings), moving.world.core.snapshot().clone());
    moving.world.core = Core::new(settings, snapshot, Arc::default(), 0, 7);
    moving.world.core.answer_to(Arc::clone(&moving.desk) as Arc<dyn Control>);
    moving.world.core.open_all();
    moving.world.connect_all();
    let client = moving.world.client();
    moving.world.say(client, &command(&["GET", &key]));
    assert_eq!(moving.wanted().keys, [key]);
}

#[test]
fn what_cannot_be_brought_is_refused_with_the_reason_and_the_session_goes_on() {
    let mut moving = Moving::new();
    let ((key, _), stays) = (moving.moving(0), moving.staying());
    moving.publish(Some(Phase::Moving));
    let client = moving.world.client();
    moving.world.say(client, &(command(&["GET", &key]) + &command(&["GET", &stays])));
    let ticket = moving.wanted().ticket;
    assert_eq!(moving.world.asked(0), "", "what is behind it waits");
    moving.tell_brought(ticket, Err("NODEDOWN node a: gone".to_owned()));
    moving.acknowledged();
    assert_eq!(moving.world.asked(0), command(&["GET", &stays]));
    moving.world.node_says(0, "$-1\r\n");
    assert_eq!(moving.world.heard(client), "-NODEDOWN node a: gone\r\n$-1\r\n");
    assert_eq!(moving.asked(), NOTHING);
}

#[test]
fn commands_of_several_keys_wait_for_all_of_them() {
    let mut moving = Moving::new();
    let ((one, to), stays) = (moving.moving(0), moving.staying());
    let (other, _) = (1..).map(|n| moving.moving(n)).find(|(_, node)| *node == to).unwrap();
    moving.publish(Some(Phase::Moving));
    let client = moving.world.client();
    moving.world.say(client, &command(&["MGET", &one, &stays, &other]));
    let wanted = moving.wanted();
    assert_eq!(wanted.keys, [one.clone(), other.clone()]);
    moving.brought(&wanted);
    assert_eq!(moving.world.asked(to), command(&["MGET", &one, &other]));
    assert_eq!(moving.world.asked(0), command(&["MGET", &stays]));
    moving.world.node_says(0, "*1\r\n:2\r\n");
    moving.world.node_says(to, "*2\r\n:1\r\n:3\r\n");
    assert_eq!(moving.world.heard(client), "*3\r\n:1\r\n:2\r\n:3\r\n");
}

#[test]
fn a_read_that_is_repeated_in_a_fence_is_waited_for() {
    let mut moving = Moving::new();
    let (key, _) = moving.moving(0);
    let client = moving.world.client();
    moving.world.say(client, &command(&["GET", &key]));
    moving.world.asked(0);
    assert_eq!(moving.publish(Some(Phase::Fence)), QUIET);
    moving.world.asked(0);
    moving.world.core.set_now(10_000_000);
    moving.world.lose(0, &Lost::Broken("reset".to_owned()));
    moving.world.connect_all();
    assert_eq!(moving.world.asked(0), command(&["GET", &key]) + PING);
    moving.world.node_says(0, "$1\r\n1\r\n");
    assert_eq!(moving.acknowledged(), QUIET);
    moving.world.node_says(0, "+PONG\r\n");
    assert_eq!(moving.acknowledged(), [2]);
    assert_eq!(moving.world.heard(client), "$1\r\n1\r\n");
}

#[test]
fn a_fence_ends_when_its_node_is_silent() {
    let mut moving = Moving::new();
    let (key, _) = moving.moving(0);
    let client = moving.world.client();
    moving.world.say(client, &command(&["INCR", &key]));
    assert_eq!(moving.publish(Some(Phase::Fence)), QUIET);
    moving.world.lose(0, &Lost::Silent);
    assert_eq!(moving.acknowledged(), [2]);
    assert!(moving.world.heard(client).starts_with("-TIMEOUT "));
}

#[test]
fn a_blocking_command_follows_its_keys_with_the_rest_of_its_time() {
    let mut moving = Moving::new();
    let (key, to) = moving.moving(0);
    let (client, fired) = (moving.world.client(), moving.world.client());
    moving.world.say(client, &command(&["BLPOP", &key, "5"]));
    moving.world.say(fired, &command(&["BLPOP", &key, "0"]));
    moving.world.greet_all();
    let (id, fired_id) = (moving.world.leases(client)[0], moving.world.leases(fired)[0]);
    assert_eq!(moving.publish(Some(Phase::Fence)), QUIET);
    let unblock = |id: PipeId| command(&["CLIENT", "UNBLOCK", &(1_000 + id.index()).to_string(), "TIMEOUT"]);
    assert_eq!(moving.world.asked(0), unblock(id) + &unblock(fired_id));
    moving.world.core.set_now(2_000_000);
    moving.world.says_on(fired_id, "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    moving.world.node_says(0, ":1\r\n");
    moving.world.node_says(0, ":0\r\n");
    assert_eq!(moving.world.heard(fired), "*2\r\n$1\r\nk\r\n$1\r\nx\r\n");
    assert_eq!(moving.acknowledged(), QUIET, "one still waits there");
    moving.world.says_on(id, "*-1\r\n");
    assert_eq!(moving.acknowledged(), [2]);
    assert_eq!(moving.world.heard(client), "");
    moving.publish(Some(Phase::Moving));
    let wanted = moving.wanted();
    assert_eq!(wanted.keys, std::slice::from_ref(&key));
    moving.brought(&wanted);
    moving.world.greet_all();
    let id = *moving.world.leases(client).last().unwrap();
    assert_eq!(moving.world.core.pipes[id.index()].node.index(), to);
    assert_eq!(moving.world.asked_on(id), command(&["BLPOP", &key, "3.000"]));
    moving.world.says_on(id, "*2\r\n$1\r\nk\r\n$1\r\ny\r\n");
    assert_eq!(moving.world.heard(client), "*2\r\n$1\r\nk\r\n$1\r\ny\r\n");
    assert!(!moving.world.core.client(client).unwrap().record.is_marked(Record::BLOCKED));
}

#[test]
fn a_blocking_command_whose_time_is_over_behind_a_fence_looks_once_where_its_keys_are() {
    let mut moving = Moving::new();
    let (key, _) = moving.moving(0);
    let client = moving.world.client();
    moving.world.say(client, &command(&["BLPOP", &key, "0.05"]));
    moving.world.greet_all();
    moving.publish(Some(Phase::Fence));
    moving.world.core.set_now(2_000_000);
    moving.world.says_on(moving.world.leases(client)[0], "*-1\r\n");
    moving.publish(Some(Phase::Moving));
    let wanted = moving.wanted();
    moving.brought(&wanted);
    assert_eq!(moving.world.heard(client), "", "nobody knows yet whether there is something");
    moving.world.greet_all();
    let id = *moving.world.leases(client).last().unwrap();
    assert_eq!(moving.world.asked_on(id), command(&["BLPOP", &key, "0.001"]));
    moving.world.says_on(id, "*2\r\n$1\r\nk\r\n$1\r\ny\r\n");
    assert_eq!(moving.world.heard(client), "*2\r\n$1\r\nk\r\n$1\r\ny\r\n");
}

#[test]
fn a_blocked_session_between_two_nodes_can_be_unblocked_or_leave() {
    let mut moving = Moving::new();
    let (key, _) = moving.moving(0);
    let (client, gone) = (moving.world.client(), moving.world.client());
    for client in [client, gone] {
        moving.world.say(client, &command(&["BLPOP", &key, "0"]));
    }
    moving.world.greet_all();
    moving.publish(Some(Phase::Fence));
    moving.world.says_on(moving.world.leases(client)[0], "*-1\r\n");
    moving.world.core.drop_client(gone, Closed::ByClient);
    assert_eq!(moving.acknowledged(), [2], "who is gone holds no fence up");
    moving.world.core.unblock(client, true, None);
    assert!(moving.world.heard(client).starts_with("-UNBLOCKED"));
    moving.publish(Some(Phase::Moving));
    assert_eq!(moving.asked(), NOTHING);
}

#[test]
fn a_watch_from_before_a_fence_makes_exec_answer_nil() {
    let mut moving = Moving::new();
    let (key, to) = moving.moving(0);
    let client = moving.world.client();
    moving.world.say(client, &command(&["WATCH", &key]));
    moving.world.greet_all();
    let id = moving.world.leases(client)[0];
    moving.world.says_on(id, "+OK\r\n");
    assert_eq!(moving.world.heard(client), "+OK\r\n");
    moving.acknowledged();
    moving.publish(Some(Phase::Fence));
    moving.publish(Some(Phase::Moving));
    moving.world.say(client, "MULTI\r\n");
    moving.world.say(client, &command(&["INCR", &key]));
    let wanted = moving.wanted();
    moving.brought(&wanted);
    moving.world.say(client, "EXEC\r\n");
    assert_eq!(moving.world.heard(client), "+OK\r\n+QUEUED\r\n*-1\r\n");
    // The next one runs at the new node.
    moving.world.say(client, &("MULTI\r\n".to_owned() + &command(&["INCR", &key]) + "EXEC\r\n"));
    assert!(moving.world.asked(to).contains("INCR"));
}

#[test]
fn a_transaction_that_was_queued_before_runs_where_its_keys_are_now() {
    let mut moving = Moving::new();
    let (key, to) = moving.moving(0);
    let client = moving.world.client();
    moving.world.say(client, &("MULTI\r\n".to_owned() + &command(&["INCR", &key])));
    moving.publish(Some(Phase::Fence));
    moving.publish(Some(Phase::Moving));
    moving.world.say(client, "EXEC\r\n");
    let wanted = moving.wanted();
    moving.brought(&wanted);
    assert!(moving.world.asked(to).contains("INCR"));
    assert_eq!(moving.world.asked(0), "");
}

#[test]
fn a_transaction_whose_keys_came_apart_runs_nothing() {
    let mut moving = Moving::new();
    let ((key, _), stays) = (moving.moving(0), moving.staying());
    let client = moving.world.client();
    moving.world.say(client, &("MULTI\r\n".to_owned() + &command(&["INCR", &key]) + &command(&["INCR", &stays])));
    moving.publish(Some(Phase::Fence));
    moving.publish(None);
    moving.world.say(client, "EXEC\r\n");
    let heard = moving.world.heard(client);
    assert!(heard.starts_with("+OK\r\n+QUEUED\r\n+QUEUED\r\n-EXECABORT "), "{heard}");
    assert!(heard.contains("CROSSSLOT"), "{heard}");
    moving.world.say(client, &command(&["GET", &stays]));
    assert_eq!(moving.world.asked(0), command(&["GET", &stays]));
}

#[test]
fn clients_neither_write_circlets_own_keys_nor_see_them() {
    let mut moving = Moving::new();
    let client = moving.world.client();
    for words in [
        &["SET", "circlet:x", "1"][..],
        &["MSET", "a", "1", "circlet:move:1", "2"],
        &["DEL", "circlet:move:1"],
        &["RENAME", "{circlet:x}", "circlet:x"],
        &["BLPOP", "circlet:x", "0"],
        &["EVAL", "return 1", "1", "circlet:x"],
    ] {
        moving.world.say(client, &command(words));
        let heard = moving.world.heard(client);
        assert!(
            heard.starts_with("-ERR 'circlet:") && heard.contains("circlet: for") || heard.contains("its own keys"),
            "{words:?}: {heard}"
        );
    }
    moving.world.say(client, &command(&["KEYS", "*"]));
    for node in 0..3 {
        let (own, key) = ("circlet:move:1", moving.world.key(node, 0));
        moving.world.node_says(node, &format!("*2\r\n${}\r\n{own}\r\n${}\r\n{key}\r\n", own.len(), key.len()));
    }
    let heard = moving.world.heard(client);
    assert!(heard.starts_with("*3\r\n") && !heard.contains("circlet:"), "{heard}");
}

#[test]
fn sort_with_patterns_waits_for_the_end_where_its_tag_moves() {
    let mut moving = Moving::new();
    let (tag, _) = moving.moving(0);
    let stays = moving.staying();
    moving.publish(Some(Phase::Moving));
    let client = moving.world.client();
    let sort = |tag: &str| command(&["SORT", &format!("{{{tag}}}"), "BY", &format!("{{{tag}}}w_*")]);
    moving.world.say(client, &sort(&tag));
    assert!(moving.world.heard(client).starts_with("-TRYAGAIN SORT with BY or GET"));
    moving.world.say(client, &sort(&stays));
    assert_eq!(moving.world.asked(0), sort(&stays));
    moving.world.node_says(0, "*0\r\n");
    moving.world.say(client, &command(&["SORT", &format!("{{{tag}}}")]));
    assert_eq!(moving.wanted().keys, [format!("{{{tag}}}")]);
}

#[test]
fn a_flush_in_a_change_is_the_control_planes() {
    let mut moving = Moving::new();
    moving.publish(Some(Phase::Moving));
    let client = moving.world.client();
    moving.world.say(client, "FLUSHALL\r\nPING\r\n");
    let asked = moving.asked();
    let [Ask::Flush { request, db: 0, asker }] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(request, &command(&["FLUSHALL"]));
    assert_eq!((0..3).map(|node| moving.world.asked(node)).collect::<String>(), "");
    moving.world.core.receive(Message::Answer { to: *asker, text: b"+OK\r\n".to_vec() });
    assert_eq!(moving.world.heard(client), "+OK\r\n");
    moving.acknowledged();
    assert_eq!(moving.world.heard(client), "+PONG\r\n");
    moving.world.say(client, &command(&["SWAPDB", "0", "1"]));
    assert!(moving.world.heard(client).starts_with("-TRYAGAIN SWAPDB"));
}

/// Rules of the mover's marks, which can be left out.
#[derive(Clone, Copy)]
struct Marks {
    /// A topology in which keys move has a table of its own.
    own_table: bool,
    /// A key is marked when it has arrived, and not when it is asked for.
    behind_arrival: bool,
}

const MARKS: Marks = Marks { own_table: true, behind_arrival: true };

/// What the mover has begun to bring.
struct Batch {
    wanted: Wanted,
    /// The table that held then.
    marks: Arc<Arrived>,
}

impl Batch {
    fn mark(&self) {
        self.wanted.keys.iter().for_each(|key| self.marks.mark(self.wanted.db, key));
    }
}

/// Clients, nodes and the control plane in random order, and what must hold in every one of them.
struct Exploration {
    moving: Moving,
    marks: Marks,
    rng: fastrand::Rng,
    keys: Vec<(String, usize)>,
    clients: Vec<ClientKey>,
    /// Keys that each client has asked for and not heard of yet.
    asked: Vec<VecDeque<String>>,
    /// What each node has been sent and has not answered.
    under_way: [VecDeque<String>; 3],
    phase: Option<Phase>,
    fence: Option<u64>,
    tickets: Vec<Wanted>,
    batches: Vec<Batch>,
    brought: BTreeSet<String>,
}

impl Exploration {
    fn new(seed: u64, marks: Marks) -> Self {
        let mut moving = Moving::new();
        moving.kept = (!marks.own_table).then(arrived);
        let mut keys: Vec<(String, usize)> = (0..3).map(|n| moving.moving(n)).collect();
        keys.push((moving.staying(), 0));
        let clients: Vec<ClientKey> = (0..4).map(|_| moving.world.client()).collect();
        let asked = vec![VecDeque::new(); clients.len()];
        let rng = fastrand::Rng::with_seed(seed);
        Self {
            moving,
            marks,
            rng,
            keys,
            clients,
            asked,
            under_way: Default::default(),
            phase: None,
            fence: None,
            tickets: Vec::new(),
            batches: Vec::new(),
            brought: BTreeSet::new(),
        }
    }

    fn moves(&self, key: &str) -> bool {
        self.keys[..3].iter().any(|(moving, _)| moving == key)
    }

    /// A client asks for a key; the value that it will get names it.
    fn ask(&mut self) {
        let (who, what) = (self.rng.usize(..self.clients.len()), self.rng.usize(..self.keys.len()));
        let key = self.keys[what].0.clone();
        let world = &mut self.moving.world;
        if world.core.wants_input(self.clients[who]) {
            world.say(self.clients[who], &command(&["INCR", &key]));
            self.asked[who].push_back(key);
        }
    }

    /// What nodes have been sent by now, and whether it was right to send it.
    fn look(&mut self) {
        for node in 0..3 {
            let sent = self.moving.world.asked(node);
            let words: Vec<&str> = sent.split("\r\n").collect();
            for at in 0..words.len() {
                let request = match words[at] {
                    "INCR" => words[at + 2].to_owned(),
                    "PING" => "PING".to_owned(),
                    _ => continue,
                };
                if self.moves(&request) {
                    match self.phase {
                        None | Some(Phase::Prepare) => assert_eq!(node, 0, "{request} is still there"),
                        Some(Phase::Fence) => panic!("{request} is fenced, and was sent to {node}"),
                        Some(Phase::Moving) => {
                            assert!(
                                node != 0 && self.brought.contains(&request),
                                "{request} was not brought to {node}"
                            );
                        }
                    }
                }
                self.under_way[node].push_back(request);
            }
        }
        for ask in self.moving.asked() {
            let Ask::Bring(wanted) = ask else { panic!("{ask:?}") };
            self.tickets.push(wanted);
        }
    }

    fn answer(&mut self) {
        let node = self.rng.usize(..3);
        if let Some(request) = self.under_way[node].pop_front() {
            let reply = if request == "PING" { "+PONG\r\n".to_owned() } else { format!("+{request}\r\n") };
            self.moving.world.node_says(node, &reply);
        }
    }

    /// The mover begins with what somebody wants.
    fn begin(&mut self) {
        if self.tickets.is_empty() {
            return;
        }
        let wanted = self.tickets.swap_remove(self.rng.usize(..self.tickets.len()));
        let batch = Batch { wanted, marks: Arc::clone(&self.moving.arrived) };
        if !self.marks.behind_arrival {
            batch.mark();
        }
        self.batches.push(batch);
    }

    /// The mover hears that what it has begun with is at the new nodes, or was there before another fence.
    fn bring(&mut self) {
        if self.batches.is_empty() {
            return;
        }
        let batch = self.batches.swap_remove(self.rng.usize(..self.batches.len()));
        if self.phase == Some(Phase::Moving) && Arc::ptr_eq(&batch.marks, &self.moving.arrived) {
            let keys = batch.wanted.keys.iter().map(|key| String::from_utf8(key.to_vec()).unwrap());
            self.brought.extend(keys);
        }
        batch.mark();
        self.moving.tell_brought(batch.wanted.ticket, Ok(()));
    }

    /// A key arrives for which nobody has asked.
    fn pass(&mut self) {
        if self.phase == Some(Phase::Moving) {
            let key = &self.keys[self.rng.usize(..3)].0;
            self.brought.insert(key.clone());
            self.moving.arrived.mark(0, key.as_bytes());
        }
    }

    /// The next phase, if the one before is acknowledged.
    fn go_on(&mut self) {
        if self.fence.is_some() {
            return;
        }
        let next = match self.phase {
            None => Phase::Prepare,
            Some(Phase::Prepare) => Phase::Fence,
            Some(Phase::Fence) => Phase::Moving,
            // Once more: what was brought before is void, as after a flush.
            Some(Phase::Moving) => Phase::Fence,
        };
        self.phase = Some(next);
        if next != Phase::Moving {
            self.brought.clear();
        }
        if next == Phase::Fence {
            self.fence = Some(self.moving.world.core.snapshot.topology.epoch.0 + 1);
        }
        let epochs = self.moving.publish(Some(next));
        self.acknowledged(&epochs);
    }

    fn acknowledged(&mut self, epochs: &[u64]) {
        if self.fence.is_some_and(|fence| epochs.contains(&fence)) {
            self.fence = None;
            // At the node that loses them; what is under way at the new one is part of the move before.
            let late: Vec<&String> = self.under_way[0].iter().filter(|request| self.moves(request)).collect();
            assert!(late.is_empty(), "acknowledged while {late:?} are under way");
        }
    }

    fn listen(&mut self) {
        for (client, asked) in self.clients.iter().zip(&mut self.asked) {
            for reply in self.moving.world.heard(*client).split_terminator("\r\n") {
                assert_eq!(Some(reply.strip_prefix('+').unwrap()), asked.pop_front().as_deref(), "in order");
            }
        }
    }

    fn run(mut self) {
        for _ in 0..400 {
            match self.rng.u8(..10) {
                0..4 => self.ask(),
                4..7 => self.answer(),
                7 => self.begin(),
                8 => self.bring(),
                _ => match self.rng.u8(..8) {
                    0 => self.pass(),
                    1 => self.moving.arrived.void(),
                    _ => self.go_on(),
                },
            }
            let epochs = self.moving.acknowledged();
            self.look();
            self.acknowledged(&epochs);
            self.listen();
        }
        // Everybody is answered in the end.
        for _ in 0..2_000 {
            self.answer();
            self.begin();
            self.bring();
            if self.phase == Some(Phase::Fence) {
                self.go_on();
            }
            let epochs = self.moving.acknowledged();
            self.look();
            self.acknowledged(&epochs);
            self.listen();
        }
        assert!(self.asked.iter().all(VecDeque::is_empty), "{:?}", self.asked);
    }
}

#[test]
fn no_order_of_events_lets_a_request_pass_a_fence_or_lose_its_reply() {
    for seed in 0..300 {
        let run = std::panic::catch_unwind(|| Exploration::new(seed, MARKS).run());
        assert!(run.is_ok(), "seed {seed}");
    }
}

#[test]
fn without_any_one_of_the_rules_of_marks_a_request_comes_before_its_key() {
    for marks in [Marks { own_table: false, ..MARKS }, Marks { behind_arrival: false, ..MARKS }] {
        let is_seen = |seed| std::panic::catch_unwind(|| Exploration::new(seed, marks).run()).is_err();
        assert!((0..300).any(is_seen));
    }
}

#[test]
fn what_has_arrived_with_another_workers_request_or_with_the_pass_is_not_asked_for() {
    let mut moving = Moving::new();
    let (key, to) = moving.moving(0);
    moving.publish(Some(Phase::Moving));
    moving.arrived.mark(0, key.as_bytes());
    let client = moving.world.client();
    moving.world.say(client, &command(&["GET", &key]));
    assert_eq!((moving.asked(), moving.world.asked(to)), (vec![], command(&["GET", &key])));
    // In another db it is another key.
    moving.world.say(client, &command(&["COPY", &key, &key, "DB", "1"]));
    assert_eq!(moving.wanted().db, 1);
}

#[test]
fn what_has_arrived_at_a_node_is_doubted_when_a_connection_to_it_breaks_until_the_mover_was_there() {
    let mut moving = Moving::new();
    let (key, to) = moving.moving(0);
    let (other, elsewhere) = (1..).map(|n| moving.moving(n)).find(|(_, node)| *node != to).unwrap();
    moving.publish(Some(Phase::Moving));
    let clients = [0, 1, 2].map(|_| moving.world.client());
    for key in [&key, &other] {
        moving.arrived.mark(0, key.as_bytes());
    }
    // Asked before the connection breaks: it proves nothing.
    let early = (100..).map(|n| moving.moving(n)).find(|(_, node)| *node == to).unwrap().0;
    moving.world.say(clients[0], &command(&["GET", &early]));
    let early = moving.wanted();
    moving.world.core.set_now(10_000_000);
    moving.world.lose(to, &Lost::Broken("reset".to_owned()));
    moving.world.connect_all();
    moving.brought(&early);
    moving.world.asked(to);
    moving.world.say(clients[1], &(command(&["GET", &key]) + &command(&["GET", &key])));
    let wanted = moving.wanted();
    assert_eq!((wanted.keys.as_slice(), moving.world.asked(to)), ([key.clone().into()].as_slice(), String::new()));
    moving.world.say(clients[2], &command(&["GET", &other]));
    assert_eq!((moving.asked(), moving.world.asked(elsewhere)), (vec![], command(&["GET", &other])));
    moving.brought(&wanted);
    assert_eq!((moving.asked(), moving.world.asked(to)), (vec![], command(&["GET", &key]).repeat(2)));
}
