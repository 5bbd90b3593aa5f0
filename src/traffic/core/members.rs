//! Nodes that come and go while the worker runs.
//!
//! ```text
//!             publish                                publish                       everything answered
//!  (no slot) ─────────► member ────────────────────────────► has left: what is new ───────────────────► empty slot,
//!            first pipe opened at once,    idle connections   is refused, the rest      (tick)          no connection
//!            topics of all nodes and       closed at once,    is answered
//!            BCAST tracking heard there    topics left
//! ```
//! [`Core::publish`] is the only place where a worker's nodes change: who plans after it plans with the new topology, and
//! what was sent before is answered as always. A slot has one node for ever, so what is kept by [`NodeId`] only grows.
//! Topics follow the ring: while keys move they are heard at both of their places, and before that the topology is not
//! acknowledged; then the old one is left.
//!
//! Invariant: nothing new is sent to a node that has left, and no connection to it is opened; it counts as down for good,
//! which is looked at on every way to a node anyway. Pure.

use std::sync::Arc;

use super::{Core, Link, Lost, Snapshot};
use crate::traffic::{
    counters::NodeCounters,
    pipe::{Holder, PipeId, State},
    pubsub::{Hearing, Kind, Name, Station},
    route::{Epoch, Node, NodeId, Topology},
};

/// Why a node that has left is sent nothing.
const LEFT: &str = "it is no node any more";
/// The same of one that is left out.
const OUT: &str = "it is left out until it is up again and purged";

impl Link {
    /// That of a node which takes part or does not, before anything was sent to it.
    pub(super) fn of(node: &Node) -> Self {
        let why = if node.out { OUT } else { LEFT };
        let down = (!node.member).then(|| (u64::MAX, why.to_owned()));
        Self { down, ..Self::default() }
    }
}

impl Core {
    /// Plans from now on with `snapshot`. There may be more slots than before, and nodes may have left theirs; no slot has
    /// another node than before.
    pub fn publish(&mut self, snapshot: Snapshot) {
        let before = std::mem::replace(&mut self.snapshot, snapshot).topology;
        let topology = Arc::clone(&self.snapshot.topology);
        if before.epoch == topology.epoch {
            return;
        }
        debug_assert!(before.nodes.iter().zip(&topology.nodes).all(|(old, new)| old.address == new.address));
        for node in topology.nodes.iter().skip(self.links.len()) {
            self.links.push(Link::of(node));
        }
        self.counters.nodes.resize_with(self.links.len(), NodeCounters::default);
        let left: Vec<NodeId> = before.members().iter().copied().filter(|node| !topology.is_member(*node)).collect();
        for node in &left {
            let link = &mut self.links[node.index()];
            (link.down, link.probing) = (Link::of(topology.node(*node)).down, false);
            self.counters.nodes[node.index()].up = false;
        }
        for node in topology.members().iter().filter(|node| !before.is_member(**node)) {
            self.links[node.index()].down = None;
            self.open_first_pipe(*node);
        }
        self.move_topics();
        self.mend_tracking();
        self.leaving.extend(left);
        self.close_left();
        self.unheard = None;
        self.turn_to(&before);
    }

    /// The nodes that take part.
    pub(super) fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + use<> {
        Members { topology: Arc::clone(&self.snapshot.topology), next: 0 }
    }

    /// The first node that takes part and is not known to be down.
    pub(super) fn any_live_node(&self) -> Option<NodeId> {
        self.snapshot.topology.members().iter().copied().find(|node| self.links[node.index()].down.is_none())
    }

    /// Every topic is to be heard where it belongs by the present topology.
    fn move_topics(&mut self) {
        let mut moved: Vec<(Kind, Name)> = Vec::new();
        for (kind, name, topic) in self.topics.all() {
            let nodes = self.listens_at(kind, name);
            if topic.stations.len() != nodes.len() || topic.stations.iter().any(|at| !nodes.contains(&at.node)) {
                moved.push((kind, name.clone()));
            }
        }
        for (kind, name) in moved {
            self.move_topic(kind, &name);
        }
    }

    fn move_topic(&mut self, kind: Kind, name: &Name) {
        let nodes = self.listens_at(kind, name);
        let Some(topic) = self.topics.get_mut(kind, name) else { return };
        let has = |stations: &[Station], node: NodeId| stations.iter().any(|station| station.node == node);
        let fresh: Vec<NodeId> = nodes.iter().copied().filter(|node| !has(&topic.stations, *node)).collect();
        let old: Vec<Station> = topic.stations.extract_if(.., |station| !nodes.contains(&station.node)).collect();
        topic.stations.extend(fresh.iter().map(|node| Station { node: *node, hearing: Hearing::Deaf }));
        fresh.into_iter().for_each(|node| self.open_ear(node));
        self.ask_stations(kind, name);
        for station in old {
            self.leave_station(kind, name, station, None);
        }
        // Whoever waited for the old place only waits no more.
        self.settle_topic(kind, name);
    }

    /// Acknowledges the topology of this epoch when every topic is heard where it wants it.
    pub(super) fn acknowledge_when_heard(&mut self, epoch: Epoch) {
        self.unheard = Some(epoch);
        self.look_at_topics();
    }

    /// Whether it is time for that. To be called on every tick.
    pub(super) fn look_at_topics(&mut self) {
        if let Some(epoch) = self.unheard.filter(|_| self.hears_everything()) {
            self.unheard = None;
            self.acknowledge(epoch);
        }
    }

    /// Whether every topic that somebody listens to is heard wherever it must be, as far as nodes can be heard.
    pub(super) fn hears_everything(&self) -> bool {
        let hears = |at: &Station| {
            matches!(at.hearing, Hearing::Heard | Hearing::Refused) || self.deaf_because(at.node).is_some()
        };
        self.topics.all().all(|(_, _, topic)| topic.stations.iter().all(hears))
    }

    /// Closes what is open to nodes that have left and has nothing in flight. To be called on every tick.
    pub(super) fn close_left(&mut self) {
        if self.leaving.is_empty() {
            return;
        }
        let topology = Arc::clone(&self.snapshot.topology);
        let mut busy: Vec<NodeId> = Vec::new();
        for id in (0..self.pipes.len()).map(|index| PipeId(index as u32)) {
            let pipe = &self.pipes[id.index()];
            if topology.is_member(pipe.node) || !matches!(pipe.state, State::Ready | State::Connecting) {
                continue;
            }
            if pipe.inflight.is_empty() {
                self.close_idle(id);
            } else if !busy.contains(&pipe.node) {
                busy.push(pipe.node);
            }
        }
        self.leaving = busy;
    }

    /// Closes a connection with nothing in flight, whosever it is and even if it is only being made.
    fn close_idle(&mut self, id: PipeId) {
        let pipe = &mut self.pipes[id.index()];
        match (pipe.holder, &pipe.state) {
            (Holder::Session(_) | Holder::Nobody, _) => self.close_lease(id),
            (Holder::Everyone | Holder::Ear, State::Ready) => {
                let attempt = pipe.attempt;
                self.pipe_lost(id, attempt, &Lost::Idle);
            }
            (Holder::Everyone | Holder::Ear, _) => {
                pipe.abandon(&mut self.pool);
                pipe.state = State::Idle;
                self.release_waiting(id);
            }
        }
    }
}

/// The members of a topology, which they keep.
struct Members {
    topology: Arc<Topology>,
    next: usize,
}

impl Iterator for Members {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let node = self.topology.members().get(self.next).copied()?;
        self.next += 1;
        Some(node)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.topology.members().len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Members {}
