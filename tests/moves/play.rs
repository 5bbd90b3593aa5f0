//! What all clients of a round share: the clock, the objects of now, and what went wrong.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    keys::{Class, DBS, NUMBERS, Object},
    linear::{Call, Op},
};
use crate::support::wait::until_true;

/// Unknown outcomes that one object may have.
const UNKNOWN: u16 = 5;

/// Operations after which other objects become the ones that everybody wants.
const FASHION: u64 = 500;

/// The least time by which a key may end early or late.
const SLACK: Duration = Duration::from_millis(1_000);

/// The shared part.
#[derive(Debug)]
pub struct Play {
    /// Where Circlet is.
    pub address: String,
    start: Instant,
    /// The wall clock at `start`, in ns.
    wall: u64,
    pub stop: AtomicBool,
    /// Operations that are over.
    done: AtomicU64,
    /// Generation and unknown outcomes of each object.
    fates: Vec<(AtomicU16, AtomicU16)>,
    /// When data was lost: the end of each era but the last.
    losses: Mutex<Vec<u64>>,
    /// Every FLUSHALL, as each object sees it.
    pub wipes: Mutex<Vec<Op>>,
    /// Errors by their first word.
    errors: Mutex<BTreeMap<String, usize>>,
    /// The longest that a request took, or that something was held.
    slowest: AtomicU64,
    /// What showed that keys lie where they should not, beside what clients see.
    found: Mutex<Vec<String>>,
    /// What was done when, for people.
    log: Mutex<Vec<String>>,
}

impl Play {
    pub fn new(address: String) -> Self {
        let fates = Class::ALL.len() * DBS.len() * usize::from(NUMBERS);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Self {
            address,
            start: Instant::now(),
            wall: u64::try_from(wall.as_nanos()).unwrap(),
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            fates: (0..fates).map(|_| Default::default()).collect(),
            losses: Mutex::default(),
            wipes: Mutex::default(),
            errors: Mutex::default(),
            slowest: AtomicU64::new(0),
            found: Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// Nanoseconds since the round began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap()
    }

    /// A time to come: in ns of this round, and in ms of the wall clock.
    pub fn later(&self, by: Duration) -> (u64, u64) {
        let unix_ms = (self.wall + self.now()) / 1_000_000 + u64::try_from(by.as_millis()).unwrap();
        (unix_ms * 1_000_000 - self.wall, unix_ms)
    }

    /// Counts an operation that is over.
    pub fn over(&self, took: u64, blocked: bool) {
        self.done.fetch_add(1, SeqCst);
        if !blocked {
            self.slowest.fetch_max(took, SeqCst);
        }
    }

    /// Operations so far.
    pub fn done(&self) -> u64 {
        self.done.load(SeqCst)
    }

    /// Waits until clients have got so many more replies.
    pub fn wait_for(&self, operations: u64) {
        let goal = self.done() + operations;
        until_true("clients to go on", || self.done() >= goal);
    }

    /// By how much a key may end early or late: a node that hangs, or a copy that is held, delays what it does.
    pub fn slack(&self) -> u64 {
        u64::try_from(SLACK.as_nanos()).unwrap().max(2 * self.slowest.load(SeqCst))
    }

    /// Something was held for this long.
    pub fn held(&self, since: u64) {
        self.slowest.fetch_max(self.now() - since, SeqCst);
    }

    /// The object that is now `number` of its class and db.
    pub fn object(&self, class: Class, db: u8, number: u8) -> Object {
        let era = u16::try_from(self.losses.lock().unwrap().len()).unwrap();
        let generation = self.fate(class, db, number).0.load(SeqCst);
        Object { class, db, number, era, generation }
    }

    /// Which numbers everybody wants now.
    pub fn fashion(&self) -> u8 {
        u8::try_from(self.done() / FASHION * 2 % u64::from(NUMBERS)).unwrap()
    }

    /// A call on it has an unknown outcome.
    pub fn unknown(&self, object: &Object) {
        let (generation, unknown) = self.fate(object.class, object.db, object.number);
        if generation.load(SeqCst) == object.generation && unknown.fetch_add(1, SeqCst) + 1 >= UNKNOWN {
            unknown.store(0, SeqCst);
            generation.fetch_add(1, SeqCst);
        }
    }

    /// Data may be lost from `since` on: all objects give way to new ones.
    pub fn lose(&self, since: u64) {
        self.losses.lock().unwrap().push(since);
    }

    /// When the data of `era` may have been lost.
    pub fn lost(&self, era: u16) -> Option<u64> {
        self.losses.lock().unwrap().get(usize::from(era)).copied()
    }

    /// FLUSHALL, answered or not.
    pub fn wiped(&self, begin: u64, told: Option<super::linear::Reply>) {
        let end = told.is_some().then(|| self.now());
        self.wipes.lock().unwrap().push(Op { client: u16::MAX, begin, end, call: Call::Wipe, reply: told });
    }

    /// Counts an error by its first word, and notes the first of each.
    pub fn error(&self, text: &str) {
        let word = text.split(' ').next().unwrap();
        let mut errors = self.errors.lock().unwrap();
        let count = errors.entry(word.to_owned()).or_default();
        *count += 1;
        if *count == 1 {
            self.note(&format!("a client reads: {text}"));
        }
    }

    /// Errors so far, by their first word.
    pub fn errors(&self) -> BTreeMap<String, usize> {
        self.errors.lock().unwrap().clone()
    }

    /// Says what cannot be, and was seen by somebody who is no client.
    pub fn found(&self, text: String) {
        self.note(&text);
        self.found.lock().unwrap().push(text);
    }

    /// All of that.
    pub fn all_found(&self) -> Vec<String> {
        self.found.lock().unwrap().clone()
    }

    /// Says what is done now.
    pub fn note(&self, text: &str) {
        let line = format!("{:>9.4} s  {text}", super::linear::history::seconds(self.now()));
        eprintln!("{line}");
        self.log.lock().unwrap().push(line);
    }

    /// What was done when.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    fn fate(&self, class: Class, db: u8, number: u8) -> &(AtomicU16, AtomicU16) {
        let class = Class::ALL.iter().position(|&other| other == class).unwrap();
        let db = DBS.iter().position(|&other| other == db).unwrap();
        &self.fates[(class * DBS.len() + db) * usize::from(NUMBERS) + usize::from(number)]
    }
}
