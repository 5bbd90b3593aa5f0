//! What goes wrong on the way: nothing is lost, nothing comes back, and the reason is told.

use super::*;

#[test]
fn a_key_that_the_target_has_already_stops_the_pass_and_stays() {
    let rig = Rig::new();
    rig.a.client().expect("MSET k old l 1", "+OK\r\n");
    let mut b = rig.b.client();
    b.expect("SET k other", "+OK\r\n");
    rig.open();
    let conflict = rig.pass().unwrap_err();
    assert_eq!(rig.pull("k").unwrap_err(), conflict);
    assert!(matches!(&conflict, MoveError::Conflict { node: B, db: 0, key, .. } if &key[..] == b"k"), "{conflict}");
    b.expect("GET k", "$5\r\nother\r\n");
    b.expect("SISMEMBER circlet:move:1-0 k", ":0\r\n");
    b.expect("DEL k", ":1\r\n");
    rig.pass().unwrap();
    b.expect("MGET k l", "*2\r\n$3\r\nold\r\n$1\r\n1\r\n");
}

#[test]
fn a_target_out_of_memory_refuses_in_its_own_words_and_nothing_is_half_done() {
    let rig = Rig::new();
    rig.a.client().expect("SET k 1", "+OK\r\n");
    rig.open();
    let mut b = rig.b.client();
    b.expect("CONFIG SET maxmemory 1", "+OK\r\n");
    let expected = "OOM command not allowed when used memory > 'maxmemory'.";
    for error in [rig.pull("k").unwrap_err(), rig.pass().unwrap_err()] {
        assert!(matches!(&error, MoveError::Refused { node: B, line, .. } if line == expected), "{error}");
    }
    b.expect("CONFIG SET maxmemory 0", "+OK\r\n");
    b.expect("SISMEMBER circlet:move:1-0 k", ":0\r\n");
    rig.pull("k").unwrap();
    b.expect("GET k", "$1\r\n1\r\n");
}

#[test]
fn a_target_that_restarts_empty_is_lost_until_a_new_nonce_and_newer_values_stay() {
    let mut rig = Rig::new();
    rig.a.client().expect("MSET k 1 l 1", "+OK\r\n");
    let opened = rig.open();
    rig.pull("k").unwrap();
    rig.b.start_again();
    let lost = MoveError::Lost { node: B, name: "b".to_owned() };
    assert_eq!(rig.pull("l"), Err(lost.clone()));
    assert_eq!(rig.pass(), Err(lost.clone()));
    assert_eq!(rig.wait(rig.mover.open(rig.forward(), Some(opened))), Err(lost));
    assert_eq!(rig.restarts(), 1);
    rig.b.client().expect("SET k newer", "+OK\r\n");
    rig.wait(rig.mover.open(rig.stage("n2", Busy::Keep), None)).unwrap();
    rig.pass().unwrap();
    rig.b.client().expect("MGET k l", "*2\r\n$5\r\nnewer\r\n$1\r\n1\r\n");
}

#[test]
fn a_target_that_keeps_its_data_goes_on_after_a_restart() {
    let kept = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut rig = Rig::of(Redis::start(), Redis::with(&kept), settings());
    rig.a.client().expect("MSET k 1 l 1", "+OK\r\n");
    let opened = rig.open();
    rig.pull("k").unwrap();
    rig.b.client().expect("DEL k", ":1\r\n");
    rig.b.start_again();
    rig.pass().unwrap();
    rig.b.client().expect("MGET k l", "*2\r\n$-1\r\n$1\r\n1\r\n");
    assert_eq!(rig.restarts(), 1);
    assert_eq!(rig.wait(rig.mover.open(rig.forward(), Some(opened.clone()))).unwrap(), opened);
    assert_eq!(rig.restarts(), 1, "it is told once");
}

#[test]
fn a_source_that_is_down_fails_who_asks_and_is_waited_for_by_the_pass() {
    let kept = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut rig = Rig::of(Redis::with(&kept), Redis::start(), settings());
    let mut a = rig.a.client();
    for number in 0..2_000 {
        a.expect(&format!("SET k:{number} {number}"), "+OK\r\n");
    }
    rig.open();
    rig.a.kill();
    let error = rig.pull("k:1").unwrap_err();
    assert!(matches!(&error, MoveError::Down { node: A, .. }), "{error}");
    let pass = rig.begin_pass();
    until_true("the pass to say what it waits for", || rig.mover.progress().trouble().is_some());
    rig.a.start_again();
    rig.end(pass).unwrap();
    assert_eq!(rig.mover.progress().trouble(), None);
    rig.b.client().expect("DBSIZE", ":2001\r\n");
    assert_eq!(rig.restarts(), 1);
}

