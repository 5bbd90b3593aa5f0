//! Nodes come and go as those see it who ask for no keys: who listens, who tracks, who looks at metrics, and a node that
//! has left.

use std::time::Duration;

use crate::support::{circlet::Plan, client::Client, dir::Dir, http, redis::Redis, resp, wait::until_true};

/// Channels; each lies somewhere else.
const CHANNELS: usize = 40;

fn message(words: &[&str]) -> String {
    let mut out = Vec::new();
    resp::request(&mut out, words);
    String::from_utf8(out).unwrap()
}

/// The next thing that is sent to the client.
fn next(client: &mut Client) -> String {
    String::from_utf8_lossy(&client.frame()).into_owned()
}

/// Every channel is heard, once and in order, and PUBLISH counts the one who hears it.
fn all_channels_are_heard(speaker: &mut Client, listener: &mut Client, text: &str) {
    for number in 0..CHANNELS {
        speaker.expect(&format!("PUBLISH channel:{number} {text}"), ":1\r\n");
    }
    for number in 0..CHANNELS {
        // Those of different nodes may overtake each other.
        let heard = next(listener);
        assert!(heard.starts_with("*3\r\n$7\r\nmessage\r\n$") && heard.contains(text), "{number}: {heard}");
    }
    speaker.expect(&format!("PUBLISH channel:0 {text}!"), ":1\r\n");
    assert_eq!(next(listener), message(&["message", "channel:0", &format!("{text}!")]), "nothing comes twice");
}

/// A pattern is heard from this server.
fn the_pattern_is_heard_from(server: &Redis, listener: &mut Client) {
    let channel = format!("news.{}", server.port());
    server.client().ask(&format!("PUBLISH {channel} hello"));
    assert_eq!(next(listener), message(&["pmessage", "news.*", &channel, "hello"]));
}

/// Who tracks is told of a key that is written there.
fn changes_are_told_of(server: &Redis, tracker: &mut Client) {
    let key = format!("key:{}", server.port());
    server.client().expect(&format!("SET {key} v"), "+OK\r\n");
    while !next(tracker).contains(&key) {}
}

#[test]
fn who_listens_tracks_or_looks_follows_the_nodes() {
    let (servers, state) = (Redis::several(3), Dir::new());
    let circlet = Plan::default()
        .argument("--state")
        .argument(state.path().display().to_string())
        // A node that leaves keeps its locks for a minute.
        .argument("--set")
        .argument("lock.nodes=0")
        .node(format!("a={}", servers[0].address()))
        .node(format!("b={}", servers[1].address()))
        .start();
    let (mut operator, mut speaker, mut listener, mut patterns, mut tracker) =
        (circlet.client(), circlet.client(), circlet.client(), circlet.client(), circlet.client());
    for number in 0..CHANNELS {
        listener.ask(&format!("SUBSCRIBE channel:{number}"));
    }
    patterns.ask("PSUBSCRIBE news.*");
    tracker.ask("HELLO 3");
    tracker.expect("CLIENT TRACKING ON BCAST", "+OK\r\n");
    all_channels_are_heard(&mut speaker, &mut listener, "before");

    let mut change = |line: &str| {
        let reply = operator.ask(line);
        assert!(reply.starts_with("+OK change "), "{line}: {reply}");
        until_true("the change to be over", || operator.ask("CIRCLET REBALANCE STATUS").contains("$4\r\nidle\r\n"));
    };
    let told = |name: &str| {
        let scrape = http::get(&circlet.admin(), "/metrics").unwrap().1;
        let nodes = http::get(&circlet.admin(), "/api/nodes").unwrap().1;
        let ring = http::get(&circlet.admin(), "/api/ring").unwrap().1;
        let label = format!("circlet_node_requests_total{{node=\"{name}\"}}");
        [
            scrape.contains(&label),
            nodes.contains(&format!("\"name\":\"{name}\"")),
            ring.contains(&format!("\"name\":\"{name}\"")),
        ]
    };
    assert_eq!((told("b"), told("c")), ([true; 3], [false; 3]));

    change(&format!("CIRCLET NODE ADD c {}", servers[2].address()));
    circlet.wait_nodes_up(3);
    assert_eq!(told("c"), [true; 3]);
    all_channels_are_heard(&mut speaker, &mut listener, "joined");
    servers.iter().for_each(|server| the_pattern_is_heard_from(server, &mut patterns));
    servers.iter().for_each(|server| changes_are_told_of(server, &mut tracker));
    servers.iter().for_each(|server| drop(server.client().ask(&format!("DEL key:{}", server.port()))));

    change("CIRCLET NODE REMOVE b");
    circlet.wait_nodes_up(2);
    assert_eq!((told("b"), told("c")), ([false; 3], [true; 3]));
    all_channels_are_heard(&mut speaker, &mut listener, "left");
    let staying = [&servers[0], &servers[2]];
    staying.iter().for_each(|server| the_pattern_is_heard_from(server, &mut patterns));
    staying.iter().for_each(|server| changes_are_told_of(server, &mut tracker));
    servers[1].client().ask("PUBLISH news.gone hello");
    assert!(patterns.whatever_comes(Duration::from_millis(50)).is_empty(), "nobody listens to it any more");
    // Nothing of Circlet is connected to it, and nothing comes back.
    let mut gone = servers[1].client();
    until_true("its connections to be closed", || {
        gone.ask("CLIENT LIST").lines().filter(|line| line.contains("id=")).count() == 1
    });
    let connections = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("total_connections_received:").map(str::to_owned))
    };
    let before = connections(gone.ask("INFO stats"));
    speaker.expect("DBSIZE", ":2\r\n");
    circlet.wait_nodes_up(2);
    assert_eq!(connections(gone.ask("INFO stats")), before);
}
