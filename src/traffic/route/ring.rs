//! The ring: which node owns a key. One type, four ways to spread keys over nodes.
//!
//! ```text
//!          xxh3     hash tag {…} ─► xxh3 ──────────────────────► circle ─┐
//!  key ─►  ketama   any hash tag ─► one of twelve hashes ─────► circle ─┼─► NodeId
//!          modula   any hash tag ─► one of twelve hashes ─► % ─► slots ─┤
//!          random   ───────────────────────── chance ──────────────────┘
//! ```
//! [`Scheme`] says which. `xxh3` is Circlet's own; the others put every key where twemproxy (nutcracker 0.5.0) puts it,
//! which golden data made with the real one proves. The control plane builds a ring once per topology; the workers only
//! look up. xxh3 is looked for first and inline, since it is the way of nearly every request.
//!
//! Names, weights and the scheme decide all; addresses and the order of the nodes never do (nutcracker sorts them too).
//! A weight of exactly 0 is an empty slot: it has no keys, its name is not looked at, and the ring is the one without it; it
//! only keeps the place of its [`NodeId`].
//! Bounds: [`MAX_NODES`], [`MAX_POINTS`]. Pure, but for `random`, which is chance by its meaning.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod circle;
mod error;
mod ketama;
mod modula;
mod trace;

use std::fmt;

use self::modula::Slots;
pub use self::{
    circle::{Arc, Circle},
    error::{MAX_NODES, MAX_POINTS, MAX_WEIGHT, RingError},
    trace::{Part, Place, Trace},
};
use super::{NodeId, hash_tag::Tag, key_hash::KeyHash};

/// How keys are spread over the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Circlet's own circle.
    Xxh3 {
        /// Points of a node of weight 1.
        points_per_weight: u32,
    },
    /// twemproxy's circle: libmemcached's weighted ketama.
    Ketama(Hashing),
    /// twemproxy's `modula`: the hash modulo the number of slots; a node has as many slots as its weight says.
    Modula(Hashing),
    /// twemproxy's `random`: each key of each request goes to any node; weights do not count.
    Random,
}

impl Scheme {
    /// Its name, as `ring.distribution` gives it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Xxh3 { .. } => "xxh3",
            Self::Ketama(_) => "ketama",
            Self::Modula(_) => "modula",
            Self::Random => "random",
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Xxh3 { points_per_weight } => format!("xxh3, {points_per_weight} points for a weight of 1"),
            Self::Ketama(hashing) => format!("ketama over {}, as twemproxy", hashing.hash.name()),
            Self::Modula(hashing) => format!("modula over {}, as twemproxy", hashing.hash.name()),
            Self::Random => "random: each key of each request goes to any node".to_owned(),
        }
    }
}

/// What of a key decides in twemproxy's distributions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// The hash function.
    pub hash: KeyHash,
    /// The hash tag; `None`: the whole key is hashed, always.
    pub tag: Option<Tag>,
}

impl Hashing {
    /// The hash of `key`; 0 for the empty key, which nutcracker does not hash.
    #[must_use]
    pub fn of(&self, key: &[u8]) -> u32 {
        if key.is_empty() { 0 } else { self.hash.of(self.part(key)) }
    }

    /// The part of `key` that is hashed.
    fn part<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        self.tag.map_or(key, |tag| tag.of(key))
    }
}

/// Who owns which keys. Immutable.
pub struct Ring {
    scheme: Scheme,
    spread: Spread,
    /// Each node's part of all keys; computed once, since it takes a walk over all arcs.
    shares: Vec<f64>,
    /// The weights that it was made of.
    weights: Box<[f64]>,
}

/// What a look-up has found out of a key in its first half: its hash, or its owner already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed(u64);

enum Spread {
    Xxh3(Circle),
    Ketama(Circle, Hashing),
    Modula(Slots, Hashing),
    /// The nodes that may have keys.
    Random(Box<[u16]>),
}

impl Ring {
    /// Circlet's own ring of `nodes`, each a name and a weight; 0: an empty slot.
    ///
    /// # Errors
    /// When there is no node with a weight, a name stands twice, a weight gives no points, or there are too many of anything.
    pub fn build(nodes: &[(&str, f64)], points_per_weight: u32) -> Result<Self, RingError> {
        Self::of(nodes, &Scheme::Xxh3 { points_per_weight })
    }

    /// The ring of `nodes`, each a name and a weight, by `scheme`; 0: an empty slot.
    ///
    /// # Errors
    /// When there is no node with a weight, a name stands twice, a weight is none, or there are too many of anything.
    pub fn of(nodes: &[(&str, f64)], scheme: &Scheme) -> Result<Self, RingError> {
        let count = nodes.len();
        let (spread, shares) = match *scheme {
            Scheme::Xxh3 { points_per_weight } => {
                let circle = Circle::build(nodes, points_per_weight)?;
                let shares = circle.shares(count, u32::MAX);
                (Spread::Xxh3(circle), shares)
            }
            Scheme::Ketama(hashing) => {
                let circle = ketama::circle(&Server::all(nodes)?)?;
                // A short hash reaches the circle's beginning only.
                let shares = circle.shares(count, hashing.hash.largest());
                (Spread::Ketama(circle, hashing), shares)
            }
            Scheme::Modula(hashing) => {
                let slots = Slots::build(&Server::all(nodes)?)?;
                let shares = slots.shares(count, hashing.hash.largest());
                (Spread::Modula(slots, hashing), shares)
            }
            Scheme::Random => {
                let servers = Server::all(nodes)?;
                let mut shares = vec![0.0; count];
                servers.iter().for_each(|server| shares[usize::from(server.node)] = 1.0 / servers.len() as f64);
                (Spread::Random(servers.iter().map(|server| server.node).collect()), shares)
            }
        };
        let weights = nodes.iter().map(|(_, weight)| *weight).collect();
        Ok(Self { scheme: *scheme, spread, shares, weights })
    }