#[test]
fn a_pass_survives_a_restart_of_its_source_in_the_middle() {
    let kept = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut rig = Rig::of(Redis::with(&kept), Redis::start(), Settings { keys_per_second: 2_000, ..settings() });
    let mut a = rig.a.client();
    let request: Vec<u8> = (0..5_000).flat_map(|n| format!("SET k:{n} {n}\r\n").into_bytes()).collect();
    a.pipeline(&request, 5_000);
    rig.open();
    let pass = rig.begin_pass();
    until_true("some keys", || rig.mover.progress().keys.load(SeqCst) > 0);
    rig.a.start_again();
    rig.mover.pace().set(0, 0);
    rig.end(pass).unwrap();
    rig.b.client().expect("DBSIZE", ":5001\r\n");
}

#[test]
fn a_restore_that_arrives_late_brings_nothing_back() {
    let (rig, relay) = Rig::behind_a_relay();
    rig.a.client().expect("MSET k 1 l 1 m 1", "+OK\r\n");
    rig.open();
    // Opens the lines, and the set for `pull`.
    rig.pull("l").unwrap();
    // The restore of k waits in the relay; whoever asked is told so, and asks again on a new connection.
    relay.hold_requests();
    let first = rig.pull("k").unwrap_err();
    assert!(first.is_down(), "{first}");
    until_true("k to be pulled", || rig.pull("k").is_ok());
    let mut b = rig.b.client();
    b.expect("GET k", "$1\r\n1\r\n");
    b.expect("DEL k", ":1\r\n");
    relay.release();
    until_true("what was held back to arrive", || !relay.holds_a_request());
    rig.pass().unwrap();
    b.expect("MGET k m", "*2\r\n$-1\r\n$1\r\n1\r\n");
}

#[test]
fn a_restore_that_arrives_after_the_end_has_no_effect() {
    let (rig, relay) = Rig::behind_a_relay();
    rig.a.client().expect("MSET k 1 l 1", "+OK\r\n");
    rig.open();
    rig.pull("l").unwrap();
    relay.hold_requests();
    rig.pull("k").unwrap_err();
    rig.mover.rest();
    rig.close(rig.forward());
    let mut b = rig.b.client();
    b.expect("DEL l", ":1\r\n");
    relay.release();
    until_true("what was held back to arrive", || !relay.holds_a_request());
    rig.b.client().expect("PING", "+PONG\r\n");
    b.expect("DBSIZE", ":0\r\n");
    assert_eq!(rig.pull("k"), Err(MoveError::NotOpen));
}

#[test]
fn connections_cut_again_and_again_cost_nothing_but_time() {
    let (a, b) = (Redis::start(), Redis::start());
    let (near, far) = (Relay::to(&a.address()), Relay::to(&b.address()));
    let mut rig = Rig::of(a, b, Settings { keys_per_second: 20_000, ..settings() });
    rig.nodes = nodes(&near.address(), &far.address());
    rig.a.client().expect("DEBUG POPULATE 10000 key 50", "+OK\r\n");
    rig.open();
    let pass = rig.begin_pass();
    for round in 1..=10 {
        until_true("more keys", || pass.is_finished() || rig.mover.progress().keys.load(SeqCst) >= 800 * round);
        near.cut();
        far.cut();
    }
    rig.end(pass).unwrap();
    rig.b.client().expect("DBSIZE", ":10001\r\n");
    assert_eq!(
        shown(&rig.b.client().call(&["STRLEN", "key:9999"])),
        shown(&rig.a.client().call(&["STRLEN", "key:9999"]))
    );
}

#[test]
fn a_wrong_password_is_told_and_is_no_reason_to_wait() {
    let rig = Rig::of(Redis::start(), Redis::with(&["--requirepass", "secret"]), settings());
    let error = rig.wait(rig.mover.open(rig.forward(), None)).unwrap_err();
    assert!(matches!(&error, MoveError::Refused { node: B, line, .. } if line.starts_with("NOAUTH")), "{error}");
}

