//! Who waits for a lock, in order; and what sessions have under way.
//!
//! ```text
//!  WAIT ──► queue of its name, first come first served ──► the first alone contends
//!                                                              │ granted: the next one is first
//!   own release ── at once, right behind the Release ──────────┤
//!   another's release (publish) ───────────────────────────────┤ try again
//!   smallest remaining ttl, at most 2 s; random ───────────────┘
//! ```
//! One contender of a process: a thousand that wait cost the nodes as much as one. At a hand-over the next Take follows the
//! Release on the same lines, in order: a Take never takes what is not free, so it is as safe as any other, and on each node it
//! comes after the release. Commands of a hand-over: Release, Take and Fence to each node.
//! Who asks without waiting while others wait is told that it is taken: he would go before them.
//! Bounds: `max_waiters`, of all names. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use rustc_hash::FxHashMap;

use super::{
    Now, Output, Token,
    acquire::{Attempt, outcome_of},
    machine::{Due, Keeper},
    timers::Handle,
    work::{Deed, Work},
};
use crate::{
    control::lock::{
        note::{Note, Why},
        outcome::Outcome,
    },
    traffic::lock::{LockAsk, LockName, Want},
};

/// The first pause between attempts; each doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Pause before the second message about a release is followed without success; each doubles it, up to 16 times. Messages come
/// also when an attempt gives back the part that it had, its own among them: without a pause two that lose would call each
/// other for ever.
const WAKE_PAUSE: Duration = Duration::from_millis(2);

/// Pause behind the end of a key's time: the grain of the nodes' clocks, and chance.
const AFTER_EXPIRY: Duration = Duration::from_millis(4);

/// The longest pause: a message about a release may be lost, and keys may be deleted by hand.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ask: LockAsk,
    pub(super) asked: Now,
    pub(super) until: Now,
    deadline: Handle,
    attempts: u32,
    /// The token of the last attempt, for a planted fault.
    pub(super) token: Option<Token>,
}

/// Why an attempt has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Somebody else has it, or a part of it; when it may be free.
    Taken { value: Option<bytes::Bytes>, pttl_ms: Option<u64> },
    /// Too few nodes count; the words.
    Quorum(String),
    /// Too little validity was left.
    Late(String),
}

/// Those that wait for one lock.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) waiting: BTreeMap<u64, Waiter>,
    /// The work of the attempt under way, and whose it is.
    pub(super) contender: Option<(u64, u64)>,
    retry: Option<Handle>,
    /// Why the last attempt failed.
    last: Option<Failure>,
    /// It was released while an attempt was under way.
    freed: bool,
    /// How many messages about releases were followed without success.
    wakes: u32,
    listening: bool,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Where something of a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Work(u64),
    Waiter(LockName, u64),
}

/// What sessions have under way, and what they hold.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    places: FxHashMap<u64, Vec<Place>>,
    held: FxHashMap<u64, BTreeSet<LockName>>,
}

impl Sessions {
    /// A work is done for it.
    pub(super) fn works(&mut self, session: u64, work: u64) {
        self.places.entry(session).or_default().push(Place::Work(work));
    }

    fn waits(&mut self, session: u64, lock: &LockName, waiter: u64) {
        self.places.entry(session).or_default().push(Place::Waiter(lock.clone(), waiter));
    }

    fn forget(&mut self, session: u64, place: &Place) {
        if let Some(places) = self.places.get_mut(&session) {
            places.retain(|known| known != place);
            if places.is_empty() {
                self.places.remove(&session);
            }
        }
    }

    /// That work is done.
    pub(super) fn works_no_more(&mut self, session: u64, work: u64) {
        self.forget(session, &Place::Work(work));
    }

    /// A lock is the session's.
    pub(super) fn holds(&mut self, session: u64, lock: &LockName) {
        self.held.entry(session).or_default().insert(lock.clone());
    }

    /// It is not any more.
    pub(super) fn holds_no_more(&mut self, session: u64, lock: &LockName) {
        if let Some(held) = self.held.get_mut(&session) {
            held.remove(lock);
            if held.is_empty() {
                self.held.remove(&session);
            }
        }
    }
}

