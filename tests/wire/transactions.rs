//! MULTI, EXEC, DISCARD, WATCH: as a plain redis-server answers them, as long as the keys lie on one node.

use std::{fmt::Write as _, thread};

use fastrand::Rng;

use crate::support::{Client, Cluster, Redis, circlet::Circlet, cluster::plan_over, resp, seed, wait::until_true};

/// A plain server, and Circlet over one node and over three, each empty.
struct Trio {
    servers: Vec<Redis>,
    circlets: Vec<Circlet>,
}

impl Trio {
    fn start() -> Self {
        let servers = Redis::several(5);
        let circlets = vec![plan_over(&servers[1..2]).start(), plan_over(&servers[2..]).start()];
        Self { servers, circlets }
    }

    /// One client of each.
    fn clients(&self, proto: u8) -> Vec<Client> {
        let mut clients = vec![self.servers[0].client()];
        clients.extend(self.circlets.iter().map(Circlet::client));
        if proto == 3 {
            clients.iter_mut().for_each(|client| assert!(client.ask("HELLO 3").starts_with('%')));
        }
        clients
    }
}

/// Fails unless all clients are answered the same to `line`.
#[track_caller]
fn same(clients: &mut [Client], line: &str) -> String {
    let replies: Vec<String> = clients.iter_mut().map(|client| client.ask(line)).collect();
    for (at, reply) in replies.iter().enumerate() {
        assert_eq!(reply, &replies[0], "{line}, server {at}");
    }
    replies[0].clone()
}

