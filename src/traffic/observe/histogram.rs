//! Times counted into buckets that double: see [`latency_bound_us`]. Pure.
//!
//! [`latency_bound_us`]: crate::traffic::counters::latency_bound_us

use crate::traffic::counters::{LATENCY_BUCKETS, latency_bucket};

/// How often something took how long; only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each bucket.
    pub buckets: [u64; LATENCY_BUCKETS],
    /// Sum of all times, µs.
    pub sum_us: u64,
}

impl Histogram {
    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Counts `count` that took `us` each.
    pub fn observe(&mut self, us: u32, count: u64) {
        self.buckets[latency_bucket(us)] += count;
        self.sum_us += u64::from(us) * count;
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, other)| *own += other);
        self.sum_us += other.sum_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_alike_is_counted_at_once_and_two_are_added_up() {
        let (mut one, mut other) = (Histogram::default(), Histogram::default());
        one.observe(10, 3);
        other.observe(20, 1);
        other.observe(u32::MAX, 1);
        one.add(&other);
        assert_eq!((one.count(), one.sum_us), (5, 50 + u64::from(u32::MAX)));
        assert_eq!((one.buckets[0], one.buckets[1], one.buckets[LATENCY_BUCKETS - 1]), (3, 1, 1));
    }
}
