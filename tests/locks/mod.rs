//! At most one client has a lock, and fences grow, whatever happens to nodes, connections, clocks and Circlet.
//!
//! ```text
//!            nemesis/  what goes wrong, by a seed
//!               ▼
//!  person ──► scene: Circlet, or two ──► [relay] ──► nodes          round    all of it, once
//!     │  acquire, write, extend, stall, forget, die
//!     ├──► resource: a log that refuses smaller fences
//!     ▼
//!  judge: did two believe at once? did a fence not grow? was written without a lock, or a holder refused?
//! ```
#![allow(dead_code, reason = "the scenes follow")]

mod fake;
mod history;
mod judge;
mod person;
mod play;
mod resource;
mod wire;
