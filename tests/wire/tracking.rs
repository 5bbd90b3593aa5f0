//! CLIENT TRACKING: what a client has cached and another one changes, it is told, whatever node it lies on.

use crate::support::{
    Client, Cluster, Redis,
    cluster::{key_on, named},
    relay::Relay,
    resp::words,
    wait::until_true,
};

const NULL: &str = ">2\r\n$10\r\ninvalidate\r\n_\r\n";

fn invalidation(key: &str) -> String {
    format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len())
}

fn next(client: &mut Client) -> String {
    String::from_utf8(client.frame()).unwrap()
}

/// Nothing more has come to `client` than what was read: the next thing is the answer to this.
#[track_caller]
fn nothing_more(client: &mut Client) {
    client.expect("ECHO end", "$3\r\nend\r\n");
}

/// Connections of tracking clients at the nodes.
fn tracking_at_nodes(nodes: &[Redis]) -> usize {
    let count = |node: &Redis| node.client().ask("CLIENT LIST").matches(" flags=t").count();
    nodes.iter().map(count).sum()
}

#[test]
fn a_key_that_was_read_and_is_changed_by_another_client_is_told() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    for node in 0..3 {
        let (key, unread) = (cluster.key_on(node, 0), cluster.key_on(node, 1));
        other.expect(&format!("SET {key} v"), "+OK\r\n");
        client.expect(&format!("GET {key}"), "$1\r\nv\r\n");
        other.expect(&format!("SET {unread} w"), "+OK\r\n");
        other.expect(&format!("SET {key} w"), "+OK\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
        // Once is enough, until it is read again.
        other.expect(&format!("SET {key} x"), "+OK\r\n");
        client.expect(&format!("GET {key}"), "$1\r\nx\r\n");
        other.expect(&format!("DEL {key}"), ":1\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
    }
    nothing_more(&mut client);
    assert!(cluster.circlet.metric("circlet_sessions_tracking").is_some_and(|count| count <= 1.0));
    until_true("the numbers to be published", || {
        cluster.circlet.metric("circlet_invalidations_total") == Some(6.0)
            && cluster.circlet.metric("circlet_sessions_tracking") == Some(1.0)
    });
}

#[test]
fn keys_that_were_read_together_and_keys_that_expire_are_told() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    let keys: Vec<String> = (0..3).map(|node| cluster.key_on(node, 0)).collect();
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    client.expect(&format!("MGET {} {} {}", keys[0], keys[1], keys[2]), "*3\r\n_\r\n_\r\n_\r\n");
    other.expect(&format!("MSET {} 1 {} 2 {} 3", keys[0], keys[1], keys[2]), "+OK\r\n");
    let mut told: Vec<String> = (0..3).map(|_| next(&mut client)).collect();
    let mut expected: Vec<String> = keys.iter().map(|key| invalidation(key)).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
    other.expect(&format!("SET {} v PX 60", keys[1]), "+OK\r\n");
    client.expect(&format!("GET {}", keys[1]), "$1\r\nv\r\n");
    assert_eq!(next(&mut client), invalidation(&keys[1]));
    nothing_more(&mut client);
}

#[test]
fn its_own_writes_are_told_unless_it_says_noloop() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    for node in 0..3 {
        let key = cluster.key_on(node, 0);
        client.expect("CLIENT TRACKING OFF", "+OK\r\n");
        client.expect("CLIENT TRACKING ON", "+OK\r\n");
        client.expect(&format!("GET {key}"), "_\r\n");
        client.send(&words(&format!("SET {key} 1")));
        // Before or behind the reply, as the node's version has it.
        let mut both = [next(&mut client), next(&mut client)];
        both.sort();
        assert_eq!(both, ["+OK\r\n".to_owned(), invalidation(&key)]);
        client.expect("CLIENT TRACKING OFF", "+OK\r\n");
        client.expect("CLIENT TRACKING ON NOLOOP", "+OK\r\n");
        client.expect(&format!("GET {key}"), "$1\r\n1\r\n");
        client.expect(&format!("SET {key} 2"), "+OK\r\n");
        client.expect(&format!("GET {key}"), "$1\r\n2\r\n");
        other.expect(&format!("SET {key} 3"), "+OK\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
        client.expect(&format!("DEL {key}"), ":1\r\n");
    }
    nothing_more(&mut client);
}

