//! One attempt to have a lock.
//!
//! ```text
//!  fresh token ─► round 1: Take to all that count ─ majority took it ─► round 2: Fence t ─ majority accepted ─► validity? ─► granted
//!                      │ none any more                                   │ ▲ another name of the slot was faster: larger t
//!                      └──────────────► not granted ◄────────────────────┘─┘
//!                       compare-and-delete wherever a Take went and was not refused, on the same line, behind it
//! ```
//! * t = max(largest fence that any answer named + 1, epoch << 32, own last of the slot + 1); a majority must accept it
//!   strictly. Two grants of one lock have a node in common that accepted both fences; the one that was issued first was
//!   accepted first there, or its key would not have been in the way of the other's round 1. Repeating round 2 changes nothing
//!   of that: only the last t counts, and the key is held all the time or validity says that it was not.
//! * Two Circlets before the same nodes have an epoch each; who meets a fence of a larger one goes on from there. If all nodes
//!   of a lock forget before that, order of fences between the two is lost: the limit of epochs that are not shared.
//! * Whoever no answer came from may have taken it: unknown is not granted, and is deleted.
//! * Nothing is granted before round 2 is done, and validity is computed after it (models G3, G4).
//!
//! Pure.

use bytes::Bytes;

use super::{
    Held as Key, Mine, Now, Output, Said, Script, Token,
    held::Grant,
    machine::Keeper,
    placement::slot,
    seat::{Debt, Errand},
    validity::{left_ms, until, whole_ms, worth},
    view::Mask,
    waiting::Failure,
    work::{Deed, Next, Work},
};
use crate::{
    control::lock::{
        note::{Note, Why},
        outcome::Outcome,
    },
    traffic::lock::{LockAsk, Want},
};

/// How often round 2 is tried: names that share a counter may be faster, but not for ever.
const MOST_REPEATS: u32 = 16;

/// Fences from here on are not exact in the scripts of the nodes.
pub(super) const LAST_FENCE: u64 = 1 << 53;

/// An attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    token: Token,
    value: Bytes,
    ttl_ms: u64,
    /// The session that it would end with.
    session: Option<u64>,
    /// Its place in the queue; `None`: it does not wait.
    waiter: Option<u64>,
    /// When the first Take was sent, or before.
    started: Now,
    /// Until when it would be held.
    until: Now,
    /// Where a Take went.
    asked: Mask,
    /// Where it certainly did not take it.
    refused: Mask,
    /// The fence that round 2 is about; `None`: round 1.
    fence: Option<u64>,
    repeats: u32,
    /// The largest fence that was named.
    seen: u64,
    /// For a planted fault.
    early_left: u64,
}

impl Attempt {
    /// An attempt for what is asked; `None`: it is no acquire.
    pub(super) fn new(ask: &LockAsk, token: Token, waiter: Option<u64>) -> Option<Self> {
        let Want::Acquire { ttl_ms, ref value, session, .. } = ask.want else { return None };
        Some(Self {
            token,
            value: value.clone(),
            ttl_ms,
            session: session.then_some(ask.session),
            waiter,
            started: Now::ZERO,
            until: Now::ZERO,
            asked: 0,
            refused: 0,
            fence: None,
            repeats: 0,
            seen: 0,
            early_left: 0,
        })
    }

    /// An answer of any round, also one that comes late: where no key of this attempt is, none must be deleted.
    pub(super) fn learn(&mut self, place: usize, said: &Said) {
        match said {
            Said::Key { mine, fence, .. } => {
                self.seen = self.seen.max(*fence);
                if !mine {
                    self.refused |= 1 << place;
                }
            }
            Said::Fence { stored, .. } => self.seen = self.seen.max(*stored),
            _ => {}
        }
    }
}

impl Keeper {
    /// Round 1.
    pub(super) fn start_acquire(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let usable = self.usable(&work.electorate);
        let Deed::Acquire(attempt) = &mut work.deed else { return Next::Done };
        attempt.started = now;
        attempt.until = until(now, attempt.ttl_ms);
        let (lock, token, value, ttl_ms) = (work.lock.clone(), attempt.token, attempt.value.clone(), attempt.ttl_ms);
        // What is certain to fail is not begun.
        let to = if work.electorate.majority(usable) { usable } else { 0 };
        attempt.asked = to;
        self.ask_round(id, &mut work, to, now, |_, run_id| Script::Take {
            lock: lock.clone(),
            run_id,
            token,
            value: value.clone(),
            ttl_ms,
        });
        self.decide_acquire(id, work, now)
    }

