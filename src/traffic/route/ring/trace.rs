//! Why a key lies where it lies, and what two rings of one scheme do differently. For people; requests never come here.
//!
//! Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeMap;

use super::{Arc, Circle, Ring, Spread};
use crate::traffic::route::{NodeId, hash_tag};

/// The way of one key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trace<'k> {
    /// The part of the key that is hashed: its hash tag, or all of it.
    pub hashed: &'k [u8],
    /// Its hash; of 64 bits for xxh3, else of 32.
    pub hash: u64,
    /// Where that leads.
    pub place: Place,
}

/// Where a hash leads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// Into an arc of the circle, which belongs to a node.
    Arc(Arc),
    /// To a slot of `modula`.
    Slot {
        /// The remainder.
        slot: usize,
        /// The number of slots.
        of: usize,
        /// Whose it is.
        owner: NodeId,
    },
    /// Nowhere: any node.
    Any,
}

impl Ring {
    /// The way of `key`.
    #[must_use]
    pub fn trace<'k>(&self, key: &'k [u8]) -> Trace<'k> {
        match &self.spread {
            Spread::Xxh3(circle) => {
                let hash = Circle::hash(key);
                Trace { hashed: hash_tag::tag(key), hash, place: Place::Arc(circle.arc((hash >> 32) as u32)) }
            }
            Spread::Ketama(circle, hashing) => {
                let hash = hashing.of(key);
                Trace { hashed: hashing.part(key), hash: hash.into(), place: Place::Arc(circle.arc(hash)) }
            }
            Spread::Modula(slots, hashing) => {
                let hash = hashing.of(key);
                let (slot, of, owner) = (hash as usize % slots.len(), slots.len(), slots.owner(hash));
                Trace { hashed: hashing.part(key), hash: hash.into(), place: Place::Slot { slot, of, owner } }
            }
            Spread::Random(_) => Trace { hashed: key, hash: 0, place: Place::Any },
        }
    }

    /// The owner of what begins at part `slice` of `of` parts of the whole, all of one size: for a drawing. `None` where
    /// nobody owns a key.
    #[must_use]
    pub fn owner_at(&self, slice: u32, of: u32) -> Option<NodeId> {
        let at = |whole: u64| whole * u64::from(slice) / u64::from(of.max(1));
        match &self.spread {
            Spread::Xxh3(circle) => Some(circle.owner(at(1 << 32) << 32)),
            Spread::Ketama(circle, hashing) => Some(circle.owner(at(u64::from(hashing.hash.largest()) + 1) << 32)),
            Spread::Modula(slots, _) => Some(slots.owner(at(slots.len() as u64) as u32)),
            Spread::Random(_) => None,
        }
    }

    /// The part of all keys that each pair of nodes has, the owner here and the owner in `other`, a ring of the same scheme.
    /// Nothing for rings of different schemes, and for `random`, where nobody owns a key.
    #[must_use]
    pub fn against(&self, other: &Self) -> BTreeMap<(NodeId, NodeId), f64> {
        self.parted(other).into_iter().map(|(pair, part)| (pair, part.share)).collect()
    }

    /// As [`Ring::against`], with the number of arcs in which each part lies: as long as neither owner changes, it is one arc.
    #[must_use]
    pub fn parted(&self, other: &Self) -> BTreeMap<(NodeId, NodeId), Part> {
        match (&self.spread, &other.spread) {
            (Spread::Xxh3(one), Spread::Xxh3(two)) => circles(one, two, u32::MAX),
            (Spread::Ketama(one, hashing), Spread::Ketama(two, also)) if hashing == also => {
                circles(one, two, hashing.hash.largest())
            }
            (Spread::Modula(one, hashing), Spread::Modula(two, also)) if hashing == also => {
                // Remainders come again after the least common multiple; past 2^24 hashes a sample tells as much.
                let period = (one.len() as u64).saturating_mul(two.len() as u64);
                let hashes = period.min(1 << 24).min(u64::from(hashing.hash.largest()) + 1) as u32;
                let mut runs = Runs::default();
                for hash in 0..hashes {
                    runs.add((one.owner(hash), two.owner(hash)), 1);
                }
                runs.parts(f64::from(hashes))
            }
            _ => BTreeMap::new(),
        }
    }
}

/// What a pair of owners has.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// The part of all keys.
    pub share: f64,
    /// Arcs in which it lies; of `modula`, runs of neighbouring remainders.
    pub arcs: u64,
}

/// Pairs of owners along a walk: how long each was met, and how often anew.
#[derive(Default)]
struct Runs {
    /// Width and number of runs.
    met: BTreeMap<(NodeId, NodeId), (u64, u64)>,
    last: Option<(NodeId, NodeId)>,
}

impl Runs {
    fn add(&mut self, pair: (NodeId, NodeId), width: u64) {
        let (widths, runs) = self.met.entry(pair).or_default();
        *widths += width;
        *runs += u64::from(self.last != Some(pair));
        self.last = Some(pair);
    }

    /// Each pair's part of `all`.
    fn parts(self, all: f64) -> BTreeMap<(NodeId, NodeId), Part> {
        let part = |(width, arcs): (u64, u64)| Part { share: width as f64 / all, arcs };
        self.met.into_iter().map(|(pair, met)| (pair, part(met))).collect()
    }
}

