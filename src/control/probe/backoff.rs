//! Pauses between tries: doubling up to a bound, each with jitter, so that many do not come back at the same moment. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

/// The pauses of one node.
#[derive(Debug)]
pub(in crate::control) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Begins with `min`, ends with `max`.
    pub(in crate::control) fn new(min: Duration, max: Duration) -> Self {
        Self { next: min.min(max), max }
    }

    /// The next pause: a half to the whole of what is due, by `random` (0 to 1).
    pub(in crate::control) fn pause(&mut self, random: f64) -> Duration {
        let due = self.next;
        self.next = due.saturating_mul(2).min(self.max);
        due.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(500));
        let pauses: Vec<u128> = (0..5).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 500, 500]);
    }

    #[test]
    fn jitter_takes_off_at_most_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(100));
        assert_eq!(backoff.pause(0.0).as_millis(), 50);
        assert_eq!(backoff.pause(0.5).as_millis(), 75);
    }
}
