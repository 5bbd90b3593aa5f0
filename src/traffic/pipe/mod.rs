//! A pipe: one pipelined connection to a node, shared by all sessions of a worker or leased to one of them.
//!
//! There is one shared pipe per worker and (node, db, protocol), opened on first use; [`Holder`] tells whose a pipe is,
//! and `core/lease.rs` how a session gets one of its own. What is in flight is a queue; a Redis
//! answers in order, so the front entry always owns the bytes that arrive.
//!
//! ```text
//!             connect fails / handshake refused
//!           ┌────────────────────────────────────┐
//!  Idle ─► Connecting ─► Ready ─ lost, timeout ─► (Connecting again | Failed until retry) ─► Connecting …
//!           requests queue up      │
//!   out ───────────────────────────┴─► socket          replay: bytes of the reads in flight, to ask once more
//!   inflight: [entry entry entry …]  ◄─ replies
//! ```
//! Invariants: a connection is never used again after a timeout or a framing error, so a late reply can reach nobody;
//! entries whose session is gone stay, their reply is consumed and dropped. Bounded by `max_in_flight`. Pure: the worker
//! moves the bytes.

pub mod chunk;
pub mod connect;
pub mod replay;

use std::collections::VecDeque;

use bytes::Bytes;
pub use replay::Replay;

use super::{
    client::ClientKey,
    command::Row,
    observe::{keys::Large, tally::NO_ROW},
    outbox::Outbox,
    resp::{Proto, reply::ReplyScanner},
    route::NodeId,
    scripts::Told,
};

/// Index of a pipe in its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PipeId(pub u32);

impl PipeId {
    /// The index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Reads longer than this are not kept for a second try.
pub const REPLAY_BELOW: usize = 16 << 10;

/// So many bytes of a request that is not sent twice are kept, for the log of slow requests.
pub const SHOWN: usize = 512;

/// Whose a pipe is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// All sessions of the worker.
    Everyone,
    /// One session's, until it is given back or closed.
    Session(ClientKey),
    /// Nobody's: it was leased, is clean, and waits for the next session.
    Nobody,
    /// All subscribers' of the worker: messages come on it, and no replies to sessions.
    Ear,
}

impl Holder {
    /// Whether it is, or was, one session's.
    #[must_use]
    pub fn is_lease(self) -> bool {
        matches!(self, Self::Session(_) | Self::Nobody)
    }
}

/// Whose reply an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The slot `seq` of a session.
    Client,
    /// Part `seq` of an aggregate.
    Part,
    /// Nobody's: the reply is dropped.
    Nobody,
    /// The answer to a CLIENT UNBLOCK of the leased pipe `index`, whose connection has the number `generation`; `seq` says
    /// what the node was told.
    Unblock,
    /// A fence's: what stands before it is answered. `index` is the end of the fence's epoch.
    Fence,
}

/// One request in flight.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Index of the session or aggregate.
    pub index: u32,
    /// Its generation.
    pub generation: u32,
    /// Slot of the session, or part of the aggregate.
    pub seq: u32,
    /// When it was handed to the pipe: µs of the worker's clock, wrapping.
    pub sent_us: u32,
    /// Bytes of it in `replay`: all of a read that may be sent twice, the first ones of anything else.
    pub replay: u16,
    /// The command's row, or [`NO_ROW`].
    pub row: u16,
    /// What `index` means.
    pub owner: Owner,
    /// It only reads.
    pub reads: bool,
    /// This is its second try, or it must have none.
    pub retried: bool,
    /// It may wait for as long as it likes: a blocking command.
    pub waits: bool,
}

impl Entry {
    /// A request whose reply nobody wants, put in at `sent_us`.
    #[must_use]
    pub fn unwanted(sent_us: u32) -> Self {
        Self {
            index: 0,
            generation: 0,
            seq: 0,
            sent_us,
            replay: 0,
            row: NO_ROW,
            owner: Owner::Nobody,
            reads: false,
            retried: true,
            waits: false,
        }
    }

