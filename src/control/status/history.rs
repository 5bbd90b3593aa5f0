//! From counters that only grow to what happens per second: the last five minutes, and the commands of the last minute.
//!
//! ```text
//!  Totals, every STEP ──► difference to the ones before ──► Moment (a point of the lines), Pace of each node
//!  commands, every WINDOW_STEP ──► kept for WINDOW ──► what each command did since then
//! ```
//! Bounded: [`MOMENTS`] moments, [`WINDOWS`] times the commands that were called. Pure: time comes in, µs of a clock that never
//! goes back.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::VecDeque, time::Duration};

use crate::traffic::counters::{Closed, LATENCY_BUCKETS, latency_bound_us};

/// Time between two moments.
pub(super) const STEP: Duration = Duration::from_secs(2);
/// Moments that are kept: five minutes.
const MOMENTS: usize = 150;
/// Time between two looks at the commands.
const WINDOW_STEP: Duration = Duration::from_secs(10);
/// Such looks that are kept; the oldest of them is a minute old.
const WINDOWS: usize = 7;

/// A histogram's counts.
pub(super) type Buckets = [u64; LATENCY_BUCKETS];

/// What was counted up to some moment, of all workers together.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// The monotonic clock, µs.
    pub(super) at_us: u64,
    /// The wall clock, ms since 1970.
    pub(super) at_ms: u64,
    pub(super) sessions: u64,
    pub(super) requests: u64,
    /// Error replies of nodes, and Circlet's own.
    pub(super) errors: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) refused: u64,
    pub(super) closed: [u64; Closed::ALL.len()],
    /// By slot; there may be more than before.
    pub(super) nodes: Vec<NodeTotals>,
}

/// What was counted of one node.
#[derive(Clone, Debug, Default)]
pub(super) struct NodeTotals {
    pub(super) requests: u64,
    pub(super) latency: Buckets,
    pub(super) latency_sum_us: u64,
}

/// What was counted of one command.
#[derive(Clone, Debug, Default)]
pub(super) struct CommandTotals {
    pub(super) calls: u64,
    pub(super) errors: u64,
    /// Times of the nodes' part.
    pub(super) latency: Buckets,
    pub(super) latency_sum_us: u64,
    /// Sum of Circlet's own part, µs, and of how many replies.
    pub(super) own_us: u64,
    pub(super) left: u64,
}

/// A point of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Moment {
    pub(super) at_ms: u64,
    pub(super) requests_per_s: f64,
    pub(super) errors_per_s: f64,
    pub(super) bytes_in_per_s: f64,
    pub(super) bytes_out_per_s: f64,
    pub(super) sessions: u64,
    /// What the nodes took, µs; `None` while nothing was asked of them.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
}

/// What a node does at present.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    pub(super) requests_per_s: f64,
    pub(super) mean_us: Option<f64>,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
}

/// What a command did within the window.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Doing {
    pub(super) name: String,
    /// Since the start.
    pub(super) calls: u64,
    pub(super) errors: u64,
    pub(super) calls_per_s: f64,
    pub(super) errors_per_s: f64,
    /// The nodes' part, µs.
    pub(super) mean_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    /// Circlet's own part, µs.
    pub(super) own_us: Option<f64>,
}

/// What grew since the moment before, for events.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Grown {
    pub(super) refused: u64,
    pub(super) closed: [u64; Closed::ALL.len()],
}

/// What every command had done at some time, µs.
type Look = (u64, Vec<(String, CommandTotals)>);

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct History {
    last: Option<Totals>,
    moments: VecDeque<Moment>,
    paces: Vec<Pace>,
    looks: VecDeque<Look>,
}

