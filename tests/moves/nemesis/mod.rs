//! What goes wrong meanwhile. A nemesis strikes, and heals what it broke before it returns.
//!
//! How long something stays broken is told by the replies that clients get meanwhile; only what stops all of them takes a
//! time.

pub mod changes;
pub mod circlet;
pub mod meddler;
pub mod net;
pub mod nodes;

use std::fmt::Debug;

use fastrand::Rng;

use super::{play::Play, scene::Scene};

/// Something that goes wrong.
pub trait Nemesis: Debug + Sync {
    /// Does it; `rng` chooses whom it hits and for how long.
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng);
}

/// A server that is a node, or is to become one.
pub fn anyone(scene: &Scene, rng: &mut Rng) -> usize {
    let next = scene.next.as_ref().unwrap_or(&scene.seats);
    let all: Vec<usize> = scene.seats.iter().chain(next).map(|seat| seat.member).collect();
    *rng.choice(&all).unwrap()
}

/// Replies to wait for.
pub fn some(rng: &mut Rng) -> u64 {
    rng.u64(20..400)
}
