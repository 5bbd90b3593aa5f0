//! The ring's promises, checked arc by arc: exact, not by sampling keys.

use super::{
    super::MAX_NODES,
    build::{Points, arcs_of, hashes},
    *,
};

/// The default of the configuration.
const POINTS: u32 = 8192;

/// How far a share may be off, relative to what its weight asks for.
const TOLERANCE: f64 = 0.05;

/// `count` names in the style of a real installation.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("cache-{number}")).collect()
}

fn equal(names: &[String]) -> Vec<(&str, f64)> {
    names.iter().map(|name| (name.as_str(), 1.0)).collect()
}

/// The owner of a key.
fn owner_of(ring: &Circle, key: &[u8]) -> NodeId {
    ring.owner(Circle::hash(key))
}

/// Each node's part, as far as nodes have one.
fn shares(ring: &Circle) -> Vec<f64> {
    let nodes = ring.arcs().map(|arc| arc.owner.index() + 1).max().unwrap_or(0);
    ring.shares(nodes, u32::MAX)
}

/// Positions on the circle.
const CIRCLE: f64 = 4_294_967_296.0;

fn build(nodes: &[(&str, f64)]) -> Circle {
    Circle::build(nodes, POINTS).unwrap()
}

/// The largest relative distance of a share from its weight's part.
fn unevenness(shares: &[f64], nodes: &[(&str, f64)]) -> f64 {
    let total: f64 = nodes.iter().map(|(_, weight)| weight).sum();
    let distance = |(share, (_, weight)): (&f64, &(&str, f64))| (share / (weight / total) - 1.0).abs();
    shares.iter().zip(nodes).map(distance).fold(0.0, f64::max)
}

