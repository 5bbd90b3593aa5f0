//! To have a lock longer: EXTEND, the renewals of SESSION locks, and further or fewer holds of Redisson's.
//!
//! ```text
//!  held here, within validity ─► Extend to all that count ─ own keys at a majority ─► still within validity? ─► longer
//!  not known here ─► lost (a restart, another Circlet: nobody knows whether another had it meanwhile; models E2, E6)
//! ```
//! * The validity before must not be over when the round is decided: lapses come first, so that what is over is not there.
//! * In a window the old nodes must have own keys; on nodes that only the new set has it may be taken anew, and counts for the
//!   new set alone (models F9, F11): continuity comes from the old ones.
//! * Too few keys are seen and it is not certain that they are gone, since nodes are silent that may have them: -NOQUORUM, and
//!   it may be asked again. -LOCKLOST is final.
//! * A round that fails takes nothing away: what was sure before is sure still, unless a shorter ttl was sent. That binds from
//!   the moment when it is sent, also what was sent before and is not decided yet.
//!
//! Pure.

use bytes::Bytes;

use super::{
    Held as Key, Mine, Now, Output, Script, Token,
    machine::Keeper,
    validity::{drift, full_ms, left_ms, until, whole_ms, worth},
    work::{Deed, Next, Work},
};
use crate::{
    control::lock::{note::Note, outcome::Outcome},
    traffic::lock::{LockAsk, LockName, Proof},
};

/// Pause before a renewal that failed is tried again: this part of the ttl.
const AGAIN: u32 = 10;

/// Why one extends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// EXTEND.
    Asked,
    /// A session's lock, by itself.
    Renewal,
    /// It is held once more.
    Again,
    /// It is held once less.
    Less,
}

/// An extension.
#[derive(Debug)]
pub(super) struct Extension {
    token: Token,
    ttl_ms: u64,
    reason: Reason,
    /// How often it is held afterwards, if that changes.
    holds: Option<u32>,
    /// Until when it would be held.
    until: Now,
    /// A shorter one was sent later: not longer than that.
    limit: Option<Now>,
    /// It is not held here, as far as this process knows: nobody is told how long it is held.
    blind: bool,
}

impl Keeper {
    /// EXTEND.
    pub(super) fn on_extend(&mut self, ask: LockAsk, proof: &Proof, ttl_ms: u64, more: bool, now: Now) {
        let held = self.held.get(&ask.lock, now).filter(|held| held.is_of(proof));
        let Some(held) = held else {
            if !self.rules.safety.extend_in_time
                && let Proof::Token(text) = proof
                && let Some(token) = Token::from_hex(text)
            {
                let lock = ask.lock.clone();
                self.extend_as(&lock, Some(ask), (token, ttl_ms), (Reason::Asked, None, true), now);
                return;
            }
            let text = format!(
                "lock '{}' is not held with this token, or its time was over, or it was taken before a restart of Circlet or \
                 by way of another; acquire it anew",
                String::from_utf8_lossy(&ask.lock.name)
            );
            self.answer(ask, Outcome::Lost(text));
            return;
        };
        let rest = held.until.saturating_sub(now).saturating_add(drift(held.ttl_ms));
        let ttl_ms = if more { ttl_ms.saturating_add(full_ms(rest)) } else { ttl_ms };
        if let Some(text) = self.unfit_ttl(&ask.lock, ttl_ms) {
            self.answer(ask, Outcome::Refused(text));
            return;
        }
        let lock = ask.lock.clone();
        self.extend(&lock, Some(ask), ttl_ms, Reason::Asked, now);
    }

    /// A SESSION lock is due.
    pub(super) fn renew(&mut self, lock: &LockName, now: Now) {
        if let Some(held) = self.held.get_mut(lock) {
            held.renewal = None;
            let ttl_ms = held.ttl_ms;
            self.extend(lock, None, ttl_ms, Reason::Renewal, now);
        }
    }

