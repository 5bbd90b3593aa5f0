//! Locks: Redlock over the nodes, done by Circlet (locks.md in short).
//!
//! ```text
//!  worker ── Ask::Lock ──► shell ── Input ──► keeper (pure) ── Output ──► shell ──► lines to the nodes, state file, workers
//!                            ▲                                              │
//!                            └── answers of the nodes, time, what is saved ─┘
//! ```
//! One thread with its own connections for all workers, as the mover has: the order in which sessions wait for a lock, what
//! is held and how long is then known in one place, and a change of the nodes is seen by everybody at once. The rules are
//! in [`keeper`], which decides everything and touches nothing; the shell does what it says.

pub mod keeper;
pub mod note;
pub mod outcome;
pub mod reply;
pub mod state;
