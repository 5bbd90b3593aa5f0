//! What stands between MULTI and EXEC beside commands on keys: as in Redis, and in its place.

use crate::support::{
    Client, Cluster, Redis,
    circlet::Circlet,
    cluster::plan_over,
    resp::{self, words},
    wait::until_true,
};

/// Sends MULTI, the lines and EXEC; gives EXEC's reply.
#[track_caller]
fn run(client: &mut Client, lines: &[&str]) -> String {
    client.expect("MULTI", "+OK\r\n");
    lines.iter().for_each(|line| client.expect(line, "+QUEUED\r\n"));
    client.ask("EXEC")
}

fn message(channel: &str, text: &str) -> String {
    let mut out = Vec::new();
    resp::request(&mut out, &["message", channel, text]);
    String::from_utf8(out).unwrap()
}

/// A plain server, Circlet over one node, and over three.
fn trio() -> (Vec<Redis>, Vec<Circlet>) {
    let servers = Redis::several(5);
    let circlets = vec![plan_over(&servers[1..2]).start(), plan_over(&servers[2..]).start()];
    (servers, circlets)
}

#[test]
fn messages_go_in_their_place_and_are_counted_as_subscribers() {
    let cluster = Cluster::start();
    let mut listeners: Vec<Client> = (0..3).map(|_| cluster.client()).collect();
    listeners.iter_mut().for_each(|listener| drop(listener.ask("SUBSCRIBE {t}c")));
    let other = cluster.key_on(0, 0);
    let away = (1..3).map(|node| cluster.key_on(node, 1)).find(|key| *key != other).unwrap();
    let mut client = cluster.client();
    let publish = "redis.call('publish','{t}c',ARGV[1])";
    for round in 0..50 {
        client.expect("MULTI", "+OK\r\n");
        client.expect("PUBLISH {t}c 1", "+QUEUED\r\n");
        assert_eq!(client.call(&["EVAL", publish, "1", "{t}k", "2"]), b"+QUEUED\r\n");
        client.expect("PUBLISH {t}c 3", "+QUEUED\r\n");
        client.expect("EXEC", "*3\r\n:3\r\n$-1\r\n:3\r\n");
        for listener in &mut listeners {
            let heard: Vec<String> = (0..3).map(|_| String::from_utf8(listener.frame()).unwrap()).collect();
            let expected = ["1", "2", "3"].map(|text| message("{t}c", text));
            assert_eq!(heard, expected, "round {round}");
        }
    }
    // A channel may lie elsewhere, and there may be no key.
    assert_eq!(run(&mut client, &[&format!("SET {other} v"), &format!("PUBLISH {away} m")]), "*2\r\n+OK\r\n:0\r\n");
    assert_eq!(run(&mut client, &["PING", "PUBLISH {t}c 4", "SPUBLISH {t}c 5"]), "*3\r\n+PONG\r\n:3\r\n:0\r\n");
    assert_eq!(run(&mut client, &["PUBSUB NUMSUB {t}c", "PUBSUB NUMPAT"]), "*2\r\n*2\r\n$4\r\n{t}c\r\n:3\r\n:0\r\n");
}

#[test]
fn who_begins_to_listen_hears_the_messages_behind_it_and_who_ends_those_before() {
    let (_servers, circlets) = trio();
    for circlet in &circlets {
        let mut client = circlet.client();
        client.ask("HELLO 3");
        let lines =
            ["PUBLISH {t}c 1", "SUBSCRIBE {t}c", "PUBLISH {t}c 2", "UNSUBSCRIBE {t}c", "PUBLISH {t}c 3", "PING"];
        let confirmed =
            |word: &str, count: u8| format!(">3\r\n${}\r\n{word}\r\n$4\r\n{{t}}c\r\n:{count}\r\n", word.len());
        let expected =
            format!("*6\r\n:0\r\n{}:1\r\n{}:0\r\n+PONG\r\n", confirmed("subscribe", 1), confirmed("unsubscribe", 0));
        assert_eq!(run(&mut client, &lines), expected);
        assert_eq!(String::from_utf8(client.frame()).unwrap(), message("{t}c", "2").replacen('*', ">", 1));
        client.expect("PING", "+PONG\r\n");
    }
}

