//! Everything arrives as it was, and only what should.

use super::*;

#[test]
fn every_type_arrives_as_it_was_with_its_ttl_in_every_db() {
    let rig = Rig::new();
    let (mut a, mut b) = (rig.a.client(), rig.b.client());
    let mut keys = Vec::new();
    for db in [0, 3] {
        a.expect(&format!("SELECT {db}"), "+OK\r\n");
        keys = fill(&mut a, "k:");
        a.expect("PEXPIRE k:hash 500000", ":1\r\n");
        a.expect("SET stay:1 here", "+OK\r\n");
        a.expect("SET circlet:own x", "+OK\r\n");
    }
    rig.open();
    rig.pass().unwrap();
    for db in [0, 3] {
        a.expect(&format!("SELECT {db}"), "+OK\r\n");
        b.expect(&format!("SELECT {db}"), "+OK\r\n");
        for key in &keys {
            assert_eq!(content(&mut b, key), content(&mut a, key), "{key} in db {db}");
        }
        let ttl = b.value("PTTL k:hash").number();
        assert!((1..=500_000).contains(&ttl), "{ttl}");
        b.expect("EXISTS stay:1 circlet:own", ":0\r\n");
    }
    let moved = 2 * keys.len() as u64;
    assert_eq!(rig.mover.progress().keys.load(SeqCst), moved);
    assert_eq!(rig.mover.progress().left(), 0);
    assert_eq!(rig.mover.progress().twice()[&(A, 3)], moved / 2);
    rig.close(rig.forward());
    assert!(own_keys(&mut b).is_empty());
    rig.purge(A, |key| !key.starts_with(b"stay"));
    assert_eq!(sorted(a.value("KEYS *").list().iter().map(|key| key.text()).collect()), ["circlet:own", "stay:1"]);
    assert_eq!(rig.mover.progress().twice()[&(A, 3)], 0);
    b.expect("DBSIZE", &format!(":{}\r\n", keys.len()));
}

#[test]
fn many_keys_move_once_and_the_second_pass_moves_none() {
    let rig = Rig::new();
    let (mut a, mut b) = (rig.a.client(), rig.b.client());
    a.expect("DEBUG POPULATE 30000 key 100", "+OK\r\n");
    rig.open();
    rig.pass().unwrap();
    b.expect("DBSIZE", ":30001\r\n");
    let moved = rig.mover.progress().keys.load(SeqCst);
    rig.pass().unwrap();
    assert_eq!((moved, rig.mover.progress().keys.load(SeqCst)), (30_000, 30_000));
    assert_eq!(a.value("DBSIZE").number(), 30_000);
    b.expect("STRLEN key:29999", &a.ask("STRLEN key:29999"));
}

#[test]
fn a_key_is_pulled_when_somebody_asks_and_its_deletion_holds() {
    let rig = Rig::new();
    let (mut a, mut b) = (rig.a.client(), rig.b.client());
    a.expect("MSET k 1 gone 1 stay:1 1", "+OK\r\n");
    rig.open();
    let keys = ["k", "gone", "never", "stay:1"].map(|key| Bytes::from_static(key.as_bytes()));
    rig.wait(rig.mover.pull(0, &keys)).unwrap();
    b.expect("MGET k gone never stay:1", "*4\r\n$1\r\n1\r\n$1\r\n1\r\n$-1\r\n$-1\r\n");
    b.expect("DEL gone", ":1\r\n");
    b.expect("SET never now", "+OK\r\n");
    rig.pull("gone").unwrap();
    rig.pass().unwrap();
    b.expect("MGET k gone never", "*3\r\n$1\r\n1\r\n$-1\r\n$3\r\nnow\r\n");
    assert_eq!(rig.mover.progress().on_access.load(SeqCst), 4);
}

