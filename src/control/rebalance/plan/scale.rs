//! Plans at scale: 1,000 nodes, 100 M keys of which a sample is looked at. One join, one loss, one leave. Pure.

use super::*;
use crate::{
    config::{Config, Credentials, Overrides, load},
    control::rebalance::members::Wish,
    traffic::route::Ring,
};

const NODES: u16 = 1_000;
const KEYS: u64 = 100_000_000;
const SAMPLE: u64 = 400_000;
const PACE: Pace = Pace { keys: 20_000, bytes: 50 << 20, part_keys: 1_000_000 };

fn config() -> Config {
    let nodes = (0..NODES).map(|number| format!("node-{number}=10.0.{}.{}:6379", number / 250, number % 250)).collect();
    load(None, &Overrides { nodes, ..Overrides::default() }).unwrap()
}

fn facts(members: &Members, ring: &Ring) -> HashMap<Address, Facts> {
    let facts = |share: f64| {
        let keys = (KEYS as f64 * share) as u64;
        Facts { keys: vec![(0, keys)], used_memory: keys * 200, ..Facts::default() }
    };
    members.list().iter().zip(ring.shares()).map(|(member, share)| (member.address.clone(), facts(*share))).collect()
}

/// The part of the sampled keys that have another owner, by address.
fn moved(one: (&Members, &Ring), two: (&Members, &Ring)) -> f64 {
    fn owner<'m>((members, ring): (&'m Members, &Ring), key: &[u8]) -> &'m Address {
        &members.list()[ring.owner_of(key).index()].address
    }
    let moved = (0..SAMPLE).filter(|number| {
        let key = format!("user:{number}:profile");
        owner(one, key.as_bytes()) != owner(two, key.as_bytes())
    });
    moved.count() as f64 / SAMPLE as f64
}

#[test]
fn a_thousand_nodes_and_a_hundred_million_keys() {
    let before = Members::of(&config());
    let old = before.ring().unwrap();
    let facts = facts(&before, &old);
    let even = old.shares().iter().map(|share| share * f64::from(NODES));
    assert!(even.clone().all(|part| (0.95..1.05).contains(&part)), "{:?}", even.clone().fold(0.0, f64::max));

    let joins = Wish::Add(Member::new("node-new", "10.1.0.1:6379".parse().unwrap(), 1.0, Credentials::default()));
    for (wish, dies) in [(joins, false), (Wish::Remove("node-500".into()), true)] {
        let (after, new) = before.after_with_ring(std::slice::from_ref(&wish)).unwrap();
        // Balance: still everybody within 5 % of its weight.
        let nodes = after.list().len() as f64;
        assert!(new.shares().iter().all(|share| (0.95..1.05).contains(&(share * nodes))), "{wish:?}");
        let sampled = moved((&before, &old), (&after, &new));

        let plan = |lost: &[String]| Plan::of((&before, &old), (&after, &new), lost, &facts, PACE);
        let moves = plan(&[]);
        told(wish.name(), &moves);
        // Keys moved: the least that is possible, and what a sample of keys shows.
        assert!((moves.share - moves.least).abs() < 1e-9, "{wish:?}: {} {}", moves.share, moves.least);
        assert!((sampled - moves.share).abs() < 4.0 * (moves.share / SAMPLE as f64).sqrt(), "{wish:?}: {sampled}");
        assert!((0.0009..0.0011).contains(&moves.share), "{wish:?}: {}", moves.share);
        assert!((90_000..110_000).contains(&moves.keys.unwrap()), "{wish:?}: {:?}", moves.keys);
        // Control messages: one conversation per pair of nodes, in one stage.
        assert_eq!(moves.parts, 1);
        assert!((950..=usize::from(NODES)).contains(&moves.pairs.len()), "{wish:?}: {} pairs", moves.pairs.len());
        if dies {
            let lost = plan(&["node-500".to_owned()]);
            assert_eq!((lost.pairs.len(), lost.keys), (0, Some(0)));
            assert!((lost.lost - moves.share).abs() < 1e-9 && lost.least < 1e-9, "{}", lost.lost);
        }
    }
}

fn told(what: &str, plan: &Plan) {
    println!(
        "{what}: {:.4} % moves (least {:.4} %), {:?} keys, {:?} s, {} pairs, {} arcs",
        plan.share * 100.0,
        plan.least * 100.0,
        plan.keys,
        plan.seconds,
        plan.pairs.len(),
        plan.arcs
    );
}
