//! A node's bytes: cut into replies, each handed to the slot or aggregate that waits for it.
//!
//! Replies are not decoded; only their end is looked for. A reply that comes in several reads is collected in the
//! pipe's `begun`; past [`BIG`] it is handed on as it arrives, so that a huge reply never has to fit anywhere.
//! What a RESP3 node sends beside replies is collected whole, where somebody wants it ([`Pipe::hears`]): a node never
//! puts it inside a reply, so that the same `begun` serves.
//!
//! [`Pipe::hears`]: crate::traffic::pipe::Pipe::hears

use super::Core;
use crate::traffic::{
    client::{ClientKey, Reply},
    counters::Closed,
    merge::{Kind, State as PartState},
    observe::{ErrorCode, tally::NO_ROW},
    pipe::{
        Entry, Holder, Owner, PipeId,
        chunk::{Chunk, Slice},
    },
    refusal::Refusal,
    resp::reply::{FramingError, ReplyScanner},
};

/// A reply of at least this many bytes is big; what there is of an unfinished one is handed on in parts.
pub(super) const BIG: usize = 256 << 10;

/// Parts of an unfinished reply from this size on are kept by reference, smaller ones are copied.
const KEEP_FROM: usize = 4 << 10;

/// Why a node's bytes could not be understood.
#[derive(Debug)]
pub enum Nonsense {
    /// They are no RESP.
    Framing(FramingError),
    /// A reply without a request.
    Unasked,
    /// One push of more bytes than may wait for a session.
    HugePush,
}

impl std::fmt::Display for Nonsense {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Framing(error) => write!(f, "it does not speak RESP ({error})"),
            Self::Unasked => f.write_str("it sent a reply to no request"),
            Self::HugePush => f.write_str("it sent a push larger than session.hard_pushes"),
        }
    }
}

impl Core {
    /// Takes the first `len` bytes of `chunk`, read from a pipe's connection.
    ///
    /// # Errors
    /// The bytes are no replies: the connection must not be used any more.
    pub fn feed_node(&mut self, id: PipeId, chunk: &Chunk, len: usize) -> Result<(), Nonsense> {
        let now_us = self.now_us;
        let pipe = &mut self.pipes[id.index()];
        let node = pipe.node;
        pipe.progress_us = now_us;
        self.counters.nodes[node.index()].bytes_in += len as u64;
        if pipe.holder == Holder::Ear {
            return self.feed_ear(id, chunk, len);
        }
        let mut scanner = std::mem::replace(&mut pipe.scanner, ReplyScanner::new());
        let mut at = 0;
        let mut result = Ok(());
        while at < len {
            match scanner.scan(&chunk[at..len], &self.settings.limits) {
                Ok(Some(used)) => {
                    let kind = scanner.kind();
                    if kind == b'>' {
                        self.complete_push(id, &chunk[at..at + used]);
                    } else if !self.complete(id, chunk, at, at + used, kind) {
                        result = Err(Nonsense::Unasked);
                        break;
                    }
                    at += used;
                }
                Ok(None) => {
                    if scanner.kind() == b'>' {
                        if !self.begin_push(id, &chunk[at..len]) {
                            result = Err(Nonsense::HugePush);
                        }
                    } else if self.pipes[id.index()].inflight.is_empty() {
                        result = Err(Nonsense::Unasked);
                    } else {
                        self.begin(id, chunk, at, len);
                    }
                    break;
                }
                Err(error) => {
                    result = Err(Nonsense::Framing(error));
                    break;
                }
            }
        }
        self.pipes[id.index()].scanner = scanner;
        if self.links[node.index()].down.is_some() && result.is_ok() {
            // Another of its connections was given up as silent, yet it speaks.
            self.node_up(node);
        }
        self.wake_waiting(id);
        self.tell_quiet();
        if self.gathered + self.pool.bytes_out() > self.enough() {
            // Nodes can fill the memory faster than the next tick comes.
            self.bound_memory();
        }
        result
    }