impl History {
    /// Takes a look; the first one only begins.
    pub(super) fn push(&mut self, now: Totals) -> Grown {
        let Some(before) = self.last.take() else {
            self.last = Some(now);
            return Grown::default();
        };
        let seconds = (now.at_us.saturating_sub(before.at_us) as f64 / 1e6).max(1e-3);
        let per_s = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let none = NodeTotals::default();
        let nodes = || now.nodes.iter().zip(before.nodes.iter().chain(std::iter::repeat(&none)));
        self.paces = nodes().map(|(now, before)| Pace::of(now, before, seconds)).collect();
        let mut all = [0; LATENCY_BUCKETS];
        for (now, before) in nodes() {
            grown(&now.latency, &before.latency).iter().zip(&mut all).for_each(|(part, all)| *all += part);
        }
        self.moments.push_back(Moment {
            at_ms: now.at_ms,
            requests_per_s: per_s(now.requests, before.requests),
            errors_per_s: per_s(now.errors, before.errors),
            bytes_in_per_s: per_s(now.bytes_in, before.bytes_in),
            bytes_out_per_s: per_s(now.bytes_out, before.bytes_out),
            sessions: now.sessions,
            p50_us: quantile(&all, 0.5),
            p99_us: quantile(&all, 0.99),
        });
        if self.moments.len() > MOMENTS {
            self.moments.pop_front();
        }
        let mut grew = Grown { refused: now.refused.saturating_sub(before.refused), ..Grown::default() };
        for (index, grew) in grew.closed.iter_mut().enumerate() {
            *grew = now.closed[index].saturating_sub(before.closed[index]);
        }
        self.last = Some(now);
        grew
    }

    /// Whether it is time to look at the commands.
    pub(super) fn wants_commands(&self, at_us: u64) -> bool {
        self.looks.back().is_none_or(|(last, _)| at_us.saturating_sub(*last) >= WINDOW_STEP.as_micros() as u64)
    }

    /// Takes a look at the commands.
    pub(super) fn push_commands(&mut self, at_us: u64, commands: Vec<(String, CommandTotals)>) {
        self.looks.push_back((at_us, commands));
        if self.looks.len() > WINDOWS {
            self.looks.pop_front();
        }
    }

    /// The moments, oldest first.
    pub(super) fn moments(&self) -> impl ExactSizeIterator<Item = &Moment> {
        self.moments.iter()
    }

    /// What node `index` does at present.
    pub(super) fn pace(&self, index: usize) -> Pace {
        self.paces.get(index).copied().unwrap_or_default()
    }

    /// What each command did since the oldest look, and how many seconds that are.
    pub(super) fn doings(&self, at_us: u64, now: &[(String, CommandTotals)]) -> (Vec<Doing>, f64) {
        let nothing = (at_us, Vec::new());
        let (since, before) = self.looks.front().unwrap_or(&nothing);
        let seconds = (at_us.saturating_sub(*since) as f64 / 1e6).max(1e-3);
        let none = CommandTotals::default();
        // Both stand in the order of the table; a command that is new is not there before.
        let find = |name: &str| before.iter().find(|(known, _)| known == name).map_or(&none, |(_, totals)| totals);
        let doings = now.iter().map(|(name, now)| Doing::of(name, now, find(name), seconds)).collect();
        (doings, seconds)
    }
}

impl Pace {
    fn of(now: &NodeTotals, before: &NodeTotals, seconds: f64) -> Self {
        let latency = grown(&now.latency, &before.latency);
        Self {
            requests_per_s: now.requests.saturating_sub(before.requests) as f64 / seconds,
            mean_us: mean(now.latency_sum_us.saturating_sub(before.latency_sum_us), latency.iter().sum()),
            p50_us: quantile(&latency, 0.5),
            p99_us: quantile(&latency, 0.99),
        }
    }
}

impl Doing {
    fn of(name: &str, now: &CommandTotals, before: &CommandTotals, seconds: f64) -> Self {
        let since = |of: fn(&CommandTotals) -> u64| of(now).saturating_sub(of(before));
        let latency = grown(&now.latency, &before.latency);
        Self {
            name: name.to_owned(),
            calls: now.calls,
            errors: now.errors,
            calls_per_s: since(|totals| totals.calls) as f64 / seconds,
            errors_per_s: since(|totals| totals.errors) as f64 / seconds,
            mean_us: mean(since(|totals| totals.latency_sum_us), latency.iter().sum()),
            p99_us: quantile(&latency, 0.99),
            own_us: mean(since(|totals| totals.own_us), since(|totals| totals.left)),
        }
    }
}

fn mean(sum: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum as f64 / count as f64)
}

fn grown(now: &Buckets, before: &Buckets) -> Buckets {
    let mut grown = *now;
    grown.iter_mut().zip(before).for_each(|(now, before)| *now = now.saturating_sub(*before));
    grown
}

