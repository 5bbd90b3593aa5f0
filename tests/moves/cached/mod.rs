//! Nobody reads an old value from a cache whose nodes are left out and come back, whatever happens to them and to Circlet.
//!
//! ```text
//!  writers (each has its keys) ─┐                     ┌─ nodes: killed, hung, back with what they had, or empty
//!  readers ─────────────────────┴─► Circlet ──────────┴─ a walk through these, by a seed
//!        └── every operation ──► history: is anything read that is older than what was known?
//! ```
//! A miss is always allowed, an error too. What a walk did is printed; `SEED=n` walks the same way again.

mod history;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use circlet::control::rebalance::drive::Safety;
use fastrand::Rng;

use super::scene::{Front, Scene, Setup};
use crate::support::{
    client::Client,
    resp::{self, Value},
    seed,
    wait::{LONG, until, until_true},
};
use history::{Did, Op};

const SETUP: Setup =
    Setup { nodes: 4, relays: false, keeps: true, timeout: "500ms", inside: None, settings: &SETTINGS };

const SETTINGS: [&str; 3] = ["profile=cache", "on_node_down=eject", "node_info=1s"];

const WRITERS: usize = 3;
const READERS: usize = 3;
/// Keys of each writer.
const KEYS: usize = 24;

/// What the clients of a round share.
struct Play {
    address: String,
    begin: Instant,
    stop: AtomicBool,
    done: AtomicU64,
    ops: Mutex<BTreeMap<String, Vec<Op>>>,
    log: Mutex<Vec<String>>,
}

impl Play {
    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap()
    }

    fn note(&self, text: &str) {
        let line = format!("{:>9.4} s  {text}", self.begin.elapsed().as_secs_f64());
        eprintln!("{line}");
        self.log.lock().unwrap().push(line);
    }

    /// Waits until clients have had so many more answers.
    fn wait_for(&self, operations: u64) {
        let goal = self.done.load(SeqCst) + operations;
        until_true("clients to go on", || self.done.load(SeqCst) >= goal);
    }

    /// Asks, and notes what came of it; a lost connection is made again.
    fn act(&self, client: &mut Option<Client>, key: &str, words: &[&str], did: impl Fn(Option<&Value>) -> Option<Did>) {
        let begin = self.now();
        let mut bytes = Vec::new();
        resp::request(&mut bytes, words);
        let mut told = || -> std::io::Result<Value> {
            if client.is_none() {
                *client = Some(Client::try_connect(&self.address, LONG)?);
            }
            let there = client.as_mut().unwrap();
            there.try_send(&bytes)?;
            there.try_frame(LONG).map(|frame| Value::of(&frame))
        };
        let reply = told();
        if reply.is_err() {
            *client = None;
            // Circlet is away: not as fast as the machine can.
            thread::sleep(Duration::from_millis(2));
        } else {
            self.done.fetch_add(1, SeqCst);
        }
        if let Some(did) = did(reply.as_ref().ok()) {
            let op = Op { begin, end: self.now(), did };
            self.ops.lock().unwrap().entry(key.to_owned()).or_default().push(op);
        }
    }

    fn writer(&self, number: usize, seed: u64) {
        let (mut rng, mut client, mut counts) = (Rng::with_seed(seed), None, [0_u64; KEYS]);
        while !self.stop.load(SeqCst) {
            let at = rng.usize(..KEYS);
            counts[at] += 1;
            let (key, count) = (key(number, at), counts[at]);
            if rng.u8(..8) == 0 {
                let done = |reply: Option<&Value>| matches!(reply, Some(Value::Scalar(b':', _)));
                self.act(&mut client, &key, &["DEL", &key], |reply| Some(Did::Delete(count, done(reply))));
            } else {
                let done = |reply: Option<&Value>| matches!(reply, Some(Value::Scalar(b'+', _)));
                let value = count.to_string();
                self.act(&mut client, &key, &["SET", &key, &value], |reply| Some(Did::Write(count, done(reply))));
            }
        }
    }

    fn reader(&self, seed: u64) {
        let (mut rng, mut client) = (Rng::with_seed(seed), None);
        while !self.stop.load(SeqCst) {
            self.read(&mut client, &key(rng.usize(..WRITERS), rng.usize(..KEYS)));
        }
    }

    fn read(&self, client: &mut Option<Client>, key: &str) {
        self.act(client, key, &["GET", key], |reply| match reply {
            Some(Value::Bulk(value)) => Some(Did::Read(Some(std::str::from_utf8(value).unwrap().parse().unwrap()))),
            _ => None,
        });
    }

    /// What was read that is old, told.
    fn stale(&self) -> Vec<String> {
        let ops = self.ops.lock().unwrap();
        let stale = |(key, ops): (&String, &Vec<Op>)| {
            history::stale(ops).map(|found| format!("{key}: {found:?} at {:.4} s", found.at as f64 / 1e9))
        };
        ops.iter().filter_map(stale).collect()
    }
}