    /// Whether the round has ended, and how.
    pub(super) fn decide_acquire(&mut self, id: u64, work: Box<Work>, now: Now) -> Next {
        let Deed::Acquire(attempt) = &work.deed else { return Next::Done };
        let votes = &work.votes;
        let (second, repeats) = (attempt.fence.is_some(), attempt.repeats);
        if work.electorate.majority(votes.yes) {
            return if second { self.finish(id, work, now) } else { self.second_round(id, work, now) };
        }
        if work.electorate.majority(votes.yes | votes.waiting) {
            return Next::On(work);
        }
        // Who has it is known when a majority has spoken, or cannot any more: a node that does not count is no reason to say
        // that too few answered.
        let told = work.electorate.majority(votes.answered()) || work.electorate.either(votes.no);
        if !second && !told && votes.waiting != 0 {
            return Next::On(work);
        }
        if !second {
            let failure = self.failure(&work, now);
            return self.not_granted(id, work, failure, now);
        }
        if votes.no != 0 && repeats < MOST_REPEATS && worth(attempt.until, now) {
            return self.second_round(id, work, now);
        }
        let failure = if work.electorate.majority(votes.answered()) {
            let name = String::from_utf8_lossy(&work.lock.name);
            Failure::Late(format!("lock '{name}': other locks that share its fence counter were faster; try again"))
        } else {
            Failure::Quorum(self.shortfall(&work, now))
        };
        self.not_granted(id, work, failure, now)
    }

    /// The key is there: a fence that is larger than every one before.
    fn second_round(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let slot = usize::from(slot(&work.lock));
        let floor = self.records.saved.epoch << 32;
        let to = self.usable(&work.electorate);
        let early = self.rules.safety;
        let Deed::Acquire(attempt) = &mut work.deed else { return Next::Done };
        let last = self.fences.get(slot).copied().unwrap_or(0);
        let fence = (attempt.seen + 1).max(floor).max(last + 1);
        if fence >= LAST_FENCE {
            let text = "the fence tokens of this ring are used up: numbers near 2^53 stand in the key circlet:fences of its nodes, which \
                        nobody but Circlet should write"
                .to_owned();
            return self.not_granted(id, work, Failure::Late(text), now);
        }
        if let Some(last) = self.fences.get_mut(slot) {
            *last = fence;
        }
        attempt.fence = Some(fence);
        attempt.repeats += 1;
        attempt.early_left = left_ms(attempt.until, now);
        let (lock, token) = (work.lock.clone(), attempt.token);
        self.ask_round(id, &mut work, to, now, |_, run_id| Script::Fence { lock: lock.clone(), run_id, token, fence });
        if !early.second_round {
            return self.finish(id, work, now);
        }
        self.decide_acquire(id, work, now)
    }

    /// A majority has accepted the fence: is enough of it left?
    fn finish(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let late_validity = self.rules.safety.late_validity;
        let Deed::Acquire(attempt) = &mut work.deed else { return Next::Done };
        if !late_validity {
            attempt.until = now + std::time::Duration::from_millis(attempt.early_left);
        }
        if !worth(attempt.until, now) {
            let text = format!(
                "lock '{}': its nodes took {} ms, so that nothing is left of a ttl of {} ms; ask for a longer one",
                String::from_utf8_lossy(&work.lock.name),
                whole_ms(now.saturating_sub(attempt.started)),
                attempt.ttl_ms
            );
            return self.not_granted(id, work, Failure::Late(text), now);
        }
        let (until, waiter) = (attempt.until, attempt.waiter);
        self.stop_timer(&mut work);
        let to = match waiter {
            Some(waiter) => self.has_waited(&work.lock, waiter, until, now),
            None => work.ask.take().map(|ask| (ask, work.asked)),
        };
        match to {
            Some((ask, asked)) => self.granted(id, work, ask, asked, now),
            // Whoever wanted it is gone.
            None => {
                self.undo(&work);
                self.hand_over(&work.lock, now);
                self.tidy(&work.lock, now);
            }
        }
        Next::Done
    }