#[test]
fn swapdb_runs_in_its_place_over_one_node_and_is_refused_over_several() {
    let node = Redis::start();
    let circlet = plan_over(std::slice::from_ref(&node)).start();
    let mut client = circlet.client();
    let reply = run(&mut client, &["SET {t}k v", "SWAPDB 0 1", "GET {t}k", "SELECT 1", "GET {t}k"]);
    assert_eq!(reply, "*5\r\n+OK\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\nv\r\n");
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("MULTI", "+OK\r\n");
    let reply = client.ask("SWAPDB 0 1");
    assert!(reply.contains("concerns every node") && reply.contains("before MULTI or after EXEC"), "{reply}");
    assert!(client.ask("EXEC").starts_with("-EXECABORT"));
}

#[test]
fn hello_changes_the_protocol_of_what_stands_behind_it_whatever_else_it_says() {
    let (servers, circlets) = trio();
    // Until its probe has asked a node, Circlet tells a version that all have.
    let version = servers[0]
        .client()
        .ask("INFO server")
        .lines()
        .find(|line| line.starts_with("redis_version:"))
        .map(|line| line["redis_version:".len()..].to_owned())
        .unwrap();
    for circlet in &circlets {
        until_true("the version to be known", || circlet.client().ask("HELLO").contains(&version));
    }
    for hello in [
        "HELLO 3 AUTH default x SETNAME me",
        "HELLO 3 SETNAME me",
        "HELLO 3 AUTH nobody x",
        "HELLO 3 SETNAME",
        "HELLO 4",
    ] {
        let mut clients = vec![servers[0].client()];
        clients.extend(circlets.iter().map(Circlet::client));
        let replies: Vec<(String, String)> = clients
            .iter_mut()
            .map(|client| {
                let reply = run(client, &["GET {t}none", hello, "GET {t}none", "CLIENT GETNAME"]);
                (reply, client.ask("CLIENT GETNAME") + &client.ask("GET {t}none"))
            })
            .collect();
        // Only ids and versions differ.
        let plain =
            |text: &str| text.lines().filter(|line| !line.starts_with(':')).map(str::to_owned).collect::<Vec<_>>();
        for (reply, after) in &replies[1..] {
            assert_eq!(plain(reply), plain(&replies[0].0), "{hello}");
            assert_eq!(*after, replies[0].1, "{hello}");
        }
    }
}

#[test]
fn caching_inside_is_for_the_commands_behind_it_there() {
    let (servers, circlets) = trio();
    let addresses: Vec<String> =
        [servers[0].address()].into_iter().chain(circlets.iter().map(Circlet::address)).collect();
    for address in addresses {
        let (mut client, mut other) = (Client::connect(&address), Client::connect(&address));
        let told = |key: &str| format!(">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n", key.len());
        client.ask("HELLO 3");
        client.expect("CLIENT TRACKING ON OPTIN", "+OK\r\n");
        assert_eq!(run(&mut client, &["GET {t}a", "CLIENT CACHING YES", "GET {t}b"]), "*3\r\n_\r\n+OK\r\n_\r\n");
        client.expect("GET {t}c", "_\r\n");
        other.expect("MSET {t}a 1 {t}c 1 {t}b 1", "+OK\r\n");
        assert_eq!(String::from_utf8(client.frame()).unwrap(), told("{t}b"), "{address}");
        client.expect("CLIENT TRACKING OFF", "+OK\r\n");
        client.expect("CLIENT TRACKING ON OPTOUT", "+OK\r\n");
        assert_eq!(run(&mut client, &["CLIENT CACHING NO", "GET {t}a"]), "*2\r\n+OK\r\n$1\r\n1\r\n");
        client.expect("GET {t}b", "$1\r\n1\r\n");
        other.expect("MSET {t}a 2 {t}b 2", "+OK\r\n");
        assert_eq!(String::from_utf8(client.frame()).unwrap(), told("{t}b"), "{address}");
        client.expect("PING", "+PONG\r\n");
    }
}

