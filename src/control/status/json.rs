//! The documents of `/api/…`. Their fields are documented in the README; fields may be added, and none changes its meaning
//! while [`API`] is the same.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};

use super::{
    State, Status,
    history::{Doing, Moment, STEP},
    now_ms, totals,
};
use crate::traffic::{
    counters::{Closed, Published, PublishedNode},
    observe::{
        census::{Said, Standing},
        chronicle::Happening,
        keys::{Big, Hot},
    },
    refusal,
    route::{NodeId, Scheme, Topology, ring::Hashing},
};

/// Version of the documents.
const API: u32 = 1;
/// Events that are shown.
const EVENTS: usize = 50;
/// Commands that are shown, the most frequent ones and the slowest ones.
const COMMANDS: usize = 8;
/// Keys that are shown, the hottest and the biggest.
const KEYS: usize = 8;
/// Places at which the ring is looked at, so that it can be drawn.
const SLICES: u32 = 360;

/// Circlet as a whole.
pub(super) fn status(status: &Status, pool: Option<&str>, pools: &[&str]) -> Value {
    let topology = status.topology();
    let now = totals::of(&status.fleet, status.now_us(), now_ms());
    let (state, why) = match status.ready() {
        Ok(_) => ("ready", None),
        Err(why) if why == "draining" => ("draining", Some(why)),
        Err(why) => ("unready", Some(why)),
    };
    json!({
        "api": API,
        "pool": pool,
        "pools": pools,
        "version": env!("CARGO_PKG_VERSION"),
        "state": state,
        "why": why,
        "now_ms": now_ms(),
        "started_ms": status.started.1,
        "workers": status.fleet.published().len(),
        "listen": status.live.listen(),
        "epoch": topology.epoch.0,
        "nodes": {
            "all": topology.listed().count(),
            "up": status.nodes_up(),
            "out": topology.nodes.iter().filter(|node| node.out).count(),
        },
        "moving": status.driver.report(),
        "sessions": {
            "now": now.sessions,
            "max": status.option("session.max_sessions"),
            "opened": sum(status, |worker| &worker.opened),
            "refused": now.refused,
            "blocked": sum(status, |worker| &worker.blocked),
            "subscribed": sum(status, |worker| &worker.subscribers),
            "tracking": sum(status, |worker| &worker.tracking),
            "closed": closed(&now.closed),
        },
        "requests": { "all": now.requests },
        "errors": errors(status, now.errors),
        "bytes": { "in": now.bytes_in, "out": now.bytes_out, "buffered": sum(status, |worker| &worker.buffered) },
        "history": history(status),
        "commands": commands(status),
        "keys": keys(status),
        "events": status.fleet.journal().chronicle().newest(EVENTS).map(event).collect::<Value>(),
    })
}

fn sum(status: &Status, of: fn(&Published) -> &AtomicU64) -> u64 {
    status.fleet.published().iter().map(|worker| of(worker).load(Relaxed)).sum()
}

fn closed(counts: &[u64]) -> Value {
    Closed::ALL.iter().zip(counts).map(|(why, count)| (why.label().to_owned(), Value::from(*count))).collect()
}

/// Error replies by kind; those of nodes are one of them.
fn errors(status: &Status, all: u64) -> Value {
    let mut kinds = serde_json::Map::new();
    for (index, kind) in refusal::Kind::ALL.iter().enumerate() {
        let count: u64 = status.fleet.published().iter().map(|worker| worker.refusals[index].load(Relaxed)).sum();
        kinds.insert(kind.label().to_owned(), count.into());
    }
    kinds.insert("node".to_owned(), sum(status, |worker| &worker.node_errors).into());
    json!({ "all": all, "by_kind": kinds })
}

