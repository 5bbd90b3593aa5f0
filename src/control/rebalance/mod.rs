//! Changes of membership: nodes join, leave, change weight or are replaced, and no key is lost.
//!
//! ```text
//!  CIRCLET NODE … ─► words ──┐
//!                            ├─► wishes ─► members ─► the nodes afterwards ─► plan (what would move)
//!  configuration, reload ────┘                              │
//!                                                          drive: part by part ─┬─► state (on disk, before it is published)
//!  workers ── keys that they wait for ─► desk ─────────────► │                  ├─► seats ─► topology ─► workers, barrier
//!                                                            │                  └─► mover (copies the keys)
//!  CIRCLET REBALANCE STATUS ◄────────────── report ◄─────────┘
//! ```
//! [`words`], [`members`], [`eject`] (who is left out of a cache since it is down), [`plan`], [`seats`] and [`report`] decide and
//! are pure; [`state`] writes, [`mover`] copies the keys, [`drive`] leads.

pub mod desk;
pub mod drive;
pub mod eject;
pub mod members;
pub mod mover;
pub mod plan;
pub mod report;
pub mod seats;
pub mod state;
pub mod totals;
pub mod words;
