//! To have a lock no more: compare and delete on every node that may have it.
//!
//! ```text
//!  held here ──► not held from this moment ──► Release to all ──► the next Take right behind it
//!  not known here (a restart, another Circlet) ──► by token or value: deleted at a majority ──► released
//!  DEL, --force ──► whoever's
//!  one hold of several (Redisson) ──► one less; not known here: as many as the nodes say, less one
//! ```
//! Nodes that do not count are told too: deleting what is one's own is right anywhere. Pure.

use super::{
    Mine, Now, Output, Script, Token,
    extend::Reason,
    held::Held,
    look::Look,
    machine::Keeper,
    seat::Debt,
    validity::drift,
    work::{Deed, Next, Work},
};
use crate::{
    control::lock::{note::Note, outcome::Outcome},
    traffic::lock::{LockAsk, LockName, Proof},
};

/// A release.
#[derive(Debug)]
pub(super) struct Freeing {
    /// Whose; `None`: anybody's.
    proof: Option<Mine>,
    /// It was held here, within its validity: its owner has it no more, whatever the nodes answer.
    sure: bool,
    /// Keys have expired by then.
    until: Now,
}

impl Keeper {
    /// RELEASE, DEL.
    pub(super) fn on_release(&mut self, ask: LockAsk, proof: Option<&Proof>, once: bool, now: Now) {
        let lock = ask.lock.clone();
        let held = self.held.get(&lock, now).filter(|held| proof.is_none_or(|proof| held.is_of(proof)));
        let Some(held) = held else {
            if once && proof.is_some() {
                // How often it is held, the nodes know.
                self.on_look(ask, Look::Holds, now);
            } else {
                self.release_unknown(ask, proof, now);
            }
            return;
        };
        if once && held.holds > 1 {
            let ttl_ms = held.ttl_ms;
            self.extend(&lock, Some(ask), ttl_ms, Reason::Less, now);
            return;
        }
        let Some(held) = self.held.take(&lock) else { return };
        self.ended(&lock, &held);
        if proof.is_none() {
            self.lost_to_force(&lock, &held);
        }
        self.out.push_back(Output::Note(Note::Released { held: now.saturating_sub(held.since) }));
        let proof = proof.is_some().then_some(Mine::Token(held.token));
        self.free(&lock, Some(ask), proof, Some(&held), now);
    }

    /// A session that is no more releases its lock.
    pub(super) fn release_held(&mut self, lock: &LockName, now: Now) {
        let Some(held) = self.held.take(lock) else { return };
        self.ended(lock, &held);
        self.out.push_back(Output::Note(Note::Released { held: now.saturating_sub(held.since) }));
        let proof = Some(Mine::Token(held.token));
        self.free(lock, None, proof, Some(&held), now);
    }

    fn lost_to_force(&mut self, lock: &LockName, held: &Held) {
        if let Some(session) = held.session {
            self.out.push_back(Output::Lapsed { session, lock: lock.clone(), token: held.token });
        }
    }

    pub(super) fn release_unknown(&mut self, ask: LockAsk, proof: Option<&Proof>, now: Now) {
        let proof = match proof {
            None => None,
            Some(Proof::Value(value)) => Some(Mine::Value(value.clone())),
            Some(Proof::Token(text)) => match Token::from_hex(text) {
                Some(token) => Some(Mine::Token(token)),
                None => {
                    self.answer(ask, Outcome::NotHeld);
                    return;
                }
            },
        };
        let lock = ask.lock.clone();
        self.free(&lock, Some(ask), proof, None, now);
    }

    fn free(&mut self, lock: &LockName, ask: Option<LockAsk>, proof: Option<Mine>, held: Option<&Held>, now: Now) {
        let forced = proof.is_none();
        let electorate = self.electorate(lock);
        let electorate = match held {
            Some(held) => electorate.and_tell(&held.electorate.voters),
            None => electorate,
        };
        let until = held.map_or(Now::ZERO, |held| held.until + drift(held.ttl_ms) * 2);
        let freeing = Freeing { proof, sure: held.is_some() && !forced, until };
        let id = self.number();
        let known = held.is_some();
        self.begin(id, Work::new(lock.clone(), ask, now, electorate, Deed::Release(freeing)), now);
        if known || forced {
            self.hand_over(lock, now);
        }
    }

    /// The round.
    pub(super) fn start_release(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let Deed::Release(freeing) = &work.deed else { return Next::Done };
        if work.round == 0 && work.electorate.voters.is_empty() {
            work.electorate = self.electorate(&work.lock);
        }
        let (lock, proof, until) = (work.lock.clone(), freeing.proof.clone(), freeing.until);
        let to = work.electorate.all();
        self.ask_round(id, &mut work, to, now, |_, _| Script::Release { lock: lock.clone(), proof: proof.clone() });
        if let Some(Mine::Token(token)) = proof {
            for (place, voter) in work.electorate.voters.iter().enumerate() {
                let unsent = work.votes.waiting & 1 << place == 0;
                if let Some(seat) = self.seats.get_mut(usize::from(voter.0)).filter(|_| unsent && until > now) {
                    seat.owe(Debt { lock: lock.clone(), token, until });
                }
            }
        }
        self.decide_release(id, work, now)
    }

    /// Whether the round has ended, and how.
    pub(super) fn decide_release(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let Deed::Release(freeing) = &work.deed else { return Next::Done };
        let (votes, electorate) = (&work.votes, &work.electorate);
        let released = electorate.either(votes.yes);
        let hopeless = !electorate.either(votes.yes | votes.waiting);
        if !released && !hopeless {
            return Next::On(work);
        }
        let not_there = electorate.either(votes.no);
        let outcome = match (released, not_there, freeing.sure) {
            (true, ..) => Outcome::Released { holds: 0 },
            (_, true, _) => Outcome::NotHeld,
            (_, _, true) => Outcome::Released { holds: 0 },
            _ => Outcome::NoQuorum(self.shortfall(&work, now)),
        };
        self.stop_timer(&mut work);
        let asked = work.ask.take();
        if released && !freeing_known(&work) {
            self.hand_over(&work.lock, now);
        }
        if let Some(ask) = asked {
            self.sessions.works_no_more(ask.session, id);
            self.answer(ask, outcome);
        }
        Next::Done
    }
}

fn freeing_known(work: &Work) -> bool {
    matches!(&work.deed, Deed::Release(freeing) if freeing.sure)
}
