//! Ten thousand clients that wait at the same time: node connections are bounded, who gets none is told so, and those who
//! wait cost no processor time.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{
    Cluster,
    resp::words,
    wait::{LONG, until},
};

const CLIENTS: usize = 10_000;

/// Of each of the two workers.
const LEASES: usize = 1_000;

/// How long the waiting clients are watched, and what they may take of a processor meanwhile.
const WATCHED: Duration = Duration::from_millis(500);
const IDLE: Duration = Duration::from_millis(100);

/// A client without a buffer of its own.
struct Waiter {
    stream: TcpStream,
    got: Vec<u8>,
}

impl Waiter {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self { stream, got: Vec::new() }
    }

    fn send(&mut self, line: &str) {
        self.stream.write_all(&words(line)).unwrap();
    }

    /// Takes what has come; says whether there is anything.
    fn has_reply(&mut self) -> bool {
        let mut chunk = [0; 512];
        match self.stream.read(&mut chunk) {
            Ok(count) => self.got.extend_from_slice(&chunk[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        !self.got.is_empty()
    }
}

fn blocked(cluster: &Cluster) -> usize {
    let count = |info: String| {
        info.lines().find_map(|line| line.strip_prefix("blocked_clients:")?.trim().parse::<usize>().ok()).unwrap()
    };
    cluster.nodes.iter().map(|node| count(node.client().value("INFO clients").text())).sum()
}

#[test]
fn ten_thousand_blocked_clients_cost_bounded_connections_and_no_processor_time() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let cluster =
        Cluster::with(|plan| plan.set("session.max_sessions=11000").set(&format!("pipe.max_leased={LEASES}")));
    let mut other = cluster.client();
    let mut waiters: Vec<Waiter> = (0..CLIENTS).map(|_| Waiter::connect(&cluster.circlet.address())).collect();
    for (number, waiter) in waiters.iter_mut().enumerate() {
        waiter.send(&format!("BLPOP jobs:{number} 0"));
    }
    let refused = until("every client to wait or to be refused", LONG, || {
        let refused = waiters.iter_mut().filter_map(|waiter| waiter.has_reply().then_some(())).count();
        (refused + blocked(&cluster) == CLIENTS).then_some(refused)
    });
    assert_eq!(CLIENTS - refused, 2 * LEASES, "as many wait as there are leases");
    for waiter in waiters.iter().filter(|waiter| !waiter.got.is_empty()) {
        let text = String::from_utf8_lossy(&waiter.got);
        assert!(text.starts_with("-ERR ") && text.contains("max_leased") && text.contains("1000"), "{text}");
    }
    for node in &cluster.nodes {
        let connections = node.client().ask("CLIENT LIST").lines().count();
        assert!(connections < 2 * LEASES, "{connections} connections");
    }
    // Those who wait are in nobody's way, and take no time.
    other.expect("SET k v", "+OK\r\n");
    let before = cluster.circlet.processor_time();
    thread::sleep(WATCHED);
    let taken = cluster.circlet.processor_time() - before;
    assert!(taken < IDLE, "{taken:?} of a processor within {WATCHED:?}");
    // Each gets what it waits for, and its lease is the next one's.
    let mut waiting: Vec<usize> = (0..CLIENTS).filter(|&number| waiters[number].got.is_empty()).collect();
    for number in &waiting {
        other.expect(&format!("RPUSH jobs:{number} x"), ":1\r\n");
    }
    until("every waiting client to be served", LONG, || {
        waiting.retain(|&number| !waiters[number].has_reply());
        waiting.is_empty().then_some(())
    });
    let (number, again) =
        waiters.iter_mut().enumerate().find(|(_, waiter)| waiter.got.starts_with(b"-")).expect("one was refused");
    again.got.clear();
    again.send(&format!("BLPOP jobs:{number} 0"));
    until("the refused client to wait", LONG, || (blocked(&cluster) == 1).then_some(()));
    other.expect(&format!("RPUSH jobs:{number} x"), ":1\r\n");
    until("the refused client to be served", LONG, || again.has_reply().then_some(()));
}