#[test]
fn optin_and_optout_ask_before_each_command() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    let keys: Vec<String> = (0..3).map(|node| cluster.key_on(node, 0)).collect();
    let read = format!("MGET {} {} {}", keys[0], keys[1], keys[2]);
    let mut told = |client: &mut Client| {
        keys.iter().for_each(|key| other.expect(&format!("SET {key} v"), "+OK\r\n"));
        client.send(&words("ECHO end"));
        let mut told = Vec::new();
        loop {
            let frame = next(client);
            if frame == "$3\r\nend\r\n" {
                return told.len();
            }
            told.push(frame);
        }
    };
    for (mode, word, plain, excepted) in [("OPTIN", "YES", 0, 3), ("OPTOUT", "NO", 3, 0)] {
        client.expect("CLIENT TRACKING OFF", "+OK\r\n");
        client.expect(&format!("CLIENT TRACKING ON {mode}"), "+OK\r\n");
        for (caching, expected) in [(false, plain), (true, excepted), (false, plain)] {
            if caching {
                client.expect(&format!("CLIENT CACHING {word}"), "+OK\r\n");
            }
            assert!(client.ask(&read).starts_with("*3\r\n"));
            // The writes are answered, and their invalidations may still be on their way.
            let mut count = told(&mut client);
            while count < expected {
                count += told(&mut client);
            }
            assert_eq!(count, expected, "{mode}, {caching}");
        }
    }
}

#[test]
fn broadcast_tells_every_key_with_the_prefix_read_or_not() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    client.expect("CLIENT TRACKING ON BCAST PREFIX key: PREFIX user:", "+OK\r\n");
    for node in 0..3 {
        let key = cluster.key_on(node, 0);
        other.expect(&format!("SET other:{key} v"), "+OK\r\n");
        other.expect(&format!("SET {key} v"), "+OK\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
    }
    client.expect("CLIENT TRACKING ON BCAST PREFIX more:", NULL);
    assert_eq!(next(&mut client), "+OK\r\n");
    other.expect("SET more:1 v", "+OK\r\n");
    assert_eq!(next(&mut client), invalidation("more:1"));
    other.expect("SET user:1 v", "+OK\r\n");
    assert_eq!(next(&mut client), invalidation("user:1"));
    nothing_more(&mut client);
    // With NOLOOP, what it writes itself is not told.
    client.expect("CLIENT TRACKING OFF", "+OK\r\n");
    client.expect("CLIENT TRACKING ON BCAST NOLOOP", "+OK\r\n");
    for node in 0..3 {
        client.expect(&format!("SET {} w", cluster.key_on(node, 0)), "+OK\r\n");
    }
    other.expect("SET last v", "+OK\r\n");
    assert_eq!(next(&mut client), invalidation("last"));
}

#[test]
fn flushall_is_told() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    for node in 0..3 {
        client.expect(&format!("GET {}", cluster.key_on(node, 0)), "_\r\n");
    }
    other.expect("FLUSHALL", "+OK\r\n");
    for _ in 0..3 {
        assert_eq!(next(&mut client), NULL);
    }
    client.send(&words("FLUSHALL"));
    let mut all: Vec<String> = (0..4).map(|_| next(&mut client)).collect();
    all.sort();
    assert_eq!(all, ["+OK\r\n", NULL, NULL, NULL]);
    nothing_more(&mut client);
}

#[test]
fn an_invalidation_comes_behind_the_value_that_it_invalidates() {
    let nodes = Redis::several(3);
    let relay = Relay::to(&nodes[0].address());
    let plan = crate::support::circlet::Plan::default().node(named(0, &relay.address()));
    let circlet = plan.node(named(1, &nodes[1].address())).node(named(2, &nodes[2].address())).start();
    let (slow, fast) = (key_on(3, 0, 0), key_on(3, 1, 0));
    let (mut client, mut other) = (circlet.client3(), circlet.client());
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    client.expect(&format!("MGET {slow} {fast}"), "*2\r\n_\r\n_\r\n");
    for round in 1..=10 {
        other.expect(&format!("SET {fast} old"), "+OK\r\n");
        while client.whatever_comes(std::time::Duration::from_millis(50)).is_empty() {}
        assert_eq!(next(&mut client), invalidation(&fast));
        relay.hold();
        let split = round % 2 == 0;
        let request = if split {
            words(&format!("MGET {slow} {fast}"))
        } else {
            [words(&format!("GET {slow}")), words(&format!("GET {fast}"))].concat()
        };
        client.send(&request);
        until_true("the slow node to have answered", || relay.holds_a_reply());
        // The read of the fast key may still be under way: it is changed until that is told, the second time in a round.
        until_true("the invalidation to be there", || {
            other.expect(&format!("SET {fast} new"), "+OK\r\n");
            circlet.metric("circlet_invalidations_total") == Some(f64::from(2 * round))
        });
        relay.release();
        let mut frames = vec![next(&mut client), next(&mut client)];
        if !split {
            frames.push(next(&mut client));
        }
        let value =
            frames.iter().position(|frame| frame.ends_with("$3\r\nold\r\n") || frame.ends_with("$3\r\nnew\r\n"));
        let told = frames.iter().position(|frame| *frame == invalidation(&fast));
        assert!(value.is_some() && value < told, "round {round}: {frames:?}");
        client.expect(&format!("MGET {slow} {fast}"), "*2\r\n_\r\n$3\r\nnew\r\n");
    }
}

