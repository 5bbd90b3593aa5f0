//! What Circlet measures, as the text that Prometheus scrapes.
//!
//! ```text
//!  workers' Published counters ─┐
//!  topology, sessions ──────────┼──► View, one per pool ──► scrape ──► metrics recorder ──► text ──► /metrics
//!  /proc/self ──────────────────┘                             └──────► histograms (exact) ──┘
//! ```
//!
//! Workers count in plain numbers and never touch a metric; a scrape adds them up, into a recorder of its own: so what is
//! no more, such as a node that has left, is not told any more. Names and help come from the rows in
//! [`rows`]. Histograms are written here and not by the recorder: the recorder keeps every single observation until the
//! next scrape, whereas the workers have counted them into buckets already. Bounded by the number of nodes and commands. Io: only
//! `process` and `threads` read anything.

mod exposition;
mod of_pool;
mod process;
pub mod rows;
mod scrape;
mod threads;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use metrics_exporter_prometheus::PrometheusBuilder;

use super::{
    lock,
    rebalance::{report::Doing, totals::Totals},
};
use crate::traffic::{
    client::Refused,
    counters::Published,
    observe::{Tally, census::Standing},
    route::Topology,
};
use of_pool::OfPool;
use process::Process;
use threads::Thread;

/// What one scrape looks at in a pool.
#[derive(Debug)]
pub struct View<'a> {
    /// Its name, which becomes a label; `None` where there is one pool only.
    pub pool: Option<&'a str>,
    /// The nodes, whose names are labels, and the ring with their shares.
    pub topology: &'a Topology,
    /// What is thought of each node, by its slot.
    pub standings: Vec<Option<Standing>>,
    /// Every worker's numbers.
    pub workers: &'a [Arc<Published>],
    /// Number of the first worker's thread.
    pub first_thread: usize,
    /// Every command that was called, with its numbers.
    pub commands: Vec<(String, Tally)>,
    /// Clients connected now.
    pub sessions: usize,
    /// Clients refused, by [`Refused`].
    pub refused: [u64; Refused::ALL.len()],
    /// Clients that could not be accepted at once.
    pub accept_failures: u64,
    /// Slow requests so far.
    pub slow: u64,
    /// What was looked at of keys.
    pub keys: KeyCounts,
    /// How much there may be.
    pub limits: Limits,
    /// What is done about a change of the nodes.
    pub moves: Moves,
    /// What was done with locks.
    pub locks: lock::Totals,
}

/// What is done about a change of the nodes.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// At the moment.
    pub doing: Doing,
    /// Keys that are still to be moved.
    pub keys_left: u64,
    /// Since the process began.
    pub totals: Totals,
}

/// What was looked at of keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyCounts {
    /// Requests whose keys were counted.
    pub samples: u64,
    /// Big values.
    pub big: u64,
}

/// Bounds that alerts compare with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Clients that may be connected.
    pub sessions: u64,
    /// Bytes that may be held for clients and nodes.
    pub buffered: u64,
}

/// The metrics of this process.
#[derive(Debug)]
pub struct Telemetry {
    /// Seconds since 1970.
    started: f64,
}

impl Telemetry {
    /// Of a process that starts now.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self { started: now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()) }
    }

    /// The whole text of `/metrics`, about every pool of this process.
    #[must_use]
    pub fn render(&self, pools: &[View<'_>]) -> String {
        self.text(pools, Process::read().as_ref(), &threads::read())
    }

    fn text(&self, pools: &[View<'_>], process: Option<&Process>, threads: &[Thread]) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, rows::describe);
        for view in pools {
            metrics::with_local_recorder(&OfPool::new(&recorder, view.pool), || {
                scrape::circlet(view);
                scrape::rebalance(view);
                scrape::locks(view);
                scrape::workers(view);
                scrape::sessions(view);
                scrape::messages(view);
                scrape::commands(view);
                scrape::nodes(view);
            });
        }
        metrics::with_local_recorder(&recorder, || scrape::process(self.started, process));
        let mut text = recorder.handle().render();
        exposition::workers(pools, threads, &mut text);
        exposition::fences(pools, &mut text);
        exposition::locks(pools, &mut text);
        exposition::commands(pools, &mut text);
        exposition::latency(pools, &mut text);
        if let Some(process) = process {
            exposition::cpu(process, &mut text);
        }
        text
    }
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
