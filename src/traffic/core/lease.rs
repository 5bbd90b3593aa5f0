//! Node connections that one session has for itself, for as long as it needs them.
//!
//! ```text
//!            lease                    everything answered, nothing left behind
//!  (pool) ─────────► Session(client) ──────────────────────────────────────────► Nobody (idle, in the pool)
//!     ▲                  │   client gone, soiled, lost                              │ idle timeout, room needed
//!     └── closed, its place is used again ◄────────────────────────────────────────┘
//! ```
//! A leased connection is a [`Pipe`] like the shared ones: what is in flight on it goes to slots and aggregates in the
//! same way, but no try is ever repeated on it. It goes back to the pool only when it is provably as it was: nothing in
//! flight, nothing unsent, not marked `soiled`; else it is closed. So nothing of one session is ever met by the next.
//! Bounded by `max_leased` per worker, idle ones included, and `max_leases` per session. Pure.

use rustc_hash::FxHashMap;

use super::{Core, Fault, Todo};
use crate::traffic::{
    client::ClientKey,
    pipe::{Holder, Pipe, PipeId, State},
    refusal::Refusal,
    resp::Proto,
    route::{Node, NodeId},
};

/// The leased connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// Clean and open, by what they are good for; the one used last stands last.
    idle: FxHashMap<(NodeId, u32, Proto), Vec<PipeId>>,
    /// Places of closed ones.
    closed: Vec<PipeId>,
    /// Open ones, leased and idle.
    open: usize,
}

/// Why a session gets no connection of its own.
#[derive(Debug)]
pub(super) enum NoLease {
    /// The node cannot be used; why.
    Down(String),
    /// This worker has leased as many as it may.
    WorkerLimit(usize),
    /// This session has as many as it may.
    SessionLimit(usize),
}

impl NoLease {
    /// What its client is told, whose command is called `name`.
    pub(super) fn refusal<'a>(&'a self, name: &'a str, node: &'a Node) -> Refusal<'a> {
        match self {
            Self::Down(why) => Refusal::NodeDown(node, why),
            Self::WorkerLimit(limit) => Refusal::LeaseLimit(name, "pipe.max_leased", *limit),
            Self::SessionLimit(limit) => Refusal::LeaseLimit(name, "session.max_leases", *limit),
        }
    }
}

impl Core {
    /// A connection to `node` for `key` alone, in the session's db and protocol, opened if need be. It is given back by
    /// [`Core::end_lease`], or by itself once everything in flight is answered if its `ends` is set. A session that
    /// tracks keys has one already, over which all its commands go, and keeps it.
    pub(super) fn lease(&mut self, key: ClientKey, node: NodeId) -> Result<PipeId, NoLease> {
        if let Some(id) = self.tracked_link(key, node)? {
            return Ok(id);
        }
        let Some(client) = self.client(key) else { return Err(NoLease::SessionLimit(0)) };
        let (db, proto) = (client.db, client.proto);
        self.lease_as(key, node, db, proto)
    }

    /// As [`Core::lease`], in a db and protocol of choice.
    pub(super) fn lease_as(&mut self, key: ClientKey, node: NodeId, db: u32, proto: Proto) -> Result<PipeId, NoLease> {
        self.may_lease(key, node)?;
        let id = match self.leases.idle.get_mut(&(node, db, proto)).and_then(Vec::pop) {
            Some(id) => id,
            None => {
                let id = self.place_lease(node, db, proto)?;
                self.open_pipe(id);
                id
            }
        };
        self.hold_lease(key, id);
        Ok(id)
    }

    /// A connection of its own for tracking, in no one's hands before and after; [`Core::connect_lease`] opens it.
    pub(super) fn lease_fresh(
        &mut self,
        key: ClientKey,
        node: NodeId,
        db: u32,
        proto: Proto,
    ) -> Result<PipeId, NoLease> {
        self.may_lease(key, node)?;
        let id = self.place_lease(node, db, proto)?;
        self.hold_lease(key, id);
        let pipe = &mut self.pipes[id.index()];
        pipe.state = State::Connecting;
        pipe.attempt = pipe.attempt.wrapping_add(1);
        pipe.tracks = true;
        pipe.hears = proto == Proto::Resp3;
        Ok(id)
    }

