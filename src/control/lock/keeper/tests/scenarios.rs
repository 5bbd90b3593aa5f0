//! Scenes in one order: the model's, by the names of its list, and what waiting, sessions and restarts promise.
//!
//! A1 to A3, C, D, G3 and G4 are explored by seeds (explore.rs); A4 and A5 are arithmetic (numbers.rs).

use std::time::Duration;

use super::{
    super::{Input, Keeper, Limits, Output, Rules, Safety},
    judge::Property,
    world::{MAX_TTL, Scene, World, member, name},
};
use crate::{
    control::lock::{note::Note, outcome::Outcome},
    traffic::lock::{Proof, Want},
};

const LONG: Duration = Duration::from_millis(2_000);

fn scene() -> Scene {
    Scene { drift: false, names: 1, ..Scene::default() }
}

fn world(scene: &Scene) -> World {
    let mut world = World::new(scene.clone(), 1);
    world.settle();
    world
}

fn acquire(ttl_ms: u64, wait_ms: u64, value: &str) -> Want {
    Want::Acquire { ttl_ms, wait_ms, value: value.to_owned().into(), session: false, again: false }
}

impl World {
    fn did(&mut self, proxy: usize, client: usize, want: Want) -> Outcome {
        let session = self.ask(proxy, client, name(0), want);
        self.settle();
        self.last(session).unwrap_or_else(|| panic!("no answer"))
    }

    fn last(&self, session: u64) -> Option<Outcome> {
        self.answers.iter().rev().find(|(of, _)| *of == session).map(|(_, outcome)| outcome.clone())
    }

    fn cut(&mut self, node: usize) {
        self.nodes[node].up = false;
        for proxy in 0..self.proxies.len() {
            let voter = self.voter_of(proxy, node);
            self.break_line(proxy, voter, true);
            self.connect(proxy, voter);
        }
        self.settle();
    }

    fn sound(&self) {
        assert_eq!(self.judge.verdict, None);
    }

    fn saw(&self, expected: Property) {
        assert_eq!(self.judge.verdict.as_ref().map(|(property, _)| *property), Some(expected));
    }
}

/// The hex token and the fence.
fn granted(outcome: &Outcome) -> (Proof, u64) {
    match outcome {
        Outcome::Granted { token, fence, .. } => (Proof::Token(token.hex().into()), *fence),
        other => panic!("not granted: {other:?}"),
    }
}

fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::NoQuorum(words) | Outcome::Refused(words) | Outcome::Lost(words) => words,
        other => panic!("no words: {other:?}"),
    }
}

fn release(proof: Proof) -> Want {
    Want::Release { proof: Some(proof), once: false }
}

fn extend(proof: Proof, ttl_ms: u64) -> Want {
    Want::Extend { proof, ttl_ms, more: false }
}

#[test]
fn a_lock_is_had_by_one_extended_and_released() {
    let mut world = world(&scene());
    let (token, first) = granted(&world.did(0, 0, acquire(500, 0, "me")));
    assert_eq!(first >> 32, world.proxies[0].keeper.epoch, "fences begin at the epoch");
    let Outcome::Taken { value, pttl_ms } = world.did(0, 1, acquire(500, 0, "you")) else { panic!("taken") };
    assert_eq!((value.as_deref(), pttl_ms), (Some(&b"me"[..]), Some(500)));
    let Outcome::Extended { fence, validity_ms } = world.did(0, 0, extend(token.clone(), 1_000)) else {
        panic!("longer")
    };
    assert_eq!((fence, validity_ms), (first, 1_000 - 10 - 2));
    assert_eq!(world.did(0, 0, release(token.clone())), Outcome::Released { holds: 0 });
    assert_eq!(world.did(0, 0, release(token.clone())), Outcome::NotHeld);
    assert!(words(world.did(0, 0, extend(token, 500))).contains("acquire it anew"));
    let (_, second) = granted(&world.did(0, 1, acquire(500, 0, "you")));
    assert!(second > first);
    world.sound();
}

#[test]
fn a7_who_votes_is_no_question_of_who_lives() {
    let mut world = world(&scene());
    world.did(0, 0, Want::Read);
    world.cut(1);
    world.cut(2);
    let text = words(world.did(0, 0, acquire(500, 0, "me")));
    assert_eq!(text, "lock 'lock0': 1 of 3 nodes answered (n1: connection refused; n2: connection refused)");
}

