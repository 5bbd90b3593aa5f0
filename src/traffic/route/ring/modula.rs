//! twemproxy's `modula`: the hash modulo the number of slots.
//!
//! A server has as many slots as its weight says, all in a row, the servers in nutcracker's order. A server that joins or
//! leaves moves nearly every key; it is here for those who have it already. Bounds: [`MAX_POINTS`] slots of 2 bytes. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{MAX_POINTS, NodeId, RingError, Server};

/// The node behind each remainder; at least one.
pub(super) struct Slots(Box<[u16]>);

impl Slots {
    /// The slots of `servers`, which stand in nutcracker's order.
    pub(super) fn build(servers: &[Server<'_>]) -> Result<Self, RingError> {
        let total: u64 = servers.iter().map(|server| u64::from(server.weight)).sum();
        if total > MAX_POINTS {
            return Err(RingError::TooManySlots(total));
        }
        let slots = servers.iter().flat_map(|server| std::iter::repeat_n(server.node, server.weight as usize));
        Ok(Self(slots.collect()))
    }

    pub(super) fn owner(&self, hash: u32) -> NodeId {
        NodeId(self.0[hash as usize % self.0.len()])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&self.0[..])
    }

    /// The part that each of `nodes` nodes has of the hashes 0 to `largest`.
    pub(super) fn shares(&self, nodes: usize, largest: u32) -> Vec<f64> {
        let (hashes, slots) = (u64::from(largest) + 1, self.0.len() as u64);
        let mut counts = vec![0_u64; nodes];
        for (slot, &node) in (0_u64..).zip(&self.0) {
            // The first slots have one hash more where it does not come out even.
            counts[usize::from(node)] += hashes / slots + u64::from(slot < hashes % slots);
        }
        counts.into_iter().map(|count| count as f64 / hashes as f64).collect()
    }
}
