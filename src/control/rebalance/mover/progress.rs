//! What has been done so far: counted by the mover, read by everybody. Shared.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::{lines::held, verify::Reservoir};
use crate::traffic::route::NodeId;

/// Counters since the mover began, or since whoever reads them has taken them away; `scanned`, `matched` and `total` are
/// those of the pass under way.
#[derive(Debug, Default)]
pub struct Progress {
    /// Keys restored at their targets, big ones included.
    pub keys: AtomicU64,
    /// Bytes of their payloads.
    pub bytes: AtomicU64,
    /// Of the keys, those that were copied in chunks.
    pub big: AtomicU64,
    /// Keys pulled because somebody asked for them.
    pub on_access: AtomicU64,
    /// Keys that the pass has looked at, whether they move or not.
    pub scanned: AtomicU64,
    /// Of these, keys that move.
    pub matched: AtomicU64,
    /// Keys that the pass has to look at, as the nodes said when it began.
    pub total: AtomicU64,
    /// Keys deleted at their old nodes.
    pub purged: AtomicU64,
    twice: Mutex<BTreeMap<(NodeId, u32), u64>>,
    trouble: Mutex<Option<String>>,
    /// Some of the keys that the change has moved.
    pub(super) samples: Mutex<Reservoir>,
}

/// Work that says what it waits for. What it said is taken back when it ends, also when it is ended in the middle.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    progress: &'a Progress,
    said: bool,
}

impl Waiting<'_> {
    /// It waits for this.
    pub(super) fn tell(&mut self, trouble: String) {
        self.said = true;
        *held(&self.progress.trouble) = Some(trouble);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.said {
            *held(&self.progress.trouble) = None;
        }
    }
}

impl Progress {
    /// Keys that still have to move, estimated from what was seen so far.
    #[must_use]
    pub fn left(&self) -> u64 {
        let (scanned, total) = (self.scanned.load(Relaxed), self.total.load(Relaxed));
        let share = if scanned == 0 { 0.0 } else { self.matched.load(Relaxed) as f64 / scanned as f64 };
        (total.saturating_sub(scanned) as f64 * share) as u64
    }

    /// Per old node and db, copies that it still has: DBSIZE of all nodes together counts them twice. An estimate: some
    /// expire meanwhile.
    #[must_use]
    pub fn twice(&self) -> BTreeMap<(NodeId, u32), u64> {
        held(&self.twice).clone()
    }

    /// What the pass or the purge is waiting for; `None` while it goes on.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        held(&self.trouble).clone()
    }

    /// For work that may have to wait.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        Waiting { progress: self, said: false }
    }

    pub(super) fn restored(&self, from: NodeId, db: u32, keys: u64, bytes: u64) {
        self.keys.fetch_add(keys, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.found_twice(from, db, keys);
    }

    /// Copies that their old node still has.
    pub(super) fn found_twice(&self, from: NodeId, db: u32, keys: u64) {
        *held(&self.twice).entry((from, db)).or_default() += keys;
    }

    /// A big key, copied in chunks.
    pub(super) fn copied(&self, from: NodeId, db: u32, bytes: u64) {
        self.big.fetch_add(1, Relaxed);
        self.restored(from, db, 1, bytes);
    }

    pub(super) fn gone(&self, node: NodeId, db: u32, keys: u64) {
        self.purged.fetch_add(keys, Relaxed);
        if let Some(twice) = held(&self.twice).get_mut(&(node, db)) {
            *twice = twice.saturating_sub(keys);
        }
    }

    /// No copies are left, or what is left is nobody's business: in this db, or in all.
    pub fn forget_copies(&self, db: Option<u32>) {
        held(&self.twice).retain(|(_, of), _| db.is_some_and(|db| *of != db));
    }

    pub(super) fn begin_pass(&self, total: u64) {
        self.scanned.store(0, Relaxed);
        self.matched.store(0, Relaxed);
        self.total.store(total, Relaxed);
        *held(&self.trouble) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_estimated_from_what_was_seen() {
        let progress = Progress::default();
        assert_eq!(progress.left(), 0);
        progress.begin_pass(1_000);
        progress.scanned.store(200, Relaxed);
        progress.matched.store(50, Relaxed);
        assert_eq!(progress.left(), 200);
        progress.scanned.store(1_200, Relaxed);
        assert_eq!(progress.left(), 0);
    }

    #[test]
    fn a_copy_counts_twice_until_it_is_purged() {
        let progress = Progress::default();
        let (one, other) = (NodeId(1), NodeId(2));
        progress.restored(one, 3, 10, 1_000);
        progress.restored(other, 0, 1, 1);
        progress.gone(one, 3, 4);
        progress.gone(one, 5, 1);
        assert_eq!(progress.twice(), BTreeMap::from([((one, 3), 6), ((other, 0), 1)]));
        progress.begin_pass(0);
        assert_eq!((progress.twice()[&(one, 3)], progress.keys.load(Relaxed)), (6, 11));
        progress.forget_copies(Some(3));
        assert_eq!(progress.twice(), BTreeMap::from([((other, 0), 1)]));
        progress.forget_copies(None);
        assert!(progress.twice().is_empty());
    }
}
