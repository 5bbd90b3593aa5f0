//! Many requests at once, and large ones: all answered, whole and in order.

use std::time::Duration;

use crate::support::{Cluster, resp, seed, wait::until_true};

#[test]
fn ten_thousand_requests_are_answered_in_order() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let mut bytes = Vec::new();
    for number in 0..10_000 {
        resp::request(&mut bytes, &["SET", &format!("k{number}"), &format!("v{number}")]);
    }
    assert!(client.pipeline(&bytes, 10_000).iter().all(|reply| reply == b"+OK\r\n"));
    bytes.clear();
    for number in 0..10_000 {
        resp::request(&mut bytes, &["GET", &format!("k{number}")]);
    }
    for (number, reply) in client.pipeline(&bytes, 10_000).iter().enumerate() {
        let mut expected = Vec::new();
        resp::bulk(&mut expected, format!("v{number}").as_bytes());
        assert_eq!(*reply, expected, "reply {number}");
    }
}

#[test]
fn a_pipeline_longer_than_what_may_be_pending_is_answered_to_its_end() {
    let cluster = Cluster::with(|plan| plan.set("session.max_pending=16").set("session.soft_output=4KB"));
    let mut client = cluster.client();
    let mut bytes = Vec::new();
    for number in 0..5_000 {
        // Answered by nodes and by Circlet itself, in turn.
        resp::request(&mut bytes, &["INCR", &format!("k{}", number % 7)]);
        resp::request(&mut bytes, &["ECHO", &number.to_string()]);
    }
    let replies = client.pipeline(&bytes, 10_000);
    for (number, pair) in replies.chunks(2).enumerate() {
        assert_eq!(pair[0], format!(":{}\r\n", number / 7 + 1).into_bytes());
        let mut echo = Vec::new();
        resp::bulk(&mut echo, number.to_string().as_bytes());
        assert_eq!(pair[1], echo);
    }
}

#[test]
fn one_client_sees_its_own_writes_in_a_mixed_pipeline() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let lines = "SET a 1\r\nSET b 2\r\nMGET a b c\r\nDEL a b c\r\nMGET a b c\r\nDBSIZE\r\nPING\r\nGET a\r\nnosuch\r\nECHO x\r\n";
    client.send(lines.repeat(200).as_bytes());
    for _ in 0..200 {
        for expected in [
            "+OK\r\n",
            "+OK\r\n",
            "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n",
            ":2\r\n",
            "*3\r\n$-1\r\n$-1\r\n$-1\r\n",
            ":0\r\n",
            "+PONG\r\n",
            "$-1\r\n",
            "-ERR unknown command 'nosuch', with args beginning with: \r\n",
            "$1\r\nx\r\n",
        ] {
            assert_eq!(String::from_utf8_lossy(&client.frame()), expected);
        }
    }
}

#[test]
fn requests_may_be_cut_anywhere() {
    let cluster = Cluster::start();
    let mut rng = seed::rng("requests_may_be_cut_anywhere");
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for number in 0..300 {
        let value: Vec<u8> = (0..rng.usize(..600)).map(|_| rng.u8(..)).collect();
        let key = format!("k{}", number % 17);
        resp::request(&mut bytes, &[b"SET", key.as_bytes(), &value[..]]);
        expected.extend_from_slice(b"+OK\r\n");
        resp::request(&mut bytes, &["GET", &key]);
        resp::bulk(&mut expected, &value);
    }
    for _ in 0..5 {
        let mut client = cluster.client();
        let mut writer = client.writer();
        let mut left = &bytes[..];
        std::thread::scope(|scope| {
            let mut rng = rng.fork();
            scope.spawn(move || {
                while !left.is_empty() {
                    let (part, rest) = left.split_at(rng.usize(1..=left.len().min(700)));
                    writer.write_all(part).unwrap();
                    left = rest;
                }
            });
            let got: Vec<u8> = (0..600).flat_map(|_| client.frame()).collect();
            assert!(got == expected);
        });
    }
}

#[test]
fn every_byte_of_a_value_survives() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let all: Vec<u8> = (0..=255).collect();
    let key = [&all[..], b"\r\n$-1\r\n"].concat();
    assert_eq!(client.call(&[&b"SET"[..], &key, &all]), b"+OK\r\n");
    let mut expected = Vec::new();
    resp::bulk(&mut expected, &all);
    assert_eq!(client.call(&[&b"GET"[..], &key]), expected);
}

#[test]
fn values_of_all_sizes_come_back_whole() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for power in 0..23 {
        for size in [(1_usize << power) - 1, 1 << power, (1 << power) + 1] {
            let value: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
            assert_eq!(client.call(&[&b"SET"[..], b"k", &value]), b"+OK\r\n", "{size} bytes");
            let mut expected = Vec::new();
            resp::bulk(&mut expected, &value);
            assert!(client.call(&[&b"GET"[..], b"k"]) == expected, "{size} bytes");
        }
    }
}

