//! What the data plane asks of the control plane: keys to be brought to their new nodes, changes of the nodes, locks.
//!
//! ```text
//!  worker ── Ask ──► the control plane's queue            … it may take as long as it likes …
//!  worker ◄── Message::Brought, Message::Answer ── its mailbox
//! ```
//! The data plane knows only this trait; asking never waits. Pure: a trait and its words.

use std::fmt;

use bytes::Bytes;

use super::{core::Asker, lock::LockAsk, route::Epoch};

/// Whoever takes what workers ask.
pub trait Control: fmt::Debug + Send + Sync {
    /// Takes a question; its answer comes through the worker's mailbox.
    fn ask(&self, ask: Ask);

    /// How many keys the nodes have in this db that are Circlet's own, or are the second copies of keys that move.
    fn surplus(&self, db: u32) -> u64;
}

/// A worker's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Keys are asked for that are still at their old nodes; answered by `Message::Brought`.
    Bring(Wanted),
    /// FLUSHALL or FLUSHDB, while keys move.
    Flush {
        /// The whole request.
        request: Bytes,
        /// The db of the session.
        db: u32,
        /// Whose it is.
        asker: Asker,
    },
    /// A command to the control plane: `CIRCLET NODE …` and its kin, with the words behind CIRCLET.
    Command {
        /// The words; the subcommand first.
        words: Vec<Bytes>,
        /// Whether the session speaks RESP3.
        resp3: bool,
        /// Whose it is.
        asker: Asker,
    },
    /// Something is wanted of locks; answered by `Message::Answer`, always.
    Lock(LockAsk),
    /// CLIENT UNBLOCK: this session's acquire, if one waits, is answered now: as if its time were over, or with an error.
    LockUnblock {
        /// The session's number.
        session: u64,
        /// An error is wanted.
        error: bool,
    },
    /// A session that has asked for locks ends, or was reset: it waits for none, and those that end with it are free.
    LockGone(u64),
}

/// Keys that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The worker.
    pub worker: usize,
    /// By what it knows who waits.
    pub ticket: u64,
    /// With what topology it saw that they are to be brought.
    pub epoch: Epoch,
    /// Their db.
    pub db: u32,
    /// The keys.
    pub keys: Vec<Bytes>,
}

/// No control plane: for a core on its own.
#[derive(Clone, Copy, Debug)]
pub struct NoControl;

impl Control for NoControl {
    fn ask(&self, _: Ask) {}

    fn surplus(&self, _: u32) -> u64 {
        0
    }
}