    /// The node that owns `key`; with [`Scheme::Random`] any, and another one next time.
    #[must_use]
    #[inline]
    pub fn owner_of(&self, key: &[u8]) -> NodeId {
        match &self.spread {
            Spread::Xxh3(circle) => circle.owner(Circle::hash(key)),
            _ => self.twemproxy_owner(key),
        }
    }

    /// The first half of [`Ring::owner_of`], for a key whose turn comes later: [`Ring::finish`] does not have to wait for
    /// memory then.
    #[must_use]
    #[inline]
    pub fn begin(&self, key: &[u8]) -> Hashed {
        match &self.spread {
            Spread::Xxh3(circle) => {
                let hash = Circle::hash(key);
                circle.fetch(hash);
                Hashed(hash)
            }
            _ => Hashed(u64::from(self.twemproxy_owner(key).0)),
        }
    }

    /// The second half: the node that owns the key.
    #[must_use]
    #[inline]
    pub fn finish(&self, hashed: Hashed) -> NodeId {
        match &self.spread {
            Spread::Xxh3(circle) => circle.owner(hashed.0),
            _ => NodeId(hashed.0 as u16),
        }
    }

    #[inline(never)]
    fn twemproxy_owner(&self, key: &[u8]) -> NodeId {
        match &self.spread {
            Spread::Xxh3(circle) => circle.owner(Circle::hash(key)),
            Spread::Ketama(circle, hashing) => circle.owner(u64::from(hashing.of(key)) << 32),
            Spread::Modula(slots, hashing) => slots.owner(hashing.of(key)),
            Spread::Random(nodes) => NodeId(nodes[fastrand::usize(..nodes.len())]),
        }
    }

    /// Whether `node` is one that `key` may be on: its owner, or any at all with [`Scheme::Random`].
    #[must_use]
    #[inline]
    pub fn may_own(&self, node: NodeId, key: &[u8]) -> bool {
        match &self.spread {
            Spread::Random(nodes) => nodes.contains(&node.0),
            _ => self.owner_of(key) == node,
        }
    }

    /// Whether every key may be on every node: [`Scheme::Random`].
    #[must_use]
    #[inline]
    pub fn is_random(&self) -> bool {
        matches!(self.spread, Spread::Random(_))
    }

    /// The bytes that enclose what alone decides a key's node; `None`: keys of one tag may lie apart.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match &self.spread {
            Spread::Xxh3(_) => Some(Tag::BRACES),
            Spread::Ketama(_, hashing) | Spread::Modula(_, hashing) => hashing.tag,
            Spread::Random(_) => None,
        }
    }

    /// Each node's part of all keys; they add up to 1. It tells of keys whose hashes are spread evenly.
    #[must_use]
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// Each node's weight, as the ring was made of; 0: an empty slot.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// How keys are spread over the nodes.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Bytes of memory the ring takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        match &self.spread {
            Spread::Xxh3(circle) | Spread::Ketama(circle, _) => circle.memory(),
            Spread::Modula(slots, _) => slots.memory(),
            Spread::Random(nodes) => size_of_val(&nodes[..]),
        }
    }
}

impl fmt::Debug for Ring {
    /// Only the sizes: the arcs may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, points) = match &self.spread {
            Spread::Xxh3(circle) => ("xxh3", circle.arcs().count()),
            Spread::Ketama(circle, _) => ("ketama", circle.arcs().count()),
            Spread::Modula(slots, _) => ("modula", slots.len()),
            Spread::Random(_) => ("random", 0),
        };
        f.debug_struct("Ring").field("kind", &kind).field("nodes", &self.shares.len()).field("parts", &points).finish()
    }
}

/// A node as twemproxy's distributions see it.
struct Server<'a> {
    name: &'a str,
    weight: u32,
    node: u16,
}

impl<'a> Server<'a> {
    /// The nodes in nutcracker's order: shorter names first, then by bytes. Without empty slots.
    fn all(nodes: &[(&'a str, f64)]) -> Result<Vec<Self>, RingError> {
        if nodes.len() > MAX_NODES {
            return Err(RingError::TooManyNodes(nodes.len()));
        }
        let mut servers = Vec::with_capacity(nodes.len());
        for (node, &(name, weight)) in (0..).zip(nodes).filter(|(_, (_, weight))| *weight != 0.0) {
            if weight.fract() != 0.0 || weight < 1.0 || weight > f64::from(MAX_WEIGHT) {
                return Err(RingError::Fraction { name: name.to_owned(), weight });
            }
            servers.push(Server { name, weight: weight as u32, node });
        }
        if servers.is_empty() {
            return Err(RingError::NoNodes);
        }
        servers.sort_unstable_by_key(|server| (server.name.len(), server.name));
        match servers.windows(2).find(|pair| pair[0].name == pair[1].name) {
            Some(pair) => Err(RingError::SameName(pair[0].name.to_owned())),
            None => Ok(servers),
        }
    }
}

#[cfg(test)]
mod tests;