/// Walks two rings side by side and gives the part of the circle that changes hands, as (from, to, part) per piece.
fn moves<'a>(old: (&Circle, &[(&'a str, f64)]), new: (&Circle, &[(&'a str, f64)])) -> Vec<(&'a str, &'a str, f64)> {
    let (mut left, mut right) = (old.0.arcs().peekable(), new.0.arcs().peekable());
    let mut at = 0_u64;
    let mut pieces = Vec::new();
    while let (Some(&from), Some(&to)) = (left.peek(), right.peek()) {
        let last = from.last.min(to.last);
        let names = (old.1[from.owner.index()].0, new.1[to.owner.index()].0);
        if names.0 != names.1 {
            pieces.push((names.0, names.1, (u64::from(last) + 1 - at) as f64 / CIRCLE));
        }
        at = u64::from(last) + 1;
        left.next_if(|arc| arc.last == last);
        right.next_if(|arc| arc.last == last);
    }
    assert_eq!(at, 1 << 32, "both rings cover the circle");
    pieces
}

/// `node` joins `nodes` (and, read backwards, leaves them): only its own keys move, and not too many of them.
fn check_join(nodes: &[(&str, f64)], node: (&str, f64)) {
    let old = build(nodes);
    // In front of the others, so that every node's index changes: indexes must not matter.
    let after: Vec<_> = [node].into_iter().chain(nodes.iter().copied()).collect();
    let new = build(&after);
    let (before_off, after_off) = (unevenness(&shares(&old), nodes), unevenness(&shares(&new), &after));

    let pieces = moves((&old, nodes), (&new, &after));
    assert!(pieces.iter().all(|&(_, to, _)| to == node.0), "a key moved between old nodes");
    let back = moves((&new, &after), (&old, nodes));
    assert!(back.iter().all(|&(from, _, _)| from == node.0), "a key of a remaining node moved");

    let moved: f64 = pieces.iter().map(|piece| piece.2).sum();
    let due = node.1 / after.iter().map(|(_, weight)| weight).sum::<f64>();
    println!(
        "{:>4} + 1 nodes: shares within {:.2} % and {:.2} %, moved {:.3} of the due {due:.5}",
        nodes.len(),
        before_off * 100.0,
        after_off * 100.0,
        moved / due
    );
    assert!(before_off <= TOLERANCE && after_off <= TOLERANCE, "shares off by {before_off} and {after_off}");
    assert!(moved <= due * (1.0 + TOLERANCE), "{moved} moved, {due} was due");
}

#[test]
fn a_join_moves_only_the_new_nodes_share_3() {
    check_join(&equal(&names(3)), ("new", 1.0));
}

#[test]
fn a_join_moves_only_the_new_nodes_share_10() {
    check_join(&equal(&names(10)), ("new", 1.0));
}

#[test]
fn a_join_moves_only_the_new_nodes_share_100() {
    check_join(&equal(&names(100)), ("new", 1.0));
}

#[test]
fn a_join_moves_only_the_new_nodes_share_1000() {
    check_join(&equal(&names(1000)), ("new", 1.0));
}

#[test]
fn a_join_moves_only_the_new_nodes_share_with_mixed_weights() {
    let nodes = [("a", 1.0), ("b", 2.0), ("c", 4.0), ("d", 1.5), ("10.0.0.1:6379", 1.0), ("10.0.0.2:6379", 8.0)];
    check_join(&nodes, ("new", 1.0));
    check_join(&nodes, ("big", 3.25));
}

#[test]
fn shares_do_not_depend_on_the_style_of_names() {
    for style in ["n", "node", "shard-a-", "10.1.2.", "aaa", "a very long name of a node that is hashed differently "] {
        let names: Vec<String> = (0..40).map(|number| format!("{style}{number:02}")).collect();
        let off = unevenness(&shares(&build(&equal(&names))), &equal(&names));
        assert!(off <= TOLERANCE, "{style}: {off}");
        // The varying digits in front and in the middle.
        let names: Vec<String> = (0..40).map(|number| format!("{number:02}{style}{number:02}x")).collect();
        let off = unevenness(&shares(&build(&equal(&names))), &equal(&names));
        assert!(off <= TOLERANCE, "{style} in the middle: {off}");
    }
}

#[test]
fn a_changed_weight_moves_keys_to_or_from_its_node_only() {
    let before = [("a", 1.0), ("b", 1.0), ("c", 1.0)];
    let after = [("a", 1.0), ("b", 2.0), ("c", 1.0)];
    let pieces = moves((&build(&before), &before), (&build(&after), &after));
    assert!(pieces.iter().all(|&(_, to, _)| to == "b"));
}

#[test]
fn the_order_of_the_nodes_does_not_matter() {
    let (one, other) = ([("a", 1.0), ("b", 2.0), ("c", 1.0)], [("c", 1.0), ("a", 1.0), ("b", 2.0)]);
    assert_eq!(moves((&build(&one), &one), (&build(&other), &other)), []);
}

#[test]
fn keys_land_in_proportion_to_the_shares() {
    let names = names(10);
    let ring = build(&equal(&names));
    let mut keys = [0_u32; 10];
    for number in 0..200_000 {
        keys[owner_of(&ring, format!("user:{number}:profile").as_bytes()).index()] += 1;
    }
    for (keys, share) in keys.into_iter().zip(shares(&ring)) {
        let off = f64::from(keys) / 200_000.0 / share - 1.0;
        assert!(off.abs() < 0.03, "{off}");
    }
}

/// Why the arcs are exact, and why there are so many points: what sampling them into 65,536 slots would give.
#[test]
fn a_table_of_65536_slots_misses_the_tolerance_at_100_nodes() {
    let rows = [(1000, 3, true), (1000, 10, true), (1000, 100, false), (1000, 1000, false), (POINTS, 100, false)];
    for (points, count, enough) in rows {
        let names = names(count);
        let nodes = equal(&names);
        let ring = Circle::build(&nodes, points).unwrap();
        let mut sampled = vec![0.0; count];
        for slot in 0..65_536_u64 {
            sampled[ring.owner(slot << 48).index()] += 1.0 / 65_536.0;
        }
        let (table, exact) = (unevenness(&sampled, &nodes), unevenness(&shares(&ring), &nodes));
        println!("{count:>4} nodes, {points} points: exact {:.1} %, table {:.1} %", exact * 100.0, table * 100.0);
        assert_eq!(table <= TOLERANCE, enough, "{count} nodes: {table}");
    }
}

/// The cells are only an index: every arc's ends and middle have the owner the arc says.
#[test]
fn the_index_agrees_with_the_arcs() {
    let many = names(50);
    for nodes in [&equal(&many)[..], &[("one", 1.0)], &[("a", 1.0), ("b", 0.001)]] {
        for points in [1000, 1001, 2000] {
            let ring = Circle::build(nodes, points).unwrap();
            let mut next = 0_u64;
            for arc in ring.arcs() {
                assert_eq!(u64::from(arc.first), next);
                next = u64::from(arc.last) + 1;
                for at in [arc.first, arc.first.midpoint(arc.last), arc.last] {
                    for low in [0, 1, 0xFFFF_FFFF] {
                        assert_eq!(ring.owner(u64::from(at) << 32 | low), arc.owner, "{arc:?} in {ring:?}");
                    }
                }
            }
            assert_eq!(next, 1 << 32);
        }
    }
}

/// Crowded cells, fences at a cell's edges, points in one position: hand-made circles against a plain search.
#[test]
fn the_index_agrees_with_a_plain_search_on_hand_made_circles() {
    let last = u64::from(u32::MAX);
    for positions in [
        vec![0],
        vec![last],
        vec![0, last],
        vec![5, 5, 5],
        vec![0, 0, last, last],
        vec![1, 2, 3, 4, 5, 6, 7, 8, 9],
        vec![1 << 28, (1 << 28) + 1, (1 << 29) - 1, 1 << 29, 1 << 30],
        (0..64).map(|step| step << 26).collect(),
        (0..64).map(|step| (step << 26) + 1).collect(),
    ] {
        for nodes in 1..=3_u16 {
            let point =
                |(number, at): (usize, &u64)| (at << 32) | ((number as u64) << 16) | (number as u64 % u64::from(nodes));
            let mut sorted: Vec<u64> = positions.iter().enumerate().map(point).collect();
            sorted.sort_unstable();
            let points = Points { sorted: sorted.clone(), by_name: (0..nodes).collect() };
            let (starts, owners) = arcs_of(&points);
            assert!(owners.windows(2).all(|pair| pair[0] != pair[1]));
            assert!(starts.windows(2).all(|pair| pair[0] < pair[1]));
            let ring = Circle::of_arcs(starts, owners);
            let edges = positions.iter().flat_map(|&at| [at.saturating_sub(1), at, (at + 1).min(last)]);
            for at in edges.chain([0, last, last / 2]) {
                let below = sorted.partition_point(|&point| point >> 32 <= at);
                let owner = sorted[if below == 0 { sorted.len() } else { below } - 1] as u16;
                assert_eq!(ring.owner(at << 32), NodeId(owner), "position {at} of {positions:?}");
            }
        }
    }
}

#[test]
fn keys_of_one_tag_share_a_node() {
    let names = names(100);
    let ring = build(&equal(&names));
    assert_eq!(owner_of(&ring, b"{user:1}:name"), owner_of(&ring, b"cart:{user:1}"));
    assert_eq!(owner_of(&ring, b"{user:1}:name"), owner_of(&ring, b"user:1"));
}

/// Whoever changes the hash, the points or their order moves the keys of every installation; this test says so.
#[test]
fn the_ring_is_the_same_in_every_version() {
    let ring = build(&[("a", 1.0), ("b", 2.0), ("c", 1.0)]);
    assert_eq!(Circle::hash(b""), 0x2D06_8005_38D3_94C2, "xxh3's published value");
    assert_eq!(Circle::hash(b"user:1"), 4_276_021_600_403_166_465);
    let points = [4_535_828_128_606_633_718, 7_027_341_721_006_690_582, 11_350_645_855_986_750_248];
    assert_eq!(hashes("a", 3).collect::<Vec<_>>(), points);
    let owners: Vec<u16> = (0..24).map(|number| owner_of(&ring, format!("key:{number}").as_bytes()).0).collect();
    assert_eq!(owners, [2, 1, 1, 1, 0, 2, 1, 0, 0, 0, 1, 1, 0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
}

#[test]
fn a_ring_is_small() {
    for (count, kilobytes) in [(3, 256), (10, 1_000), (100, 14_000)] {
        let ring = build(&equal(&names(count)));
        assert!(ring.memory() <= kilobytes << 10, "{count} nodes: {}", ring.memory());
        assert!(format!("{ring:?}").len() < 100, "Debug does not print the arcs");
    }
}

#[test]
fn mistakes_name_their_cure() {
    let many: Vec<String> = names(MAX_NODES + 1);
    for (nodes, points, cure) in [
        (vec![], 1, "give at least one"),
        (vec![("a", 1.0)], 0, "use at least 1"),
        (vec![("a", 1.0), ("a", 2.0)], 1, "two nodes are called 'a'"),
        (vec![("a", 0.0)], 1, "give at least one"),
        (vec![("a", -1.0)], 1, "use 1 for a normal node"),
        (vec![("a", f64::NAN)], 1, "weight NaN"),
        (vec![("a", f64::INFINITY)], 1, "weight inf"),
        (vec![("a", 0.001)], 100, "use at least 0.01"),
        (vec![("a", 1e300), ("b", 1e300)], 8192, "use smaller weights"),
        (vec![("a", 3000.0)], 8192, "24576000 points"),
        (equal(&many), 1, "use at most 65535"),
    ] {
        let message = Circle::build(&nodes, points).unwrap_err().to_string();
        assert!(message.contains(cure), "{message}");
    }
}
