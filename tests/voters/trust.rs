//! When a node counts for locks, and what Circlet remembers of it.

use std::{fs, process::Command};

use rustix::process::Signal;

use crate::support::{
    Client, Redis,
    changing::Changing,
    circlet::{BINARY, Plan},
    dir::Dir,
    resp::Value,
    voters::wait_all_count,
    wait::{LONG, until_true},
};

use super::{Scene, plan};

#[test]
fn a_young_ring_waits_and_says_so_unless_it_is_told_that_it_is_young() {
    let scene = Scene::with(Redis::several(1), |plan| plan.set("lock.max_ttl=2s"));
    let refused = scene.client().ask("LOCK.ACQUIRE a 1000");
    assert!(refused.starts_with("-NOQUORUM lock 'a': 0 of 1 nodes answered (n0: in quarantine for "), "{refused}");
    let log = scene.circlet.output();
    assert!(log.contains("no node is known to locks yet") && log.contains("--lock-bootstrap"), "{log}");
    assert!(log.contains("it is in quarantine") && log.contains("wait=2.5 s"), "{log}");
    // With patience it is had as soon as the node counts.
    assert_eq!(scene.take("a"), 1 << 32);
    until_true("the log line", || scene.circlet.output().contains("node counts for locks"));
    let told = Scene::over(Redis::several(1));
    assert!(told.client().ask("LOCK.ACQUIRE a 1000").starts_with("*4\r\n"));
}

#[test]
fn a_lock_outlives_circlet_and_its_token_releases_it() {
    let mut scene = Scene::with(Redis::several(3), |plan| plan.argument("--lock-bootstrap"));
    scene.wait_all_in();
    let first = scene.client().value("LOCK.ACQUIRE a 60000");
    let token = first.list()[0].text();
    scene.circlet.restart();
    let mut client = scene.client();
    // Known nodes count at once, and the lock is held still.
    assert_eq!(client.ask("LOCK.ACQUIRE a 1000"), "*-1\r\n");
    assert!(client.ask(&format!("LOCK.EXTEND a {token} 1000")).starts_with("-LOCKLOST "));
    assert_eq!(client.ask(&format!("LOCK.RELEASE a {token}")), ":1\r\n");
    let again = client.value("LOCK.ACQUIRE a 60000");
    assert!(again.list()[1].number() > first.list()[1].number(), "{first:?} {again:?}");
    // A crash is no other thing.
    scene.circlet.kill();
    scene.circlet.start_again();
    let mut client = scene.client();
    assert_eq!(client.ask("LOCK.ACQUIRE a 1000"), "*-1\r\n");
    assert_eq!(client.ask(&format!("LOCK.RELEASE a {}", again.list()[0].text())), ":1\r\n");
}

#[test]
fn a_node_that_restarts_does_not_count_until_every_lock_that_it_forgot_is_over() {
    let mut scene = Scene::over(Redis::several(3));
    scene.wait_all_in();
    let first = scene.take("a");
    scene.nodes[0].start_again();
    scene.wait_out("n0", "restart");
    // Two of three are enough, and two restarts are not.
    scene.take("b");
    assert_eq!(scene.circlet.metric("circlet_lock_node_quarantined{node=\"n0\"}"), Some(1.0));
    scene.wait_in("n0");
    assert_eq!(scene.circlet.metric("circlet_lock_node_quarantined{node=\"n0\"}"), Some(0.0));
    assert!(scene.take("a") > first);
    let events = scene.client().ask("CIRCLET EVENTS");
    assert!(events.contains("quarantine") && events.contains("admitted"), "{events}");
    // The quarantine survives Circlet.
    scene.nodes[1].start_again();
    scene.wait_out("n1", "restart");
    scene.circlet.restart();
    let log = || scene.circlet.output();
    until_true("it is said again", || log().contains("node=n1") && log().contains("it is in quarantine"));
    scene.wait_in("n1");
}

#[test]
fn a_flush_behind_circlets_back_is_noticed_by_the_next_lock() {
    let scene = Scene::over(Redis::several(3));
    scene.wait_all_in();
    scene.nodes[0].client().ask("FLUSHALL");
    // The very next vote does not count; the other two do.
    scene.take("b");
    scene.wait_out("n0", "FLUSHALL");
    scene.wait_in("n0");
    // All of them: nothing can be had, and it is said for how long.
    scene.nodes.iter().for_each(|node| drop(node.client().ask("FLUSHALL")));
    let refused = scene.client().ask("LOCK.ACQUIRE c 1000");
    assert!(
        refused.starts_with("-NOQUORUM lock 'c': 0 of 3 nodes answered (") && refused.contains("FLUSHALL"),
        "{refused}"
    );
    scene.take("c");
}

#[test]
fn a_node_whose_clock_is_set_does_not_count() {
    if !Redis::has_clocks() {
        return;
    }
    let scene = Scene::over((0..3).map(|_| Redis::with_clock(&[])).collect());
    scene.wait_all_in();
    for (ahead, way) in [(30.0, "forward"), (-30.0, "back")] {
        scene.nodes[0].set_clock(ahead);
        until_true("the jump to be noticed", || {
            scene.take("b");
            scene.was_out("n0", &format!("its clock was set {way} by"))
        });
        scene.wait_in("n0");
    }
}