#[test]
fn each_dialogue_is_answered_as_by_redis() {
    let trio = Trio::start();
    for dialogue in [
        "EXEC; DISCARD; UNWATCH; WATCH; MULTI x; EXEC x; DISCARD x; UNWATCH x; PING",
        "MULTI; MULTI; WATCH a; PING; EXEC; EXEC",
        "MULTI; MULTI x; EXEC; PING",
        "MULTI; EXEC x; EXEC",
        "MULTI; DISCARD x; EXEC; DISCARD",
        "MULTI; WATCH; EXEC",
        "MULTI; EXEC; MULTI; DISCARD; EXEC",
        "MULTI; NOSUCH a; GET; GET {t}k; EXEC; GET {t}k",
        "MULTI; CLIENT; CLIENT NOSUCH; CONFIG NOSUCH; EXEC",
        "MULTI; SAVE; EXEC",
        "MULTI; SYNC; SHUTDOWN; PSYNC ? -1; EXEC",
        "SET {t}k 1; MULTI; INCR {t}k; LPUSH {t}k x; INCR {t}k; EXEC; GET {t}k",
        "MULTI; SET {t}k v EX 0; MSET {t}a; XREAD STREAMS {t}s; EVAL x; GET {t}k; EXEC",
        "MULTI; MSET {t}a 1 {t}b 2; MGET {t}a {t}b {t}none; DEL {t}a {t}b; EXISTS {t}a; EXEC",
        "MULTI; UNWATCH; PING; PING a; PING a b; ECHO a; CLIENT SETNAME me; CLIENT GETNAME; AUTH x; EXEC; CLIENT GETNAME",
        "MULTI; SELECT 3; SET {t}in3 v; SELECT 99; SELECT x; GET {t}in3; EXEC; GET {t}in3; SELECT 0; GET {t}in3",
        "MULTI; SET {t}k v; SELECT 3; NOSUCH; EXEC; SELECT 0; GET {t}k",
        "MULTI; CONFIG GET maxclients; COMMAND GETKEYS GET k; CLUSTER INFO; ACL WHOAMI; EXEC",
        "MULTI; BLPOP {t}none 0; BLMOVE {t}none {t}b LEFT LEFT 0; XREAD BLOCK 0 STREAMS {t}s $; WAIT 0 0; EXEC",
        "MULTI; EVAL return(redis.call('set',KEYS[1],'x')) 1 {t}k; EVAL return(7) 0; EVALSHA ffffffffffffffffffffffffffffffffffffffff 0; EXEC",
        "MULTI; SET {t}k v; RESET; EXEC; GET {t}k",
        "WATCH {t}k; SET {t}k 1; MULTI; PING; EXEC; MULTI; PING; EXEC",
        "WATCH {t}k {t}l; WATCH {t}k; UNWATCH; SET {t}k 1; MULTI; PING; EXEC",
        "WATCH {t}k; SET {t}k 1; MULTI; DISCARD; MULTI; PING; EXEC",
        "WATCH {t}k; GET {t}k; MULTI; SET {t}k 3; NOSUCH; EXEC; MULTI; GET {t}k; EXEC",
        "WATCH {t}k; MULTI; EXEC; WATCH {t}k; SET {t}k 5; MULTI; EXEC",
        "WATCH {t}k; SELECT 2; SET {t}k other; MULTI; GET {t}k; EXEC; SELECT 0; GET {t}k",
        "WATCH {t}k; SELECT 2; WATCH {t}k; SET {t}k new; MULTI; GET {t}k; EXEC; SELECT 0",
        "MULTI; PUBLISH {t}c x; SPUBLISH {t}c x; PUBSUB NUMSUB {t}c; MONITOR; EXEC; PING",
        "MULTI; SUBSCRIBE {t}c; GET {t}none; PING; UNSUBSCRIBE {t}c; EXEC; GET {t}none",
        "WATCH {t}k; RESET; SET {t}k 1; MULTI; PING; EXEC",
        "WATCH {t}k; MULTI; SELECT 4; SET {t}k four; CLIENT SETNAME you; EXEC; GET {t}k; CLIENT GETNAME; SELECT 0",
    ] {
        for proto in [2, 3] {
            let mut clients = trio.clients(proto);
            for line in dialogue.split("; ") {
                same(&mut clients, line);
            }
        }
    }
    let mut clients = trio.clients(2);
    for line in ["SUBSCRIBE c", "MULTI", "EXEC", "EXEC x", "DISCARD", "WATCH k", "PING"] {
        same(&mut clients, line);
    }
    // The protocol of a reply changes in its middle.
    let mut clients = trio.clients(2);
    for line in ["MULTI", "GET {t}none", "HELLO 3", "GET {t}none"] {
        same(&mut clients, line);
    }
    for client in &mut clients {
        let reply = client.ask("EXEC");
        assert!(reply.starts_with("*3\r\n$-1\r\n%7\r\n") && reply.ends_with("*0\r\n_\r\n"), "{reply}");
        client.expect("GET {t}none", "_\r\n");
    }
}

#[test]
fn quit_in_a_transaction_answers_and_closes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("MULTI", "+OK\r\n");
    client.expect("SET k v", "+QUEUED\r\n");
    client.expect("QUIT", "+OK\r\n");
    assert_eq!(client.rest(), b"");
    cluster.client().expect("GET k", "$-1\r\n");
}

/// One request of a session; mostly what belongs to transactions.
fn line(rng: &mut Rng) -> String {
    let key = ["{t}a", "{t}b", "{t}c"][rng.usize(..3)];
    match rng.u8(..40) {
        0..5 => "MULTI".into(),
        5..9 => "EXEC".into(),
        9 => "DISCARD".into(),
        10..13 => format!("WATCH {key}"),
        13 => "UNWATCH".into(),
        14..18 => format!("INCR {key}"),
        18..21 => format!("SET {key} {}", rng.u8(..)),
        21..25 => format!("GET {key}"),
        25 => format!("APPEND {key} x"),
        26 => format!("DEL {key} {{t}}c"),
        27 => "MGET {t}a {t}b {t}c".into(),
        28 => "MSET {t}a 1 {t}b 2".into(),
        29 => format!("LPUSH {key} x"),
        30 => "PING".into(),
        31 => "ECHO hello".into(),
        32 => format!("CLIENT SETNAME n{}", rng.u8(..)),
        33 => "CLIENT GETNAME".into(),
        34 => format!("SELECT {}", rng.u8(..3)),
        35 => format!("EVAL return(redis.call('incr',KEYS[1])) 1 {key}"),
        36 => ["NOSUCH", "GET", "MULTI x", "DISCARD x", "SELECT 77"][rng.usize(..5)].into(),
        37 => format!("EXPIRE {key} 1000"),
        38 => "RESET".into(),
        _ => format!("STRLEN {key}"),
    }
}

