//! What is due when: an ordered map, so that a timer that is not needed any more is gone at once. A heap that is cleaned
//! when its time comes was rejected: a million locks taken and released in a minute would leave a million dead entries.
//! Pure.

use std::collections::BTreeMap;

use super::Now;

/// A timer; given back to stop it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Handle(Now, u64);

impl Handle {
    /// When it comes.
    pub(super) fn at(self) -> Now {
        self.0
    }
}

/// Timers of one kind.
#[derive(Debug)]
pub(super) struct Timers<T> {
    due: BTreeMap<Handle, T>,
    set: u64,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeMap::new(), set: 0 }
    }
}

impl<T> Timers<T> {
    /// Has `what` come at `at`.
    pub(super) fn set(&mut self, at: Now, what: T) -> Handle {
        self.set += 1;
        let handle = Handle(at, self.set);
        self.due.insert(handle, what);
        handle
    }

    /// It will not come.
    pub(super) fn stop(&mut self, handle: Handle) {
        self.due.remove(&handle);
    }

    /// What has come by `now`, one at a time.
    pub(super) fn pop(&mut self, now: Now) -> Option<T> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    /// When the next comes.
    pub(super) fn next(&self) -> Option<Now> {
        self.due.first_key_value().map(|(handle, _)| handle.0)
    }

    #[cfg(debug_assertions)]
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }
}
