//! A session: one connected client, as its worker sees it.
//!
//! ```text
//!   socket ─► partial (unfinished request) ─► plan ─► slots (one per request, ordered) ─► out ─► socket
//! ```
//! What a client can grow and what bounds it: `partial` by the request limits, `slots` by `max_pending`, `slots` + `out`
//! by the soft limit (reading stops) and the hard limit (the session ends). An idle session holds no buffer. Pure.

pub mod doing;
pub mod load;
pub mod pushes;
pub mod registry;
pub mod slots;
pub mod special;
pub mod tracking;
pub mod transaction;

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
pub use doing::Doing;
pub use load::Load;
pub use registry::{NO_COMMAND, Names, Record, Refused, Registry};
pub use slots::{Reply, Slots};
pub use special::{Awaiting, Blocked, LockWait, Modes, Pass, Special, Then};
pub use tracking::{Tracked, Tracking, Wish};

use super::{
    counters::Closed,
    outbox::Outbox,
    pipe::{PipeId, chunk::Pool},
    resp::{Proto, request::Scanner},
};

/// Where a session lives in its worker; a later session in the same place has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey {
    /// Index in the worker's table.
    pub index: u32,
    /// Generation of that index.
    pub generation: u32,
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Every request is answered.
    On,
    /// None is.
    Off,
    /// The next one is not.
    SkipNext,
}

/// Why a session's socket is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It is read.
    No,
    /// Too many replies are pending or owed; until half of them have left.
    Replies,
    /// A pipe that its next request needs is full; until that has room.
    Pipe,
    /// Its next request changes the db or the protocol, and so the pipe, or its last one went over a connection of its
    /// own; until every reply has come, or requests behind could overtake those before.
    Order,
    /// Its last request is an EXEC that Circlet carries out in part; until that is done.
    Exec,
    /// CLIENT PAUSE holds its next request.
    Held,
    /// Keys of its next request are on the move; see `core/gate.rs`.
    Gate,
    /// Its last request waits at a node, perhaps for ever; until it is answered. The socket is read, for its end ends
    /// the waiting, but what comes is kept.
    Blocked,
}

/// An unfinished request, or requests that wait until the session may go on.
#[derive(Debug, Default)]
pub struct Partial {
    /// Bytes read and not yet understood; the first one begins a request.
    pub input: Vec<u8>,
    /// How far the first request in `input` is scanned.
    pub scanner: Scanner,
}

/// One session.
#[derive(Debug)]
pub struct Client {
    /// Its key's generation.
    pub generation: u32,
    /// What other workers may know of it.
    pub record: Arc<Record>,
    /// Its replies, in order.
    pub slots: Slots,
    /// Bytes to be written.
    pub out: Outbox,
    /// Unfinished input; `None` while there is none.
    pub partial: Option<Box<Partial>>,
    /// Selected db.
    pub db: u32,
    /// Protocol of its replies.
    pub proto: Proto,
    /// May it send commands.
    pub authenticated: bool,
    /// CLIENT REPLY.
    pub reply_mode: ReplyMode,
    /// It is in the list of sessions with something to write.
    pub dirty: bool,
    /// Number of the first request behind the batch whose replies leave together; see `core/linger.rs`.
    pub batch_end: u32,
    /// Until when its replies stay for the rest of their batch, µs of the worker's clock; 0: they leave.
    pub lingers_until_us: u64,
    /// Why its socket is not read at the moment.
    pub pause: Pause,
    /// No more requests are taken; the session ends when all replies are written.
    pub closing: Option<Closed>,
    /// Since when a full pipe holds its next request back, µs of the worker's clock; 0: none does.
    pub held_since_us: u64,
    /// Row id of its last command.
    pub last_command: u32,
    /// Bytes of the largest single reply among those owed; one reply may pass the hard limit.
    pub largest: usize,
    /// The reply that arrives in parts: its slot, and its bytes so far.
    growing: (u32, usize),
    /// Bytes that aggregates hold for it.
    pub gathered: usize,
    /// What its requests pass before their routes.
    pub modes: Modes,
    /// What it is beyond requests and replies.
    pub special: Option<Box<Special>>,
}

impl Client {
    /// A session that has just connected.
    #[must_use]
    pub fn new(generation: u32, record: Arc<Record>, authenticated: bool) -> Self {
        Self {
            generation,
            record,
            slots: Slots::default(),
            out: Outbox::default(),
            partial: None,
            db: 0,
            proto: Proto::Resp2,
            authenticated,
            reply_mode: ReplyMode::On,
            dirty: false,
            batch_end: 0,
            lingers_until_us: 0,
            pause: Pause::No,
            closing: None,
            held_since_us: 0,
            last_command: registry::NO_COMMAND,
            largest: 0,
            growing: (0, 0),
            gathered: 0,
            modes: Modes::default(),
            special: None,
        }
    }

    /// Row of its last command, as entries carry it.
    #[must_use]
    pub fn command_row(&self) -> u16 {
        self.last_command as u16
    }

    /// Its requests go to database `db` from now on.
    pub fn select(&mut self, db: u32) {
        self.db = db;
        self.record.db.store(db, Ordering::Relaxed);
    }

