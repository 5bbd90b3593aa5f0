//! Validity, clocks and placement by their properties, with drawn values. `SEED=n` draws others.

use std::time::Duration;

use super::super::{
    Member, Voter,
    clock::Clock,
    placement::{Circle, SLOTS, hash, slot},
    validity::{SHORTEST_TTL_MS, drift, full_ms, left_ms, until, whole_ms, worth},
    view::{Electorate, Set, View},
};
use super::world::name;

fn random() -> fastrand::Rng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

#[test]
fn validity_ends_before_any_node_forgets() {
    let mut random = random();
    for _ in 0..20_000 {
        let ttl_ms = random.u64(SHORTEST_TTL_MS..=120_000);
        let started = Duration::from_nanos(random.u64(0..u64::MAX / 4));
        // The node's clock runs up to 1 % fast, its ms have a grain, and it begins to count when it is asked, or later.
        let counted =
            Duration::from_micros(ttl_ms * 1_000).mul_f64(1.0 / 1.01).saturating_sub(Duration::from_millis(1));
        let end = until(started, ttl_ms);
        assert!(end <= started + counted, "ttl {ttl_ms}: {end:?} is behind {:?}", started + counted);
        assert!(end >= started && drift(ttl_ms) >= Duration::from_micros(ttl_ms * 10));
    }
}

#[test]
fn what_is_left_is_rounded_down_and_what_lasts_is_rounded_up() {
    let mut random = random();
    for _ in 0..20_000 {
        let (end, now) = (Duration::from_nanos(random.u64(0..1 << 40)), Duration::from_nanos(random.u64(0..1 << 40)));
        let left = Duration::from_millis(left_ms(end, now));
        assert!(left <= end.saturating_sub(now) && left + Duration::from_millis(1) > end.saturating_sub(now));
        assert_eq!(worth(end, now), end >= now + Duration::from_millis(1));
        let full = Duration::from_millis(full_ms(now));
        assert!(full >= now && full < now + Duration::from_millis(1));
        assert!(whole_ms(now) <= full_ms(now));
    }
}

#[test]
fn the_shortest_ttl_leaves_something_and_a_shorter_one_nothing() {
    let started = Duration::from_secs(1);
    assert!(worth(until(started, SHORTEST_TTL_MS), started));
    assert!(!worth(until(started, SHORTEST_TTL_MS - 1), started));
    assert_eq!(until(started, 0), started);
}

/// A clock that drifts by up to 1 % is never accused, however slow its answers are; one that jumps by more than what answers
/// leave open always is.
#[test]
fn clocks_are_accused_only_when_they_have_jumped_and_then_always() {
    let mut random = random();
    for _ in 0..300 {
        let drift = random.i64(-9_900..9_900);
        let mut ahead = random.i64(-1_000_000_000..1_000_000_000);
        let mut clock = Clock::default();
        let mut now = Duration::from_secs(50);
        let wall_at = |at: Duration, ahead: i64| {
            let us = at.as_micros() as i64;
            (2_000_000_000 + us + us * drift / 1_000_000 + ahead) as u64
        };
        for _ in 0..200 {
            let sent = now;
            let read = sent + Duration::from_micros(random.u64(0..20_000));
            now = read + Duration::from_micros(random.u64(0..20_000));
            assert_eq!(clock.heard(wall_at(read, ahead), sent, now), None, "drift of {drift} parts of a million");
            now += Duration::from_micros(random.u64(0..3_000_000));
        }
        let jump = random.i64(200_000..5_000_000) * if random.bool() { 1 } else { -1 };
        ahead += jump;
        let got = now + Duration::from_micros(500);
        let found = clock.heard(wall_at(now, ahead), now, got).expect("a jump");
        assert_eq!(found > 0, jump > 0);
        assert!(found.abs() <= jump.abs(), "{found} is more than {jump}");
    }
}

fn members(count: usize) -> Vec<Member> {
    (0..count).map(super::world::member).collect()
}

fn circle(count: usize) -> Circle {
    let places = members(count);
    Circle::new(places.iter().enumerate().map(|(index, member)| (Voter(index as u16), member.place.as_str())))
}

#[test]
fn locks_are_spread_and_few_of_them_move() {
    let count = 6_000;
    for nodes in [3, 5, 10] {
        let (before, after) = (circle(nodes), circle(nodes + 1));
        let mut each = vec![0_u32; nodes];
        let (mut moved, mut without_reason) = (0, 0);
        for index in 0..count {
            let hash = hash(&name(index));
            let (old, new) = (before.first(hash, 3), after.first(hash, 3));
            assert_eq!((old.len(), new.len()), (3, 3));
            assert!(old[0] != old[1] && old[1] != old[2] && old[0] != old[2], "distinct");
            old.iter().for_each(|voter| each[usize::from(voter.0)] += 1);
            let left: Vec<_> = old.iter().filter(|voter| !new.contains(voter)).collect();
            moved += u32::from(!left.is_empty());
            // Nobody but the node that has come takes a place.
            without_reason += new.iter().filter(|voter| !old.contains(voter) && usize::from(voter.0) != nodes).count();
        }
        let fair = count as f64 * 3.0 / nodes as f64;
        assert!(each.iter().all(|share| (f64::from(*share) / fair - 1.0).abs() < 0.25), "{nodes} nodes: {each:?}");
        assert_eq!(without_reason, 0);
        let expected = count as f64 * 3.0 / (nodes + 1) as f64;
        assert!(f64::from(moved) < expected * 1.35, "{nodes} nodes: {moved} of {count} moved, {expected} is fair");
    }
}

#[test]
fn a_replaced_node_takes_over_its_predecessors_locks() {
    let mut after = members(4);
    after[2].address = "elsewhere:1".into();
    let voters: Vec<_> = (0..4).map(Voter).collect();
    let moved: Vec<_> = [0, 1, 9, 3].map(Voter).to_vec();
    let view = View { old: Set::new(&members(4), &voters, 3), new: Some(Set::new(&after, &moved, 3)) };
    for index in 0..500 {
        let electorate = view.electorate(&name(index));
        let has = |voter| electorate.voters.contains(&Voter(voter));
        assert_eq!(has(2), has(9), "the same place");
        assert_eq!(electorate.old.count_ones(), 3);
        assert_eq!(electorate.new.map(u16::count_ones), Some(3));
    }
}

#[test]
fn a_majority_in_a_window_is_one_of_both_sets() {
    // Voters 0 1 2 before, 0 3 4 after.
    let electorate = Electorate { voters: (0..5).map(Voter).collect(), old: 0b00111, new: Some(0b11001) };
    assert!(electorate.majority(0b01011));
    assert!(electorate.majority(0b11011));
    assert!(!electorate.majority(0b00111), "only before");
    assert!(!electorate.majority(0b11001), "only after");
    assert!(electorate.either(0b00110) && electorate.either(0b11000) && !electorate.either(0b01010));
    assert_eq!(electorate.newcomers(), 0b11000);
    let nobody = Electorate { voters: Vec::new(), old: 0, new: None };
    assert!(!nobody.majority(0) && !nobody.either(0));
}

#[test]
fn slots_are_used_evenly() {
    let mut used = vec![0_u32; usize::from(SLOTS)];
    (0..100_000).for_each(|index| used[usize::from(slot(&name(index)))] += 1);
    assert!(used.iter().all(|count| (40..200).contains(count)), "{:?} {:?}", used.iter().min(), used.iter().max());
}
