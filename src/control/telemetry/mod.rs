//! What Circlet measures, as the text that Prometheus scrapes.
//!
//! ```text
//!  workers' Published counters ─┐
//!  topology, sessions ──────────┼──► View ──► scrape ──► metrics recorder ──► text ──► /metrics
//!  /proc/self ──────────────────┘               └──────► histograms (exact) ──┘
//! ```
//!
//! Workers count in plain numbers and never touch a metric; a scrape adds them up. Names and help come from the rows in
//! [`rows`]. Histograms are written here and not by the recorder: the recorder keeps every single observation until the
//! next scrape, whereas the workers have counted them into buckets already. Bounded by the number of nodes and commands. Io: only
//! `process` reads anything.

mod exposition;
mod process;
pub mod rows;
mod scrape;

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::traffic::{counters::Published, observe::Tally, route::Topology};
use process::Process;

/// What one scrape looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The nodes, whose names are labels, and the ring with their shares.
    pub topology: &'a Topology,
    /// Every worker's numbers.
    pub workers: &'a [Arc<Published>],
    /// Every command that was called, with its numbers.
    pub commands: Vec<(String, Tally)>,
    /// Clients connected now.
    pub sessions: usize,
    /// Clients refused because there were too many.
    pub refused: u64,
}

/// Registered metrics of this process.
pub struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    started: f64,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("started", &self.started).finish_non_exhaustive()
    }
}

impl Telemetry {
    /// Describes every metric; `now` becomes the start time.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        // A recorder of its own and not the process-wide one: tests have several.
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, rows::describe);
        let handle = recorder.handle();
        let started = now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        Self { recorder, handle, started }
    }

    /// The whole text of `/metrics`.
    #[must_use]
    pub fn render(&self, view: &View<'_>) -> String {
        let process = Process::read();
        metrics::with_local_recorder(&self.recorder, || {
            scrape::circlet(view, self.started);
            scrape::commands(view);
            scrape::nodes(view);
            if let Some(process) = &process {
                scrape::process(process);
            }
        });
        let mut text = self.handle.render();
        exposition::commands(view, &mut text);
        exposition::latency(view, &mut text);
        if let Some(process) = &process {
            exposition::cpu(process, &mut text);
        }
        text
    }
}

#[cfg(test)]
#[path = "telemetry_tests.rs"]
mod tests;
