//! How fast keys may move: keys and bytes per second, slower while a node is slow, not at all while paused.
//!
//! ```text
//!  batch begins ──reserve(keys)──┐
//!  batch ends ──charge(keys, bytes), what was reserved is given back──► debt ──drains with time
//!                                  └── wait() lets the next batch go at [`BURST`] or less
//!  PING took long ──felt──► ease: 1 … 1/32, by which the rates are multiplied
//! ```
//! Clients' requests stand behind a batch at its nodes, so batches are small where there is a rate ([`Pace::portion`]) and,
//! being reserved for, come one after the other and not all at once. What is asked for on access is charged and never waits. [`Bucket`] and [`Ease`] are pure; [`Pace`] holds the clock.

use std::{
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::timeout};

use super::lines::held;

/// Debt with which the next batch may go: short pauses of a timer are no pauses.
const BURST: Duration = Duration::from_millis(4);
/// A batch is what may move in this time, if there is a rate …
const PORTION: f64 = 0.003_2;
/// … but no fewer keys.
const FEWEST: usize = 8;
/// A node is slow if it takes so many times what it took at its best …
const SLOW_TIMES: u32 = 8;
/// … and at least this.
const SLOW_AT_LEAST: Duration = Duration::from_millis(5);
/// Slower than this part of the rate it never gets.
const LEAST_EASE: f64 = 1.0 / 32.0;

/// The rate, changeable at any time.
#[derive(Debug)]
pub struct Pace {
    keys: AtomicU64,
    bytes: AtomicU64,
    paused: AtomicBool,
    changed: Notify,
    bucket: Mutex<(Bucket, Ease)>,
    begin: Instant,
}

impl Pace {
    /// At most so many keys and bytes per second, all nodes together; 0: no bound.
    #[must_use]
    pub fn new(keys: u64, bytes: u64) -> Self {
        Self {
            keys: AtomicU64::new(keys),
            bytes: AtomicU64::new(bytes),
            paused: AtomicBool::new(false),
            changed: Notify::new(),
            bucket: Mutex::default(),
            begin: Instant::now(),
        }
    }

    /// Changes the rate; a pause that is under way ends sooner by it.
    pub fn set(&self, keys: u64, bytes: u64) {
        self.keys.store(keys, SeqCst);
        self.bytes.store(bytes, SeqCst);
        held(&self.bucket).0 = Bucket::default();
        self.changed.notify_waiters();
    }

    /// Keys and bytes per second; 0: no bound.
    #[must_use]
    pub fn rate(&self) -> (u64, u64) {
        (self.keys.load(Relaxed), self.bytes.load(Relaxed))
    }

    /// Lets pass and purge stand still, or go on. On-access pulls go on all the time.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, SeqCst);
        self.changed.notify_waiters();
    }

    /// Whether pass and purge stand still.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused.load(SeqCst)
    }

    /// By how much the rate is lowered because a node is slow: 1 is not at all.
    #[must_use]
    pub fn ease(&self) -> f64 {
        held(&self.bucket).1.factor
    }

    /// Until more may be moved. Cancel-safe.
    pub(super) async fn wait(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_paused() {
                changed.await;
                continue;
            }
            let left = held(&self.bucket).0.left(self.begin.elapsed());
            if left.is_zero() {
                return;
            }
            // Either way it is looked at again.
            let _ = timeout(left, changed).await;
        }
    }

    /// How many keys may go at once, at most `most`.
    pub(super) fn portion(&self, most: usize) -> usize {
        match self.keys.load(Relaxed) {
            0 => most,
            rate => ((rate as f64 * PORTION) as usize).clamp(FEWEST.min(most), most),
        }
    }

    /// So many keys are about to move: gives what [`Self::give_back`] takes when they have, and have been charged.
    pub(super) fn reserve(&self, keys: usize) -> f64 {
        let (now, seconds) = (self.begin.elapsed(), cost(keys as u64, self.rate().0));
        held(&self.bucket).0.charge(seconds, now);
        seconds
    }

    /// What was reserved is owed no more.
    pub(super) fn give_back(&self, seconds: f64) {
        let now = self.begin.elapsed();
        held(&self.bucket).0.charge(-seconds, now);
    }

    /// So much was moved just now.
    pub(super) fn charge(&self, keys: u64, bytes: u64) {
        let (now, rate) = (self.begin.elapsed(), self.rate());
        let (bucket, ease) = &mut *held(&self.bucket);
        bucket.charge(cost(keys, rate.0).max(cost(bytes, rate.1)) / ease.factor, now);
    }

    /// A node took so long for a small request.
    pub(super) fn felt(&self, floor: &mut Duration, took: Duration) {
        held(&self.bucket).1.felt(floor, took);
    }
}