impl Keeper {
    /// Has somebody wait for a lock; the first of them contends.
    pub(super) fn wait(&mut self, ask: LockAsk, wait_ms: u64, now: Now) {
        if self.waiters >= self.rules.limits.max_waiters {
            let text = format!(
                "lock '{}': {} clients wait for locks already; raise lock.max_waiters, or ask without WAIT",
                String::from_utf8_lossy(&ask.lock.name),
                self.waiters
            );
            self.refuse(ask, Why::Limit, Outcome::Refused(text));
            return;
        }
        let id = self.number();
        let lock = ask.lock.clone();
        let until = now.saturating_add(Duration::from_millis(wait_ms));
        let deadline = self.timers.set(until, Due::Deadline(lock.clone(), id));
        self.sessions.waits(ask.session, &lock, id);
        self.waiters += 1;
        let waiter = Waiter { ask, asked: now, until, deadline, attempts: 0, token: None };
        let queue = self.queues.entry(lock.clone()).or_default();
        queue.waiting.insert(id, waiter);
        let first = queue.waiting.len() == 1 && queue.contender.is_none();
        match self.held.get(&lock, now).map(|held| held.until) {
            // Held by a client of this very process: it is told when that ends.
            Some(until) if first => self.retry_at(&lock, until.saturating_sub(now), now),
            _ if first => self.contend(&lock, now),
            _ => {}
        }
    }

    /// The first of those that wait makes an attempt, unless one is under way.
    pub(super) fn contend(&mut self, lock: &LockName, now: Now) {
        let Some(queue) = self.queues.get_mut(lock).filter(|queue| queue.contender.is_none()) else { return };
        if let Some(retry) = queue.retry.take() {
            self.timers.stop(retry);
        }
        queue.freed = false;
        let fresh = self.dice.token();
        let Some((&id, waiter)) = queue.waiting.first_key_value() else { return };
        let token = waiter.token.filter(|_| !self.rules.safety.fresh_tokens).unwrap_or(fresh);
        let Some(attempt) = Attempt::new(&waiter.ask, token, Some(id)) else { return };
        let asked = waiter.asked;
        let work = self.number();
        if let Some(queue) = self.queues.get_mut(lock) {
            queue.contender = Some((work, id));
            if let Some(waiter) = queue.waiting.get_mut(&id) {
                waiter.attempts += 1;
                waiter.token = Some(token);
            }
        }
        let electorate = self.electorate(lock);
        self.begin(work, Work::new(lock.clone(), None, asked, electorate, Deed::Acquire(attempt)), now);
    }

    /// The attempt of a waiter has failed.
    pub(super) fn attempt_failed(&mut self, lock: &LockName, id: u64, failure: &Failure, now: Now) {
        let Some(queue) = self.queues.get_mut(lock) else { return };
        queue.contender = None;
        let freed = std::mem::take(&mut queue.freed);
        queue.last = Some(failure.clone());
        let Some(waiter) = queue.waiting.get(&id) else {
            self.tidy(lock, now);
            return;
        };
        if waiter.until <= now {
            self.waited_enough(lock, id, now);
            return;
        }
        let growth = 1 << waiter.attempts.min(7);
        let listen = !std::mem::replace(&mut queue.listening, true);
        if listen {
            self.out.push_back(Output::Listen(lock.clone(), true));
        }
        let pause = match failure {
            // Several have a part of it: soon one of them has given up.
            Failure::Taken { value: None, .. } => (FIRST_PAUSE / 4 * growth).min(LONGEST_PAUSE / 8),
            Failure::Taken { .. } => (FIRST_PAUSE * growth).min(LONGEST_PAUSE),
            Failure::Quorum(_) | Failure::Late(_) => (FIRST_PAUSE * growth).min(LONGEST_PAUSE / 4),
        };
        // Not a little before it may be free, again and again.
        let expiry = match failure {
            Failure::Taken { value: Some(_), pttl_ms: Some(left) } => Duration::from_millis(*left),
            _ => Duration::MAX,
        };
        let then = expiry.saturating_add(self.dice.about(AFTER_EXPIRY));
        let pause = self.dice.about(pause).min(then);
        self.retry_in(lock, pause, now);
        if freed {
            self.woken(lock, now);
        }
    }

