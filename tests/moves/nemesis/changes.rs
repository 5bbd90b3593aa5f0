//! Changes of the nodes: begun at random, disturbed, and waited for.

use std::time::Duration;

use fastrand::Rng;

use super::{Nemesis, anyone, some};
use crate::{
    moves::{
        play::Play,
        scene::{Scene, Seat},
    },
    support::{resp::Value, wait::until},
};

/// Nodes that there are at least, and at most.
const FEWEST: usize = 2;
const MOST: usize = 5;

/// Time for a change in which nothing goes wrong any more.
const OVER: Duration = Duration::from_secs(60);

/// Keys per second, so that a change takes its time; 0: as fast as may be.
const RATES: [&str; 4] = ["400", "1500", "5000", "0"];

/// Begins a change.
pub fn begin(scene: &mut Scene, play: &Play, rng: &mut Rng) {
    let keys = RATES[rng.usize(..RATES.len())];
    begin_at(scene, play, rng, keys);
}

/// Begins a change of so many keys per second.
fn begin_at(scene: &mut Scene, play: &Play, rng: &mut Rng, keys: &str) {
    let mut next = scene.seats.clone();
    let mut words = Vec::new();
    let wishes = if rng.u8(..4) == 0 { 2 } else { 1 };
    while words.len() < wishes {
        // Two wishes of one change are about different nodes.
        let known: Vec<Seat> = next.iter().filter(|seat| scene.seats.contains(seat)).cloned().collect();
        words.extend(wish(scene, &mut next, &known, rng));
    }
    rate(scene, play, keys);
    let line = format!("NODE {}", words.join(" AND "));
    play.note(&line);
    match scene.order(&line) {
        Value::Scalar(b'+', _) => scene.next = Some(next),
        // An earlier change has left keys at a node that has none: with all rules that must not be, without one it is found out.
        Value::Error(why) if why.contains("is to join but has keys") => play.found(format!("{line}: {why}")),
        reply => panic!("{line}: {reply:?}"),
    }
}

/// One wish, in words; `known`: nodes that it may be about.
fn wish(scene: &mut Scene, next: &mut Vec<Seat>, known: &[Seat], rng: &mut Rng) -> Option<String> {
    let weight = [0.5, 1.0, 2.0][rng.usize(..3)];
    let seat = rng.choice(known);
    let at = seat.and_then(|seat| next.iter().position(|other| other == seat));
    match (rng.u8(..8), at) {
        (0..3, Some(at)) if next.len() > FEWEST => Some(format!("REMOVE {}", next.remove(at).name)),
        (3, Some(at)) if next[at].weight != weight => {
            next[at].weight = weight;
            Some(format!("WEIGHT {} {weight}", next[at].name))
        }
        (4, Some(at)) => {
            next[at].member = scene.another();
            Some(format!("REPLACE {} {}", next[at].name, scene.members[next[at].member].address()))
        }
        _ if next.len() < MOST => {
            // A server that has left may come back, with nothing left of before.
            let free = |member: &usize| scene.seats.iter().chain(&*next).all(|seat| seat.member != *member);
            let left: Vec<usize> = (0..scene.members.len()).filter(free).collect();
            let member = if rng.bool() { rng.choice(left) } else { None }.unwrap_or_else(|| scene.another());
            let taken = |name: &String| scene.seats.iter().chain(&*next).any(|seat| seat.name == *name);
            let name = (1..).map(|number| format!("n{number}")).find(|name| !taken(name)).unwrap();
            let words = format!("ADD {name} {} WEIGHT {weight}", scene.members[member].address());
            next.push(Seat { member, name, weight });
            Some(words)
        }
        _ => None,
    }
}

/// Waits until the change is over, and looks who is a node now.
pub fn finish(scene: &mut Scene, play: &Play) {
    let Some(next) = scene.next.take() else { return };
    rate(scene, play, "0");
    until("the change to be over", OVER, || {
        let status = scene.order("REBALANCE STATUS");
        let field = |name: &str| status.get(name).map(Value::text).unwrap_or_default();
        match field("state").as_str() {
            "idle" if field("queued") == "0" && field("change") == "0" => Some(()),
            "paused" => {
                play.note(&format!(
                    "CIRCLET REBALANCE RESUME: {:?}; {}",
                    scene.order("REBALANCE RESUME"),
                    field("last-error")
                ));
                None
            }
            _ => None,
        }
    });
    let now = nodes(scene);
    let is = |seats: &[Seat]| now == told(scene, seats);
    assert!(is(&next) || is(&scene.seats), "who is a node: {now:?}; expected {next:?}\n{}", play.log());
    play.note(if is(&next) { "the change is done" } else { "the change was taken back" });
    if is(&next) {
        scene.seats = next;
    }
}