    /// Has a lock that is held here be held longer, and perhaps more or less often.
    pub(super) fn extend(&mut self, lock: &LockName, ask: Option<LockAsk>, ttl_ms: u64, reason: Reason, now: Now) {
        let Some(held) = self.held.get_mut(lock) else { return };
        let holds = match reason {
            Reason::Asked | Reason::Renewal => None,
            Reason::Again => Some(held.holds.saturating_add(1)),
            Reason::Less => Some(held.holds.saturating_sub(1)),
        };
        let token = held.token;
        self.extend_as(lock, ask, (token, ttl_ms), (reason, holds, false), now);
    }

    /// One hold less of a lock that was taken before a restart: its key goes on, with the time that it has.
    pub(super) fn hold_less(&mut self, ask: LockAsk, key: &Key, now: Now) {
        let lock = ask.lock.clone();
        let holds = Some(key.holds.saturating_sub(1));
        self.extend_as(&lock, Some(ask), (key.token, key.pttl_ms.max(1)), (Reason::Less, holds, true), now);
    }

    fn extend_as(
        &mut self,
        lock: &LockName,
        ask: Option<LockAsk>,
        (token, ttl_ms): (Token, u64),
        (reason, holds, blind): (Reason, Option<u32>, bool),
        now: Now,
    ) {
        let extension = Extension { token, ttl_ms, reason, holds, until: Now::ZERO, limit: None, blind };
        let electorate = self.electorate(lock);
        let id = self.number();
        self.begin(id, Work::new(lock.clone(), ask, now, electorate, Deed::Extend(extension)), now);
    }

    /// The round.
    pub(super) fn start_extend(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let lock = work.lock.clone();
        let Deed::Extend(extension) = &mut work.deed else { return Next::Done };
        extension.until = until(now, extension.ttl_ms);
        let (token, ttl_ms, holds, new_until) = (extension.token, extension.ttl_ms, extension.holds, extension.until);
        let blind = extension.blind;
        let held = self.held.get_mut(&lock).filter(|held| held.token == token);
        let Some((value, fence, earlier, before)) = held
            .map(|held| (held.value.clone(), held.fence, held.extending.clone(), held.until))
            .or_else(|| blind.then(|| (Bytes::new(), 0, Vec::new(), Now::ZERO)))
        else {
            return self.not_extended(id, work, true, now);
        };
        let usable = self.usable(&work.electorate);
        let to = if work.electorate.majority(usable) { usable } else { 0 };
        if to != 0 {
            for other in earlier {
                if let Some(Deed::Extend(other)) = self.works.get_mut(&other).map(|work| &mut work.deed) {
                    other.limit = Some(other.limit.map_or(new_until, |limit| limit.min(new_until)));
                }
            }
            if new_until < before {
                self.held.set_until(&lock, new_until);
            }
            // Where keys may be from now on.
            let told = self.held.get_mut(&lock).map(|held| {
                held.extending.push(id);
                held.electorate.clone().and_tell(&work.electorate.voters)
            });
            if let Some(told) = told {
                self.held.set_electorate(&lock, told);
            }
        }
        let newcomers = work.electorate.newcomers();
        self.ask_round(id, &mut work, to, now, |place, run_id| Script::Extend {
            lock: lock.clone(),
            run_id,
            proof: Mine::Token(token),
            ttl_ms,
            or_take: (!blind && newcomers & 1 << place != 0).then(|| (value.clone(), fence)),
            holds,
        });
        self.decide_extend(id, work, now)
    }

    /// Whether the round has ended, and how.
    pub(super) fn decide_extend(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let Deed::Extend(extension) = &work.deed else { return Next::Done };
        let lock = work.lock.clone();
        let held = self.held.get(&lock, now).filter(|held| held.token == extension.token).is_some();
        if !held && !extension.blind {
            return self.not_extended(id, work, true, now);
        }
        if work.electorate.majority(work.votes.yes) {
            let until = extension.limit.map_or(extension.until, |limit| limit.min(extension.until));
            if !worth(until, now) {
                return self.not_extended(id, work, false, now);
            }
            self.stop_timer(&mut work);
            self.extended(id, work, until, now);
            return Next::Done;
        }
        if work.electorate.majority(work.votes.yes | work.votes.waiting) {
            return Next::On(work);
        }
        self.not_extended(id, work, false, now)
    }