fn key(writer: usize, number: usize) -> String {
    format!("w{writer}:{number}")
}

/// What is wrong with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Hung,
}

/// A walk through what may happen to nodes and Circlet.
struct Walk<'a> {
    scene: &'a mut Scene,
    play: &'a Play,
    rng: &'a mut Rng,
    down: BTreeMap<usize, Fault>,
}

impl Walk<'_> {
    fn step(&mut self) {
        let up: Vec<usize> = (0..self.scene.members.len()).filter(|at| !self.down.contains_key(at)).collect();
        // Half of them may be down at once, and one more for a moment.
        let room = self.down.len() * 2 <= self.scene.members.len();
        match self.rng.u8(..10) {
            0..=2 if room => {
                let at = *self.rng.choice(&up).unwrap();
                let fault = if self.rng.bool() { Fault::Killed } else { Fault::Hung };
                self.strike(at, fault);
            }
            3..=4 if !self.down.is_empty() => {
                let down: Vec<usize> = self.down.keys().copied().collect();
                let at = *self.rng.choice(&down).unwrap();
                self.restore(at);
            }
            5..=6 if !self.down.is_empty() => self.wait_until_out(),
            7 => self.crash_circlet(),
            8 if !self.down.is_empty() => {}
            8 => self.wait_until_back(),
            _ => {}
        }
        self.play.wait_for(self.rng.u64(50..800));
    }

    fn strike(&mut self, at: usize, fault: Fault) {
        self.play.note(&format!("server {} is {fault:?}", at + 1));
        let redis = &mut self.scene.members[at].redis;
        match fault {
            Fault::Killed => redis.kill(),
            Fault::Hung => redis.pause(),
        }
        self.down.insert(at, fault);
    }

    fn restore(&mut self, at: usize) {
        let redis = &mut self.scene.members[at].redis;
        match self.down.remove(&at) {
            Some(Fault::Killed) => redis.start_again(),
            Some(Fault::Hung) => redis.resume(),
            None => {}
        }
        self.play.note(&format!("server {} goes on", at + 1));
    }

    /// Until as many as may be are left out of those that are down.
    fn wait_until_out(&mut self) {
        let most = self.scene.members.len() / 2;
        let wanted = self.down.len().min(most);
        let scene = &*self.scene;
        until_true("who is down to be left out", || out(scene).len() >= wanted);
        self.play.note(&format!("left out: {:?}", out(scene)));
    }

    fn wait_until_back(&mut self) {
        let scene = &*self.scene;
        // The pause of a node that keeps falling grows.
        until("everybody to be back", LONG * 6, || out(scene).is_empty().then_some(()));
        self.play.note("everybody is back");
    }

    fn crash_circlet(&mut self) {
        if let Front::Binary(circlet) = &mut self.scene.front {
            self.play.note("circlet crashes");
            circlet.kill();
            // All of its nodes may be down.
            circlet.start_again_with(0);
            self.play.note("circlet is back");
        }
    }

    /// Everything is mended, and everybody back and purged.
    fn heal(&mut self) {
        for at in self.down.keys().copied().collect::<Vec<_>>() {
            self.restore(at);
        }
        self.wait_until_back();
        let scene = &*self.scene;
        until_true("all to be purged", || scene.status("owing") == "0" && scene.status("state") == "idle");
        scene.wait_whole();
    }
}