#[test]
fn with_redirect_another_session_is_told_whatever_worker_has_it() {
    let cluster = Cluster::start();
    let mut other = cluster.client();
    for round in 0..6 {
        let mut target = cluster.client3();
        let mut client = if round % 2 == 0 { cluster.client() } else { cluster.client3() };
        let number = target.value("CLIENT ID").number();
        client.expect(&format!("CLIENT TRACKING ON REDIRECT {number}"), "+OK\r\n");
        client.expect("CLIENT GETREDIR", &format!(":{number}\r\n"));
        for node in 0..3 {
            let key = cluster.key_on(node, round);
            assert!(client.ask(&format!("GET {key}")).starts_with(['$', '_']));
            other.expect(&format!("SET {key} v"), "+OK\r\n");
            assert_eq!(next(&mut target), invalidation(&key));
        }
        nothing_more(&mut client);
        let key = cluster.key_on(0, 0);
        assert!(client.ask(&format!("GET {key}")).starts_with(['$', '_']));
        other.expect("FLUSHALL", "+OK\r\n");
        for _ in 0..3 {
            assert_eq!(next(&mut target), NULL);
        }
        drop(target);
        until_true("the target to be gone", || !other.ask("CLIENT LIST").contains(&format!("id={number} ")));
        assert!(client.ask(&format!("GET {key}")).starts_with(['$', '_']));
        other.expect(&format!("SET {key} v"), "+OK\r\n");
        if round % 2 == 1 {
            assert_eq!(next(&mut client), format!(">2\r\n$21\r\ntracking-redir-broken\r\n:{number}\r\n"));
        }
        until_true("the flag", || client.ask("CLIENT TRACKINGINFO").contains("broken_redirect"));
        assert!(client.ask("CLIENT INFO").contains(" flags=tR "));
        other.expect("FLUSHALL", "+OK\r\n");
    }
}

#[test]
fn a_node_that_dies_takes_what_was_tracked_with_it() {
    let mut cluster = Cluster::start();
    let (mut client, mut target, mut other) = (cluster.client3(), cluster.client3(), cluster.client());
    let mut redirected = cluster.client();
    let mut listener = cluster.client3();
    let key = cluster.key_on(1, 0);
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    let number = target.value("CLIENT ID").number();
    redirected.expect(&format!("CLIENT TRACKING ON REDIRECT {number}"), "+OK\r\n");
    listener.expect("CLIENT TRACKING ON BCAST", "+OK\r\n");
    client.expect(&format!("GET {key}"), "_\r\n");
    redirected.expect(&format!("GET {key}"), "$-1\r\n");
    cluster.nodes[1].kill();
    for who in [&mut client, &mut target, &mut listener] {
        assert_eq!(next(who), NULL);
    }
    cluster.nodes[1].start_again();
    cluster.circlet.wait_nodes_up(3);
    // Whoever listens to everything is told once more, when it hears the node again.
    assert_eq!(next(&mut listener), NULL);
    until_true("reads to pass again", || client.ask(&format!("GET {key}")) == "_\r\n");
    until_true("reads to pass again", || redirected.ask(&format!("GET {key}")) == "$-1\r\n");
    other.expect(&format!("SET {key} v"), "+OK\r\n");
    for who in [&mut client, &mut target, &mut listener] {
        assert_eq!(next(who), invalidation(&key));
    }
}

