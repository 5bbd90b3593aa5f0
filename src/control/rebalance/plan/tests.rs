//! Plans of joins, leaves, replacements and losses; their warnings; their reply. Pure.

use redis_protocol::resp2::{decode, types::OwnedFrame};

use super::*;
use crate::{
    config::{Config, Credentials, Overrides, load},
    control::rebalance::members::Wish,
    traffic::resp::Proto,
};

const MB: u64 = 1 << 20;
const PACE: Pace = Pace { keys: 20_000, bytes: 50 * MB, part_keys: 1_000_000 };

fn config(set: &[&str]) -> Config {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let nodes = owned(&["a=h:1", "b=h:2", "c=h:3"]);
    load(None, &Overrides { nodes, set: owned(set), ..Overrides::default() }).unwrap()
}

fn at(port: u16) -> Address {
    format!("h:{port}").parse().unwrap()
}

fn add(name: &str, port: u16) -> Wish {
    Wish::Add(Member::new(name, at(port), 1.0, Credentials::default()))
}

/// 1 M keys, 200 MB each at h:1 to h:3; nothing at h:4.
fn facts() -> HashMap<Address, Facts> {
    let full =
        Facts { keys: vec![(0, 900_000), (3, 100_000)], used_memory: 201 * MB, idle_memory: MB, ..Facts::default() };
    let empty = Facts { used_memory: MB, idle_memory: MB, ..Facts::default() };
    [(at(1), full.clone()), (at(2), full.clone()), (at(3), full), (at(4), empty)].into()
}

fn plan_with(set: &[&str], wishes: &[Wish], facts: &HashMap<Address, Facts>) -> Plan {
    let before = Members::of(&config(set));
    let after = before.after(wishes).unwrap();
    let lost: Vec<String> = wishes
        .iter()
        .filter_map(|wish| if let Wish::Forget(name) = wish { Some(name.clone()) } else { None })
        .collect();
    let (old, new) = (before.ring().unwrap(), after.ring().unwrap());
    Plan::of((&before, &old), (&after, &new), &lost, facts, PACE)
}

fn plan(wishes: &[Wish]) -> Plan {
    plan_with(&[], wishes, &facts())
}

fn near(value: Option<u64>, wanted: f64) -> bool {
    (value.unwrap() as f64 / wanted - 1.0).abs() < 0.1
}

#[test]
fn a_join_takes_from_everybody_what_it_gets_and_no_more() {
    let plan = plan(&[add("d", 4)]);
    assert_eq!(plan.pairs.len(), 3);
    assert!(plan.pairs.iter().all(|pair| pair.to == "d" && pair.arcs > 1_000), "{plan:#?}");
    assert!((plan.share - plan.nodes[3].after).abs() < 1e-9 && (plan.share - plan.least).abs() < 1e-9, "{plan:#?}");
    assert!(near(plan.keys, 750_000.0) && near(plan.bytes, 150.0 * MB as f64), "{plan:#?}");
    // 20,000 keys per second are the narrower bound.
    assert!(near(plan.seconds, 37.5), "{plan:#?}");
    assert_eq!((plan.parts, plan.warnings.len()), (1, 0));
    assert_eq!(plan.nodes[3].keys, Some(0));
    assert_eq!(plan.arcs, plan.pairs.iter().map(|pair| pair.arcs).sum::<u64>());
}

#[test]
fn a_leave_gives_everything_and_a_replacement_moves_to_one_other() {
    let left = plan(&[Wish::Remove("b".into())]);
    assert!(left.pairs.iter().all(|pair| pair.from == "b"));
    assert_eq!(left.keys, Some(1_000_000));
    assert_eq!((left.nodes[1].name.as_str(), left.nodes[1].after), ("b", 0.0));

    let replaced = plan(&[Wish::Replace { name: "b".into(), address: at(4), credentials: None }]);
    assert_eq!(replaced.pairs.len(), 1);
    assert_eq!((replaced.pairs[0].from.as_str(), replaced.pairs[0].to.as_str()), ("b.old", "b"));
    assert_eq!(replaced.keys, Some(1_000_000));
    let names: Vec<&str> = replaced.nodes.iter().map(|seat| seat.name.as_str()).collect();
    assert_eq!(names, ["a", "b.old", "c", "b"]);
    assert_eq!((replaced.nodes[1].after, replaced.nodes[3].before), (0.0, 0.0));
}

