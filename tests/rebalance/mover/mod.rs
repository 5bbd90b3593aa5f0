//! The mover alone, between two real redis-servers: what it copies, what it refuses, what it survives.

mod back;
mod big;
mod checks;
mod faults;
mod marks;
mod values;

use std::{
    future::Future,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use circlet::{
    control::rebalance::mover::{
        Busy, Event, Events, Haste, Kind, MoveError, Mover, Opened, Safety, Settings, Stage, Times,
    },
    traffic::route::{Node, NodeId},
};

use crate::support::{
    Client, Redis,
    client::shown,
    relay::Relay,
    resp::Value,
    wait::{LONG, until_true},
};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

/// Two nodes, and a mover that moves from one to the other every key that does not begin with `stay`.
struct Rig {
    a: Redis,
    b: Redis,
    mover: Arc<Mover>,
    nodes: Arc<[Node]>,
    events: Arc<Mutex<Vec<Event>>>,
    runtime: tokio::runtime::Runtime,
}

fn settings() -> Settings {
    let times = Times { connect: LONG, answer: LONG };
    Settings { times, keys_per_second: 0, bytes_per_second: 0, ..Settings::default() }
}

fn nodes(a: &str, b: &str) -> Arc<[Node]> {
    [("a", a), ("b", b)].map(|(name, address)| Node::new(name, address.parse().unwrap())).into()
}

impl Rig {
    fn new() -> Self {
        Self::of(Redis::start(), Redis::start(), settings())
    }

    fn of(a: Redis, b: Redis, settings: Settings) -> Self {
        let nodes = nodes(&a.address(), &b.address());
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let seen = Arc::clone(&events);
        let mover = Mover::start(settings, Events::to(move |event| seen.lock().unwrap().push(event))).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { a, b, mover: Arc::new(mover), nodes, events, runtime }
    }

    /// One whose target is reached through a relay, and is given up soon when it does not answer.
    fn behind_a_relay() -> (Self, Relay) {
        let (a, b) = (Redis::start(), Redis::start());
        let relay = Relay::to(&b.address());
        let times = Times { connect: LONG, answer: Duration::from_millis(300) };
        let mut rig = Self::of(a, b, Settings { times, ..settings() });
        rig.nodes = nodes(&rig.a.address(), &relay.address());
        (rig, relay)
    }

    fn stage(&self, nonce: &str, busy: Busy) -> Arc<Stage> {
        Arc::new(Stage {
            id: "1-0".to_owned(),
            nonce: nonce.to_owned(),
            replaces: None,
            nodes: Arc::clone(&self.nodes),
            pairs: vec![(A, B)],
            place: Arc::new(|key| (!key.starts_with(b"stay")).then_some((A, B))),
            kind: Kind::Forward { busy },
        })
    }

    fn forward(&self) -> Arc<Stage> {
        self.stage("n1", Busy::Stop)
    }

    /// The way back of [`Self::forward`].
    fn back(&self) -> Arc<Stage> {
        Arc::new(Stage {
            id: "1-0-back".to_owned(),
            nonce: "m1".to_owned(),
            replaces: None,
            pairs: vec![(B, A)],
            place: Arc::new(|key| (!key.starts_with(b"stay")).then_some((B, A))),
            kind: Kind::Back { forward: "1-0".to_owned() },
            ..Stage::clone(&self.forward())
        })
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(2 * LONG, work).await.expect("an end") })
    }

    fn open(&self) -> Opened {
        self.wait(self.mover.open(self.forward(), None)).unwrap()
    }

    fn pull(&self, key: &str) -> Result<(), MoveError> {
        self.wait(self.mover.pull(0, &[Bytes::copy_from_slice(key.as_bytes())]))
    }

    fn pass(&self) -> Result<(), MoveError> {
        self.wait(self.mover.pass())
    }

    /// A pass that goes on while the test does something else.
    fn begin_pass(&self) -> tokio::task::JoinHandle<Result<(), MoveError>> {
        let mover = Arc::clone(&self.mover);
        self.runtime.spawn(async move { mover.pass().await })
    }

    fn end(&self, pass: tokio::task::JoinHandle<Result<(), MoveError>>) -> Result<(), MoveError> {
        self.wait(pass).unwrap()
    }

    fn close(&self, stage: Arc<Stage>) {
        self.wait(self.mover.close(stage)).unwrap();
    }

    fn purge(&self, at: NodeId, doomed: impl Fn(&[u8]) -> bool + Send + Sync + 'static) {
        let doomed = Arc::new(move |_, key: &[u8]| doomed(key));
        self.wait(self.mover.purge(Arc::clone(&self.nodes), vec![at], doomed, Haste::Paced)).unwrap();
    }

    fn restarts(&self) -> usize {
        self.events.lock().unwrap().len()
    }
}