    /// Opens what [`Core::lease_fresh`] gave.
    pub(super) fn connect_lease(&mut self, id: PipeId) {
        self.todo.push(Todo::Connect(id, self.pipes[id.index()].attempt));
    }

    /// What [`Core::lease_fresh`] gave cannot be opened.
    pub(super) fn lease_refused(&mut self, id: PipeId, why: &str) {
        let attempt = self.pipes[id.index()].attempt;
        self.pipe_failed(id, attempt, Fault::Pipe, why);
    }

    fn may_lease(&self, key: ClientKey, node: NodeId) -> Result<(), NoLease> {
        let held = self.client(key).map_or(0, |client| client.leases().len());
        if held >= self.settings.session.max_leases {
            return Err(NoLease::SessionLimit(self.settings.session.max_leases));
        }
        match &self.links[node.index()].down {
            Some((_, why)) => Err(NoLease::Down(why.clone())),
            None => Ok(()),
        }
    }

    fn hold_lease(&mut self, key: ClientKey, id: PipeId) {
        let now_us = self.now_us;
        let pipe = &mut self.pipes[id.index()];
        pipe.holder = Holder::Session(key);
        pipe.used_us = now_us;
        if let Some(client) = self.client_mut(key) {
            client.special_mut().leases.push(id);
        }
    }

    /// A place for one more connection, not open yet.
    fn place_lease(&mut self, node: NodeId, db: u32, proto: Proto) -> Result<PipeId, NoLease> {
        let limit = self.settings.pipe.max_leased;
        if self.leases.open >= limit && !self.close_an_idle_lease() {
            return Err(NoLease::WorkerLimit(limit));
        }
        let id = match self.leases.closed.pop() {
            Some(id) => {
                // The place of another one: only the number of its connection goes on, so that late news are known.
                let attempt = self.pipes[id.index()].attempt;
                self.pipes[id.index()] = Pipe { attempt, ..Pipe::new(node, db, proto) };
                id
            }
            None => {
                self.pipes.push(Pipe::new(node, db, proto));
                PipeId(self.pipes.len() as u32 - 1)
            }
        };
        self.leases.open += 1;
        self.pipes[id.index()].holder = Holder::Nobody;
        Ok(id)
    }

    /// Makes room for another kind of connection.
    fn close_an_idle_lease(&mut self) -> bool {
        let Some(id) = self.leases.idle.values_mut().find_map(Vec::pop) else { return false };
        self.close_lease(id);
        true
    }

    /// The session needs this connection no more: back to the pool if it is clean, else closed.
    pub(super) fn end_lease(&mut self, id: PipeId) {
        let pipe = &mut self.pipes[id.index()];
        let Holder::Session(key) = pipe.holder else { return };
        if pipe.tracks && !pipe.soiled {
            // Not before its session stops tracking.
            pipe.ends = false;
            return;
        }
        let clean = pipe.state == State::Ready
            && !pipe.soiled
            && !pipe.tracks
            && pipe.inflight.is_empty()
            && pipe.out.is_empty()
            && pipe.begun.is_empty();
        if !clean {
            return self.close_lease(id);
        }
        pipe.holder = Holder::Nobody;
        pipe.ends = false;
        let kind = (pipe.node, pipe.db, pipe.proto);
        self.forget_lease(key, id);
        self.leases.idle.entry(kind).or_default().push(id);
    }

