//! The way of a key to its node, told: what of it is hashed, to what, where that leads, and why.
//!
//! `CIRCLET WHERE` answers it, `circlet ring` prints it; both make it here, so that they say the same. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Node, NodeId, Ring,
    ring::{Place, Scheme, Trace},
};

/// The way of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The key.
    pub key: Vec<u8>,
    /// The part of it that is hashed: its hash tag, or all of it.
    pub hashed: Vec<u8>,
    /// The hash's name and value, `xxh3 0x…`; empty if nothing is hashed.
    pub hash: String,
    /// Where the hash leads.
    pub step: Step,
    /// Name and address of the node; `None`: any node.
    pub node: Option<(String, String)>,
}

/// Where a hash leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// To a point of the circle.
    Point {
        /// The point.
        at: u32,
        /// The first point of its arc.
        first: u32,
        /// The last one, inclusive.
        last: u32,
    },
    /// To a slot of `modula`.
    Slot {
        /// The remainder.
        slot: usize,
        /// The number of slots.
        of: usize,
    },
    /// Nowhere: any node.
    Any,
}

impl Way {
    /// The way of `key` over `ring`, whose nodes these are.
    #[must_use]
    pub fn of(ring: &Ring, nodes: &[Node], key: &[u8]) -> Self {
        let trace = ring.trace(key);
        let (step, owner) = step(ring.scheme(), &trace);
        let node = owner.and_then(|owner| nodes.get(owner.index()));
        Self {
            key: key.to_vec(),
            hashed: trace.hashed.to_vec(),
            hash: hash(ring.scheme(), trace.hash),
            step,
            node: node.map(|node| (node.name.clone(), node.address.to_string())),
        }
    }

    /// The hash tag, if the key has one.
    #[must_use]
    pub fn tag(&self) -> Option<&[u8]> {
        (self.hashed != self.key).then_some(&self.hashed)
    }

    /// What of the key is hashed, for people.
    #[must_use]
    pub fn hashed_part(&self) -> String {
        match self.tag() {
            Some(tag) => format!("{} (its hash tag)", tag.escape_ascii()),
            None => "the whole key, for it has no hash tag".to_owned(),
        }
    }

    /// Why the key lies there, in one sentence.
    #[must_use]
    pub fn why(&self) -> String {
        let Some((node, _)) = &self.node else { return "any node, and another one next time".to_owned() };
        let what = if self.tag().is_some() { "its hash tag is hashed" } else { "the whole key is hashed" };
        match self.step {
            Step::Point { at, first, last } => {
                format!("{what}, and 0x{at:08x} is in the arc from 0x{first:08x} to 0x{last:08x}, which is {node}'s")
            }
            Step::Slot { slot, of } => format!("{what}, and slot {slot}, the remainder by {of}, is {node}'s"),
            Step::Any => "any node, and another one next time".to_owned(),
        }
    }
}

fn step(scheme: &Scheme, trace: &Trace<'_>) -> (Step, Option<NodeId>) {
    match trace.place {
        Place::Arc(arc) => {
            let at = if matches!(scheme, Scheme::Xxh3 { .. }) { trace.hash >> 32 } else { trace.hash };
            (Step::Point { at: at as u32, first: arc.first, last: arc.last }, Some(arc.owner))
        }
        Place::Slot { slot, of, owner } => (Step::Slot { slot, of }, Some(owner)),
        Place::Any => (Step::Any, None),
    }
}

/// The name of the hash, and the hash in its width.
fn hash(scheme: &Scheme, hash: u64) -> String {
    match scheme {
        Scheme::Xxh3 { .. } => format!("xxh3 0x{hash:016x}"),
        Scheme::Ketama(hashing) | Scheme::Modula(hashing) => format!("{} 0x{hash:08x}", hashing.hash.name()),
        Scheme::Random => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::route::{Address, KeyHash, hash_tag::Tag, ring::Hashing};

    #[test]
    fn a_way_ends_at_the_owner_and_says_why() {
        let nodes: Vec<Node> = ["a", "b"].map(node).to_vec();
        let hashing = Hashing { hash: KeyHash::Murmur, tag: Some(Tag::BRACES) };
        for (scheme, hash, why) in [
            (Scheme::Xxh3 { points_per_weight: 64 }, "xxh3 0x", "is in the arc from 0x"),
            (Scheme::Ketama(hashing), "murmur 0x", "is in the arc from 0x"),
            (Scheme::Modula(hashing), "murmur 0x", ", the remainder by 2, is "),
        ] {
            let ring = Ring::of(&[("a", 1.0), ("b", 1.0)], &scheme).unwrap();
            let way = Way::of(&ring, &nodes, b"cart:{user:1}");
            let (name, address) = way.node.clone().unwrap();
            assert_eq!(name, nodes[ring.owner_of(b"user:1").index()].name);
            assert_eq!((address.as_str(), way.tag()), ("127.0.0.1:7001", Some(&b"user:1"[..])));
            assert!(way.hash.starts_with(hash) && way.why().contains(why) && way.why().ends_with("'s"), "{way:?}");
            assert!(way.why().starts_with("its hash tag is hashed"));
            let whole = Way::of(&ring, &nodes, b"\xff");
            assert_eq!((whole.tag(), whole.hashed_part().starts_with("the whole key")), (None, true));
        }
        let random = Ring::of(&[("a", 1.0), ("b", 1.0)], &Scheme::Random).unwrap();
        let way = Way::of(&random, &nodes, b"k");
        assert_eq!((way.node.is_none(), way.why().as_str()), (true, "any node, and another one next time"));
    }

    fn node(name: &str) -> Node {
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: 7001 };
        Node::new(name, address)
    }
}
