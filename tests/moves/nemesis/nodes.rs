//! Nodes that hang, that end and come back, and that are emptied.

use fastrand::Rng;

use super::{Nemesis, anyone, some};
use crate::{
    moves::{linear::Reply, play::Play, scene::Scene},
    support::{
        Client,
        resp::{Value, words},
        wait::LONG,
    },
};

/// SIGSTOP, later SIGCONT: it keeps its connections, and does later what it was told.
#[derive(Debug)]
pub struct Hang;

impl Nemesis for Hang {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let at = anyone(scene, rng);
        let member = &mut scene.members[at];
        play.note(&format!("{} hangs", member.label));
        let since = play.now();
        member.redis.pause();
        play.wait_for(some(rng));
        member.redis.resume();
        play.held(since);
        play.note(&format!("{} goes on", member.label));
    }
}

/// SIGKILL, then a start on the same port, with what it kept on disk, or empty.
#[derive(Debug)]
pub struct Crash;

impl Nemesis for Crash {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (at, keeps) = (anyone(scene, rng), scene.setup.keeps);
        let member = &mut scene.members[at];
        play.note(&format!("{} crashes", member.label));
        let since = play.now();
        member.redis.kill();
        play.wait_for(some(rng));
        member.redis.start_again();
        play.held(since);
        if !keeps {
            play.lose(since);
        }
        play.note(&format!("{} is back{}", member.label, if keeps { "" } else { ", empty" }));
    }
}

/// FLUSHALL through Circlet.
#[derive(Debug)]
pub struct Flush;

impl Nemesis for Flush {
    fn strike(&self, scene: &mut Scene, play: &Play, _: &mut Rng) {
        let _ = scene;
        play.note("FLUSHALL");
        let begin = play.now();
        let told = Client::try_connect(&play.address, LONG).and_then(|mut client| {
            client.try_send(&words("FLUSHALL"))?;
            client.try_frame(LONG)
        });
        let reply = told.ok().map(|frame| Value::of(&frame));
        let done = reply == Some(Value::Scalar(b'+', "OK".to_owned()));
        play.wiped(begin, done.then_some(Reply::Done));
        play.note(&format!("FLUSHALL: {reply:?}"));
    }
}