    /// The first tries again after about `pause`.
    fn retry_after(&mut self, lock: &LockName, pause: Duration, now: Now) {
        let pause = self.dice.about(pause);
        self.retry_in(lock, pause, now);
    }

    fn retry_in(&mut self, lock: &LockName, pause: Duration, now: Now) {
        let timer = self.timers.set(now.saturating_add(pause), Due::Retry(lock.clone()));
        if let Some(old) = self.queues.get_mut(lock).and_then(|queue| queue.retry.replace(timer)) {
            self.timers.stop(old);
        }
    }

    /// The first tries when it may be free, and every now and then before: it may be deleted by hand.
    fn retry_at(&mut self, lock: &LockName, left: Duration, now: Now) {
        let then = left.saturating_add(self.dice.about(AFTER_EXPIRY));
        let before = self.dice.about(LONGEST_PAUSE);
        self.retry_in(lock, then.min(before), now);
    }

    /// It is time to try again.
    pub(super) fn retry(&mut self, lock: &LockName, now: Now) {
        if let Some(queue) = self.queues.get_mut(lock) {
            queue.retry = None;
        }
        self.contend(lock, now);
    }

    /// A node says that it was released. What is held here was taken after that, or this is its own release.
    pub(super) fn on_freed(&mut self, lock: &LockName, now: Now) {
        if self.held.get(lock, now).is_some() {
            return;
        }
        match self.queues.get_mut(lock) {
            Some(queue) if queue.contender.is_some() => queue.freed = true,
            Some(_) => self.woken(lock, now),
            None => {}
        }
    }

    /// It may be free: the first tries, at once if this was not in vain before.
    fn woken(&mut self, lock: &LockName, now: Now) {
        let Some(queue) = self.queues.get_mut(lock) else { return };
        let wakes = queue.wakes;
        queue.wakes = wakes.saturating_add(1);
        if wakes == 0 {
            self.contend(lock, now);
            return;
        }
        let pause = WAKE_PAUSE * (1 << wakes.min(4));
        if queue.retry.is_none_or(|retry| retry.at() > now + pause) {
            self.retry_after(lock, pause, now);
        }
    }

    /// It was released here: the first of those that wait goes straight on.
    pub(super) fn hand_over(&mut self, lock: &LockName, now: Now) {
        match self.queues.get_mut(lock) {
            Some(queue) if queue.contender.is_some() => queue.freed = true,
            Some(_) => self.contend(lock, now),
            None => {}
        }
    }

    /// A waiter's attempt has got it: he leaves the queue; the next is first.
    pub(super) fn has_waited(&mut self, lock: &LockName, id: u64, until: Now, now: Now) -> Option<(LockAsk, Now)> {
        if let Some(queue) = self.queues.get_mut(lock) {
            queue.contender = None;
            queue.freed = false;
            queue.wakes = 0;
            queue.last = None;
        }
        let waiter = self.remove_waiter(lock, id)?;
        if self.queues.get(lock).is_some_and(|queue| queue.len() > 0) {
            self.retry_at(lock, until.saturating_sub(now), now);
        }
        self.tidy(lock, now);
        Some((waiter.ask, waiter.asked))
    }

    fn remove_waiter(&mut self, lock: &LockName, id: u64) -> Option<Waiter> {
        let waiter = self.queues.get_mut(lock)?.waiting.remove(&id)?;
        self.waiters -= 1;
        self.timers.stop(waiter.deadline);
        self.sessions.forget(waiter.ask.session, &Place::Waiter(lock.clone(), id));
        Some(waiter)
    }

    /// A queue that nobody stands in is no more; one whose first has left has another first.
    pub(super) fn tidy(&mut self, lock: &LockName, now: Now) {
        let Some(queue) = self.queues.get(lock) else { return };
        if queue.contender.is_some() {
            return;
        }
        if queue.len() > 0 {
            if queue.retry.is_none() {
                // By a timer, not at once: of a thousand that end together each would call the next.
                self.retry_after(lock, Duration::ZERO, now);
            }
            return;
        }
        if let Some(queue) = self.queues.remove(lock) {
            if let Some(retry) = queue.retry {
                self.timers.stop(retry);
            }
            if queue.listening {
                self.out.push_back(Output::Listen(lock.clone(), false));
            }
        }
    }