#[test]
fn another_process_than_was_recorded_is_told_after_a_restart_of_circlet() {
    let rig = Rig::new();
    let mut opened = rig.open();
    assert_eq!(rig.restarts(), 0);
    opened.runs.insert(A, "another".to_owned());
    let again = Rig { nodes: Arc::clone(&rig.nodes), ..Rig::new() };
    again.wait(again.mover.open(rig.forward(), Some(opened))).unwrap();
    again.pull("k").unwrap();
    assert_eq!(*again.events.lock().unwrap(), [Event::Restarted { node: A }]);
}

#[test]
fn a_restart_of_circlet_goes_on_where_it_was_and_counts_what_is_there_twice() {
    let rig = Rig::new();
    rig.a.client().expect("MSET k 1 l 1 m 1", "+OK\r\n");
    let opened = rig.open();
    rig.pull("k").unwrap();
    rig.b.client().expect("DEL k", ":1\r\n");
    let again = Rig { nodes: Arc::clone(&rig.nodes), ..Rig::new() };
    again.wait(again.mover.open(rig.forward(), Some(opened))).unwrap();
    again.pass().unwrap();
    rig.b.client().expect("MGET k l m", "*3\r\n$-1\r\n$1\r\n1\r\n$1\r\n1\r\n");
    assert_eq!(again.mover.progress().twice()[&(A, 0)], 3);
    assert_eq!(again.mover.progress().keys.load(SeqCst), 2);
}

#[test]
fn a_target_that_hangs_holds_up_the_pass_and_nothing_is_done_twice() {
    let quick = Times { connect: LONG, answer: Duration::from_millis(200) };
    let mut rig = Rig::of(Redis::start(), Redis::start(), Settings { times: quick, ..settings() });
    rig.a.client().expect("DEBUG POPULATE 3000 key 100", "+OK\r\n");
    rig.open();
    rig.pull("key:7").unwrap();
    let mut b = rig.b.client();
    b.expect("DEL key:7", ":1\r\n");
    rig.b.pause();
    let error = rig.pull("key:8").unwrap_err();
    assert!(matches!(&error, MoveError::Down { node: B, .. }), "{error}");
    let pass = rig.begin_pass();
    until_true("the pass to wait", || rig.mover.progress().trouble().is_some());
    rig.b.resume();
    rig.end(pass).unwrap();
    b.expect("EXISTS key:7", ":0\r\n");
    b.expect("DBSIZE", ":3000\r\n");
}

#[test]
fn users_and_passwords_are_those_of_the_nodes() {
    let rights = ["--user", "circlet", "on", ">secret", "~*", "&*", "+@all", "--user", "default", "off"];
    let mut rig = Rig::of(Redis::start(), Redis::with(&["--requirepass", "secret"]), settings());
    rig.a.client().expect("SET k 1", "+OK\r\n");
    let mut nodes = rig.nodes.to_vec();
    nodes[1].password = Some("secret".into());
    rig.nodes = nodes.clone().into();
    rig.open();
    rig.pass().unwrap();
    let c = Redis::with(&rights);
    nodes[0].address = c.address().parse().unwrap();
    nodes[0].username = Some("circlet".to_owned());
    nodes[0].password = Some("secret".into());
    rig.nodes = nodes.into();
    rig.wait(rig.mover.open(rig.back(), None)).unwrap();
    rig.pass().unwrap();
    let mut c = c.client();
    c.expect("AUTH circlet secret", "+OK\r\n");
    c.expect("GET k", "$1\r\n1\r\n");
}

#[test]
fn a_restart_between_two_moves_is_no_news() {
    let mut rig = Rig::new();
    rig.a.client().expect("SET k 1", "+OK\r\n");
    rig.open();
    rig.pass().unwrap();
    rig.close(rig.forward());
    rig.purge(A, |_| true);
    rig.a.start_again();
    rig.b.start_again();
    let next = Arc::new(Stage { id: "2-0".to_owned(), ..Stage::clone(&rig.forward()) });
    rig.wait(rig.mover.open(next, None)).unwrap();
    rig.pass().unwrap();
    assert_eq!(rig.restarts(), 0);
    rig.b.start_again();
    assert!(rig.pass().is_err());
    assert_eq!(rig.restarts(), 1);
}