#[test]
fn the_locks_of_sessions_are_free_when_circlet_ends() {
    let mut scene = Scene::with(Redis::several(3), |plan| plan.argument("--lock-bootstrap"));
    let mut client = scene.client();
    assert!(client.ask("LOCK.ACQUIRE a 60000 SESSION").starts_with("*4\r\n"));
    scene.circlet.signal(Signal::TERM);
    scene.circlet.exit_code(LONG);
    for node in &scene.nodes {
        node.client().expect("EXISTS circlet:lock:a", ":0\r\n");
    }
}

#[test]
fn a_lock_is_taken_though_the_nodes_have_forgotten_the_scripts() {
    let scene = Scene::over(Redis::several(3));
    scene.wait_all_in();
    let mut client = scene.client();
    for round in 0..3 {
        scene.nodes.iter().for_each(|node| node.client().expect("SCRIPT FLUSH", "+OK\r\n"));
        let granted = client.value(&format!("LOCK.ACQUIRE b{round} 1000"));
        let token = granted.list()[0].text();
        scene.nodes.iter().for_each(|node| node.client().expect("SCRIPT FLUSH", "+OK\r\n"));
        assert_eq!(client.ask(&format!("LOCK.RELEASE b{round} {token}")), ":1\r\n");
        let gone = |node: &Redis| node.client().ask(&format!("EXISTS circlet:lock:b{round}")) == ":0\r\n";
        until_true("it to be free on all nodes", || scene.nodes.iter().all(gone));
    }
}

#[test]
fn who_waits_has_the_lock_as_soon_as_it_is_released_elsewhere_and_nobody_else_hears_of_it() {
    let scene = Scene::with(Redis::several(3), |plan| plan.argument("--lock-bootstrap"));
    // Another Circlet over the same nodes.
    let addresses: Vec<String> = scene.nodes.iter().map(Redis::address).collect();
    let other = Scene::behind(Vec::new(), &addresses, |plan| plan.argument("--lock-bootstrap"));
    let mut listener = scene.client();
    listener.ask("PSUBSCRIBE *");
    let mut holder = other.client();
    let held = holder.value("LOCK.ACQUIRE a 60000");
    let mut waiter = scene.client();
    waiter.send(b"LOCK.ACQUIRE a 60000 WAIT 30000\r\n");
    let ears =
        || scene.nodes.iter().all(|node| node.client().ask("PUBSUB CHANNELS circlet:*").contains("circlet:free:0:a"));
    until_true("the nodes to be listened to", ears);
    assert_eq!(scene.client().ask("PUBSUB CHANNELS"), "*0\r\n");
    assert_eq!(holder.ask(&format!("LOCK.RELEASE a {}", held.list()[0].text())), ":1\r\n");
    // Long before the ttl, which is a minute.
    assert!(waiter.frame().starts_with(b"*4\r\n"));
    scene.client().ask("PUBLISH news hello");
    assert!(String::from_utf8_lossy(&listener.frame()).contains("hello"), "nothing else came before");
}

#[test]
fn without_locks_nothing_is_written_and_a_flush_costs_nothing() {
    let scene = Scene::over(Redis::several(3));
    let mut client = scene.client();
    client.expect("SET k v", "+OK\r\n");
    client.expect("FLUSHALL", "+OK\r\n");
    client.expect("DBSIZE", ":0\r\n");
    for node in &scene.nodes {
        node.client().expect("DBSIZE", ":0\r\n");
    }
    scene.take("a");
    // The marks of locks are nobody's keys, as soon as their nodes have said that they are there.
    until_true("no key", || client.ask("DBSIZE") == ":0\r\n");
    client.expect("SET k v", "+OK\r\n");
    until_true("one key", || client.ask("DBSIZE") == ":1\r\n");
}

#[test]
fn replicas_and_nodes_that_evict_do_not_count() {
    let nodes = Redis::several(3);
    let scene = Scene::over(nodes);
    scene.wait_all_in();
    scene.nodes[0].client().ask("CONFIG SET maxmemory 100mb maxmemory-policy allkeys-lru");
    scene.wait_out("n0", "evict");
    let primary = scene.nodes[2].address().replace(':', " ");
    scene.nodes[1].client().ask(&format!("REPLICAOF {primary}"));
    scene.wait_out("n1", "replica");
    let refused = scene.client().ask("LOCK.ACQUIRE b 1000");
    assert!(refused.contains("maxmemory-policy") && refused.contains("replica"), "{refused}");
    scene.nodes[0].client().ask("CONFIG SET maxmemory 0");
    scene.nodes[1].client().ask("REPLICAOF NO ONE");
    scene.take("b");
    scene.wait_in("n0");
    scene.wait_in("n1");
}