    fn granted(&mut self, id: u64, work: Box<Work>, ask: LockAsk, asked: Now, now: Now) {
        let Deed::Acquire(attempt) = work.deed else { return };
        self.sessions.works_no_more(ask.session, id);
        let fence = attempt.fence.unwrap_or(0);
        for voter in &work.electorate.voters {
            if let Some(seat) = self.seats.get_mut(usize::from(voter.0)) {
                seat.fenced = true;
            }
        }
        let grant = Grant {
            token: attempt.token,
            value: attempt.value,
            fence,
            ttl_ms: attempt.ttl_ms,
            until: attempt.until,
            session: attempt.session,
            electorate: work.electorate,
        };
        if let Some(before) = self.held.put(work.lock.clone(), grant, now) {
            self.ended(&work.lock, &before);
            self.lost(work.lock.clone(), &before);
        }
        if let Some(session) = attempt.session {
            self.sessions.holds(session, &work.lock);
            self.renew_after(&work.lock, std::time::Duration::from_millis(attempt.ttl_ms / 3), now);
        }
        let waited = now.saturating_sub(asked);
        self.out.push_back(Output::Note(Note::Acquired { waited }));
        let validity_ms = left_ms(attempt.until, now);
        let outcome =
            Outcome::Granted { token: attempt.token, fence, validity_ms, waited_ms: whole_ms(waited), holds: 1 };
        self.answer(ask, outcome);
    }

    /// It is not granted: what was taken is given back, and whoever asked is told, or waits on.
    fn not_granted(&mut self, id: u64, mut work: Box<Work>, failure: Failure, now: Now) -> Next {
        self.stop_timer(&mut work);
        self.undo(&work);
        let Deed::Acquire(attempt) = &work.deed else { return Next::Done };
        match (attempt.waiter, work.ask.take()) {
            (Some(waiter), _) => self.attempt_failed(&work.lock, waiter, &failure, now),
            (None, Some(ask)) => {
                self.sessions.works_no_more(ask.session, id);
                let (why, outcome) = outcome_of(failure);
                self.refuse(ask, why, outcome);
            }
            (None, None) => {}
        }
        Next::Done
    }

    /// Compare-and-delete wherever a key of this attempt is, or may be.
    fn undo(&mut self, work: &Work) {
        let Deed::Acquire(attempt) = &work.deed else { return };
        for (place, voter) in work.electorate.voters.iter().copied().enumerate() {
            if attempt.asked & !attempt.refused & 1 << place == 0 {
                continue;
            }
            let proof = self.rules.safety.compare.then_some(Mine::Token(attempt.token));
            let script = Script::Release { lock: work.lock.clone(), proof };
            if !self.send(voter, script, Errand::Nothing)
                && let Some(seat) = self.seats.get_mut(usize::from(voter.0))
            {
                let until = attempt.started + std::time::Duration::from_millis(attempt.ttl_ms * 2);
                seat.owe(Debt { lock: work.lock.clone(), token: attempt.token, until });
            }
        }
    }

    /// Why round 1 was not won.
    fn failure(&self, work: &Work, now: Now) -> Failure {
        let votes = &work.votes;
        if !work.electorate.majority(votes.answered()) && !work.electorate.either(votes.no) {
            return Failure::Quorum(self.shortfall(work, now));
        }
        let keys = || votes.said.iter().enumerate().filter_map(|(place, said)| Some((place, key_of(said.as_ref()?)?)));
        let holder = keys().find(|(_, key)| {
            let same =
                keys().filter(|(_, other)| other.token == key.token).fold(0, |mask, (place, _)| mask | 1 << place);
            work.electorate.either(same)
        });
        // Not before a majority can be free: the nodes that are needed beyond those that are.
        let pttl_ms = match &holder {
            Some((_, key)) => keys().filter(|(_, other)| other.token == key.token).map(|(_, key)| key.pttl_ms).min(),
            None => keys().map(|(_, key)| key.pttl_ms).min(),
        };
        Failure::Taken { value: holder.map(|(_, key)| key.value.clone()), pttl_ms }
    }
}

fn key_of(said: &Said) -> Option<&Key> {
    match said {
        Said::Key { mine: false, held, .. } => held.as_ref(),
        _ => None,
    }
}

/// What whoever asked is told.
pub(super) fn outcome_of(failure: Failure) -> (Why, Outcome) {
    match failure {
        Failure::Taken { value, pttl_ms } => (Why::Taken, Outcome::Taken { value, pttl_ms }),
        Failure::Quorum(words) => (Why::Quorum, Outcome::NoQuorum(words)),
        Failure::Late(words) => (Why::Late, Outcome::NoQuorum(words)),
    }
}
