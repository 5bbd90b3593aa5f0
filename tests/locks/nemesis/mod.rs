//! What goes wrong meanwhile. A nemesis strikes, and heals what it broke before it returns.

pub mod circlet;
pub mod net;
pub mod nodes;

use std::{fmt::Debug, time::Duration};

use fastrand::Rng;

use super::{person::MAX_TTL, play::Play, scene::Scene};

/// Something that goes wrong.
pub trait Nemesis: Debug + Sync {
    /// Does it; `rng` chooses whom it hits and for how long.
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng);

    /// Whether nodes may have forgotten fences behind it: several Circlets count on each for itself then.
    fn forgets(&self) -> bool {
        false
    }
}

/// A node.
fn anyone(scene: &Scene, rng: &mut Rng) -> usize {
    *rng.choice(&scene.nodes).unwrap()
}

/// Replies to wait for.
fn some(rng: &mut Rng) -> u64 {
    rng.u64(5..60)
}

/// Often longer than a lock is held.
fn long(rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.u64(MAX_TTL / 5..MAX_TTL * 3 / 2))
}
