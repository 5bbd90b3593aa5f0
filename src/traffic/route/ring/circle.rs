//! The circle: arcs of hashes, each with its node, and the index that finds a hash's arc.
//!
//! key -> hash tag -> hash -> here -> [`NodeId`]. What makes the arcs is of no concern to the look-up: Circlet's own points,
//! by xxh3 ([`Circle::build`], told here), or twemproxy's continuum ([`super::ketama`]).
//!
//! ```text
//! points   every node throws  weight x points_per_weight  points on the circle, by its name alone
//!             a    b a            c     b         a   c
//! arcs     ───┴────┴─┴────────────┴─────┴─────────┴───┴────  a point's arc reaches to the next point;
//!           c   a   b      a         c       b      a   c    neighbours of one node are one arc
//! lines    |           |           |           |           | 2^n equal lines hold the arcs that lie in them, each in
//!             c,a,b,a        c,b        b,a,c       a,b,c     one cache line: a look-up touches one, and no more
//! ```
//!
//! Invariants of xxh3's circle: a node's points depend on its own name and weight only, never on its address, its index or the other
//! nodes. Therefore a joining node takes arcs from the others and nothing else changes hands, and a leaving node's
//! arcs go to their neighbours. The lines are only an index: however many there are, the answers are the same.
//!
//! Evenness: a node with `v` points has a share of the keys with a relative standard deviation of 1/sqrt(v), however
//! many nodes there are. 8192 points (1.1 %) keep each of 1000 equal nodes within 5 %; 1000 points (3.2 %) miss that
//! at 100 nodes. A fixed table of 65,536 slots in place of exact arcs was tried and lost: with 8192 points it is 11 % off
//! at 100 nodes and 48 % at 1000. A table that grows with the nodes would move keys between old nodes when it does.
//!
//! What counts is how many cache lines a look-up touches, for the kernel and the nodes empty the cache between two
//! batches. Cells of 8 bytes that answered nearly every look-up in one step (0.5 MB for 3 nodes) took 2.8 ns in a
//! benchmark and 150 ns in the proxy; cells of one byte, with a search for every fifth look-up, 90 ns.
//!
//! That line is mostly not in the cache. Where a key is known before its turn comes (the next request of a pipeline, the
//! keys of an MGET), [`Circle::fetch`] has it brought while other work goes on.
//!
//! Bounds: [`MAX_NODES`](super::MAX_NODES), [`MAX_POINTS`](super::MAX_POINTS), 2^17 lines. Memory: 6 bytes per arc, 64 per line, which is for 5 to 10 arcs.
//! Pure. Karger et al., "Consistent Hashing and Random Trees", 1997.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod build;

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    super::{NodeId, hash_tag},
    error::RingError,
};

/// Arcs of one line.
const LINE: usize = 16;

/// A place in a line without an arc; in the first place: the line is crowded, and the second names the arc it begins in.
const NONE: u32 = u32::MAX;

/// An immutable circle over the nodes 0, 1, 2 … in the order given to [`Circle::build`].
pub struct Circle {
    /// First position of each arc, ascending; the first is 0. An arc reaches to the start of the next one.
    starts: Vec<u32>,
    /// Owner of each arc, as long as `starts`; neighbours differ.
    owners: Vec<u16>,
    /// Finds the arc of a hash.
    index: Index,
}

/// The index over the arcs.
struct Index {
    /// 2^(64 - `shift`) equal parts of the circle.
    lines: Vec<Line>,
    /// How far a hash is shifted to the right to give its line.
    shift: u32,
    /// Bits of a place that name the owner: 8, or 16 from 255 nodes on.
    owner_bits: u32,
}

/// The arcs of one part of the circle, ascending: where each begins in the part, and behind that its owner. The first
/// begins at 0. The upper bit of a place stays free, so that no place looks like [`NONE`].
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u32; LINE]);

impl Circle {
    /// Builds Circlet's own circle of `nodes`, each a name and a weight; `points_per_weight` points make up a weight of 1. A
    /// weight of exactly 0 is an empty slot.
    ///
    /// # Errors
    /// When there is no node with a weight, a name stands twice, a weight gives no points, or there are too many of anything.
    pub fn build(nodes: &[(&str, f64)], points_per_weight: u32) -> Result<Self, RingError> {
        let points = build::sorted_points(nodes, points_per_weight)?;
        let (starts, owners) = build::arcs_of(&points);
        drop(points); // as large as all that is kept
        Ok(Self::of_arcs(starts, owners))
    }