#[test]
fn several_changes_are_one_plan() {
    let plan = plan(&[add("d", 4), Wish::Remove("a".into()), Wish::Weight("b".into(), 2.0)]);
    let total: f64 = plan.nodes.iter().map(|seat| seat.after).sum();
    assert!((total - 1.0).abs() < 1e-9);
    // b gets from a, and gives to d: one ring at once moves more than the shares alone would ask for.
    assert!(plan.share >= plan.least && plan.share < 0.6, "{plan:#?}");
    assert!(plan.pairs.windows(2).all(|two| two[0].share >= two[1].share));
}

#[test]
fn a_large_pair_is_moved_in_parts_and_bytes_may_be_the_bound() {
    let mut facts = facts();
    for facts in facts.values_mut() {
        facts.keys = facts.keys.iter().map(|(db, keys)| (*db, keys * 12)).collect();
        facts.used_memory *= 1_000;
    }
    let plan = plan_with(&[], &[add("d", 4)], &facts);
    assert_eq!(plan.parts, 4, "3 M keys of each pair, not quite even: {plan:#?}");
    assert!(near(plan.seconds, plan.bytes.unwrap() as f64 / (50 * MB) as f64), "{plan:#?}");
}

#[test]
fn twemproxys_distributions_have_plans_too() {
    let wishes = [add("d", 4)];
    let ketama = plan_with(&["ring.distribution=ketama"], &wishes, &facts());
    assert!(ketama.pairs.iter().any(|pair| pair.to == "d") && ketama.share < 0.5, "{ketama:#?}");
    let modula = plan_with(&["ring.distribution=modula"], &wishes, &facts());
    assert!((modula.share - 0.75).abs() < 0.01, "{modula:#?}");
    assert!(
        modula.warnings.iter().any(|text| text.contains("75 % of the keys move, where 25 % would do")),
        "{modula:#?}"
    );
}

#[test]
fn what_an_operator_should_know_is_warned_of() {
    let mut facts = facts();
    let warned = |facts: &HashMap<Address, Facts>, wishes: &[Wish], text: &str| {
        let warnings = plan_with(&[], wishes, facts).warnings;
        assert!(
            warnings.iter().any(|warning| warning.contains(text) && !warning.contains('\n')),
            "{text}: {warnings:?}"
        );
    };
    let forgotten = plan(&[Wish::Forget("a".into())]);
    assert!(forgotten.pairs.is_empty() && forgotten.keys == Some(0) && forgotten.least < 1e-9, "{forgotten:#?}");
    assert!((forgotten.lost - forgotten.nodes[0].before).abs() < 1e-9);
    warned(&facts, &[Wish::Forget("a".into())], "ALL KEYS OF NODE a ARE GIVEN UP (33.");
    warned(&facts, &[Wish::Forget("a".into())], "1000000 at last");
    warned(&facts, &[add("d", 5)], "nothing is known of d, so estimates are missing");
    let unknown = plan_with(&[], &[Wish::Remove("a".into())], &HashMap::new());
    assert_eq!((unknown.keys, unknown.seconds, unknown.parts), (None, None, 1));
    warned(&HashMap::new(), &[Wish::Remove("a".into())], "nothing is known of a, b, c");
    facts.get_mut(&at(4)).unwrap().max_memory = 100 * MB;
    warned(&facts, &[add("d", 4)], "d has too little memory: 5");
    let narrow = plan_with(&[], &[add("d", 4)], &facts);
    assert!(narrow.pairs[0].head_room.unwrap() < 0 && narrow.nodes[3].head_room == narrow.pairs[0].head_room);
    facts.get_mut(&at(4)).unwrap().evicts = true;
    warned(&facts, &[add("d", 4)], "d may evict keys when full");
    facts.get_mut(&at(4)).unwrap().keys = vec![(0, 7)];
    warned(&facts, &[add("d", 4)], "d at h:4 is not empty, it has 7 keys");
}

#[test]
fn the_reply_reads_back_to_the_plan() {
    let mut facts = facts();
    facts.get_mut(&at(4)).unwrap().max_memory = 100 * MB;
    for plan in [
        plan_with(&[], &[add("d", 4), Wish::Forget("a".into())], &facts),
        plan_with(&[], &[Wish::Remove("a".into())], &HashMap::new()),
    ] {
        let reply = plan.reply(Proto::Resp2);
        let (frame, length) = decode::decode(&reply).unwrap().unwrap();
        assert_eq!(length, reply.len());
        assert_eq!(Plan::from_frame(frame).unwrap(), plan);
        let json = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&json).unwrap().pairs.len(), plan.pairs.len());
        assert!(plan.reply(Proto::Resp3).starts_with(format!("*{}\r\n%10\r\n", 1 + plan.pairs.len()).as_bytes()));
    }
    assert_eq!(Plan::from_frame(OwnedFrame::Integer(1)), None);
}
