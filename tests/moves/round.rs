//! One round: servers, clients, things that go wrong, and then the question whether anybody saw what cannot be.
//!
//! ```text
//!  Scene::start ── ballast ── clients go on ──────────────────────────────► stop ── read all ── audit ── check
//!                                 change: strike · wait · strike · wait · … over? · change: …
//! ```

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, atomic::Ordering::SeqCst},
    thread,
};

use fastrand::Rng;

use super::{
    audit,
    ballast::Ballast,
    keys::{Class, DBS, NUMBERS, Object},
    linear::{Op, Verdict, check, render::render},
    nemesis::{Nemesis, changes},
    person::Person,
    play::Play,
    scene::{Scene, Setup},
};

/// What a round is made of.
#[derive(Clone, Copy, Debug)]
pub struct Round<'a> {
    pub setup: Setup,
    pub clients: u16,
    pub ballast: Ballast,
    /// Changes of the nodes, one after the other.
    pub changes: usize,
    pub nemeses: &'a [&'a dyn Nemesis],
    /// Strikes during each change, or in all if there is none.
    pub strikes: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Histories that cannot be, drawn; and what the nodes should not hold.
    pub broken: Vec<String>,
    /// Histories that were too large to tell.
    pub undecided: usize,
    pub operations: usize,
    pub objects: usize,
    /// Errors by their first word.
    pub errors: BTreeMap<String, usize>,
    /// What was done when.
    pub log: String,
}

/// Replies between two strikes.
const CALM: u64 = 400;

/// The number of the client that reads all in the end.
const REFEREE: u16 = 999;

impl Round<'_> {
    /// Plays it.
    pub fn play(&self, seed: u64) -> Outcome {
        let mut rng = Rng::with_seed(seed);
        let mut scene = Scene::start(self.setup);
        self.ballast.load(&mut scene.client(), 0);
        let play = Play::new(scene.address());
        let mut seen = self.clients_and_strikes(&mut scene, &play, &mut rng);
        let objects = objects_of(&seen, &play);
        scene.wait_whole();
        let mut referee = Person::new(REFEREE, &play, 0);
        referee.read(&objects);
        seen.append(&mut referee.seen);
        let mut outcome = judge(seen, &play);
        // First what clients saw: it tells more than what is left of it.
        if outcome.broken.is_empty() {
            let era = objects.first().map_or(0, |object| object.era);
            let wiped = era > 0 || !play.wipes.lock().unwrap().is_empty();
            let expected = audit::Expected { ballast: self.ballast, era, wiped, objects: &objects };
            // What the nodes should not hold was seen by somebody, too.
            if let Err(found) = catch_unwind(AssertUnwindSafe(|| audit::nodes(&scene, &expected))) {
                let text = found.downcast_ref::<String>().map_or("the nodes hold what they should not", String::as_str);
                outcome.broken.push(text.to_owned());
            }
        }
        outcome
    }

    fn clients_and_strikes(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) -> Vec<(Object, Op)> {
        let seed = rng.u64(..);
        thread::scope(|scope| {
            let clients: Vec<_> =
                (1..=self.clients).map(|number| scope.spawn(move || Person::new(number, play, seed).run())).collect();
            // Clients end too if a strike fails.
            let stop = Stop(play);
            play.wait_for(CALM);
            for change in 0..self.changes.max(1) {
                if change < self.changes {
                    changes::begin(scene, play, rng);
                }
                self.strikes(scene, play, rng);
                changes::finish(scene, play);
            }
            scene.wait_whole();
            play.wait_for(CALM);
            drop(stop);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }
}

impl Round<'_> {
    fn strikes(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        for _ in 0..self.strikes {
            let Some(nemesis) = rng.choice(self.nemeses) else { return };
            nemesis.strike(scene, play, rng);
            play.wait_for(rng.u64(50..CALM));
        }
    }
}

/// Tells the clients to stop when dropped.
struct Stop<'a>(&'a Play);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, SeqCst);
    }
}

/// All objects of the present era that were worked on, of earlier generations too.
fn objects_of(seen: &[(Object, Op)], play: &Play) -> Vec<Object> {
    let mut objects: Vec<Object> =
        seen.iter().map(|(object, _)| *object).filter(|object| play.lost(object.era).is_none()).collect();
    for class in Class::ALL {
        objects.extend(DBS.iter().flat_map(|&db| (0..NUMBERS).map(move |number| play.object(class, db, number))));
    }
    objects.sort_unstable();
    objects.dedup();
    objects
}

/// Checks every object's history.
fn judge(seen: Vec<(Object, Op)>, play: &Play) -> Outcome {
    let (broken, errors, log) = (play.all_found(), play.errors(), play.log());
    let mut outcome = Outcome { broken, operations: seen.len(), errors, log, ..Outcome::default() };
    let mut histories: BTreeMap<Object, Vec<Op>> = BTreeMap::new();
    for (object, op) in seen {
        if let Some(op) = before_loss(op, play.lost(object.era)) {
            histories.entry(object).or_default().push(op);
        }
    }
    outcome.objects = histories.len();
    let wipes = play.wipes.lock().unwrap().clone();
    let todo = Mutex::new(histories.into_iter());
    let done = Mutex::new(&mut outcome);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = todo.lock().unwrap().next();
                    let Some((object, mut ops)) = next else { return };
                    ops.extend(wipes.iter().cloned());
                    match check(&ops, play.slack()) {
                        Verdict::Linearizable => {}
                        Verdict::TooMuch => done.lock().unwrap().undecided += 1,
                        Verdict::Broken(found) => {
                            let text = format!("{} in db {}:\n{}", object.name(), object.db, render(&found));
                            done.lock().unwrap().broken.push(text);
                        }
                    }
                }
            });
        }
    });
    outcome
}

/// An operation as it counts if data may have been lost at a time: not at all behind it, and open if it was under way.
fn before_loss(mut op: Op, lost: Option<u64>) -> Option<Op> {
    let Some(lost) = lost else { return Some(op) };
    if op.end.is_some_and(|end| end >= lost) {
        op.end = None;
        op.reply = None;
    }
    (op.begin < lost).then_some(op)
}

impl Outcome {
    /// Fails the test if anybody saw what cannot be.
    pub fn expect_whole(&self, seed: u64) {
        let Self { broken, undecided, operations, objects, errors, log } = self;
        eprintln!("{operations} operations on {objects} objects, {undecided} not decided; errors: {errors:?}");
        let few = broken.iter().take(3).cloned().collect::<Vec<_>>().join("\n");
        assert!(broken.is_empty(), "SEED={seed}: {} objects saw what cannot be.\n{log}\n\n{few}", broken.len());
        assert_eq!(errors.get("SILENCE"), None, "SEED={seed}: somebody was never answered\n{log}");
        assert!(undecided * 10 <= *objects, "SEED={seed}: {undecided} of {objects} histories are too large");
    }
}
