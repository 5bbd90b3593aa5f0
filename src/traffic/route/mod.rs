//! Where a request goes: the ring, the topology and the plan. Pure.

pub mod hash_tag;
pub mod ring;
pub mod topology;

pub use ring::Ring;
pub use topology::{Address, Epoch, Node, NodeId, Topology};
