//! What clients and nodes may cost: resident memory of the process, each with its bound.
//!
//! Bounds are of what a test adds to the process that has just started, and generous: allocators keep some of what they
//! get. They are far below what a missing bound would cost, which stands beside each.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{
    Circlet, Client, Cluster, Redis,
    circlet::Plan,
    client::shown,
    cluster::named,
    fake::{Fake, polite},
    resp,
    wait::until_true,
};

const MB: usize = 1 << 20;

/// `max_buffered` of [`small`].
const BUFFERED: usize = 64 * MB;

/// Time until the session of a client that owes nothing and does nothing has no buffers any more.
const SWEPT: Duration = Duration::from_secs(5);

/// What a test adds to a Circlet's memory.
#[derive(Debug)]
struct Cost<'a> {
    circlet: &'a Circlet,
    before: usize,
}

impl<'a> Cost<'a> {
    /// From now on.
    fn of(circlet: &'a Circlet) -> Self {
        Self { circlet, before: circlet.resident() }
    }

    fn now(&self) -> usize {
        self.circlet.resident().saturating_sub(self.before)
    }

    /// The most that there is while `run` runs; what `run` gives.
    fn most_during<T>(&self, what: &str, run: impl FnOnce() -> T) -> (usize, T) {
        let (over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    most.fetch_max(self.now(), SeqCst);
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let guard = Ended(&over);
            let result = run();
            drop(guard);
            result
        });
        let most = most.load(SeqCst);
        eprintln!("{what}: at most {:.1} MB more than {:.1} MB", megabytes(most), megabytes(self.before));
        (most, result)
    }

    /// Waits until no more than `bound` is left of it.
    fn falls_below(&self, what: &str, bound: usize) {
        let end = Instant::now() + 2 * SWEPT;
        while self.now() > bound && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{what}: {:.1} MB left", megabytes(self.now()));
        assert!(self.now() <= bound, "{what}: {:.1} MB are kept", megabytes(self.now()));
    }
}

/// Ends the watching also when a test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[expect(clippy::cast_precision_loss, reason = "to be read by people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / MB as f64
}

#[track_caller]
fn assert_below(most: usize, bound: usize) {
    assert!(most < bound, "{:.1} MB, and the bound is {:.1} MB", megabytes(most), megabytes(bound));
}

/// Limits that are reached soon. Each of the two workers has half of what may be buffered.
fn small(plan: Plan) -> Plan {
    ["max_buffered=64MB", "max_request=64MB", "max_bulk=60MB"]
        .iter()
        .fold(plan.set("session.hard_output=32MB"), |plan, limit| plan.set(&format!("limits.{limit}")))
}

/// A request's bytes.
fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    resp::request(&mut bytes, words);
    bytes
}

/// Bound: `session.hard_output` (256 MB) and 64 MB; without one it would be 1,000 MB.
#[test]
fn a_client_that_never_reads_is_closed_at_the_hard_limit() {
    // The node answers nothing before it has made up all replies, which takes seconds on a busy machine.
    let cluster = Cluster::with(|plan| plan.set("pipe.request_timeout=60s"));
    let mut other = cluster.client();
    assert_eq!(other.call(&[b"SET", &b"k"[..], &vec![b'v'; MB]]), b"+OK\r\n");
    let mut greedy = cluster.client();
    greedy.expect("PING", "+PONG\r\n");
    let cost = Cost::of(&cluster.circlet);
    let (most, ()) = cost.most_during("never reads", || {
        // Closed while it sends.
        let _ = greedy.try_send(&resp::words("GET k").repeat(1_000));
        let end = Instant::now() + Duration::from_secs(20);
        while cluster.circlet.metric("circlet_sessions") > Some(1.0) && Instant::now() < end {
            thread::sleep(Duration::from_millis(50));
        }
    });
    eprintln!("{}", other.value("CLIENT LIST").text());
    assert_below(most, (256 + 64) * MB);
    until_true("the reason to be counted", || {
        cluster.circlet.metric("circlet_sessions_closed_total{reason=\"output_limit\"}") == Some(1.0)
    });
    other.expect("STRLEN k", ":1048576\r\n");
    cost.falls_below("after a client that never read", 40 * MB);
}

