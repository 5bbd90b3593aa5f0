//! What a session is beyond requests and replies; most are nothing of it, so it is kept apart.
//!
//! [`Modes`] says in one byte what the request path must look at; the particulars stand in [`Special`]. Pure.

use bytes::Bytes;

use super::{
    pushes::Pushes,
    tracking::Tracking,
    transaction::{Home, Transaction, Unfolding, Watch},
};
use crate::traffic::{
    pipe::PipeId,
    pubsub::{Kind, Name, Subscriptions},
    route::Epoch,
};

/// What stands between a session's requests and their routes: one bit each, looked at once per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes(u8);

impl Modes {
    /// Between MULTI and EXEC: requests are queued.
    pub const QUEUEING: Self = Self(1);
    /// Subscribed with RESP2: only few commands are allowed.
    pub const SUBSCRIBED: Self = Self(2);
    /// CLIENT TRACKING: its requests go to nodes over connections of its own.
    pub const TRACKING: Self = Self(4);
    /// MONITOR: keys are not for it.
    pub const MONITOR: Self = Self(128);

    /// Whether there is none.
    #[must_use]
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether it has this one.
    #[must_use]
    #[inline]
    pub fn has(self, mode: Self) -> bool {
        self.0 & mode.0 != 0
    }

    /// Switches one on or off.
    pub fn set(&mut self, mode: Self, on: bool) {
        if on {
            self.0 |= mode.0;
        } else {
            self.0 &= !mode.0;
        }
    }
}

/// The particulars of a session that is more than requests and replies.
#[derive(Debug, Default)]
pub struct Special {
    /// Node connections that are its own at the moment.
    pub leases: Vec<PipeId>,
    /// A blocking command waits at a node.
    pub blocked: Option<Blocked>,
    /// It is sent more than replies and messages of its subscriptions, so that it is not idle though it says nothing.
    pub listens: bool,
    /// CLIENT TRACKING; `None`: off.
    pub tracking: Option<Box<Tracking>>,
    /// Pushes that wait for replies before them.
    pub pushes: Pushes,
    /// Keys that it watches.
    pub watch: Option<Watch>,
    /// What it has queued since MULTI.
    pub transaction: Option<Box<Transaction>>,
    /// It tracks keys, but its EXEC runs on a connection that does not.
    pub exec_untracked: bool,
    /// Its EXEC is shown to monitors behind what it runs, and not when it is taken.
    pub exec_shown_apart: bool,
    /// A reply to EXEC that is being put together.
    pub unfolding: Option<Box<Unfolding>>,
    /// The channels and patterns that it listens to.
    pub subscriptions: Subscriptions,
    /// A SUBSCRIBE or UNSUBSCRIBE waits for nodes.
    pub awaiting: Option<Awaiting>,
    /// Ears that have not told all that was sent before its next request, which waits for that; see `core/catch_up.rs`.
    pub catching_up: Option<usize>,
    /// It has given the admin token.
    pub admin: bool,
    /// What it may pass the gate with.
    pub pass: Pass,
    /// It has asked for locks since it began, or since RESET.
    pub locks: bool,
    /// It waits for an answer about a lock.
    pub lock: Option<LockWait>,
}

impl Special {
    /// The node that its transaction is bound to so far.
    #[must_use]
    pub fn home(&self) -> Option<&Home> {
        let queued = self.transaction.as_ref().and_then(|transaction| transaction.home.as_ref());
        queued.or(self.watch.as_ref().map(|watch| &watch.home))
    }

    /// Bytes of memory held, pushes not counted.
    #[must_use]
    pub fn held(&self) -> usize {
        let queued = self.transaction.as_ref().map_or(0, |transaction| transaction.held());
        let names = self.subscriptions.bytes();
        names + queued + self.unfolding.as_ref().map_or(0, |unfolding| unfolding.held())
    }

    /// Whether it is sent more than replies.
    #[must_use]
    pub fn is_sent_pushes(&self) -> bool {
        self.listens || !self.subscriptions.is_empty()
    }
}

/// A SUBSCRIBE or UNSUBSCRIBE that is answered when nodes have confirmed what it needs.
#[derive(Debug)]
pub struct Awaiting {
    /// The slot of its reply.
    pub seq: u32,
    /// Its error, if it comes to that, is not wanted (CLIENT REPLY).
    pub muted: bool,
    /// What the session then listens to.
    pub joins: Option<(Kind, Vec<Name>)>,
    /// What it is then told, if it joins nothing.
    pub text: Vec<u8>,
    /// Confirmations that are missing.
    pub left: usize,
}

/// A blocking command that waits at a node.
#[derive(Clone, Debug)]
pub struct Blocked {
    /// The connections on which it waits.
    pub pipes: Vec<PipeId>,
    /// The slot of its reply.
    pub seq: u32,
    /// Its reply is one node's, and a nil array when the time is over; else it is merged (WAIT).
    pub whole: bool,
    /// The whole request, if it may have to be given at another node.
    pub request: Vec<u8>,
    /// When it was given; µs of the worker's clock.
    pub since_us: u64,
    /// It is about to be given at another node: the nil of this one is not for the client.
    pub moves: bool,
}

/// An answer about a lock that a session waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockWait {
    /// The slot of its reply.
    pub seq: u32,
    /// It may take as long as the client likes: CLIENT UNBLOCK ends it.
    pub waits: bool,
    /// What is done when it is the answer that is wanted.
    pub then: Option<Box<Then>>,
    /// A key that the client must not cache, though it has read it (CLIENT TRACKING).
    pub uncached: Option<Bytes>,
}

/// What a script on `lock.prefix` does beside its lock, once that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Then {
    /// The answer that it is done at.
    pub at: Vec<u8>,
    /// Commands for the nodes: messages, and keys that are no locks.
    pub commands: Vec<Vec<Bytes>>,
}

/// What a session may pass the gate with, once: the keys that were brought for its next request, or why they were not.
#[derive(Debug, Default)]
pub struct Pass {
    /// With what topology.
    pub epoch: Option<Epoch>,
    /// The keys, hashed.
    pub brought: Vec<u128>,
    /// Why they were not: an error line.
    pub refusal: Option<String>,
}