    fn extended(&mut self, id: u64, work: Box<Work>, until: Now, now: Now) {
        let Deed::Extend(extension) = work.deed else { return };
        let lock = &work.lock;
        let Some(held) = self.held.get_mut(lock) else {
            let Some(ask) = work.ask else { return };
            self.sessions.works_no_more(ask.session, id);
            let outcome = match extension.reason {
                Reason::Less => Outcome::Released { holds: extension.holds.unwrap_or(0) },
                // Only with a planted fault.
                _ => Outcome::Extended { fence: 0, validity_ms: left_ms(until, now) },
            };
            self.answer(ask, outcome);
            return;
        };
        held.extending.retain(|known| *known != id);
        held.ttl_ms = extension.ttl_ms;
        held.holds = extension.holds.unwrap_or(held.holds);
        let (fence, token, holds, before) = (held.fence, held.token, held.holds, held.until);
        if until > before {
            self.held.set_until(lock, until);
        }
        // While both sets count its keys may lie on both; afterwards only on those that count.
        let told = match (work.electorate.new, self.held.get_mut(lock)) {
            (Some(_), Some(held)) => work.electorate.and_tell(&held.electorate.voters),
            _ => work.electorate,
        };
        self.held.set_electorate(lock, told);
        self.renew_after(lock, std::time::Duration::from_millis(extension.ttl_ms / 3), now);
        self.out.push_back(Output::Note(Note::Extended));
        let Some(ask) = work.ask else { return };
        self.sessions.works_no_more(ask.session, id);
        let validity_ms = left_ms(until, now);
        let outcome = match extension.reason {
            Reason::Asked | Reason::Renewal => Outcome::Extended { fence, validity_ms },
            Reason::Again => {
                let waited_ms = whole_ms(now.saturating_sub(work.asked));
                Outcome::Granted { token, fence, validity_ms, waited_ms, holds }
            }
            Reason::Less => Outcome::Released { holds },
        };
        self.answer(ask, outcome);
    }

    /// It is not longer than before. `gone`: it is not held any more.
    fn not_extended(&mut self, id: u64, mut work: Box<Work>, gone: bool, now: Now) -> Next {
        self.stop_timer(&mut work);
        let Deed::Extend(extension) = &work.deed else { return Next::Done };
        if let Some(held) = self.held.get_mut(&work.lock) {
            held.extending.retain(|known| *known != id);
        }
        if extension.reason == Reason::Renewal {
            let pause = std::time::Duration::from_millis(extension.ttl_ms) / 3 / AGAIN;
            self.renew_after(&work.lock, pause, now);
        }
        let Some(ask) = work.ask.take() else { return Next::Done };
        self.sessions.works_no_more(ask.session, id);
        let name = String::from_utf8_lossy(&work.lock.name).into_owned();
        let outcome = if gone {
            Outcome::Lost(format!("lock '{name}': its time was over before its nodes had answered; acquire it anew"))
        } else if !work.electorate.majority(work.electorate.all() & !work.votes.no) {
            Outcome::Lost(format!("lock '{name}': too few of its nodes have it still; acquire it anew"))
        } else {
            Outcome::NoQuorum(self.shortfall(&work, now))
        };
        self.answer(ask, outcome);
        Next::Done
    }

    /// What is wrong with a ttl; `None`: nothing.
    pub(super) fn unfit_ttl(&self, lock: &LockName, ttl_ms: u64) -> Option<String> {
        let (most, least) = (self.rules.max_ttl_ms(), super::validity::SHORTEST_TTL_MS);
        let name = String::from_utf8_lossy(&lock.name);
        if ttl_ms > most {
            return Some(format!(
                "lock '{name}': a ttl of {ttl_ms} ms is longer than lock.max_ttl ({most} ms); ask for less, or raise it"
            ));
        }
        (ttl_ms < least)
            .then(|| format!("lock '{name}': nothing would be left of a ttl of {ttl_ms} ms; ask for {least} at least"))
    }
}

impl super::held::Held {
    /// Whether whoever shows this is its holder.
    pub(super) fn is_of(&self, proof: &Proof) -> bool {
        match proof {
            Proof::Token(text) => Token::from_hex(text) == Some(self.token),
            Proof::Value(value) => Bytes::eq(value, &self.value),
        }
    }
}