    /// A session's request, whose reply is for its slot `seq`.
    #[must_use]
    #[inline]
    pub fn asked(key: ClientKey, seq: u32, row: &Row, sent_us: u32) -> Self {
        Self {
            index: key.index,
            generation: key.generation,
            seq,
            sent_us,
            replay: 0,
            row: row.id,
            owner: Owner::Client,
            reads: row.is_read(),
            retried: false,
            waits: false,
        }
    }

    /// Whether it may be sent once more, with the bytes that `replay` has of it.
    #[must_use]
    pub fn may_repeat(&self) -> bool {
        self.reads && !self.retried && self.replay > 0
    }
}

/// What a pipe is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Never used, or closed because nobody used it.
    Idle,
    /// A connection is being made; requests queue up.
    Connecting,
    /// Open.
    Ready,
    /// It could not be opened; not tried before this time (µs of the worker's clock).
    Failed {
        /// Next try.
        until_us: u64,
        /// Why, for the error line.
        why: String,
    },
}

/// One pipe.
#[derive(Debug)]
pub struct Pipe {
    /// Its node.
    pub node: NodeId,
    /// The db it has selected.
    pub db: u32,
    /// The protocol it speaks.
    pub proto: Proto,
    /// Whose it is.
    pub holder: Holder,
    /// A leased pipe that goes back to the pool when everything in flight on it is answered.
    pub ends: bool,
    /// Its session left it in a state that the next must not find: it is closed when it is given back.
    pub soiled: bool,
    /// Somebody wants what the node sends beside replies: messages, invalidations.
    pub hears: bool,
    /// It tracks keys for its session, which keeps it as long as it tracks.
    pub tracks: bool,
    /// A request that its connection begins with, and without whose success it is none.
    pub opening: Option<Bytes>,
    /// The number that the node gave this connection (CLIENT ID); 0: not known.
    pub node_client: u64,
    /// Which run of the node's process its connection is to, see [`super::merge::scan::run_tag`]; 0: not known.
    pub run: u32,
    /// What it is doing.
    pub state: State,
    /// Number of its connection; a task of an older one has no say any more.
    pub attempt: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Its last connection was lost, or could not be made.
    pub lost: bool,
    /// Scripts that its node has been told over this connection.
    pub scripts: Told,
    /// Bytes to be written.
    pub out: Outbox,
    /// Requests in flight, oldest first.
    pub inflight: VecDeque<Entry>,
    /// Their bytes as far as they are kept, in their order.
    pub replay: Replay,
    /// Where the reply under way ends.
    pub scanner: ReplyScanner,
    /// The beginning of a reply that came in several reads.
    pub begun: Outbox,
    /// A part of the reply under way was already handed on.
    pub streaming: bool,
    /// Bytes of the reply under way that came with earlier reads.
    pub reply_len: u64,
    /// What it is about, once it is large.
    pub large: Option<Box<Large>>,
    /// It is in the list of pipes with something to write.
    pub dirty: bool,
    /// Sessions that wait for room.
    pub waiting: Vec<ClientKey>,
    /// When its connection was made; µs of the worker's clock.
    pub connected_us: u64,
    /// When bytes last arrived from the node, or a large backlog to it moved; µs of the worker's clock.
    pub progress_us: u64,
    /// When a request was last put in; µs of the worker's clock.
    pub used_us: u64,
}

impl Pipe {
    /// A pipe that is not open.
    #[must_use]
    pub fn new(node: NodeId, db: u32, proto: Proto) -> Self {
        Self {
            node,
            db,
            proto,
            holder: Holder::Everyone,
            ends: false,
            soiled: false,
            hears: false,
            tracks: false,
            opening: None,
            node_client: 0,
            run: 0,
            state: State::Idle,
            attempt: 0,
            failures: 0,
            lost: false,
            scripts: Told::default(),
            out: Outbox::default(),
            inflight: VecDeque::new(),
            replay: Replay::default(),
            scanner: ReplyScanner::new(),
            begun: Outbox::default(),
            streaming: false,
            reply_len: 0,
            large: None,
            dirty: false,
            waiting: Vec::new(),
            connected_us: 0,
            progress_us: 0,
            used_us: 0,
        }
    }

