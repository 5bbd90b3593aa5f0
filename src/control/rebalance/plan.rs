//! What a change would move, before anybody says yes: between whom, how much, how long, and whether it fits.
//!
//! members before and after, facts of the nodes -> here -> reply of `CIRCLET PLAN`, table and JSON of `circlet plan`.
//!
//! Shares and arcs are exact: both rings are walked side by side. Keys, bytes and seconds are estimates: a pair gets of the
//! source's keys the part that it has of the source's share, and a key is as large as the node's average. What no node has
//! said stays unknown (`None`, nil), and a warning says so. `least` is what any ring with these shares would have to
//! move. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod reply;
#[cfg(test)]
mod scale;
mod warnings;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::members::{Member, Members};
use crate::traffic::route::{Address, Ring, ring::Part};

/// Keys per second and pair of nodes that are moved without a rate: what two Redis on one machine do with small keys.
const UNPACED: f64 = 100_000.0;

/// What a node has said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Keys of each database.
    pub keys: Vec<(u32, u64)>,
    /// `used_memory`.
    pub used_memory: u64,
    /// `used_memory_startup`: what it takes without a key.
    pub idle_memory: u64,
    /// `maxmemory`; 0: none.
    pub max_memory: u64,
    /// Whether `maxmemory-policy` is another one than noeviction.
    pub evicts: bool,
}

impl Facts {
    /// Keys of all databases.
    fn all_keys(&self) -> u64 {
        self.keys.iter().map(|(_, keys)| keys).sum()
    }

    /// Memory of its keys.
    fn key_memory(&self) -> u64 {
        if self.all_keys() == 0 { 0 } else { self.used_memory.saturating_sub(self.idle_memory) }
    }
}

/// How fast keys may be moved.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Keys per second; 0: as fast as it goes.
    pub keys: u64,
    /// Bytes per second; 0: as fast as it goes.
    pub bytes: u64,
    /// Most keys of a pair that are moved in one part.
    pub part_keys: u64,
}

/// What would happen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The part of all keys that is moved.
    pub share: f64,
    /// The least part that any ring would have to move to come to these shares.
    pub least: f64,
    /// The part of all keys that is given up with the nodes that are forgotten.
    pub lost: f64,
    /// Arcs that change hands.
    pub arcs: u64,
    /// Keys that are moved.
    pub keys: Option<u64>,
    /// Their memory.
    pub bytes: Option<u64>,
    /// How long that takes.
    pub seconds: Option<u64>,
    /// Parts in which they are moved, one after the other.
    pub parts: u64,
    /// The nodes of before and after.
    pub nodes: Vec<Seat>,
    /// Who gives to whom; the largest share first.
    pub pairs: Vec<Pair>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// A node in the plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seat {
    /// Its name; a server that is replaced has `.old` behind it.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// Its part of all keys before; 0 for one that joins.
    pub before: f64,
    /// Its part of all keys afterwards; 0 for one that leaves.
    pub after: f64,
    /// Keys that it has now.
    pub keys: Option<u64>,
    /// Bytes below its `maxmemory` once all has come, while nothing that leaves is gone; `None`: no limit, or not known.
    pub head_room: Option<i64>,
}

/// What one node gives to another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// Who gives.
    pub from: String,
    /// Who gets.
    pub to: String,
    /// The part of all keys.
    pub share: f64,
    /// Arcs of the ring.
    pub arcs: u64,
    /// Keys.
    pub keys: Option<u64>,
    /// Their memory.
    pub bytes: Option<u64>,
    /// How long they take at the pace, if nothing else is moved.
    pub seconds: Option<u64>,
    /// [`Seat::head_room`] of who gets.
    pub head_room: Option<i64>,
}

impl Plan {
    /// What would come of `before` becoming `after`, each with its ring, while the nodes called `lost` are dead. `facts` are by
    /// address, since a node that is replaced has two.
    #[must_use]
    pub fn of(
        (before, old): (&Members, &Ring),
        (after, new): (&Members, &Ring),
        lost: &[String],
        facts: &HashMap<Address, Facts>,
        pace: Pace,
    ) -> Self {
        let mut plan = Self { nodes: seats(before, old.shares(), after, new.shares(), facts), ..Self::default() };
        for ((giver, getter), part) in old.parted(new) {
            let (from, to) = (&before.list()[giver.index()], &after.list()[getter.index()]);
            if lost.contains(&from.name) {
                plan.lost += part.share;
            } else if from.address != to.address {
                let whole = old.shares()[giver.index()];
                plan.pairs.push(pair(from, to, part, whole, facts.get(&from.address), pace, after));
            }
        }
        plan.pairs.sort_by(|a, b| b.share.total_cmp(&a.share));
        plan.sum_up(pace);
        plan.make_room(facts);
        plan.warnings = warnings::of(&plan, before, after, lost, facts);
        plan
    }

