//! Each rule of the protocol, and what happens without it: scenes in which two clients would have a lock at once, or one
//! fence, staged by holding messages back. With all rules nobody sees what cannot be; without the one the judge must find it.

use std::{thread, time::Duration};

use ::circlet::control::lock::{Safety, keeper};

use super::{
    history::Grant,
    judge::{Order, judge},
    play::Play,
    scene::{Scene, Setup},
    wire::{Commands, Failure, Locks, Wish},
};
use crate::support::wait::until_true;

const LOCK: &str = "orders";
/// Longer than a scene takes, before it is over.
const TTL: u64 = 2_000;

const SETUP: Setup = Setup { max_ttl: TTL, timeout: "250ms", ..super::SETUP };

/// All rules of the keeper but what `change` switches off.
fn without(change: impl FnOnce(&mut keeper::Safety)) -> Safety {
    let mut rules = Safety::default();
    change(&mut rules.keeper);
    rules
}

/// What must not be seen with all rules, and is seen with `without`.
fn shows(without: Safety, scene: impl Fn(Safety) -> Stage) {
    let found = |rules| judge(&scene(rules).play.history(), Order::Fences);
    assert_eq!(found(Safety::default()), [""; 0], "with all rules");
    // Where chance has a part in it, more than once.
    let broken = (0..8).find_map(|_| found(without).into_iter().next());
    eprintln!("{}", broken.expect("without the rule the judge finds it"));
}

/// A scene under way.
struct Stage {
    play: Play,
    scene: Scene,
}

impl Stage {
    fn new(rules: Safety, setup: Setup) -> Self {
        Self { scene: Scene::start(Setup { inside: Some(rules), ..setup }), play: Play::new() }
    }

    /// One attempt of a client at a Circlet: what it believes then.
    fn take(&self, circlet: usize, client: u16, ttl: u64, wait: u64) -> Option<Grant> {
        let mut locks = Commands::of(&self.scene.fronts[circlet].address());
        let asked = self.play.now();
        let granted = match locks.acquire(Wish { name: LOCK, ttl, wait, session: false }) {
            Ok(granted) => granted?,
            Err(Failure::Refused(line)) => {
                eprintln!("client {client}: {line}");
                return None;
            }
            Err(Failure::Broken) => panic!("the connection broke"),
        };
        let since = asked + granted.waited * 1_000_000;
        let end = since + granted.validity * 1_000_000;
        let grant = Grant { lock: 0, client, fence: granted.fence, since, got: self.play.now(), end };
        self.play.had(grant.clone());
        Some(grant)
    }

