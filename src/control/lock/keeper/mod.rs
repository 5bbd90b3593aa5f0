//! Decides everything about locks, and touches nothing: what comes to it and what it wants done.
//!
//! ```text
//!  ask ──► waiting ──► acquire ─┐                  ┌─ view, placement: whose votes count ◄── change: the nodes change
//!    ├───────────────► extend ──┼─► work: rounds ──┼─ seat, quarantine, clock: whether a node counts
//!    ├───────────────► release ─┤   and votes      └─ records: only what is on the disk counts
//!    └───────────────► look ────┘
//!                       held, validity: what is surely held, and how long
//! ```
//! [`machine`] is the switchboard. The rules that may not be relaxed, and the counterexample to each without it, stand in
//! locks.md and models/lock_model.py, whose cases the tests name. Pure: time, chance and answers come in.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
#![expect(missing_docs, reason = "the fields of a variant are named by their types")]

mod acquire;
mod ask;
mod change;
mod clock;
mod dice;
mod extend;
mod held;
mod look;
mod machine;
mod placement;
mod quarantine;
mod records;
mod release;
mod rules;
mod seat;
mod timers;
mod validity;
mod view;
mod waiting;
mod work;

use std::time::Duration;

use bytes::Bytes;

pub use self::{
    machine::Keeper,
    placement::{SLOTS, slot},
    rules::{Limits, Rules, Safety},
};
use crate::traffic::lock::{LockAsk, LockName};

/// Time since the machine was started, suspended time included (CLOCK_BOOTTIME).
pub type Now = Duration;

/// A node as locks know it: a place in the keeper's list, for the life of the process. The same name at another address is
/// another voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Voter(pub u16);

/// A node that the epoch has, or that the next one will have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// What it is called.
    pub name: String,
    /// The name that decides its place on the ring of locks.
    pub place: String,
    /// Where it listens, as configured.
    pub address: String,
}

/// A connection to a node; counted up, so that news of an old one are known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineNo(pub u64);

/// Whose answer it is; counted up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a node says of itself: in the handshake of each line, and every second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its process.
    pub run_id: String,
    /// `redis_version`.
    pub version: String,
    /// Whether it is a primary.
    pub primary: bool,
    /// It may evict keys: it has a `maxmemory`, and a policy other than `noeviction`; the policy.
    pub evicts: Option<String>,
    /// `evicted_keys`.
    pub evicted: u64,
    /// The marker `circlet:admit`, if it is there.
    pub admit: Option<String>,
    /// `server_time_usec`, where INFO has it (Redis 6.2): a clock that is set is noticed also while no lock is used.
    pub clock_us: Option<u64>,
}

/// A script of the protocol, or a command of it. The shell makes requests of them; their texts stand in `script.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// Round 1: refused without the marker `run_id`; taken if free.
    Take { lock: LockName, run_id: String, token: Token, value: Bytes, ttl_ms: u64 },
    /// Round 2: the fence `fence` is accepted if it is larger than what the node stores.
    Fence { lock: LockName, run_id: String, token: Token, fence: u64 },
    /// Own key: ttl anew. Another's: refused. None: taken if `or_take` (new nodes in a window), else refused. `holds`: how
    /// often it is held, by Redisson's count, if that changes.
    Extend {
        lock: LockName,
        run_id: String,
        proof: Mine,
        ttl_ms: u64,
        or_take: Option<(Bytes, u64)>,
        holds: Option<u32>,
    },
    /// Compare and delete; tells those that wait. `None`: whoever's it is.
    Release { lock: LockName, proof: Option<Mine> },
    /// Looks: changes nothing.
    Read { lock: LockName, run_id: String },
    /// Writes the marker.
    Admit { run_id: String },
}

/// The nonce of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub [u8; 16]);

impl Token {
    /// As clients see it: 32 hexadecimal digits.
    #[must_use]
    pub fn hex(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }

    /// What [`Token::hex`] has written; `None`: this is no token.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(text).ok().filter(|text| text.len() == 32 && !text.starts_with('+'))?;
        u128::from_str_radix(digits, 16).ok().map(|token| Self(token.to_be_bytes()))
    }
}

/// How a key is recognised as one's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mine {
    /// By the nonce.
    Token(Token),
    /// By the client's value.
    Value(Bytes),
}

/// What a node answers a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The marker is missing or another one; nothing was done.
    NotAdmitted,
    /// Take, Extend, Read: what is there now. `mine`: it is the asker's (Take: by this very script; Read: always false).
    Key { mine: bool, held: Option<Held>, fence: u64 },
    /// Fence: whether it was accepted, and what is stored.
    Fence { accepted: bool, stored: u64 },
    /// Release: whether it was there and deleted.
    Released(bool),
    /// Admit.
    Done,
    /// An error line of the node.
    Error(String),
}

/// A lock as a node has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The attempt that took it.
    pub token: Token,
    /// The owner's text, or the client's value.
    pub value: Bytes,
    /// What is left, ms.
    pub pttl_ms: u64,
    /// Its fence, if round 2 came here.
    pub fence: u64,
    /// How often it is held (Redisson); 1 else.
    pub holds: u32,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A session wants something.
    Ask(LockAsk),
    /// CLIENT UNBLOCK: if this session waits, it is answered `Taken`, or `Unblocked` if `error`.
    Unblock { session: u64, error: bool },
    /// A session that has asked for a lock ends, or was reset.
    Gone(u64),
    /// A line is there; what an older one had queued is dead (CLIENT KILL ID was answered).
    Met { voter: Voter, line: LineNo, facts: Facts, sent: Now },
    /// A line is gone, or none can be had.
    Lost { voter: Voter, line: LineNo, why: String },
    /// The node has been asked how it is; over the line, in order with the scripts.
    Looked { voter: Voter, line: LineNo, facts: Facts, sent: Now },
    /// A script was answered; `clock_us` is the node's TIME in it, `sent` and now stand around it.
    Answered { voter: Voter, line: LineNo, ticket: Ticket, said: Said, clock_us: Option<u64>, sent: Now },
    /// A node says that a lock was released.
    Freed { lock: LockName },
    /// The nodes that are wanted from now on.
    Wanted(Vec<Member>),
    /// The state with this number is on the disk.
    Saved(u64),
    /// It cannot be written; why.
    NotSaved(u64, String),
    /// The time that was asked for has come.
    Wake,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A new voter: keep a line to it. `None`: it is needed no more.
    Voter(Voter, Option<Member>),
    /// Send this over the voter's line, in order.
    Send { voter: Voter, line: LineNo, ticket: Ticket, script: Script },
    /// Answer a session.
    Answer { to: LockAsk, outcome: super::outcome::Outcome },
    /// Tell a RESP3 session that its SESSION lock is lost.
    Lapsed { session: u64, lock: LockName, token: Token },
    /// Write this state, and say when it is on the disk.
    Save(u64, super::state::State),
    /// Listen at all voters for this lock's releases, or no longer.
    Listen(LockName, bool),
    /// Something for the log, the events and the metrics.
    Note(super::note::Note),
}

#[cfg(test)]
mod tests;
