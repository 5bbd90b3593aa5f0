//! Reply slots: a session's replies leave in the order of its requests, whatever order they arrive in.
//!
//! ```text
//!   request 7   8   9   10          slots      head = 7
//!           │   │   │   │
//!   slot  [Pending][Stashed][Rope][Pending]    the reply to `head` goes straight to the outbox,
//!             ▲                                then the ready prefix follows
//! ```
//! `Pending` (no reply yet) -> `Stashed` (small reply, waits in the stash) | `Rope` (large reply, by reference)
//! | `Growing` (large reply that still arrives) -> gone (moved to the outbox).
//! `Muted` is a pending slot whose reply nobody wants (CLIENT REPLY OFF/SKIP).
//!
//! Bounded by `max_pending` and by the bytes owed. Sequence numbers wrap; only differences below `max_pending` are
//! ever taken. Pure.

use std::collections::VecDeque;

use crate::traffic::{
    outbox::Outbox,
    pipe::chunk::{Chunk, Pool, Slice},
};

/// Replies up to this many bytes are copied; larger ones travel by reference. A copy of less costs less than the
/// bookkeeping, and bounds what a reply can pin to 16 times its size.
pub const COPY_BELOW: usize = 4 << 10;

#[derive(Debug)]
enum Slot {
    Pending,
    Muted,
    Stashed { start: u32, len: u32 },
    Rope(Box<Outbox>),
    Growing(Box<Outbox>),
}

/// A reply, as a pipe hands it on.
#[derive(Debug)]
pub enum Reply<'a> {
    /// Bytes `start..end` of a chunk.
    Frame(&'a Chunk, usize, usize),
    /// Bytes to copy.
    Bytes(&'a [u8]),
    /// A reply put together from several reads; empty afterwards.
    Rope(&'a mut Outbox),
}

impl Reply<'_> {
    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Frame(_, start, end) => end - start,
            Self::Bytes(bytes) => bytes.len(),
            Self::Rope(rope) => rope.len(),
        }
    }

    /// Whether it holds no byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn push_to(self, out: &mut Outbox) {
        match self {
            Self::Frame(chunk, start, end) if end - start < COPY_BELOW => out.push(&chunk[start..end]),
            Self::Frame(chunk, start, end) => out.push_slice(Slice::new(chunk, start, end)),
            Self::Bytes(bytes) => out.push(bytes),
            Self::Rope(rope) => out.append(rope),
        }
    }

    /// Appends its bytes to `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Frame(chunk, start, end) => out.extend_from_slice(&chunk[*start..*end]),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
            Self::Rope(rope) => rope.copy_to(out),
        }
    }

    /// Drops it: nobody takes it. Chunks return to `pool`.
    pub fn discard(self, pool: &mut Pool) {
        if let Self::Rope(rope) = self {
            rope.clear(pool);
        }
    }
}

/// The ordered replies of one session.
#[derive(Debug, Default)]
pub struct Slots {
    head: u32,
    slots: VecDeque<Slot>,
    stash: Vec<u8>,
    /// Slots that refer into the stash; at 0 the stash is emptied.
    stashed: u32,
    /// Bytes in ropes of slots.
    roped: usize,
    /// The reply to `head` has begun to leave and is not complete.
    cut: bool,
}

impl Slots {
    /// Opens a slot for one more request; returns its sequence number.
    #[inline]
    pub fn open(&mut self, muted: bool) -> u32 {
        let seq = self.head.wrapping_add(self.slots.len() as u32);
        self.slots.push_back(if muted { Slot::Muted } else { Slot::Pending });
        seq
    }

    /// The number that the next request's slot will have.
    #[must_use]
    pub fn next_seq(&self) -> u32 {
        self.head.wrapping_add(self.slots.len() as u32)
    }

    /// The number of the reply that leaves next.
    #[must_use]
    pub fn head(&self) -> u32 {
        self.head
    }

    /// Whether a reply is missing of a request before the number `end`, which was never above [`Slots::next_seq`].
    #[must_use]
    #[inline]
    pub fn awaits_before(&self, end: u32) -> bool {
        let ahead = end.wrapping_sub(self.head) as usize;
        ahead > 0 && ahead <= self.slots.len()
    }

    /// Whether a reply has left in part, or one is there that waits for an earlier one.
    #[must_use]
    pub fn holds_back(&self) -> bool {
        self.cut || self.stashed > 0 || self.roped > 0
    }

