//! What locks guard: a log that refuses whoever comes with a smaller fence than the largest that it has seen.

use std::{collections::BTreeMap, sync::Mutex, time::Instant};

use super::history::Write;

/// Logs, one for each lock.
#[derive(Debug, Default)]
pub struct Resource {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The largest fence of each lock.
    largest: BTreeMap<u8, u64>,
    writes: Vec<Write>,
}

impl Resource {
    /// A line for the log of `lock`; whether it was taken.
    pub fn append(&self, start: Instant, lock: u8, client: u16, fence: u64) -> bool {
        let mut inner = self.inner.lock().unwrap();
        let largest = inner.largest.entry(lock).or_default();
        let taken = fence >= *largest;
        *largest = (*largest).max(fence);
        let at = u64::try_from(start.elapsed().as_nanos()).unwrap();
        inner.writes.push(Write { lock, client, fence, at, taken });
        taken
    }

    /// Everything that was tried.
    pub fn writes(&self) -> Vec<Write> {
        self.inner.lock().unwrap().writes.clone()
    }
}
