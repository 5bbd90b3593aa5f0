//! From the workers' counters to metrics: adds them up and sets the current recorder's values.
//!
//! All counters only grow, so each is set to its absolute value. Pure, except for the recorder it writes to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use metrics::{counter, gauge};

use super::{
    View,
    process::Process,
    rows::{
        BLOCKED, BUFFERED, BUILD_INFO, CLIENT_BYTES, COMMAND_CALLS, COMMAND_ERRORS, ERRORS, INVALIDATIONS, LEASED,
        MESSAGES, NODE_BYTES, NODE_CONNECTIONS, NODE_FAILURES, NODE_IN_FLIGHT, NODE_REQUESTS, NODE_RETRIES, NODE_SHARE,
        NODE_TIMEOUTS, NODE_UP, PROCESS_FILES, PROCESS_MEMORY, REQUESTS, SCRIPT_LOADS, SESSIONS, SESSIONS_CLOSED,
        SESSIONS_OPENED, SESSIONS_REFUSED, START_TIME, SUBSCRIBERS, TOPICS, TRACKING, WORKERS,
    },
};
use crate::traffic::{
    counters::{Closed, Published, PublishedNode},
    pubsub, refusal,
};

/// Sum of one counter over `parts`.
pub(super) fn sum<T>(parts: impl IntoIterator<Item = T>, of: impl Fn(T) -> u64) -> u64 {
    parts.into_iter().map(of).fold(0, u64::wrapping_add)
}

/// A number as a gauge; exact up to 2^53.
fn float(value: u64) -> f64 {
    value as f64
}

/// What concerns this Circlet as a whole.
pub(super) fn circlet(view: &View<'_>, started: f64) {
    let total =
        |field: fn(&Published) -> &AtomicU64| sum(view.workers, |worker: &Arc<Published>| field(worker).load(Relaxed));
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(START_TIME).set(started);
    gauge!(WORKERS).set(float(view.workers.len() as u64));
    counter!(REQUESTS).absolute(total(|worker| &worker.requests));
    for (index, kind) in refusal::Kind::ALL.iter().enumerate() {
        let refused = sum(view.workers, |worker| worker.refusals[index].load(Relaxed));
        counter!(ERRORS, "kind" => kind.label()).absolute(refused);
    }
    counter!(ERRORS, "kind" => "node").absolute(total(|worker| &worker.node_errors));
    gauge!(SESSIONS).set(float(view.sessions as u64));
    counter!(SESSIONS_OPENED).absolute(total(|worker| &worker.opened));
    for (index, reason) in Closed::ALL.iter().enumerate() {
        let closed = sum(view.workers, |worker| worker.closed[index].load(Relaxed));
        counter!(SESSIONS_CLOSED, "reason" => reason.label()).absolute(closed);
    }
    counter!(SESSIONS_REFUSED).absolute(view.refused);
    counter!(CLIENT_BYTES, "direction" => "in").absolute(total(|worker| &worker.client_in));
    counter!(CLIENT_BYTES, "direction" => "out").absolute(total(|worker| &worker.client_out));
    gauge!(BUFFERED).set(float(total(|worker| &worker.buffered)));
    gauge!(BLOCKED).set(float(total(|worker| &worker.blocked)));
    gauge!(TRACKING).set(float(total(|worker| &worker.tracking)));
    counter!(INVALIDATIONS).absolute(total(|worker| &worker.invalidations));
    gauge!(SUBSCRIBERS).set(float(total(|worker| &worker.subscribers)));
    for (index, kind) in pubsub::Kind::ALL.iter().enumerate() {
        let topics = sum(view.workers, |worker| worker.topics[index].load(Relaxed));
        gauge!(TOPICS, "kind" => kind.label()).set(float(topics));
    }
    counter!(MESSAGES, "direction" => "in").absolute(total(|worker| &worker.messages_in));
    counter!(MESSAGES, "direction" => "out").absolute(total(|worker| &worker.messages_out));
    counter!(SCRIPT_LOADS).absolute(total(|worker| &worker.script_loads));
    gauge!(LEASED).set(float(total(|worker| &worker.leased)));
}

/// What concerns single commands.
pub(super) fn commands(view: &View<'_>) {
    for (name, tally) in &view.commands {
        counter!(COMMAND_CALLS, "command" => name.clone()).absolute(tally.calls);
        let refusals = refusal::Kind::ALL.iter().zip(&tally.refusals).map(|(kind, count)| (kind.label(), *count));
        for (kind, count) in refusals.chain([("node", tally.node_errors)]).filter(|(_, count)| *count > 0) {
            counter!(COMMAND_ERRORS, "command" => name.clone(), "kind" => kind).absolute(count);
        }
    }
}

/// What concerns single nodes.
pub(super) fn nodes(view: &View<'_>) {
    let shares = view.topology.ring.shares();
    for (index, node) in view.topology.nodes.iter().enumerate() {
        let parts: Vec<&PublishedNode> = view.parts_of(index).collect();
        let total = |field: fn(&PublishedNode) -> &AtomicU64| sum(&parts, |part| field(part).load(Relaxed));
        let name = || node.name.clone();
        gauge!(NODE_UP, "node" => name()).set(f64::from(u8::from(parts.iter().any(|part| part.up.load(Relaxed)))));
        gauge!(NODE_SHARE, "node" => name()).set(shares.get(index).copied().unwrap_or(0.0));
        gauge!(NODE_IN_FLIGHT, "node" => name()).set(float(total(|part| &part.in_flight)));
        gauge!(NODE_CONNECTIONS, "node" => name()).set(float(total(|part| &part.connections)));
        counter!(NODE_REQUESTS, "node" => name()).absolute(total(|part| &part.requests));
        counter!(NODE_TIMEOUTS, "node" => name()).absolute(total(|part| &part.timeouts));
        counter!(NODE_RETRIES, "node" => name()).absolute(total(|part| &part.retries));
        counter!(NODE_FAILURES, "node" => name()).absolute(total(|part| &part.failures));
        counter!(NODE_BYTES, "node" => name(), "direction" => "in").absolute(total(|part| &part.bytes_in));
        counter!(NODE_BYTES, "node" => name(), "direction" => "out").absolute(total(|part| &part.bytes_out));
    }
}

/// What the system says about this process.
pub(super) fn process(process: &Process) {
    gauge!(PROCESS_MEMORY).set(float(process.memory));
    gauge!(PROCESS_FILES).set(float(process.files));
}

impl View<'_> {
    /// Every worker's numbers about the node `index`.
    pub(super) fn parts_of(&self, index: usize) -> impl Iterator<Item = &PublishedNode> {
        self.workers.iter().filter_map(move |worker| worker.nodes.get(index))
    }
}
