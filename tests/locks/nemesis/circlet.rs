//! Circlet itself: that it hangs, and that it ends and comes back.

use std::thread;

use fastrand::Rng;

use super::{Nemesis, long, some};
use crate::locks::{play::Play, scene::Scene};

/// SIGKILL, then a start with the same state directory.
#[derive(Debug)]
pub struct Crash;

/// SIGSTOP, often longer than a lock lives, later SIGCONT.
#[derive(Debug)]
pub struct Hang;

impl Nemesis for Crash {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let at = rng.usize(..scene.fronts.len());
        play.note(&format!("Circlet {} crashes", at + 1));
        scene.fronts[at].kill();
        if scene.fronts.len() > 1 {
            play.wait_for(some(rng));
        }
        scene.fronts[at].start_again();
        play.note(&format!("Circlet {} is back", at + 1));
    }
}

impl Nemesis for Hang {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (at, time) = (rng.usize(..scene.fronts.len()), long(rng));
        play.note(&format!("Circlet {} hangs for {time:?}", at + 1));
        scene.fronts[at].pause(true);
        // The fault itself.
        thread::sleep(time);
        scene.fronts[at].pause(false);
    }
}
