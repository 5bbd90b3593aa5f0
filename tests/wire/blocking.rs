//! Commands that wait for data: they wait like in Redis, and end like there.

use std::time::{Duration, Instant};

use crate::support::{Client, Cluster, resp, wait::until_true};

/// Whether `count` clients of Circlet are blocked.
fn blocked(cluster: &Cluster, count: usize) -> bool {
    let list = cluster.client().ask("CLIENT LIST");
    list.lines().filter(|line| line.contains(" flags=b ")).count() == count
}

fn send(client: &mut Client, line: &str) {
    client.send(&resp::words(line));
}

#[test]
fn every_blocking_command_is_woken_by_what_it_waits_for() {
    let cluster = Cluster::with(|plan| plan.set("workers=2"));
    let mut other = cluster.client();
    for (command, wake, reply) in [
        ("BLPOP {t}q 0", "RPUSH {t}q x", "*2\r\n$4\r\n{t}q\r\n$1\r\nx\r\n"),
        ("BRPOP {t}none {t}q 0", "RPUSH {t}q x", "*2\r\n$4\r\n{t}q\r\n$1\r\nx\r\n"),
        ("BLMOVE {t}q {t}to LEFT RIGHT 0", "RPUSH {t}q x", "$1\r\nx\r\n"),
        ("BRPOPLPUSH {t}q {t}to 0", "RPUSH {t}q x", "$1\r\nx\r\n"),
        ("BLMPOP 0 2 {t}none {t}q LEFT", "RPUSH {t}q x", "*2\r\n$4\r\n{t}q\r\n*1\r\n$1\r\nx\r\n"),
        ("BZPOPMIN {t}z 0", "ZADD {t}z 1 m", "*3\r\n$4\r\n{t}z\r\n$1\r\nm\r\n$1\r\n1\r\n"),
        ("BZPOPMAX {t}z 0", "ZADD {t}z 1 m", "*3\r\n$4\r\n{t}z\r\n$1\r\nm\r\n$1\r\n1\r\n"),
        ("BZMPOP 0 1 {t}z MIN", "ZADD {t}z 1 m", "*2\r\n$4\r\n{t}z\r\n*1\r\n*2\r\n$1\r\nm\r\n$1\r\n1\r\n"),
        (
            "XREAD BLOCK 0 STREAMS {t}s $",
            "XADD {t}s 1-1 f v",
            "*1\r\n*2\r\n$4\r\n{t}s\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
        ),
    ] {
        let mut client = cluster.client();
        send(&mut client, command);
        until_true("the client to be blocked", || blocked(&cluster, 1));
        assert!(other.ask(wake).starts_with([':', '$']), "{wake}");
        assert_eq!(String::from_utf8(client.frame()).unwrap(), reply, "{command}");
        client.expect("PING", "+PONG\r\n");
    }
}

#[test]
fn a_group_reader_is_woken_and_a_time_over_is_a_nil() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let mut third = cluster.client3();
    client.expect("XGROUP CREATE s g $ MKSTREAM", "+OK\r\n");
    client.expect("XREADGROUP GROUP g c BLOCK 20 STREAMS s >", "*-1\r\n");
    third.expect("BLPOP nothing 0.02", "_\r\n");
    client.expect("BLPOP nothing 0.02", "*-1\r\n");
    client.expect("BLMOVE {a}1 {a}2 LEFT LEFT 0.02", "*-1\r\n");
    send(&mut client, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >");
    until_true("the client to be blocked", || blocked(&cluster, 1));
    assert!(third.ask("XADD s 5-1 f v").starts_with('$'));
    assert!(String::from_utf8(client.frame()).unwrap().contains("5-1"));
}

#[test]
fn what_follows_a_blocking_command_waits_and_is_answered_in_order() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let mut bytes = resp::words("SET a 1");
    for line in ["BLPOP q 0", "GET a", "BLPOP q 0", "ECHO end"] {
        bytes.extend(resp::words(line));
    }
    client.send(&bytes);
    let mut other = cluster.client();
    assert_eq!(client.frame(), b"+OK\r\n");
    until_true("the client to be blocked", || blocked(&cluster, 1));
    // While it is blocked nothing behind it has run: a later value is what it reads.
    other.expect("SET a 2", "+OK\r\n");
    other.expect("RPUSH q x y", ":2\r\n");
    assert_eq!(client.frame(), b"*2\r\n$1\r\nq\r\n$1\r\nx\r\n");
    assert_eq!(client.frame(), b"$1\r\n2\r\n");
    assert_eq!(client.frame(), b"*2\r\n$1\r\nq\r\n$1\r\ny\r\n");
    assert_eq!(client.frame(), b"$3\r\nend\r\n");
}

