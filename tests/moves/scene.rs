//! The servers of a round: nodes that keep their data, relays in front of them if wanted, Circlet.
//!
//! ```text
//!  Person ──► Circlet ──► [Relay] ──► redis-server     n1, n2 … ; some more may come, and some go
//!  Person ──►  (binary, or inside this process)
//! ```

use rustix::process::Signal;

use circlet::{control::rebalance::drive::Safety, traffic::route::Ring};

use super::play::Play;
use crate::support::{
    Circlet, Client, Redis, circlet::Plan, dir::Dir, inside::Inside, port::Port, relay::Relay, resp::Value,
    wait::until_true,
};

/// What the servers of a round are to be like.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Nodes at the beginning.
    pub nodes: usize,
    /// Whether a relay stands before each.
    pub relays: bool,
    /// Whether nodes keep on disk what they have acknowledged.
    pub keeps: bool,
    /// `pipe.request_timeout`: short, so that a node that hangs is noticed within a round.
    pub timeout: &'static str,
    /// The rules of a Circlet inside this process; `None`: it is the binary.
    pub inside: Option<Safety>,
    /// Further options of Circlet.
    pub settings: &'static [&'static str],
}

/// Data that an ended node finds again. Redis hands each write to the system before it answers, whatever is told about
/// syncing; that would matter only if the machine stopped. And it never waits for a sync to end.
const KEEPS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"];

const SETTINGS: [&str; 2] = ["pipe.connect_timeout=400ms", "pipe.backoff_max=200ms"];

/// A server, a node of now or of before.
#[derive(Debug)]
pub struct Member {
    /// How the log names it; its name on the ring may pass to another.
    pub label: String,
    pub redis: Redis,
    pub relay: Option<Relay>,
}

impl Member {
    fn start(number: usize, setup: &Setup) -> Self {
        let redis = Redis::with(if setup.keeps { &KEEPS } else { &[] });
        let relay = setup.relays.then(|| Relay::to(&redis.address()));
        Self { label: format!("server {number}"), redis, relay }
    }

    /// Where Circlet reaches it.
    pub fn address(&self) -> String {
        self.relay.as_ref().map_or_else(|| self.redis.address(), Relay::address)
    }
}

/// A place on the ring, and who has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seat {
    /// Index in [`Scene::members`].
    pub member: usize,
    pub name: String,
    pub weight: f64,
}

/// Circlet, either way.
#[derive(Debug)]
pub enum Front {
    Binary(Box<Circlet>),
    Inside { _circlet: Inside, port: Port },
}

/// All servers of a round. Circlet is dropped first.
#[derive(Debug)]
pub struct Scene {
    pub front: Front,
    pub members: Vec<Member>,
    /// Who should be on the ring; while a change is under way, before it.
    pub seats: Vec<Seat>,
    /// Who should be on the ring behind the change that is under way.
    pub next: Option<Vec<Seat>>,
    /// Whether copies may lie at old owners, because a purge was given up.
    pub copies_left: bool,
    pub setup: Setup,
    _state: Dir,
}

impl Scene {
    /// Starts them and waits until every node is used.
    pub fn start(setup: Setup) -> Self {
        let members: Vec<Member> = (1..=setup.nodes).map(|number| Member::start(number, &setup)).collect();
        let seat = |member| Seat { member, name: format!("n{}", member + 1), weight: 1.0 };
        let seats: Vec<Seat> = (0..setup.nodes).map(seat).collect();
        let nodes: Vec<String> =
            seats.iter().map(|seat| format!("{}={}", seat.name, members[seat.member].address())).collect();
        let state = Dir::new();
        let mut settings = SETTINGS.map(str::to_owned).to_vec();
        settings.push(format!("pipe.request_timeout={}", setup.timeout));
        settings.extend(setup.settings.iter().map(|&setting| setting.to_owned()));
        let front = match setup.inside {
            None => {
                let plan = Plan::default().argument("--state").argument(state.path().to_str().unwrap()).wait_for(1);
                let plan = settings.iter().fold(plan, |plan, setting| plan.set(setting));
                Front::Binary(Box::new(nodes.into_iter().fold(plan, Plan::node).start()))
            }
            Some(safety) => {
                let port = Port::lease();
                let listen = format!("127.0.0.1:{}", port.number());
                let overrides = Inside::overrides(&listen, &nodes, &settings, state.path());
                Front::Inside { _circlet: Inside::start(&overrides, move |pool| pool.safety = safety), port }
            }
        };
        let scene = Self { front, members, seats, next: None, copies_left: false, setup, _state: state };
        scene.wait_whole();
        scene
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        match &self.front {
            Front::Binary(circlet) => circlet.address(),
            Front::Inside { port, .. } => format!("127.0.0.1:{}", port.number()),
        }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.address())
    }

    /// Waits until keys of all nodes are answered, by every worker.
    pub fn wait_whole(&self) {
        // Connections are given to the workers by turns or by load; enough of them reach all.
        for _ in 0..4 {
            let mut client = self.client();
            until_true("all nodes to be used", || {
                (0..64).all(|at| !client.ask(&format!("EXISTS probe:{at}")).starts_with('-'))
            });
        }
    }

    /// The ring that should be, and the servers that are its nodes.
    pub fn ring(&self) -> (Vec<&Member>, Ring) {
        let nodes: Vec<(&str, f64)> = self.seats.iter().map(|seat| (seat.name.as_str(), seat.weight)).collect();
        let ring = Ring::build(&nodes, 8192).unwrap();
        (self.seats.iter().map(|seat| &self.members[seat.member]).collect(), ring)
    }

    /// A further server, on no ring yet.
    pub fn another(&mut self) -> usize {
        self.members.push(Member::start(self.members.len() + 1, &self.setup));
        self.members.len() - 1
    }

    /// Ends Circlet as a crash would, and starts it again on what it left.
    pub fn crash_circlet(&mut self, play: &Play) {
        let Front::Binary(circlet) = &mut self.front else { return };
        circlet.kill();
        play.note("circlet is started again");
        circlet.start_again();
    }

    /// Stops Circlet where it stands, or lets it go on.
    pub fn pause_circlet(&mut self, paused: bool) {
        if let Front::Binary(circlet) = &mut self.front {
            circlet.signal(if paused { Signal::STOP } else { Signal::CONT });
        }
    }

    /// What Circlet answers to an operator.
    pub fn order(&self, line: &str) -> Value {
        self.client().value(&format!("CIRCLET {line}"))
    }

    /// A field of `CIRCLET REBALANCE STATUS`.
    pub fn status(&self, name: &str) -> String {
        let status = self.order("REBALANCE STATUS");
        status.get(name).unwrap_or_else(|| panic!("no {name} in {status:?}")).text()
    }
}
