//! Big keys, copied in chunks: the same key arrives, whatever the type.

use super::*;

fn small_is_big() -> Settings {
    Settings { big_key_bytes: 0, ..settings() }
}

/// Many elements of `prefix`, so that every type takes many chunks.
fn fill_wide(client: &mut Client, prefix: &str) -> Vec<String> {
    let each = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<Vec<_>>();
    let mut text = "0123456789".repeat(100_000);
    text.push('!');
    let sets = [
        ("text", each(1, |_| String::new())),
        ("list", each(30, |n| format!("RPUSH K {}", (0..100).map(|m| format!("{n}-{m} ")).collect::<String>()))),
        ("set", each(30, |n| format!("SADD K {}", (0..100).map(|m| format!("{n}-{m} ")).collect::<String>()))),
        (
            "zset",
            each(30, |n| {
                format!("ZADD K {}", (0..100).map(|m| format!("{}.{n} {n}-{m} ", m * 37 % 91)).collect::<String>())
            }),
        ),
        ("hash", each(30, |n| format!("HSET K {}", (0..100).map(|m| format!("f{n}-{m} v{m} ")).collect::<String>()))),
        ("stream", each(1_500, |n| format!("XADD K {}-{} f {n} g h", n / 3 + 1, n % 3))),
        ("wide", vec![format!("XADD K 1-1 {}", (0..3_000).map(|m| format!("f{m} v ")).collect::<String>())]),
        ("lumps", each(20, |n| format!("RPUSH K {}", "y".repeat(n * 10_000 + 1)))),
    ];
    for (name, lines) in &sets {
        let key = format!("{prefix}{name}");
        if *name == "text" {
            client.call(&["SET", &key, &text]);
        }
        for line in lines.iter().filter(|line| !line.is_empty()) {
            let reply = client.ask(line.replacen('K', &key, 1).trim_end());
            assert!(!reply.starts_with('-'), "{name}: {reply}");
        }
    }
    let mut ask = |line: &str| {
        let reply = client.ask(&line.replacen(" K ", &format!(" {prefix}stream "), 1));
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    };
    ask("XGROUP CREATE K readers 0");
    ask("XGROUP CREATE K others 100-0");
    ask("XREADGROUP GROUP readers one COUNT 1200 STREAMS K >");
    ask("XREADGROUP GROUP readers two COUNT 50 STREAMS K >");
    ask("XREADGROUP GROUP others three COUNT 5 STREAMS K >");
    ask("XACK K readers 1-1");
    ask("XDEL K 500-2");
    sets.iter().map(|(name, _)| format!("{prefix}{name}")).collect()
}

#[test]
fn every_type_arrives_in_chunks_as_it_was() {
    let rig = Rig::of(Redis::start(), Redis::start(), small_is_big());
    let (mut a, mut b) = (rig.a.client(), rig.b.client());
    let mut keys = fill(&mut a, "small:");
    keys.extend(fill_wide(&mut a, "wide:"));
    for line in ["PEXPIRE wide:hash 500000", "XGROUP CREATE empty g 5-5 MKSTREAM", "SET circlet:own x"] {
        assert!(!a.ask(line).starts_with('-'));
    }
    keys.push("empty".to_owned());
    rig.open();
    rig.wait(rig.mover.pull(0, &[Bytes::from_static(b"wide:set")])).unwrap();
    rig.pass().unwrap();
    for key in &keys {
        assert_eq!(content(&mut b, key), content(&mut a, key), "{key}");
    }
    let ttl = b.value("PTTL wide:hash").number();
    assert!((1..=500_000).contains(&ttl), "{ttl}");
    b.expect("TTL wide:list", ":-1\r\n");
    assert_eq!(rig.mover.progress().big.load(SeqCst), keys.len() as u64);
    assert_eq!(own_keys(&mut b), ["circlet:move:1-0"]);
    b.expect("DBSIZE", &format!(":{}\r\n", keys.len() + 1));
}

#[test]
fn only_what_is_above_the_bound_is_copied_in_chunks() {
    let rig = Rig::of(Redis::start(), Redis::start(), Settings { big_key_bytes: 10_000, ..settings() });
    let mut a = rig.a.client();
    a.call(&["SET", "big", &"x".repeat(20_000)]);
    a.expect("SET small x", "+OK\r\n");
    rig.open();
    rig.pass().unwrap();
    assert_eq!(rig.mover.progress().big.load(SeqCst), 1);
    rig.b.client().expect("STRLEN big", ":20000\r\n");
    rig.b.client().expect("STRLEN small", ":1\r\n");
}