/// The time below which `part` of all lie, µs, as if each bucket's were spread evenly over it.
fn quantile(buckets: &Buckets, part: f64) -> Option<f64> {
    let total: u64 = buckets.iter().sum();
    let rank = part * total as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (index, count) in buckets.iter().enumerate().filter(|_| total > 0) {
        // Of the last bucket only the lower bound is known.
        let Some(bound) = latency_bound_us(index) else { return Some(lower) };
        let count = *count as f64;
        if count > 0.0 && below + count >= rank {
            return Some(lower + (bound as f64 - lower) * (rank - below) / count);
        }
        below += count;
        lower = bound as f64;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(seconds: u64, requests: u64, latency: &[(usize, u64)]) -> Totals {
        let mut node = NodeTotals { requests, latency_sum_us: requests * 20, ..NodeTotals::default() };
        latency.iter().for_each(|(bucket, count)| node.latency[*bucket] = *count);
        Totals {
            at_us: seconds * 1_000_000,
            at_ms: seconds * 1_000,
            requests,
            errors: requests / 10,
            nodes: vec![node],
            ..Totals::default()
        }
    }

    #[test]
    fn moments_are_what_grew_per_second() {
        let mut history = History::default();
        assert_eq!(history.push(totals(0, 1_000, &[])), Grown::default());
        assert_eq!((history.moments().len(), history.pace(0)), (0, Pace::default()));
        history.push(totals(2, 1_200, &[(1, 200)]));
        let moment = *history.moments().next().unwrap();
        assert_eq!((moment.requests_per_s, moment.errors_per_s, moment.at_ms), (100.0, 10.0, 2_000));
        // Half of a bucket from 16 to 32 µs.
        assert_eq!((moment.p50_us, history.pace(0).p50_us), (Some(24.0), Some(24.0)));
        assert_eq!((history.pace(0).requests_per_s, history.pace(0).mean_us), (100.0, Some(20.0)));
        // A clock that stands still, counters that went back (they never do): no nonsense.
        history.push(totals(2, 0, &[]));
        let last = *history.moments().last().unwrap();
        assert_eq!((last.requests_per_s, last.p99_us), (0.0, None));
        for second in 3..400 {
            history.push(totals(second, second, &[]));
        }
        assert_eq!(history.moments().len(), MOMENTS);
    }

    #[test]
    fn a_node_that_has_joined_counts_from_nothing() {
        let mut history = History::default();
        history.push(totals(0, 100, &[]));
        let mut now = totals(2, 100, &[]);
        now.nodes.push(NodeTotals { requests: 10, ..NodeTotals::default() });
        history.push(now);
        assert_eq!([0, 1, 2].map(|node| history.pace(node).requests_per_s), [0.0, 5.0, 0.0]);
    }

    #[test]
    fn what_was_refused_and_closed_is_told_once() {
        let mut history = History::default();
        let mut now = Totals { refused: 5, ..Totals::default() };
        history.push(now.clone());
        now.refused = 8;
        now.closed[Closed::Memory as usize] = 2;
        let grown = history.push(now.clone());
        assert_eq!((grown.refused, grown.closed[Closed::Memory as usize]), (3, 2));
        assert_eq!(history.push(now), Grown::default());
    }

    #[test]
    fn commands_are_told_over_the_last_minute() {
        let mut history = History::default();
        let get = |calls: u64| {
            let mut totals = CommandTotals { calls, own_us: calls * 3, left: calls, ..CommandTotals::default() };
            totals.latency[0] = calls;
            vec![("get".to_owned(), totals)]
        };
        assert_eq!(history.doings(0, &[]).0, []);
        for second in (0..200).filter(|second| second % 2 == 0) {
            if history.wants_commands(second * 1_000_000) {
                history.push_commands(second * 1_000_000, get(second * 10));
            }
        }
        assert_eq!(history.looks.len(), WINDOWS);
        let (doings, seconds) = history.doings(200_000_000, &get(2_000));
        assert_eq!((doings[0].calls_per_s, doings[0].own_us, seconds), (10.0, Some(3.0), 70.0));
        assert_eq!(doings[0].calls, 2_000);
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        let mut buckets = [0; LATENCY_BUCKETS];
        assert_eq!(quantile(&buckets, 0.5), None);
        buckets[0] = 99;
        buckets[LATENCY_BUCKETS - 1] = 1;
        assert_eq!(quantile(&buckets, 1.0), Some(latency_bound_us(LATENCY_BUCKETS - 2).unwrap() as f64));
        assert!(quantile(&buckets, 0.99).unwrap() <= 16.0);
    }
}
