//! The world explored by seeds, whole and with each planted fault. `SEED=n` replays one seed of each, with its log.

use std::time::Duration;

use super::{
    super::{Input, Safety},
    judge::Property,
    world::{MAX_TTL, Scene, World, name},
};
use crate::traffic::lock::{Proof, Want};

/// Steps of one world.
const STEPS: u32 = 5_000;

impl World {
    /// Something happens.
    fn step(&mut self) {
        let proxy = self.random.usize(0..self.proxies.len());
        let voters = self.voters(proxy);
        let Some(voter) = self.random.choice(&voters).copied() else {
            self.save(proxy, false);
            return;
        };
        match self.random.u32(0..100) {
            0..34 => self.execute(proxy, voter),
            34..58 => self.deliver(proxy, voter),
            58..64 => self.read_inbox(proxy),
            64..70 => self.wake(proxy),
            70..74 => self.save(proxy, self.random.clone().u32(0..20) == 0),
            74..77 => self.connect(proxy, voter),
            77 => self.look(proxy, voter),
            78..89 => self.act(proxy),
            89 => self.haunt(),
            _ => self.advance(),
        }
        self.trouble(proxy);
    }

    fn advance(&mut self) {
        let most = match self.random.u32(0..100) {
            0..70 => 600,
            70..95 => 9_000,
            95..99 => 150_000,
            _ => 1_300_000,
        };
        self.now += Duration::from_micros(self.random.u64(0..most));
    }

    fn happens(&mut self, parts: u32) -> bool {
        self.random.u32(0..10_000) < parts
    }

    fn trouble(&mut self, proxy: usize) {
        let scene = self.scene.clone();
        let node = self.random.usize(0..self.nodes.len());
        let voters = self.voters(proxy);
        if self.happens(scene.breaks)
            && let Some(voter) = self.random.choice(&voters).copied()
        {
            self.break_line(proxy, voter, true);
        }
        if self.happens(scene.restarts) {
            self.crash_node(node);
        }
        if self.happens(scene.flushes) {
            self.flush(node);
        }
        if self.happens(scene.jumps) {
            let us = self.random.i64(-1_500_000..1_500_000);
            self.jump(node, us);
        }
        if self.happens(scene.pauses) {
            let time = MAX_TTL.mul_f64(self.random.f64() * 1.5);
            self.pause(proxy, time);
        }
        if self.happens(scene.deaths) {
            self.die(proxy);
        }
        if self.happens(scene.changes) {
            let mut all: Vec<_> = (0..self.nodes.len()).collect();
            self.random.shuffle(&mut all);
            let count = self.random.usize(scene.nodes.saturating_sub(1).max(1)..=self.nodes.len());
            all.truncate(count);
            self.want(proxy, &all);
        }
    }

    /// A client does something.
    fn act(&mut self, proxy: usize) {
        let client = self.random.usize(0..self.scene.sessions);
        let session = self.proxies[proxy].sessions[client].clone();
        if self.random.u32(0..60) == 0 {
            self.say(|| format!("session {} ends", session.id));
            self.leave(proxy, client);
            return;
        }
        if session.asking.is_some() {
            return;
        }
        if let Some((lock, token)) = session.held_last() {
            let proof = Proof::Token(token.hex().into());
            match self.random.u32(0..10) {
                0..4 => {
                    self.ask(proxy, client, lock, Want::Release { proof: Some(proof), once: false });
                }
                4..7 => {
                    let ttl_ms = self.ttl();
                    self.ask(proxy, client, lock, Want::Extend { proof, ttl_ms, more: false });
                }
                7 => {
                    self.ask(proxy, client, lock, Want::Info);
                }
                8 => self.proxies[proxy].sessions[client].forget(token),
                _ => {}
            }
            return;
        }
        let lock = name(self.random.usize(0..self.scene.names));
        let want = self.wish();
        self.ask(proxy, client, lock, want);
    }

    fn ttl(&mut self) -> u64 {
        if self.random.bool() { MAX_TTL.as_millis() as u64 } else { self.random.u64(20..1_000) }
    }

