//! Control plane: everything that may wait, so that no request has to.
//!
//! ```text
//!  Pools ──► start ──► plane, for each pool:
//!              │         listen ──accepted sockets──► traffic::worker (Fleet)
//!              │                                      ▲            │
//!              │         live ◄──CONFIG SET circlet.*──┤            │
//!              │         probe ──facts, table (publish)┘            │ Published counters
//!              └─────► admin ◄── views ◄── telemetry, status ◄─────┘
//!                        ▲
//!                 / /api/… /metrics /healthz /readyz
//! ```
//!
//! It runs on the main thread in one runtime of its own; the workers have theirs. It reaches them only by handing over
//! sockets, by publishing immutable snapshots and by reading counters; a request never waits for it.

pub mod admin;
pub mod file_limit;
pub mod listen;
pub mod live;
pub mod lock;
pub mod logging;
mod lua;
pub mod notify;
pub mod plane;
pub mod probe;
pub mod rebalance;
pub mod reload;
mod sealed;
pub mod signals;
pub mod source;
pub mod start;
pub mod status;
pub mod telemetry;
pub mod trim;
mod views;

use std::time::{SystemTime, UNIX_EPOCH};

pub use signals::Signals;
pub use source::Source;
pub use start::{Doors, Pool, Running, StartError, start};

/// The wall clock, ms since 1970.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