/// The lines: one list per field, oldest first.
fn history(status: &Status) -> Value {
    let history = status.history();
    let column = |of: fn(&Moment) -> Value| history.moments().map(of).collect::<Value>();
    json!({
        "step_ms": STEP.as_millis() as u64,
        "at_ms": column(|moment| moment.at_ms.into()),
        "requests_per_s": column(|moment| tenths(moment.requests_per_s)),
        "errors_per_s": column(|moment| tenths(moment.errors_per_s)),
        "bytes_in_per_s": column(|moment| tenths(moment.bytes_in_per_s)),
        "bytes_out_per_s": column(|moment| tenths(moment.bytes_out_per_s)),
        "sessions": column(|moment| moment.sessions.into()),
        "p50_us": column(|moment| maybe(moment.p50_us)),
        "p99_us": column(|moment| maybe(moment.p99_us)),
    })
}

/// Rounded, so that the document stays small.
fn tenths(value: f64) -> Value {
    ((value * 10.0).round() / 10.0).into()
}

fn maybe(value: Option<f64>) -> Value {
    value.map_or(Value::Null, tenths)
}

/// The most frequent and the slowest commands of the last minute.
fn commands(status: &Status) -> Value {
    let now = totals::commands(&status.fleet);
    let (mut doings, seconds) = status.history().doings(status.now_us(), &now);
    doings.retain(|doing| doing.calls_per_s > 0.0);
    doings.sort_by(|one, other| other.calls_per_s.total_cmp(&one.calls_per_s));
    let frequent: Vec<Value> = doings.iter().take(COMMANDS).map(doing).collect();
    doings.retain(|doing| doing.p99_us.is_some());
    doings.sort_by(|one, other| other.p99_us.unwrap_or(0.0).total_cmp(&one.p99_us.unwrap_or(0.0)));
    let slowest: Vec<Value> = doings.iter().take(COMMANDS).map(doing).collect();
    json!({ "window_s": tenths(seconds), "frequent": frequent, "slowest": slowest })
}

fn doing(doing: &Doing) -> Value {
    json!({
        "name": doing.name,
        "calls": doing.calls,
        "errors": doing.errors,
        "calls_per_s": tenths(doing.calls_per_s),
        "errors_per_s": tenths(doing.errors_per_s),
        "node_mean_us": maybe(doing.mean_us),
        "node_p99_us": maybe(doing.p99_us),
        "own_mean_us": maybe(doing.own_us),
    })
}

/// Keys that are hot or big; bytes that are no text are escaped.
fn keys(status: &Status) -> Value {
    let (keys, topology) = (status.fleet.journal().keys(), status.topology());
    let text = |key: &[u8]| match std::str::from_utf8(key) {
        Ok(text) => text.to_owned(),
        Err(_) => key.escape_ascii().to_string(),
    };
    let hot = |hot: &Hot| {
        json!({
            "key": text(&hot.key),
            "per_s": tenths(keys.per_s(hot.count)),
            "share": (keys.part(hot.count) * 1e4).round() / 1e4,
            "too_high_by": tenths(keys.per_s(hot.error)),
            "node": topology.name_of_owner(&hot.key),
        })
    };
    let big = |big: &Big| {
        json!({
            "key": text(&big.key),
            "bytes": big.bytes,
            "command": big.command,
            "seen": if big.written { "written" } else { "read" },
            "at_ms": big.at_s * 1_000,
            "node": topology.name_of_owner(&big.key),
        })
    };
    json!({
        "samples": keys.samples,
        "big_values": keys.bigs,
        "hot": keys.hottest(KEYS).into_iter().map(hot).collect::<Value>(),
        "big": keys.biggest(KEYS).into_iter().map(big).collect::<Value>(),
    })
}

fn event(event: &Happening) -> Value {
    json!({
        "id": event.id,
        "at_ms": event.at_ms,
        "last_ms": event.last_ms,
        "kind": event.kind.label(),
        "node": event.node,
        "text": event.text,
        "count": event.count,
    })
}

