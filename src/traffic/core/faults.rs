//! What goes wrong, and what time brings: lost and refused connections, silent nodes, idle things, too much memory.
//!
//! ```text
//!             connect fails, silence                       a connection is made
//!  node up ─────────────────────────► node down (requests refused at once) ─► node up
//!                                          │  ▲
//!                          pause over: one try  ── fails: longer pause
//! ```
//! A request in flight on a lost connection: a read is sent once more on the next connection, in its old order; a write
//! is answered "outcome unknown". Nothing is ever read from a connection that was given up.

use std::sync::Arc;

use super::{Core, Todo, ears};
use crate::traffic::{
    client::{Client, ClientKey, Doing},
    counters::{Closed, NodeState},
    pipe::{Entry, Holder, Pipe, PipeId, State, backoff_us, connect::Greeting},
    refusal::{Outcome, Refusal},
    resp::Proto,
    route::NodeId,
};

/// A connection that lived this long (µs) proves that its node is there; losing it starts the pauses from the shortest.
const PROVEN_US: u64 = 1_000_000;

/// Whose fault it is that a connection could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The node's: it cannot be used at all.
    Node,
    /// Only this kind of connection does not work: the db or the protocol is refused.
    Pipe,
}

/// Why a connection is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It broke, or the node sent nonsense: how.
    Broken(String),
    /// The node is silent.
    Silent,
    /// Nobody used it.
    Idle,
}

impl Core {
    /// Opens one pipe to every node, so that the first requests need not wait.
    pub fn open_all(&mut self) {
        for node in self.nodes() {
            self.open_first_pipe(node);
        }
    }

    pub(super) fn open_first_pipe(&mut self, node: NodeId) {
        let id = self.first_pipe(node).unwrap_or_else(|| self.new_pipe(node, 0, Proto::Resp2));
        let pipe = &self.pipes[id.index()];
        if pipe.state == State::Ready {
            if !pipe.inflight.is_empty() {
                // Its replies, or their absence, will tell soon.
                return;
            }
            // Only a new handshake shows whether the node answers.
            let attempt = pipe.attempt;
            self.pipe_lost(id, attempt, &Lost::Idle);
        }
        self.links[node.index()].probing = true;
        if self.pipes[id.index()].state != State::Connecting {
            self.open_pipe(id);
        }
    }

    pub(super) fn first_pipe(&self, node: NodeId) -> Option<PipeId> {
        self.links[node.index()].pipes[0].first().copied().flatten()
    }

    /// A pipe's connection is ready for requests. Returns false if the pipe has given it up meanwhile.
    pub fn pipe_connected(&mut self, id: PipeId, attempt: u32) -> bool {
        let now_us = self.now_us;
        let pipe = &mut self.pipes[id.index()];
        if pipe.attempt != attempt || pipe.state != State::Connecting {
            return false;
        }
        pipe.state = State::Ready;
        pipe.connected_us = now_us;
        pipe.progress_us = now_us;
        let stamp = now_us as u32;
        let mut held = Vec::new();
        for entry in &mut pipe.inflight {
            // What waited for the connection is sent now; its time begins.
            held.push((*entry, stamp.wrapping_sub(std::mem::replace(&mut entry.sent_us, stamp))));
        }
        let (node, again) = (pipe.node, std::mem::take(&mut pipe.lost));
        let waiting = !pipe.out.is_empty();
        self.links[node.index()].probing = false;
        let counters = &mut self.counters.nodes[node.index()];
        counters.connections += 1;
        counters.opened += 1;
        counters.reconnects += u64::from(again);
        self.node_up(node);
        if waiting {
            self.mark_pipe(id);
        }
        for (entry, us) in held {
            self.was_held(entry, us);
        }
        if self.pipes[id.index()].tracks {
            self.tracking_connected(id);
        }
        if self.pipes[id.index()].holder == Holder::Ear {
            self.ear_opened(node);
        }
        true
    }

    /// Takes what the node said of a pipe's new connection.
    pub fn pipe_greeted(&mut self, id: PipeId, greeting: &Greeting) {
        let pipe = &mut self.pipes[id.index()];
        pipe.node_client = greeting.client;
        pipe.run = greeting.run;
        if pipe.tracks {
            self.ear_connected(id);
        }
    }

