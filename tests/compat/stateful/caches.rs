//! Which invalidations a client needs: those of keys that it may have in its cache.
//!
//! ```text
//!  reads a key, tracking, out of a transaction ─► held ─ invalidated, or told to forget all ─► not held
//!  BCAST: every key            its own TRACKING, RESET, HELLO or EXEC: nothing is held, whatever a server remembers
//! ```
//! Redis remembers for its clients more than they can need: what was read before tracking was switched off, or to another
//! mode. Circlet tells a client to forget everything where it cannot know what the client has. Only what is surely held is
//! asked for, so that nothing is demanded that a client could do without.

use std::collections::BTreeSet;

use super::{
    play::PROTOS,
    side::State,
    step::{self, Step},
};

/// Commands that read the keys behind them, with their numbers of words; 0: any.
const READS: [(&str, usize); 8] =
    [("GET", 2), ("TYPE", 2), ("HGETALL", 2), ("LRANGE", 4), ("XRANGE", 4), ("ZRANGE", 5), ("MGET", 0), ("EXISTS", 0)];

/// What makes it uncertain what a client holds.
const UNSETTLING: [&str; 8] = ["MULTI", "EXEC", "RESET", "HELLO", "TRACKING", "CACHING", "SELECT", "QUIT"];

/// What one connection holds.
#[derive(Debug, Default)]
struct Cache {
    held: BTreeSet<Vec<u8>>,
    /// It may have said OPTIN since it tracks.
    optin: bool,
    /// CLIENT CACHING may be about its next command.
    caching: bool,
}

/// What all connections hold.
#[derive(Debug, Default)]
pub struct Caches {
    caches: [Cache; PROTOS.len()],
    before: Vec<State>,
    /// What the last step did, if that can be said.
    settled: [bool; PROTOS.len()],
    reads: Option<(usize, BTreeSet<Vec<u8>>)>,
}

impl Caches {
    /// Takes note of a step: what a plain server said about the connections before it, and says behind it.
    pub fn follow(&mut self, step: &Step, before: &[State], after: &[State]) {
        let (at, text) = (step.connection(), words(step));
        let unsettling = text.iter().flatten().any(|word| UNSETTLING.contains(&word.as_str()));
        self.settled =
            std::array::from_fn(|at| before[at].tracking == after[at].tracking && before[at].proto == after[at].proto);
        self.settled[at] &= !unsettling && !matches!(step, Step::Leave { .. });
        before.clone_into(&mut self.before);
        let state = &before[at];
        let cache = &mut self.caches[at];
        cache.optin &= state.tracking.is_some();
        cache.optin |= text.iter().flatten().any(|word| word == "OPTIN");
        let mode = state.queueing || state.blocked || state.subscribed && state.proto == 2;
        let plain = state.tracking.is_some() && !mode;
        self.reads = None;
        if self.settled[at] && plain && !cache.optin && !cache.caching {
            self.reads = Some((at, text.iter().filter_map(|words| read_keys(words)).flatten().collect()));
        }
        cache.caching = text.iter().flatten().any(|word| word == "CACHING");
        for (cache, settled) in self.caches.iter_mut().zip(self.settled) {
            if !settled {
                cache.held.clear();
            }
        }
    }

    /// Whether the connection `at` needs to be told that this key (`None`: any) has changed.
    pub fn needs(&self, at: usize, key: Option<&[u8]>) -> bool {
        (0..PROTOS.len()).any(|who| {
            let Some(tracking) = &self.before[who].tracking else { return false };
            let told = tracking.told.unwrap_or(who);
            let holds = tracking.bcast
                || key.map_or(!self.caches[who].held.is_empty(), |key| self.caches[who].held.contains(key));
            told == at && self.settled[who] && self.settled[at] && holds
        })
    }

    /// Whether the connection `at` needs to be told that nobody is told of its keys any more: they change all the time.
    pub fn needs_to_know(&self, at: usize) -> bool {
        let tracking = self.before[at].tracking.as_ref();
        self.settled[at] && tracking.is_some_and(|tracking| tracking.bcast && tracking.told == Some(usize::MAX))
    }

    /// The step is over: `at` has been told that these have changed, by whatever server.
    pub fn told(&mut self, at: usize, keys: &BTreeSet<Option<Vec<u8>>>) {
        for (who, cache) in self.caches.iter_mut().enumerate() {
            let told = self.before[who].tracking.as_ref().and_then(|tracking| tracking.told).unwrap_or(who);
            if told == at {
                cache.held.retain(|key| !keys.contains(&None) && !keys.contains(&Some(key.clone())));
            }
        }
    }

    /// All have been told: what was read in the step is held, unless it was changed there, too.
    pub fn keep_reads(&mut self, changed: &BTreeSet<Option<Vec<u8>>>) {
        if let Some((at, keys)) = self.reads.take() {
            let unchanged =
                keys.into_iter().filter(|key| !changed.contains(&None) && !changed.contains(&Some(key.clone())));
            self.caches[at].held.extend(unchanged);
        }
    }
}

fn words(step: &Step) -> Vec<Vec<String>> {
    let split = |request| step::line(request).split(' ').map(str::to_uppercase).collect();
    step.requests().iter().map(split).collect()
}

/// The keys that a request reads, if it does nothing but read.
fn read_keys(words: &[String]) -> Option<Vec<Vec<u8>>> {
    let (_, count) = READS.iter().find(|(name, _)| words[0] == *name)?;
    if *count != 0 && words.len() != *count {
        return None;
    }
    let last = if *count == 0 { words.len() } else { 2 };
    // Keys of plays are lower case.
    Some(words[1..last].iter().map(|key| key.to_lowercase().into_bytes()).collect())
}
