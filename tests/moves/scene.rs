//! The servers of a round: nodes that keep their data, relays in front of them if wanted, Circlet.
//!
//! ```text
//!  Person ──► Circlet ──► [Relay] ──► redis-server     n1, n2 … ; some more may come, and some go
//!  Person ──►  (binary, or inside this process)
//! ```

use rustix::process::Signal;

use circlet::{config::Config, traffic::route::Ring};

use super::{inside::Inside, play::Play};
use crate::support::{Circlet, Client, Redis, circlet::Plan, dir::Dir, port::Port, relay::Relay, wait::until_true};

/// What the servers of a round are to be like.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Nodes at the beginning.
    pub nodes: usize,
    /// Whether a relay stands before each.
    pub relays: bool,
    /// Whether nodes keep on disk what they have acknowledged.
    pub keeps: bool,
    /// Changes the configuration of a Circlet inside this process; `None`: it is the binary.
    pub inside: Option<fn(&mut Config)>,
}

/// Data that an ended node finds again. Redis hands each write to the system before it answers, whatever is told about
/// syncing; that would matter only if the machine stopped. And it never waits for a sync to end.
const KEEPS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"];

/// A short time for requests, so that a node that hangs is noticed within a round.
const SETTINGS: [&str; 3] = ["pipe.request_timeout=700ms", "pipe.connect_timeout=400ms", "pipe.backoff_max=200ms"];

/// A node, of now or of before.
#[derive(Debug)]
pub struct Member {
    pub name: String,
    pub weight: f64,
    pub redis: Redis,
    pub relay: Option<Relay>,
    /// Whether it should be on the ring.
    pub on_ring: bool,
}

impl Member {
    fn start(name: String, setup: &Setup) -> Self {
        let redis = Redis::with(if setup.keeps { &KEEPS } else { &[] });
        let relay = setup.relays.then(|| Relay::to(&redis.address()));
        Self { name, weight: 1.0, redis, relay, on_ring: true }
    }

    /// Where Circlet reaches it.
    pub fn address(&self) -> String {
        self.relay.as_ref().map_or_else(|| self.redis.address(), Relay::address)
    }
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
    pub setup: Setup,
    _state: Dir,
}

impl Scene {
    /// Starts them and waits until every node is used.
    pub fn start(setup: Setup) -> Self {
        let members: Vec<Member> =
            (1..=setup.nodes).map(|number| Member::start(format!("n{number}"), &setup)).collect();
        let nodes: Vec<String> = members.iter().map(|member| format!("{}={}", member.name, member.address())).collect();
        let state = Dir::new();
        let front = match setup.inside {
            None => {
                let plan = Plan::default().argument("--state").argument(state.path().to_str().unwrap()).wait_for(1);
                let plan = SETTINGS.iter().fold(plan, |plan, setting| plan.set(setting));
                Front::Binary(Box::new(nodes.into_iter().fold(plan, Plan::node).start()))
            }
            Some(change) => {
                let (port, settings) = (Port::lease(), SETTINGS.map(str::to_owned));
                let listen = format!("127.0.0.1:{}", port.number());
                let overrides = Inside::overrides(&listen, &nodes, &settings, state.path());
                Front::Inside { _circlet: Inside::start(&overrides, change), port }
            }
        };
        let scene = Self { front, members, setup, _state: state };
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

    /// The ring that should be.
    pub fn ring(&self) -> (Vec<&Member>, Ring) {
        let members: Vec<&Member> = self.members.iter().filter(|member| member.on_ring).collect();
        let nodes: Vec<(&str, f64)> = members.iter().map(|member| (member.name.as_str(), member.weight)).collect();
        let ring = Ring::build(&nodes, 8192).unwrap();
        (members, ring)
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
}