    /// A pipe's connection could not be made. What waited for it was never sent, and is told so.
    pub fn pipe_failed(&mut self, id: PipeId, attempt: u32, fault: Fault, why: &str) {
        let pipe = &mut self.pipes[id.index()];
        if pipe.attempt != attempt || pipe.state != State::Connecting {
            return;
        }
        pipe.failures += 1;
        pipe.lost = true;
        let (node, failures) = (pipe.node, pipe.failures);
        self.doubt_arrivals(node);
        let until_us = self.now_us + self.pause_us(failures);
        let pipe = &mut self.pipes[id.index()];
        pipe.state = State::Failed { until_us, why: why.to_owned() };
        let (entries, _) = pipe.abandon(&mut self.pool);
        self.counters.nodes[node.index()].failures += 1;
        let others_work = self.pipes.iter().any(|pipe| pipe.node == node && pipe.state == State::Ready);
        let was_down = self.links[node.index()].down.is_some();
        self.links[node.index()].probing = false;
        if fault == Fault::Node && (was_down || !others_work) {
            self.node_down(node, why);
        }
        let topology = Arc::clone(&self.snapshot.topology);
        for entry in entries {
            self.fail(entry, &Refusal::NodeDown(topology.node(node), why));
        }
        if self.pipes[id.index()].holder == Holder::Ear {
            return self.ear_gone(node, why);
        }
        self.release_waiting(id);
        if self.pipes[id.index()].tracks {
            self.tracking_failed(id, why);
        }
        self.lease_gone(id);
    }

    /// A pipe's connection is given up: in flight reads are sent again, once; everything else is answered.
    pub fn pipe_lost(&mut self, id: PipeId, attempt: u32, how: &Lost) {
        let pipe = &mut self.pipes[id.index()];
        if pipe.attempt != attempt || pipe.state != State::Ready {
            return;
        }
        pipe.lost = !matches!(how, Lost::Idle);
        let node = pipe.node;
        let short_lived = self.now_us.saturating_sub(pipe.connected_us) < PROVEN_US;
        if pipe.lost {
            self.doubt_arrivals(node);
        }
        if let (Holder::Ear, Lost::Broken(why)) = (self.pipes[id.index()].holder, how) {
            return self.ear_broke(id, short_lived, why);
        }
        // Accepted and closed, again and again: that node is not there, and must not be hammered.
        let hopeless = short_lived && self.links[node.index()].failures > 0;
        let counters = &mut self.counters.nodes[node.index()];
        counters.connections = counters.connections.saturating_sub(1);
        // The front reply has been handed on in part: a second try would put a whole reply behind half of one.
        let mut begun = self.pipes[id.index()].streaming;
        let (entries, mut replay) = self.pipes[id.index()].abandon(&mut self.pool);
        self.pipes[id.index()].state = State::Idle;
        self.todo.push(Todo::Disconnect(id));
        match how {
            Lost::Idle => debug_assert!(entries.is_empty()),
            Lost::Broken(why) => {
                self.counters.nodes[node.index()].failures += 1;
                if hopeless {
                    self.node_down(node, why);
                } else if short_lived {
                    self.links[node.index()].failures = 1;
                }
                let mut again = Vec::new();
                for entry in entries {
                    let request = replay.take(usize::from(entry.replay));
                    let begun = std::mem::take(&mut begun);
                    if !hopeless && !begun && entry.may_repeat() {
                        again.push((entry, request));
                    } else {
                        self.fail_lost(entry, node, why);
                    }
                }
                if !hopeless {
                    self.send_again(id, node, again);
                }
                if self.pipes[id.index()].holder == Holder::Everyone {
                    self.ask_tracked(node);
                }
            }
            Lost::Silent => {
                let after = self.settings.pipe.request_timeout;
                self.counters.nodes[node.index()].failures += 1;
                self.node_down(node, &format!("no reply for {} ms", after.as_millis()));
                let topology = Arc::clone(&self.snapshot.topology);
                for entry in entries {
                    self.counters.nodes[node.index()].timeouts += 1;
                    self.fail(entry, &Refusal::Timeout(topology.node(node), after, outcome(entry)));
                }
                self.close_leases_of(node);
            }
        }
        if self.pipes[id.index()].holder == Holder::Ear {
            return self.ear_gone(node, "silent");
        }
        self.release_waiting(id);
        self.lease_gone(id);
    }

    /// Opens the pipe anew for the reads that were in flight; the first pipe of a member is always opened again.
    fn send_again(&mut self, id: PipeId, node: NodeId, again: Vec<(Entry, Vec<u8>)>) {
        let first = self.first_pipe(node) == Some(id) && self.snapshot.topology.is_member(node);
        if self.draining && again.is_empty() || again.is_empty() && !first {
            return;
        }
        if first {
            self.links[node.index()].probing = true;
        }
        if self.pipes[id.index()].state == State::Idle {
            self.open_pipe(id);
        }
        for (entry, request) in again {
            self.counters.nodes[node.index()].retries += 1;
            let pipe = &mut self.pipes[id.index()];
            pipe.out.push(&request);
            pipe.enqueue(Entry { retried: true, replay: 0, ..entry }, &request);
        }
    }

