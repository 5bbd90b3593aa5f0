//! A change of the nodes, as the data plane sees it: who serves a key while keys move.
//!
//! ```text
//!            barrier: subscribed    barrier: quiet              barrier: all plan with the new owner
//!  Prepare ─────────────────► Fence ─────────────► Moving ─────────────────► part done ─► Fence of the next part …
//!  old owner serves           keys wait            new owner serves what was brought
//! ```
//! A change has two rings, the one before it ([`Topology::ring`](super::Topology)) and [`Change::next`]. Only keys whose
//! owners differ are concerned. They move in parts, by the hash of what decides their node, so that the keys of one hash tag
//! always move together; of each part the control plane publishes [`Phase::Fence`] and then [`Phase::Moving`], each as a
//! topology of its own epoch. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::{Arrived, NodeId, Ring};

/// What is done with the keys of the part whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: their old owners serve them. New nodes are connected, channels heard at both owners.
    Prepare,
    /// Requests for them wait, until what is under way is answered.
    Fence,
    /// Their new owners serve them, each key as soon as it has been brought there.
    Moving,
}

/// A change of the nodes that is under way.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number; the names of Circlet's own keys have it.
    pub id: u64,
    /// Who owns what when it is over.
    pub next: Arc<Ring>,
    /// For each part whether it is over: its keys are their new owners'.
    pub done: Box<[bool]>,
    /// The part whose turn it is; past the last one: none.
    pub part: usize,
    /// What is done with it.
    pub phase: Phase,
    /// Nodes that lose keys, by [`NodeId`].
    pub loses: Box<[bool]>,
    /// Which keys of the part have arrived, while they move; of this topology alone.
    pub arrived: Arc<Arrived>,
}

/// Who serves a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This node.
    At(NodeId),
    /// Nobody now: whoever asks for it waits until the fence is over.
    Fenced,
    /// The second node, as soon as it was brought there from the first one.
    Moving(NodeId, NodeId),
}

impl Change {
    /// The part that moves `key`: decided by the same bytes that decide its node.
    #[must_use]
    pub fn part_of(&self, key: &[u8]) -> usize {
        part_of(&self.next, self.done.len(), key)
    }

    /// Who serves `key`, which `before` owned before the change.
    #[must_use]
    pub fn place(&self, before: NodeId, key: &[u8]) -> Place {
        let after = self.next.owner_of(key);
        if after == before {
            return Place::At(before);
        }
        let part = self.part_of(key);
        match self.phase {
            _ if self.done[part] => Place::At(after),
            _ if part != self.part => Place::At(before),
            Phase::Prepare => Place::At(before),
            Phase::Fence => Place::Fenced,
            Phase::Moving => Place::Moving(before, after),
        }
    }

    /// Whether messages go by the new ring: every worker has subscribed there by the first fence.
    #[must_use]
    pub fn speaks_anew(&self) -> bool {
        self.phase == Phase::Moving || self.done.contains(&true)
    }

    /// Whether `node` loses keys.
    #[must_use]
    pub fn loses(&self, node: NodeId) -> bool {
        self.loses.get(node.index()).copied().unwrap_or(false)
    }
}

/// Of `parts` the one that moves `key`.
#[must_use]
pub fn part_of(ring: &Ring, parts: usize, key: &[u8]) -> usize {
    if parts <= 1 {
        return 0;
    }
    let deciding = ring.tag().map_or(key, |tag| tag.of(key));
    (xxh3_64(deciding) % parts as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings() -> (Ring, Arc<Ring>) {
        let before = Ring::build(&[("a", 1.0), ("b", 1.0), ("c", 0.0)], 64).unwrap();
        (before, Arc::new(Ring::build(&[("a", 1.0), ("b", 1.0), ("c", 1.0)], 64).unwrap()))
    }

    fn change(parts: usize, part: usize, phase: Phase) -> (Ring, Change) {
        let (before, next) = rings();
        let done = (0..parts).map(|index| index < part).collect();
        (
            before,
            Change { id: 1, next, done, part, phase, loses: Box::new([true, true, false]), arrived: Arc::default() },
        )
    }

    #[test]
    fn only_keys_that_change_their_owner_are_ever_held_or_brought() {
        for (phase, part) in [(Phase::Prepare, 0), (Phase::Fence, 1), (Phase::Moving, 2), (Phase::Moving, 3)] {
            let (before, change) = change(3, part, phase);
            let mut met = [0; 3];
            for key in (0..3_000).map(|n| format!("key:{n}")) {
                let (one, other) = (before.owner_of(key.as_bytes()), change.next.owner_of(key.as_bytes()));
                let of = change.part_of(key.as_bytes());
                let expected = match () {
                    () if one == other => Place::At(one),
                    () if of < part => Place::At(other),
                    () if of > part || phase == Phase::Prepare => Place::At(one),
                    () if phase == Phase::Fence => Place::Fenced,
                    () => Place::Moving(one, other),
                };
                assert_eq!(change.place(one, key.as_bytes()), expected, "{key}");
                met[of] += usize::from(one != other);
            }
            assert!(met.iter().all(|met| *met > 200), "{met:?}");
        }
    }

    #[test]
    fn keys_of_one_tag_move_together() {
        let (_, change) = change(7, 0, Phase::Moving);
        for tag in 0..100 {
            let parts = (0..5).map(|n| change.part_of(format!("{n}{{tag{tag}}}x{n}").as_bytes()));
            assert_eq!(parts.collect::<std::collections::HashSet<_>>().len(), 1);
        }
    }

    #[test]
    fn messages_go_by_the_new_ring_once_something_moves() {
        assert!(!change(2, 0, Phase::Prepare).1.speaks_anew());
        assert!(!change(2, 0, Phase::Fence).1.speaks_anew());
        assert!(change(2, 0, Phase::Moving).1.speaks_anew());
        assert!(change(2, 1, Phase::Fence).1.speaks_anew());
    }
}