    /// The reply that ends with bytes `start..end` of `chunk` is complete. Returns whether anybody had asked.
    #[inline]
    fn complete(&mut self, id: PipeId, chunk: &Chunk, start: usize, end: usize, kind: u8) -> bool {
        let Some(front) = self.pipes[id.index()].inflight.front() else { return false };
        let us = (self.now_us as u32).wrapping_sub(front.sent_us);
        let held_us = if us >= self.watch.slow_us() { self.look_at_slow(id) } else { 0 };
        let pipe = &mut self.pipes[id.index()];
        let Some(entry) = pipe.answered() else { return false };
        let node = pipe.node;
        self.counters.nodes[node.index()].observe(us);
        if kind == b'-' || kind == b'!' {
            self.node_failed(id, entry, &chunk[start..end]);
        }
        let pipe = &mut self.pipes[id.index()];
        if entry.owner == Owner::Client && !entry.waits {
            self.counters.commands.answered(entry.row, us, held_us, self.now_us);
        }
        let ends = pipe.ends && pipe.inflight.is_empty();
        if pipe.begun.is_empty() && !pipe.streaming {
            self.deliver(entry, Reply::Frame(chunk, start, end), held_us);
            if ends {
                self.end_lease(id);
            }
            return true;
        }
        self.reply_has_grown(id, end - start);
        let pipe = &mut self.pipes[id.index()];
        let streamed = std::mem::take(&mut pipe.streaming);
        let mut whole = std::mem::take(&mut pipe.begun);
        if end - start < KEEP_FROM {
            whole.push(&chunk[start..end]);
        } else {
            whole.push_slice(Slice::new(chunk, start, end));
        }
        if streamed || entry.owner == Owner::Client && whole.len() >= BIG {
            self.counters.big_replies += 1;
        }
        self.deliver(entry, Reply::Rope(&mut whole), held_us);
        // Its buffer serves the next unfinished reply.
        whole.shrink();
        self.pipes[id.index()].begun = whole;
        if ends {
            self.end_lease(id);
        }
        true
    }

    /// The node's reply to `entry`, of which `end` is all or the end, is an error.
    #[cold]
    fn node_failed(&mut self, id: PipeId, entry: Entry, end: &[u8]) {
        let pipe = &self.pipes[id.index()];
        let code = ErrorCode::of(if pipe.begun.is_empty() { end } else { pipe.begun.plain().unwrap_or_default() });
        self.counters.nodes[pipe.node.index()].errors[code as usize] += 1;
        self.counters.node_errors += 1;
        self.counters.commands.node_failed(entry.row);
    }

    /// The push that ends with `end` is complete: whoever hears it is given the whole.
    fn complete_push(&mut self, id: PipeId, end: &[u8]) {
        let pipe = &mut self.pipes[id.index()];
        if !pipe.hears {
            return;
        }
        if pipe.begun.is_empty() {
            return self.pushed(id, end);
        }
        let mut whole = Vec::with_capacity(pipe.begun.len() + end.len());
        pipe.begun.copy_to(&mut whole);
        pipe.begun.clear(&mut self.pool);
        pipe.begun.shrink();
        whole.extend_from_slice(end);
        self.pushed(id, &whole);
    }

    /// Keeps the beginning or the middle of a push; false: it has become too large.
    fn begin_push(&mut self, id: PipeId, part: &[u8]) -> bool {
        let pipe = &mut self.pipes[id.index()];
        if pipe.hears {
            pipe.begun.push(part);
        }
        pipe.begun.len() <= self.settings.session.hard_pushes
    }

    /// Bytes `start..end` of `chunk` are the beginning or the middle of a reply.
    fn begin(&mut self, id: PipeId, chunk: &Chunk, start: usize, end: usize) {
        self.reply_grows(id, end - start);
        let pipe = &mut self.pipes[id.index()];
        if end - start < KEEP_FROM {
            pipe.begun.push(&chunk[start..end]);
        } else {
            pipe.begun.push_slice(Slice::new(chunk, start, end));
        }
        let Some(entry) = pipe.inflight.front().copied() else { return };
        if pipe.begun.len() < BIG || entry.owner != Owner::Client {
            return;
        }
        pipe.streaming = true;
        let mut part = std::mem::take(&mut pipe.begun);
        let key = ClientKey { index: entry.index, generation: entry.generation };
        match self.client_out(key) {
            Some((client, pool)) => {
                client.grow(entry.seq, &mut part, pool);
                self.mark_client(key);
            }
            None => part.clear(&mut self.pool),
        }
    }