    pub(super) fn fail_lost(&mut self, entry: Entry, node: NodeId, why: &str) {
        let topology = Arc::clone(&self.snapshot.topology);
        self.fail(entry, &Refusal::Lost(topology.node(node), why, outcome(entry)));
    }

    /// The node answered: its requests pass again. One that has left stays down.
    pub(super) fn node_up(&mut self, node: NodeId) {
        if !self.snapshot.topology.is_member(node) {
            return;
        }
        let link = &mut self.links[node.index()];
        let was_down = link.down.take().is_some();
        let counters = &mut self.counters.nodes[node.index()];
        if was_down || !counters.up {
            self.todo.push(Todo::NodeUp(node));
        }
        counters.up = true;
    }

    pub(super) fn node_down(&mut self, node: NodeId, why: &str) {
        if !self.snapshot.topology.is_member(node) {
            return;
        }
        let failures = self.links[node.index()].failures + 1;
        let until_us = self.now_us + self.pause_us(failures);
        let link = &mut self.links[node.index()];
        link.failures = failures;
        link.probing = false;
        let news = link.down.as_ref().is_none_or(|(_, known)| known != why);
        link.down = Some((until_us, why.to_owned()));
        self.counters.nodes[node.index()].up = false;
        if news {
            self.todo.push(Todo::NodeDown(node, why.to_owned()));
        }
    }

    pub(super) fn pause_us(&mut self, failures: u32) -> u64 {
        let limits = &self.settings.pipe;
        let (min, max) = (limits.backoff_min.as_micros() as u64, limits.backoff_max.as_micros() as u64);
        backoff_us(failures, min, max, self.rng.f64())
    }

    /// What is due: silent nodes, tries of nodes that are down. To be called every 100 ms or so.
    pub fn tick(&mut self) {
        let timeout = self.settings.pipe.request_timeout.as_micros() as u64;
        for index in 0..self.pipes.len() {
            let id = PipeId(index as u32);
            let pipe = &mut self.pipes[index];
            if pipe.state == State::Ready && self.now_us.saturating_sub(pipe.connected_us) >= PROVEN_US {
                pipe.failures = 0;
                self.links[pipe.node.index()].failures = 0;
            }
            if let (State::Ready, Some(front)) = (&pipe.state, pipe.inflight.front().filter(|front| !front.waits)) {
                let waited = u64::from((self.now_us as u32).wrapping_sub(front.sent_us));
                if waited > timeout && self.now_us.saturating_sub(pipe.progress_us) > timeout {
                    let attempt = pipe.attempt;
                    self.pipe_lost(id, attempt, &Lost::Silent);
                }
            }
        }
        for index in 0..self.links.len() {
            let link = &self.links[index];
            if !link.probing && link.down.as_ref().is_some_and(|(until, _)| *until <= self.now_us) {
                self.open_first_pipe(NodeId(index as u16));
            }
        }
        self.close_left();
        self.mend_tracking();
        self.ask_for_life();
        self.forget_held();
        self.tend_ears();
        self.end_pause_in_time();
        self.look_at_fence();
        self.look_at_topics();
        self.end_step();
        self.bound_memory();
        self.counters.leased = self.leased() as u64;
        self.gauge_nodes();
        self.pace_keys();
        self.count_slow();
    }

    /// The nodes' gauges as they are now.
    fn gauge_nodes(&mut self) {
        for (counters, link) in self.counters.nodes.iter_mut().zip(&self.links) {
            (counters.in_flight, counters.unsent) = (0, 0);
            counters.state = match (link.down.is_some(), counters.up) {
                (true, _) => NodeState::Down,
                (false, true) => NodeState::Up,
                (false, false) => NodeState::Connecting,
            };
        }
        for pipe in &self.pipes {
            let counters = &mut self.counters.nodes[pipe.node.index()];
            counters.in_flight += pipe.inflight.len() as u64;
            counters.unsent += pipe.out.len() as u64;
        }
    }

