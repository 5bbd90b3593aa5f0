//! What a client leaves behind is met by nobody: node connections that were a session's own are used again only as they
//! were.
//!
//! ```text
//!  leaver:  habits in some order (WATCH, MULTI, SUBSCRIBE, SELECT, REPLY OFF, TRACKING, a blocked pop, MONITOR …)
//!           ─► closes, RESETs, QUITs, is killed, or breaks off within a request
//!  next users: transactions, pops, reads and pings in both protocols find nothing of it
//!  at the end: CLIENT LIST of every node shows no connection in a transaction, subscribed, tracking, blocked or watching
//! ```
//! All orders of three habits are tried, in a random sequence; `SEED=n` repeats it.

use std::time::Duration;

use fastrand::Rng;

use crate::support::{Client, Cluster, Redis, resp::words, seed, wait::until_true};

/// What a client may leave behind. A few need RESP3, and get an error in RESP2.
const HABITS: [&str; 14] = [
    "WATCH {t}watched",
    "MULTI|SET {t}written by-a-ghost",
    "SUBSCRIBE channel",
    "PSUBSCRIBE chan*",
    "SSUBSCRIBE channel",
    "SELECT 3",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT TRACKING ON|GET {t}watched",
    "CLIENT TRACKING ON BCAST",
    "BLPOP {t}none 0",
    "MONITOR",
    "CLIENT NO-EVICT on|CLIENT SETNAME ghost",
    "WATCH {t}watched|SELECT 2|GET {t}watched|MULTI|BLPOP {t}none 0",
];

/// Leavers between two looks.
const BATCH: usize = 24;

/// All orders of three different habits.
fn orders() -> Vec<[usize; 3]> {
    let all = 0..HABITS.len();
    let three = |one: usize| all.clone().flat_map(move |two| (0..HABITS.len()).map(move |three| [one, two, three]));
    all.clone().flat_map(three).filter(|[one, two, three]| one != two && one != three && two != three).collect()
}

/// Has the habits and goes.
fn leave(address: &str, order: &[usize], rng: &mut Rng) {
    let mut client = Client::connect(address);
    if rng.bool() {
        client.ask("HELLO 3");
    }
    let id = client.value("CLIENT ID").text();
    let requests: Vec<&str> = order.iter().flat_map(|&habit| HABITS[habit].split('|')).collect();
    let pipelined = rng.bool();
    for line in &requests[..rng.usize(1..=requests.len())] {
        client.send(&words(line));
        if !pipelined {
            // Whether a reply comes depends on what came before.
            client.whatever_comes(Duration::from_millis(1));
            client.forget();
        }
    }
    match rng.u8(..6) {
        0 => client.send(&words("QUIT")),
        1 => {
            client.send(&words("RESET"));
            client.send(&words("WATCH {t}watched"));
        }
        2 => {
            // Not there any more, if it has gone by itself.
            Client::connect(address).ask(&format!("CLIENT KILL ID {id}"));
        }
        3 => client.send(b"*3\r\n$3\r\nSET\r\n$10\r\n{t}writ"),
        4 => client.send(b"nonsense \"\r\n"),
        _ => {}
    }
}

/// Who comes next: everything is as if nobody had been there before.
struct User {
    client: Client,
    proto: u8,
}

impl User {
    fn new(address: &str, proto: u8) -> Self {
        let mut client = Client::connect(address);
        client.ask(&format!("HELLO {proto}"));
        Self { client, proto }
    }

