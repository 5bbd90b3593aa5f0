//! What a connection that broke had queued never runs behind what came later; and what comes before anything else.

use std::sync::{Arc, Mutex};

use crate::support::{
    Redis,
    fake::{Fake, polite},
    relay::Relay,
    wait::until_true,
};

use super::{Scene, young};

/// A lock that was released stays so, though its SET arrives at a node afterwards: the connection that carries it was killed.
#[test]
fn a_set_that_a_broken_connection_had_queued_has_no_effect() {
    let nodes = Redis::several(3);
    let relay = Relay::to(&nodes[2].address());
    let addresses = [nodes[0].address(), nodes[1].address(), relay.address()];
    let scene = Scene::behind(nodes, &addresses, young);
    scene.wait_all_in();
    relay.hold_requests();
    let mut client = scene.client();
    let reply = client.value("LOCK.ACQUIRE stuck 1000");
    let token = reply.list()[0].text();
    until_true("the request to be held", || relay.holds_a_request());
    // Circlet loses the connection, and what it had sent is on its way still.
    relay.strand();
    scene.wait_in("n2");
    assert_eq!(client.ask(&format!("LOCK.RELEASE stuck {token}")), ":1\r\n");
    relay.release();
    let mut node = scene.nodes[2].client();
    let kept = || {
        let list = scene.nodes[2].client().value("CLIENT LIST").text();
        list.lines().filter(|line| line.contains("name=circlet-lock ")).count()
    };
    until_true("one connection of locks", || kept() == 1);
    node.expect("EXISTS circlet:lock:stuck", ":0\r\n");
}

#[test]
fn the_connection_before_is_killed_before_anything_else_is_asked() {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let fake = Fake::start(move |words| {
        let mut heard = heard.lock().unwrap();
        heard.push(words.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(" "));
        match (words[0].as_str(), words.get(1).map_or("", String::as_str)) {
            // Every connection has another one.
            ("client", "ID") => Some(format!(":{}\r\n", 100 + heard.len()).into_bytes()),
            ("client", "KILL") => Some(b":1\r\n".to_vec()),
            ("info", _) => {
                let info = "redis_version:7.0.15\r\nrun_id:same\r\nrole:master\r\nmaxmemory:0\r\n";
                Some(format!("${}\r\n{info}\r\n", info.len()).into_bytes())
            }
            // The first connection of locks ends at its first look.
            ("get", "circlet:admit") if heard.iter().filter(|line| *line == "get circlet:admit").count() == 2 => None,
            _ => Some(polite(words)),
        }
    });
    let _scene = Scene::behind(Vec::new(), &[fake.address()], |plan| plan);
    let places = |what: &str| {
        let asked = asked.lock().unwrap();
        asked.iter().enumerate().filter(|(_, line)| line.starts_with(what)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    until_true("the second connection", || places("get circlet:admit").len() == 3);
    let (kills, scripts, markers) = (places("client KILL ID "), places("script LOAD"), places("get circlet:admit"));
    assert_eq!((kills.len(), scripts.len()), (1, 10));
    assert!(markers[1] < kills[0] && kills[0] < scripts[5], "{:?}", asked.lock().unwrap());
}
