//! The log of slow requests, of all workers together.
//!
//! A request is slow when what Circlet held it back and what its node took reach `slowlog.slower_than`. The newest
//! `slowlog.max_len` of those that were written down are kept: in a tenth of a second in which more are slow, each worker
//! writes down the first ones and counts the others. Numbers go on over these, and over SLOWLOG RESET, as in Redis. Pure.

use std::collections::VecDeque;

/// One slow request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// When it was answered, seconds since 1970.
    pub at_s: u64,
    /// All of its time in Circlet and at its node, µs.
    pub us: u64,
    /// Its arguments, cut.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub addr: String,
    /// The name that the client gave itself.
    pub name: String,
    /// The node that took longest.
    pub node: String,
    /// The node's part of the time, µs.
    pub node_us: u64,
}

impl Slow {
    /// What is said of it behind its arguments, in the form in which Redis says that more were cut.
    #[must_use]
    pub fn parts(&self) -> String {
        format!("... (node {}: {} us, circlet: {} us)", self.node, self.node_us, self.us.saturating_sub(self.node_us))
    }
}

/// The newest slow requests.
#[derive(Debug)]
pub struct SlowLog {
    max_len: usize,
    next_id: u64,
    /// Newest last.
    entries: VecDeque<(u64, Slow)>,
}

impl SlowLog {
    /// An empty one that keeps `max_len`.
    #[must_use]
    pub fn new(max_len: usize) -> Self {
        Self { max_len, next_id: 0, entries: VecDeque::new() }
    }

    /// Keeps `max_len` from now on; the oldest go if there are more.
    pub fn keep(&mut self, max_len: usize) {
        self.max_len = max_len;
        self.cut();
    }

    /// Adds one; the oldest makes room.
    pub fn push(&mut self, slow: Slow) {
        self.entries.push_back((self.next_id, slow));
        self.next_id += 1;
        self.cut();
    }

    /// As many were slow and are not written down: their numbers are passed over.
    pub fn pass(&mut self, count: u64) {
        self.next_id += count;
    }

    fn cut(&mut self) {
        let too_many = self.entries.len().saturating_sub(self.max_len);
        self.entries.drain(..too_many);
    }

    /// How many there were so far, those included that are forgotten or were only counted.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.next_id
    }

    /// The newest `count`, newest first, each with its number.
    pub fn newest(&self, count: usize) -> impl ExactSizeIterator<Item = &(u64, Slow)> {
        self.entries.iter().rev().take(count)
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        self.entries = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_numbers_go_on() {
        let mut log = SlowLog::new(3);
        let slow = |us| Slow {
            at_s: 1,
            us,
            args: Vec::new(),
            addr: String::new(),
            name: String::new(),
            node: "a".into(),
            node_us: us - 5,
        };
        (10..15).for_each(|us| log.push(slow(us)));
        let kept: Vec<(u64, u64)> = log.newest(2).map(|(id, slow)| (*id, slow.us)).collect();
        assert_eq!((kept, log.len()), (vec![(4, 14), (3, 13)], 3));
        log.reset();
        log.push(slow(20));
        assert_eq!(log.newest(usize::MAX).map(|(id, slow)| (*id, slow.parts())).next().unwrap().0, 5);
        log.pass(7);
        log.push(slow(20));
        assert_eq!((log.newest(1).next().unwrap().0, log.seen()), (13, 14));
        assert_eq!(slow(20).parts(), "... (node a: 15 us, circlet: 5 us)");
        let mut off = SlowLog::new(0);
        off.push(slow(20));
        assert!(off.is_empty());
    }
}
