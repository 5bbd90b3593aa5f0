//! Locks that clients of this process hold, and until when they surely do.
//!
//! ```text
//!  granted ──► Held ──extended──► Held ──released──► gone
//!                └── until is over ──► lapsed: said before anything else is answered; a SESSION is told
//! ```
//! That a lock is held is never a flag: it is `until`, compared with the time of the answer (model S: cached). A SESSION lock is
//! renewed when a third of its ttl is over, and again a little later if that fails, as long as it is held.
//! Bounds: `max_held`. Pure.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;

use super::{
    Now, Output, Token,
    machine::{Due, Keeper},
    timers::{Handle, Timers},
    view::Electorate,
};
use crate::{control::lock::note::Note, traffic::lock::LockName};

/// A lock that a client of this process holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) token: Token,
    /// The owner's text, or value.
    pub(super) value: Bytes,
    pub(super) fence: u64,
    /// The ttl that it was taken with, or extended by, ms.
    pub(super) ttl_ms: u64,
    pub(super) since: Now,
    /// It is surely held until then.
    pub(super) until: Now,
    pub(super) session: Option<u64>,
    /// How often (Redisson).
    pub(super) holds: u32,
    /// Where its keys may lie.
    pub(super) electorate: Electorate,
    /// Extensions under way.
    pub(super) extending: Vec<u64>,
    lapse: Handle,
    /// Its next renewal, if it is a session's.
    pub(super) renewal: Option<Handle>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    locks: HashMap<LockName, Held>,
    lapses: Timers<LockName>,
    /// Keys of them in db 0.
    keys: u64,
}

/// A lock that has just been granted.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: Token,
    pub(super) value: Bytes,
    pub(super) fence: u64,
    pub(super) ttl_ms: u64,
    pub(super) until: Now,
    pub(super) session: Option<u64>,
    pub(super) electorate: Electorate,
}

impl Holdings {
    /// The lock, if it is held at `now`.
    pub(super) fn get(&self, lock: &LockName, now: Now) -> Option<&Held> {
        self.locks.get(lock).filter(|held| held.until > now)
    }

    /// As `get`, to change all but its time.
    pub(super) fn get_mut(&mut self, lock: &LockName) -> Option<&mut Held> {
        self.locks.get_mut(lock)
    }

    /// It is held from now on; what was held before under this name is not.
    pub(super) fn put(&mut self, lock: LockName, grant: Grant, now: Now) -> Option<Held> {
        let before = self.take(&lock);
        let lapse = self.lapses.set(grant.until, lock.clone());
        self.keys += keys_of(&grant.electorate);
        let Grant { token, value, fence, ttl_ms, until, session, electorate } = grant;
        let held = Held {
            token,
            value,
            fence,
            ttl_ms,
            since: now,
            until,
            session,
            holds: 1,
            electorate,
            extending: Vec::new(),
            lapse,
            renewal: None,
        };
        self.locks.insert(lock, held);
        before
    }

    /// It is not held any more.
    pub(super) fn take(&mut self, lock: &LockName) -> Option<Held> {
        let held = self.locks.remove(lock)?;
        self.lapses.stop(held.lapse);
        self.keys -= keys_of(&held.electorate);
        Some(held)
    }

    /// It is held until then.
    pub(super) fn set_until(&mut self, lock: &LockName, until: Now) {
        if let Some(held) = self.locks.get_mut(lock) {
            self.lapses.stop(held.lapse);
            held.lapse = self.lapses.set(until, lock.clone());
            held.until = until;
        }
    }

    /// Its keys lie there now.
    pub(super) fn set_electorate(&mut self, lock: &LockName, electorate: Electorate) {
        if let Some(held) = self.locks.get_mut(lock) {
            self.keys = self.keys + keys_of(&electorate) - keys_of(&held.electorate);
            held.electorate = electorate;
        }
    }

    /// A lock that has lapsed at `now`, taken out.
    fn lapsed(&mut self, now: Now) -> Option<(LockName, Held)> {
        let lock = self.lapses.pop(now)?;
        let held = self.take(&lock)?;
        Some((lock, held))
    }

    pub(super) fn next_lapse(&self) -> Option<Now> {
        self.lapses.next()
    }

    pub(super) fn len(&self) -> usize {
        self.locks.len()
    }

    pub(super) fn keys(&self) -> u64 {
        self.keys
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&LockName, &Held)> {
        self.locks.iter()
    }

    pub(super) fn check(&self) {
        #[cfg(debug_assertions)]
        assert_eq!(self.lapses.len(), self.locks.len(), "each held lock lapses once");
    }
}

fn keys_of(electorate: &Electorate) -> u64 {
    electorate.voters.len() as u64
}

impl Keeper {
    /// What is over is said so, before anything else is answered.
    pub(super) fn lapse(&mut self, now: Now) {
        while let Some((lock, held)) = self.held.lapsed(now) {
            self.ended(&lock, &held);
            self.lost(lock, &held);
        }
    }

    /// Whoever held it is told, if he can be.
    pub(super) fn lost(&mut self, lock: LockName, held: &Held) {
        self.out.push_back(Output::Note(Note::Lost));
        if let Some(session) = held.session {
            self.out.push_back(Output::Lapsed { session, lock, token: held.token });
        }
    }

    /// It is held no more: nothing is to be done for it.
    pub(super) fn ended(&mut self, lock: &LockName, held: &Held) {
        if let Some(renewal) = held.renewal {
            self.timers.stop(renewal);
        }
        if let Some(session) = held.session {
            self.sessions.holds_no_more(session, lock);
        }
    }

    /// The next renewal of a SESSION lock.
    pub(super) fn renew_after(&mut self, lock: &LockName, pause: Duration, now: Now) {
        let Some(held) = self.held.get_mut(lock).filter(|held| held.session.is_some()) else { return };
        let before = held.renewal.replace(self.timers.set(now + pause, Due::Renew(lock.clone())));
        if let Some(before) = before {
            self.timers.stop(before);
        }
    }
}
