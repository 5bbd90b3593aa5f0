//! Nodes that send what no redis-server sends: only those who asked them notice.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use crate::support::{
    Redis,
    circlet::Plan,
    cluster::{key_on, named},
    fake::{Fake, polite},
    seed,
    wait::until_true,
};

#[test]
fn nonsense_of_a_node_is_nobodys_reply() {
    let real = Redis::start();
    let lying = Arc::new(AtomicBool::new(true));
    for nonsense in [
        &b"hello\r\n"[..],
        b"$-5\r\n",
        b"$abc\r\n",
        b"*99999999999999999999\r\n",
        b"$3\r\nabcde",
        b"\r\n\r\n",
        b"\0\0\0\0",
        b":\r\n$",
        b"*1\r\n*1\r\n*1\r\n*1\r\n?\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ] {
        lying.store(true, SeqCst);
        let flag = Arc::clone(&lying);
        let node = Fake::start(move |words| {
            let lies = words[0] == "get" && flag.load(SeqCst);
            Some(if lies { nonsense.to_vec() } else { polite(words) })
        });
        let circlet = Plan::default()
            .node(named(0, &node.address()))
            .node(named(1, &real.address()))
            .set("pipe.request_timeout=500ms")
            .set("pipe.backoff_max=100ms")
            .start();
        let (bad, good) = (key_on(2, 0, 0), key_on(2, 1, 0));
        let (mut client, mut other) = (circlet.client(), circlet.client());
        other.expect(&format!("SET {good} v"), "+OK\r\n");
        let reply = client.ask(&format!("GET {bad}"));
        assert!(
            reply.starts_with("-NODEDOWN node n1") || reply.starts_with("-TIMEOUT node n1"),
            "{nonsense:?}: {reply}"
        );
        other.expect(&format!("GET {good}"), "$1\r\nv\r\n");
        client.expect("PING", "+PONG\r\n");
        lying.store(false, SeqCst);
        until_true("the node to be used again", || client.ask(&format!("GET {bad}")) == "+OK\r\n");
    }
}

#[test]
fn a_reply_that_nobody_asked_for_is_nobodys() {
    let node = Fake::start(|words| {
        let mut bytes = polite(words);
        if words[0] == "get" {
            // One too many.
            bytes.extend_from_slice(b"$6\r\nforged\r\n");
        }
        Some(bytes)
    });
    let circlet = Plan::default()
        .node(named(0, &node.address()))
        .set("pipe.backoff_min=10ms")
        .set("pipe.backoff_max=50ms")
        .start();
    let mut asking = circlet.client();
    let mut others: Vec<_> = (0..4).map(|_| circlet.client()).collect();
    for _ in 0..20 {
        let _ = asking.ask("GET k");
        for other in &mut others {
            let reply = other.ask("STRLEN k");
            assert!(!reply.contains("forged"), "{reply}");
        }
    }
}

#[test]
fn random_bytes_of_a_node_do_no_harm() {
    let real = Redis::start();
    let mut rng = seed::rng("random_bytes_of_a_node_do_no_harm");
    let seed = rng.u64(..);
    let node = Fake::start(move |words| {
        if words[0] != "get" {
            return Some(polite(words));
        }
        let mut rng = fastrand::Rng::with_seed(seed ^ words[1].bytes().fold(0, |all, byte| all * 31 + u64::from(byte)));
        let alphabet = b"+-:$*%~>#,_(=!|\r\n0123456789abc";
        Some((0..rng.usize(1..40)).map(|_| alphabet[rng.usize(..alphabet.len())]).collect())
    });
    let circlet = Plan::default()
        .node(named(0, &node.address()))
        .node(named(1, &real.address()))
        .set("pipe.request_timeout=100ms")
        .set("pipe.backoff_min=5ms")
        .set("pipe.backoff_max=10ms")
        .start();
    let good = key_on(2, 1, 0);
    let mut other = circlet.client();
    other.expect(&format!("SET {good} v"), "+OK\r\n");
    for number in 0..60 {
        let mut client = circlet.client();
        client.send(&crate::support::resp::words(&format!("GET {}", key_on(2, 0, number))));
        // Anything may come, or nothing.
        let _ = client.whatever_comes(std::time::Duration::from_millis(150));
        other.expect(&format!("GET {good}"), "$1\r\nv\r\n");
    }
}