#[test]
fn nothing_is_left_behind_for_the_next_user() {
    let cluster = Cluster::start();
    let keys: Vec<String> = (0..3).map(|node| cluster.key_on(node, 0)).collect();
    let read = format!("MGET {} {} {}", keys[0], keys[1], keys[2]);
    for (mode, end) in [("", "OFF"), ("BCAST", "RESET"), ("OPTIN", "gone"), ("BCAST NOLOOP", "QUIT")] {
        let mut client = cluster.client3();
        client.expect(format!("CLIENT TRACKING ON {mode}").trim_end(), "+OK\r\n");
        assert!(client.ask(&read).starts_with("*3\r\n"));
        assert_eq!(tracking_at_nodes(&cluster.nodes), 3, "{mode}");
        match end {
            "OFF" => client.expect("CLIENT TRACKING OFF", "+OK\r\n"),
            "gone" => {}
            word => assert!(client.ask(word).starts_with('+')),
        }
        let mut kept = Some(client).filter(|_| end != "gone");
        until_true("the connections to be closed", || tracking_at_nodes(&cluster.nodes) == 0);
        // Its own connection is as any other again.
        if let Some(client) = kept.as_mut().filter(|_| end != "QUIT") {
            assert!(client.ask(&read).starts_with("*3\r\n"));
            cluster.client().expect(&format!("SET {} v", keys[0]), "+OK\r\n");
            nothing_more(client);
        }
        // And who blocks next gets a clean one.
        let mut blocked = cluster.client3();
        blocked.expect(&format!("BLPOP list:{} 0.01", keys[0]), "_\r\n");
        assert_eq!(tracking_at_nodes(&cluster.nodes), 0);
    }
}

#[test]
fn a_session_that_tracks_may_select_switch_protocol_and_block() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    let key = cluster.key_on(0, 0);
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    client.expect(&format!("GET {key}"), "_\r\n");
    client.expect("SELECT 3", "+OK\r\n");
    client.expect(&format!("SET {key} three"), "+OK\r\n");
    // Redis tells keys by name, whatever their db.
    client.send(&words(&format!("GET {key}")));
    let mut both = [next(&mut client), next(&mut client)];
    both.sort();
    assert_eq!(both, ["$5\r\nthree\r\n".to_owned(), invalidation(&key)]);
    other.expect("SELECT 3", "+OK\r\n");
    other.expect(&format!("SET {key} four"), "+OK\r\n");
    assert_eq!(next(&mut client), invalidation(&key));
    client.expect(&format!("BLPOP list:{key} 0.01"), "_\r\n");
    client.send(&words("HELLO 2"));
    assert!(next(&mut client).starts_with("*14\r\n"));
    client.expect(&format!("GET {key}"), "$4\r\nfour\r\n");
    client.send(&words("HELLO 3"));
    assert!(next(&mut client).starts_with("%7\r\n"));
    assert_eq!(next(&mut client), NULL);
    client.expect(&format!("GET {key}"), "$4\r\nfour\r\n");
    other.expect(&format!("SET {key} five"), "+OK\r\n");
    assert_eq!(next(&mut client), invalidation(&key));
    // A blocking read is tracked like any other.
    client.expect("XREAD BLOCK 1 STREAMS stream $", "_\r\n");
    other.expect("SET stream x", "+OK\r\n");
    assert_eq!(next(&mut client), invalidation("stream"));
    nothing_more(&mut client);
}

#[test]
fn a_node_that_may_not_track_is_told_of() {
    let cluster = Cluster::start();
    let mut node = cluster.nodes[0].client();
    node.expect("ACL SETUSER default -client|tracking", "+OK\r\n");
    let mut client = cluster.client3();
    let reply = client.ask("CLIENT TRACKING ON BCAST");
    assert!(reply.starts_with("-NODEDOWN node n1") && reply.contains("it refuses CLIENT TRACKING (NOPERM"), "{reply}");
    assert!(client.ask("CLIENT TRACKINGINFO").contains("off"));
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    let reply = client.ask(&format!("GET {}", cluster.key_on(0, 0)));
    assert!(reply.starts_with("-NODEDOWN node n1") && reply.contains("it refuses CLIENT TRACKING (NOPERM"), "{reply}");
    client.expect(&format!("GET {}", cluster.key_on(1, 0)), "_\r\n");
}

