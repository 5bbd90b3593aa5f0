//! Where a request goes: the ring, the topology and the plan. Pure.

pub mod arrived;
pub mod change;
pub mod hash_tag;
pub mod key_hash;
pub mod ring;
pub mod slot;
pub mod topology;
pub mod way;

pub use arrived::Arrived;
pub use change::{Change, Phase, Place};
pub use key_hash::KeyHash;
pub use ring::{Hashed, Ring, Scheme};
pub use slot::slot_of;
pub use topology::{Address, Epoch, Node, NodeId, Topology, is_own};
pub use way::Way;
