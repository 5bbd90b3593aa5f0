//! Calls, errors and latency of each command, as one worker counts them.
//!
//! A command's numbers are made when it is first called, so memory is bounded by the commands in use. Circlet's own part
//! is what passes inside Circlet: while the request was held back before its pipe (a full pipe, CLIENT PAUSE, a client
//! that owes too much), and from the reply's arrival until the flush that writes it. Both are measured with the clock
//! that is read once per wake-up: the flush adds `now * replies - sum of arrivals`, so no request reads a clock.
//! What a reply waits for an earlier one of the same client is neither part. Pure.

use crate::traffic::{
    counters::{LATENCY_BUCKETS, latency_bucket},
    refusal::Kind,
};

/// Stands for the row of what is no command of a client.
pub const NO_ROW: u16 = u16::MAX;

/// One command's numbers; all only grow.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Times that clients gave it.
    pub calls: u64,
    /// Replies of nodes by latency, see [`crate::traffic::counters::latency_bound_us`]; what was split counts once, when
    /// its last part has come. Not counted: commands that wait at a node (BLPOP).
    pub latency: [u64; LATENCY_BUCKETS],
    /// Sum of those latencies, µs.
    pub latency_sum_us: u64,
    /// Replies that left, see `own_us`.
    pub left: u64,
    /// Sum of Circlet's own part of them, µs.
    pub own_us: u64,
    /// Error replies of nodes.
    pub node_errors: u64,
    /// Error replies of Circlet itself, by [`Kind`].
    pub refusals: [u64; Kind::COUNT],
}

impl Tally {
    /// Adds another worker's numbers.
    pub fn add(&mut self, other: &Self) {
        let sum = |own: &mut [u64], other: &[u64]| own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
        self.calls += other.calls;
        sum(&mut self.latency, &other.latency);
        self.latency_sum_us += other.latency_sum_us;
        self.left += other.left;
        self.own_us += other.own_us;
        self.node_errors += other.node_errors;
        sum(&mut self.refusals, &other.refusals);
    }

    /// Replies of nodes.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.latency.iter().sum()
    }
}

/// One command's numbers, and its replies since the last flush.
#[derive(Debug, Default)]
struct Counted {
    tally: Tally,
    /// Replies since the last flush.
    fresh: u64,
    /// Sum of their arrivals, µs of the worker's clock, wrapping.
    fresh_us: u64,
}

/// All commands of one worker, by row.
#[derive(Debug, Default)]
pub struct Tallies {
    rows: Vec<Option<Box<Counted>>>,
    /// Rows with replies since the last flush.
    fresh: Vec<u16>,
}

impl Tallies {
    /// The numbers of `row`, made if need be; `None`: it stands for no command.
    #[inline]
    fn of(&mut self, row: u16) -> Option<&mut Counted> {
        if !matches!(self.rows.get(usize::from(row)), Some(Some(_))) {
            self.make(row);
        }
        self.rows.get_mut(usize::from(row))?.as_deref_mut()
    }

    #[cold]
    fn make(&mut self, row: u16) {
        let index = usize::from(row);
        if row == NO_ROW {
            return;
        }
        if self.rows.len() <= index {
            self.rows.resize_with(index + 1, || None);
        }
        self.rows[index] = Some(Box::default());
    }

    /// A client gave the command.
    #[inline]
    pub fn called(&mut self, row: u16) {
        if let Some(counted) = self.of(row) {
            counted.tally.calls += 1;
        }
    }

    /// A node answered at `now_us` after `us`.
    #[inline]
    pub fn answered(&mut self, row: u16, us: u32, now_us: u64) {
        let Some(counted) = self.of(row) else { return };
        counted.tally.latency[latency_bucket(us)] += 1;
        counted.tally.latency_sum_us += u64::from(us);
        counted.fresh_us = counted.fresh_us.wrapping_add(now_us);
        counted.fresh += 1;
        if counted.fresh == 1 {
            self.fresh.push(row);
        }
    }

    /// The reply of a node was an error.
    pub fn node_failed(&mut self, row: u16) {
        if let Some(counted) = self.of(row) {
            counted.tally.node_errors += 1;
        }
    }

    /// Circlet refused the command, or what a node had to say of it never came.
    pub fn refused(&mut self, row: u16, kind: Kind) {
        if let Some(counted) = self.of(row) {
            counted.tally.refusals[kind as usize] += 1;
        }
    }

    /// A request was held back for `us` before it went into its pipe.
    pub fn held(&mut self, row: u16, us: u64) {
        if let Some(counted) = self.of(row) {
            counted.tally.own_us += us;
        }
    }

    /// Whether something was answered since the last flush.
    #[must_use]
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Everything answered so far was written at `now_us`.
    pub fn left(&mut self, now_us: u64) {
        for row in self.fresh.drain(..) {
            let Some(Some(counted)) = self.rows.get_mut(usize::from(row)) else { continue };
            let own_us = now_us.wrapping_mul(counted.fresh).wrapping_sub(counted.fresh_us);
            counted.tally.left += counted.fresh;
            counted.tally.own_us += own_us;
            (counted.fresh, counted.fresh_us) = (0, 0);
        }
    }

    /// Every command that was called, by row.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Tally)> {
        self.rows.iter().enumerate().filter_map(|(row, counted)| Some((row as u16, &counted.as_ref()?.tally)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_is_what_passes_between_arrival_and_flush() {
        let mut tallies = Tallies::default();
        for (now_us, us) in [(1_000, 10), (1_000, 20), (1_004, 30)] {
            tallies.called(7);
            tallies.answered(7, us, now_us);
        }
        tallies.left(1_010);
        tallies.left(9_999);
        tallies.held(7, 100);
        let (row, tally) = tallies.iter().next().unwrap();
        assert_eq!((row, tally.calls, tally.answered(), tally.latency_sum_us), (7, 3, 3, 60));
        assert_eq!((tally.left, tally.own_us), (3, 10 + 10 + 6 + 100));
    }

    #[test]
    fn only_what_was_called_takes_memory_and_no_row_is_none() {
        let mut tallies = Tallies::default();
        tallies.called(NO_ROW);
        tallies.answered(NO_ROW, 1, 1);
        tallies.left(2);
        assert_eq!((tallies.iter().count(), tallies.rows.len()), (0, 0));
        tallies.refused(300, Kind::Auth);
        assert_eq!(
            tallies.iter().map(|(row, tally)| (row, tally.refusals[Kind::Auth as usize])).next(),
            Some((300, 1))
        );
    }

    #[test]
    fn workers_are_added_up() {
        let (mut one, mut other) = (Tallies::default(), Tallies::default());
        one.called(1);
        one.node_failed(1);
        other.called(1);
        other.answered(1, 50, 0);
        let mut sum = one.iter().next().unwrap().1.clone();
        sum.add(other.iter().next().unwrap().1);
        assert_eq!((sum.calls, sum.node_errors, sum.latency_sum_us, sum.answered()), (2, 1, 50, 1));
    }
}
