//! Calls, errors and times of each command, as one worker counts them.
//!
//! ```text
//!   read          sent            reply came          written
//!    ├─── held ────┼──── node ────────┼──── to flush ────┤
//!    └─────────────────────── total ─────────────────────┘      own = held + to flush
//! ```
//! What a node answers is noted and counted at the flush that writes it: only then is known how long Circlet itself took.
//! Replies that are alike (same command, sent and come at the same readings of the worker's clock) are noted once with
//! their number, so a pipelined request costs a compare and an addition, and no request reads a clock. What a reply waits
//! for an earlier one of the same client is in no part.
//!
//! A command's numbers are made when it is first called, so memory is bounded by the commands in use, and by [`NOTED`]. Pure.

use super::Histogram;
use crate::traffic::refusal::Kind;

/// Stands for the row of what is no command of a client.
pub const NO_ROW: u16 = u16::MAX;

/// Different replies noted between two flushes; more are counted before theirs.
const NOTED: usize = 4_096;

/// One command's numbers; all only grow.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Times that clients gave it.
    pub calls: u64,
    /// From reading the request to writing the reply. As in `node` and `own`, what was split counts once, when its last
    /// part has come; commands that wait at a node (BLPOP), and what Circlet answers itself, are not counted.
    pub total: Histogram,
    /// The node's part.
    pub node: Histogram,
    /// Circlet's part. What was held back for less than 1 ms is in the sum and not in the bucket.
    pub own: Histogram,
    /// Error replies of nodes.
    pub node_errors: u64,
    /// Error replies of Circlet itself, by [`Kind`].
    pub refusals: [u64; Kind::COUNT],
}

impl Tally {
    /// Adds another worker's numbers.
    pub fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.total.add(&other.total);
        self.node.add(&other.node);
        self.own.add(&other.own);
        self.node_errors += other.node_errors;
        self.refusals.iter_mut().zip(&other.refusals).for_each(|(own, other)| *own += other);
    }
}

/// Replies of one command with the same times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alike {
    row: u16,
    /// What the node took, µs.
    node_us: u32,
    /// What they were held back before they were sent, µs; 0 also for what was held back too shortly to be remembered.
    held_us: u32,
    /// When they came, µs of the worker's clock, wrapping.
    came_us: u32,
}

/// All commands of one worker, by row.
#[derive(Debug, Default)]
pub struct Tallies {
    rows: Vec<Option<Box<Tally>>>,
    /// Replies since the last flush, with their numbers.
    noted: Vec<(Alike, u32)>,
}

impl Tallies {
    /// The numbers of `row`, made if need be; `None`: it stands for no command.
    #[inline]
    fn of(&mut self, row: u16) -> Option<&mut Tally> {
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
        if let Some(tally) = self.of(row) {
            tally.calls += 1;
        }
    }

    /// A node answered at `now_us` after `node_us`; before it was sent, the request was held back for `held_us`.
    #[inline]
    pub fn answered(&mut self, row: u16, node_us: u32, held_us: u32, now_us: u64) {
        let alike = Alike { row, node_us, held_us, came_us: now_us as u32 };
        match self.noted.last_mut() {
            Some((last, count)) if *last == alike => *count += 1,
            _ => self.note(alike, now_us),
        }
    }

    #[inline]
    fn note(&mut self, alike: Alike, now_us: u64) {
        if self.noted.len() >= NOTED {
            self.left(now_us);
        }
        if alike.row != NO_ROW {
            self.noted.push((alike, 1));
        }
    }

    /// The reply of a node was an error.
    pub fn node_failed(&mut self, row: u16) {
        if let Some(tally) = self.of(row) {
            tally.node_errors += 1;
        }
    }

    /// Circlet refused the command, or what a node had to say of it never came.
    pub fn refused(&mut self, row: u16, kind: Kind) {
        if let Some(tally) = self.of(row) {
            tally.refusals[kind as usize] += 1;
        }
    }

    /// A request was held back for `us` before it went into its pipe.
    pub fn held(&mut self, row: u16, us: u64) {
        if let Some(tally) = self.of(row) {
            tally.own.sum_us += us;
            tally.total.sum_us += us;
        }
    }

    /// Whether something was answered since the last flush.
    #[must_use]
    pub fn has_fresh(&self) -> bool {
        !self.noted.is_empty()
    }