    /// Closes a leased connection at once, whatever it is doing. Whoever still waits for a reply on it is told.
    pub(super) fn close_lease(&mut self, id: PipeId) {
        let pipe = &mut self.pipes[id.index()];
        if !pipe.holder.is_lease() || pipe.state == State::Idle {
            return;
        }
        let (node, was_open) = (pipe.node, pipe.state == State::Ready);
        let (entries, _) = pipe.abandon(&mut self.pool);
        pipe.state = State::Idle;
        if was_open {
            let counters = &mut self.counters.nodes[node.index()];
            counters.connections = counters.connections.saturating_sub(1);
            self.todo.push(Todo::Disconnect(id));
        }
        for entry in entries {
            self.fail_lost(entry, node, "its connection was closed");
        }
        self.release_waiting(id);
        self.lease_gone(id);
    }

    /// A leased connection does not exist any more: its session is told, its place is free. Others are no concern of this.
    pub(super) fn lease_gone(&mut self, id: PipeId) {
        let pipe = &mut self.pipes[id.index()];
        if !pipe.holder.is_lease() {
            return;
        }
        let holder = std::mem::replace(&mut pipe.holder, Holder::Nobody);
        let kind = (pipe.node, pipe.db, pipe.proto);
        pipe.state = State::Idle;
        match holder {
            Holder::Everyone | Holder::Ear => {}
            Holder::Session(key) => {
                self.forget_lease(key, id);
                self.lost_lease(key, id);
            }
            Holder::Nobody => {
                if let Some(idle) = self.leases.idle.get_mut(&kind) {
                    idle.retain(|other| *other != id);
                }
            }
        }
        self.leases.open -= 1;
        self.leases.closed.push(id);
    }

    fn forget_lease(&mut self, key: ClientKey, id: PipeId) {
        if let Some(special) = self.client_mut(key).and_then(|client| client.special.as_deref_mut()) {
            special.leases.retain(|other| *other != id);
        }
    }

    /// The session `key` has lost its connection `id`, which is already forgotten: what hung on it is over.
    fn lost_lease(&mut self, key: ClientKey, id: PipeId) {
        self.tracking_lost(key, id);
        self.lost_watch(key, id);
    }

    /// Closes the leased connections to a node that has fallen silent.
    pub(super) fn close_leases_of(&mut self, node: NodeId) {
        let of_node = |pipe: &Pipe| pipe.node == node && pipe.holder.is_lease() && pipe.state != State::Idle;
        let leased = (0..self.pipes.len()).filter(|index| of_node(&self.pipes[*index]));
        for id in leased.map(|index| PipeId(index as u32)).collect::<Vec<_>>() {
            self.close_lease(id);
        }
    }

    /// Tells a client that it gets no connection of its own.
    pub(super) fn refuse_lease(&mut self, key: ClientKey, node: NodeId, name: &str, why: &NoLease) {
        let topology = std::sync::Arc::clone(&self.snapshot.topology);
        self.refuse(key, &why.refusal(name, topology.node(node)));
    }

    /// Number of open leased connections, idle ones included.
    pub(super) fn leased(&self) -> usize {
        self.leases.open
    }

    /// Asks nodes for a sign of life on whose leased connections somebody waits or listens while nothing else passes: a node that
    /// dies without a word would be waited for until the kernel's keep-alive notices.
    pub(super) fn ask_for_life(&mut self) {
        const QUIET_US: u64 = 1_000_000;
        let mut nodes: Vec<NodeId> = Vec::new();
        for pipe in &self.pipes {
            let listens = pipe.tracks && pipe.state == State::Ready;
            if (listens || pipe.inflight.front().is_some_and(|front| front.waits)) && !nodes.contains(&pipe.node) {
                nodes.push(pipe.node);
            }
        }
        for node in nodes {
            let Some(id) = self.first_pipe(node) else { continue };
            let pipe = &self.pipes[id.index()];
            let quiet = self.now_us.saturating_sub(pipe.progress_us) > QUIET_US;
            if pipe.state == State::Ready && pipe.inflight.is_empty() && quiet {
                self.send_unwanted(id, &[b"PING"]);
            }
        }
    }
}