#[test]
fn a_big_key_conflicts_like_a_small_one_and_leaves_no_copy() {
    let rig = Rig::of(Redis::start(), Redis::start(), small_is_big());
    rig.a.client().expect("RPUSH k 1 2 3", ":3\r\n");
    let mut b = rig.b.client();
    b.expect("SET k other", "+OK\r\n");
    rig.open();
    let conflict = rig.pass().unwrap_err();
    assert!(matches!(&conflict, MoveError::Conflict { .. }), "{conflict}");
    assert_eq!(own_keys(&mut b), ["circlet:move:1-0"]);
    b.expect("SISMEMBER circlet:move:1-0 k", ":0\r\n");
    b.expect("GET k", "$5\r\nother\r\n");
}

#[test]
fn a_target_out_of_memory_refuses_a_big_key_and_keeps_no_part_of_it() {
    let rig = Rig::of(Redis::start(), Redis::start(), small_is_big());
    rig.a.client().expect("RPUSH k 1 2 3", ":3\r\n");
    rig.open();
    // Its set is open in db 0 by now.
    rig.pull("other").unwrap();
    let mut b = rig.b.client();
    b.expect("CONFIG SET maxmemory 1", "+OK\r\n");
    let error = rig.pass().unwrap_err();
    assert!(matches!(&error, MoveError::Refused { node: B, line, .. } if line.starts_with("OOM ")), "{error}");
    b.expect("CONFIG SET maxmemory 0", "+OK\r\n");
    assert_eq!(own_keys(&mut b), ["circlet:move:1-0"]);
    rig.pass().unwrap();
    b.expect("LLEN k", ":3\r\n");
}

#[test]
fn many_who_want_one_big_key_make_one_copy() {
    let rig = Rig::of(Redis::start(), Redis::start(), small_is_big());
    fill_wide(&mut rig.a.client(), "k:");
    rig.open();
    let pass = rig.begin_pass();
    rig.wait(async {
        let mut asks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let mover = Arc::clone(&rig.mover);
            asks.spawn(async move { mover.pull(0, &[Bytes::from_static(b"k:zset")]).await });
        }
        asks.join_all().await.into_iter().for_each(Result::unwrap);
    });
    rig.end(pass).unwrap();
    rig.b.client().expect("ZCARD k:zset", ":3000\r\n");
    let (big, keys) = (&rig.mover.progress().big, &rig.mover.progress().keys);
    assert_eq!((big.load(SeqCst), keys.load(SeqCst)), (8, 8));
}

#[test]
fn connections_cut_in_the_middle_of_copies_spoil_none() {
    let (a, b) = (Redis::start(), Redis::start());
    let (near, far) = (Relay::to(&a.address()), Relay::to(&b.address()));
    let slow = Settings { bytes_per_second: 1_000_000, ..small_is_big() };
    let mut rig = Rig::of(a, b, slow);
    rig.nodes = nodes(&near.address(), &far.address());
    let keys = fill_wide(&mut rig.a.client(), "k:");
    rig.open();
    let pass = rig.begin_pass();
    for round in 0..20 {
        until_true("a copy under way", || pass.is_finished() || own_keys(&mut rig.b.client()).len() > 1);
        if round % 2 == 0 { near.cut() } else { far.cut() }
    }
    rig.mover.pace().set(0, 0);
    rig.end(pass).unwrap();
    for key in &keys {
        assert_eq!(content(&mut rig.b.client(), key), content(&mut rig.a.client(), key), "{key}");
    }
}

#[test]
fn a_big_key_that_expires_while_it_is_copied_is_gone() {
    let slow = Settings { bytes_per_second: 20_000, ..small_is_big() };
    let rig = Rig::of(Redis::start(), Redis::start(), slow);
    let (mut a, mut b) = (rig.a.client(), rig.b.client());
    let mut words = vec!["RPUSH".to_owned(), "k".to_owned()];
    words.extend((0..5_000).map(|n| format!("element-{n}")));
    a.call(&words);
    rig.open();
    let pass = rig.begin_pass();
    until_true("a copy under way", || own_keys(&mut b).len() > 1);
    a.expect("PEXPIRE k 1", ":1\r\n");
    until_true("k to be over", || a.ask("EXISTS k") == ":0\r\n");
    rig.mover.pace().set(0, 0);
    rig.end(pass).unwrap();
    b.expect("EXISTS k", ":0\r\n");
    b.expect("SISMEMBER circlet:move:1-0 k", ":1\r\n");
    assert_eq!(own_keys(&mut b), ["circlet:move:1-0"]);
}