/// Said to a plain redis-server and to Circlet, one after the other; the answers are the same bytes.
#[test]
fn what_is_said_of_tracking_is_answered_as_by_redis() {
    let cluster = Cluster::start();
    let redis = Redis::start();
    for hello in ["HELLO 2", "HELLO 3"] {
        let (mut plain, mut client) = (redis.client(), cluster.client());
        assert!(plain.ask(hello).starts_with(['*', '%']) && client.ask(hello).starts_with(['*', '%']));
        for line in [
            "CLIENT TRACKINGINFO",
            "CLIENT GETREDIR",
            "CLIENT CACHING YES",
            "CLIENT CACHING what",
            "CLIENT TRACKING",
            "CLIENT TRACKING maybe",
            "CLIENT TRACKING OFF",
            "CLIENT TRACKING OFF WHAT",
            "CLIENT TRACKING ON REDIRECT",
            "CLIENT TRACKING ON REDIRECT x",
            "CLIENT TRACKING ON REDIRECT 99999",
            "CLIENT TRACKING ON REDIRECT 0",
            "CLIENT TRACKING ON REDIRECT -1",
            "CLIENT TRACKING OFF REDIRECT 99999",
            "CLIENT TRACKING ON PREFIX a",
            "CLIENT TRACKING ON PREFIX",
            "CLIENT TRACKING ON BCAST OPTIN",
            "CLIENT TRACKING ON OPTIN OPTOUT",
            "CLIENT TRACKING ON OPTIN NOLOOP",
            "CLIENT TRACKINGINFO",
            "CLIENT CACHING NO",
            "CLIENT CACHING what",
            "CLIENT CACHING YES",
            "CLIENT TRACKINGINFO",
            "CLIENT GETREDIR",
            "CLIENT TRACKINGINFO",
            "PING",
            "CLIENT TRACKINGINFO",
            "CLIENT CACHING YES",
            "NOSUCH",
            "CLIENT TRACKINGINFO",
            "CLIENT CACHING YES",
            "GET k",
            "CLIENT TRACKINGINFO",
            "CLIENT TRACKING ON OPTOUT",
            "CLIENT TRACKING ON BCAST",
            "CLIENT TRACKING OFF",
            "CLIENT TRACKING ON OPTOUT",
            "CLIENT CACHING YES",
            "CLIENT CACHING NO",
            "CLIENT TRACKINGINFO",
            "CLIENT TRACKING OFF",
            "CLIENT TRACKING ON BCAST PREFIX b PREFIX a NOLOOP",
            "CLIENT TRACKINGINFO",
            "CLIENT TRACKING ON BCAST PREFIX ab",
            "CLIENT TRACKING ON BCAST PREFIX c PREFIX cd",
            "CLIENT TRACKING ON",
            "CLIENT TRACKING OFF",
            "CLIENT TRACKINGINFO",
            "CLIENT TRACKING ON BCAST",
            "CLIENT TRACKINGINFO",
            "CLIENT TRACKING ON BCAST PREFIX x",
            "CLIENT CACHING YES",
            "RESET",
            "CLIENT TRACKINGINFO",
        ] {
            assert_eq!(client.ask(line), plain.ask(line), "{hello}: {line}");
        }
        let own = client.value("CLIENT ID").number();
        client.expect(&format!("CLIENT TRACKING ON REDIRECT {own} BCAST"), "+OK\r\n");
        let line = client.ask("CLIENT INFO");
        assert!(line.contains(" flags=tB ") && line.contains(&format!(" redir={own} ")), "{line}");
    }
}