/// Bound: with small replies a client that does not read is paused at the soft limit (1 MB), and costs no more than a few MB.
#[test]
fn a_client_that_reads_late_is_paused_and_loses_nothing() {
    let cluster = Cluster::start();
    let mut late = cluster.client();
    late.call(&[b"SET", &b"k"[..], &vec![b'v'; 10_000]]);
    let cost = Cost::of(&cluster.circlet);
    let count = 20_000;
    let bytes = resp::words("GET k").repeat(count);
    let mut writer = late.writer();
    let (most, ()) = cost.most_during("reads late", || {
        thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).unwrap());
            thread::sleep(Duration::from_secs(1));
            for _ in 0..count {
                assert_eq!(late.frame().len(), 10_010);
            }
        });
    });
    // 200 MB pass. 1,024 pending replies may arrive behind the pause: 10 MB, in chunks of 64 KB each if it goes badly.
    assert_below(most, (1 + 64 + 16) * MB);
}

/// Bound: 2 KB for each of 200 clients and 4 MB; the headers promise 100 GB.
#[test]
fn a_header_reserves_nothing() {
    let cluster = Cluster::start();
    cluster.client().expect("PING", "+PONG\r\n");
    let cost = Cost::of(&cluster.circlet);
    let (most, clients) = cost.most_during("200 headers of 512 MB", || {
        let clients: Vec<Client> = (0..200)
            .map(|_| {
                let mut client = cluster.client();
                client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
                client
            })
            .collect();
        until_true("all to be taken in", || {
            cluster.circlet.metric("circlet_client_bytes_total{direction=\"in\"}") >= Some(200.0 * 32.0)
        });
        clients
    });
    assert_below(most, 200 * 2_048 + 4 * MB);
    drop(clients);
}

/// Bound: a worker's half of `max_buffered` (32 MB), what comes between two looks at it, and slack.
#[test]
fn a_request_that_grows_past_what_may_be_buffered_ends_its_client() {
    let cluster = Cluster::with(small);
    let mut other = cluster.client();
    other.expect("SET k v", "+OK\r\n");
    let mut greedy = cluster.client();
    let cost = Cost::of(&cluster.circlet);
    let (most, sent) = cost.most_during("60 MB of a request", || {
        greedy.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$62914560\r\n");
        let piece = vec![b'x'; MB];
        (0..60).find(|_| {
            thread::sleep(Duration::from_millis(20));
            greedy.try_send(&piece).is_err()
        })
    });
    assert!(sent.is_some(), "60 MB were taken");
    assert_below(most, BUFFERED + 16 * MB);
    other.expect("GET k", "$1\r\nv\r\n");
    cost.falls_below("after a request that was too large", 24 * MB);
}

/// Bound: 512 MB arrive, 600 MB are tried; a request is held once, and not at all when its client is closed.
#[test]
fn the_largest_request_is_held_once() {
    let cluster = Cluster::start();
    let mut greedy = cluster.client();
    greedy.expect("SET k v", "+OK\r\n");
    let cost = Cost::of(&cluster.circlet);
    let start = Instant::now();
    let (most, ()) = cost.most_during("512 MB, and more than that", || {
        greedy.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n");
        let piece = vec![b'x'; MB];
        // Behind the 512th MB no line ends, as it must.
        let _ = (0..600).find(|_| greedy.try_send(&piece).is_err());
        let reply = greedy.try_frame(Duration::from_secs(20));
        assert!(reply.is_err() || reply.is_ok_and(|reply| reply.starts_with(b"-ERR Protocol error: ")));
    });
    eprintln!("after {:?}", start.elapsed());
    assert_below(most, (512 + 64) * MB);
    cost.falls_below("after 600 MB", 24 * MB);
}