/// Walks two circles side by side, up to the position `last`.
fn circles(one: &Circle, two: &Circle, last: u32) -> BTreeMap<(NodeId, NodeId), Part> {
    let (mut left, mut right) = (one.arcs().peekable(), two.arcs().peekable());
    let mut runs = Runs::default();
    let mut at = 0;
    while let (Some(&from), Some(&to)) = (left.peek(), right.peek())
        && at <= u64::from(last)
    {
        let end = from.last.min(to.last);
        let next = u64::from(end.min(last)) + 1;
        runs.add((from.owner, to.owner), next - at);
        at = next;
        left.next_if(|arc| arc.last == end);
        right.next_if(|arc| arc.last == end);
    }
    runs.parts(f64::from(last) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::route::{KeyHash, Scheme, hash_tag::Tag, ring::Hashing};

    fn schemes() -> [Scheme; 3] {
        let hashing = Hashing { hash: KeyHash::Murmur, tag: Some(Tag::BRACES) };
        [Scheme::Xxh3 { points_per_weight: 512 }, Scheme::Ketama(hashing), Scheme::Modula(hashing)]
    }

    #[test]
    fn a_trace_ends_at_the_owner() {
        for scheme in schemes() {
            let ring = Ring::of(&[("a", 1.0), ("b", 2.0), ("c", 1.0)], &scheme).unwrap();
            for number in 0..500 {
                let key = format!("k{{{number}}}x");
                let trace = ring.trace(key.as_bytes());
                assert_eq!(trace.hashed, number.to_string().as_bytes());
                let owner = match trace.place {
                    Place::Arc(arc) => {
                        let shift = if matches!(scheme, Scheme::Xxh3 { .. }) { 32 } else { 0 };
                        let at = (trace.hash >> shift) as u32;
                        assert!(arc.first <= at && at <= arc.last, "{arc:?} {at}");
                        arc.owner
                    }
                    Place::Slot { slot, of, owner } => {
                        assert_eq!((slot, of), (trace.hash as usize % 4, 4));
                        owner
                    }
                    Place::Any => panic!("{scheme:?}"),
                };
                assert_eq!(owner, ring.owner_of(key.as_bytes()));
            }
        }
        let random = Ring::of(&[("a", 1.0)], &Scheme::Random).unwrap();
        assert_eq!(random.trace(b"k").place, Place::Any);
    }

    #[test]
    fn the_arcs_of_a_part_are_those_of_the_circle() {
        let (one, two) =
            (Ring::build(&[("a", 1.0)], 512).unwrap(), Ring::build(&[("a", 1.0), ("b", 1.0)], 512).unwrap());
        let Spread::Xxh3(circle) = &two.spread else { panic!("{two:?}") };
        let of = |node| circle.arcs().filter(|arc| arc.owner == NodeId(node)).count() as u64;
        let parted = one.parted(&two);
        assert_eq!(parted.len(), 2);
        assert_eq!(parted[&(NodeId(0), NodeId(0))].arcs, of(0));
        let moved = parted[&(NodeId(0), NodeId(1))];
        assert_eq!(moved.arcs, of(1));
        assert!((moved.share - two.shares()[1]).abs() < 1e-9, "{moved:?}");
    }

    #[test]
    fn slices_show_the_shares() {
        for scheme in schemes() {
            let ring = Ring::of(&[("a", 1.0), ("b", 2.0), ("c", 1.0)], &scheme).unwrap();
            let mut counts = [0.0; 3];
            (0..4_096).for_each(|slice| counts[ring.owner_at(slice, 4_096).unwrap().index()] += 1.0 / 4_096.0);
            for (count, share) in counts.iter().zip(ring.shares()) {
                assert!((count - share).abs() < 0.02, "{scheme:?}: {counts:?} {:?}", ring.shares());
            }
        }
        assert_eq!(Ring::of(&[("a", 1.0)], &Scheme::Random).unwrap().owner_at(0, 1), None);
    }

    #[test]
    fn what_two_rings_do_differently_is_what_keys_do() {
        let (before, after) = ([("a", 1.0), ("b", 2.0)], [("a", 1.0), ("b", 2.0), ("c", 1.0)]);
        for scheme in schemes() {
            let (one, two) = (Ring::of(&before, &scheme).unwrap(), Ring::of(&after, &scheme).unwrap());
            let told = one.against(&two);
            assert!((told.values().sum::<f64>() - 1.0).abs() < 1e-9);
            let mut seen: BTreeMap<(NodeId, NodeId), f64> = BTreeMap::new();
            for number in 0..20_000 {
                let key = format!("user:{number}");
                let pair = (one.owner_of(key.as_bytes()), two.owner_of(key.as_bytes()));
                *seen.entry(pair).or_default() += 1.0 / 20_000.0;
            }
            for (pair, share) in &told {
                assert!(
                    (share - seen.get(pair).unwrap_or(&0.0)).abs() < 0.02,
                    "{scheme:?} {pair:?}: {told:?} {seen:?}"
                );
            }
            assert!(one.against(&one).keys().all(|(from, to)| from == to));
        }
        let random = Ring::of(&before, &Scheme::Random).unwrap();
        assert!(random.against(&random).is_empty());
    }
}