#[test]
fn any_mixture_is_answered_as_by_redis() {
    let trio = Trio::start();
    let mut rng = seed::rng("any_mixture_is_answered_as_by_redis");
    for round in 0..150 {
        let proto = if rng.bool() { 3 } else { 2 };
        let mut clients = trio.clients(proto);
        let mut others = trio.clients(2);
        let mut history = String::new();
        for _ in 0..rng.usize(1..8) {
            let batch: Vec<String> = (0..rng.usize(1..25)).map(|_| line(&mut rng)).collect();
            let bytes: Vec<u8> = batch.iter().flat_map(|line| resp::words(line)).collect();
            let replies: Vec<Vec<Vec<u8>>> =
                clients.iter_mut().map(|client| client.pipeline(&bytes, batch.len())).collect();
            for (at, line) in batch.iter().enumerate() {
                let text = |server: usize| String::from_utf8_lossy(&replies[server][at]).into_owned();
                let _ = writeln!(history, "{line}: {:?}", text(0));
                for server in 1..3 {
                    assert_eq!(text(server), text(0), "round {round}, server {server}:\n{history}");
                }
            }
            if rng.bool() {
                let line = ["SET {t}a 5", "INCR {t}b", "DEL {t}a {t}c"][rng.usize(..3)];
                same(&mut others, line);
                let _ = writeln!(history, "-- another client: {line}");
            }
        }
    }
    // Two workers, three dbs, two protocols: one clean connection of each kind may be kept.
    for circlet in &trio.circlets {
        until_true("the leases to be given back", || {
            circlet.metric("circlet_leased_connections").is_some_and(|leased| leased <= 12.0)
        });
    }
}

#[test]
fn others_see_all_of_a_transaction_or_nothing() {
    let cluster = Cluster::start();
    let rounds = 400;
    cluster.client().expect("MSET {t}x 0 {t}y 0", "+OK\r\n");
    thread::scope(|scope| {
        for _ in 0..2 {
            let mut writer = cluster.client();
            scope.spawn(move || {
                for _ in 0..rounds {
                    let bytes: Vec<u8> = ["MULTI", "INCR {t}x", "CLIENT ID", "INCR {t}y", "EXEC"]
                        .iter()
                        .flat_map(|l| resp::words(l))
                        .collect();
                    let replies = writer.pipeline(&bytes, 5);
                    assert!(replies[4].starts_with(b"*3\r\n:"), "{:?}", String::from_utf8_lossy(&replies[4]));
                }
            });
        }
        let mut reader = cluster.client();
        scope.spawn(move || {
            loop {
                let reply = reader.value("MGET {t}x {t}y");
                let [x, y] = reply.list()[..] else { panic!("two values") };
                assert_eq!(x.text(), y.text());
                if x.text() == (2 * rounds).to_string() {
                    break;
                }
            }
        });
    });
}

#[test]
fn watch_and_retry_loses_no_increment() {
    let cluster = Cluster::start();
    cluster.client().expect("SET {t}n 0", "+OK\r\n");
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut client = cluster.client();
            scope.spawn(move || {
                let mut done = 0;
                while done < 50 {
                    client.expect("WATCH {t}n", "+OK\r\n");
                    let value = client.value("GET {t}n").text().parse::<i64>().unwrap();
                    client.expect("MULTI", "+OK\r\n");
                    client.expect(&format!("SET {{t}}n {}", value + 1), "+QUEUED\r\n");
                    let reply = client.ask("EXEC");
                    done += usize::from(reply == "*1\r\n+OK\r\n");
                    assert!(reply.starts_with("*1") || reply == "*-1\r\n", "{reply}");
                }
            });
        }
    });
    cluster.client().expect("GET {t}n", "$3\r\n200\r\n");
}

