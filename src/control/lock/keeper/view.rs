//! Whose votes count for a lock.
//!
//! ```text
//!            nodes change, saved                   window over, epoch raised, saved
//!  Alone(old) ──────────────────► Joint(old, new) ──────────────────────────────────► Alone(new)
//!  majority of old                of old AND of new                                   of new
//! ```
//! What was begun under a view ends under it: its [`Electorate`] goes with it. Who votes follows from the epoch only, never
//! from who answers (model A7). Pure.

use super::{
    Member, Voter,
    placement::{self, Circle},
};
use crate::traffic::lock::LockName;

/// Most nodes of one lock.
pub(super) const MOST: usize = 7;

/// A set of an electorate's voters, by their places in it.
pub(super) type Mask = u16;

/// The nodes of an epoch.
#[derive(Clone, Debug)]
pub(super) struct Set {
    /// Sorted.
    pub(super) members: Vec<Member>,
    circle: Circle,
    /// On how many of them a lock lies.
    pub(super) each: usize,
}

impl Set {
    /// The set of `members`, with what the keeper calls them.
    pub(super) fn new(members: &[Member], voters: &[Voter], each: usize) -> Self {
        let circle = Circle::new(voters.iter().copied().zip(members.iter().map(|member| member.place.as_str())));
        Self { members: members.to_vec(), circle, each }
    }
}

/// The nodes that count.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Those that count alone, or before the change.
    pub(super) old: Set,
    /// Those after the change, while both count.
    pub(super) new: Option<Set>,
}

impl View {
    /// Who votes for this lock.
    pub(super) fn electorate(&self, lock: &LockName) -> Electorate {
        let hash = placement::hash(lock);
        let mut voters = self.old.circle.first(hash, self.old.each);
        let old = low_bits(voters.len());
        let new = self.new.as_ref().map(|set| {
            let mut mask = 0;
            for voter in set.circle.first(hash, set.each) {
                let place = voters.iter().position(|known| *known == voter).unwrap_or_else(|| {
                    voters.push(voter);
                    voters.len() - 1
                });
                mask |= 1 << place;
            }
            mask
        });
        Electorate { voters, old, new }
    }
}

fn low_bits(count: usize) -> Mask {
    (1 << count) - 1
}

/// Who votes for one lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Electorate {
    /// All of them, each once, and perhaps others that have no vote but are told.
    pub(super) voters: Vec<Voter>,
    /// Those that count alone, or before the change.
    pub(super) old: Mask,
    /// Those after the change, while both count.
    pub(super) new: Option<Mask>,
}

impl Electorate {
    /// Whether `yes` decides.
    pub(super) fn majority(&self, yes: Mask) -> bool {
        self.majority_before(yes) && self.new.is_none_or(|new| more_than_half(yes, new))
    }

    /// Whether `yes` has a majority of those that count alone, or before the change.
    pub(super) fn majority_before(&self, yes: Mask) -> bool {
        more_than_half(yes, self.old)
    }

    /// Whether `yes` has a majority before the change, or after it.
    pub(super) fn either(&self, yes: Mask) -> bool {
        self.majority_before(yes) || self.new.is_some_and(|new| more_than_half(yes, new))
    }

    /// Those that vote after the change only.
    pub(super) fn newcomers(&self) -> Mask {
        self.new.unwrap_or(0) & !self.old
    }

    /// Everybody.
    pub(super) fn all(&self) -> Mask {
        low_bits(self.voters.len())
    }

    /// Those that have a vote.
    pub(super) fn votes(&self) -> Mask {
        self.old | self.new.unwrap_or(0)
    }

    /// The same votes, and these nodes are told too.
    pub(super) fn and_tell(mut self, others: &[Voter]) -> Self {
        for voter in others {
            if !self.voters.contains(voter) && self.voters.len() < Mask::BITS as usize {
                self.voters.push(*voter);
            }
        }
        self
    }

    /// How many vote, and how many of them decide; of the nodes after the change, if they are more.
    pub(super) fn size(&self) -> (usize, usize) {
        let size = self.old.count_ones().max(self.new.unwrap_or(0).count_ones()) as usize;
        (size, size / 2 + 1)
    }
}

fn more_than_half(yes: Mask, set: Mask) -> bool {
    (yes & set).count_ones() > set.count_ones() / 2
}