#[test]
fn a_value_of_100_megabytes_comes_back_whole() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let value: Vec<u8> = (0..100 << 20).map(|at: usize| (at % 253) as u8).collect();
    assert_eq!(client.call(&[&b"SET"[..], b"big", &value]), b"+OK\r\n");
    let reply = client.call(&[&b"GET"[..], b"big"]);
    assert_eq!(&reply[..12], b"$104857600\r\n");
    assert!(reply[12..reply.len() - 2] == value[..]);
    // Others go on, and so does this one.
    client.expect("STRLEN big", ":104857600\r\n");
    client.expect("GET other", "$-1\r\n");
}

#[test]
fn a_large_reply_waits_for_its_turn() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let large = "x".repeat(3 << 20);
    let [big, small] = [cluster.key_on(0, 0), cluster.key_on(1, 0)];
    client.call(&["SET", &big, &large]);
    client.expect(&format!("SET {small} s"), "+OK\r\n");
    let mut bytes = Vec::new();
    for _ in 0..10 {
        resp::request(&mut bytes, &["GET", &big]);
        resp::request(&mut bytes, &["GET", &small]);
    }
    for pair in client.pipeline(&bytes, 20).chunks(2) {
        assert_eq!(pair[0].len(), large.len() + 12);
        assert_eq!(pair[1], b"$1\r\ns\r\n");
    }
}

#[test]
fn replies_that_contain_replies_are_not_taken_apart() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let tricky = "$5\r\nhello\r\n*1\r\n:1\r\n-ERR x\r\n";
    client.call(&["SET", "k", tricky]);
    client.call(&["RPUSH", "l", tricky, "", "\r\n"]);
    let mut bulk = Vec::new();
    resp::bulk(&mut bulk, tricky.as_bytes());
    assert_eq!(client.call(&["GET", "k"]), bulk);
    let list = [b"*3\r\n", &bulk[..], b"$0\r\n\r\n$2\r\n\r\n\r\n"].concat();
    assert_eq!(client.call(&["LRANGE", "l", "0", "-1"]), list);
}

#[test]
fn replies_nested_as_deep_as_lua_makes_them_pass() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let depth = 100;
    let script = format!("return {}1{}", "{".repeat(depth), "}".repeat(depth));
    let reply = client.call(&["EVAL", &script, "0"]);
    assert_eq!(reply, ["*1\r\n".repeat(depth).as_bytes(), b":1\r\n"].concat());
    client.expect("PING", "+PONG\r\n");
}

#[test]
fn replies_of_a_pipeline_leave_together_unless_one_takes_too_long() {
    let mut cluster = Cluster::with(|plan| plan.set("session.linger=1s"));
    let [slow, fine] = [cluster.key_on(0, 0), cluster.key_on(1, 0)];
    let mut client = cluster.client();
    client.expect(&format!("SET {fine} v"), "+OK\r\n");
    client.expect(&format!("SET {slow} w"), "+OK\r\n");
    let both = [resp::words(&format!("GET {fine}")), resp::words(&format!("GET {slow}"))].concat();
    cluster.nodes[0].pause();
    client.send(&both);
    let of_fine = |name| cluster.circlet.metric(&format!("circlet_node_{name}{{node=\"n2\"}}"));
    until_true("the SET and the GET to be answered by their node", || {
        (of_fine("requests_total"), of_fine("in_flight")) == (Some(2.0), Some(0.0))
    });
    assert_eq!(client.whatever_comes(Duration::from_millis(100)), b"", "the first waits for the second");
    cluster.nodes[0].resume();
    assert_eq!((client.frame(), client.frame()), (b"$1\r\nv\r\n".to_vec(), b"$1\r\nw\r\n".to_vec()));
    for linger in ["1ms", "off"] {
        client.expect(&format!("CONFIG SET circlet.session.linger {linger}"), "+OK\r\n");
        cluster.nodes[0].pause();
        client.send(&both);
        assert_eq!(client.frame(), b"$1\r\nv\r\n", "{linger}");
        assert_eq!(client.whatever_comes(Duration::from_millis(1)), b"", "{linger}: it has not waited");
        cluster.nodes[0].resume();
        assert_eq!(client.frame(), b"$1\r\nw\r\n", "{linger}");
    }
    let ends = |end| cluster.circlet.metric(&format!("circlet_replies_lingered_total{{end=\"{end}\"}}")).unwrap();
    until_true("one of each kind", || (ends("whole"), ends("late")) == (1.0, 1.0));
}
