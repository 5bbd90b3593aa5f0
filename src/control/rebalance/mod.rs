//! Changes of membership: nodes join, leave, change weight or are replaced, and no key is lost.
//!
//! ```text
//!  CIRCLET NODE … ─► words ──┐
//!                            ├─► wishes ─► members ─► the nodes afterwards ─► plan (what would move)
//!  configuration, reload ────┘                              │
//!                                                         state (on disk, before anything is published)
//! ```
//! [`words`], [`members`] and [`plan`] decide and are pure; [`state`] writes, [`mover`] copies the keys.

pub mod members;
pub mod mover;
pub mod plan;
pub mod state;
pub mod words;
