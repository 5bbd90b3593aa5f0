//! Which part of a change is on its way, where to, and the topology that belongs to it.
//!
//! A change goes forth part by part. Aborted, the part under way goes back first ([`Way::Home`]): what had arrived returns,
//! the rest has never left; then every part that had arrived before, as a move of its own in the other direction
//! ([`Way::Again`]). `done` of the saved change always counts what has arrived at the new nodes. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use super::{Change, Course, Saved};
use crate::{
    control::rebalance::mover::{self, Busy, Stage},
    traffic::route::{Epoch, Phase, Topology},
};

/// A part on its way, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    /// The part.
    pub(super) part: u32,
    /// Its direction, and why.
    pub(super) way: Way,
}

/// Where a part is on its way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// To the new nodes.
    Forth,
    /// It was moving when the change was aborted.
    Home,
    /// It had arrived when the change was aborted.
    Again,
}

impl Leg {
    /// What is next; `None`: nothing, the change is over.
    pub(super) fn of(change: &Change) -> Option<Self> {
        let leg = |part, way| Some(Self { part, way });
        let moves = change.phase == Saved::Moving;
        match (change.back, moves) {
            (false, true) => leg(change.part, Way::Forth),
            (true, true) if !change.done.contains(&change.part) => leg(change.part, Way::Home),
            (true, true) => leg(change.part, Way::Again),
            (false, false) => {
                (0..change.parts).find(|part| !change.done.contains(part)).and_then(|part| leg(part, Way::Forth))
            }
            (true, false) => change.done.last().and_then(|part| leg(*part, Way::Again)),
        }
    }

    /// The first part, as the nodes are to be looked at beforehand.
    pub(super) fn first() -> Self {
        Self { part: 0, way: Way::Forth }
    }

    /// The part that has just arrived, and the way it came.
    pub(super) fn arrived(change: &Change) -> Self {
        let way = match (change.back, change.sets.last().map(String::as_bytes)) {
            (false, _) => Way::Forth,
            (true, Some([.., b'h'])) => Way::Home,
            (true, _) => Way::Again,
        };
        Self { part: change.part, way }
    }

    /// Names the set of tombstones.
    pub(super) fn id(self, change: &Change) -> String {
        let Self { part, way } = self;
        let mark = match way {
            Way::Forth => "",
            Way::Home => "h",
            Way::Again => "a",
        };
        format!("{}-{part}{mark}", change.id)
    }

    /// What the mover is told of it.
    pub(super) fn stage(self, course: &Course, change: &Change, busy: Busy) -> Arc<Stage> {
        let kind = match self.way {
            Way::Forth | Way::Again => mover::Kind::Forward { busy },
            Way::Home => {
                let forward = Self { way: Way::Forth, ..self }.id(change);
                mover::Kind::Back { forward }
            }
        };
        Arc::new(Stage {
            id: self.id(change),
            nonce: change.nonce.clone(),
            replaces: None,
            nodes: Arc::clone(course.nodes()),
            pairs: course.pairs.clone(),
            place: course.place(change.parts as usize, self.part as usize),
            kind,
        })
    }
}

/// Whether every key of a change is where it is to stay.
pub(super) fn is_over(change: &Change) -> bool {
    let arrived = if change.back { change.done.is_empty() } else { change.done.len() as u32 == change.parts };
    change.phase == Saved::Committed && arrived
}

/// The nodes of a change in the direction in which it goes.
pub(super) fn heading(course: &Course, change: &Change) -> Course {
    if change.back { course.reversed() } else { course.clone() }
}

/// The topology of a change as it was saved.
pub(super) fn topology(course: &Course, change: &Change, epoch: Epoch) -> Topology {
    let phase = if change.phase == Saved::Moving { Phase::Moving } else { Phase::Prepare };
    phased(&heading(course, change), change, epoch, phase)
}

/// The topology of a change while its part under way is in `phase`; `heading`: the nodes in its direction.
pub(super) fn phased(heading: &Course, change: &Change, epoch: Epoch, phase: Phase) -> Topology {
    let under_way = change.phase == Saved::Moving || phase != Phase::Prepare;
    let part = if under_way { change.part } else { u32::MAX };
    let arrived = |part: u32| change.done.contains(&part) != change.back;
    let done: Vec<bool> = (0..change.parts).map(|of| of != part && arrived(of)).collect();
    heading.topology(epoch, change.id, &done, part as usize, phase)
}
