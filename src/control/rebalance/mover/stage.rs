//! What is to be moved: one part of a change, all pairs of nodes at once. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use crate::traffic::route::{Node, NodeId};

/// From and to of a key that moves; `None`: it does not.
pub type PlaceOf = Arc<dyn Fn(&[u8]) -> Option<(NodeId, NodeId)> + Send + Sync>;

/// One part of a change. Of its keys, the nodes in `from` are frozen by the caller from before [`super::Mover::open`] until
/// after [`super::Mover::close`]: nobody writes or deletes them there.
#[derive(Clone)]
pub struct Stage {
    /// Names the set of tombstones at the targets, `circlet:move:<id>`; never used for another stage.
    pub id: String,
    /// Drawn at random when the stage begins, and anew after a [`super::MoveError::Lost`] or when the nodes were flushed.
    pub nonce: String,
    /// The nonce before that, where sets with it may have survived: it is taken away first.
    pub replaces: Option<String>,
    /// Every node of the topology, by [`NodeId`].
    pub nodes: Arc<[Node]>,
    /// From, to.
    pub pairs: Vec<(NodeId, NodeId)>,
    /// Which pair a key belongs to; must be one of `pairs`.
    pub place: PlaceOf,
    /// Forth or back.
    pub kind: Kind,
}

/// Forth or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Keys to their new owners.
    Forward {
        /// What to do with a key that the target has already.
        busy: Busy,
    },
    /// An abort: keys that were moved by an earlier stage return, those that were not have never left.
    Back {
        /// `id` of that stage.
        forward: String,
    },
}

/// What to do with a key that the target of a forward stage already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Stop with [`super::MoveError::Conflict`].
    Stop,
    /// It was written there while the target had lost its memory of the move, and is newer: leave it.
    Keep,
}

/// What [`super::Mover::open`] has found; to be kept with the stage before its gates open, and shown to `open` after a
/// restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The processes (`run_id`) of all nodes of the stage.
    pub runs: BTreeMap<NodeId, String>,
}

impl Stage {
    /// The set of tombstones at the targets.
    #[must_use]
    pub fn set(&self) -> String {
        set_of(&self.id)
    }

    /// The set of the stage that is taken back, as it is called since.
    pub(super) fn forward_set(&self) -> Option<String> {
        match &self.kind {
            Kind::Forward { .. } => None,
            Kind::Back { forward } => Some(moved_of(forward)),
        }
    }

    /// The nonce as a member of the set.
    pub(super) fn mark(&self) -> String {
        mark_of(&self.nonce)
    }

    /// What a restore does with a key that is there, in the words of the script.
    pub(super) fn busy(&self) -> &'static str {
        match self.kind {
            Kind::Forward { busy: Busy::Stop } => "stop",
            Kind::Forward { busy: Busy::Keep } => "keep",
            Kind::Back { .. } => "replace",
        }
    }

    /// Nodes that give keys.
    #[must_use]
    pub fn sources(&self) -> BTreeSet<NodeId> {
        self.pairs.iter().map(|(from, _)| *from).collect()
    }

    /// Nodes that take keys.
    #[must_use]
    pub fn targets(&self) -> BTreeSet<NodeId> {
        self.pairs.iter().map(|(_, to)| *to).collect()
    }
}

pub(super) fn set_of(id: &str) -> String {
    format!("circlet:move:{id}")
}

/// What the set of a stage that is taken back is called: no restore knows that name.
pub(super) fn moved_of(id: &str) -> String {
    format!("circlet:moved:{id}")
}

pub(super) fn mark_of(nonce: &str) -> String {
    format!("!{nonce}")
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Stage");
        shown.field("id", &self.id).field("pairs", &self.pairs).field("kind", &self.kind).finish_non_exhaustive()
    }
}