/// How keys are spread over the nodes.
pub(super) fn ring(topology: &Topology) -> Value {
    let scheme = topology.ring.scheme();
    let listed: Vec<NodeId> = topology.listed().collect();
    let nodes: Value = listed.iter().map(|id| (topology.node(*id), topology.ring.shares()[id.index()])).map(|(node, share)| {
        json!({ "name": node.name, "address": node.address.to_string(), "weight": node.weight, "share": share })
    }).collect();
    // By the place in that list; whoever owns keys is a member.
    let owner = |slice| listed.binary_search(&topology.ring.owner_at(slice, SLICES)?).ok();
    let mut document = json!({
        "api": API,
        "epoch": topology.epoch.0,
        "distribution": scheme.name(),
        "title": scheme.title(),
        "nodes": nodes,
        // Whose the hash at the beginning of each slice is.
        "slices": (0..SLICES).map(owner).collect::<Option<Vec<usize>>>(),
    });
    match scheme {
        Scheme::Xxh3 { points_per_weight } => document["points"] = (*points_per_weight).into(),
        Scheme::Ketama(Hashing { hash, tag }) | Scheme::Modula(Hashing { hash, tag }) => {
            document["hash"] = hash.name().into();
            document["hash_tag"] =
                tag.map_or_else(String::new, |tag| [tag.open, tag.close].escape_ascii().to_string()).into();
        }
        Scheme::Random => {}
    }
    document
}

/// The nodes, one by one.
pub(super) fn nodes(status: &Status) -> Value {
    let topology = status.topology();
    let shares = topology.ring.shares();
    let nodes: Value = topology.listed().map(|id| node(status, &topology, id, shares)).collect();
    json!({ "api": API, "epoch": topology.epoch.0, "now_ms": now_ms(), "nodes": nodes })
}

fn node(status: &Status, topology: &Topology, id: NodeId, shares: &[f64]) -> Value {
    let (node, index) = (topology.node(id), id.index());
    let report = status.fleet.journal().census().of(id);
    let pace = status.history().pace(index);
    let total = |of: fn(&PublishedNode) -> &AtomicU64| -> u64 {
        totals::parts(&status.fleet, index).map(|part| of(&part).load(Relaxed)).sum()
    };
    let workers = |of: fn(&PublishedNode) -> &AtomicBool| {
        totals::parts(&status.fleet, index).filter(|part| of(part).load(Relaxed)).count()
    };
    json!({
        "name": node.name,
        "address": node.address.to_string(),
        "weight": node.weight,
        "share": shares.get(index),
        "state": match status.state(id) {
            State::Up => "up",
            State::Down => "down",
            State::Connecting => "connecting",
            State::Out => "out",
        },
        "why": report.why,
        "judged": report.standing.map(Standing::label),
        "since_ms": (report.since_ms > 0).then_some(report.since_ms),
        "workers_up": workers(|part| &part.up),
        "connections": total(|part| &part.connections),
        "in_flight": total(|part| &part.in_flight),
        "requests": total(|part| &part.requests),
        "timeouts": total(|part| &part.timeouts),
        "retries": total(|part| &part.retries),
        "failures": total(|part| &part.failures),
        "bytes": { "in": total(|part| &part.bytes_in), "out": total(|part| &part.bytes_out) },
        "requests_per_s": tenths(pace.requests_per_s),
        "latency_us": { "mean": maybe(pace.mean_us), "p50": maybe(pace.p50_us), "p99": maybe(pace.p99_us) },
        "answer_us": (report.answer_us > 0).then_some(report.answer_us),
        "info": report.said.as_ref().map(said),
    })
}

/// What the node said of itself.
fn said(said: &Said) -> Value {
    json!({
        "at_ms": said.at_ms,
        "version": said.version,
        "role": said.role,
        "uptime_s": said.uptime_s,
        "memory": said.memory,
        "max_memory": said.max_memory,
        "keys": said.keys,
        "clients": said.clients,
        "ops_per_s": said.ops_per_s,
        "evicted": said.evicted,
        "cpu": said.cpu.map(|cpu| (cpu * 1_000.0).round() / 1_000.0),
    })
}
