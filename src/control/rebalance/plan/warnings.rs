//! What an operator should know of a plan before he says yes; each is one line with the cure. Pure.

use std::collections::HashMap;

use super::{Facts, Plan};
use crate::{
    control::rebalance::members::{Member, Members},
    traffic::route::Address,
};

/// Names that are shown of those that a warning is about.
const SHOWN: usize = 10;

/// Everything that is to be said of `plan`.
pub(super) fn of(
    plan: &Plan,
    before: &Members,
    after: &Members,
    lost: &[String],
    facts: &HashMap<Address, Facts>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    given_up(plan, before, lost, facts, &mut warnings);
    unknown(before, after, lost, facts, &mut warnings);
    not_empty(before, after, facts, &mut warnings);
    narrow(plan, &mut warnings);
    evicting(plan, after, facts, &mut warnings);
    if plan.share > 2.0 * plan.least && plan.share > 0.1 {
        warnings.push(format!(
            "{:.0} % of the keys move, where {:.0} % would do: so it is with {}, which places most keys anew",
            plan.share * 100.0,
            plan.least * 100.0,
            after.scheme().name()
        ));
    }
    warnings
}

fn given_up(
    plan: &Plan,
    before: &Members,
    lost: &[String],
    facts: &HashMap<Address, Facts>,
    warnings: &mut Vec<String>,
) {
    for name in lost {
        let Some(member) = before.get(name) else { continue };
        let share = plan.nodes.iter().find(|seat| seat.name == *name).map_or(0.0, |seat| seat.before);
        let keys =
            facts.get(&member.address).map_or_else(String::new, |facts| format!(", {} at last", facts.all_keys()));
        warnings.push(format!(
            "ALL KEYS OF NODE {name} ARE GIVEN UP ({:.1} % of the keys{keys}): they will be missing; if it can be started \
             again, start it and use NODE REMOVE {name}",
            share * 100.0
        ));
    }
}

fn unknown(
    before: &Members,
    after: &Members,
    lost: &[String],
    facts: &HashMap<Address, Facts>,
    warnings: &mut Vec<String>,
) {
    let silent = |member: &&Member| !facts.contains_key(&member.address) && !lost.contains(&member.name);
    let old = before.list().iter().filter(silent);
    let new = after.list().iter().filter(|member| !before.list().iter().any(|other| other.address == member.address));
    let names: Vec<&str> = old.chain(new.filter(silent)).map(|member| member.name.as_str()).collect();
    if !names.is_empty() {
        warnings.push(format!(
            "nothing is known of {}, so estimates are missing; a node must answer before keys can be moved from or to it",
            some(&names)
        ));
    }
}

/// A server that joins with keys of its own has them in the way.
fn not_empty(before: &Members, after: &Members, facts: &HashMap<Address, Facts>, warnings: &mut Vec<String>) {
    for member in after.list() {
        let joins = !before.list().iter().any(|other| other.address == member.address);
        let keys = facts.get(&member.address).map_or(0, Facts::all_keys);
        if joins && keys > 0 {
            warnings.push(format!(
                "{} at {} is not empty, it has {keys} keys: where one of them is to be moved there, the change stops; give an \
                 empty Redis, or FLUSHALL it if nothing of it is needed",
                member.name, member.address
            ));
        }
    }
}

fn narrow(plan: &Plan, warnings: &mut Vec<String>) {
    for seat in &plan.nodes {
        if let Some(room) = seat.head_room
            && room < 0
        {
            warnings.push(format!(
                "{} has too little memory: {} MB more than its maxmemory would come; raise maxmemory, or give it a smaller \
                 weight",
                seat.name,
                room.unsigned_abs().div_ceil(1 << 20)
            ));
        }
    }
}

fn evicting(plan: &Plan, after: &Members, facts: &HashMap<Address, Facts>, warnings: &mut Vec<String>) {
    let gets = |member: &&Member| plan.pairs.iter().any(|pair| pair.to == member.name);
    let evicts =
        |member: &&Member| facts.get(&member.address).is_some_and(|facts| facts.evicts && facts.max_memory > 0);
    let names: Vec<&str> = after.list().iter().filter(gets).filter(evicts).map(|member| member.name.as_str()).collect();
    if !names.is_empty() {
        warnings.push(format!(
            "{} may evict keys when full, those that are moved there too; with maxmemory-policy noeviction the move would \
             stop instead",
            some(&names)
        ));
    }
}

/// The first names, and how many more there are.
fn some(names: &[&str]) -> String {
    let text = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
