//! One node, as the keeper knows it: its line, what is under way on it, and whether it counts.
//!
//! ```text
//!  Standing:  Unmet ──met──► Admitted ◄──────── time over, fit ─────────┐
//!               │               │ restart, no marker, clock, eviction ──┤
//!               └─ first time ──┴──────────────────────────────────► Quarantine ◄──fit── Unfit
//!  usable  =  a line  and  Admitted  and  so on the disk  and  the marker is there
//! ```
//! Pure.

use std::{collections::VecDeque, time::Duration};

use super::{Facts, LineNo, Member, Now, Script, Ticket, Token, clock::Clock, timers::Handle};
use crate::{control::lock::state::Known, traffic::lock::LockName};

/// Releases that wait for a line; beyond that keys expire by themselves.
const MOST_DEBTS: usize = 10_000;

/// Requests under way on one line: a node that lets so many pile up is not asked for more locks.
const MOST_ERRANDS: usize = 200_000;

/// Whether a node may count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No line was there yet in this process.
    Unmet,
    /// It cannot count as it is; why, and the cure.
    Unfit(String),
    /// It may have forgotten something.
    Quarantine { until: Now, why: String },
    /// It counts, as soon as that is on the disk and its marker is there.
    Admitted,
}

/// What an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// This round of this work.
    Round(u64, u32),
    /// The marker.
    Admit,
    /// Nobody waits for it.
    Nothing,
}

/// A release that could not be sent.
#[derive(Clone, Debug)]
pub(super) struct Debt {
    pub(super) lock: LockName,
    pub(super) token: Token,
    /// When the key has expired anyway.
    pub(super) until: Now,
}

/// One node.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) member: Member,
    /// Whether the nodes that are wanted, or those that count, have it.
    pub(super) kept: bool,
    /// The line, while there is one.
    pub(super) line: Option<LineNo>,
    /// Why there is none; `None`: it is being opened for the first time.
    pub(super) down: Option<String>,
    /// The last number of a line; news of older ones are stale.
    pub(super) latest: LineNo,
    /// What it said of itself last.
    pub(super) facts: Option<Facts>,
    pub(super) standing: Standing,
    /// What is to be kept of it.
    pub(super) known: Known,
    /// What is kept of it.
    pub(super) saved: Option<Known>,
    /// The marker is on its way.
    pub(super) marking: bool,
    /// What is under way, in the order of the line.
    pub(super) errands: VecDeque<(Ticket, Errand)>,
    pub(super) debts: VecDeque<Debt>,
    pub(super) clock: Clock,
    /// The end of its quarantine.
    pub(super) timer: Option<Handle>,
    /// It has the hash of fences.
    pub(super) fenced: bool,
}

impl Seat {
    /// A node of which this is known.
    pub(super) fn new(member: Member, known: Option<Known>, saved: bool) -> Self {
        let fresh =
            || Known { member: member.clone(), run_id: String::new(), quarantine: None, marked: false, evicted: 0 };
        let known = known.unwrap_or_else(fresh);
        Self {
            kept: true,
            line: None,
            down: None,
            latest: LineNo(0),
            facts: None,
            standing: Standing::Unmet,
            saved: saved.then(|| known.clone()),
            marking: false,
            errands: VecDeque::new(),
            debts: VecDeque::new(),
            clock: Clock::default(),
            timer: None,
            fenced: known.marked,
            member,
            known,
        }
    }

    /// Whether it counts now.
    pub(super) fn usable(&self) -> bool {
        self.line.is_some() && self.standing == Standing::Admitted && self.errands.len() < MOST_ERRANDS && {
            let known = &self.known;
            known.marked && self.on_disk().is_some_and(|saved| saved.marked)
        }
    }

    /// What the disk says, if it is of this process of the node and admits it.
    fn on_disk(&self) -> Option<&Known> {
        self.saved.as_ref().filter(|saved| saved.run_id == self.known.run_id && saved.quarantine.is_none())
    }

    /// Whether it may be given its marker now.
    pub(super) fn markable(&self) -> bool {
        let admitted = self.line.is_some() && self.standing == Standing::Admitted && self.on_disk().is_some();
        admitted && !self.known.marked && !self.marking
    }

    /// Whether it will soon count, as far as is known: it is worth a moment's wait.
    pub(super) fn coming(&self) -> bool {
        if !self.kept || self.usable() {
            return false;
        }
        match self.standing {
            Standing::Unmet => self.down.is_none(),
            Standing::Admitted => self.line.is_some(),
            Standing::Unfit(_) | Standing::Quarantine { .. } => false,
        }
    }

    /// Why it does not count now, for a person.
    pub(super) fn why_not(&self, now: Now) -> String {
        match (&self.standing, &self.line, &self.down) {
            (_, None, Some(why)) => why.clone(),
            (_, None, None) => "not connected yet".to_owned(),
            (Standing::Unfit(why), ..) => why.clone(),
            (Standing::Quarantine { until, why }, ..) => {
                format!("in quarantine for {} {why}", seconds(until.saturating_sub(now)))
            }
            (Standing::Unmet, ..) => "not looked at yet".to_owned(),
            (Standing::Admitted, ..) if self.errands.len() >= MOST_ERRANDS => "it answers too slowly".to_owned(),
            (Standing::Admitted, ..) => "it is just being admitted".to_owned(),
        }
    }

    /// Keeps a release for the next line.
    pub(super) fn owe(&mut self, debt: Debt) {
        if !self.kept {
            return;
        }
        if self.debts.len() >= MOST_DEBTS {
            self.debts.pop_front();
        }
        self.debts.push_back(debt);
    }

    /// The process that scripts are for.
    pub(super) fn run_id(&self) -> String {
        self.known.run_id.clone()
    }
}

/// Releases that are still worth sending at `now`.
pub(super) fn payable(debts: VecDeque<Debt>, now: Now) -> impl Iterator<Item = Script> {
    debts
        .into_iter()
        .filter(move |debt| debt.until > now)
        .map(|debt| Script::Release { lock: debt.lock, proof: Some(super::Mine::Token(debt.token)) })
}

/// `12.4 s`; rounded up, so that 0 means now.
pub(super) fn seconds(time: Duration) -> String {
    let tenths = super::validity::full_ms(time).div_ceil(100);
    format!("{}.{} s", tenths / 10, tenths % 10)
}
