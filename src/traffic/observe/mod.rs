//! What Circlet measured of single commands: numbers per command, slow requests, latency events.
//!
//! ```text
//!  request ─► tally.called                                   (worker's own numbers, a few additions)
//!  reply ───► tally.answered ── node's part ≥ threshold? ──► slow log, latency events   (shared, locked for a push)
//!  flush ───► tally.left       the parts of its time: total, node's, Circlet's own
//!  tick ────► Journal.commands[worker]                       read by /metrics and LATENCY HISTOGRAM
//!       └───► slow log: the number of slow requests that were too many to be written down
//! ```
//! [`tally`], [`histogram`]: calls, errors and times per command, owned by a worker. [`slow`], [`shown`]: slow requests and
//! their arguments. [`error_code`]: what nodes' errors are about. [`events`], [`doctor`]: what LATENCY tells. [`chronicle`]:
//! what has happened lately. [`census`]: what the nodes were found to be; both are written by the control plane. [`keys`]: which are hot or big. [`Journal`]:
//! what all workers write and anybody
//! reads; the only lock here, taken when a request was slow and once per tick, never on a usual request's way. Bounded by
//! the number of commands, `slowlog.max_len` and 160 samples per event. Pure: time comes in as an argument.

pub mod census;
pub mod chronicle;
pub mod doctor;
pub mod error_code;
pub mod events;
pub mod histogram;
pub mod keys;
pub mod shown;
pub mod slow;
pub mod tally;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use census::Census;
pub use chronicle::Chronicle;
pub use error_code::ErrorCode;
pub use events::Events;
pub use histogram::Histogram;
pub use keys::Keys;
pub use slow::{Slow, SlowLog};
pub use tally::{Tallies, Tally};

use super::command::Table;

/// What the workers have measured of commands, for all to read.
#[derive(Debug)]
pub struct Journal {
    /// Each worker's numbers per command, at most one tick old.
    commands: Vec<Mutex<Vec<(u16, Tally)>>>,
    /// Names the rows.
    table: Mutex<Option<Arc<Table>>>,
    slow: Mutex<SlowLog>,
    events: Mutex<Events>,
    chronicle: Mutex<Chronicle>,
    census: Mutex<Census>,
    /// What each worker saw of keys, at most a few seconds old.
    keys: Vec<Mutex<Keys>>,
}

impl Journal {
    /// An empty one for `workers` workers, that keeps `max_slow` slow requests.
    #[must_use]
    pub fn new(workers: usize, max_slow: usize) -> Self {
        Self {
            commands: (0..workers).map(|_| Mutex::default()).collect(),
            table: Mutex::default(),
            slow: Mutex::new(SlowLog::new(max_slow)),
            events: Mutex::default(),
            chronicle: Mutex::default(),
            census: Mutex::default(),
            keys: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    /// The slow requests of all workers.
    pub fn slow(&self) -> MutexGuard<'_, SlowLog> {
        lock(&self.slow)
    }

    /// The latency events of all workers.
    pub fn events(&self) -> MutexGuard<'_, Events> {
        lock(&self.events)
    }

    /// What has happened lately.
    pub fn chronicle(&self) -> MutexGuard<'_, Chronicle> {
        lock(&self.chronicle)
    }

    /// What the nodes were found to be.
    pub fn census(&self) -> MutexGuard<'_, Census> {
        lock(&self.census)
    }

    /// Publishes what a worker saw of keys. A reader that is just here makes it wait for the next time.
    pub fn publish_keys(&self, worker: usize, seen: &Keys) {
        if let Some(Ok(mut keys)) = self.keys.get(worker).map(Mutex::try_lock) {
            keys.clone_from(seen);
        }
    }

    /// What all workers saw of keys.
    #[must_use]
    pub fn keys(&self) -> Keys {
        let mut all = Keys::default();
        self.keys.iter().for_each(|keys| all.add(&lock(keys)));
        all
    }

    /// Publishes a worker's numbers; `table` names their rows. A reader that is just here makes it wait for the next tick.
    pub fn publish(&self, worker: usize, tallies: &Tallies, table: &Arc<Table>) {
        let Some(commands) = self.commands.get(worker) else { return };
        if let Ok(mut commands) = commands.try_lock() {
            commands.clear();
            commands.extend(tallies.iter().map(|(row, tally)| (row, tally.clone())));
        }
        if let Ok(mut known) = self.table.try_lock()
            && known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, table))
        {
            *known = Some(Arc::clone(table));
        }
    }

    /// All workers' numbers of every command that was called, by name.
    #[must_use]
    pub fn commands(&self) -> Vec<(String, Tally)> {
        let Some(table) = lock(&self.table).clone() else { return Vec::new() };
        let mut sums: Vec<Option<Tally>> = Vec::new();
        for worker in &self.commands {
            for (row, tally) in lock(worker).iter() {
                let row = usize::from(*row);
                if sums.len() <= row {
                    sums.resize(row + 1, None);
                }
                sums[row].get_or_insert_default().add(tally);
            }
        }
        let named = table.rows().filter_map(|row| {
            let tally = sums.get_mut(usize::from(row.id))?.take()?;
            Some((row.name.clone(), tally))
        });
        named.collect()
    }
}

/// A poisoned lock is no reason to lose what was measured.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