/// Bound: `max_buffered` (64 MB), what comes between two looks at it, and slack; without one it would be 400 MB.
#[test]
fn many_requests_together_are_bounded_too() {
    let cluster = Cluster::with(small);
    cluster.client().expect("PING", "+PONG\r\n");
    let cost = Cost::of(&cluster.circlet);
    let (most, clients) = cost.most_during("40 unfinished requests of 10 MB", || {
        let piece = vec![b'x'; 10 * MB];
        (0..40)
            .map(|_| {
                let mut client = cluster.client();
                client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$62914560\r\n");
                let _ = client.try_send(&piece);
                thread::sleep(Duration::from_millis(60));
                client
            })
            .collect::<Vec<_>>()
    });
    assert_below(most, BUFFERED + 40 * MB);
    assert!(cluster.circlet.metric("circlet_sessions") < Some(20.0), "the largest have been closed");
    drop(clients);
}

/// Bound: 1.5 KB of memory for each idle client, and 2 MB for tables that grow by doubling.
#[test]
fn five_thousand_idle_clients_cost_little() {
    let count = 5_000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let cluster = Cluster::start();
    cluster.client().expect("SET k v", "+OK\r\n");
    let cost = Cost::of(&cluster.circlet);
    let mut clients: Vec<Client> = (0..count).map(|_| cluster.client()).collect();
    until_true("all to be taken in", || cluster.circlet.metric("circlet_sessions") >= Some(f64::from(count)));
    let bound = count as usize * 1_536 + 2 * MB;
    let show = |what: &str| {
        eprintln!("{what}: {} bytes each", cost.now() / count as usize);
    };
    show("5,000 idle clients");
    assert_below(cost.now(), bound);
    for client in &mut clients {
        client.send(&request(&[b"GET", &[b'k'; 1_000]]));
    }
    for client in &mut clients {
        assert_eq!(client.frame(), b"$-1\r\n");
    }
    show("just after a request each");
    thread::sleep(SWEPT);
    show("idle again");
    assert_below(cost.now(), bound);
    drop(clients);
    until_true("all to be gone", || cluster.circlet.metric("circlet_sessions") == Some(0.0));
}

/// Bound: 40 MB are kept of 64 replies of 8 MB, and of as many requests.
#[test]
fn what_a_burst_took_is_given_back() {
    let cluster = Cluster::start();
    let value = vec![b'v'; 8 * MB];
    let mut clients: Vec<Client> = (0..64).map(|_| cluster.client()).collect();
    for client in &mut clients {
        client.expect("PING", "+PONG\r\n");
    }
    let cost = Cost::of(&cluster.circlet);
    let (_, ()) = cost.most_during("64 values of 8 MB", || {
        for (number, client) in clients.iter_mut().enumerate().take(16) {
            assert_eq!(client.call(&[b"SET", format!("k{number}").as_bytes(), &value]), b"+OK\r\n");
        }
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(&resp::words(&format!("GET k{}", number % 16)));
        }
        for client in &mut clients {
            assert_eq!(client.frame().len(), 8 * MB + 12);
        }
    });
    cost.falls_below("after a burst", 40 * MB);
}

/// Bound: 24 MB are kept of an MSET of 128 MB over three nodes, an MGET of the same, and the MSET again.
#[test]
fn what_a_large_split_took_is_given_back() {
    let cluster = Cluster::start();
    let value = vec![b'v'; 8 * MB];
    let mut client = cluster.client();
    client.expect("MSET a 1 b 2 c 3 d 4", "+OK\r\n");
    let keys: Vec<String> = (0..16).map(|number| format!("k{number}")).collect();
    let cost = Cost::of(&cluster.circlet);
    let (most, ()) = cost.most_during("128 MB over three nodes", || {
        let mut words: Vec<&[u8]> = vec![b"MSET"];
        for key in &keys {
            words.extend([key.as_bytes(), &value]);
        }
        assert_eq!(client.call(&words), b"+OK\r\n");
        assert!(client.ask(&format!("MGET {}", keys.join(" "))).len() > 128 * MB);
        assert_eq!(client.call(&words), b"+OK\r\n");
    });
    // Request, parts, what is to be written: at most five times.
    assert_below(most, 5 * 128 * MB);
    cost.falls_below("after a large split", 24 * MB);
}

