//! How Circlet's own circle is built: names and weights -> points -> arcs -> lines.
//!
//! Three steps of plain functions, in the order in which they run: [`sorted_points`] throws and sorts the points,
//! [`arcs_of`] merges what belongs together, [`index_over`] lays the lines over the arcs. Time is that of the sorting:
//! 0.6 ms for 3 nodes, a quarter of a second for 1000. Everything an operator can get wrong ends in a [`RingError`].
//! Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use xxhash_rust::xxh3::xxh3_64;

use super::{
    super::error::{MAX_NODES, MAX_POINTS, RingError},
    Index, LINE, Line, NONE, position,
};

/// Most lines are 2 to the power of this, 8 MB; with more than about 150 nodes lines are crowded, and searched.
const MAX_LINE_BITS: u32 = 17;

/// All nodes' points: 48 bits of hash, then the rank of the node's name among all names in 16 bits.
///
/// So points that agree in all 48 bits lie in the order of their names, in every ring that has both.
pub(super) struct Points {
    /// Ascending.
    pub(super) sorted: Vec<u64>,
    /// The node behind each rank; empty slots have none.
    pub(super) by_name: Vec<u16>,
}

/// Throws every node's points; an empty slot (a weight of exactly 0) has none, and its name counts for nothing.
pub(super) fn sorted_points(nodes: &[(&str, f64)], points_per_weight: u32) -> Result<Points, RingError> {
    if nodes.len() > MAX_NODES {
        return Err(RingError::TooManyNodes(nodes.len()));
    }
    let mut by_name: Vec<u16> = (0..nodes.len() as u16).filter(|&index| nodes[usize::from(index)].1 != 0.0).collect();
    if by_name.is_empty() {
        return Err(RingError::NoNodes);
    }
    by_name.sort_unstable_by_key(|&index| nodes[usize::from(index)].0);

    let mut total = 0_u64;
    for &index in &by_name {
        let (name, weight) = nodes[usize::from(index)];
        total = total.saturating_add(points_of(name, weight, points_per_weight)?);
    }
    if total > MAX_POINTS {
        return Err(RingError::TooManyPoints(total));
    }
    let mut sorted = Vec::with_capacity(total as usize);
    let mut previous = None;
    for (rank, &index) in by_name.iter().enumerate() {
        let (name, weight) = nodes[usize::from(index)];
        if previous.replace(name) == Some(name) {
            return Err(RingError::SameName(name.to_owned()));
        }
        let points = points_of(name, weight, points_per_weight)?;
        sorted.extend(hashes(name, points).map(|hash| hash & !0xFFFF | rank as u64));
    }
    sorted.sort_unstable();
    Ok(Points { sorted, by_name })
}

/// How many points a node gets.
fn points_of(name: &str, weight: f64, points_per_weight: u32) -> Result<u64, RingError> {
    if points_per_weight == 0 {
        return Err(RingError::NoPoints);
    }
    if !weight.is_finite() || weight <= 0.0 {
        return Err(RingError::Weight { name: name.to_owned(), weight });
    }
    let points = (weight * f64::from(points_per_weight)).round();
    if points < 1.0 {
        return Err(RingError::TooLight { name: name.to_owned(), weight, least: 1.0 / f64::from(points_per_weight) });
    }
    Ok(points as u64) // saturates
}

/// The first `count` hashes of the node called `name`: xxh3 of (xxh3 of the name, number).
///
/// The number as xxh3's seed was tried and lost: names that differ in two neighbouring bytes then share hashes.
pub(super) fn hashes(name: &str, count: u64) -> impl Iterator<Item = u64> {
    let node = xxh3_64(name.as_bytes()).to_le_bytes();
    let mut seed = [0; 16];
    seed[..8].copy_from_slice(&node);
    (0..count).map(move |number| {
        seed[8..].copy_from_slice(&number.to_le_bytes());
        xxh3_64(&seed)
    })
}

/// Turns points into arcs: their starts and owners.
pub(super) fn arcs_of(points: &Points) -> (Vec<u32>, Vec<u16>) {
    let owner = |point: u64| points.by_name[usize::from(point as u16)];
    let mut starts: Vec<u32> = Vec::with_capacity(points.sorted.len() + 1);
    let mut owners = Vec::with_capacity(points.sorted.len() + 1);
    // The circle closes: the last point's arc reaches over 0 to the first point.
    if let Some(&last) = points.sorted.last() {
        starts.push(0);
        owners.push(owner(last));
    }
    for &point in &points.sorted {
        let (at, owner) = (position(point), owner(point));
        // Of several points in one position the last owns it: this is the exact circle, asked at the position's end.
        if starts.last() == Some(&at) {
            starts.pop();
            owners.pop();
        }
        if owners.last() != Some(&owner) {
            starts.push(at);
            owners.push(owner);
        }
    }
    starts.shrink_to_fit();
    owners.shrink_to_fit();
    (starts, owners)
}

/// The index over the arcs: a line for 5 to 10 of them, so that few lines are crowded; at most [`MAX_LINE_BITS`].
pub(super) fn index_over(starts: &[u32], owners: &[u16]) -> Index {
    let owner_bits = if owners.iter().all(|&owner| owner < 255) { 8 } else { 16 };
    // More bits for lines than for owners keep the upper bit of a place free.
    let bits = (starts.len() / 5).max(1).ilog2().clamp(owner_bits + 1, MAX_LINE_BITS);
    let lines = cut(starts, bits).map(|(first, last)| line(starts, owners, (first, last), bits, owner_bits)).collect();
    Index { lines, shift: 64 - bits, owner_bits }
}

/// The line over the arcs `first` to `last`.
fn line(starts: &[u32], owners: &[u16], (first, last): (usize, usize), bits: u32, owner_bits: u32) -> Line {
    let mut line = [NONE; LINE];
    if last - first >= LINE {
        line[1] = first as u32;
        return Line(line);
    }
    for (arc, place) in (first..=last).zip(&mut line) {
        // The first arc may have begun in an earlier line; here it begins at 0.
        let begin = if arc == first { 0 } else { starts[arc] << bits >> bits };
        *place = begin << owner_bits | u32::from(owners[arc]);
    }
    Line(line)
}

/// The first and the last arc in each of 2^`bits` equal parts of the circle.
fn cut(starts: &[u32], bits: u32) -> impl Iterator<Item = (usize, usize)> + '_ {
    let width = 1_u64 << (32 - bits);
    let mut arc = 0;
    (0..1_u64 << bits).map(move |number| {
        let (begin, end) = (number * width, (number + 1) * width);
        // An arc that starts exactly with the part leaves nothing of it to the one before.
        if starts.get(arc + 1).is_some_and(|&start| u64::from(start) == begin) {
            arc += 1;
        }
        let first = arc;
        while starts.get(arc + 1).is_some_and(|&start| u64::from(start) < end) {
            arc += 1;
        }
        (first, arc)
    })
}