/// The whole content of a key as text that is the same whatever the order inside the node.
fn content(client: &mut Client, key: &str) -> String {
    let kind = client.value(&format!("TYPE {key}")).text();
    let words = match kind.as_str() {
        "string" => format!("GET {key}"),
        "list" => format!("LRANGE {key} 0 -1"),
        "set" => format!("SMEMBERS {key}"),
        "zset" => format!("ZRANGE {key} 0 -1 WITHSCORES"),
        "hash" => format!("HGETALL {key}"),
        "stream" => format!("XINFO STREAM {key} FULL COUNT 0"),
        other => return other.to_owned(),
    };
    let value = client.value(&words);
    let parts: Vec<String> = match (&value, kind.as_str()) {
        (Value::List(_, items), "set") => sorted(items.iter().map(|item| format!("{item:?}")).collect()),
        (Value::List(_, items), "hash") => sorted(items.chunks(2).map(|pair| format!("{pair:?}")).collect()),
        (_, "stream") => vec![stream(&value)],
        _ => vec![format!("{value:?}")],
    };
    // A short string that was written to is 'raw' until it is loaded anew.
    let encoding = match kind.as_str() {
        "string" => String::new(),
        _ => client.value(&format!("OBJECT ENCODING {key}")).text(),
    };
    let ttl = if client.value(&format!("PTTL {key}")).number() > 0 { "expires" } else { "stays" };
    format!("{kind} {encoding} {ttl} {}", parts.join(" "))
}

/// A stream without what depends on clocks and on the shape of its tree.
fn stream(full: &Value) -> String {
    let kept =
        ["length", "last-generated-id", "max-deleted-entry-id", "entries-added", "recorded-first-entry-id", "entries"];
    let head: Vec<String> = kept.iter().map(|name| format!("{name}={:?}", full.get(name))).collect();
    let groups = full.get("groups").unwrap().list().into_iter().map(|group| {
        let kept = ["name", "last-delivered-id", "entries-read", "lag", "pel-count"];
        let head: Vec<String> = kept.iter().map(|name| format!("{name}={:?}", group.get(name))).collect();
        let pending = group.get("pending").unwrap().list().into_iter();
        // Id, consumer, deliveries; not the time.
        let pending: Vec<String> = pending.map(|each| format!("{:?}", [0, 1, 3].map(|at| each.list()[at]))).collect();
        let consumers = group.get("consumers").unwrap().list().into_iter();
        let consumers =
            sorted(consumers.map(|each| format!("{:?} {:?}", each.get("name"), each.get("pel-count"))).collect());
        format!("{head:?} {pending:?} {consumers:?}")
    });
    format!("{head:?} {:?}", sorted(groups.collect()))
}

fn sorted(mut parts: Vec<String>) -> Vec<String> {
    parts.sort();
    parts
}

/// One of every type and encoding under `prefix`.
fn fill(client: &mut Client, prefix: &str) -> Vec<String> {
    let wide = |command: &str, each: fn(usize) -> String| {
        let items: Vec<String> = (0..600).map(each).collect();
        format!("{command} {}", items.join(" "))
    };
    let long = "x".repeat(100);
    let lines = [
        ("int", "SET K 12345".to_owned()),
        ("embstr", "SET K hello".to_owned()),
        ("raw", format!("SET K {long}")),
        ("hyperloglog", "PFADD K a b c".to_owned()),
        ("bitmap", "SETBIT K 1000 1".to_owned()),
        ("list", "RPUSH K a b c".to_owned()),
        ("longlist", wide("RPUSH K", |n| format!("element-{n}"))),
        ("intset", "SADD K 3 1 2".to_owned()),
        ("set", "SADD K a b c".to_owned()),
        ("wideset", wide("SADD K", |n| format!("member-{n}"))),
        ("zset", "ZADD K 1.5 a -inf b 1e300 c".to_owned()),
        ("widezset", wide("ZADD K", |n| format!("{}.1 member-{n}", n * 7 % 100))),
        ("hash", "HSET K f v g w".to_owned()),
        ("widehash", wide("HSET K", |n| format!("field-{n} value-{n}"))),
        ("geo", "GEOADD K 13.361389 38.115556 Palermo".to_owned()),
        ("stream", "XADD K 5-1 f v".to_owned()),
    ];
    for (name, line) in &lines {
        let reply = client.ask(&line.replacen('K', &format!("{prefix}{name}"), 1));
        assert!(!reply.starts_with('-'), "{name}: {reply}");
    }
    let mut ask = |line: &str| {
        let reply = client.ask(&line.replace('K', &format!("{prefix}stream")));
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    };
    ask("XADD K 6-1 g w h x");
    ask("XADD K 7-1 g gone");
    ask("XGROUP CREATE K readers 0");
    ask("XGROUP CREATE K idle 5-1");
    ask("XREADGROUP GROUP readers one COUNT 2 STREAMS K >");
    ask("XGROUP CREATECONSUMER K readers two");
    ask("XDEL K 7-1");
    lines.iter().map(|(name, _)| format!("{prefix}{name}")).collect()
}

/// Both sets of tombstones of db 0, if there are any.
fn own_keys(client: &mut Client) -> Vec<String> {
    sorted(client.value("KEYS circlet:*").list().iter().map(|key| key.text()).collect())
}