#[test]
fn a_client_that_left_gets_nothing_and_nothing_is_lost() {
    let cluster = Cluster::with(|plan| plan.set("workers=2"));
    let mut other = cluster.client();
    for _ in 0..20 {
        let mut gone = cluster.client();
        send(&mut gone, "BLPOP q 0");
        until_true("the client to be blocked", || blocked(&cluster, 1));
        drop(gone);
        until_true("its end to be seen", || blocked(&cluster, 0));
        until_true("the node to know", || {
            cluster.nodes.iter().all(|node| node.client().ask("INFO clients").contains("blocked_clients:0"))
        });
        other.expect("RPUSH q x", ":1\r\n");
        other.expect("LPOP q", "$1\r\nx\r\n");
    }
}

#[test]
fn clients_of_any_worker_can_be_unblocked_and_killed() {
    let cluster = Cluster::with(|plan| plan.set("workers=2"));
    let mut other = cluster.client();
    for round in 0..8 {
        let mut client = cluster.client();
        let id = client.ask("CLIENT ID").trim_matches([':', '\r', '\n']).to_owned();
        send(&mut client, "BLPOP q 0");
        until_true("the client to be blocked", || blocked(&cluster, 1));
        match round % 4 {
            0 => {
                other.expect(&format!("CLIENT UNBLOCK {id}"), ":1\r\n");
                assert_eq!(client.frame(), b"*-1\r\n");
            }
            1 => {
                other.expect(&format!("CLIENT UNBLOCK {id} TIMEOUT"), ":1\r\n");
                assert_eq!(client.frame(), b"*-1\r\n");
            }
            2 => {
                other.expect(&format!("CLIENT UNBLOCK {id} ERROR"), ":1\r\n");
                assert_eq!(client.frame(), b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
            }
            _ => {
                other.expect(&format!("CLIENT KILL ID {id}"), ":1\r\n");
                assert_eq!(client.rest(), b"");
                until_true("the client to be gone", || blocked(&cluster, 0));
                continue;
            }
        }
        client.expect("PING", "+PONG\r\n");
        other.expect(&format!("CLIENT UNBLOCK {id}"), ":0\r\n");
    }
    other.expect("CLIENT UNBLOCK 99999", ":0\r\n");
    other.expect("CLIENT UNBLOCK x", "-ERR value is not an integer or out of range\r\n");
    other.expect("CLIENT UNBLOCK 1 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n");
    assert!(other.ask("CLIENT UNBLOCK 1 ERROR x").starts_with("-ERR unknown subcommand or wrong number of arguments"));
}

#[test]
fn keys_of_several_nodes_and_wrong_arguments_are_refused_at_once() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let (one, other) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    assert!(client.ask(&format!("BLPOP {one} {other} 0")).starts_with("-CROSSSLOT "));
    client.expect(&format!("BLPOP {one} x"), "-ERR timeout is not a float or out of range\r\n");
    client.expect(&format!("BLPOP {one} -1"), "-ERR timeout is negative\r\n");
    assert!(client.ask(&format!("BLMPOP 0 9 {one} LEFT")).starts_with("-ERR"));
    client.expect(&format!("SET {one} v"), "+OK\r\n");
    assert!(client.ask(&format!("BLPOP {one} 0")).starts_with("-WRONGTYPE"));
}

#[test]
fn more_clients_than_leases_get_a_clear_error_and_the_others_are_served() {
    let cluster = Cluster::with(|plan| plan.set("workers=1").set("pipe.max_leased=5"));
    let mut waiting: Vec<Client> = (0..5).map(|_| cluster.client()).collect();
    waiting.iter_mut().for_each(|client| send(client, "BLPOP q 0"));
    until_true("five clients to be blocked", || blocked(&cluster, 5));
    let mut client = cluster.client();
    let text = client.ask("BLPOP q 0");
    assert!(text.starts_with("-ERR 'blpop' needs a node connection of its own and all 5 are taken"), "{text}");
    client.expect("RPUSH q 1 2 3 4 5", ":5\r\n");
    for client in &mut waiting {
        assert!(client.frame().starts_with(b"*2\r\n$1\r\nq\r\n"));
    }
    client.expect("BLPOP q 0.01", "*-1\r\n");
    until_true("the gauge to fall", || cluster.circlet.metric("circlet_sessions_blocked") == Some(0.0));
}

#[test]
fn wait_counts_the_replicas_of_the_node_with_the_fewest() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("SET k v", "+OK\r\n");
    client.expect("WAIT 0 100", ":0\r\n");
    let start = Instant::now();
    client.expect("WAIT 1 60", ":0\r\n");
    assert!(start.elapsed() >= Duration::from_millis(55), "it did not wait");
    client.expect("WAIT x 1", "-ERR value is not an integer or out of range\r\n");
    client.expect("WAIT 0 -1", "-ERR timeout is negative\r\n");
}
