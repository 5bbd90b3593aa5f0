//! What all clients of a round share: the clock, what they believed, and what was done when.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Instant,
};

use super::{
    history::{Grant, History, seconds},
    resource::Resource,
};
use crate::support::wait::until_true;

/// The shared part.
#[derive(Debug)]
pub struct Play {
    pub start: Instant,
    pub resource: Resource,
    pub stop: AtomicBool,
    grants: Mutex<Vec<Grant>>,
    /// Replies that clients have got.
    replies: AtomicU64,
    /// Errors by their first word.
    errors: Mutex<BTreeMap<String, usize>>,
    /// What was done when, for people.
    log: Mutex<Vec<String>>,
}

impl Play {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            resource: Resource::default(),
            stop: AtomicBool::new(false),
            grants: Mutex::default(),
            replies: AtomicU64::new(0),
            errors: Mutex::default(),
            log: Mutex::default(),
        }
    }

    /// Nanoseconds since the round began.
    pub fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap()
    }

    /// Somebody had a lock.
    pub fn had(&self, grant: Grant) {
        self.grants.lock().unwrap().push(grant);
    }

    /// Counts a reply.
    pub fn replied(&self) {
        self.replies.fetch_add(1, SeqCst);
    }

    /// Waits until clients have got so many more replies.
    pub fn wait_for(&self, replies: u64) {
        let goal = self.replies.load(SeqCst) + replies;
        until_true("clients to go on", || self.replies.load(SeqCst) >= goal);
    }

    /// Counts an error.
    pub fn error(&self, word: &str) {
        *self.errors.lock().unwrap().entry(word.to_owned()).or_default() += 1;
    }

    /// Errors so far, by their first word.
    pub fn errors(&self) -> BTreeMap<String, usize> {
        self.errors.lock().unwrap().clone()
    }

    /// Says what is done now.
    pub fn note(&self, text: &str) {
        let line = format!("{:>9} s  {text}", seconds(self.now()));
        eprintln!("{line}");
        self.log.lock().unwrap().push(line);
    }

    /// What was done when.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// All that was believed and written.
    pub fn history(&self) -> History {
        History { grants: self.grants.lock().unwrap().clone(), writes: self.resource.writes() }
    }
}
