//! One round: servers, clients, things that go wrong, and then the question whether anybody saw what cannot be.

use std::{collections::BTreeMap, sync::atomic::Ordering::SeqCst, thread};

use fastrand::Rng;

use super::{
    judge::{Order, judge},
    nemesis::Nemesis,
    person::{LOCKS, Person, name},
    play::Play,
    scene::{Scene, Setup},
    wire::{Commands, Library},
};

/// What a round is made of.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    pub setup: Setup,
    pub clients: u16,
    pub nemeses: &'a [&'a dyn Nemesis],
    pub strikes: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// What cannot be.
    pub broken: Vec<String>,
    pub grants: usize,
    pub writes: usize,
    /// Errors by their first word.
    pub errors: BTreeMap<String, usize>,
    /// What was done when.
    pub log: String,
}

/// Replies between two strikes.
const CALM: u64 = 60;

impl Round<'_> {
    /// Plays it.
    pub fn play(&self, seed: u64) -> Outcome {
        let mut rng = Rng::with_seed(seed);
        let mut scene = Scene::start(self.setup);
        let play = Play::new();
        self.clients_and_strikes(&mut scene, &play, &mut rng);
        let order = self.order();
        let history = play.history();
        let mut broken = judge(&history, order);
        // All is well again: every lock can be had, and whoever has it next comes behind everybody before.
        for lock in 0..LOCKS {
            let fence = scene.wait_granted(0, &name(lock));
            let largest = history.grants.iter().filter(|grant| grant.lock == lock).map(|grant| grant.fence).max();
            if order == Order::Fences && largest.is_some_and(|largest| fence <= largest) {
                broken.push(format!("lock {lock}: in the end its fence is {fence}, and {largest:?} was given before"));
            }
        }
        let (grants, writes) = (history.grants.len(), history.writes.len());
        Outcome { broken, grants, writes, errors: play.errors(), log: play.log() }
    }

    fn order(&self) -> Order {
        let forgetting = self.nemeses.iter().any(|nemesis| nemesis.forgets());
        if self.setup.circlets > 1 && forgetting { Order::None } else { Order::Fences }
    }

    fn clients_and_strikes(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let seed = rng.u64(..);
        thread::scope(|scope| {
            for number in 1..=self.clients {
                let address = scene.fronts[usize::from(number) % scene.fronts.len()].address();
                scope.spawn(move || match number {
                    // One of them speaks as libraries do.
                    3 if self.setup.inside.is_none() => Person::new(number, play, Library::of(&address), seed).run(),
                    _ => Person::new(number, play, Commands::of(&address), seed).run(),
                });
            }
            // Clients end too if a strike fails.
            let stop = Stop(play);
            play.wait_for(CALM);
            for _ in 0..self.strikes {
                let Some(nemesis) = rng.choice(self.nemeses) else { break };
                nemesis.strike(scene, play, rng);
                play.wait_for(rng.u64(10..CALM));
            }
            play.wait_for(CALM);
            drop(stop);
        });
    }
}

/// Tells the clients to stop when dropped.
struct Stop<'a>(&'a Play);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
    }
}

impl Outcome {
    /// Fails the test if anybody saw what cannot be, or nobody saw anything.
    pub fn expect_whole(&self, seed: u64) {
        let Self { broken, grants, writes, errors, log } = self;
        eprintln!("{grants} grants, {writes} writes; errors: {errors:?}");
        let few = broken.iter().take(5).cloned().collect::<Vec<_>>().join("\n");
        assert!(broken.is_empty(), "SEED={seed}: {} things that cannot be.\n{log}\n\n{few}", broken.len());
        assert!(*grants >= 10, "SEED={seed}: only {grants} locks were granted\n{log}\n{errors:?}");
    }
}
