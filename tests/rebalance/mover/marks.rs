//! What the mover marks as arrived, what not, and when no mark counts any more.

use std::hash::RandomState;

use circlet::traffic::route::Arrived;

use super::*;

impl Rig {
    /// A table of marks, from now on.
    fn marks(&self) -> Arc<Arrived> {
        let arrived = Arc::new(Arrived::new([RandomState::new(), RandomState::new()]));
        self.mover.mark_in(Arc::clone(&arrived));
        arrived
    }
}

/// Those of `keys` that are marked.
fn marked<'a>(arrived: &Arrived, keys: &[&'a str]) -> Vec<&'a str> {
    keys.iter().copied().filter(|key| arrived.has(0, key.as_bytes())).collect()
}

const KEYS: [&str; 4] = ["k", "l", "none", "stay:x"];

#[test]
fn what_was_pulled_is_marked_whether_it_was_there_or_not_and_then_what_the_pass_has_moved() {
    for settings in [settings(), Settings { big_key_bytes: 0, ..settings() }] {
        let rig = Rig::of(Redis::start(), Redis::start(), settings);
        rig.a.client().expect("MSET k 1 l 1 stay:x 1", "+OK\r\n");
        rig.open();
        let arrived = rig.marks();
        assert!(marked(&arrived, &KEYS).is_empty());
        ["k", "none", "stay:x"].iter().for_each(|key| rig.pull(key).unwrap());
        assert_eq!(marked(&arrived, &KEYS), ["k", "none"]);
        // What is marked the pass does not look at again.
        let mut a = rig.a.client();
        a.expect("SET k other", "+OK\r\n");
        rig.pass().unwrap();
        assert_eq!(marked(&arrived, &KEYS), ["k", "l", "none"]);
        assert_eq!(rig.mover.progress().keys.load(SeqCst), 2);
        assert!(!arrived.has(1, b"k"), "that is another key");
    }
}

#[test]
fn what_could_not_be_taken_is_not_marked() {
    let rig = Rig::new();
    rig.a.client().expect("MSET k old l 1", "+OK\r\n");
    rig.b.client().expect("SET k other", "+OK\r\n");
    rig.open();
    let arrived = rig.marks();
    rig.pull("k").unwrap_err();
    rig.pass().unwrap_err();
    assert!(!arrived.has(0, b"k"));
}

#[test]
fn the_way_back_marks_what_has_returned_and_what_never_left_in_a_table_of_its_own() {
    let rig = Rig::new();
    rig.a.client().expect("MSET k 1 l 1", "+OK\r\n");
    rig.open();
    let forth = rig.marks();
    rig.pull("k").unwrap();
    rig.mover.mark_in(Arc::default());
    rig.wait(rig.mover.open(rig.back(), None)).unwrap();
    let back = rig.marks();
    rig.pull("k").unwrap();
    assert_eq!((marked(&forth, &KEYS), marked(&back, &KEYS)), (vec!["k"], vec!["k"]));
    rig.pull("l").unwrap();
    assert_eq!((marked(&forth, &KEYS), marked(&back, &KEYS)), (vec!["k"], vec!["k", "l"]));
}

#[test]
fn no_mark_counts_when_a_node_has_restarted_or_does_not_know_of_the_move() {
    let kept = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut rig = Rig::of(Redis::start(), Redis::with(&kept), settings());
    rig.open();
    let arrived = rig.marks();
    rig.pull("k").unwrap();
    rig.b.start_again();
    rig.pull("l").unwrap();
    assert!(marked(&arrived, &KEYS).is_empty(), "the answer came when that was known");
    let arrived = rig.marks();
    rig.pull("k").unwrap();
    rig.b.client().expect("FLUSHALL", "+OK\r\n");
    assert_eq!(marked(&arrived, &KEYS), ["k"]);
    rig.pull("l").unwrap_err();
    assert!(marked(&arrived, &KEYS).is_empty());
}

#[test]
fn what_has_arrived_is_there_for_who_asks_although_its_source_is_away() {
    let mut rig = Rig::new();
    rig.a.client().expect("MSET k 1 l 1", "+OK\r\n");
    rig.open();
    rig.pull("k").unwrap();
    rig.a.kill();
    let arrived = rig.marks();
    rig.pull("k").unwrap();
    assert!(rig.pull("l").unwrap_err().is_down());
    let both = ["l", "k"].map(|key| Bytes::from_static(key.as_bytes()));
    assert!(rig.wait(rig.mover.pull(0, &both)).unwrap_err().is_down());
    assert_eq!(marked(&arrived, &KEYS), ["k"]);
}