    fn wish(&mut self) -> Want {
        let wait_ms = if self.random.bool() { 0 } else { self.random.u64(1..3_000) };
        let value = format!("value {}", self.random.u64(..)).into();
        Want::Acquire { ttl_ms: self.ttl(), wait_ms, value, session: self.random.u32(0..4) == 0, again: false }
    }

    /// A session ends, and another comes.
    fn leave(&mut self, proxy: usize, client: usize) {
        let session = self.proxies[proxy].sessions[client].clone();
        for (_, token) in session.believed() {
            // Its SESSION locks are released; others stay, and nobody believes in them.
            self.judge.at_most(*token, self.now);
        }
        self.feed(proxy, Input::Gone(session.id));
        self.proxies[proxy].sessions[client] = super::world::Client::new(self.random.u64(1 << 32..1 << 60));
    }

    /// All faults end; then everybody is answered, and locks can be had.
    fn heal(&mut self) {
        for node in &mut self.nodes {
            (node.up, node.primary, node.evicts) = (true, true, false);
        }
        self.pass(MAX_TTL * 8);
        for proxy in 0..self.proxies.len() {
            let keeper = &self.proxies[proxy].keeper;
            keeper.check();
            let left = (keeper.works.len(), keeper.waiters, keeper.queues.len(), keeper.preparing.len());
            if left != (0, 0, 0, 0) {
                self.judge.fail(Property::Stuck, format!("P{proxy} has left {left:?}"));
            }
            if let Some(client) = self.proxies[proxy].sessions.iter().find(|client| client.asking.is_some()) {
                let text = format!("P{proxy} never answered {client:?}");
                self.judge.fail(Property::Stuck, text);
            }
        }
        // SESSION locks are held as long as their sessions live.
        for proxy in 0..self.proxies.len() {
            (0..self.scene.sessions).for_each(|client| self.leave(proxy, client));
        }
        self.pass(MAX_TTL * 2);
        for index in 0..self.scene.names {
            let before = self.judge.grants;
            let value = format!("last {index}").into();
            let want = Want::Acquire { ttl_ms: 500, wait_ms: 4_000, value, session: false, again: false };
            self.ask(0, 0, name(index), want);
            self.pass(Duration::from_secs(5));
            if self.judge.grants == before {
                let last = self.answers.last().cloned();
                self.judge.fail(Property::Stuck, format!("nobody can have lock{index}: {last:?}"));
            }
        }
    }
}

/// One world, to its end.
pub(super) fn run(scene: &Scene, seed: u64) -> World {
    let mut world = World::new(scene.clone(), seed);
    for _ in 0..STEPS {
        world.step();
        if world.judge.verdict.is_some() {
            return world;
        }
    }
    world.heal();
    world
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (1..=count).collect(),
    }
}

/// No seed of this scene sees what must not be.
fn holds(what: &str, scene: &Scene, count: u64) {
    let (mut grants, mut extensions) = (0, 0);
    for seed in seeds(count) {
        let world = run(scene, seed);
        if let Some((property, text)) = &world.judge.verdict {
            for line in world.log.iter().rev().take(400).rev() {
                println!("{line}");
            }
            panic!("{what}: SEED={seed}: {property:?}: {text}");
        }
        (grants, extensions) = (grants + world.judge.grants, extensions + world.judge.extensions);
    }
    println!("{what}: {grants} grants, {extensions} extensions");
    assert!(grants > count, "{what}: hardly anything happened: {grants} grants");
}

/// Some seed of this scene sees what must not be: so the search can fail.
fn breaks(what: &str, scene: &Scene, expected: &[Property], count: u64) {
    for seed in seeds(count) {
        if let Some((property, text)) = run(scene, seed).judge.verdict
            && expected.contains(&property)
        {
            println!("{what}: seed {seed}: {property:?}: {text}");
            return;
        }
    }
    panic!("{what}: not found in {count} seeds");
}

