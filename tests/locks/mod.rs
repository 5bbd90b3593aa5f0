//! At most one client has a lock, and fences grow, whatever happens to nodes, connections, clocks and Circlet.
//!
//! ```text
//!            nemesis/  what goes wrong, by a seed
//!               ▼
//!  person ──► scene: Circlet, or two ──► [relay] ──► nodes          round    all of it, once
//!     │  acquire, write, extend, stall, forget, die
//!     ├──► resource: a log that refuses smaller fences
//!     ▼
//!  judge: did two believe at once? did a fence not grow? was written without a lock, or a holder refused?
//! ```

mod fake;
mod history;
mod judge;
mod nemesis;
mod person;
mod play;
mod resource;
mod round;
mod scene;
mod session;
mod staged;
mod wire;

use fastrand::Rng;

use nemesis::{Nemesis, circlet, net, nodes};
use person::MAX_TTL;
use round::{Outcome, Round};
use scene::Setup;

use crate::support::{Redis, seed};

const SETUP: Setup = Setup {
    nodes: 3,
    voters: 3,
    circlets: 1,
    relays: false,
    keeps: false,
    clock: false,
    max_ttl: MAX_TTL,
    timeout: "150ms",
    inside: None,
};

const SERVERS: [&dyn Nemesis; 4] = [&nodes::Hang, &nodes::Crash, &circlet::Crash, &circlet::Hang];
const NET: [&dyn Nemesis; 5] = [&net::Cut, &net::HoldReplies, &net::DeliverLate, &net::Delay, &net::Refuse];

fn play(test: &str, setup: Setup, nemeses: &[&dyn Nemesis], strikes: usize) -> Outcome {
    let seed = seed::number(test);
    let outcome = Round { setup, clients: 8, nemeses, strikes }.play(seed);
    outcome.expect_whole(seed);
    outcome
}

#[test]
fn one_client_at_a_time_while_nothing_happens() {
    let outcome = play("one_client_at_a_time_while_nothing_happens", SETUP, &[], 0);
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
}

#[test]
fn one_client_at_a_time_through_two_circlets() {
    let setup = Setup { circlets: 2, ..SETUP };
    let outcome = play("one_client_at_a_time_through_two_circlets", setup, &[], 0);
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
}

#[test]
fn one_client_at_a_time_while_servers_hang_and_crash() {
    play("one_client_at_a_time_while_servers_hang_and_crash", SETUP, &SERVERS, 5);
}

#[test]
fn one_client_at_a_time_through_two_circlets_while_servers_hang_and_crash() {
    let setup = Setup { circlets: 2, keeps: true, ..SETUP };
    play("one_client_at_a_time_through_two_circlets_while_servers_hang_and_crash", setup, &SERVERS, 5);
}

#[test]
fn one_client_at_a_time_while_connections_break() {
    play("one_client_at_a_time_while_connections_break", Setup { relays: true, ..SETUP }, &NET, 6);
}

#[test]
fn one_client_at_a_time_while_nodes_are_flushed() {
    let nemeses: [&dyn Nemesis; 2] = [&nodes::Flush, &nodes::Hang];
    play("one_client_at_a_time_while_nodes_are_flushed", SETUP, &nemeses, 3);
}

#[test]
fn one_client_at_a_time_while_nodes_come_and_go() {
    let nemeses: [&dyn Nemesis; 2] = [&nodes::Change, &nodes::Crash];
    play("one_client_at_a_time_while_nodes_come_and_go", SETUP, &nemeses, 3);
}

#[test]
fn one_client_at_a_time_while_a_clock_jumps() {
    if !Redis::has_clocks() {
        eprintln!("faketime is not installed");
        return;
    }
    let setup = Setup { clock: true, ..SETUP };
    play("one_client_at_a_time_while_a_clock_jumps", setup, &[&nodes::Jump], 3);
}

/// `make soak MINUTES=30`: round after round, each with the next seed, until one fails or the time is over.
#[test]
#[ignore = "takes as long as it is told"]
fn soak() {
    seed::soak(|seed| {
        let mut rng = Rng::with_seed(seed);
        let (relays, keeps, clock) = (rng.bool(), rng.u8(..3) == 0, rng.bool() && Redis::has_clocks());
        let (nodes, circlets) = (rng.usize(3..=5), rng.usize(1..=2));
        let mut nemeses = [&SERVERS[..], &[&nodes::Flush]].concat();
        nemeses.extend(if relays { &NET[..] } else { &[] });
        nemeses.extend(clock.then_some(&nodes::Jump as &dyn Nemesis));
        nemeses.extend((circlets == 1).then_some(&nodes::Change as &dyn Nemesis));
        let voters = if nodes == 5 && rng.bool() { 5 } else { 3 };
        let setup = Setup { nodes, voters, circlets, relays, keeps, clock, ..SETUP };
        let (clients, strikes) = (rng.u16(4..13), rng.usize(2..12));
        Round { setup, clients, nemeses: &nemeses, strikes }.play(seed).expect_whole(seed);
    });
}