    /// Puts a request at the end of the queue: `entry` and a copy of its bytes, all of them if it may be sent twice.
    #[inline]
    pub fn enqueue(&mut self, mut entry: Entry, request: &[u8]) {
        let mut kept = request;
        if !(entry.reads && request.len() < REPLAY_BELOW) && request.len() > SHOWN {
            kept = &request[..SHOWN];
            entry.retried = true;
        }
        entry.replay = kept.len() as u16;
        self.replay.push(kept);
        self.inflight.push_back(entry);
    }

    /// The entry whose reply comes next, and its bytes as far as they are kept.
    #[must_use]
    pub fn front(&self) -> Option<(Entry, &[u8])> {
        let entry = *self.inflight.front()?;
        Some((entry, self.replay.front(usize::from(entry.replay))))
    }

    /// Takes the entry whose reply is complete.
    #[inline]
    pub fn answered(&mut self) -> Option<Entry> {
        let entry = self.inflight.pop_front()?;
        self.replay.skip(usize::from(entry.replay));
        Some(entry)
    }

    /// Takes everything in flight, with the bytes of what may be asked again, and forgets the connection.
    pub fn abandon(&mut self, pool: &mut chunk::Pool) -> (VecDeque<Entry>, Replay) {
        self.out.clear(pool);
        self.begun.clear(pool);
        self.scripts = Told::default();
        self.scanner = ReplyScanner::new();
        self.streaming = false;
        (self.reply_len, self.large) = (0, None);
        self.attempt = self.attempt.wrapping_add(1);
        (std::mem::take(&mut self.inflight), std::mem::take(&mut self.replay))
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        self.out.shrink();
        if self.inflight.is_empty() && self.inflight.capacity() > 256 {
            self.inflight = VecDeque::new();
        }
        self.replay.shrink();
    }
}

/// The pause before try number `failures`: doubling from `min` to `max`, of which a random half is taken
/// (`jitter` in 0..1), so that workers and proxies do not return in step. All in µs.
#[must_use]
pub fn backoff_us(failures: u32, min: u64, max: u64, jitter: f64) -> u64 {
    let full = min.saturating_mul(1_u64 << failures.saturating_sub(1).min(30)).min(max.max(min));
    full / 2 + (full as f64 / 2.0 * jitter) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_is_never_less_than_half() {
        assert_eq!(backoff_us(1, 100, 5_000, 0.0), 50);
        assert_eq!(backoff_us(1, 100, 5_000, 0.999), 99);
        assert_eq!(backoff_us(3, 100, 5_000, 0.0), 200);
        assert_eq!(backoff_us(60, 100, 5_000, 0.0), 2_500);
    }

    #[test]
    fn an_entry_stays_small() {
        assert_eq!(size_of::<Entry>(), 24);
    }

    #[test]
    fn only_short_first_tries_of_reads_are_kept_for_a_second_try_and_something_of_everything() {
        let read = Entry { row: 1, owner: Owner::Client, reads: true, retried: false, ..Entry::unwanted(0) };
        let mut pipe = Pipe::new(NodeId(0), 0, Proto::Resp2);
        let long = [b'x'; REPLAY_BELOW];
        pipe.enqueue(read, b"GET a");
        pipe.enqueue(Entry { reads: false, ..read }, b"SET a");
        pipe.enqueue(Entry { reads: false, ..read }, &long);
        pipe.enqueue(Entry { retried: true, ..read }, b"GET b");
        pipe.enqueue(read, &long);
        pipe.enqueue(read, &long[1..]);
        let mut seen = Vec::new();
        while let Some((entry, kept)) = pipe.front() {
            seen.push((entry.may_repeat(), kept.len()));
            assert!(pipe.answered().is_some());
        }
        let expected = [(true, 5), (false, 5), (false, SHOWN), (false, 5), (false, SHOWN), (true, REPLAY_BELOW - 1)];
        assert_eq!(seen, expected);
        assert!(pipe.replay.is_empty());
    }
}