#[test]
fn without_tombstones_a_deleted_key_comes_back() {
    let settings = Settings { safety: Safety { tombstones: false, ..Safety::default() }, ..settings() };
    let rig = Rig::of(Redis::start(), Redis::start(), settings);
    rig.a.client().expect("SET k 1", "+OK\r\n");
    rig.open();
    rig.pull("k").unwrap();
    rig.b.client().expect("DEL k", ":1\r\n");
    rig.pass().unwrap();
    rig.b.client().expect("GET k", "$1\r\n1\r\n");
}

#[test]
fn many_who_ask_for_one_key_are_answered_together() {
    let rig = Rig::new();
    rig.a.client().expect("DEBUG POPULATE 500 key 10", "+OK\r\n");
    rig.open();
    rig.wait(async {
        let mut asks = tokio::task::JoinSet::new();
        for number in 0..5_000 {
            let (mover, key) = (Arc::clone(&rig.mover), format!("key:{}", number % 500));
            asks.spawn(async move { mover.pull(0, &[key.into()]).await });
        }
        asks.join_all().await.into_iter().for_each(Result::unwrap);
    });
    rig.b.client().expect("DBSIZE", ":501\r\n");
    assert_eq!(rig.mover.progress().keys.load(SeqCst), 500);
}

#[test]
fn what_expires_at_the_source_is_not_there_at_the_target() {
    let rig = Rig::new();
    let mut a = rig.a.client();
    a.expect("SET k 1 PX 1", "+OK\r\n");
    a.expect("SET l 1 PX 1", "+OK\r\n");
    rig.open();
    until_true("both to be over", || a.ask("EXISTS k l") == ":0\r\n");
    rig.pull("k").unwrap();
    rig.pass().unwrap();
    rig.b.client().expect("EXISTS k l", ":0\r\n");
}

#[test]
fn a_db_that_only_the_target_uses_has_its_set_too() {
    let rig = Rig::new();
    rig.open();
    rig.wait(rig.mover.pull(7, &[Bytes::from_static(b"k")])).unwrap();
    let mut b = rig.b.client();
    b.expect("SELECT 7", "+OK\r\n");
    b.expect("SMISMEMBER circlet:move:1-0 !n1 k", "*2\r\n:1\r\n:1\r\n");
    rig.close(rig.forward());
    b.expect("DBSIZE", ":0\r\n");
}

#[test]
fn purge_leaves_what_is_circlets_own_but_not_what_a_copy_left_behind() {
    let rig = Rig::new();
    let mut a = rig.a.client();
    a.expect("MSET k 1 stay:1 1 circlet:copy:0-0:1 x circlet:lock:k x", "+OK\r\n");
    rig.purge(A, |key| key == b"k");
    assert_eq!(sorted(a.value("KEYS *").list().iter().map(|key| key.text()).collect()), ["circlet:lock:k", "stay:1"]);
}

#[test]
fn a_pause_holds_the_pass_and_not_who_asks() {
    let rig = Rig::new();
    rig.a.client().expect("MSET k 1 l 2", "+OK\r\n");
    rig.open();
    rig.mover.pace().pause(true);
    let pass = rig.begin_pass();
    rig.pull("k").unwrap();
    assert_eq!(rig.mover.progress().matched.load(SeqCst), 0);
    rig.b.client().expect("MGET k l", "*2\r\n$1\r\n1\r\n$-1\r\n");
    rig.mover.pace().pause(false);
    rig.end(pass).unwrap();
    rig.b.client().expect("MGET k l", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

#[test]
fn a_pass_at_a_rate_ends_sooner_when_the_rate_is_lifted() {
    let rig = Rig::of(Redis::start(), Redis::start(), Settings { keys_per_second: 1, ..settings() });
    rig.a.client().expect("DEBUG POPULATE 2000 key 10", "+OK\r\n");
    rig.open();
    let pass = rig.begin_pass();
    until_true("the first batch", || rig.mover.progress().keys.load(SeqCst) > 0);
    assert!(!pass.is_finished());
    rig.mover.pace().set(0, 0);
    rig.end(pass).unwrap();
    rig.b.client().expect("DBSIZE", ":2001\r\n");
}