#[test]
fn keys_of_other_nodes_are_refused_by_name_and_nothing_runs() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (a, b) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("SET {a} v"), "+QUEUED\r\n");
    let refusal = client.ask(&format!("SET {b} v"));
    let expected =
        format!("-CROSSSLOT Keys in request don't hash to the same slot: '{a}' lies on node n1, '{b}' on node n2");
    assert!(refusal.starts_with(&expected), "{refusal}");
    client.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    client.expect(&format!("GET {a}"), "$-1\r\n");
    client.expect(&format!("WATCH {a}"), "+OK\r\n");
    assert_eq!(client.ask(&format!("WATCH {b}")), refusal);
    client.expect("MULTI", "+OK\r\n");
    assert_eq!(client.ask(&format!("GET {b}")), refusal);
    client.expect("DISCARD", "+OK\r\n");
    for line in ["DBSIZE", "KEYS *", "FLUSHALL", "SCRIPT LOAD x", "RANDOMKEY"] {
        client.expect("MULTI", "+OK\r\n");
        let reply = client.ask(line);
        assert!(reply.starts_with("-ERR '") && reply.contains("concerns every node"), "{reply}");
        client.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    }
    // SCAN and INFO promise nothing that their place in a transaction could break.
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("SET {a} v"), "+QUEUED\r\n");
    client.expect("SCAN 0", "+QUEUED\r\n");
    client.expect("INFO circlet", "+QUEUED\r\n");
    let reply = client.value("EXEC");
    assert_eq!(reply.list()[0].text(), "OK");
    assert!(reply.list()[2].text().contains("# Circlet"));
}

#[test]
fn one_node_takes_everything_in_a_transaction() {
    let node = Redis::start();
    let circlet = plan_over(std::slice::from_ref(&node)).start();
    let mut client = circlet.client();
    client.expect("MULTI", "+OK\r\n");
    for line in ["SET a 1", "SET b 2", "DBSIZE", "FLUSHALL", "DBSIZE"] {
        client.expect(line, "+QUEUED\r\n");
    }
    client.expect("EXEC", "*5\r\n+OK\r\n+OK\r\n:2\r\n+OK\r\n:0\r\n");
}

#[test]
fn what_a_node_refuses_when_the_block_comes_is_told_at_exec() {
    let cluster = Cluster::start();
    let key = cluster.key_on(0, 0);
    let mut client = cluster.client();
    cluster.nodes[0].client().expect("CONFIG SET maxmemory 1", "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("SET {key} v"), "+QUEUED\r\n");
    let reply = client.ask("EXEC");
    let start = "-EXECABORT Transaction discarded because of: OOM command not allowed";
    assert!(reply.starts_with(start), "{reply}");
    cluster.nodes[0].client().expect("CONFIG SET maxmemory 0", "+OK\r\n");
    client.expect(&format!("SET {key} v"), "+OK\r\n");
}

#[test]
fn large_transactions_go_through_and_larger_ones_are_refused() {
    let cluster = Cluster::with(|plan| plan.set("session.max_queued=20000").set("session.max_queued_bytes=8MB"));
    let mut client = cluster.client();
    let mut bytes = resp::words("MULTI");
    let value = "v".repeat(100_000);
    for number in 0..19_000 {
        bytes.extend(resp::words(&format!("RPUSH {{t}}l {number}")));
    }
    for _ in 0..60 {
        resp::request(&mut bytes, &["SET", "{t}large", &value]);
    }
    resp::request(&mut bytes, &["GET", "{t}large"]);
    bytes.extend(resp::words("EXEC"));
    let replies = client.pipeline(&bytes, 19_063);
    let last = replies.last().unwrap();
    assert!(last.starts_with(b"*19061\r\n:1\r\n:2\r\n") && last.len() > 100_000);
    client.expect("LLEN {t}l", ":19000\r\n");
    let count = 20_001;
    let mut bytes = resp::words("MULTI");
    bytes.extend(resp::words("INCR {t}n").repeat(count));
    bytes.extend(resp::words("EXEC"));
    let replies = client.pipeline(&bytes, count + 2);
    assert!(
        replies[count].starts_with(b"-ERR the transaction is larger than session.max_queued allows (20000 commands)")
    );
    assert!(replies[count + 1].starts_with(b"-EXECABORT "));
    client.expect("GET {t}n", "$-1\r\n");
}

#[test]
fn client_list_shows_who_is_in_a_transaction() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client(), cluster.client());
    let line = |other: &mut Client| {
        let list = other.ask("CLIENT LIST");
        list.lines().find(|line| line.contains(" name=me ")).map(str::to_owned).unwrap_or_default()
    };
    client.expect("CLIENT SETNAME me", "+OK\r\n");
    assert!(line(&mut other).contains(" multi=-1 "));
    client.expect("MULTI", "+OK\r\n");
    client.expect("GET a", "+QUEUED\r\n");
    client.expect("ECHO x", "+QUEUED\r\n");
    let shown = line(&mut other);
    assert!(shown.contains(" flags=x ") && shown.contains(" multi=2 "), "{shown}");
    assert!(client.ask("EXEC").starts_with("*2"));
    let shown = line(&mut other);
    assert!(shown.contains(" flags=N ") && shown.contains(" multi=-1 "), "{shown}");
}