    fn sum_up(&mut self, pace: Pace) {
        // Not sum(): of nothing that is -0.
        self.share = self.pairs.iter().fold(0.0, |sum, pair| sum + pair.share);
        self.arcs = self.pairs.iter().map(|pair| pair.arcs).sum();
        self.keys = self.pairs.iter().map(|pair| pair.keys).sum();
        self.bytes = self.pairs.iter().map(|pair| pair.bytes).sum();
        let gain = |seat: &Seat| (seat.after - seat.before).max(0.0);
        // What a dead node had comes to nobody.
        self.least = (self.nodes.iter().map(gain).sum::<f64>() - self.lost).max(0.0);
        // Without a rate every source is as fast as it can be, beside the others.
        let sources = self.pairs.iter().map(|pair| &pair.from).collect::<std::collections::BTreeSet<_>>().len();
        self.seconds = seconds(self.keys, self.bytes, pace, sources.max(1));
        let largest = self.pairs.iter().filter_map(|pair| pair.keys).max().unwrap_or(0);
        self.parts = largest.div_ceil(pace.part_keys.max(1)).max(1);
    }

    /// While keys are moved, the sources still hold them.
    fn make_room(&mut self, facts: &HashMap<Address, Facts>) {
        let mut come: HashMap<&str, Option<u64>> = HashMap::new();
        for pair in &self.pairs {
            let sum = come.entry(&pair.to).or_insert(Some(0));
            *sum = sum.zip(pair.bytes).map(|(sum, bytes)| sum.saturating_add(bytes));
        }
        for seat in &mut self.nodes {
            let facts = seat.address.parse().ok().and_then(|address: Address| facts.get(&address));
            let come = come.get(seat.name.as_str()).copied().unwrap_or(Some(0));
            seat.head_room = facts.zip(come).and_then(|(facts, come)| room(facts, come));
        }
        let rooms: HashMap<&str, Option<i64>> =
            self.nodes.iter().map(|seat| (seat.name.as_str(), seat.head_room)).collect();
        for pair in &mut self.pairs {
            pair.head_room = rooms.get(pair.to.as_str()).copied().flatten();
        }
    }
}

/// What is left of a node's `maxmemory` when `come` bytes have come.
fn room(facts: &Facts, come: u64) -> Option<i64> {
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let limit = Some(facts.max_memory).filter(|&limit| limit > 0)?;
    Some(signed(limit).saturating_sub(signed(facts.used_memory)).saturating_sub(signed(come)))
}

/// What a server that leaves is called beside the one that takes its place.
fn leaving(member: &Member, after: &Members) -> String {
    match after.get(&member.name) {
        Some(other) if other.address != member.address => format!("{}.old", member.name),
        _ => member.name.clone(),
    }
}

fn seats(before: &Members, old: &[f64], after: &Members, new: &[f64], facts: &HashMap<Address, Facts>) -> Vec<Seat> {
    let seat = |member: &Member, name: String, before: f64, after: f64| Seat {
        name,
        address: member.address.to_string(),
        before,
        after,
        keys: facts.get(&member.address).map(Facts::all_keys),
        head_room: None,
    };
    let mut seats: Vec<Seat> = Vec::with_capacity(after.list().len());
    for (member, share) in before.list().iter().zip(old) {
        seats.push(seat(member, leaving(member, after), *share, 0.0));
    }
    let places: HashMap<&Address, usize> =
        before.list().iter().enumerate().map(|(index, member)| (&member.address, index)).collect();
    for (member, share) in after.list().iter().zip(new) {
        match places.get(&member.address).and_then(|&index| seats.get_mut(index)) {
            Some(seat) => seat.after = *share,
            None => seats.push(seat(member, member.name.clone(), 0.0, *share)),
        }
    }
    seats
}

fn pair(
    from: &Member,
    to: &Member,
    part: Part,
    whole: f64,
    facts: Option<&Facts>,
    pace: Pace,
    after: &Members,
) -> Pair {
    let of = |all: u64| (all as f64 * (part.share / whole).min(1.0)).round() as u64;
    let (keys, bytes) = (facts.map(|facts| of(facts.all_keys())), facts.map(|facts| of(facts.key_memory())));
    Pair {
        from: leaving(from, after),
        to: to.name.clone(),
        share: part.share,
        arcs: part.arcs,
        keys,
        bytes,
        seconds: seconds(keys, bytes, pace, 1),
        head_room: None,
    }
}

/// How long so many keys take from so many sources.
fn seconds(keys: Option<u64>, bytes: Option<u64>, pace: Pace, sources: usize) -> Option<u64> {
    let rate = if pace.keys == 0 { UNPACED * sources as f64 } else { pace.keys as f64 };
    let by_keys = keys? as f64 / rate;
    let by_bytes = if pace.bytes == 0 { 0.0 } else { bytes? as f64 / pace.bytes as f64 };
    Some(by_keys.max(by_bytes).ceil() as u64)
}

#[cfg(test)]
mod tests;