/// A lock on two nodes, one of which forgets it.
fn crash(safety: Safety) -> World {
    let mut world = world(&Scene { safety, ..scene() });
    world.did(0, 0, Want::Read);
    world.cut(2);
    granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    world.nodes[2].up = true;
    world.crash_node(0);
    world.settle();
    world.did(0, 1, acquire(1_000, 0, "you"));
    world
}

#[test]
fn b1_b3_a_node_that_has_forgotten_does_not_count() {
    let mut world = crash(Safety::default());
    world.sound();
    let Outcome::Info(info) = world.did(0, 1, Want::Info) else { panic!("info") };
    let state = info.nodes.iter().find(|node| node.name == "n0").unwrap();
    assert_eq!((state.state, state.left_ms), ("quarantine", Some(1_510)));
    assert_eq!(world.proxies[0].keeper.quarantined(), 1);
    world.pass(LONG);
    granted(&world.did(0, 1, acquire(1_000, 0, "you")));
    world.sound();
    crash(Safety { quarantine: false, ..Safety::default() }).saw(Property::P1);
}

/// B2: not a moment earlier than the longest lock that it may have forgotten.
#[test]
fn b2_a_quarantine_is_longer_than_any_lock() {
    for max_ttl in [1, 1_000, 60_000, 86_400_000].map(Duration::from_millis) {
        let rules = Rules {
            nodes: 3,
            max_ttl,
            bootstrap: false,
            limits: Limits { node_time: LONG, max_waiters: 1, max_held: 1 },
            safety: Safety::default(),
        };
        assert!(rules.quarantine() >= max_ttl + max_ttl / 100 + Duration::from_millis(500));
        assert!(rules.window() >= rules.quarantine());
        assert_eq!([0, 1, 2, 3, 4, 5, 9].map(|members| rules.voters_of(members)), [0, 1, 1, 3, 3, 3, 3]);
    }
}

#[test]
fn b5_a_node_that_was_never_met_does_not_count_unless_the_operator_says_so() {
    for bootstrap in [false, true] {
        let mut rules = crash(Safety::default()).proxies[0].keeper.rules.clone();
        rules.bootstrap = bootstrap;
        let mut keeper = Keeper::new(rules, None, "boot".into(), [7; 32], Duration::ZERO);
        keeper.handle(Input::Wanted(vec![member(0)]), Duration::ZERO);
        let node = super::node::Node::new(member(0), true);
        let facts = node.facts(Duration::ZERO);
        let (voter, line) = (super::super::Voter(0), super::super::LineNo(1));
        keeper.handle(Input::Met { voter, line, facts, sent: Duration::ZERO }, Duration::ZERO);
        let notes: Vec<_> = std::iter::from_fn(|| keeper.poll_output())
            .filter_map(|output| if let Output::Note(note) = output { Some(note) } else { None })
            .collect();
        let quarantined = notes.iter().any(|note| {
            matches!(note, Note::Quarantined { why, .. } if why.contains("first time") && why.contains("lock.bootstrap"))
        });
        let admitted = notes.iter().any(|note| matches!(note, Note::Admitted { .. }));
        assert_eq!((quarantined, admitted), (!bootstrap, bootstrap), "{notes:?}");
    }
}

#[test]
fn b6_b7_a_flush_is_noticed_before_anything_is_taken() {
    let flushed = |safety| {
        let mut world = world(&Scene { safety, ..scene() });
        granted(&world.did(0, 0, acquire(1_000, 0, "me")));
        world.flush(0);
        world.flush(1);
        let outcome = world.did(0, 1, acquire(1_000, 0, "you"));
        (world, outcome)
    };
    let (world, outcome) = flushed(Safety::default());
    world.sound();
    assert!(words(outcome).contains("in quarantine for 1.6 s after it has lost its memory"));
    flushed(Safety { marker: false, ..Safety::default() }).0.saw(Property::P1);
}

