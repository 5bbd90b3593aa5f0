//! The servers of a round: nodes, relays in front of them if wanted, one Circlet or several.
//!
//! ```text
//!  Person ──► Circlet 1 ──► [Relay 1.n] ──┐
//!                                         ├──► redis-server n1, n2 …     all Circlets over the same ones
//!  Person ──► Circlet 2 ──► [Relay 2.n] ──┘
//! ```

use ::circlet::control::lock::Safety;
use rustix::process::Signal;

use super::person::MAX_TTL;
use crate::support::{
    Circlet, Client, Redis,
    circlet::Plan,
    dir::Dir,
    inside::Inside,
    port::Port,
    relay::Relay,
    resp::Value,
    voters::wait_all_count,
    wait::{LONG, until, until_true},
};

/// What the servers of a round are to be like.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub nodes: usize,
    /// `lock.nodes`.
    pub voters: usize,
    pub circlets: usize,
    /// Whether a relay stands between each Circlet and each node.
    pub relays: bool,
    /// Whether nodes keep on disk what they have acknowledged.
    pub keeps: bool,
    /// Whether the first node's clock can be set.
    pub clock: bool,
    /// `lock.max_ttl` in ms.
    pub max_ttl: u64,
    /// `lock.node_timeout`.
    pub timeout: &'static str,
    /// The rules of Circlets inside this process; `None`: they are the binary.
    pub inside: Option<Safety>,
}

const KEEPS: [&str; 6] = ["--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"];

const SETTINGS: [&str; 3] = ["pipe.connect_timeout=400ms", "pipe.backoff_max=200ms", "lock.bootstrap=true"];

/// A server, a node of now or of before.
#[derive(Debug)]
pub struct Member {
    /// Its name on the ring.
    pub name: String,
    pub redis: Redis,
    /// One for each Circlet.
    pub relays: Vec<Relay>,
}

impl Member {
    fn start(number: usize, setup: &Setup) -> Self {
        let options: &[&str] = if setup.keeps { &KEEPS } else { &[] };
        let redis = if setup.clock && number == 1 { Redis::with_clock(options) } else { Redis::with(options) };
        let relays = if setup.relays { setup.circlets } else { 0 };
        let relays = (0..relays).map(|_| Relay::to(&redis.address())).collect();
        Self { name: format!("n{number}"), redis, relays }
    }

    /// Where a Circlet reaches it.
    pub fn address(&self, circlet: usize) -> String {
        self.relays.get(circlet).map_or_else(|| self.redis.address(), Relay::address)
    }
}

/// A Circlet, either way.
#[derive(Debug)]
pub enum Front {
    Binary(Box<Circlet>),
    Inside { _circlet: Inside, port: Port },
}

impl Front {
    fn start(number: usize, members: &[Member], setup: &Setup, state: &Dir) -> Self {
        let nodes = members.iter().map(|member| format!("{}={}", member.name, member.address(number)));
        let mut settings = SETTINGS.map(str::to_owned).to_vec();
        settings.push(format!("lock.node_timeout={}", setup.timeout));
        settings.push(format!("lock.max_ttl={}ms", setup.max_ttl));
        settings.push(format!("lock.nodes={}", setup.voters));
        let Some(safety) = setup.inside else {
            let plan = Plan::default().argument("--state").argument(state.path().to_str().unwrap());
            let plan = settings.iter().fold(plan, |plan, setting| plan.set(setting));
            let plan = plan.set("lock.prefix=lock:");
            return Self::Binary(Box::new(nodes.fold(plan, Plan::node).start()));
        };
        let port = Port::lease();
        let listen = format!("127.0.0.1:{}", port.number());
        let overrides = Inside::overrides(&listen, &nodes.collect::<Vec<_>>(), &settings, state.path());
        Self::Inside { _circlet: Inside::start(&overrides, move |pool| pool.locks = safety), port }
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        match self {
            Self::Binary(circlet) => circlet.address(),
            Self::Inside { port, .. } => format!("127.0.0.1:{}", port.number()),
        }
    }

    /// Stops it where it stands, or lets it go on.
    pub fn pause(&mut self, paused: bool) {
        if let Self::Binary(circlet) = self {
            circlet.signal(if paused { Signal::STOP } else { Signal::CONT });
        }
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Self::Binary(circlet) = self {
            circlet.kill();
        }
    }

    /// Starts it again on what it left.
    pub fn start_again(&mut self) {
        if let Self::Binary(circlet) = self {
            circlet.start_again_with(1);
        }
    }
}

/// All servers of a round. Circlets are dropped first.
#[derive(Debug)]
pub struct Scene {
    pub fronts: Vec<Front>,
    /// Nodes, and servers that are none any more.
    pub members: Vec<Member>,
    /// Who is a node, by index.
    pub nodes: Vec<usize>,
    pub setup: Setup,
    _states: Vec<Dir>,
}

impl Scene {
    /// Starts them and waits until every node counts everywhere.
    pub fn start(setup: Setup) -> Self {
        let members: Vec<Member> = (1..=setup.nodes).map(|number| Member::start(number, &setup)).collect();
        let states: Vec<Dir> = (0..setup.circlets).map(|_| Dir::new()).collect();
        let front = |(number, state)| Front::start(number, &members, &setup, state);
        let fronts = states.iter().enumerate().map(front).collect();
        let nodes = (0..setup.nodes).collect();
        let scene = Self { fronts, members, nodes, setup, _states: states };
        for circlet in 0..setup.circlets {
            wait_all_count(&mut scene.client(circlet));
        }
        scene
    }

    pub fn client(&self, circlet: usize) -> Client {
        Client::connect(&self.fronts[circlet].address())
    }

    /// Waits until a Circlet grants this lock; its fence.
    pub fn wait_granted(&self, circlet: usize, name: &str) -> u64 {
        let mut client = self.client(circlet);
        let mut last = Value::of(b"$-1\r\n");
        let granted = until("a lock to be granted", LONG, || {
            last = client.value(&format!("LOCK.ACQUIRE {name} {MAX_TTL} WAIT 5000"));
            if let Value::Error(line) = &last {
                eprintln!("{name}: {line}");
            }
            matches!(last, Value::List(..)).then(|| last.clone())
        });
        let [token, fence, ..] = granted.list()[..] else { panic!("{granted:?}") };
        // Another node may have been lost in between.
        eprintln!("{name}: {:?}", client.value(&format!("LOCK.RELEASE {name} {}", token.text())));
        u64::try_from(fence.number()).unwrap()
    }

    /// A further server, no node yet.
    pub fn another(&mut self) -> usize {
        self.members.push(Member::start(self.members.len() + 1, &self.setup));
        self.members.len() - 1
    }

    /// Has a Circlet change its nodes, and waits until that is over.
    pub fn change(&self, circlet: usize, line: &str) {
        let mut client = self.client(circlet);
        let reply = client.ask(line);
        assert!(reply.starts_with("+OK change "), "{line}: {reply}");
        until_true("the change to be over", || {
            let status = client.value("CIRCLET REBALANCE STATUS");
            let field = |name: &str| status.get(name).map(Value::text).unwrap_or_default();
            if field("state") == "paused" {
                eprintln!("CIRCLET REBALANCE RESUME: {:?}", client.value("CIRCLET REBALANCE RESUME"));
            }
            field("state") == "idle" && field("change") == "0" && field("queued") == "0"
        });
    }
}
