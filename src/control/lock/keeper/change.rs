//! The nodes that keep locks change: one change at a time, with a window in which both sets count.
//!
//! ```text
//!  Wanted ─► window saved ─► published: Joint; counted from here ─► max_ttl * 1.01 + 500 ms ─► epoch + 1, saved ─► Alone(new)
//!    others wait                (model F8: never earlier)                                        (G9)     the next change
//! ```
//! The window is on the disk before anybody acts by it, and is counted from when everybody does: here that is one moment,
//! since one keeper decides for all workers. A process that finds a window of which its predecessor did not say when it was
//! published counts it anew. Whoever leaves keeps its line until the end: locks that lie on it are released there. Pure.

use super::{
    Member, Now, Output, Voter,
    machine::{Due, Keeper},
    validity::full_ms,
    view::{Set, View},
};
use crate::control::lock::{note::Note, state::Window};

impl Keeper {
    /// These nodes are wanted from now on.
    pub(super) fn on_wanted(&mut self, mut members: Vec<Member>) {
        members.sort_unstable();
        members.dedup();
        if members.is_empty() {
            return;
        }
        self.wanted = Some(members);
        self.change();
    }

    /// Begins what is wanted, unless a change is under way.
    fn change(&mut self) {
        // Until the end of the last one is on the disk, both of its sets count.
        if self.window.is_some() || self.records.saved.window.is_some() {
            return;
        }
        let Some(members) = self.wanted.take() else { return };
        if members == self.set {
            return;
        }
        if self.set.is_empty() {
            if self.rules.bootstrap && self.seats.is_empty() {
                self.young.clone_from(&members);
            }
            self.set = members;
        } else {
            self.window = Some(Window { next: members, until_ms: u64::MAX });
        }
        let next = self.window.as_ref().map_or(&self.set, |window| &window.next).clone();
        for member in &next {
            self.seat_of(member, None);
        }
        self.dirty();
    }

    /// What is on the disk counts from now on.
    pub(super) fn publish(&mut self, now: Now) {
        let (set, window) = (self.records.saved.set.clone(), self.records.saved.window.clone());
        if set.is_empty() {
            return;
        }
        let before = self.view.as_ref().map(|view| (&view.old.members, view.new.as_ref().map(|set| &set.members)));
        if before == Some((&set, window.as_ref().map(|window| &window.next))) {
            return;
        }
        let was_joint = self.view.as_ref().is_some_and(|view| view.new.is_some());
        let view = View { old: self.set_of(&set), new: window.as_ref().map(|window| self.set_of(&window.next)) };
        self.view = Some(view);
        match window {
            Some(window) => self.window_begins(&set, &window, now),
            None if was_joint => self.window_ended(&set, now),
            None => self.advise(),
        }
    }

    fn window_begins(&mut self, before: &[Member], window: &Window, now: Now) {
        let until = match window.until_ms {
            u64::MAX => now + self.rules.window(),
            known => Now::from_millis(known),
        };
        // A restart on another boot has put it back.
        let until = if self.window.as_ref().is_some_and(|wanted| wanted.until_ms == u64::MAX) {
            now + self.rules.window()
        } else {
            until
        };
        if let Some(window) = &mut self.window {
            window.until_ms = full_ms(until);
        }
        self.dirty();
        self.timers.set(Now::from_millis(full_ms(until)), Due::Window);
        let left = until.saturating_sub(now);
        self.out.push_back(Output::Note(Note::WindowBegun { before: names(before), after: names(&window.next), left }));
    }

    /// Its time is over: as soon as that is on the disk, only the new ones count.
    pub(super) fn window_over(&mut self, now: Now) {
        let Some(window) = self.window.take_if(|window| Now::from_millis(window.until_ms) <= now) else { return };
        self.set = window.next;
        self.epoch += 1;
        self.dirty();
    }

    fn window_ended(&mut self, set: &[Member], now: Now) {
        for index in 0..self.seats.len() {
            let Some(seat) = self.seats.get_mut(index).filter(|seat| seat.kept && !set.contains(&seat.member)) else {
                continue;
            };
            seat.kept = false;
            let voter = Voter(u16::try_from(index).unwrap_or(u16::MAX));
            let line = seat.latest;
            self.lose(voter, line, "it keeps no locks any more", now);
            self.out.push_back(Output::Voter(voter, None));
        }
        self.out.push_back(Output::Note(Note::WindowEnded { nodes: names(set) }));
        self.advise();
        self.change();
    }

    fn set_of(&mut self, members: &[Member]) -> Set {
        let voters: Vec<_> = members.iter().map(|member| self.seat_of(member, None)).collect();
        Set::new(members, &voters, self.rules.voters_of(members.len()))
    }

    /// What an operator should know of the number of nodes.
    fn advise(&mut self) {
        if let Some(advice) = self.advice() {
            self.out.push_back(Output::Note(Note::Advice(advice)));
        }
    }

    /// What is worth knowing of the number of nodes; `None`: nothing.
    pub(super) fn advice(&self) -> Option<String> {
        let set = &self.view.as_ref()?.old;
        match (set.members.len(), set.each) {
            (1, _) => Some(
                "there is one node: locks are as safe as that node alone, and none can be had while it is away or for a \
                 while after its restart; three nodes would survive the loss of one"
                    .to_owned(),
            ),
            (count, 1) if self.rules.nodes > 1 => Some(format!(
                "there are {count} nodes: each lock lies on one of them, for a majority of two is both; three nodes would \
                 survive the loss of one"
            )),
            (count, 1) => Some(format!(
                "lock.nodes is 1: each lock lies on one of the {count} nodes and is as safe as that node; 3 would survive the \
                 loss of one"
            )),
            (count, each) if each < self.rules.nodes => {
                Some(format!("there are {count} nodes: each lock lies on {each} of them, not on {} (lock.nodes)", self.rules.nodes))
            }
            _ => None,
        }
    }
}

fn names(members: &[Member]) -> Vec<String> {
    members.iter().map(|member| member.name.clone()).collect()
}