    /// The circle of these arcs: where each starts, ascending, the first at 0; and its node, as many, neighbours differing.
    pub(super) fn of_arcs(starts: Vec<u32>, owners: Vec<u16>) -> Self {
        let index = build::index_over(&starts, &owners);
        Self { starts, owners, index }
    }

    /// The hash by which Circlet's own circle places a key: xxh3 of its hash tag.
    #[must_use]
    #[inline]
    pub fn hash(key: &[u8]) -> u64 {
        xxh3_64(hash_tag::tag(key))
    }

    /// The node that owns the keys with this hash.
    #[must_use]
    #[inline]
    pub fn owner(&self, hash: u64) -> NodeId {
        let Index { lines, shift, owner_bits } = &self.index;
        let line = &lines[(hash >> shift) as usize].0;
        if line[0] == NONE {
            return self.search(hash, line[1] as usize);
        }
        let owner_mask = (1 << owner_bits) - 1;
        // The hash's place within the line, as if of the highest owner: behind every arc that begins there or before.
        let bits = 64 - shift;
        let place = position(hash) << bits >> bits << owner_bits | owner_mask;
        let begun = line.iter().filter(|&&arc| arc <= place).count();
        NodeId((line[begun - 1] & owner_mask) as u16)
    }

    /// Has the line brought into the cache that [`Circle::owner`] will look at.
    #[inline]
    pub fn fetch(&self, hash: u64) {
        prefetch(&self.index.lines[(hash >> self.index.shift) as usize]);
    }

    /// Searches a crowded line, which begins in the arc `first`.
    fn search(&self, hash: u64, first: usize) -> NodeId {
        let at = position(hash);
        // Twice as far each time, then by halves: a crowded line holds tens of arcs, and many only if weights are odd.
        let rest = &self.starts[first + 1..];
        let mut far = LINE;
        while rest.get(far).is_some_and(|&start| start <= at) {
            far *= 2;
        }
        let steps = rest[..rest.len().min(far)].partition_point(|&start| start <= at);
        NodeId(self.owners[first + steps])
    }

    /// The arcs in order, which together cover the circle once.
    pub fn arcs(&self) -> impl Iterator<Item = Arc> + '_ {
        let ends = self.starts.iter().skip(1).map(|&next| next - 1).chain([u32::MAX]);
        self.starts.iter().zip(ends).zip(&self.owners).map(|((&first, last), &owner)| Arc {
            first,
            last,
            owner: NodeId(owner),
        })
    }

    /// The arc that `position` lies in.
    pub(super) fn arc(&self, position: u32) -> Arc {
        let index = self.starts.partition_point(|&start| start <= position) - 1;
        let last = self.starts.get(index + 1).map_or(u32::MAX, |next| next - 1);
        Arc { first: self.starts[index], last, owner: NodeId(self.owners[index]) }
    }

    /// The part that each of `nodes` nodes has of the positions 0 to `last`; they add up to 1. A walk over all arcs.
    pub(super) fn shares(&self, nodes: usize, last: u32) -> Vec<f64> {
        let mut widths = vec![0_u64; nodes];
        for arc in self.arcs().take_while(|arc| arc.first <= last) {
            widths[arc.owner.index()] += Arc { last: arc.last.min(last), ..arc }.width();
        }
        let all = f64::from(last) + 1.0;
        widths.into_iter().map(|width| width as f64 / all).collect()
    }

    /// Bytes of memory the circle takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of_val(&self.starts[..]) + size_of_val(&self.owners[..]) + size_of_val(&self.index.lines[..])
    }
}

impl fmt::Debug for Circle {
    /// Only the sizes: the arcs may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circle").field("arcs", &self.starts.len()).field("lines", &self.index.lines.len()).finish()
    }
}

/// A part of the circle that belongs to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arc {
    /// First position: the upper 32 bits of the lowest hash.
    pub first: u32,
    /// Last position, not below `first`.
    pub last: u32,
    /// The node it belongs to.
    pub owner: NodeId,
}

impl Arc {
    /// How many of the 2^32 positions lie in it.
    #[must_use]
    pub fn width(self) -> u64 {
        u64::from(self.last - self.first) + 1
    }
}

/// Where a hash lies on the circle. 2^32 positions are enough: even [`MAX_POINTS`](super::MAX_POINTS) are 256 positions apart.
#[inline]
const fn position(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Asks the processor for a cache line, and does not wait for it.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "the standard library has no safe way to prefetch")]
fn prefetch(line: &Line) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: every x86-64 has the instruction; it is a hint, reads nothing for the program, and the address is valid.
    unsafe {
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast());
    }
}

/// Other processors bring it when it is read.
#[cfg(not(target_arch = "x86_64"))]
fn prefetch(_: &Line) {}

#[cfg(test)]
mod tests;