/// Bound: `max_buffered` (64 MB), what one look misses, and slack; without one it would be 400 MB, and many more with more clients.
///
/// One node answers, the other hangs: half of the replies to 100 MGETs wait in Circlet.
#[test]
fn parts_that_wait_for_a_hung_node_are_bounded() {
    let mut cluster = Cluster::with(|plan| small(plan).set("pipe.request_timeout=6s"));
    let (fine, hung) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    let mut client = cluster.client();
    let mut other = cluster.client();
    client.call(&[b"SET", fine.as_bytes(), &vec![b'v'; MB]]);
    client.expect(&format!("SET {hung} v"), "+OK\r\n");
    other.expect(&format!("STRLEN {fine}"), ":1048576\r\n");
    let line = format!("MGET {}{hung}", format!("{fine} ").repeat(4));
    let bytes = resp::words(&line).repeat(100);
    let cost = Cost::of(&cluster.circlet);
    cluster.nodes[1].pause();
    let (most, ()) = cost.most_during("halves of MGETs", || {
        client.send(&bytes);
        thread::sleep(Duration::from_secs(4));
    });
    cluster.nodes[1].resume();
    assert_below(most, BUFFERED + 96 * MB);
    other.expect(&format!("STRLEN {fine}"), ":1048576\r\n");
}

/// Bound: `max_buffered` (64 MB) and as much again; without one it is 12 bytes for each argument, 400 MB for 32 clients.
///
/// A request of 1,048,576 arguments, and the first byte of the next: its scanner stays in use.
#[test]
fn what_a_scanner_remembers_is_bounded() {
    let cluster = Cluster::with(small);
    cluster.client().expect("SET k v", "+OK\r\n");
    let cost = Cost::of(&cluster.circlet);
    let mut bytes = b"*1048576\r\n$6\r\nEXISTS\r\n".to_vec();
    bytes.extend(b"$0\r\n\r\n".repeat(1_048_575));
    bytes.extend(b"*");
    let mut clients = Vec::new();
    for _ in 0..32 {
        let mut client = cluster.client();
        if client.try_send(&bytes).is_ok() && client.try_frame(Duration::from_secs(10)).is_ok() {
            clients.push(client);
        }
    }
    thread::sleep(SWEPT);
    eprintln!("{} scanners with one byte each: {:.1} MB", clients.len(), megabytes(cost.now()));
    assert_below(cost.now(), 2 * BUFFERED);
}

/// Bound: `max_buffered` (64 MB) and as much again, whichever way it is kept; without one it would be 640 MB.
#[test]
fn names_that_clients_give_themselves_are_bounded() {
    let cluster = Cluster::with(small);
    cluster.client().expect("PING", "+PONG\r\n");
    let cost = Cost::of(&cluster.circlet);
    let bytes = request(&[b"CLIENT", b"SETNAME", &vec![b'n'; 10 * MB]]);
    let mut clients = Vec::new();
    for _ in 0..64 {
        let mut client = cluster.client();
        // Refused or closed is as good as forgotten.
        if client.try_send(&bytes).is_ok() {
            let _ = client.try_frame(Duration::from_secs(10));
        }
        clients.push(client);
    }
    thread::sleep(SWEPT);
    eprintln!("64 names of 10 MB: {:.1} MB", megabytes(cost.now()));
    assert_below(cost.now(), 2 * BUFFERED);
}

