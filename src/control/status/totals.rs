//! The workers' counters, added up for the history.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::history::{CommandTotals, NodeTotals, Totals};
use crate::traffic::{
    counters::{Published, PublishedNode},
    observe::Tally,
    worker::Fleet,
};

/// What all workers of `fleet` have counted so far.
pub(super) fn of(fleet: &Fleet, at_us: u64, at_ms: u64) -> Totals {
    let workers = fleet.published();
    let sum = |of: fn(&Published) -> &AtomicU64| workers.iter().map(|worker| of(worker).load(Relaxed)).sum::<u64>();
    let refusals: u64 = workers.iter().flat_map(|worker| &worker.refusals).map(|count| count.load(Relaxed)).sum();
    let mut totals = Totals {
        at_us,
        at_ms,
        sessions: fleet.sessions() as u64,
        requests: sum(|worker| &worker.requests),
        errors: sum(|worker| &worker.node_errors) + refusals,
        bytes_in: sum(|worker| &worker.client_in),
        bytes_out: sum(|worker| &worker.client_out),
        refused: fleet.refused(),
        nodes: (0..fleet.topology().nodes.len()).map(|index| node(fleet, index)).collect(),
        ..Totals::default()
    };
    for worker in workers {
        worker.closed.iter().zip(&mut totals.closed).for_each(|(count, total)| *total += count.load(Relaxed));
    }
    totals
}

/// Every worker's numbers about node `index`.
pub(super) fn parts(fleet: &Fleet, index: usize) -> impl Iterator<Item = Arc<PublishedNode>> {
    fleet.published().iter().filter_map(move |worker| worker.node(index))
}

fn node(fleet: &Fleet, index: usize) -> NodeTotals {
    let mut totals = NodeTotals::default();
    for part in parts(fleet, index) {
        totals.requests += part.requests.load(Relaxed);
        totals.latency_sum_us += part.latency_sum_us.load(Relaxed);
        part.latency.iter().zip(&mut totals.latency).for_each(|(count, total)| *total += count.load(Relaxed));
    }
    totals
}

/// Every command that was called.
pub(super) fn commands(fleet: &Fleet) -> Vec<(String, CommandTotals)> {
    fleet.journal().commands().into_iter().map(|(name, tally)| (name, command(&tally))).collect()
}

fn command(tally: &Tally) -> CommandTotals {
    CommandTotals {
        calls: tally.calls,
        errors: tally.node_errors + tally.refusals.iter().sum::<u64>(),
        latency: tally.node.buckets,
        latency_sum_us: tally.node.sum_us,
        own_us: tally.own.sum_us,
        left: tally.own.count(),
    }
}
