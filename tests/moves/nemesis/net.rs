//! What happens between Circlet and a node. Needs relays.

use std::time::Duration;

use fastrand::Rng;

use super::{Nemesis, anyone, some};
use crate::moves::{play::Play, scene::Scene};

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

impl Nemesis for Cut {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let member = &scene.members[anyone(scene, rng)];
        play.note(&format!("the connections to {} are cut", member.label));
        member.relay.as_ref().unwrap().cut();
    }
}

impl Nemesis for HoldReplies {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let member = &scene.members[anyone(scene, rng)];
        let relay = member.relay.as_ref().unwrap();
        play.note(&format!("replies of {} are held", member.label));
        let since = play.now();
        relay.hold();
        play.wait_for(some(rng));
        let lost = rng.bool();
        play.note(&format!("they are {}", if lost { "lost" } else { "delivered" }));
        if lost {
            relay.cut();
        } else {
            relay.release();
        }
        play.held(since);
    }
}

impl Nemesis for DeliverLate {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let member = &scene.members[anyone(scene, rng)];
        let relay = member.relay.as_ref().unwrap();
        play.note(&format!("requests to {} are held", member.label));
        let since = play.now();
        relay.hold_requests();
        play.wait_for(rng.u64(20..60));
        play.note("Circlet's connections are cut");
        relay.strand();
        play.wait_for(some(rng));
        play.note("the requests are delivered");
        relay.release();
        play.held(since);
    }
}

impl Nemesis for Delay {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let member = &scene.members[anyone(scene, rng)];
        let relay = member.relay.as_ref().unwrap();
        let by = Duration::from_millis(rng.u64(1..40));
        play.note(&format!("what passes to and from {} takes {by:?} more", member.label));
        relay.delay(by);
        play.wait_for(some(rng));
        relay.delay(Duration::ZERO);
        play.note("no more");
    }
}

impl Nemesis for Refuse {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let member = &scene.members[anyone(scene, rng)];
        let relay = member.relay.as_ref().unwrap();
        play.note(&format!("{} cannot be reached", member.label));
        relay.refuse(true);
        relay.cut();
        play.wait_for(some(rng));
        relay.refuse(false);
        play.note(&format!("{} can be reached", member.label));
    }
}