/// Bound: 32 MB; a node that goes on sending one array which nobody asked for would cost 300 MB and more.
#[test]
fn a_reply_without_end_that_nobody_asked_for_is_not_kept() {
    let node = Fake::start(|words| {
        let mut bytes = polite(words);
        if words[0] == "get" {
            bytes.extend_from_slice(b"*1000000000\r\n");
            bytes.extend_from_slice(
                &b"$1000\r\n".iter().copied().chain([b'x'; 1_000]).chain(*b"\r\n").collect::<Vec<_>>().repeat(300_000),
            );
        }
        Some(bytes)
    });
    let circlet = small(Plan::default().node(named(0, &node.address()))).start();
    let mut client = circlet.client();
    let cost = Cost::of(&circlet);
    let (most, ()) = cost.most_during("300 MB that nobody asked for", || {
        client.expect("GET k", "+OK\r\n");
        thread::sleep(Duration::from_secs(3));
    });
    assert_below(most, 32 * MB);
}

/// Bound: 16 MB; nesting of a million levels, from a client and from a node.
#[test]
fn deep_nesting_is_refused() {
    let node = Fake::start(|words| {
        let deep = words[0] == "get";
        Some(if deep { b"*1\r\n".repeat(1_000_000) } else { polite(words) })
    });
    let circlet = Plan::default().node(named(0, &node.address())).start();
    let cost = Cost::of(&circlet);
    let (most, ()) = cost.most_during("a million levels", || {
        let mut client = circlet.client();
        // Closed while it sends.
        let _ = client.try_send(&b"*1\r\n".repeat(1_000_000));
        let reply = client.try_frame(Duration::from_secs(10));
        assert!(reply.is_err() || reply.is_ok_and(|reply| reply == b"-ERR Protocol error: expected '$', got '*'\r\n"));
        let reply = circlet.client().ask("GET k");
        assert!(reply.starts_with("-NODEDOWN "), "{}", shown(reply.as_bytes()));
    });
    assert_below(most, 16 * MB);
    circlet.client().expect("PING", "+PONG\r\n");
}

/// Bound: 24 times the bytes of the largest number of arguments (6 MB); one argument more is refused at its header.
#[test]
fn a_million_arguments_are_taken_and_one_more_is_refused() {
    let node = Redis::start();
    let circlet = Plan::default().node(named(0, &node.address())).start();
    let cost = Cost::of(&circlet);
    let (most, ()) = cost.most_during("1,048,576 arguments", || {
        let mut client = circlet.client();
        client.send(b"*1048577\r\n");
        assert_eq!(client.frame(), b"-ERR Protocol error: invalid multibulk length\r\n");
        assert_eq!(client.rest(), b"");
        let mut client = circlet.client();
        let mut bytes = b"*1048576\r\n$6\r\nEXISTS\r\n".to_vec();
        bytes.extend(b"$1\r\nk\r\n".repeat(1_048_575));
        client.expect("SET k v", "+OK\r\n");
        assert_eq!(client.pipeline(&bytes, 1)[0], b":1048575\r\n");
    });
    assert_below(most, 24 * 7 * MB);
    cost.falls_below("after a million arguments", 24 * MB);
}

/// Bound: one reply may be larger than `session.hard_output`, also when a small one comes while it waits.
#[test]
fn a_reply_larger_than_the_hard_limit_arrives_whole() {
    let mut cluster = Cluster::with(|plan| plan.set("session.hard_output=4MB").set("session.soft_output=64KB"));
    let (large, small) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    let mut client = cluster.client();
    client.call(&[b"SET", large.as_bytes(), &vec![b'v'; 48 * MB]]);
    client.expect(&format!("SET {small} v"), "+OK\r\n");
    for (first, second) in [(&large, &small), (&small, &large)] {
        cluster.nodes[1].pause();
        client.send(&[resp::words(&format!("GET {first}")), resp::words(&format!("GET {second}"))].concat());
        // Most of it waits in Circlet.
        thread::sleep(Duration::from_millis(700));
        cluster.nodes[1].resume();
        thread::sleep(Duration::from_millis(200));
        let lengths = [client.try_frame(Duration::from_secs(20)), client.try_frame(Duration::from_secs(20))];
        let lengths = lengths.map(|frame| frame.map(|frame| frame.len()).unwrap_or_default());
        let expected = if first == &large { [48 * MB + 13, 7] } else { [7, 48 * MB + 13] };
        assert_eq!(lengths, expected, "{first} before {second}; large is {large}");
    }
}
