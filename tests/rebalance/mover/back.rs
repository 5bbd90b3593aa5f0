//! The way back: an abort of a stage that has moved keys already.

use super::*;

impl Rig {
    /// Forth with `keys` pulled, then what clients do at the target, then the way back open.
    fn turned(&self, keys: &[&str], at_target: &[&str]) {
        self.open();
        keys.iter().for_each(|key| self.pull(key).unwrap());
        let mut b = self.b.client();
        for line in at_target {
            assert!(!b.ask(line).starts_with('-'), "{line}");
        }
        self.wait(self.mover.open(self.back(), None)).unwrap();
    }
}

#[test]
fn what_clients_did_at_the_target_holds_and_what_never_left_stays() {
    for settings in [settings(), Settings { big_key_bytes: 0, ..settings() }] {
        let rig = Rig::of(Redis::start(), Redis::start(), settings);
        let mut a = rig.a.client();
        a.expect("MSET changed old deleted old same old left old stay:1 x", "+OK\r\n");
        a.expect("RPUSH type 1", ":1\r\n");
        let pulled = ["changed", "deleted", "same", "made", "type"];
        rig.turned(&pulled, &["SET changed new EX 1000", "DEL deleted", "SET made new", "SET type new"]);
        // One that is asked for, the others by the pass.
        rig.pull("changed").unwrap();
        rig.pull("left").unwrap();
        a.expect("MGET changed left deleted", "*3\r\n$3\r\nnew\r\n$3\r\nold\r\n$3\r\nold\r\n");
        rig.pass().unwrap();
        a.expect("MGET changed deleted same", "*3\r\n$3\r\nnew\r\n$-1\r\n$3\r\nold\r\n");
        a.expect("MGET left made type stay:1", "*4\r\n$3\r\nold\r\n$3\r\nnew\r\n$3\r\nnew\r\n$1\r\nx\r\n");
        assert!(a.value("TTL changed").number() > 0);
        rig.close(rig.back());
        assert!(own_keys(&mut a).is_empty());
        rig.b.client().expect("DBSIZE", ":0\r\n");
    }
}

#[test]
fn it_finds_keys_in_dbs_that_only_the_target_has() {
    let rig = Rig::new();
    rig.open();
    rig.wait(rig.mover.pull(5, &[Bytes::from_static(b"k")])).unwrap();
    let mut b = rig.b.client();
    b.expect("SELECT 5", "+OK\r\n");
    b.expect("SET k new", "+OK\r\n");
    rig.wait(rig.mover.open(rig.back(), None)).unwrap();
    rig.pass().unwrap();
    rig.close(rig.back());
    let mut a = rig.a.client();
    a.expect("SELECT 5", "+OK\r\n");
    a.expect("GET k", "$3\r\nnew\r\n");
    b.expect("DBSIZE", ":0\r\n");
}

#[test]
fn what_a_client_does_at_the_source_again_is_not_undone_by_the_pass() {
    let rig = Rig::new();
    rig.a.client().expect("MSET k 1 l 1", "+OK\r\n");
    rig.turned(&["k", "l"], &["SET k 2", "SET l 2"]);
    rig.pull("k").unwrap();
    let mut a = rig.a.client();
    a.expect("DEL k", ":1\r\n");
    rig.pass().unwrap();
    rig.pass().unwrap();
    a.expect("MGET k l", "*2\r\n$-1\r\n$1\r\n2\r\n");
}

#[test]
fn a_restore_forth_that_arrives_after_the_turn_has_no_effect() {
    let (rig, relay) = Rig::behind_a_relay();
    let mut a = rig.a.client();
    a.expect("MSET k 1 l 1", "+OK\r\n");
    rig.open();
    rig.pull("l").unwrap();
    relay.hold_requests();
    rig.pull("k").unwrap_err();
    rig.mover.rest();
    rig.wait(rig.mover.open(rig.back(), None)).unwrap();
    rig.pull("k").unwrap();
    a.expect("DEL k", ":1\r\n");
    relay.release();
    until_true("what was held back to arrive", || !relay.holds_a_request());
    rig.pass().unwrap();
    a.expect("MGET k l", "*2\r\n$-1\r\n$1\r\n1\r\n");
    rig.b.client().expect("EXISTS k", ":0\r\n");
}

#[test]
fn it_goes_on_after_a_restart_of_circlet() {
    let rig = Rig::new();
    rig.a.client().expect("MSET k 1 l 1", "+OK\r\n");
    rig.turned(&["k", "l"], &["SET k 2", "DEL l"]);
    let opened = rig.wait(rig.mover.open(rig.back(), None)).unwrap();
    rig.pull("k").unwrap();
    let mut a = rig.a.client();
    a.expect("SET k 3", "+OK\r\n");
    let again = Rig { nodes: Arc::clone(&rig.nodes), ..Rig::new() };
    again.wait(again.mover.open(rig.back(), Some(opened))).unwrap();
    again.pass().unwrap();
    a.expect("MGET k l", "*2\r\n$1\r\n3\r\n$-1\r\n");
    again.close(rig.back());
    a.expect("DBSIZE", ":1\r\n");
}

#[test]
fn no_key_is_pulled_by_the_rules_of_the_way_forth_once_the_way_back_is_wanted() {
    let mut rig = Rig::new();
    rig.a.client().expect("SET k 1", "+OK\r\n");
    rig.open();
    rig.pull("k").unwrap();
    rig.b.kill();
    assert!(rig.wait(rig.mover.open(rig.back(), None)).unwrap_err().is_down());
    assert_eq!(rig.pull("k"), Err(MoveError::NotOpen));
}

#[test]
fn a_restore_with_an_older_nonce_has_no_effect_either() {
    let (rig, relay) = Rig::behind_a_relay();
    let mut a = rig.a.client();
    a.expect("MSET k 1 l 1", "+OK\r\n");
    rig.open();
    rig.pull("l").unwrap();
    relay.hold_requests();
    rig.pull("k").unwrap_err();
    rig.mover.rest();
    let anew = Stage { replaces: Some("n1".to_owned()), ..Stage::clone(&rig.stage("n2", Busy::Stop)) };
    rig.wait(rig.mover.open(Arc::new(anew), None)).unwrap();
    let mut b = rig.b.client();
    b.expect("SMISMEMBER circlet:move:1-0 !n1 !n2 l", "*3\r\n:0\r\n:1\r\n:1\r\n");
    rig.wait(rig.mover.open(rig.back(), None)).unwrap();
    relay.release();
    until_true("what was held back to arrive", || !relay.holds_a_request());
    rig.b.client().expect("PING", "+PONG\r\n");
    b.expect("EXISTS k circlet:move:1-0", ":0\r\n");
    rig.pass().unwrap();
    a.expect("MGET k l", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
}