/// The order of E2: a Take that comes late gives back a majority to whom it is too late for.
fn late_take(safety: Safety) -> World {
    let mut world = world(&Scene { keepers: 2, safety, ..scene() });
    for proxy in [0, 1] {
        let (token, _) = granted(&world.did(proxy, 0, acquire(50, 0, "warm")));
        world.did(proxy, 0, release(token));
    }
    let voters = [0, 1, 2].map(|node| world.voter_of(0, node));
    let session = world.ask(0, 0, name(0), acquire(100, 0, "me"));
    let both = |world: &mut World, node: usize| {
        world.execute(0, voters[node]);
        world.deliver(0, voters[node]);
    };
    both(&mut world, 0);
    world.now += Duration::from_millis(50);
    both(&mut world, 1);
    both(&mut world, 0);
    both(&mut world, 1);
    let (token, _) = granted(&world.last(session).unwrap());
    // The first key is gone, the second is not, and the third Take is on its way still.
    world.now += Duration::from_millis(52);
    let others = [0, 1, 2].map(|node| world.voter_of(1, node));
    let session = world.ask(1, 0, name(0), acquire(100, 0, "you"));
    for _ in 0..2 {
        for voter in others {
            world.execute(1, voter);
            world.deliver(1, voter);
        }
    }
    let (other, _) = granted(&world.last(session).unwrap());
    world.ask(1, 0, name(0), release(other));
    for voter in others {
        world.execute(1, voter);
        world.deliver(1, voter);
    }
    world.feed(0, Input::Wake);
    world.ask(0, 0, name(0), extend(token, 500));
    world.settle();
    world
}

#[test]
fn e2_extend_only_within_validity() {
    late_take(Safety::default()).sound();
    late_take(Safety { extend_in_time: false, ..Safety::default() }).saw(Property::P5);
}

#[test]
fn e1_an_extension_that_is_decided_too_late_is_none() {
    let mut world = world(&scene());
    let (token, _) = granted(&world.did(0, 0, acquire(40, 0, "me")));
    let session = world.ask(0, 0, name(0), extend(token, 1_000));
    for voter in world.voters(0) {
        world.execute(0, voter);
    }
    world.now += Duration::from_millis(39);
    world.settle();
    assert!(matches!(world.last(session), Some(Outcome::Lost(_))));
    world.sound();
}

#[test]
fn a_shorter_extension_binds_from_the_moment_when_it_is_sent() {
    let mut world = world(&scene());
    let (token, _) = granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    world.cut(1);
    let session = world.ask(0, 0, name(0), extend(token, 20));
    let voters = [0, 2].map(|node| world.voter_of(0, node));
    world.execute(0, voters[0]);
    // The rest of the round is lost; one key is short now.
    world.break_line(0, voters[1], true);
    world.nodes[2].up = false;
    world.settle();
    assert!(matches!(world.last(session), Some(Outcome::NoQuorum(_))));
    world.now += Duration::from_millis(30);
    let Outcome::List(listed) = world.did(0, 1, Want::List { pattern: "*".into() }) else { panic!("list") };
    assert_eq!(listed, [], "nobody is sure of it any more");
}

/// Of three nodes the first two have the lock, and all are there.
fn on_two_of_three(scene: &Scene) -> (World, Proof) {
    let mut world = world(scene);
    world.did(0, 0, Want::Read);
    world.cut(2);
    let (token, _) = granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    world.nodes[2].up = true;
    world.settle();
    (world, token)
}

#[test]
fn what_a_silent_node_may_have_is_not_lost() {
    let (mut world, token) = on_two_of_three(&scene());
    world.cut(1);
    let text = words(world.did(0, 0, extend(token.clone(), 1_000)));
    assert_eq!(text, "lock 'lock0': 2 of 3 nodes answered (n1: connection refused)");
    world.nodes[1].up = true;
    world.settle();
    assert!(matches!(world.did(0, 0, extend(token.clone(), 1_000)), Outcome::Extended { .. }));
    world.nodes[0].keys.clear();
    let text = words(world.did(0, 0, extend(token, 1_000)));
    assert!(text.contains("too few of its nodes have it still"), "{text}");
    world.sound();
}

#[test]
fn an_extension_waits_for_nodes_that_are_just_joining() {
    let (mut world, token) = on_two_of_three(&Scene { spare: 2, each: 5, ..scene() });
    world.want(0, &[0, 1, 2, 3, 4]);
    // Two of the three before, and two of the five after: more are needed, and on their way.
    while world.proxies[0].keeper.view.as_ref().is_some_and(|view| view.new.is_none()) {
        world.save(0, false);
    }
    let session = world.ask(0, 0, name(0), extend(token, 1_000));
    assert_eq!(world.proxies[0].keeper.preparing.len(), 1);
    world.settle();
    assert!(matches!(world.last(session), Some(Outcome::Extended { .. })), "{:?}", world.last(session));
    world.sound();
}