    /// Everything answered so far was written at `now_us`.
    pub fn left(&mut self, now_us: u64) {
        let mut noted = std::mem::take(&mut self.noted);
        for (alike, count) in noted.drain(..) {
            let Some(tally) = self.of(alike.row) else { continue };
            let count = u64::from(count);
            let own_us = (now_us as u32).wrapping_sub(alike.came_us).saturating_add(alike.held_us);
            let total_us = own_us.saturating_add(alike.node_us);
            tally.node.observe(alike.node_us, count);
            tally.own.observe(own_us, count);
            tally.total.observe(total_us, count);
            // What was held back is in the sums already.
            tally.own.sum_us -= u64::from(alike.held_us) * count;
            tally.total.sum_us -= u64::from(alike.held_us) * count;
        }
        self.noted = noted;
    }

    /// Every command that was called, by row.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Tally)> {
        self.rows.iter().enumerate().filter_map(|(row, tally)| Some((row as u16, tally.as_deref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::counters::latency_bucket;

    fn buckets(times: &[u32]) -> Histogram {
        let mut histogram = Histogram::default();
        times.iter().for_each(|us| histogram.observe(*us, 1));
        histogram
    }

    #[test]
    fn the_parts_are_told_apart_when_the_replies_leave() {
        let mut tallies = Tallies::default();
        for (now_us, us) in [(1_000, 10), (1_000, 10), (1_000, 20), (1_004, 30)] {
            tallies.called(7);
            tallies.answered(7, us, 0, now_us);
        }
        assert_eq!((tallies.noted.len(), tallies.has_fresh()), (3, true));
        tallies.left(1_010);
        tallies.left(9_999);
        let (row, tally) = tallies.iter().next().unwrap();
        assert_eq!((row, tally.calls), (7, 4));
        assert_eq!(tally.node, buckets(&[10, 10, 20, 30]));
        assert_eq!(tally.own, buckets(&[10, 10, 10, 6]));
        assert_eq!(tally.total, buckets(&[20, 20, 30, 36]));
    }

    #[test]
    fn what_was_held_back_is_circlets_part_once() {
        let mut tallies = Tallies::default();
        tallies.held(7, 5_000);
        tallies.answered(7, 40, 5_000, 1_000);
        tallies.left(1_010);
        // Too short to be remembered until the reply: in the sum only.
        tallies.held(7, 300);
        tallies.answered(7, 40, 0, 2_000);
        tallies.left(2_010);
        let (_, tally) = tallies.iter().next().unwrap();
        assert_eq!((tally.own.sum_us, tally.total.sum_us, tally.node.sum_us), (5_320, 5_400, 80));
        assert_eq!((tally.own.buckets[latency_bucket(5_010)], tally.total.buckets[latency_bucket(5_050)]), (1, 1));
        assert_eq!((tally.own.count(), tally.total.count()), (2, 2));
    }

    #[test]
    fn only_what_was_called_takes_memory_and_no_row_is_none() {
        let mut tallies = Tallies::default();
        tallies.called(NO_ROW);
        tallies.answered(NO_ROW, 1, 0, 1);
        tallies.left(2);
        assert_eq!((tallies.iter().count(), tallies.rows.len()), (0, 0));
        tallies.refused(300, Kind::Auth);
        assert_eq!(
            tallies.iter().map(|(row, tally)| (row, tally.refusals[Kind::Auth as usize])).next(),
            Some((300, 1))
        );
    }

    #[test]
    fn what_is_noted_is_bounded_and_nothing_is_lost() {
        let mut tallies = Tallies::default();
        (0..3 * NOTED as u32).for_each(|us| tallies.answered(1, us, 0, u64::from(us)));
        assert!(tallies.noted.len() <= NOTED);
        tallies.left(3 * NOTED as u64);
        assert_eq!(tallies.iter().next().unwrap().1.total.count(), 3 * NOTED as u64);
    }

    #[test]
    fn the_workers_clock_may_wrap() {
        let mut tallies = Tallies::default();
        let wraps = u64::from(u32::MAX);
        tallies.answered(1, 5, 0, wraps);
        tallies.left(wraps + 8);
        assert_eq!(tallies.iter().next().unwrap().1.total.sum_us, 13);
    }

    #[test]
    fn workers_are_added_up() {
        let (mut one, mut other) = (Tallies::default(), Tallies::default());
        one.called(1);
        one.node_failed(1);
        other.called(1);
        other.answered(1, 50, 0, 0);
        other.left(10);
        let mut sum = one.iter().next().unwrap().1.clone();
        sum.add(other.iter().next().unwrap().1);
        assert_eq!((sum.calls, sum.node_errors, sum.node, sum.total), (2, 1, buckets(&[50]), buckets(&[60])));
    }
}
