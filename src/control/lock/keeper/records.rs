//! What is on the disk, and what is to be: nothing counts that is not there.
//!
//! ```text
//!  Keeper (what is wanted) ── Save n ──► disk ── Saved n ──► set, window, epoch, nodes as they count
//! ```
//! One write at a time; what changes meanwhile goes with the next. If it cannot be written, everything stays as it was and is
//! tried again. Pure.

use std::time::Duration;

use super::{
    Member, Now, Output, Voter,
    machine::{Due, Keeper},
    seat::Standing,
};
use crate::control::lock::state::{Known, State, Window};

/// Pause before a write that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What the disk has.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// The state that is there.
    pub(super) saved: State,
    /// The write under way.
    saving: Option<(u64, State)>,
    /// Something has changed since the last write began.
    pub(super) dirty: bool,
    number: u64,
    /// Why the last write failed.
    pub(super) trouble: Option<String>,
    /// It is tried again later.
    paused: bool,
}

impl Records {
    /// What was read.
    pub(super) fn new(saved: State) -> Self {
        Self { saved, ..Self::default() }
    }
}

impl Keeper {
    /// Something is to be kept.
    pub(super) fn dirty(&mut self) {
        self.records.dirty = true;
    }

    /// Begins a write, if there is something to write and none is under way.
    pub(super) fn write(&mut self) {
        let records = &self.records;
        if !records.dirty || records.saving.is_some() || records.paused {
            return;
        }
        let state = self.state();
        let records = &mut self.records;
        records.dirty = false;
        records.number += 1;
        records.saving = Some((records.number, state.clone()));
        self.out.push_back(Output::Save(records.number, state));
    }

    /// Everything that is to be kept, as it is wanted now.
    fn state(&self) -> State {
        let kept = |member: &Member| {
            self.set.contains(member) || self.window.as_ref().is_some_and(|window| window.next.contains(member))
        };
        let known = self.seats.iter().filter(|seat| kept(&seat.member) && !seat.known.run_id.is_empty());
        State {
            boot: self.boot.clone(),
            epoch: self.epoch,
            set: self.set.clone(),
            window: self.window.clone(),
            nodes: known.map(|seat| seat.known.clone()).collect(),
        }
    }

    /// A state is on the disk: it counts.
    pub(super) fn on_saved(&mut self, number: u64, now: Now) {
        let Some((_, state)) = self.records.saving.take_if(|(under_way, _)| *under_way == number) else { return };
        self.records.trouble = None;
        for seat in &mut self.seats {
            seat.saved = state.nodes.iter().find(|known| known.member == seat.member).cloned();
        }
        self.records.saved = state;
        self.publish(now);
        self.mark_again();
        self.revive(now);
    }

    /// It could not be written.
    pub(super) fn on_not_saved(&mut self, number: u64, why: String, now: Now) {
        if self.records.saving.take_if(|(under_way, _)| *under_way == number).is_none() {
            return;
        }
        self.records.trouble = Some(why);
        self.records.dirty = true;
        self.records.paused = true;
        self.timers.set(now + AGAIN, Due::Write);
    }

    /// The pause after a failed write is over.
    pub(super) fn write_again(&mut self) {
        self.records.paused = false;
    }

    /// What was known when the process before this one ended.
    pub(super) fn restore(&mut self, state: State, now: Now) {
        let same_boot = state.boot == self.boot;
        let anew = super::validity::full_ms(now + self.rules.quarantine());
        self.epoch = state.epoch;
        self.set.clone_from(&state.set);
        // When the process before has published this is known only if it is said, and only in this boot.
        self.window = state.window.clone().map(|window| {
            let until_ms = if same_boot { window.until_ms } else { u64::MAX };
            Window { until_ms, ..window }
        });
        let mut members = state.set.clone();
        members.extend(state.window.iter().flat_map(|window| window.next.clone()));
        for member in members {
            let mut known = state.nodes.iter().find(|known| known.member == member).cloned();
            if let Some((until_ms, _)) = known.as_mut().and_then(|known| known.quarantine.as_mut())
                && !same_boot
            {
                *until_ms = anew;
            }
            self.seat_of(&member, known.as_ref());
        }
        self.records = Records::new(state);
        self.dirty();
        self.publish(now);
    }

    /// Nodes that may be given their markers now, if locks are used already.
    fn mark_again(&mut self) {
        if self.used {
            self.mark_all();
        }
    }

    /// How many nodes of those that count do not count now, for a quarantine.
    #[must_use]
    pub fn quarantined(&self) -> usize {
        let confined = |standing: &Standing| matches!(standing, Standing::Quarantine { .. });
        self.seats.iter().filter(|seat| seat.kept && confined(&seat.standing)).count()
    }

    /// What the keeper calls `member`; a seat is made if there is none.
    pub(super) fn seat_of(&mut self, member: &Member, known: Option<&Known>) -> Voter {
        if let Some(index) = self.seats.iter().position(|seat| seat.member == *member) {
            let voter = Voter(u16::try_from(index).unwrap_or(u16::MAX));
            if let Some(seat) = self.seats.get_mut(index).filter(|seat| !seat.kept) {
                let latest = seat.latest;
                *seat = super::seat::Seat::new(member.clone(), None, false);
                seat.latest = latest;
                self.out.push_back(Output::Voter(voter, Some(member.clone())));
            }
            return voter;
        }
        let seat = super::seat::Seat::new(member.clone(), known.cloned(), known.is_some());
        let free = || self.seats.iter().position(|seat| !seat.kept);
        let index = if self.seats.len() < usize::from(u16::MAX) { self.seats.len() } else { free().unwrap_or(0) };
        let voter = Voter(u16::try_from(index).unwrap_or(u16::MAX));
        if let Some(old) = self.seats.get_mut(index) {
            let latest = old.latest;
            *old = seat;
            old.latest = latest;
        } else {
            self.seats.push(seat);
        }
        self.out.push_back(Output::Voter(voter, Some(member.clone())));
        voter
    }
}
