//! Replies of one batch leave together.
//!
//! A client that sends several requests at once (a pipeline) waits for all their replies; over several nodes they come
//! piece by piece, and each piece would be a write of its own, which costs more than all else that is done for it.
//!
//! ```text
//!  read:    [GET a][GET b][GET c]                    batch: up to and with c
//!  node-1:   a ──► out, lingers ──┐
//!  node-2:         b, c ──► out ──┴─► one write
//! ```
//! What was read together is a batch; what is read while replies of a batch are missing belongs to the next one. Replies
//! that may leave linger until those of the whole batch are there, but never for longer than `session.linger`, and not
//! once they are [`ENOUGH`] for a write of their own, nor when the session waits for something that may take its time. A
//! client with one request at a time never lingers. Redis answers alike: it reads, runs all, then writes, however long it takes.
//!
//! Measured, interleaved, as CPU of before: 0.81 with 16 requests per connection over three nodes, 0.89 with 64; 1.63 and
//! 1.57 writes per batch before, 1.00 and 1.01 now. hotpath.md had found no effect of holding flushes: that of the machine
//! where it was measured, whose sends were cheap beside all else.
//!
//! Bounded: one entry per batch that lingers, for as long as `session.linger`. Pure.

use std::collections::VecDeque;

use super::Core;
use crate::traffic::client::{Client, ClientKey, Pause};

/// So many bytes of replies are worth a write of their own.
const ENOUGH: usize = 16 << 10;

/// Sessions whose replies linger, in the order in which that began: until when, µs of the worker's clock.
#[derive(Debug, Default)]
pub(super) struct Lingering(VecDeque<(ClientKey, u64)>);

impl Core {
    /// A session's bytes were read.
    #[inline]
    pub(super) fn close_batch(&mut self, key: ClientKey) {
        if let Some(client) = self.client_mut(key) {
            next_batch(client);
        }
    }

    /// Whether the replies of a session that is to be written stay for the rest of their batch.
    #[inline]
    pub(super) fn lingers(&mut self, key: ClientKey) -> bool {
        let Some(client) = self.clients.get_mut(key.index as usize).filter(|c| c.generation == key.generation) else {
            return false;
        };
        if client.slots.is_empty() && client.lingers_until_us == 0 {
            return false;
        }
        let limit_us = self.settings.session.linger.map_or(0, |limit| limit.as_micros() as u64);
        let whole = next_batch(client);
        let began = client.lingers_until_us != 0;
        let late = began && self.now_us >= client.lingers_until_us;
        if whole || late || limit_us == 0 || !may_linger(client) {
            client.lingers_until_us = 0;
            self.counters.lingered_whole += u64::from(began && whole);
            self.counters.lingered_late += u64::from(late && !whole);
            return false;
        }
        if !began {
            client.lingers_until_us = self.now_us + limit_us;
            self.lingering.0.push_back((key, self.now_us + limit_us));
        }
        true
    }

    /// Until when the first session lingers, µs of the worker's clock; then [`Core::end_lingering`] is to be called.
    pub fn lingers_until(&mut self) -> Option<u64> {
        while let Some((key, until_us)) = self.lingering.0.front() {
            if self.client(*key).is_some_and(|client| client.lingers_until_us == *until_us) {
                return Some(*until_us);
            }
            self.lingering.0.pop_front();
        }
        None
    }

    /// The replies whose time is over are to be written.
    pub fn end_lingering(&mut self) {
        while self.lingers_until().is_some_and(|until_us| until_us <= self.now_us) {
            if let Some((key, _)) = self.lingering.0.pop_front() {
                self.mark_client(key);
            }
        }
    }
}

/// Whether the replies of the batch are all there; if so what has been read since is the next one.
#[inline]
fn next_batch(client: &mut Client) -> bool {
    let whole = !client.slots.awaits_before(client.batch_end);
    if whole {
        client.batch_end = client.slots.next_seq();
    }
    whole
}

/// Whether nothing speaks against keeping what there is.
fn may_linger(client: &Client) -> bool {
    let waiting = client.out.len();
    waiting > 0 && waiting < ENOUGH && client.pause == Pause::No && client.closing.is_none() && !client.slots.is_cut()
}