    /// A waiter's time is over. An attempt under way is waited for: it is soon decided, and may be a grant.
    pub(super) fn waited_enough(&mut self, lock: &LockName, id: u64, now: Now) {
        let Some(queue) = self.queues.get(lock) else { return };
        if queue.contender.is_some_and(|(_, waiter)| waiter == id) {
            return;
        }
        // Who never had a turn, because others were before him, is told what became of theirs.
        let last = queue.last.clone().filter(|_| self.held.get(lock, now).is_none());
        let failure = last.unwrap_or_else(|| self.taken_here(lock, now));
        let Some(waiter) = self.remove_waiter(lock, id) else { return };
        let (why, outcome) = outcome_of(failure);
        self.refuse(waiter.ask, why, outcome);
        self.tidy(lock, now);
    }

    /// What is known of a lock that somebody has, or waits for, without asking the nodes.
    pub(super) fn taken_here(&self, lock: &LockName, now: Now) -> Failure {
        let held = self.held.get(lock, now);
        Failure::Taken {
            value: held.map(|held| held.value.clone()),
            pttl_ms: held.map(|held| super::validity::left_ms(held.until, now).saturating_add(1)),
        }
    }

    /// CLIENT UNBLOCK.
    pub(super) fn on_unblock(&mut self, session: u64, error: bool, now: Now) {
        for place in self.sessions.places.get(&session).cloned().unwrap_or_default() {
            let Place::Waiter(lock, id) = place else { continue };
            let Some(waiter) = self.remove_waiter(&lock, id) else { continue };
            let taken = Outcome::Taken { value: None, pttl_ms: None };
            self.refuse(waiter.ask, Why::Taken, if error { Outcome::Unblocked } else { taken });
            self.tidy(&lock, now);
        }
    }

    /// A session that has asked for locks is no more.
    pub(super) fn on_gone(&mut self, session: u64, now: Now) {
        for place in self.sessions.places.remove(&session).unwrap_or_default() {
            match place {
                Place::Waiter(lock, id) => {
                    self.remove_waiter(&lock, id);
                    self.tidy(&lock, now);
                }
                Place::Work(id) => {
                    if let Some(work) = self.works.get_mut(&id) {
                        work.ask = None;
                    }
                }
            }
        }
        for lock in self.sessions.held.remove(&session).unwrap_or_default() {
            self.release_held(&lock, now);
        }
    }

    /// Answers a session.
    pub(super) fn answer(&mut self, to: LockAsk, outcome: Outcome) {
        self.out.push_back(Output::Answer { to, outcome });
    }

    /// Answers a session that does not get a lock.
    pub(super) fn refuse(&mut self, to: LockAsk, why: Why, outcome: Outcome) {
        if matches!(to.want, Want::Acquire { .. }) {
            self.out.push_back(Output::Note(Note::Refused(why)));
        }
        self.answer(to, outcome);
    }

    /// Who asks without waiting while others wait goes not before them.
    pub(super) fn others_wait(&self, ask: &LockAsk, now: Now) -> bool {
        let waited_for = self.queues.get(&ask.lock).is_some_and(|queue| queue.len() > 0);
        let must_know = ask.form.names_holder();
        waited_for && (!must_know || self.held.get(&ask.lock, now).is_some())
    }

    /// What whoever must not go before those that wait is told: of too few nodes, if that is why they wait.
    pub(super) fn why_they_wait(&self, lock: &LockName, now: Now) -> Failure {
        let last = self.queues.get(lock).and_then(|queue| queue.last.clone());
        let trouble = last.filter(|last| !matches!(last, Failure::Taken { .. }));
        trouble.filter(|_| self.held.get(lock, now).is_none()).unwrap_or_else(|| self.taken_here(lock, now))
    }

    /// For how many clients a lock is waited for.
    pub(super) fn waiters_of(&self, lock: &LockName) -> u64 {
        self.queues.get(lock).map_or(0, |queue| queue.len() as u64)
    }

    /// Names that are waited for.
    pub(super) fn waited_for(&self) -> &HashMap<LockName, Queue> {
        &self.queues
    }
}