type Told = Vec<(String, String, String)>;

/// Names, addresses and weights of the nodes, as Circlet tells them.
fn nodes(scene: &Scene) -> Told {
    let reply = scene.order("NODES");
    let mut nodes = Vec::new();
    for node in reply.list() {
        let field = |name| node.get(name).unwrap().text();
        if field("share").parse::<f64>().unwrap() > 0.0 {
            nodes.push((field("name"), field("address"), field("weight")));
        }
    }
    nodes.sort();
    nodes
}

fn told(scene: &Scene, seats: &[Seat]) -> Told {
    let one = |seat: &Seat| (seat.name.clone(), scene.members[seat.member].address(), seat.weight.to_string());
    let mut nodes: Told = seats.iter().map(one).collect();
    nodes.sort();
    nodes
}

fn rate(scene: &Scene, play: &Play, rate: &str) {
    play.note(&format!("CIRCLET REBALANCE RATE {rate}"));
    let reply = scene.order(&format!("REBALANCE RATE {rate}"));
    assert_eq!(reply, Value::Scalar(b'+', "OK".to_owned()));
}

/// What is done, a moment later.
fn pause_and_ask(scene: &Scene) -> String {
    std::thread::sleep(Duration::from_millis(5));
    scene.status("state")
}

/// A whole change, and when it begins a node has not yet got what was sent to it before. Needs relays.
#[derive(Debug)]
pub struct BehindLateWrites;

impl Nemesis for BehindLateWrites {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        let at = anyone(scene, rng);
        play.note(&format!("what workers send to {} is held", scene.members[at].label));
        let since = play.now();
        // New connections, as those that keys are moved by, are not held.
        scene.members[at].relay.as_ref().unwrap().hold_requests();
        begin(scene, play, rng);
        rate(scene, play, "0");
        // With a fence keys do not move until what is held is answered, so this is not waited for.
        let moves = |state: &str| !["idle", "fence"].contains(&state);
        let _ = (0..60).find(|_| moves(&pause_and_ask(scene)));
        let _ = (0..20).find(|_| !moves(&pause_and_ask(scene)));
        scene.members[at].relay.as_ref().unwrap().release();
        play.held(since);
        play.note("and delivered");
        finish(scene, play);
    }
}

/// A whole change, slow, that is taken back when clients have worked on keys that it has moved.
#[derive(Debug)]
pub struct TurnBack;

impl Nemesis for TurnBack {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        begin_at(scene, play, rng, RATES[0]);
        if scene.next.is_none() {
            return;
        }
        let moves = |state: &str| !["idle", "fence"].contains(&state);
        let _ = (0..60).find(|_| moves(&pause_and_ask(scene)));
        play.wait_for(some(rng));
        Abort.strike(scene, play, rng);
        play.wait_for(some(rng));
        finish(scene, play);
    }
}

/// Another rate.
#[derive(Debug)]
pub struct Rate;

impl Nemesis for Rate {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        rate(scene, play, RATES[rng.usize(..RATES.len())]);
    }
}

/// PAUSE, later RESUME.
#[derive(Debug)]
pub struct Pause;

impl Nemesis for Pause {
    fn strike(&self, scene: &mut Scene, play: &Play, rng: &mut Rng) {
        // Both are refused if the change is over.
        play.note(&format!("CIRCLET REBALANCE PAUSE: {:?}", scene.order("REBALANCE PAUSE")));
        play.wait_for(some(rng));
        play.note(&format!("CIRCLET REBALANCE RESUME: {:?}", scene.order("REBALANCE RESUME")));
    }
}

/// The change is taken back.
#[derive(Debug)]
pub struct Abort;

impl Nemesis for Abort {
    fn strike(&self, scene: &mut Scene, play: &Play, _: &mut Rng) {
        // Once the keys have moved it would give up the purge, which is another matter.
        if !["fence", "moving", "paused"].contains(&scene.status("state").as_str()) {
            return;
        }
        let reply = scene.order("REBALANCE ABORT");
        play.note(&format!("CIRCLET REBALANCE ABORT: {reply:?}"));
        scene.copies_left |= matches!(&reply, Value::Scalar(b'+', text) if text.contains("purge"));
    }
}