#[test]
fn nodes_that_join_and_leave_are_joint_for_a_time_and_locks_stay_held() {
    let plan = Plan::default().set("lock.max_ttl=2s").argument("--lock-bootstrap");
    let changing = Changing::start(plan, Redis::several(5), 3);
    let mut client = changing.client();
    let held = client.value("LOCK.ACQUIRE a 2000 WAIT 10000");
    let (token, fence) = (held.list()[0].text(), held.list()[1].number());
    changing.change(&format!(
        "CIRCLET NODE ADD n3 {} AND ADD n4 {}",
        changing.servers[3].address(),
        changing.servers[4].address()
    ));
    until_true("the window", || client.value("LOCK.INFO a").get("window").is_some_and(|window| window != &Value::Null));
    // Extended over the change, again and again, it is never anybody else's.
    let mut other = changing.client();
    let mut holds = |client: &mut Client| {
        let extended = client.ask(&format!("LOCK.EXTEND a {token} 2000"));
        assert!(extended.starts_with("*2\r\n"), "{extended}");
        assert_eq!(other.ask("LOCK.ACQUIRE a 2000"), "*-1\r\n");
    };
    (0..5).for_each(|_| holds(&mut client));
    changing.settle();
    while !changing.circlet.output().contains("these nodes alone keep locks") {
        holds(&mut client);
    }
    holds(&mut client);
    assert_eq!(client.ask(&format!("LOCK.RELEASE a {token}")), ":1\r\n");
    let next = other.value("LOCK.ACQUIRE a 2000 WAIT 10000");
    assert!(next.list()[1].number() > fence);
}

#[test]
fn locks_stay_held_while_one_of_their_nodes_leaves_and_another_is_replaced() {
    let plan = Plan::default().set("lock.max_ttl=2s").argument("--lock-bootstrap");
    let changing = Changing::start(plan, Redis::several(6), 5);
    let (mut client, mut other) = (changing.client(), changing.client());
    wait_all_count(&mut client);
    // Each lies on three of the five, so that the change is some other for each.
    let take = |client: &mut Client, name: &str| {
        let held = client.value(&format!("LOCK.ACQUIRE {name} 2000 WAIT 10000"));
        (held.list()[0].text(), held.list()[1].number())
    };
    let names = ["a", "b", "c", "d", "e", "f"];
    let held = names.map(|name| (name, take(&mut client, name)));
    changing.change(&format!("CIRCLET NODE REMOVE n1 AND REPLACE n2 {}", changing.servers[5].address()));
    let mut holds = |client: &mut Client| {
        for (name, (token, _)) in &held {
            let extended = client.ask(&format!("LOCK.EXTEND {name} {token} 2000"));
            assert!(extended.starts_with("*2\r\n"), "{name}: {extended}");
            assert_eq!(other.ask(&format!("LOCK.ACQUIRE {name} 2000")), "*-1\r\n", "{name}");
        }
    };
    while !changing.circlet.output().contains("these nodes alone keep locks") {
        holds(&mut client);
    }
    holds(&mut client);
    changing.settle();
    for (name, (token, fence)) in &held {
        assert_eq!(client.ask(&format!("LOCK.RELEASE {name} {token}")), ":1\r\n", "{name}");
        assert!(take(&mut client, name).1 > *fence, "{name}");
    }
    // Those that are no nodes any more are left alone.
    for server in [1, 2] {
        let lines = || changing.servers[server].client().value("CLIENT LIST").text();
        until_true("no connection of locks", || !lines().contains("name=circlet-lock "));
    }
}

#[test]
fn without_a_state_directory_or_with_no_nodes_the_cure_is_said() {
    let node = Redis::start();
    let circlet = Plan::default().node(node.address()).start();
    let refused = circlet.client().ask("LOCK.ACQUIRE a 1000");
    assert!(refused.starts_with("-ERR locks need a state directory") && refused.contains("--state DIR"), "{refused}");
    let state = Dir::new();
    let off = plan(&state).node(node.address()).set("lock.nodes=0").start();
    let refused = off.client().ask("LOCK.ACQUIRE a 1000");
    assert!(refused.starts_with("-ERR locks are switched off (lock.nodes is 0)"), "{refused}");
    assert!(!fs::exists(state.file("locks.json")).unwrap());
}

#[test]
fn a_damaged_state_of_locks_keeps_circlet_from_starting() {
    let mut scene = Scene::over(Redis::several(1));
    scene.take("a");
    scene.circlet.signal(Signal::TERM);
    scene.circlet.exit_code(LONG);
    let path = scene.state.file("locks.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"epoch\":", "\"epoch\":1", 1)).unwrap();
    let state = scene.state.path().display().to_string();
    let mut command = Command::new(BINARY);
    let listen = format!("unix:{state}/socket");
    command.args(["serve", "--listen", &listen, "--admin", "off", "--state", &state, "--node", "127.0.0.1:1"]);
    let ended = command.output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && told.contains("locks.json is damaged (its digest is another one)"), "{told}");
    assert!(told.contains("move it away"), "{told}");
}