fn replaced(safety: Safety) -> (World, Proof) {
    let mut world = world(&Scene { spare: 2, safety, ..scene() });
    let (token, _) = granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    world.want(0, &[0, 3, 4]);
    world.settle();
    (world, token)
}

#[test]
fn f2_f4_without_a_window_two_replaced_nodes_grant_it_again() {
    let (mut world, _) = replaced(Safety::default());
    let outcome = world.did(0, 1, acquire(1_000, 0, "you"));
    assert!(matches!(outcome, Outcome::Taken { .. }), "{outcome:?}");
    world.sound();
    // Nodes that join are met when the window is over already: then a quarantine would do instead of it.
    let (mut world, _) = replaced(Safety { window: false, quarantine: false, ..Safety::default() });
    world.pass(Duration::from_millis(2));
    world.did(0, 1, acquire(1_000, 0, "you"));
    world.saw(Property::P1);
}

#[test]
fn f9_f11_what_is_held_is_extended_through_a_window_and_held_after_it() {
    let (mut world, token) = replaced(Safety::default());
    let Outcome::Info(info) = world.did(0, 0, Want::Info) else { panic!("info") };
    assert!(matches!(info.window, Some((3, 3, 1..))), "{info:?}");
    for _ in 0..8 {
        world.pass(Duration::from_millis(300));
        let outcome = world.did(0, 0, extend(token.clone(), 1_000));
        assert!(matches!(outcome, Outcome::Extended { .. }), "{outcome:?}");
        assert!(!matches!(world.did(0, 1, acquire(1_000, 0, "you")), Outcome::Granted { .. }));
    }
    let Outcome::Info(info) = world.did(0, 0, Want::Info) else { panic!("info") };
    assert_eq!((info.window, info.nodes.len()), (None, 3), "the window is over");
    assert_eq!(world.did(0, 0, release(token)), Outcome::Released { holds: 0 });
    granted(&world.did(0, 1, acquire(1_000, 0, "you")));
    world.sound();
}

#[test]
fn f_without_a_majority_of_the_old_nodes_nothing_is_granted_until_the_window_ends() {
    let (mut world, token) = replaced(Safety::default());
    world.did(0, 0, release(token));
    world.cut(1);
    world.cut(2);
    let text = words(world.did(0, 1, acquire(500, 0, "you")));
    assert!(
        text.starts_with("lock 'lock0': nodes change, and 1 of the 3 before and 3 of the 3 after answered (n1"),
        "{text}"
    );
    world.pass(LONG);
    granted(&world.did(0, 1, acquire(500, 0, "you")));
    world.sound();
}

#[test]
fn f8_a_window_is_counted_from_when_everybody_goes_by_it() {
    let mut world = world(&Scene { spare: 1, ..scene() });
    world.did(0, 0, Want::Read);
    world.want(0, &[0, 1, 3]);
    // The disk is slow: nothing has changed yet.
    world.now += LONG;
    let view = |world: &World| world.proxies[0].keeper.view.as_ref().unwrap().new.is_some();
    assert!(!view(&world));
    let published = world.now;
    world.save(0, false);
    assert!(view(&world));
    let window = world.proxies[0].keeper.rules.window();
    world.settle();
    let until = world.proxies[0].disk.as_ref().unwrap().window.as_ref().unwrap().until_ms;
    assert_eq!(Duration::from_millis(until), published + window);
    world.pass(window - Duration::from_millis(5));
    assert!(view(&world), "nobody leaves early");
    let epoch = world.proxies[0].keeper.records.saved.epoch;
    world.pass(Duration::from_millis(10));
    assert!(!view(&world));
    assert_eq!(world.proxies[0].keeper.records.saved.epoch, epoch + 1, "G10: fences begin anew above all");
}

#[test]
fn one_change_at_a_time() {
    let mut world = world(&Scene { spare: 2, ..scene() });
    world.did(0, 0, Want::Read);
    world.want(0, &[0, 1, 3]);
    world.settle();
    world.want(0, &[0, 3, 4]);
    world.settle();
    let next = |world: &World| world.proxies[0].keeper.window.as_ref().map(|window| window.next.clone());
    assert_eq!(next(&world), Some([0, 1, 3].map(member).to_vec()));
    world.pass(Duration::from_millis(1_600));
    assert_eq!(next(&world), Some([0, 3, 4].map(member).to_vec()));
    world.pass(LONG);
    assert_eq!(world.proxies[0].keeper.set, [0, 3, 4].map(member));
    granted(&world.did(0, 1, acquire(500, 0, "you")));
}