    /// Hands a whole reply to whoever waits for it; `held_us`: how long the request was held back before it was sent.
    #[inline(always)]
    fn deliver(&mut self, entry: Entry, reply: Reply<'_>, held_us: u32) {
        match entry.owner {
            Owner::Client => {
                let key = ClientKey { index: entry.index, generation: entry.generation };
                if entry.waits && self.waits_elsewhere(key, &reply) {
                    return reply.discard(&mut self.pool);
                }
                self.fill(key, entry.seq, reply);
            }
            Owner::Part => {
                let id = entry.index as usize;
                if let Some(aggregate) = self.aggregates.get_mut(id).filter(|a| a.generation == entry.generation) {
                    let key = aggregate.client;
                    let client =
                        self.clients.get_mut(key.index as usize).filter(|client| client.generation == key.generation);
                    let wanted = client.is_some() || aggregate.course.is_some();
                    let complete = aggregate.note(entry.seq, PartState::Replied, |out| {
                        if wanted {
                            reply.copy_to(out);
                        }
                    });
                    if let Some(client) = client {
                        client.gathered += reply.len();
                        self.gathered += reply.len();
                        client.largest = client.largest.max(aggregate.replied());
                    }
                    if complete {
                        if !entry.waits {
                            let us = (self.now_us as u32).wrapping_sub(entry.sent_us);
                            self.counters.commands.answered(entry.row, us, held_us, self.now_us);
                        }
                        self.finish_aggregate(id);
                    }
                }
                reply.discard(&mut self.pool);
            }
            Owner::Nobody => reply.discard(&mut self.pool),
            Owner::Fence => {
                reply.discard(&mut self.pool);
                self.ping_passed(entry);
            }
            Owner::Unblock => {
                let mut text = Vec::new();
                reply.copy_to(&mut text);
                reply.discard(&mut self.pool);
                self.node_unblocked(entry, &text);
            }
        }
    }

    /// Puts a reply into its slot, or drops it if the session is gone.
    #[inline(always)]
    pub(super) fn fill(&mut self, key: ClientKey, seq: u32, reply: Reply<'_>) {
        let Some((client, pool)) = self.client_out(key) else { return reply.discard(&mut self.pool) };
        client.fill(seq, reply, pool);
        if !client.dirty {
            client.dirty = true;
            self.dirty_clients.push(key);
        }
    }

    /// Whether somebody is told of a failure of `entry`; of a transaction EXEC alone is.
    fn tells(&self, entry: Entry) -> bool {
        match entry.owner {
            Owner::Nobody | Owner::Fence => false,
            Owner::Part if entry.row == NO_ROW => {
                let aggregate = self.aggregates.get(entry.index as usize).filter(|a| a.generation == entry.generation);
                aggregate.is_some_and(|aggregate| aggregate.kind != Kind::Exec)
            }
            Owner::Part | Owner::Client | Owner::Unblock => true,
        }
    }

    /// There will be no reply to `entry`: the refusal takes its place.
    pub(super) fn fail(&mut self, entry: Entry, refusal: &Refusal<'_>) {
        if self.tells(entry) {
            self.counters.refusals[refusal.kind() as usize] += 1;
            self.counters.commands.refused(entry.row, refusal.kind());
        }
        match entry.owner {
            Owner::Client => {
                let key = ClientKey { index: entry.index, generation: entry.generation };
                let Some(client) = self.clients.get_mut(key.index as usize).filter(|c| c.generation == key.generation)
                else {
                    return;
                };
                if client.slots.is_cut_at(entry.seq) {
                    // Half of the reply has left: no error can follow it.
                    return self.drop_client(key, Closed::CutReply);
                }
                client.slots.rewind(entry.seq, &mut self.pool);
                let mut text = Vec::new();
                refusal.write(&mut text);
                self.fill(key, entry.seq, Reply::Bytes(&text));
            }
            Owner::Part => {
                let id = entry.index as usize;
                let Some(aggregate) = self.aggregates.get_mut(id).filter(|a| a.generation == entry.generation) else {
                    return;
                };
                if aggregate.note(entry.seq, PartState::Failed, |out| refusal.write(out)) {
                    self.finish_aggregate(id);
                }
            }
            Owner::Nobody => {}
            Owner::Fence => self.ping_passed(entry),
            Owner::Unblock => self.node_unblocked(entry, b""),
        }
    }
}
