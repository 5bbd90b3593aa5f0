//! What sessions want of locks, in words that the data plane and the control plane share.
//!
//! ```text
//!  LOCK.* ─────────────────────┐
//!  commands on the prefix ─────┴► Request ── Ask::Lock ──► the control plane (Redlock over the nodes)
//!                                                              │
//!  slot of the session ◄── Message::Answer ◄── Outcome, as Form says
//! ```
//! Pure.

pub mod command;
pub mod known;
mod lua;
pub mod script;

use bytes::Bytes;
pub use lua::Program;

use super::core::Asker;

/// Bytes that the name of a lock may have: each lock that is known is kept by its name.
pub const MAX_NAME: usize = 1 << 10;

/// Bytes that an owner's text, or a value, may have.
pub const MAX_VALUE: usize = 4 << 10;

/// What the channels begin with on which nodes tell Circlets that locks were released. They are nobody else's business: who
/// listens to a pattern hears nothing of them, and PUBSUB CHANNELS leaves them out.
pub const FREED: &[u8] = b"circlet:free:";

/// A lock: locks of different dbs are different ones, as keys are.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockName {
    /// The db of the session.
    pub db: u32,
    /// What clients call it.
    pub name: Bytes,
}

/// By what a client shows that a lock is its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// What LOCK.ACQUIRE gave.
    Token(Bytes),
    /// The value that it was taken with, on the prefix.
    Value(Bytes),
}

/// What is wanted of one lock, or of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// To have it.
    Acquire {
        /// How long, ms; at least 1.
        ttl_ms: u64,
        /// How long to wait for it, ms; 0: not at all.
        wait_ms: u64,
        /// The owner's text, or on the prefix the value.
        value: Bytes,
        /// It is renewed while the session lives and released with it.
        session: bool,
        /// Who holds it with the same value holds it once more (Redisson).
        again: bool,
    },
    /// To have it longer.
    Extend {
        /// Whose it is.
        proof: Proof,
        /// How long, ms; at least 1.
        ttl_ms: u64,
        /// Beyond what is left of it (redis-py's `extend`); else from now.
        more: bool,
    },
    /// To have it no more.
    Release {
        /// Whose it is; `None`: whoever's (DEL, `circlet lock release --force`).
        proof: Option<Proof>,
        /// One hold of several (Redisson); else all of them.
        once: bool,
    },
    /// The value that a majority has, and for how long.
    Read,
    /// All that is known of it, for a person.
    Info,
    /// All locks that this Circlet knows of, whose names match.
    List {
        /// A pattern as of KEYS.
        pattern: Bytes,
    },
}

/// In what shape the answer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the LOCK command of its kind answers.
    Lock,
    /// SET: `OK`, or nil.
    Set,
    /// SET … GET: nil, or the value that was there.
    SetGet,
    /// DEL, EXISTS, DELEX: 1 or 0.
    Number,
    /// A script: what it says at each outcome.
    Script(Box<script::Words>),
    /// HEXISTS: whether it is held with this value (Redisson).
    Is(Bytes),
    /// HGET: how often it is held with this value, or nil (Redisson).
    HeldBy(Bytes),
    /// GET: the value, or nil.
    Value,
    /// PTTL.
    Pttl,
    /// TTL.
    Ttl,
}

impl Form {
    /// Whether the answer to who did not get a lock tells who has it, or for how long.
    #[must_use]
    pub fn names_holder(&self) -> bool {
        match self {
            Self::SetGet => true,
            Self::Script(words) => !matches!(words.other, script::Word::Text(_)),
            _ => false,
        }
    }
}

/// One wish of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockAsk {
    /// The lock; its name is empty for [`Want::List`].
    pub lock: LockName,
    /// What is wanted of it.
    pub want: Want,
    /// In what shape the answer is.
    pub form: Form,
    /// Whether the session speaks RESP3.
    pub resp3: bool,
    /// The session's number.
    pub session: u64,
    /// The slot that waits.
    pub asker: Asker,
}
