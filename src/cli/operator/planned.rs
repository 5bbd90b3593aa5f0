//! A plan for people: the nodes before and after, what moves between whom, what it comes to, and what to mind. Pure.

use super::{
    bytes, count, percent,
    table::{Column, table},
    time,
};
use crate::control::rebalance::plan::{Pair, Plan, Seat};

/// Pairs that are shown; the rest is counted.
const SHOWN: usize = 20;

/// The plan as text.
pub(in crate::cli) fn planned(plan: &Plan) -> String {
    let mut text = "Nodes\n".to_owned();
    text += &nodes(&plan.nodes);
    if !plan.pairs.is_empty() {
        text += "\nMoves\n";
        text += &moves(&plan.pairs);
    }
    text += "\n";
    text += &sum(plan);
    for warning in &plan.warnings {
        text += &format!("! {warning}\n");
    }
    text
}

fn nodes(seats: &[Seat]) -> String {
    let columns = [
        Column::Text("name"),
        Column::Text("address"),
        Column::Number("share now"),
        Column::Number("then"),
        Column::Number("keys now"),
        Column::Number("memory left"),
    ];
    let row = |seat: &Seat| {
        vec![
            seat.name.clone(),
            seat.address.clone(),
            percent(seat.before),
            percent(seat.after),
            count(seat.keys),
            room(seat.head_room),
        ]
    };
    table(&columns, &seats.iter().map(row).collect::<Vec<_>>())
}

fn moves(pairs: &[Pair]) -> String {
    let columns = [
        Column::Text("from"),
        Column::Text("to"),
        Column::Number("share"),
        Column::Number("arcs"),
        Column::Number("keys"),
        Column::Number("memory"),
        Column::Number("time"),
    ];
    let row = |pair: &Pair| {
        vec![
            pair.from.clone(),
            pair.to.clone(),
            percent(pair.share),
            count(Some(pair.arcs)),
            count(pair.keys),
            bytes(pair.bytes),
            time(pair.seconds),
        ]
    };
    let mut text = table(&columns, &pairs.iter().take(SHOWN).map(row).collect::<Vec<_>>());
    if let more @ 1.. = pairs.len().saturating_sub(SHOWN) {
        text += &format!("  … and {more} more pairs with smaller shares\n");
    }
    text
}

/// What it comes to.
fn sum(plan: &Plan) -> String {
    let mut text = format!("{} of the keys move (the least possible: {})", percent(plan.share), percent(plan.least));
    if plan.keys.is_some() {
        text += &format!(": about {} keys, {}, in {}", count(plan.keys), bytes(plan.bytes), time(plan.seconds));
    }
    if plan.parts > 1 {
        text += &format!(", in {} parts", plan.parts);
    }
    text += ".\n";
    if plan.lost > 0.0 {
        text += &format!("{} of the keys are lost.\n", percent(plan.lost));
    }
    text
}

/// Bytes that may be below 0, or without a limit.
fn room(head_room: Option<i64>) -> String {
    match head_room {
        None => "no limit".to_owned(),
        Some(room @ 0..) => bytes(Some(room.unsigned_abs())),
        Some(room) => format!("-{}", bytes(Some(room.unsigned_abs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_told_with_all_that_an_operator_asks() {
        let seat = |name: &str, before, after, head_room| Seat {
            name: name.to_owned(),
            address: format!("127.0.0.1:700{}", name.len()),
            before,
            after,
            keys: Some(1_000_000),
            head_room,
        };
        let pair =
            Pair { from: "a".into(), to: "bb".into(), share: 0.5, arcs: 4_096, keys: Some(500_000), ..Pair::default() };
        let mut plan = Plan {
            share: 0.5,
            least: 0.5,
            keys: Some(500_000),
            bytes: Some(75 << 20),
            seconds: Some(25),
            parts: 2,
            nodes: vec![seat("a", 1.0, 0.5, None), seat("bb", 0.0, 0.5, Some(-(1 << 20)))],
            pairs: vec![pair.clone()],
            warnings: vec!["bb has too little memory".into()],
            ..Plan::default()
        };
        let text = planned(&plan);
        assert_eq!(
            text,
            "Nodes\n\
             \x20 name  address         share now     then   keys now  memory left\n\
             \x20 a     127.0.0.1:7001   100.00 %  50.00 %  1,000,000     no limit\n\
             \x20 bb    127.0.0.1:7002     0.00 %  50.00 %  1,000,000      -1.0 MB\n\
             \n\
             Moves\n\
             \x20 from  to    share   arcs     keys  memory  time\n\
             \x20 a     bb  50.00 %  4,096  500,000       ?     ?\n\
             \n\
             50.00 % of the keys move (the least possible: 50.00 %): about 500,000 keys, 75.0 MB, in 25 s, in 2 parts.\n\
             ! bb has too little memory\n"
        );
        plan.pairs = vec![pair; 25];
        plan.lost = 0.1;
        let text = planned(&plan);
        assert!(text.contains("… and 5 more pairs") && text.contains("10.00 % of the keys are lost.\n"), "{text}");
    }
}
