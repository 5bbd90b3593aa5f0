//! On which nodes a lock lies: a circle of its own, on which every node throws the same number of points.
//!
//! ```text
//!  hash of (db, whole name) ──► clockwise ──► the first N distinct nodes
//! ```
//! Not the ring of the keys (a departure from the letter of locks.md): a node's weight follows its memory and may change
//! every day, the distribution may be one of twemproxy's; a lock that moved for either would need a window each time, and
//! gain nothing, since it needs no memory. Here only a node that joins or leaves moves locks, and of these only those that
//! lie on it. A node's points come from its place alone: a node that is replaced at the same place takes over its locks.
//! No hash tags: locks of one tag need not be together.
//!
//! Bounds: [`POINTS`] of each node. Pure.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Voter;
use crate::traffic::lock::LockName;

/// Points of each node: shares of locks differ by 1/sqrt of it.
const POINTS: u64 = 512;

/// Fields of the hash of fences on each node: locks share their counters, so that names that come and go leave nothing
/// behind. A shared counter is only ever larger than needed.
pub const SLOTS: u16 = 1_024;

/// Where locks lie.
#[derive(Clone, Debug)]
pub(super) struct Circle {
    points: Vec<(u64, Voter)>,
}

impl Circle {
    /// The circle of these nodes, each with its place.
    pub(super) fn new<'a>(nodes: impl IntoIterator<Item = (Voter, &'a str)>) -> Self {
        let thrown = |(voter, place): (Voter, &'a str)| {
            (0..POINTS).map(move |point| (xxh3_64_with_seed(place.as_bytes(), point), voter))
        };
        let mut points: Vec<_> = nodes.into_iter().flat_map(thrown).collect();
        points.sort_unstable();
        Self { points }
    }

    /// The first `count` distinct nodes from `hash` on; all if there are fewer.
    pub(super) fn first(&self, hash: u64, count: usize) -> Vec<Voter> {
        let from = self.points.partition_point(|point| point.0 < hash);
        let (before, behind) = self.points.split_at(from);
        let mut found = Vec::with_capacity(count);
        for (_, voter) in behind.iter().chain(before) {
            if found.len() == count {
                break;
            }
            if !found.contains(voter) {
                found.push(*voter);
            }
        }
        found
    }
}

/// Where a lock stands on the circle.
pub(super) fn hash(lock: &LockName) -> u64 {
    xxh3_64_with_seed(&lock.name, u64::from(lock.db))
}

/// The counter of a lock's fences.
#[must_use]
pub fn slot(lock: &LockName) -> u16 {
    // Not the bits that place it: the locks of one node would share few counters.
    let mixed = xxh3_64(&hash(lock).to_be_bytes());
    u16::try_from(mixed % u64::from(SLOTS)).unwrap_or(0)
}
