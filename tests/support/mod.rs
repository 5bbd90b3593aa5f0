//! What all tests stand on: real servers on free ports, a raw client, a relay and a staged node for faults.
//!
//! ```text
//!  test ── Client ──► Circlet (the real binary) ──► [Relay] ──► Redis (redis-server)
//! ```
//! Everything that is started is stopped when it is dropped, also when a test fails; every wait has a deadline, and nothing
//! sleeps for a fixed time where a condition can be asked.

pub mod changing;
pub mod circlet;
pub mod client;
pub mod cluster;
pub mod dir;
pub mod fake;
pub mod http;
pub mod inside;
pub mod nutcracker;
pub mod port;
pub mod process;
pub mod redis;
pub mod relay;
pub mod resp;
pub mod seed;
pub mod voters;
pub mod wait;

pub use circlet::Circlet;
pub use client::Client;
pub use cluster::Cluster;
pub use redis::Redis;
