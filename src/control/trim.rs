//! Gives memory that a burst took back to the system.
//!
//! What the workers free stays in the allocator's heap: glibc returns only the heap's upper end, and one small block
//! there holds everything below it. After a burst of large replies 190 MB to 1 GB stayed. When the bytes that the workers
//! hold have fallen by much, the heap is trimmed, once, from the control plane's thread. Tried and lost: mimalloc (kept as
//! much, and took 4.2 KB per idle session); glibc's `mmap_threshold` helps, but can only be set before the start.
//!
//! A burst may be over between two looks: the workers say what they held at most. Io: asks the allocator.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::traffic::worker::Fleet;

/// How often the workers' numbers are looked at.
const STEP: Duration = Duration::from_millis(250);

/// A fall of fewer bytes than this is not worth a walk over the heap.
const WORTH: u64 = 8 << 20;

/// Watches what the workers hold and trims after each large fall. Never ends.
pub async fn run(fleets: Vec<Arc<Fleet>>) {
    let mut peak = Peak::default();
    loop {
        tokio::time::sleep(STEP).await;
        let published = || fleets.iter().flat_map(|fleet| fleet.published());
        let most = published().map(|published| published.buffered_peak.swap(0, Relaxed)).sum();
        let held = published().map(|published| published.buffered.load(Relaxed)).sum();
        if peak.has_fallen(most, held) {
            let begin = Instant::now();
            // Many pages may have to be given back: not on the thread that accepts clients.
            if tokio::task::spawn_blocking(trim).await.is_ok() {
                tracing::debug!(took_us = begin.elapsed().as_micros() as u64, "heap trimmed after a burst");
            }
        }
    }
}

/// The most that was held since the last trim.
#[derive(Debug, Default)]
struct Peak(u64);

impl Peak {
    /// Whether `held` is so far below the peak that trimming is due; the peak then begins anew. `most`: what was held at
    /// most since this was asked before.
    fn has_fallen(&mut self, most: u64, held: u64) -> bool {
        self.0 = self.0.max(most).max(held);
        // Half of it must be free, so that a load that goes up and down does not trim at every step.
        let fallen = self.0 - held >= WORTH && held <= self.0 / 2;
        if fallen {
            self.0 = held;
        }
        fallen
    }
}

#[cfg(target_env = "gnu")]
#[expect(
    unsafe_code,
    reason = "glibc's malloc_trim takes no pointer and keeps no state of ours; no safe crate wraps it"
)]
fn trim() {
    // SAFETY: it may be called at any time from any thread; it only returns free pages to the system.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_fall_is_worth_a_trim_once_and_waves_are_not() {
        let mut peak = Peak::default();
        assert!(!peak.has_fallen(100 << 20, 100 << 20));
        assert!(!peak.has_fallen(100 << 20, 60 << 20));
        assert!(peak.has_fallen(60 << 20, 1 << 20));
        assert!(!peak.has_fallen(1 << 20, 0));
        assert!(!peak.has_fallen(6 << 20, 6 << 20) && !peak.has_fallen(6 << 20, 0), "too little");
    }

    #[test]
    fn a_burst_that_is_over_before_anybody_looks_is_worth_a_trim() {
        let mut peak = Peak::default();
        assert!(!peak.has_fallen(1 << 20, 1 << 20));
        assert!(peak.has_fallen(250 << 20, 1 << 20));
        assert!(!peak.has_fallen(1 << 20, 1 << 20), "once");
    }
}