#[test]
fn g5_g8_fences_increase_also_when_all_nodes_have_forgotten_them() {
    let mut world = world(&scene());
    let (token, before) = granted(&world.did(0, 0, acquire(500, 0, "me")));
    world.did(0, 0, release(token));
    (0..3).for_each(|node| world.crash_node(node));
    world.pass(LONG);
    let (_, after) = granted(&world.did(0, 0, acquire(500, 0, "me")));
    assert!(after > before && after >> 32 > before >> 32, "{before} {after}");
    world.sound();
}

#[test]
fn a_thousand_wait_in_order_and_a_hand_over_costs_the_nodes_nine_commands() {
    let mut world = world(&Scene { sessions: 1_001, ..scene() });
    let (mut token, _) = granted(&world.did(0, 0, acquire(1_000, 0, "first")));
    let sessions: Vec<_> =
        (1..=1_000).map(|client| world.ask(0, client, name(0), acquire(1_000, 90_000, "next"))).collect();
    world.settle();
    assert_eq!(world.proxies[0].keeper.waiting(), 1_000);
    let before = world.commands;
    for (client, session) in sessions.iter().enumerate().take(50) {
        world.did(0, client, release(token));
        token = granted(&world.last(*session).expect("the next in order")).0;
    }
    assert_eq!(world.commands - before, 50 * 9);
    world.sound();
}

#[test]
fn a_release_elsewhere_wakes_the_first_that_waits() {
    let mut world = world(&Scene { keepers: 2, ..scene() });
    let (token, _) = granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    let session = world.ask(1, 0, name(0), acquire(1_000, 5_000, "you"));
    world.settle();
    assert_eq!(world.last(session), None);
    world.did(0, 0, release(token));
    granted(&world.last(session).expect("at once, by the message"));
    world.sound();
}

#[test]
fn who_waits_for_what_expires_asks_a_few_times_only() {
    let mut world = world(&Scene { keepers: 2, ..scene() });
    granted(&world.did(0, 0, acquire(1_000, 0, "dies")));
    world.die(0);
    let session = world.ask(1, 0, name(0), acquire(500, 5_000, "you"));
    world.settle();
    let before = world.commands;
    world.pass(Duration::from_millis(1_020));
    granted(&world.last(session).expect("as soon as it has expired"));
    assert!(world.commands - before < 40, "{} commands", world.commands - before);
    world.sound();
}

#[test]
fn waiting_ends_in_time_or_by_unblock() {
    let mut world = world(&scene());
    granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    let late = world.ask(0, 1, name(0), acquire(1_000, 100, "late"));
    let unblocked = world.ask(0, 2, name(0), acquire(1_000, 5_000, "unblocked"));
    world.pass(Duration::from_millis(120));
    assert!(matches!(world.last(late), Some(Outcome::Taken { value: Some(_), .. })));
    world.feed(0, Input::Unblock { session: unblocked, error: true });
    assert_eq!(world.last(unblocked), Some(Outcome::Unblocked));
    assert_eq!(world.proxies[0].keeper.waiting(), 0);
}

#[test]
fn what_a_session_that_ends_has_and_wants_is_given_back() {
    let mut world = world(&scene());
    let want = Want::Acquire { ttl_ms: 300, wait_ms: 0, value: "me".into(), session: true, again: false };
    let session = world.ask(0, 0, name(0), want);
    world.settle();
    granted(&world.last(session).unwrap());
    world.pass(LONG);
    let Outcome::Taken { value: Some(_), .. } = world.did(0, 1, acquire(300, 0, "you")) else { panic!("renewed") };
    world.feed(0, Input::Gone(session));
    world.settle();
    let (token, _) = granted(&world.did(0, 1, acquire(300, 0, "you")));
    world.did(0, 1, release(token));
    // An attempt under way is undone when it is decided.
    let session = world.ask(0, 2, name(0), acquire(300, 1_000, "gone"));
    world.feed(0, Input::Gone(session));
    world.settle();
    assert!(world.nodes.iter().all(|node| node.keys.is_empty()));
    assert_eq!(world.proxies[0].keeper.held(), 0);
}