/// As many seeds as are worth their time in every run; `LOCK_SEEDS=n` for more.
fn many(count: u64) -> u64 {
    std::env::var("LOCK_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(count)
}

fn slow_lines() -> Scene {
    Scene { breaks: 60, ..Scene::default() }
}

#[test]
fn one_keeper_whose_lines_break() {
    holds("lines break", &slow_lines(), many(40));
}

#[test]
fn three_keepers_whose_lines_break() {
    holds("three keepers", &Scene { keepers: 3, sessions: 2, names: 1, pauses: 20, ..slow_lines() }, many(40));
}

#[test]
fn nodes_that_forget() {
    let scene = Scene { restarts: 8, flushes: 8, jumps: 8, pauses: 10, ..slow_lines() };
    holds("nodes forget", &scene, many(60));
}

#[test]
fn nodes_that_forget_before_two_keepers() {
    // Two keepers whose nodes have all forgotten do not know of each other's fences.
    let scene =
        Scene { keepers: 2, sessions: 3, names: 1, fences: false, restarts: 6, flushes: 6, jumps: 6, ..slow_lines() };
    holds("nodes forget, two keepers", &scene, many(60));
}

#[test]
fn a_keeper_that_dies() {
    let scene = Scene { deaths: 20, restarts: 5, pauses: 10, ..slow_lines() };
    holds("the keeper dies", &scene, many(60));
}

#[test]
fn five_nodes() {
    let scene = Scene { nodes: 6, each: 5, restarts: 10, ..slow_lines() };
    holds("five nodes", &scene, many(20));
}

#[test]
fn one_node_and_two() {
    for nodes in [1, 2] {
        let scene = Scene { nodes, restarts: 4, flushes: 4, ..slow_lines() };
        holds("few nodes", &scene, many(15));
    }
}

#[test]
fn nodes_that_change() {
    let scene = Scene { nodes: 3, spare: 3, changes: 20, deaths: 8, restarts: 6, ..slow_lines() };
    holds("nodes change", &scene, many(80));
    // The window alone does it, where nobody forgets: what the planted fault without it takes away.
    let safety = Safety { quarantine: false, ..Safety::default() };
    let scene = Scene { names: 1, spare: 3, changes: 40, safety, ..slow_lines() };
    holds("nodes change, and none forgets", &scene, many(100));
}

/// Each rule that is switched off is missed. EXTEND after validity needs too many steps in one order: scenarios.rs, E2.
#[test]
fn planted_faults_are_found() {
    use Property::{P1, P2, P3, P4, P5};
    let sound = Safety::default();
    let one = Scene { names: 1, ..slow_lines() };
    let forgetful = Scene { names: 1, restarts: 25, ..slow_lines() };
    let rows: [(&str, Scene, &[Property]); 8] = [
        ("no quarantine", Scene { safety: Safety { quarantine: false, ..sound }, ..forgetful }, &[P1]),
        (
            "the same token in retries",
            Scene { kill: false, breaks: 200, safety: Safety { fresh_tokens: false, ..sound }, ..one.clone() },
            &[P1, P3],
        ),
        ("no CLIENT KILL", Scene { kill: false, breaks: 200, ..one.clone() }, &[P4]),
        (
            "granted before round 2",
            Scene { keepers: 3, node_time: 500, safety: Safety { second_round: false, ..sound }, ..one.clone() },
            &[P2],
        ),
        (
            "validity before round 2",
            Scene { keepers: 2, node_time: 2_000, safety: Safety { late_validity: false, ..sound }, ..one.clone() },
            &[P1],
        ),
        (
            // Nodes that join without one are put into quarantine, which hides it mostly; nothing forgets here.
            "no window",
            Scene {
                spare: 3,
                changes: 40,
                safety: Safety { window: false, quarantine: false, ..sound },
                ..one.clone()
            },
            &[P1, P5],
        ),
        ("no marker", Scene { flushes: 30, safety: Safety { marker: false, ..sound }, ..one.clone() }, &[P1]),
        ("releases do not compare", Scene { safety: Safety { compare: false, ..sound }, ..one }, &[P1, P3]),
    ];
    for (what, scene, expected) in rows {
        breaks(what, &scene, expected, many(600));
    }
}