    /// Requests whose reply has not left for the outbox.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether every reply has left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes of replies that wait for an earlier one.
    #[must_use]
    #[inline]
    pub fn waiting_bytes(&self) -> usize {
        self.stash.len() + self.roped
    }

    /// Whether a reply has left in part, so that nothing but its rest may follow.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether `seq` is the reply that has left in part.
    #[must_use]
    pub fn is_cut_at(&self, seq: u32) -> bool {
        self.cut && seq == self.head
    }

    /// Puts the whole reply to `seq` into its place; what is ready from the head on moves to `out`.
    #[inline]
    pub fn fill(&mut self, seq: u32, reply: Reply<'_>, out: &mut Outbox, pool: &mut Pool) {
        if seq == self.head {
            match self.slots.pop_front() {
                Some(Slot::Pending) => reply.push_to(out),
                Some(Slot::Growing(mut rope)) => {
                    self.roped -= rope.len();
                    out.append(&mut rope);
                    reply.push_to(out);
                }
                _ => reply.discard(pool),
            }
            self.cut = false;
            self.head = self.head.wrapping_add(1);
            if matches!(self.slots.front(), Some(Slot::Stashed { .. } | Slot::Rope(_) | Slot::Growing(_))) {
                self.drain(out);
            }
        } else {
            self.keep(seq, reply, pool);
        }
    }

    /// A reply to `seq` that arrives before an earlier one.
    fn keep(&mut self, seq: u32, reply: Reply<'_>, pool: &mut Pool) {
        let index = seq.wrapping_sub(self.head) as usize;
        let Some(slot) = self.slots.get_mut(index) else { return reply.discard(pool) };
        match (&mut *slot, reply) {
            (Slot::Pending, Reply::Bytes(bytes)) if bytes.len() < COPY_BELOW => {
                *slot = Slot::Stashed { start: self.stash.len() as u32, len: bytes.len() as u32 };
                self.stash.extend_from_slice(bytes);
                self.stashed += 1;
            }
            (Slot::Pending, Reply::Frame(chunk, start, end)) if end - start < COPY_BELOW => {
                *slot = Slot::Stashed { start: self.stash.len() as u32, len: (end - start) as u32 };
                self.stash.extend_from_slice(&chunk[start..end]);
                self.stashed += 1;
            }
            (Slot::Pending, reply) => {
                let mut rope = Box::new(Outbox::default());
                reply.push_to(&mut rope);
                self.roped += rope.len();
                *slot = Slot::Rope(rope);
            }
            (Slot::Growing(rope), reply) => {
                self.roped += reply.len();
                let mut rope = std::mem::take(rope);
                reply.push_to(&mut rope);
                *slot = Slot::Rope(rope);
            }
            (Slot::Muted, reply) => {
                // Order is all that is left of it: an empty reply.
                reply.discard(pool);
                *slot = Slot::Stashed { start: 0, len: 0 };
                self.stashed += 1;
            }
            (Slot::Stashed { .. } | Slot::Rope(_), reply) => reply.discard(pool),
        }
    }

    /// Puts a first or further part of a large reply to `seq` into its place; `part` is empty afterwards.
    pub fn grow(&mut self, seq: u32, part: &mut Outbox, out: &mut Outbox, pool: &mut Pool) {
        let index = seq.wrapping_sub(self.head) as usize;
        match self.slots.get_mut(index) {
            Some(Slot::Pending) if index == 0 => {
                self.cut = true;
                out.append(part);
            }
            Some(slot @ Slot::Pending) => {
                let mut rope = Box::new(Outbox::default());
                self.roped += part.len();
                rope.append(part);
                *slot = Slot::Growing(rope);
            }
            Some(Slot::Growing(rope)) => {
                self.roped += part.len();
                rope.append(part);
            }
            _ => part.clear(pool),
        }
    }

    /// Throws away what has arrived of an unfinished reply that has not begun to leave, so that an error can take its place.
    pub fn rewind(&mut self, seq: u32, pool: &mut Pool) {
        let index = seq.wrapping_sub(self.head) as usize;
        if let Some(slot @ Slot::Growing(_)) = self.slots.get_mut(index)
            && let Slot::Growing(mut rope) = std::mem::replace(slot, Slot::Pending)
        {
            self.roped -= rope.len();
            rope.clear(pool);
        }
    }

