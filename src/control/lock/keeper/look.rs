//! What the nodes say of a lock: READ (GET, PTTL on the prefix), LOCK.INFO, and LOCK.LIST of what is known here.
//!
//! GET asks a majority; INFO asks everybody and waits for each until the round's end, for a person wants each node's word, and
//! the reason of each that has none. Pure.

use bytes::Bytes;

use super::{
    Held as Key, Now, Said, Script, Token,
    machine::Keeper,
    seat::Standing,
    validity::{full_ms, left_ms, whole_ms},
    view::Mask,
    work::{Deed, Next, Work},
};
use crate::{
    control::lock::outcome::{Holder, Info, Listed, NodeInfo, Outcome, Read},
    traffic::{
        command::glob,
        lock::{LockAsk, LockName, Proof, Want},
    },
};

/// Most locks that LOCK.LIST shows; a pattern finds the others.
const MOST_LISTED: usize = 10_000;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Read,
    Info,
    /// How often it is held, before one hold of it is given back.
    Holds,
}

impl Keeper {
    /// READ or INFO.
    pub(super) fn on_look(&mut self, ask: LockAsk, look: Look, now: Now) {
        let electorate = self.electorate(&ask.lock);
        let id = self.number();
        self.begin(id, Work::new(ask.lock.clone(), Some(ask), now, electorate, Deed::Look(look)), now);
    }

    /// The round.
    pub(super) fn start_look(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let lock = work.lock.clone();
        let to = self.usable(&work.electorate);
        self.ask_round(id, &mut work, to, now, |_, run_id| Script::Read { lock: lock.clone(), run_id });
        self.decide_look(id, work, now)
    }

    /// Whether the round has ended, and how.
    pub(super) fn decide_look(&mut self, id: u64, mut work: Box<Work>, now: Now) -> Next {
        let Deed::Look(look) = &work.deed else { return Next::Done };
        let answered = work.votes.answered();
        let found = majority_key(&work);
        let outcome = match look {
            Look::Info if work.votes.waiting != 0 => return Next::On(work),
            Look::Info => Outcome::Info(Box::new(self.info(&work, now))),
            Look::Holds if found.is_none() && could_be_found(&work) => return Next::On(work),
            Look::Holds => {
                let key = found.map(|(key, _)| key.clone());
                self.stop_timer(&mut work);
                if let Some(ask) = work.ask.take() {
                    self.sessions.works_no_more(ask.session, id);
                    self.give_back(ask, key.as_ref(), now);
                }
                return Next::Done;
            }
            Look::Read => match found {
                Some((key, pttl_ms)) => {
                    Outcome::Read(Some(Read { value: key.value.clone(), pttl_ms, holds: key.holds }))
                }
                None if could_be_found(&work) => return Next::On(work),
                None if work.electorate.majority(answered) => Outcome::Read(None),
                None => Outcome::NoQuorum(self.shortfall(&work, now)),
            },
        };
        self.stop_timer(&mut work);
        if let Some(ask) = work.ask.take() {
            self.sessions.works_no_more(ask.session, id);
            self.answer(ask, outcome);
        }
        Next::Done
    }

    /// One hold of a lock that this process does not know.
    fn give_back(&mut self, ask: LockAsk, key: Option<&Key>, now: Now) {
        let Want::Release { proof: Some(proof), .. } = ask.want.clone() else { return };
        let own = |key: &&Key| match &proof {
            Proof::Token(text) => Token::from_hex(text) == Some(key.token),
            Proof::Value(value) => *value == key.value,
        };
        match key.filter(own).filter(|key| key.holds > 1) {
            Some(key) => self.hold_less(ask, key, now),
            None => self.release_unknown(ask, Some(&proof), now),
        }
    }

    /// All that is known of a lock.
    fn info(&self, work: &Work, now: Now) -> Info {
        let found = majority_key(work);
        let here = self.held.get(&work.lock, now);
        let answered = work.electorate.majority(work.votes.answered());
        let parts = keys(work).count();
        let holder = found.map(|(key, _)| {
            let own = here.filter(|held| held.token == key.token);
            Holder {
                token: key.token,
                value: key.value.clone(),
                fence: own.map(|held| held.fence).or((key.fence > 0).then_some(key.fence)),
                validity_ms: own.map(|held| left_ms(held.until, now)),
                session: own.and_then(|held| held.session),
            }
        });
        let state = match (&holder, answered) {
            (Some(_), _) => "held",
            (None, false) => "unknown",
            (None, true) if parts > 0 => "split",
            (None, true) => "free",
        };
        let window = self.view.as_ref().and_then(|view| {
            let until_ms = self.window.as_ref()?.until_ms;
            let left = until_ms.saturating_sub(whole_ms(now)).min(full_ms(self.rules.window()));
            Some((view.old.members.len(), view.new.as_ref()?.members.len(), left))
        });
        Info {
            lock: work.lock.clone(),
            state,
            obstacle: self.obstacle(work, holder.as_ref(), now),
            holder,
            waiters: self.waiters_of(&work.lock),
            quorum: work.electorate.size(),
            window,
            advice: self.advice(),
            nodes: self.nodes(work, now),
        }
    }

