//! twemproxy's `ketama`: libmemcached's weighted continuum, point for point.
//!
//! ```text
//!  server  weight of all  ──► pointers: floor(part * 160 / 4 * servers) * 4, in single precision
//!  MD5 of "name-0", "name-1" … gives four points each, its 32-bit little-endian words
//!  points      ┬────────┬───┬──────────┬    a point owns the hashes up to and with itself, back to the one before;
//!          ────┘   a    └ c └    b     └─   behind the last point it is the first one again
//! ```
//! Of several points with one value the first server in nutcracker's order has it: there the sorting is stable, and the
//! search finds the leftmost. A server that is very light beside the others has no point at all.
//!
//! The arithmetic is that of `src/hashkit/nc_ketama.c` in twemproxy 0.5.0, float for float. Bounds: 160 points per node.
//! Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use md5::{Digest, Md5};

use super::{Circle, RingError, Server};

/// Points of a server of average weight.
const POINTS_PER_SERVER: f32 = 160.0;

/// Points that one MD5 gives.
const POINTS_PER_HASH: u32 = 4;

/// The circle of `servers`, which stand in nutcracker's order.
pub(super) fn circle(servers: &[Server<'_>]) -> Result<Circle, RingError> {
    let total: u64 = servers.iter().map(|server| u64::from(server.weight)).sum();
    let total = u32::try_from(total).map_err(|_| RingError::TooHeavy(total))?;
    let mut points: Vec<(u32, u16)> = Vec::new();
    for server in servers {
        let hashes = pointers(server.weight, total, servers.len()) / POINTS_PER_HASH;
        for number in 0..hashes {
            let digest = Md5::digest(format!("{}-{number}", server.name));
            let (words, _) = digest.as_chunks::<4>();
            points.extend(words.iter().map(|word| (u32::from_le_bytes(*word), server.node)));
        }
    }
    points.sort_by_key(|point| point.0); // stable
    points.dedup_by_key(|point| point.0); // keeps the first
    let (starts, owners) = arcs_of(&points);
    Ok(Circle::of_arcs(starts, owners))
}

/// How many points a server gets.
fn pointers(weight: u32, total: u32, servers: usize) -> u32 {
    let part = weight as f32 / total as f32;
    let points = part * POINTS_PER_SERVER / POINTS_PER_HASH as f32 * servers as f32;
    ((f64::from(points) + 0.000_000_000_1) as f32).floor() as u32 * POINTS_PER_HASH
}

/// Turns points, ascending and each with a value of its own, into arcs: their starts and owners.
fn arcs_of(points: &[(u32, u16)]) -> (Vec<u32>, Vec<u16>) {
    let mut starts: Vec<u32> = Vec::with_capacity(points.len() + 1);
    let mut owners: Vec<u16> = Vec::with_capacity(points.len() + 1);
    let first = points.first().into_iter().map(|&(_, owner)| (0, owner));
    // Behind a point begins the arc of the next one; behind the last, that of the first. None begins behind the end.
    let next = points.iter().skip(1).chain(points.first());
    let behind = points.iter().zip(next).filter_map(|(point, next)| Some((point.0.checked_add(1)?, next.1)));
    for (start, owner) in first.chain(behind) {
        if owners.last() != Some(&owner) {
            starts.push(start);
            owners.push(owner);
        }
    }
    (starts, owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_follow_the_weights_in_single_precision() {
        assert_eq!(pointers(1, 1, 1), 160);
        assert_eq!([1, 2, 5, 3].map(|weight| pointers(weight, 11, 4)), [56, 116, 288, 172]);
        assert_eq!([1, 1000, 700].map(|weight| pointers(weight, 1701, 3)), [0, 280, 196]);
    }

    #[test]
    fn a_point_owns_what_lies_before_it() {
        assert_eq!(arcs_of(&[(10, 0), (20, 1), (30, 1)]), (vec![0, 11, 31], vec![0, 1, 0]));
        assert_eq!(arcs_of(&[(0, 0), (u32::MAX, 1)]), (vec![0, 1], vec![0, 1]));
        assert_eq!(arcs_of(&[(5, 0), (9, 0)]), (vec![0], vec![0]));
    }
}