    fn look(&mut self, other: &mut Client) {
        let client = &mut self.client;
        let null = if self.proto == 3 { "_\r\n" } else { "$-1\r\n" };
        client.expect("PING", "+PONG\r\n");
        client.expect("GET {t}written", null);
        client.expect("CLIENT GETNAME", null);
        // A transaction without WATCH, though what a ghost watches changes.
        client.expect("MULTI", "+OK\r\n");
        client.expect("SET {t}mine 1", "+QUEUED\r\n");
        other.expect("SET {t}watched other", "+OK\r\n");
        client.expect("GET {t}mine", "+QUEUED\r\n");
        client.expect("EXEC", "*2\r\n+OK\r\n$1\r\n1\r\n");
        // One with WATCH, of another key.
        client.expect("WATCH {t}mine", "+OK\r\n");
        other.expect("SET {t}watched again", "+OK\r\n");
        client.expect("MULTI", "+OK\r\n");
        client.expect("GET {t}mine", "+QUEUED\r\n");
        client.expect("EXEC", "*1\r\n$1\r\n1\r\n");
        // A pop that need not wait, in this db; no ghost has taken it.
        other.expect("RPUSH {t}none x", ":1\r\n");
        client.expect("BLPOP {t}none 0", "*2\r\n$7\r\n{t}none\r\n$1\r\nx\r\n");
        // Nobody listens, and what this one reads is not tracked.
        other.expect("PUBLISH channel x", ":0\r\n");
        other.expect("SPUBLISH channel x", ":0\r\n");
        client.expect("GET {t}watched", "$5\r\nagain\r\n");
        other.expect("DEL {t}watched {t}mine", ":2\r\n");
        client.expect("ECHO end", "$3\r\nend\r\n");
    }
}

/// Waits until none of the leavers is there any more.
fn wait_gone(address: &str, stay: usize) {
    let mut client = Client::connect(address);
    until_true("the leavers to be gone", || {
        let list = client.value("CLIENT LIST").text();
        list.lines().filter(|line| !line.contains(" cmd=client|list ")).count() <= stay
    });
}

fn try_all(test: &str, address: &str, nodes: &[Redis], step: usize) {
    let mut rng = seed::rng(test);
    let mut orders = orders();
    rng.shuffle(&mut orders);
    let mut users: Vec<User> = [2, 3, 2, 3].iter().map(|&proto| User::new(address, proto)).collect();
    let mut other = Client::connect(address);
    for batch in orders.chunks(BATCH).step_by(step) {
        batch.iter().for_each(|order| leave(address, order, &mut rng));
        wait_gone(address, users.len() + 1);
        // Some stay, some are new: they are given to the workers in turn.
        let at = rng.usize(..users.len());
        users[at] = User::new(address, users[at].proto);
        users.iter_mut().for_each(|user| user.look(&mut other));
    }
    drop((users, other));
    for node in nodes {
        let mut control = node.client();
        until_true("the node's connections to be clean", || {
            let list = control.value("CLIENT LIST").text();
            let dirty: Vec<&str> = list.lines().filter(|line| !is_clean(line)).collect();
            if !dirty.is_empty() {
                eprintln!("not clean: {dirty:#?}");
            }
            dirty.is_empty()
        });
    }
}

/// Whether a line of CLIENT LIST shows a connection with nothing left in it.
fn is_clean(line: &str) -> bool {
    let value = |name: &str| line.split(' ').find_map(|part| part.strip_prefix(name)).unwrap_or("0");
    // x: in a transaction; d: EXEC will fail; b: blocked; O: MONITOR; P: subscribed; t, R, B: tracking; e: not evicted.
    let state = value("flags=").contains(['x', 'd', 'b', 'O', 'P', 't', 'R', 'B', 'e']);
    let subscribed = ["sub=", "psub=", "ssub="].iter().any(|name| value(name) != "0");
    !state && !subscribed && value("multi=") == "-1" && value("name=") != "ghost"
}

#[test]
fn nobody_meets_what_others_left() {
    let cluster = Cluster::start();
    try_all("nobody_meets_what_others_left", &cluster.circlet.address(), &cluster.nodes, 1);
}

/// The test of the test.
#[test]
fn nobody_does_in_plain_redis() {
    let node = Redis::start();
    try_all("nobody_does_in_plain_redis", &node.address(), std::slice::from_ref(&node), 20);
}
