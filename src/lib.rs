//! Circlet: one Redis endpoint over many Redis nodes.
//!
//! Clients connect with any Redis client; keys are spread over a consistent-hash ring of plain, unpatched Redis nodes.
//! Two planes that never share a lock:
//!
//! ```text
//!                           DATA PLANE: one thread per worker, nothing shared, nothing locked
//!  client ──TCP/unix──► session ──► resp::request ──► command row ──► owner on the ring ──► pipe ──► node (Redis)
//!     ▲                   │ (pure)       (pure)           (pure)           (pure)            │ one pipe per worker
//!     │                   ▼                                                                  │ and (node, db, protocol)
//!     └──── writes ◄── reply slots, in order ◄── merge (values, sums, scan, info …) ◄────────┘
//!
//!                           CONTROL PLANE: its own threads; may wait, may lock, never on a request's way
//!  configuration ─► topology (epoch, nodes, ring) ─► published as an immutable snapshot ─► every worker
//!  probe (what the nodes are) ─► facts, commands        admin HTTP, metrics, signals
//! ```
//!
//! # Lexicon
//! * **client**: a program that speaks to Circlet; **session**: its connection, as a worker sees it.
//! * **node**: a backend Redis, with a name, an address and a weight.
//! * **out**: a node of a cache that is left out for now, since it is down; the others have its keys.
//! * **worker**: a thread of the data plane; it owns its sessions and pipes.
//! * **pipe**: a worker's pipelined connection to a node, for one db and one protocol.
//! * **slot**: the place of a request's reply in its session's order.
//! * **batch**: a session's requests that were read together; its replies **linger** for each other, to leave in one write.
//! * **part**, **aggregate**: one node's share of a split request, and all of them together.
//! * **ring**: which node owns which part of the hash space; **point**: where a node's part ends.
//! * **topology**: nodes and ring; **epoch**: its number; **snapshot**: topology, command table and facts together.
//! * **topic**: a channel, pattern or shard channel that somebody listens to; **ear**: a worker's connection to a node on
//!   which it hears messages for all its subscribers.
//! * **facade**: Circlet as a Redis Cluster of one **member**, for clients of clusters.
//! * **refusal**: an error reply that Circlet itself gives.
//!
//! # Reading order
//! [`traffic`] in the order of its header; then [`control`]; [`config`] and [`cli`] last.

pub mod cli;
pub mod config;
pub mod control;
#[cfg(test)]
mod scratch;
pub mod traffic;
