//! What becomes of what a session wanted of a lock; [`super::reply`] writes it down. Pure.

use bytes::Bytes;

use super::keeper::Token;
use crate::traffic::lock::LockName;

/// The end of one wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The lock is the session's.
    Granted {
        /// By what it is extended and released.
        token: Token,
        /// Larger than that of every holder before.
        fence: u64,
        /// How long from now, ms, rounded down.
        validity_ms: u64,
        /// Since it was asked for, ms, rounded down.
        waited_ms: u64,
        /// How often it is held by the same value (Redisson); 1 else.
        holds: u32,
    },
    /// It was not to be had in time.
    Taken {
        /// The value of whoever has it, where a majority says so.
        value: Option<Bytes>,
        /// ms until it may be free.
        pttl_ms: Option<u64>,
    },
    /// CLIENT UNBLOCK … ERROR has ended the waiting.
    Unblocked,
    /// It is the session's for longer.
    Extended {
        /// That of its grant.
        fence: u64,
        /// How long from now, ms, rounded down.
        validity_ms: u64,
    },
    /// It is not the asker's (any more); why.
    Lost(String),
    /// It was the asker's, and is free now; or is held so often still.
    Released {
        /// Holds that are left (Redisson); 0: it is free.
        holds: u32,
    },
    /// It was not the asker's, or not held.
    NotHeld,
    /// What a majority has.
    Read(Option<Read>),
    /// What is known of it.
    Info(Box<Info>),
    /// Locks that are known.
    List(Vec<Listed>),
    /// Too few nodes count; the words behind NOQUORUM.
    NoQuorum(String),
    /// It cannot be asked like that; the words behind ERR, with the cure.
    Refused(String),
}

/// A lock as a majority has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The client's value.
    pub value: Bytes,
    /// ms that are left at the majority.
    pub pttl_ms: u64,
    /// How often it is held (Redisson); 1 else.
    pub holds: u32,
}

/// LOCK.INFO.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The lock.
    pub lock: LockName,
    /// `free`, `held`, `unknown` (too few nodes say) or `split` (several have a part of it, nobody a majority).
    pub state: &'static str,
    /// Whoever has a majority.
    pub holder: Option<Holder>,
    /// Clients of this Circlet that wait for it.
    pub waiters: u64,
    /// Nodes of its quorum, and how many make a majority.
    pub quorum: (usize, usize),
    /// Nodes before and after, while a window is open; ms that it is open still.
    pub window: Option<(usize, usize, u64)>,
    /// Why an acquire would fail now; `None`: it would not.
    pub obstacle: Option<String>,
    /// What is worth knowing: a single node, two nodes.
    pub advice: Option<String>,
    /// Each node's word.
    pub nodes: Vec<NodeInfo>,
}

/// Who has a lock.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// Its token.
    pub token: Token,
    /// Its text, or value.
    pub value: Bytes,
    /// Its fence; `None`: no node has it.
    pub fence: Option<u64>,
    /// ms that it surely has still, by this Circlet's reckoning; `None`: not granted by this Circlet.
    pub validity_ms: Option<u64>,
    /// The session that it ends with, if it is a SESSION lock of this Circlet.
    pub session: Option<u64>,
}

/// One node's word about a lock.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeInfo {
    /// The node.
    pub name: String,
    /// `free`, `held`, `quarantine`, `down`, `silent`.
    pub state: &'static str,
    /// Why it does not count, or whose it is.
    pub why: String,
    /// ms that the key has still, or the quarantine.
    pub left_ms: Option<u64>,
    /// The fence that it stores.
    pub fence: Option<u64>,
}

/// LOCK.LIST: one lock.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The lock.
    pub lock: LockName,
    /// Its owner's text, or value; empty: only waited for.
    pub value: Bytes,
    /// Its fence.
    pub fence: u64,
    /// ms that it surely has still; 0: not held.
    pub validity_ms: u64,
    /// Clients that wait for it.
    pub waiters: u64,
    /// Whether it ends with a session.
    pub session: Option<u64>,
}