/// The nodes that are left out.
fn out(scene: &Scene) -> Vec<String> {
    scene.status("out").split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Plays a round; gives what was read that is old, and what was done.
fn play(setup: Setup, seed: u64, walk: impl Fn(&mut Walk<'_>)) -> (Vec<String>, String) {
    let mut rng = Rng::with_seed(seed);
    let mut scene = Scene::start(setup);
    let play = Play {
        address: scene.address(),
        begin: Instant::now(),
        stop: AtomicBool::new(false),
        done: AtomicU64::new(0),
        ops: Mutex::default(),
        log: Mutex::default(),
    };
    let seeds: Vec<u64> = (0..WRITERS + READERS).map(|_| rng.u64(..)).collect();
    thread::scope(|scope| {
        let play = &play;
        for (number, seed) in seeds.into_iter().enumerate() {
            scope.spawn(move || if number < WRITERS { play.writer(number, seed) } else { play.reader(seed) });
        }
        // Clients end too if the walk fails.
        let stop = Stop(play);
        play.wait_for(200);
        let mut steps = Walk { scene: &mut scene, play, rng: &mut rng, down: BTreeMap::new() };
        walk(&mut steps);
        steps.heal();
        play.wait_for(500);
        drop(stop);
    });
    let mut referee = None;
    (0..WRITERS).for_each(|writer| (0..KEYS).for_each(|at| play.read(&mut referee, &key(writer, at))));
    let found = play.stale();
    eprintln!("{} operations, {} keys with something old", play.done.load(SeqCst), found.len());
    (found, play.log.into_inner().unwrap().join("\n"))
}

/// Tells the clients to stop when dropped.
struct Stop<'a>(&'a Play);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
    }
}

#[track_caller]
fn nothing_old(test: &str, setup: Setup, steps: usize) {
    let seed = seed::number(test);
    let (found, log) = play(setup, seed, |walk| (0..steps).for_each(|_| walk.step()));
    assert!(found.is_empty(), "SEED={seed}: old values were read.\n{log}\n\n{}", found.join("\n"));
}

/// The same node falls and comes back twice.
fn twice(walk: &mut Walk<'_>) {
    for fault in [Fault::Hung, Fault::Killed] {
        walk.strike(0, fault);
        walk.wait_until_out();
        walk.play.wait_for(1_000);
        walk.restore(0);
        walk.wait_until_back();
        walk.play.wait_for(1_000);
    }
}

#[test]
fn nothing_old_is_read_while_nodes_fall_and_come_back_with_what_they_had() {
    nothing_old("nothing_old_is_read_while_nodes_fall_and_come_back_with_what_they_had", SETUP, 12);
}

#[test]
fn nothing_old_is_read_while_nodes_fall_and_come_back_empty() {
    let setup = Setup { keeps: false, nodes: 3, ..SETUP };
    nothing_old("nothing_old_is_read_while_nodes_fall_and_come_back_empty", setup, 12);
}

#[test]
fn nothing_old_is_read_from_a_node_that_falls_twice_in_a_circlet_inside_this_process() {
    let seed = seed::number("nothing_old_is_read_from_a_node_that_falls_twice_in_a_circlet_inside_this_process");
    let (found, log) = play(Setup { inside: Some(Safety::default()), ..SETUP }, seed, twice);
    assert!(found.is_empty(), "SEED={seed}: old values were read.\n{log}\n\n{}", found.join("\n"));
}

#[track_caller]
fn must_be_missed(test: &str, safety: Safety) {
    let seed = seed::number(test);
    let (found, _) = play(Setup { inside: Some(safety), ..SETUP }, seed, twice);
    eprintln!("{}", found.first().expect("somebody reads what is old"));
}

#[test]
fn a_node_that_comes_back_without_a_purge_is_found_out() {
    must_be_missed(
        "a_node_that_comes_back_without_a_purge_is_found_out",
        Safety { cleanse: false, ..Safety::default() },
    );
}

#[test]
fn stand_ins_that_are_not_purged_are_found_out() {
    must_be_missed("stand_ins_that_are_not_purged_are_found_out", Safety { purge: false, ..Safety::default() });
}

/// `make soak MINUTES=30`: walk after walk, each with the next seed, until one finds something old or the time is over.
#[test]
#[ignore = "takes as long as it is told"]
fn soak() {
    seed::soak(|seed| {
        let mut rng = Rng::with_seed(seed);
        let setup = Setup { nodes: rng.usize(2..6), keeps: rng.u8(..4) > 0, ..SETUP };
        let steps = rng.usize(8..30);
        let (found, log) = play(setup, seed, |walk| (0..steps).for_each(|_| walk.step()));
        assert!(found.is_empty(), "SEED={seed}: old values were read.\n{log}\n\n{}", found.join("\n"));
    });
}
