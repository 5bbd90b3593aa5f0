//! What is looked at before a move, and after it.

use std::collections::{BTreeMap, BTreeSet};

use circlet::control::rebalance::mover::{Count, Need, Plan, Samples};

use super::*;

impl Rig {
    fn preflight(&self, plan: Plan) -> Result<Vec<String>, MoveError> {
        self.wait(self.mover.preflight(self.forward(), plan))
    }

    /// What a preflight that must fail says.
    fn unfit(&self, plan: Plan) -> String {
        match self.preflight(plan) {
            Err(MoveError::Unfit(message)) => message,
            other => panic!("{other:?}"),
        }
    }
}

/// Keys are to be copied, of nodes that have some.
fn copying() -> Plan {
    Plan { copies: true, ..Plan::default() }
}

fn joining() -> Plan {
    Plan { joining: BTreeSet::from([B]), ..copying() }
}

#[test]
fn two_good_nodes_are_fit_and_left_as_they_were() {
    let rig = Rig::new();
    rig.a.client().expect("SET k 1", "+OK\r\n");
    assert_eq!(rig.preflight(joining()), Ok(Vec::new()));
    rig.a.client().expect("DBSIZE", ":1\r\n");
    rig.b.client().expect("DBSIZE", ":0\r\n");
}

#[test]
fn a_joining_node_must_be_empty() {
    let rig = Rig::new();
    let mut b = rig.b.client();
    b.expect("SELECT 4", "+OK\r\n");
    b.expect("MSET circlet:own 1 left 1", "+OK\r\n");
    let message = rig.unfit(joining());
    assert!(message.contains("'left' in db 4") && message.contains("FLUSHALL"), "{message}");
    assert_eq!(rig.preflight(copying()), Ok(Vec::new()));
}

#[test]
fn a_joining_node_gets_the_functions_of_the_others() {
    let rig = Rig::new();
    let library = "#!lua name=lib\nredis.register_function('one', function() return 1 end)";
    rig.a.client().call(&["FUNCTION", "LOAD", library]);
    let notes = rig.preflight(joining()).unwrap();
    assert!(notes[0].contains("functions of node a: lib"), "{notes:?}");
    rig.b.client().expect("FCALL one 0", ":1\r\n");
    assert_eq!(rig.preflight(joining()), Ok(Vec::new()));
}

#[test]
fn a_node_without_room_is_told_with_a_cure_and_one_that_evicts_is_noted() {
    let rig = Rig::new();
    let mut b = rig.b.client();
    b.expect("CONFIG SET maxmemory 100mb", "+OK\r\n");
    let plan = |bytes| Plan { needs: BTreeMap::from([(B, Need { keys: 1_000, bytes })]), ..copying() };
    assert_eq!(rig.preflight(plan(1 << 20)), Ok(Vec::new()));
    let message = rig.unfit(plan(200 << 20));
    assert!(message.contains("raise maxmemory"), "{message}");
    b.expect("CONFIG SET maxmemory-policy allkeys-lru", "+OK\r\n");
    let notes = rig.preflight(plan(1 << 20)).unwrap();
    assert!(notes[0].contains("allkeys-lru"), "{notes:?}");
}

#[test]
fn a_replica_a_missing_db_and_a_forbidden_command_are_no_good() {
    let rig = Rig::new();
    rig.b.client().expect("REPLICAOF 127.0.0.1 1", "+OK\r\n");
    let message = rig.unfit(copying());
    assert!(message.contains("node b is a replica"), "{message}");

    let rig = Rig::of(Redis::start(), Redis::with(&["--databases", "2"]), settings());
    let mut a = rig.a.client();
    a.expect("SELECT 3", "+OK\r\n");
    a.expect("SET k 1", "+OK\r\n");
    let message = rig.unfit(copying());
    assert!(message.contains("`databases 4`"), "{message}");

    let rig = Rig::of(Redis::start(), Redis::with(&["--rename-command", "RESTORE", ""]), settings());
    let error = rig.preflight(copying()).unwrap_err();
    assert!(matches!(&error, MoveError::Refused { node: B, .. }), "{error}");
}

#[test]
fn a_full_source_is_fit_all_the_same() {
    let rig = Rig::new();
    rig.a.client().expect("CONFIG SET maxmemory 1", "+OK\r\n");
    let notes = rig.preflight(copying()).unwrap();
    assert!(notes[0].contains("out of memory"), "{notes:?}");
}

#[test]
fn counts_and_samples_tell_what_is_where() {
    let rig = Rig::new();
    let mut a = rig.a.client();
    a.expect("MSET k 1 l 1 m 1 n 1 stay:1 1", "+OK\r\n");
    a.expect("SADD set a b c", ":3\r\n");
    assert_eq!(rig.preflight(copying()), Ok(Vec::new()));
    rig.open();
    rig.pass().unwrap();
    rig.close(rig.forward());
    let mut b = rig.b.client();
    b.expect("SET k 2", "+OK\r\n");
    b.expect("DEL l", ":1\r\n");
    let owner = |key: &[u8]| if key.starts_with(b"stay") { A } else { B };
    let verify = || rig.wait(rig.mover.verify(Arc::clone(&rig.nodes), vec![A, B], Arc::new(owner))).unwrap();
    let before = verify();
    let at_b = Count { node: B, db: 0, own: 4, strays: 0 };
    assert_eq!(before.counts, [Count { node: A, db: 0, own: 1, strays: 5 }, at_b]);
    // The set may be a hash table, which has no digest.
    let samples = before.samples;
    assert_eq!((samples.changed, samples.gone), (1, 1));
    assert!((2..=3).contains(&samples.same), "{samples:?}");
    rig.purge(A, |key| !key.starts_with(b"stay"));
    let after = verify();
    assert_eq!(after.counts, [Count { node: A, db: 0, own: 1, strays: 0 }, at_b]);
    assert_eq!(after.samples, Samples { ..samples });
}
