//! What was moved since the process began, for the metrics: numbers that only grow. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::traffic::{counters::latency_bucket, observe::Histogram};

/// What becomes of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Result {
    /// Its keys have moved.
    Done,
    /// It was aborted, and its keys are back.
    TakenBack,
    /// Nothing of it was begun: it could not be done.
    Refused,
}

impl Result {
    /// All, in the order of their index.
    pub const ALL: [Self; 3] = [Self::Done, Self::TakenBack, Self::Refused];

    /// Its name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TakenBack => "taken-back",
            Self::Refused => "refused",
        }
    }
}

/// Everything of all changes.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Keys that have arrived at their new nodes.
    pub keys: u64,
    /// Bytes of them, as the nodes dump them.
    pub bytes: u64,
    /// Keys deleted at their old nodes.
    pub purged: u64,
    /// Changes by [`Result`].
    pub changes: [u64; Result::ALL.len()],
    /// Nodes that were left out since they were down.
    pub ejections: u64,
    /// Nodes that were taken back.
    pub readmissions: u64,
    /// How long requests for moving keys waited at fences: forth, and back.
    pub fences: [Histogram; 2],
}

impl Totals {
    /// A fence took so long.
    pub fn fenced(&mut self, back: bool, us: u64) {
        let histogram = &mut self.fences[usize::from(back)];
        histogram.buckets[latency_bucket(u32::try_from(us).unwrap_or(u32::MAX))] += 1;
        histogram.sum_us += us;
    }

    /// A change is over.
    pub fn ended(&mut self, result: Result) {
        self.changes[result as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_and_ends_are_counted_apart() {
        let mut totals = Totals::default();
        totals.fenced(false, 20);
        totals.fenced(true, 5_000_000_000);
        totals.ended(Result::TakenBack);
        assert_eq!(totals.changes, [0, 1, 0]);
        assert_eq!(totals.fences.each_ref().map(|fence| fence.buckets.iter().sum::<u64>()), [1, 1]);
        assert_eq!(totals.fences[1].sum_us, 5_000_000_000);
        assert_eq!(Result::ALL.map(|result| result as usize), [0, 1, 2]);
    }
}
