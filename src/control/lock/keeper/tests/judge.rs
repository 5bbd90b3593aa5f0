//! Who believes to hold what, and whether that can be: the properties P1 to P5 of the model.

use std::{collections::HashMap, time::Duration};

use super::super::Token;
use crate::traffic::lock::LockName;

/// What was seen that must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Property {
    /// Two inside their validity.
    P1,
    /// Fences not increasing in the order of issue.
    P2,
    /// The key of another attempt was deleted.
    P3,
    /// A Take behind its own release.
    P4,
    /// EXTEND ok although another was granted since.
    P5,
    /// Somebody never got an answer, or nobody can have a lock although all is well.
    Stuck,
}

/// A lock that a client believes to have.
#[derive(Clone, Debug)]
pub(super) struct Belief {
    pub(super) lock: LockName,
    pub(super) token: Token,
    pub(super) until: Duration,
}

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Judge {
    pub(super) beliefs: Vec<Belief>,
    last_fence: HashMap<LockName, u64>,
    /// Whose each lock was last.
    last_grant: HashMap<LockName, Token>,
    pub(super) grants: u64,
    pub(super) extensions: u64,
    pub(super) verdict: Option<(Property, String)>,
    /// Whether fences must increase: not between keepers that forget with all their nodes.
    fences: bool,
}

impl Judge {
    pub(super) fn new(fences: bool) -> Self {
        Self { fences, ..Self::default() }
    }

    pub(super) fn fail(&mut self, property: Property, text: String) {
        if self.verdict.is_none() {
            self.verdict = Some((property, text));
        }
    }

    fn other(&self, lock: &LockName, token: Token, now: Duration) -> Option<&Belief> {
        self.beliefs.iter().find(|belief| belief.lock == *lock && belief.token != token && belief.until > now)
    }

    pub(super) fn granted(&mut self, lock: &LockName, token: Token, fence: u64, validity: Duration, now: Duration) {
        self.beliefs.retain(|belief| belief.until > now);
        if let Some(other) = self.other(lock, token, now) {
            let text =
                format!("{lock:?} granted at {now:?} for {validity:?} while another has it until {:?}", other.until);
            self.fail(Property::P1, text);
        }
        let last = self.last_fence.get(lock).copied().unwrap_or(0);
        if fence <= last && self.fences {
            self.fail(Property::P2, format!("{lock:?} is issued {fence} behind {last}"));
        }
        self.last_fence.insert(lock.clone(), fence.max(last));
        self.grants += 1;
        self.last_grant.insert(lock.clone(), token);
        self.beliefs.push(Belief { lock: lock.clone(), token, until: now + validity });
    }

    /// EXTEND ok, or a renewal that was shown.
    pub(super) fn extended(&mut self, lock: &LockName, token: Token, validity: Duration, now: Duration) {
        self.extensions += 1;
        if let Some(other) = self.other(lock, token, now) {
            let text = format!("{lock:?} extended at {now:?} while another has it until {:?}", other.until);
            self.fail(Property::P1, text);
        }
        if self.last_grant.get(lock) != Some(&token) {
            self.fail(Property::P5, format!("{lock:?} extended at {now:?}, another was granted since"));
        }
        self.beliefs.retain(|belief| belief.token != token || belief.until > now + validity);
        if !self.beliefs.iter().any(|belief| belief.token == token) {
            self.beliefs.push(Belief { lock: lock.clone(), token, until: now + validity });
        }
    }

    /// The client has said that it wants it no more, or less long.
    pub(super) fn at_most(&mut self, token: Token, until: Duration) {
        for belief in self.beliefs.iter_mut().filter(|belief| belief.token == token) {
            belief.until = belief.until.min(until);
        }
    }
}