#[test]
fn what_has_lapsed_is_said_before_anything_else_is_answered() {
    let mut world = world(&scene());
    let want = Want::Acquire { ttl_ms: 300, wait_ms: 0, value: "me".into(), session: true, again: false };
    let session = world.ask(0, 0, name(0), want);
    world.settle();
    granted(&world.last(session).unwrap());
    // The process slept; the first thing that it hears is a question.
    let now = world.now + LONG;
    let ask = |keeper: &mut Keeper| {
        let asker = crate::traffic::core::Asker {
            worker: 0,
            key: crate::traffic::client::ClientKey { index: 0, generation: 0 },
            seq: 0,
        };
        let want = Want::List { pattern: "*".into() };
        let form = crate::traffic::lock::Form::Lock;
        let ask = crate::traffic::lock::LockAsk { lock: name(0), want, form, resp3: true, session: 9, asker };
        keeper.handle(Input::Ask(ask), now);
    };
    ask(&mut world.proxies[0].keeper);
    let outputs: Vec<_> = std::iter::from_fn(|| world.proxies[0].keeper.poll_output()).collect();
    let lapsed = outputs.iter().position(|output| matches!(output, Output::Lapsed { .. })).expect("told");
    let answer = outputs.iter().position(|output| matches!(output, Output::Answer { .. })).expect("answered");
    assert!(lapsed < answer);
    let Output::Answer { outcome: Outcome::List(listed), .. } = &outputs[answer] else { panic!("list") };
    assert_eq!(*listed, []);
}

#[test]
fn after_a_restart_the_token_releases_and_nobody_extends() {
    let mut world = world(&scene());
    let (token, _) = granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    world.die(0);
    world.settle();
    let outcome = world.did(0, 1, acquire(1_000, 0, "you"));
    assert!(matches!(outcome, Outcome::Taken { value: Some(_), .. }), "{outcome:?}");
    assert!(matches!(world.did(0, 0, extend(token.clone(), 1_000)), Outcome::Lost(_)));
    assert_eq!(world.did(0, 0, release(token.clone())), Outcome::Released { holds: 0 });
    assert_eq!(world.did(0, 0, release(token)), Outcome::NotHeld);
    granted(&world.did(0, 1, acquire(1_000, 0, "you")));
    world.sound();
}

#[test]
fn nothing_counts_that_is_not_on_the_disk() {
    let mut world = World::new(scene(), 1);
    world.save(0, true);
    let session = world.ask(0, 0, name(0), acquire(500, 0, "me"));
    world.now += Duration::from_millis(100);
    world.feed(0, Input::Wake);
    let text = words(world.last(session).unwrap());
    assert_eq!(text, "lock 'lock0': the state of locks cannot be written: no space left");
    world.pass(LONG);
    granted(&world.did(0, 0, acquire(500, 0, "me")));
}

#[test]
fn a_node_that_could_evict_or_is_a_replica_does_not_count() {
    for (what, set) in [("maxmemory-policy allkeys-lru", 0), ("replica", 1)] {
        let mut world = world(&scene());
        world.did(0, 0, Want::Read);
        for node in &mut world.nodes[..2] {
            (node.evicts, node.primary) = (set == 0, set == 0);
        }
        world.pass(Duration::from_millis(600));
        let text = words(world.did(0, 0, acquire(500, 0, "me")));
        assert!(text.starts_with("lock 'lock0': 1 of 3 nodes answered (n0: it ") && text.contains(what), "{text}");
        for node in &mut world.nodes {
            (node.evicts, node.primary) = (false, true);
        }
        world.pass(Duration::from_millis(1_100));
        let text = words(world.did(0, 0, acquire(500, 0, "me")));
        assert!(text.contains("in quarantine for"), "{text}");
        world.pass(LONG);
        granted(&world.did(0, 0, acquire(500, 0, "me")));
    }
}