    /// Another client tries until it has the lock, or the one that `grant` tells of is over.
    fn take_before(&self, circlet: usize, grant: &Grant) {
        while self.play.now() < grant.end && self.take(circlet, 2, 200, 0).is_none() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether `question` about the lock is answered 1 by every node.
    fn all(&self, question: &str) -> bool {
        self.scene.members.iter().all(|member| member.redis.client().value(question).number() == 1)
    }

    fn wait_all(&self, question: &str) {
        until_true(question, || self.all(question));
    }
}

#[test]
fn nodes_that_have_forgotten_do_not_count_for_a_time() {
    shows(without(|rules| rules.quarantine = false), |rules| {
        let mut stage = Stage::new(rules, SETUP);
        let first = stage.take(0, 1, TTL, 0).unwrap();
        for member in stage.scene.members.iter_mut().take(2) {
            member.redis.start_again();
        }
        stage.take_before(0, &first);
        stage
    });
}

#[test]
fn nodes_that_were_flushed_say_so_themselves() {
    shows(without(|rules| rules.marker = false), |rules| {
        let stage = Stage::new(rules, Setup { circlets: 2, ..SETUP });
        let first = stage.take(0, 1, TTL, 0).unwrap();
        for member in stage.scene.members.iter().take(2) {
            member.redis.client().expect("FLUSHALL", "+OK\r\n");
        }
        stage.take_before(1, &first);
        stage
    });
}

#[test]
fn nothing_is_granted_before_its_fence_is_kept() {
    shows(without(|rules| rules.second_round = false), |rules| {
        let stage = Stage::new(rules, Setup { circlets: 2, relays: true, ..SETUP });
        // Round 1 is done at the nodes, and round 2 never comes there.
        let relays = || stage.scene.members.iter().map(|member| &member.relays[0]);
        relays().for_each(|relay| relay.hold());
        thread::scope(|scope| {
            let first = scope.spawn(|| stage.take(0, 1, 500, 0));
            stage.wait_all(&format!("EXISTS circlet:lock:{LOCK}"));
            relays().for_each(|relay| relay.hold_requests());
            relays().for_each(|relay| relay.release_replies());
            first.join().unwrap();
        });
        // By another Circlet, once the first is over.
        stage.take(1, 2, 500, 5_000).expect("the lock is free sometime");
        relays().for_each(|relay| relay.cut());
        stage
    });
}

#[test]
fn validity_is_what_is_left_behind_both_rounds() {
    shows(without(|rules| rules.late_validity = false), |rules| {
        let stage = Stage::new(rules, Setup { circlets: 2, relays: true, timeout: "1900ms", ..SETUP });
        let relays = || stage.scene.members.iter().map(|member| &member.relays[0]);
        relays().for_each(|relay| relay.hold());
        thread::scope(|scope| {
            let first = scope.spawn(|| stage.take(0, 1, 500, 0));
            stage.wait_all(&format!("EXISTS circlet:lock:{LOCK}"));
            relays().for_each(|relay| relay.hold_requests());
            relays().for_each(|relay| relay.release_replies());
            until_true("round 2 to begin", || relays().all(|relay| relay.holds_a_request()));
            relays().for_each(|relay| relay.hold());
            relays().for_each(|relay| relay.release_requests());
            stage.wait_all(&format!("HEXISTS circlet:lock:{LOCK} f"));
            // Its keys end before anybody is told.
            stage.take(1, 2, TTL, 5_000).expect("the lock is free sometime");
            relays().for_each(|relay| relay.release());
            first.join().unwrap();
        });
        stage
    });
}

#[test]
fn nodes_before_and_after_a_change_count_together_for_a_time() {
    shows(without(|rules| rules.window = false), |rules| {
        let stage = Stage::new(rules, Setup { nodes: 5, circlets: 2, ..SETUP });
        let first = stage.take(0, 1, TTL, 0).unwrap();
        // Two of the three nodes that have it go; those in their places are known for long, and have never heard of it.
        let key = format!("EXISTS circlet:lock:{LOCK}");
        let members = stage.scene.members.iter();
        let names: Vec<&str> = members
            .filter(|member| member.redis.client().value(&key).number() == 1)
            .map(|member| member.name.as_str())
            .collect();
        let line = format!("CIRCLET NODE REMOVE {} AND REMOVE {}", names[0], names[1]);
        thread::scope(|scope| {
            // By another Circlet, since one knows what it has granted itself.
            scope.spawn(|| stage.scene.change(1, &line));
            stage.take_before(1, &first);
        });
        stage
    });
}

#[test]
fn a_clean_up_frees_nobody_elses_lock() {
    shows(without(|rules| rules.compare = false), |rules| {
        let stage = Stage::new(rules, Setup { circlets: 2, relays: true, ..SETUP });
        let first = stage.take(0, 1, TTL, 0).unwrap();
        // Another Circlet does not hear that two nodes refused it, and cleans up there.
        let two = || stage.scene.members.iter().take(2).map(|member| &member.relays[1]);
        two().for_each(|relay| relay.hold());
        assert_eq!(stage.take(1, 2, TTL, 0), None);
        two().for_each(|relay| relay.release());
        stage.take_before(1, &first);
        stage
    });
}

/// The end of connections that broke is what saves even those that use one token again; so it is switched off as well, and
/// fresh tokens alone are enough.
#[test]
fn a_late_clean_up_of_one_attempt_does_not_free_the_next() {
    let scene = |rules: Safety| {
        let stage = Stage::new(rules, Setup { circlets: 2, relays: true, timeout: "50ms", ..SETUP });
        let two = || stage.scene.members.iter().take(2).map(|member| &member.relays[0]);
        let mut holder = Commands::of(&stage.scene.fronts[1].address());
        let held = holder.acquire(Wish { name: LOCK, ttl: TTL, wait: 0, session: false }).unwrap().unwrap();
        two().for_each(|relay| relay.hold_requests());
        thread::scope(|scope| {
            let first = scope.spawn(|| stage.take(0, 1, TTL, 20_000));
            until_true("the first attempt to be under way", || two().all(|relay| relay.holds_a_request()));
            // It is given up, and cleaned up behind; both are held. So may be another one or two, and all is in vain where the last
            // of them is under way now. The fault itself.
            thread::sleep(Duration::from_millis(600));
            two().for_each(|relay| relay.strand());
            let released = holder.release(LOCK, &held.token);
            eprintln!("the holder releases: {released:?}");
            let first = first.join().unwrap().expect("the lock is free");
            two().for_each(|relay| relay.release());
            stage.take_before(1, &first);
        });
        stage
    };
    let calm = scene(Safety { kills: false, ..Safety::default() });
    assert_eq!(judge(&calm.play.history(), Order::Fences), [""; 0], "with fresh tokens");
    shows(Safety { kills: false, ..without(|rules| rules.fresh_tokens = false) }, scene);
}
