//! Nodes that hang, that end and come back, that are emptied, whose clock jumps, and that are changed.

use std::thread;

use fastrand::Rng;

use super::{Nemesis, anyone, long, some};
use crate::{
    locks::{play::Play, scene::Scene},
    support::{Client, resp::words, wait::LONG},
};

/// SIGSTOP, often longer than a lock lives, later SIGCONT: it does later what it was told.
#[derive(Debug)]
pub struct Hang;

/// SIGKILL, then a start on the same port, with what it kept on disk, or empty.
#[derive(Debug)]
pub struct Crash;

/// FLUSHALL: through a Circlet, or of one node past it.
#[derive(Debug)]
pub struct Flush;

/// The clock of the first node jumps, and jumps back later. Needs it to have one of its own.
#[derive(Debug)]
pub struct Jump;

/// A node comes, goes, or gives its place to another. With one Circlet only.
#[derive(Debug)]
pub struct Change;

impl Nemesis for Hang {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let at = anyone(scene, rng);
        let (member, time) = (&mut scene.members[at], long(rng));
        play.note(&format!("{} hangs for {time:?}", member.name));
        member.redis.pause();
        // The fault itself.
        thread::sleep(time);
        member.redis.resume();
    }
}

impl Nemesis for Crash {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (at, keeps) = (anyone(scene, rng), scene.setup.keeps);
        let member = &mut scene.members[at];
        play.note(&format!("{} crashes", member.name));
        member.redis.kill();
        play.wait_for(some(rng));
        member.redis.start_again();
        play.note(&format!("{} is back{}", member.name, if keeps { "" } else { ", empty" }));
    }

    fn forgets(&self) -> bool {
        true
    }
}

impl Nemesis for Flush {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let member = &scene.members[anyone(scene, rng)];
        let (what, address) = if rng.bool() {
            ("Circlet 1".to_owned(), scene.fronts[0].address())
        } else {
            (member.name.clone(), member.redis.address())
        };
        let reply = Client::try_connect(&address, LONG).and_then(|mut client| {
            client.try_send(&words("FLUSHALL"))?;
            client.try_frame(LONG)
        });
        play.note(&format!(
            "FLUSHALL of {what}: {:?}",
            reply.map(|reply| String::from_utf8_lossy(&reply).into_owned())
        ));
    }

    fn forgets(&self) -> bool {
        true
    }
}

impl Nemesis for Jump {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let by = [-30.0, -1.5, 0.4, 2.0, 3_600.0][rng.usize(..5)];
        let by: f64 = by;
        play.note(&format!("the clock of server 1 jumps by {by} s"));
        // It may be no node any more, which is no harm.
        scene.members[0].redis.set_clock(by);
        play.wait_for(some(rng));
        play.note("and back");
        scene.members[0].redis.set_clock(0.0);
    }
}

impl Nemesis for Change {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let at = rng.usize(..scene.nodes.len());
        let leaver = scene.members[scene.nodes[at]].name.clone();
        let line = match (rng.u8(..3), scene.nodes.len()) {
            (0, ..5) => {
                let next = scene.another();
                scene.nodes.push(next);
                format!("CIRCLET NODE ADD {} {}", scene.members[next].name, scene.members[next].address(0))
            }
            (1, 3..) => {
                scene.nodes.remove(at);
                format!("CIRCLET NODE REMOVE {leaver}")
            }
            _ => {
                let next = scene.another();
                scene.nodes[at] = next;
                scene.members[next].name.clone_from(&leaver);
                format!("CIRCLET NODE REPLACE {leaver} {}", scene.members[next].address(0))
            }
        };
        play.note(&line);
        scene.change(0, &line);
        play.note("the change is done");
    }
}