/// Seconds that `count` is worth.
fn cost(count: u64, rate: u64) -> f64 {
    if rate == 0 { 0.0 } else { count as f64 / rate as f64 }
}

/// What is owed, in time.
#[derive(Debug, Default)]
struct Bucket {
    debt: f64,
    at: Duration,
}

impl Bucket {
    fn drain(&mut self, now: Duration) {
        self.debt = (self.debt - now.saturating_sub(self.at).as_secs_f64()).max(0.0);
        self.at = now;
    }

    fn charge(&mut self, seconds: f64, now: Duration) {
        self.drain(now);
        self.debt = (self.debt + seconds).max(0.0);
    }

    fn left(&mut self, now: Duration) -> Duration {
        self.drain(now);
        Duration::from_secs_f64((self.debt - BURST.as_secs_f64()).max(0.0))
    }
}

/// By how much the rates are lowered.
#[derive(Debug)]
struct Ease {
    factor: f64,
}

impl Default for Ease {
    fn default() -> Self {
        Self { factor: 1.0 }
    }
}

impl Ease {
    /// `floor` is the node's best so far; it rises slowly, so that one lucky answer does not count for ever.
    fn felt(&mut self, floor: &mut Duration, took: Duration) {
        *floor = took.min(floor.saturating_add(*floor / 100));
        let slow = took > SLOW_AT_LEAST.max(floor.saturating_mul(SLOW_TIMES));
        self.factor = if slow { (self.factor * 0.7).max(LEAST_EASE) } else { (self.factor * 1.1 + 0.01).min(1.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn debt_drains_with_time_and_a_little_is_let_pass() {
        let mut bucket = Bucket::default();
        bucket.charge(0.004, ms(0));
        assert_eq!(bucket.left(ms(0)), ms(0));
        bucket.charge(0.100, ms(0));
        assert_eq!(bucket.left(ms(0)).as_millis(), 100);
        assert_eq!(bucket.left(ms(60)).as_millis(), 40);
        assert_eq!(bucket.left(ms(1_000)), ms(0));
        bucket.charge(0.050, ms(1_000));
        assert_eq!(bucket.left(ms(1_000)).as_millis(), 46);
        bucket.charge(-1.0, ms(1_000));
        bucket.charge(0.050, ms(1_000));
        assert_eq!(bucket.left(ms(1_000)).as_millis(), 46, "nobody is paid in advance");
    }

    #[test]
    fn what_is_reserved_holds_the_next_batch_up_and_is_not_paid_twice() {
        let pace = Pace::new(10, 0);
        let owed = || pace.bucket.lock().unwrap().0.debt;
        let reserved = pace.reserve(100);
        assert!(owed() > 9.0);
        pace.charge(20, 0);
        pace.give_back(reserved);
        assert!((1.0..=2.0).contains(&owed()), "{}", owed());
    }

    #[test]
    fn a_batch_is_small_where_there_is_a_rate() {
        let portion = |rate| Pace::new(rate, 0).portion(128);
        assert_eq!([0, 1, 20_000, 30_000, 1_000_000].map(portion), [128, 8, 64, 96, 128]);
        assert_eq!(Pace::new(1, 0).portion(4), 4);
    }

    #[test]
    fn the_dearer_of_keys_and_bytes_counts_and_nothing_is_no_bound() {
        assert_eq!(cost(100, 1_000), 0.1);
        assert_eq!(cost(100, 0), 0.0);
        let pace = Pace::new(1_000, 1_000_000);
        pace.charge(10, 500_000);
        assert!(pace.bucket.lock().unwrap().0.debt >= 0.49);
        pace.set(0, 0);
        pace.charge(1_000_000, 1 << 30);
        assert_eq!(pace.bucket.lock().unwrap().0.debt, 0.0);
    }

    #[test]
    fn a_slow_node_lowers_the_rate_and_a_quick_one_raises_it_again() {
        let (mut ease, mut floor) = (Ease::default(), Duration::MAX);
        ease.felt(&mut floor, ms(1));
        assert_eq!(ease.factor, 1.0);
        for _ in 0..20 {
            ease.felt(&mut floor, ms(50));
        }
        assert_eq!(ease.factor, LEAST_EASE);
        for _ in 0..40 {
            ease.felt(&mut floor, ms(2));
        }
        assert_eq!(ease.factor, 1.0);
    }

    #[tokio::test]
    async fn a_pause_holds_and_ends() {
        let pace = std::sync::Arc::new(Pace::new(0, 0));
        pace.pause(true);
        let waiter = tokio::spawn({
            let pace = std::sync::Arc::clone(&pace);
            async move { pace.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        pace.pause(false);
        waiter.await.unwrap();
    }
}