#[test]
fn monitors_see_what_exec_runs_in_front_of_exec() {
    let (plain, cluster) = (Redis::start(), Cluster::start());
    let mut seen = Vec::new();
    for address in [plain.address(), cluster.circlet.address()] {
        let (mut monitor, mut client) = (Client::connect(&address), Client::connect(&address));
        monitor.expect("MONITOR", "+OK\r\n");
        for line in [
            "MULTI",
            "SELECT 2",
            "SET {t}a 1",
            "CLIENT SETNAME x",
            "GET {t}a",
            "PUBLISH c m",
            "exec",
            "MULTI",
            "PING",
            "DISCARD",
            "WATCH {t}a",
            "SET {t}a 3",
            "MULTI",
            "GET {t}a",
            "EXEC",
            "WATCH {t}a",
            "MULTI",
            "GET {t}a",
            "EXEC",
            "EXEC",
            "MULTI",
            "EXEC",
            "MULTI",
            "NOSUCH",
            "EXEC",
            "MULTI",
            "PING",
            "EXEC",
            "ECHO end",
        ] {
            client.ask(line);
        }
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.ends_with("\"end\"\r\n")) {
            let line = String::from_utf8(monitor.frame()).unwrap();
            let (head, words) = line.split_once("] ").unwrap();
            let db = head.split_once(" [").unwrap().1.split(' ').next().unwrap();
            lines.push(format!("{db} {words}"));
        }
        seen.push(lines);
    }
    assert_eq!(seen[1], seen[0]);
}

#[test]
fn a_pause_of_writes_holds_an_exec_that_writes_and_no_other() {
    let cluster = Cluster::start();
    let (mut admin, mut reader, mut writer) = (cluster.client(), cluster.client(), cluster.client());
    for (client, line) in [(&mut reader, "GET {t}k"), (&mut writer, "SET {t}k v")] {
        client.expect("MULTI", "+OK\r\n");
        client.expect(line, "+QUEUED\r\n");
    }
    admin.expect("CLIENT PAUSE 600000 WRITE", "+OK\r\n");
    reader.expect("EXEC", "*1\r\n$-1\r\n");
    writer.send(&words("EXEC"));
    until_true("EXEC to be held", || admin.ask("CLIENT LIST FLAGS b").contains("cmd=exec"));
    reader.expect("GET {t}k", "$-1\r\n");
    admin.expect("CLIENT UNPAUSE", "+OK\r\n");
    assert_eq!(writer.frame(), b"*1\r\n+OK\r\n");
}

/// The reply to a line; invalidations may stand before it.
fn reply_among_pushes(client: &mut Client, line: &str) -> String {
    client.send(&words(line));
    loop {
        let frame = String::from_utf8(client.frame()).unwrap();
        if !frame.starts_with('>') {
            return frame;
        }
    }
}

#[test]
fn keys_may_be_watched_over_a_change_of_tracking() {
    let (servers, circlets) = trio();
    let addresses: Vec<String> =
        [servers[0].address()].into_iter().chain(circlets.iter().map(Circlet::address)).collect();
    let modes = [
        ("OFF", "ON"),
        ("ON", "OFF"),
        ("ON", "ON NOLOOP"),
        ("OFF", "ON BCAST PREFIX {t}a"),
        ("OFF", "ON OPTIN"),
        ("ON BCAST PREFIX {t}k", "ON BCAST PREFIX {t}a"),
    ];
    for (address, (before, after), changes) in addresses
        .iter()
        .flat_map(|address| modes.map(|mode| (address, mode)))
        .flat_map(|(address, mode)| [(address, mode, false), (address, mode, true)])
    {
        let (mut client, mut other) = (Client::connect(address), Client::connect(address));
        client.ask("HELLO 3");
        other.expect("SET {t}k v", "+OK\r\n");
        for line in [&format!("CLIENT TRACKING {before}"), "WATCH {t}w", &format!("CLIENT TRACKING {after}")] {
            assert_eq!(reply_among_pushes(&mut client, line), "+OK\r\n", "{line}");
        }
        if changes {
            other.expect("SET {t}w v", "+OK\r\n");
        }
        reply_among_pushes(&mut client, "MULTI");
        reply_among_pushes(&mut client, "GET {t}k");
        let reply = reply_among_pushes(&mut client, "EXEC");
        let expected = if changes { "_\r\n" } else { "*1\r\n$1\r\nv\r\n" };
        assert_eq!(reply, expected, "{address}: {before}, {after}");
        if !changes && matches!(after, "ON" | "ON NOLOOP") {
            // What it has read it must not keep for ever.
            other.expect("SET {t}k v", "+OK\r\n");
            let frame = String::from_utf8(client.frame()).unwrap();
            assert!(frame.starts_with(">2\r\n$10\r\ninvalidate\r\n"), "{address}: {frame}");
        }
    }
}