    /// Moves the ready prefix to `out`.
    fn drain(&mut self, out: &mut Outbox) {
        while let Some(slot) = self.slots.front_mut() {
            match slot {
                Slot::Pending | Slot::Muted => break,
                Slot::Stashed { start, len } => {
                    let (start, len) = (*start as usize, *len as usize);
                    out.push(&self.stash[start..start + len]);
                    self.stashed -= 1;
                }
                Slot::Rope(rope) => {
                    self.roped -= rope.len();
                    out.append(rope);
                }
                Slot::Growing(rope) => {
                    self.roped -= rope.len();
                    out.append(rope);
                    *slot = Slot::Pending;
                    self.cut = true;
                    break;
                }
            }
            self.slots.pop_front();
            self.head = self.head.wrapping_add(1);
        }
        if self.stashed == 0 {
            self.stash.clear();
        }
    }

    /// Drops everything; chunks return to `pool`.
    pub fn clear(&mut self, pool: &mut Pool) {
        for slot in self.slots.drain(..) {
            if let Slot::Rope(mut rope) | Slot::Growing(mut rope) = slot {
                rope.clear(pool);
            }
        }
        self.stash.clear();
        self.stashed = 0;
        self.roped = 0;
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        if self.slots.is_empty() {
            if self.slots.capacity() > 16 {
                self.slots = VecDeque::new();
            }
            if self.stash.capacity() > 512 {
                self.stash = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(out: &Outbox) -> Vec<u8> {
        let mut all = Vec::new();
        out.copy_to(&mut all);
        all
    }

    #[test]
    fn replies_leave_in_request_order_whatever_order_they_arrive_in() {
        let mut rng = fastrand::Rng::with_seed(11);
        for round in 0..2_000 {
            let mut pool = Pool::default();
            let mut slots = Slots { head: u32::MAX - 3, ..Slots::default() };
            let mut out = Outbox::default();
            let count = rng.usize(1..14);
            let mut expected = Vec::new();
            let mut todo = Vec::new();
            for n in 0..count {
                let muted = rng.u8(..8) == 0;
                let reply = format!("reply {n} {};", "x".repeat(if rng.u8(..4) == 0 { 5_000 } else { 3 }));
                if !muted {
                    expected.extend_from_slice(reply.as_bytes());
                }
                todo.push((slots.open(muted), reply));
            }
            rng.shuffle(&mut todo);
            for (seq, reply) in todo {
                let reply = reply.as_bytes();
                match rng.u8(..3) {
                    0 => {
                        let mut chunk = pool.take();
                        std::rc::Rc::get_mut(&mut chunk).unwrap()[..reply.len()].copy_from_slice(reply);
                        slots.fill(seq, Reply::Frame(&chunk, 0, reply.len()), &mut out, &mut pool);
                        pool.give(chunk);
                    }
                    1 => {
                        let cut = rng.usize(..reply.len());
                        let mut part = Outbox::default();
                        part.push(&reply[..cut]);
                        slots.grow(seq, &mut part, &mut out, &mut pool);
                        slots.fill(seq, Reply::Bytes(&reply[cut..]), &mut out, &mut pool);
                    }
                    _ => {
                        let mut rope = Outbox::default();
                        rope.push(reply);
                        slots.fill(seq, Reply::Rope(&mut rope), &mut out, &mut pool);
                    }
                }
            }
            assert_eq!(bytes(&out), expected, "round {round}");
            assert!(slots.is_empty() && slots.waiting_bytes() == 0 && !slots.is_cut());
        }
    }

    #[test]
    fn a_reply_that_has_begun_to_leave_is_cut_and_one_that_has_not_can_be_taken_back() {
        let mut pool = Pool::default();
        let (mut slots, mut out, mut part) = (Slots::default(), Outbox::default(), Outbox::default());
        let (first, second) = (slots.open(false), slots.open(false));
        part.push(b"half of the second");
        slots.grow(second, &mut part, &mut out, &mut pool);
        assert!(!slots.is_cut());
        slots.rewind(second, &mut pool);
        slots.fill(second, Reply::Bytes(b"-error\r\n"), &mut out, &mut pool);
        part.push(b"half of the first");
        slots.grow(first, &mut part, &mut out, &mut pool);
        assert!(slots.is_cut_at(first));
        slots.fill(first, Reply::Bytes(b", rest"), &mut out, &mut pool);
        assert_eq!(bytes(&out), b"half of the first, rest-error\r\n");
    }
}