#[test]
fn transactions_are_tracked_like_anything_else() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    let exec = |client: &mut Client, commands: &[&str]| {
        client.expect("MULTI", "+OK\r\n");
        commands.iter().for_each(|command| client.expect(command, "+QUEUED\r\n"));
        client.ask("EXEC")
    };
    for node in 0..3 {
        let key = cluster.key_on(node, 0);
        let (get, set) = (format!("GET {key}"), format!("SET {key} v"));
        client.expect("CLIENT TRACKING OFF", "+OK\r\n");
        client.expect("CLIENT TRACKING ON NOLOOP", "+OK\r\n");
        assert_eq!(exec(&mut client, &[&get]), "*1\r\n_\r\n");
        other.expect(&set, "+OK\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
        // With WATCH, kept and broken.
        client.expect(&format!("WATCH {key}"), "+OK\r\n");
        client.expect(&get, "$1\r\nv\r\n");
        assert_eq!(exec(&mut client, &[&set, &get]), "*2\r\n+OK\r\n$1\r\nv\r\n");
        other.expect(&set, "+OK\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
        client.expect(&format!("WATCH {key}"), "+OK\r\n");
        client.expect(&get, "$1\r\nv\r\n");
        other.expect(&set, "+OK\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
        assert_eq!(exec(&mut client, &[&get]), "_\r\n");
        client.expect(&format!("WATCH {key}"), "+OK\r\n");
        client.expect("UNWATCH", "+OK\r\n");
        assert_eq!(exec(&mut client, &[&get]), "*1\r\n$1\r\nv\r\n");
        other.expect(&format!("DEL {key}"), ":1\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
        // CLIENT CACHING holds for the whole of it.
        client.expect("CLIENT TRACKING OFF", "+OK\r\n");
        client.expect("CLIENT TRACKING ON OPTIN", "+OK\r\n");
        assert_eq!(exec(&mut client, &[&get]), "*1\r\n_\r\n");
        other.expect(&set, "+OK\r\n");
        client.expect("CLIENT CACHING YES", "+OK\r\n");
        assert_eq!(exec(&mut client, &["PING", &get]), "*2\r\n+PONG\r\n$1\r\nv\r\n");
        client.expect(&get, "$1\r\nv\r\n");
        other.expect(&format!("DEL {key}"), ":1\r\n");
        assert_eq!(next(&mut client), invalidation(&key));
        nothing_more(&mut client);
    }
    // Watched before it was switched on: what EXEC reads is not tracked, so that it is to be forgotten at once.
    let key = cluster.key_on(0, 0);
    client.expect("CLIENT TRACKING OFF", "+OK\r\n");
    client.expect(&format!("WATCH {key}"), "+OK\r\n");
    client.expect("CLIENT TRACKING ON", "+OK\r\n");
    let reply = exec(&mut client, &[&format!("GET {key}")]);
    assert_eq!(reply, "*1\r\n_\r\n");
    assert_eq!(next(&mut client), ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    assert_eq!(exec(&mut client, &[&format!("GET {key}")]), "*1\r\n_\r\n");
}

#[test]
fn a_resp2_pool_is_told_over_one_connection_that_is_subscribed() {
    let cluster = Cluster::start();
    let mut other = cluster.client();
    let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
    for round in 0..2 {
        let mut target = cluster.client();
        let number = target.value("CLIENT ID").number();
        assert!(target.ask("SUBSCRIBE __redis__:invalidate").ends_with(":1\r\n"));
        let mut pool: Vec<Client> = (0..4).map(|_| cluster.client()).collect();
        for client in &mut pool {
            client.expect(&format!("CLIENT TRACKING ON REDIRECT {number} NOLOOP"), "+OK\r\n");
        }
        for node in 0..3 {
            for (at, client) in pool.iter_mut().enumerate() {
                let key = cluster.key_on(node, 10 * round + at);
                client.expect(&format!("GET {key}"), "$-1\r\n");
                other.expect(&format!("SET {key} v"), "+OK\r\n");
                assert_eq!(next(&mut target), format!("{message}*1\r\n${}\r\n{key}\r\n", key.len()));
            }
        }
        // Each of them is told by each node that it has connections to.
        other.expect("FLUSHALL", "+OK\r\n");
        for _ in 0..3 * pool.len() {
            assert_eq!(next(&mut target), format!("{message}$-1\r\n"));
        }
        assert!(target.ask("PING").starts_with("*2\r\n$4\r\npong\r\n"));
        pool.iter_mut().for_each(nothing_more);
    }
}

#[test]
fn tracking_that_begins_inside_a_transaction_begins_with_forgetting() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client3(), cluster.client());
    let key = cluster.key_on(2, 0);
    // With nothing behind it there is nothing to forget.
    client.expect("MULTI", "+OK\r\n");
    client.expect(&format!("GET {key}"), "+QUEUED\r\n");
    client.expect("CLIENT TRACKING ON", "+QUEUED\r\n");
    client.expect("EXEC", "*2\r\n_\r\n+OK\r\n");
    nothing_more(&mut client);
    client.expect("CLIENT TRACKING OFF", "+OK\r\n");
    client.expect("MULTI", "+OK\r\n");
    client.expect("CLIENT TRACKING ON", "+QUEUED\r\n");
    client.expect(&format!("GET {key}"), "+QUEUED\r\n");
    client.expect("EXEC", "*2\r\n+OK\r\n_\r\n");
    assert_eq!(next(&mut client), NULL);
    client.expect(&format!("GET {key}"), "_\r\n");
    other.expect(&format!("SET {key} v"), "+OK\r\n");
    assert_eq!(next(&mut client), invalidation(&key));
}