    /// Gives memory back that bursts took, and closes what nobody used for long. To be called every few seconds.
    pub fn sweep(&mut self) {
        let idle = self.settings.session.idle_timeout.map(|time| time.as_micros() as u64);
        for key in self.client_keys() {
            let now_us = self.now_us;
            let Some(client) = self.client_mut(key) else { continue };
            client.shrink();
            let active_us = client.record.active_us.load(std::sync::atomic::Ordering::Relaxed);
            let is_idle = idle.is_some_and(|idle| now_us.saturating_sub(active_us) > idle);
            let listens = client.special.as_ref().is_some_and(|special| special.is_sent_pushes());
            if is_idle && !listens && client.slots.is_empty() && client.out.is_empty() && client.closing.is_none() {
                self.drop_client(key, Closed::Idle);
            }
        }
        let idle = self.settings.pipe.idle_timeout.map(|time| time.as_micros() as u64);
        self.ask_refused_again();
        for index in 0..self.pipes.len() {
            let id = PipeId(index as u32);
            let wanted = self.is_wanted(&self.pipes[index]);
            let pipe = &mut self.pipes[index];
            pipe.shrink();
            let is_idle = idle.is_some_and(|idle| self.now_us.saturating_sub(pipe.used_us) > idle);
            let (attempt, node) = (pipe.attempt, pipe.node);
            let leased = matches!(pipe.holder, Holder::Session(_));
            let unused = pipe.state == State::Ready && pipe.inflight.is_empty() && !leased && !wanted;
            if is_idle && unused && self.first_pipe(node) != Some(id) {
                self.pipe_lost(id, attempt, &Lost::Idle);
            }
        }
        self.pool.shrink();
        self.idle_partials.truncate(8);
        self.idle_aggregates.truncate(8);
        self.sweep_keys();
    }

    /// Bytes that this worker may hold: what the others leave of `max_buffered`, and never less than its share, for
    /// whoever holds less does not answer for the others.
    pub(super) fn enough(&self) -> usize {
        let others = usize::try_from(self.others_held).unwrap_or(usize::MAX);
        let limit = self.settings.max_buffered;
        (limit / self.settings.workers.max(1)).max(limit.saturating_sub(others))
    }

    /// Holds `max_buffered`: past it, a worker that holds more than its share ends the sessions that hold most.
    pub(super) fn bound_memory(&mut self) {
        let clients = &self.clients;
        for (_, aggregate) in &mut self.aggregates {
            let key = aggregate.client;
            let gone = clients.get(key.index as usize).is_none_or(|client| client.generation != key.generation);
            if gone && aggregate.course.is_none() {
                aggregate.forget();
            }
        }
        let of_pipe = |pipe: &Pipe| pipe.out.held() + pipe.begun.held() + pipe.replay.held();
        let ears: usize = self.ears.iter().flatten().map(ears::Ear::held).sum();
        let pipes: usize = self.pipes.iter().map(of_pipe).sum::<usize>() + ears;
        let sessions = self.gauge_sessions();
        let mut held = pipes + sessions + self.pool.bytes_out();
        self.counters.buffered = held as u64;
        // Between two ticks a burst of large replies, which lie in chunks, may come and go.
        self.counters.buffered_peak = (pipes + sessions + self.pool.peak()) as u64;
        let enough = self.enough();
        if held <= enough {
            return;
        }
        let key = |(index, client): (usize, &Client)| {
            (client.held(), ClientKey { index: index as u32, generation: client.generation })
        };
        let mut holders: Vec<(usize, ClientKey)> = self.clients.iter().map(key).collect();
        // Who asked for it (CLIENT NO-EVICT) is ended only when all others were not enough.
        let spared = |key: ClientKey| {
            self.client(key).is_some_and(|client| client.record.no_evict.load(std::sync::atomic::Ordering::Relaxed))
        };
        holders.sort_by_cached_key(|(own, key)| (spared(*key), std::cmp::Reverse(*own)));
        for (own, key) in holders {
            self.drop_client(key, Closed::Memory);
            held = held.saturating_sub(own);
            if held <= enough {
                break;
            }
        }
    }

    /// Counts the sessions by what they are doing, on the same walk that adds up what they hold, in bytes.
    fn gauge_sessions(&mut self) -> usize {
        let doing = &mut self.counters.doing;
        doing.fill(0);
        let mut held = 0;
        for (_, client) in &self.clients {
            doing[Doing::of(client) as usize] += 1;
            held += client.held();
        }
        held
    }

    /// Whether every session is gone.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.clients.is_empty()
    }
}

/// What the client of a request without reply has to think.
fn outcome(entry: Entry) -> Outcome {
    if entry.reads { Outcome::Harmless } else { Outcome::Unknown }
}
