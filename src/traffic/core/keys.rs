//! Looks at some of the requests that pass, and at everything big: which keys are asked for most, which are large.
//!
//! ```text
//!  request ─► is it the next one to be looked at? ─yes─► its keys ─► sketch     (one compare for all others)
//!  large request, large reply ─► at least keys.big? ─► its key                  (they come over ways of their own anyway)
//!  tick ─► so many requests lately ─► look at every so many ─► about keys.samples per second, however many there are
//! ```
//! How far apart they are is left to chance, so that no pipeline's rhythm hides a key. Of what comes before the next tick at most
//! twice the samples are looked at: a sudden crowd costs no more than a steady one. Commands typed as lines are left out. Pure.

use super::{Core, request::Request};
use crate::traffic::{
    command::{Found, Patterns, Row, Table},
    observe::{
        Keys,
        keys::{Big, Large},
    },
    pipe::PipeId,
    resp::request::{Scan, Scanner},
};

/// Ticks per second.
const TICKS: u64 = 10;
/// Keys of one request that are looked at.
const MOST_KEYS: usize = 64;

/// What is looked at, and what was seen.
#[derive(Debug)]
pub(super) struct KeyWatch {
    /// The number of the request that is looked at next.
    pub(super) next: u64,
    /// How many requests each one stands for.
    every: u64,
    /// Samples that may still be taken before the next tick.
    left: u64,
    /// The number of requests at the last tick.
    requests: u64,
    /// When counts were faded last, µs.
    faded_us: u64,
    pub(super) seen: Keys,
}

impl Default for KeyWatch {
    fn default() -> Self {
        Self { next: u64::MAX, every: 1, left: 0, requests: 0, faded_us: 0, seen: Keys::default() }
    }
}

impl Core {
    /// Decides how many requests are looked at until the next tick.
    pub(super) fn pace_keys(&mut self) {
        let wanted = self.settings.keys.samples as u64;
        let (now, watch) = (self.counters.requests, &mut self.keys);
        let lately = now - watch.requests;
        watch.requests = now;
        if wanted == 0 {
            watch.next = u64::MAX;
            return;
        }
        let per_tick = wanted.div_ceil(TICKS);
        watch.every = (lately / per_tick).max(1);
        watch.left = 2 * per_tick;
        // Also where it was chosen while there was more to choose from.
        if !(now..=now + 2 * watch.every).contains(&watch.next) {
            self.look_next();
        }
    }

    /// Lets counts fade, and tells the other workers. To be called every few seconds.
    pub(super) fn sweep_keys(&mut self) {
        let passed_us = self.now_us.saturating_sub(self.keys.faded_us);
        self.keys.faded_us = self.now_us;
        self.keys.seen.fade(passed_us as f64 / 1e6);
        self.publish_keys();
    }

    pub(super) fn publish_keys(&self) {
        self.journal.publish_keys(self.index, &self.keys.seen);
    }

    /// Chooses the request that is looked at next.
    fn look_next(&mut self) {
        let every = self.keys.every;
        self.keys.next = self.counters.requests + 1 + self.rng.u64(0..2 * every - 1);
    }

    /// The request that was to be looked at is here.
    #[cold]
    pub(super) fn look_at_keys(&mut self, request: Request<'_>, table: &Table) {
        if self.keys.left == 0 {
            self.keys.next = u64::MAX;
            return;
        }
        self.keys.left -= 1;
        let weight = self.keys.every as f64;
        self.keys.seen.sampled(weight);
        if let Some((_, keys)) = keys_of(request, table) {
            // Of a very long request some, which then stand for the others.
            let step = keys.len().div_ceil(MOST_KEYS).max(1);
            for index in keys.iter().step_by(step) {
                self.keys.seen.asked(request.arg(*index as usize), weight * step as f64);
            }
        }
        self.look_next();
    }

    /// A large request was sent on.
    #[cold]
    pub(super) fn look_at_large_request(&mut self, request: Request<'_>, table: &Table) {
        let least = self.settings.keys.big;
        if self.settings.keys.samples == 0 || request.bytes.len() < least {
            return;
        }
        let Some((row, keys)) = keys_of(request, table) else { return };
        let at_s = self.unix_s();
        let mut found = false;
        for (index, arg) in request.args.iter().enumerate().filter(|(_, arg)| (arg.end - arg.start) as usize >= least) {
            // A value belongs to the key before it.
            if let Some(key) = keys.iter().rev().find(|key| (**key as usize) < index) {
                let (key, bytes) = (request.arg(*key as usize), u64::from(arg.end - arg.start));
                self.keys.seen.passed(Big::new(key, bytes, &row.name, true, at_s));
                found = true;
            }
        }
        if let ([key], false) = (keys.as_slice(), found) {
            let (key, bytes) = (request.arg(*key as usize), request.bytes.len() as u64);
            self.keys.seen.passed(Big::new(key, bytes, &row.name, true, at_s));
        }
    }

    /// `more` bytes of a reply that is not whole yet have come over this pipe, for the request at its front.
    pub(super) fn reply_grows(&mut self, id: PipeId, more: usize) {
        let pipe = &mut self.pipes[id.index()];
        pipe.reply_len += more as u64;
        let wanted = self.settings.keys.samples > 0 && pipe.reply_len >= self.settings.keys.big as u64;
        if wanted && pipe.large.is_none() {
            let large = pipe.front().and_then(|(_, kept)| large(kept, &self.snapshot.table, &self.settings.limits));
            self.pipes[id.index()].large = large.map(Box::new);
        }
    }

    /// That reply is whole, its last part of `more` bytes.
    pub(super) fn reply_has_grown(&mut self, id: PipeId, more: usize) {
        let at_s = self.unix_s();
        let pipe = &mut self.pipes[id.index()];
        let bytes = std::mem::take(&mut pipe.reply_len) + more as u64;
        if let Some(large) = pipe.large.take() {
            self.keys.seen.passed(Big::new(&large.key, bytes, &large.command, false, at_s));
        }
    }
}

/// The row of a request and the indices of its keys, if it has any.
fn keys_of<'t>(request: Request<'_>, table: &'t Table) -> Option<(&'t Row, Vec<u32>)> {
    let second = request.args.get(1).map(|arg| arg.of(request.bytes));
    let Found::Row(row) = table.find(request.arg(0), second) else { return None };
    let mut keys = Vec::new();
    row.find_keys(request.args, request.bytes, Patterns::Together, &mut keys).ok()?;
    (!keys.is_empty()).then_some((row, keys))
}

/// The key that a large reply is about: of the request as far as it is kept, if it has one key only.
fn large(kept: &[u8], table: &Table, limits: &crate::traffic::resp::Limits) -> Option<Large> {
    let mut scanner = Scanner::default();
    let Ok(Scan::Command { len }) = scanner.scan(kept, limits, true) else { return None };
    let request = Request { bytes: &kept[..len], args: scanner.args(), blob: None };
    let (row, keys) = keys_of(request, table)?;
    let [key] = keys.as_slice() else { return None };
    Some(Large { key: request.arg(*key as usize).to_vec(), command: row.name.clone() })
}
