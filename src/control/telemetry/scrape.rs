//! From the workers' counters to metrics: adds them up and sets the current recorder's values.
//!
//! All counters only grow, so each is set to its absolute value. Pure, except for the recorder it writes to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use metrics::{counter, gauge};

use super::{Moves, View, process::Process, rows::*};
use crate::control::{
    lock::note::Why,
    rebalance::{report, totals::Result},
};
use crate::traffic::{
    client::{Doing, Refused},
    counters::{Closed, NodeState, Published, PublishedNode},
    observe::{ErrorCode, census::Standing},
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

/// Sum of one number over all workers.
fn total(view: &View<'_>, field: fn(&Published) -> &AtomicU64) -> u64 {
    sum(view.workers, |worker: &Arc<Published>| field(worker).load(Relaxed))
}

/// What concerns a pool as a whole.
pub(super) fn circlet(view: &View<'_>) {
    gauge!(EPOCH).set(float(view.topology.epoch.0));
    counter!(REQUESTS).absolute(total(view, |worker| &worker.requests));
    for (index, kind) in refusal::Kind::ALL.iter().enumerate() {
        let refused = sum(view.workers, |worker| worker.refusals[index].load(Relaxed));
        counter!(ERRORS, "kind" => kind.label()).absolute(refused);
    }
    counter!(ERRORS, "kind" => "node").absolute(total(view, |worker| &worker.node_errors));
    counter!(SLOW).absolute(view.slow);
    counter!(KEY_SAMPLES).absolute(view.keys.samples);
    counter!(BIG_VALUES).absolute(view.keys.big);
    counter!(BIG_REPLIES).absolute(total(view, |worker| &worker.big_replies));
    counter!(LINGERED, "end" => "whole").absolute(total(view, |worker| &worker.lingered_whole));
    counter!(LINGERED, "end" => "late").absolute(total(view, |worker| &worker.lingered_late));
    gauge!(BUFFERED).set(float(total(view, |worker| &worker.buffered)));
    gauge!(BUFFERED_LIMIT).set(float(view.limits.buffered));
    counter!(SCRIPT_LOADS).absolute(total(view, |worker| &worker.script_loads));
    gauge!(LEASED).set(float(total(view, |worker| &worker.leased)));
}

/// What concerns a change of the nodes.
pub(super) fn rebalance(view: &View<'_>) {
    let Moves { doing, keys_left, totals } = &view.moves;
    for state in report::Doing::ALL {
        gauge!(REBALANCE_STATE, "state" => state.label()).set(f64::from(u8::from(state == *doing)));
    }
    gauge!(NODES_OUT).set(view.topology.nodes.iter().filter(|node| node.out).count() as f64);
    counter!(EJECTIONS).absolute(totals.ejections);
    counter!(READMISSIONS).absolute(totals.readmissions);
    gauge!(REBALANCE_LEFT).set(float(*keys_left));
    counter!(REBALANCE_KEYS).absolute(totals.keys);
    counter!(REBALANCE_BYTES).absolute(totals.bytes);
    counter!(REBALANCE_PURGED).absolute(totals.purged);
    for (result, count) in Result::ALL.iter().zip(totals.changes) {
        counter!(REBALANCE_CHANGES, "result" => result.label()).absolute(count);
    }
}

/// What concerns locks.
pub(super) fn locks(view: &View<'_>) {
    let locks = &view.locks;
    counter!(LOCK_ACQUIRED).absolute(locks.acquired);
    for (why, count) in Why::ALL.iter().zip(locks.refused) {
        counter!(LOCK_REFUSED, "reason" => why.label()).absolute(count);
    }
    counter!(LOCK_EXTENDED).absolute(locks.extended);
    counter!(LOCK_RELEASED).absolute(locks.released);
    counter!(LOCK_LOST).absolute(locks.lost);
    gauge!(LOCK_HELD).set(float(locks.held));
    gauge!(LOCK_WAITERS).set(float(locks.waiters));
    for id in view.topology.members() {
        let name = &view.topology.node(*id).name;
        gauge!(LOCK_QUARANTINED, "node" => name.clone()).set(f64::from(u8::from(locks.out.contains(name))));
    }
}

/// What concerns single workers.
pub(super) fn workers(view: &View<'_>) {
    gauge!(WORKERS).set(float(view.workers.len() as u64));
    for (index, worker) in view.workers.iter().enumerate() {
        let sessions = sum(&worker.doing, |count: &AtomicU64| count.load(Relaxed));
        gauge!(WORKER_SESSIONS, "worker" => index.to_string()).set(float(sessions));
        counter!(WORKER_REQUESTS, "worker" => index.to_string()).absolute(worker.requests.load(Relaxed));
    }
}

/// What concerns clients.
pub(super) fn sessions(view: &View<'_>) {
    gauge!(SESSIONS).set(float(view.sessions as u64));
    gauge!(SESSIONS_LIMIT).set(float(view.limits.sessions));
    for (index, doing) in Doing::ALL.iter().enumerate() {
        let sessions = sum(view.workers, |worker| worker.doing[index].load(Relaxed));
        gauge!(SESSIONS_KIND, "kind" => doing.label()).set(float(sessions));
    }
    gauge!(BLOCKED).set(float(total(view, |worker| &worker.blocked)));
    gauge!(TRACKING).set(float(total(view, |worker| &worker.tracking)));
    counter!(SESSIONS_OPENED).absolute(total(view, |worker| &worker.opened));
    for (index, reason) in Closed::ALL.iter().enumerate() {
        let closed = sum(view.workers, |worker| worker.closed[index].load(Relaxed));
        counter!(SESSIONS_CLOSED, "reason" => reason.label()).absolute(closed);
    }
    for (reason, count) in Refused::ALL.iter().zip(view.refused) {
        counter!(SESSIONS_REFUSED, "reason" => reason.label()).absolute(count);
    }
    counter!(ACCEPT_FAILURES).absolute(view.accept_failures);
    counter!(CLIENT_BYTES, "direction" => "in").absolute(total(view, |worker| &worker.client_in));
    counter!(CLIENT_BYTES, "direction" => "out").absolute(total(view, |worker| &worker.client_out));
}

/// What concerns messages and invalidations.
pub(super) fn messages(view: &View<'_>) {
    counter!(INVALIDATIONS).absolute(total(view, |worker| &worker.invalidations));
    gauge!(SUBSCRIBERS).set(float(total(view, |worker| &worker.subscribers)));
    for (index, kind) in pubsub::Kind::ALL.iter().enumerate() {
        let topics = sum(view.workers, |worker| worker.topics[index].load(Relaxed));
        gauge!(TOPICS, "kind" => kind.label()).set(float(topics));
    }
    counter!(MESSAGES, "direction" => "in").absolute(total(view, |worker| &worker.messages_in));
    counter!(MESSAGES, "direction" => "out").absolute(total(view, |worker| &worker.messages_out));
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
    for id in view.topology.listed() {
        let (index, node) = (id.index(), view.topology.node(id));
        let parts: Vec<Arc<PublishedNode>> = view.parts_of(index).collect();
        let total = |field: fn(&PublishedNode) -> &AtomicU64| sum(&parts, |part| field(part).load(Relaxed));
        let name = || node.name.clone();
        let (address, weight) = (node.address.to_string(), node.weight.to_string());
        gauge!(NODE_INFO, "node" => name(), "address" => address, "weight" => weight).set(1.0);
        gauge!(NODE_UP, "node" => name()).set(f64::from(u8::from(parts.iter().any(|part| part.up.load(Relaxed)))));
        for state in NodeState::ALL {
            let workers = parts.iter().filter(|part| part.state.load(Relaxed) == state as u8).count();
            gauge!(NODE_STATE, "node" => name(), "state" => state.label()).set(float(workers as u64));
        }
        for standing in Standing::ALL {
            let is = view.standings.get(index).is_some_and(|is| *is == Some(standing));
            gauge!(NODE_JUDGED, "node" => name(), "state" => standing.label()).set(f64::from(u8::from(is)));
        }
        gauge!(NODE_OUT, "node" => name()).set(f64::from(u8::from(node.out)));
        gauge!(NODE_SHARE, "node" => name()).set(shares.get(index).copied().unwrap_or(0.0));
        gauge!(NODE_IN_FLIGHT, "node" => name()).set(float(total(|part| &part.in_flight)));
        gauge!(NODE_UNSENT, "node" => name()).set(float(total(|part| &part.unsent)));
        gauge!(NODE_CONNECTIONS, "node" => name()).set(float(total(|part| &part.connections)));
        counter!(NODE_OPENED, "node" => name()).absolute(total(|part| &part.opened));
        counter!(NODE_RECONNECTS, "node" => name()).absolute(total(|part| &part.reconnects));
        counter!(NODE_FAILURES, "node" => name()).absolute(total(|part| &part.failures));
        counter!(NODE_REQUESTS, "node" => name()).absolute(total(|part| &part.requests));
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            let errors = sum(&parts, |part| part.errors[index].load(Relaxed));
            counter!(NODE_ERRORS, "node" => name(), "code" => code.label()).absolute(errors);
        }
        counter!(NODE_TIMEOUTS, "node" => name()).absolute(total(|part| &part.timeouts));
        counter!(NODE_RETRIES, "node" => name()).absolute(total(|part| &part.retries));
        counter!(NODE_BYTES, "node" => name(), "direction" => "in").absolute(total(|part| &part.bytes_in));
        counter!(NODE_BYTES, "node" => name(), "direction" => "out").absolute(total(|part| &part.bytes_out));
    }
}

/// What concerns this process, and what the system says about it.
pub(super) fn process(started: f64, process: Option<&Process>) {
    use std::env::consts::{ARCH, OS};
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION"), "os" => OS, "arch" => ARCH).set(1.0);
    gauge!(PROCESS_START).set(started);
    let Some(process) = process else { return };
    gauge!(PROCESS_MEMORY).set(float(process.memory));
    gauge!(PROCESS_VIRTUAL).set(float(process.virtual_memory));
    gauge!(PROCESS_THREADS).set(float(process.threads));
    gauge!(PROCESS_FILES).set(float(process.files));
    gauge!(PROCESS_MAX_FILES).set(process.max_files.map_or(f64::INFINITY, float));
}

impl View<'_> {
    /// Every worker's numbers about the node `index`.
    pub(super) fn parts_of(&self, index: usize) -> impl Iterator<Item = Arc<PublishedNode>> {
        self.workers.iter().filter_map(move |worker| worker.node(index))
    }
}
