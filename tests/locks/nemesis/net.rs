//! What happens between a Circlet and a node. Needs relays.

use std::{thread, time::Duration};

use fastrand::Rng;

use super::{Nemesis, anyone, long, some};
use crate::{
    locks::{play::Play, scene::Scene},
    support::relay::Relay,
};

/// Every connection is cut, once.
#[derive(Debug)]
pub struct Cut;

/// Replies are held back, then delivered, or lost with their connections.
#[derive(Debug)]
pub struct HoldReplies;

/// Requests are held back, Circlet gives the connection up and goes on with new ones; then the node gets them after all.
#[derive(Debug)]
pub struct DeliverLate;

/// All that passes takes some time more.
#[derive(Debug)]
pub struct Delay;

/// Nobody gets through for a while.
#[derive(Debug)]
pub struct Refuse;

/// A relay, and what it stands between.
fn some_relay<'a>(scene: &'a Scene, rng: &mut Rng) -> (&'a Relay, String) {
    let (member, circlet) = (&scene.members[anyone(scene, rng)], rng.usize(..scene.fronts.len()));
    (&member.relays[circlet], format!("from Circlet {} to {}", circlet + 1, member.name))
}

impl Nemesis for Cut {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (relay, between) = some_relay(scene, rng);
        play.note(&format!("the connections {between} are cut"));
        relay.cut();
    }
}

impl Nemesis for HoldReplies {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (relay, between) = some_relay(scene, rng);
        let (time, lost) = (long(rng), rng.bool());
        play.note(&format!(
            "replies {between} are held for {time:?}, then {}",
            if lost { "lost" } else { "delivered" }
        ));
        relay.hold();
        // The fault itself.
        thread::sleep(time);
        if lost {
            relay.cut();
        } else {
            relay.release();
        }
    }
}

impl Nemesis for DeliverLate {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (relay, between) = some_relay(scene, rng);
        play.note(&format!("requests {between} are held"));
        relay.hold_requests();
        play.wait_for(some(rng));
        play.note("the connections are cut, and what was held is delivered later");
        relay.strand();
        play.wait_for(some(rng));
        relay.release();
    }
}

impl Nemesis for Delay {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (relay, between) = some_relay(scene, rng);
        let by = Duration::from_millis(rng.u64(1..120));
        play.note(&format!("what passes {between} takes {by:?} more"));
        relay.delay(by);
        play.wait_for(some(rng));
        relay.delay(Duration::ZERO);
    }
}

impl Nemesis for Refuse {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let (relay, between) = some_relay(scene, rng);
        play.note(&format!("nothing passes {between}"));
        relay.refuse(true);
        relay.cut();
        play.wait_for(some(rng));
        relay.refuse(false);
    }
}