    /// Why an acquire would fail now.
    fn obstacle(&self, work: &Work, holder: Option<&Holder>, now: Now) -> Option<String> {
        if !work.electorate.majority(work.votes.answered()) {
            return Some(self.shortfall(work, now));
        }
        if let Some(holder) = holder {
            let (_, left) = majority_key(work)?;
            let who = if holder.value.is_empty() { "somebody".into() } else { String::from_utf8_lossy(&holder.value) };
            return Some(format!("{who} has it, for {left} ms at most unless it is extended"));
        }
        let waiting = self.waiters_of(&work.lock);
        if waiting > 0 {
            return Some(format!("{waiting} clients wait for it already"));
        }
        let free = work.votes.answered() & !keys(work).fold(0, |mask, (place, _)| mask | 1 << place);
        if work.electorate.majority(free) {
            return None;
        }
        let tokens = keys(work).map(|(_, key)| key.token).collect::<std::collections::HashSet<Token>>().len();
        let left = keys(work).map(|(_, key)| key.pttl_ms).max().unwrap_or(0);
        Some(format!("{tokens} attempts have a part of it, and nobody a majority; in {left} ms their keys are gone"))
    }

    fn nodes(&self, work: &Work, now: Now) -> Vec<NodeInfo> {
        let of = |(place, voter): (usize, &super::Voter)| {
            let seat = self.seats.get(usize::from(voter.0))?;
            let name = seat.member.name.clone();
            let said = work.votes.said.get(place).and_then(Option::as_ref);
            let (state, why, left_ms, fence) = match (said, &seat.standing) {
                (Some(Said::Key { held: Some(key), fence, .. }), _) => {
                    let owner = String::from_utf8_lossy(&key.value).into_owned();
                    ("held", owner, Some(key.pttl_ms), Some(*fence))
                }
                (Some(Said::Key { fence, .. }), _) => ("free", String::new(), None, Some(*fence)),
                (_, Standing::Quarantine { until, why }) if seat.line.is_some() => {
                    ("quarantine", why.clone(), Some(full_ms(until.saturating_sub(now))), None)
                }
                _ => {
                    let why = work.votes.silent.get(place).cloned().flatten().unwrap_or_else(|| seat.why_not(now));
                    (if seat.line.is_some() { "silent" } else { "down" }, why, None, None)
                }
            };
            Some(NodeInfo { name, state, why, left_ms, fence })
        };
        work.electorate.voters.iter().enumerate().filter_map(of).collect()
    }

    /// LOCK.LIST.
    pub(super) fn list(&self, db: u32, pattern: &[u8], now: Now) -> Vec<Listed> {
        let matching = |lock: &LockName| lock.db == db && glob::matches_exactly(pattern, &lock.name);
        let held =
            self.held.iter().filter(|(lock, held)| held.until > now && matching(lock)).map(|(lock, held)| Listed {
                lock: lock.clone(),
                value: held.value.clone(),
                fence: held.fence,
                validity_ms: left_ms(held.until, now),
                waiters: self.waiters_of(lock),
                session: held.session,
            });
        let free = |lock: &LockName| self.held.get(lock, now).is_none() && matching(lock);
        let waited = self.waited_for().iter().filter(|(lock, _)| free(lock)).map(|(lock, queue)| Listed {
            lock: lock.clone(),
            value: Bytes::new(),
            fence: 0,
            validity_ms: 0,
            waiters: queue.len() as u64,
            session: None,
        });
        let mut listed: Vec<_> = held.chain(waited).take(MOST_LISTED).collect();
        listed.sort_unstable_by(|one, other| one.lock.cmp(&other.lock));
        listed
    }
}

/// The keys that the nodes have.
fn keys(work: &Work) -> impl Iterator<Item = (usize, &Key)> {
    work.votes.said.iter().enumerate().filter_map(|(place, said)| match said {
        Some(Said::Key { held: Some(key), .. }) => Some((place, key)),
        _ => None,
    })
}

/// Where keys of this token are.
fn places(work: &Work, token: Token) -> Mask {
    keys(work).filter(|(_, key)| key.token == token).fold(0, |mask, (place, _)| mask | 1 << place)
}

/// The key that a majority has, and for how long a majority will.
fn majority_key(work: &Work) -> Option<(&Key, u64)> {
    // Also in a window: what was taken before it lies at the old nodes.
    let decides = |mask: Mask| work.electorate.majority_before(mask);
    let (_, key) = keys(work).find(|(_, key)| decides(places(work, key.token)))?;
    let mut left: Vec<_> = keys(work).filter(|(_, other)| other.token == key.token).collect();
    left.sort_unstable_by_key(|(_, key)| std::cmp::Reverse(key.pttl_ms));
    let mut mask = 0;
    for (place, other) in left {
        mask |= 1 << place;
        if decides(mask) {
            return Some((key, other.pttl_ms));
        }
    }
    None
}

/// Whether those that have not answered may make a majority of some key.
fn could_be_found(work: &Work) -> bool {
    let waiting = work.votes.waiting;
    waiting != 0
        && (work.electorate.either(waiting)
            || keys(work).any(|(_, key)| work.electorate.either(places(work, key.token) | waiting)))
}