#[test]
fn redisson_counts_its_holds() {
    let mut world = world(&scene());
    let again = || Want::Acquire { ttl_ms: 500, wait_ms: 0, value: "me".into(), session: false, again: true };
    let holds = |outcome: Outcome| match outcome {
        Outcome::Granted { holds, .. } | Outcome::Released { holds } => holds,
        other => panic!("{other:?}"),
    };
    assert_eq!(holds(world.did(0, 0, again())), 1);
    assert_eq!(holds(world.did(0, 0, again())), 2);
    let Outcome::Read(Some(read)) = world.did(0, 1, Want::Read) else { panic!("read") };
    assert_eq!(read.holds, 2);
    let once = || Want::Release { proof: Some(Proof::Value("me".into())), once: true };
    assert_eq!(holds(world.did(0, 0, once())), 1);
    assert_eq!(holds(world.did(0, 0, once())), 0);
    assert_eq!(world.did(0, 0, once()), Outcome::NotHeld);
    // After a restart the nodes know.
    assert_eq!(holds(world.did(0, 0, again())), 1);
    assert_eq!(holds(world.did(0, 0, again())), 2);
    world.die(0);
    world.settle();
    assert_eq!(holds(world.did(0, 0, once())), 1);
    assert_eq!(holds(world.did(0, 0, once())), 0);
    assert_eq!(world.did(0, 0, once()), Outcome::NotHeld);
}

/// F6: what has waited for its nodes begins under the view of its beginning.
#[test]
fn f6_nobody_begins_under_the_old_view_once_the_window_is_open() {
    let mut world = World::new(Scene { spare: 2, ..scene() }, 1);
    world.want(0, &[0, 1, 2]);
    world.save(0, false);
    let session = world.ask(0, 0, name(0), acquire(500, 0, "early"));
    assert_eq!(world.proxies[0].keeper.preparing.len(), 1, "no node is met yet");
    world.want(0, &[0, 3, 4]);
    world.save(0, false);
    world.save(0, false);
    let joint = |world: &World| world.proxies[0].keeper.view.as_ref().is_some_and(|view| view.new.is_some());
    assert!(joint(&world));
    world.now += Duration::from_millis(60);
    world.feed(0, Input::Wake);
    assert!(words(world.last(session).unwrap()).contains("nodes change, and 0 of the 3 before and 0 of the 3 after"));
}

#[test]
fn del_frees_whoevers_it_is() {
    let mut world = world(&scene());
    granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    assert_eq!(world.did(0, 1, Want::Release { proof: None, once: false }), Outcome::Released { holds: 0 });
    assert!(world.nodes.iter().all(|node| node.keys.is_empty()));
    assert_eq!(world.proxies[0].keeper.held(), 0);
}

#[test]
fn limits_say_what_to_do() {
    let mut world = world(&Scene { sessions: 3, ..scene() });
    let too_long = words(world.did(0, 0, acquire(MAX_TTL.as_millis() as u64 + 1, 0, "me")));
    assert!(too_long.contains("longer than lock.max_ttl (1000 ms)"), "{too_long}");
    assert!(words(world.did(0, 0, acquire(3, 0, "me"))).contains("ask for 4 at least"));
    granted(&world.did(0, 0, acquire(1_000, 0, "me")));
    world.proxies[0].keeper.rules.limits.max_held = 1;
    assert!(words(world.did(0, 1, acquire(500, 0, "you"))).contains("lock.max_held"));
    world.proxies[0].keeper.rules.limits.max_held = 9;
    world.proxies[0].keeper.rules.limits.max_waiters = 0;
    assert!(words(world.did(0, 1, acquire(500, 50, "you"))).contains("lock.max_waiters"));
}

#[test]
fn few_nodes_are_honest_about_it() {
    for (nodes, text) in [(1, "there is one node"), (2, "there are 2 nodes: each lock lies on one of them")] {
        let mut world = world(&Scene { nodes, ..scene() });
        granted(&world.did(0, 0, acquire(500, 0, "me")));
        let Outcome::Info(info) = world.did(0, 0, Want::Info) else { panic!("info") };
        assert!(info.advice.as_deref().is_some_and(|advice| advice.starts_with(text)), "{info:?}");
        assert_eq!((info.state, info.quorum), ("held", (1, 1)));
        assert_eq!(info.obstacle.as_deref(), Some("me has it, for 500 ms at most unless it is extended"));
    }
}

#[test]
fn own_keys_are_counted_for_dbsize() {
    let mut world = world(&scene());
    assert_eq!(world.proxies[0].keeper.surplus(0), 0, "whoever uses no locks has nothing on the nodes");
    let (token, _) = granted(&world.did(0, 0, acquire(500, 0, "me")));
    assert_eq!((world.proxies[0].keeper.surplus(0), world.proxies[0].keeper.surplus(1)), (9, 0));
    world.did(0, 0, release(token));
    assert_eq!(world.proxies[0].keeper.surplus(0), 6);
}