    /// Reply bytes that the client has not taken yet.
    #[must_use]
    #[inline]
    pub fn owed(&self) -> usize {
        self.out.len() + self.slots.waiting_bytes() + self.gathered + self.pushes_held()
    }

    fn pushes_held(&self) -> usize {
        self.special.as_ref().map_or(0, |special| special.pushes.bytes())
    }

    /// Node connections that are its own at the moment.
    #[must_use]
    pub fn leases(&self) -> &[PipeId] {
        self.special.as_ref().map_or(&[], |special| &special.leases)
    }

    /// Its CLIENT TRACKING; `None`: off.
    #[must_use]
    pub fn tracking(&self) -> Option<&Tracking> {
        self.special.as_ref()?.tracking.as_deref()
    }

    /// Its CLIENT TRACKING, to be changed.
    pub fn tracking_mut(&mut self) -> Option<&mut Tracking> {
        self.special.as_mut()?.tracking.as_deref_mut()
    }

    /// What it is beyond requests and replies, to be changed.
    pub fn special_mut(&mut self) -> &mut Special {
        self.special.get_or_insert_default()
    }

    /// Bytes of memory held, without the chunks that its replies pin.
    #[must_use]
    pub fn held(&self) -> usize {
        let input = self.partial.as_ref().map_or(0, |partial| partial.input.capacity() + partial.scanner.held());
        let special = self.special.as_ref().map_or(0, |special| special.held());
        input + special + self.out.held() + self.slots.waiting_bytes() + self.gathered + self.pushes_held()
    }

    /// Whether nothing is left to be done before the session may end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.closing.is_some() && self.slots.is_empty() && self.out.is_empty() && !self.unfolds()
    }

    /// Whether a reply to EXEC is being put together.
    #[must_use]
    pub fn unfolds(&self) -> bool {
        self.pause == Pause::Exec || self.special.as_ref().is_some_and(|special| special.unfolding.is_some())
    }

    /// Whether the next request's reply is wanted; each request asks once.
    #[inline]
    pub fn takes_reply(&mut self) -> bool {
        match self.reply_mode {
            ReplyMode::On => true,
            ReplyMode::Off => false,
            ReplyMode::SkipNext => {
                self.reply_mode = ReplyMode::On;
                false
            }
        }
    }

    /// Opens the next request's slot; returns its number.
    #[inline]
    pub fn open_slot(&mut self) -> u32 {
        let muted = !self.takes_reply();
        self.slots.open(muted)
    }

    /// Puts the whole reply to `seq` into its place.
    #[inline]
    pub fn fill(&mut self, seq: u32, reply: Reply<'_>, pool: &mut Pool) {
        let (grown, before) = self.growing;
        let before = if grown == seq { before } else { 0 };
        self.growing = if before > 0 { (0, 0) } else { self.growing };
        self.largest = self.largest.max(before + reply.len());
        self.slots.fill(seq, reply, &mut self.out, pool);
        if self.special.is_some() {
            self.release_pushes();
        }
    }

    /// Sends something that is no reply: at once, or behind the replies that it must not overtake.
    pub fn push(&mut self, bytes: &Bytes) {
        let next_seq = self.slots.next_seq();
        // What is gathered of a split request holds a part back, too; what gathers while it waits (WAIT) has no values.
        let gathers = self.gathered > 0 && self.pause != Pause::Blocked;
        self.special_mut().pushes.count(bytes.len());
        if gathers || self.slots.holds_back() || self.pushes_held() > 0 || self.unfolds() {
            self.special_mut().pushes.hold(next_seq, bytes.clone());
        } else {
            push_to(&mut self.out, bytes);
        }
    }

    /// Lets held pushes leave whose turn it is; none stands inside a reply to EXEC.
    pub fn release_pushes(&mut self) {
        if self.unfolds() {
            return;
        }
        let Some(special) = &mut self.special else { return };
        while let Some(bytes) = special.pushes.next(self.slots.head()) {
            push_to(&mut self.out, &bytes);
        }
    }

    /// Puts a part of the reply to `seq` into its place; `part` is empty afterwards.
    pub fn grow(&mut self, seq: u32, part: &mut Outbox, pool: &mut Pool) {
        let (grown, before) = self.growing;
        let bytes = part.len() + if grown == seq { before } else { 0 };
        self.growing = (seq, bytes);
        self.largest = self.largest.max(bytes);
        self.slots.grow(seq, part, &mut self.out, pool);
    }

    /// Answers the next request at once.
    #[inline]
    pub fn reply_now(&mut self, text: &[u8], pool: &mut Pool) {
        if self.slots.is_empty() {
            self.out.push(text);
        } else {
            let seq = self.slots.open(false);
            self.slots.fill(seq, Reply::Bytes(text), &mut self.out, pool);
        }
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.out.shrink();
        self.slots.shrink();
    }
}

/// A push from this size on is sent by reference, so that a thousand subscribers share one copy.
const SHARE_FROM: usize = 1 << 10;

fn push_to(out: &mut Outbox, bytes: &Bytes) {
    if bytes.len() < SHARE_FROM {
        out.push(bytes);
    } else {
        out.push_blob(bytes.clone());
    }
}
