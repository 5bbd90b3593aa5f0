//! Circlet itself: that it hangs, and that it ends and comes back.

use std::{thread, time::Duration};

use fastrand::Rng;

use super::Nemesis;
use crate::moves::{play::Play, scene::Scene};

/// SIGKILL, then a start with the same state directory.
#[derive(Debug)]
pub struct Crash;

/// SIGSTOP, later SIGCONT.
#[derive(Debug)]
pub struct Hang;

impl Nemesis for Crash {
    fn strike(&self, scene: &mut Scene, play: &Play, _: &mut Rng) {
        play.note("circlet crashes");
        let since = play.now();
        scene.crash_circlet(play);
        play.held(since);
        play.note("circlet is back");
    }
}

impl Nemesis for Hang {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let time = Duration::from_millis(rng.u64(20..1_200));
        play.note(&format!("circlet hangs for {time:?}"));
        let since = play.now();
        scene.pause_circlet(true);
        // Nobody is answered meanwhile.
        thread::sleep(time);
        scene.pause_circlet(false);
        play.held(since);
    }
}