#[test]
fn whatever_a_client_leaves_behind_the_next_one_finds_nothing_of_it() {
    let cluster = Cluster::with(|plan| plan.set("workers=1"));
    let mut rng = seed::rng("whatever_a_client_leaves_behind_the_next_one_finds_nothing_of_it");
    let dirt = ["WATCH {t}k", "MULTI", "SELECT 3", "HELLO 3", "INCR {t}k", "EXEC", "CLIENT REPLY OFF", "BLPOP {t}q 0"];
    for _ in 0..60 {
        let mut bytes = Vec::new();
        for _ in 0..rng.usize(1..8) {
            bytes.extend(resp::words(dirt[rng.usize(..dirt.len())]));
        }
        let mut dirty = cluster.client();
        dirty.send(&bytes);
        if rng.bool() {
            let _ = dirty.try_frame(std::time::Duration::from_millis(20));
        }
        drop(dirty);
        let mut next = cluster.client();
        next.expect("SET {t}clean 1", "+OK\r\n");
        next.expect("WATCH {t}clean", "+OK\r\n");
        next.expect("GET {t}none", "$-1\r\n");
        next.expect("MULTI", "+OK\r\n");
        next.expect("GET {t}clean", "+QUEUED\r\n");
        next.expect("EXEC", "*1\r\n$1\r\n1\r\n");
        next.expect("BLPOP {t}empty 0.001", "*-1\r\n");
    }
}

#[test]
fn a_transaction_of_a_client_that_caches_is_tracked() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    let told = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$4\r\n{t}k\r\n";
    for watch in [false, true] {
        if watch {
            client.expect("WATCH {t}w", "+OK\r\n");
        }
        client.expect("MULTI", "+OK\r\n");
        client.expect("GET {t}k", "+QUEUED\r\n");
        assert!(client.ask("EXEC").starts_with("*1\r\n"));
        other.expect("SET {t}k v", "+OK\r\n");
        assert_eq!(String::from_utf8(client.frame()).unwrap(), told);
    }
    client.expect("CLIENT TRACKING OFF", "+OK\r\n");
    client.expect("WATCH {t}w", "+OK\r\n");
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect("GET {t}k", "+QUEUED\r\n");
    // What it reads is not tracked on the watching connection: it is to be forgotten at once.
    client.expect("EXEC", "*1\r\n$1\r\nv\r\n");
    assert_eq!(client.frame(), b">2\r\n$10\r\ninvalidate\r\n_\r\n");
    client.expect("WATCH {t}w", "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect("GET {t}k", "+QUEUED\r\n");
    client.expect("EXEC", "*1\r\n$1\r\nv\r\n");
}
