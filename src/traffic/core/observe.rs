//! What the core measures beside its work: slow requests, held back requests, the moment when everything is written.
//!
//! ```text
//!  request held back (full pipe, no connection yet) ─► remembered ─┐
//!  reply: node's part ≥ threshold, or any is remembered ───────────┴► looked at ─► slow? ─► the flush begins ─► Journal
//!                                                                                  └► too many: counted ─► tick ─┘
//! ```
//! A usual request pays for it with two compares: [`Watch::any`] when it is taken, [`Watch::slow_us`] when its reply
//! comes. Bounded by [`HELD`], [`WAITING`] and, when nodes are so busy that every request is slow, by [`NOTED`]: writing all
//! of them down would make it slower. Latency events, off by default, are noted each. Pure.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Core, request::Request};
use crate::traffic::{
    client::ClientKey,
    command::{Flags, Row},
    observe::{
        Journal, Slow,
        shown::{self, MAX_ARGS},
        tally::NO_ROW,
    },
    pipe::{Entry, Owner, PipeId},
    settings::SlowSettings,
};

/// Held back requests that are remembered until their reply comes; older ones are logged without that part.
const HELD: usize = 1_024;

/// Slow requests that wait for the flush.
const WAITING: usize = 256;

/// At most so many slow requests are written down between two ticks, or `max_len` if that is more; the others are counted.
const NOTED: usize = 256;

/// A request that was held back for less is not remembered for the slow log, µs.
const WORTH_US: u64 = 1_000;

/// Why requests are looked at more closely at the moment.
#[derive(Debug, Default)]
pub(super) struct Watch {
    bits: u8,
    /// Replies whose node took at least this long are looked at, µs.
    slow_us: u32,
    /// What `slow_us` is while nothing is remembered.
    threshold_us: u32,
    /// How long the requests that are taken now were held back, µs.
    held_us: u64,
    /// Requests in flight that were held back: session, slot, µs.
    held: VecDeque<(ClientKey, u32, u64)>,
    /// Slow requests that wait for the flush, each with the time at which its reply came.
    waiting: Vec<(Slow, u64)>,
    /// Slow requests since the last tick: written down, and only counted.
    noted: usize,
    counted: u64,
}

impl Watch {
    /// The requests that are taken now were held back.
    const HELD: u8 = 1;
    /// CLIENT PAUSE.
    pub(super) const PAUSED: u8 = 2;
    /// Somebody monitors.
    pub(super) const MONITORED: u8 = 4;
    /// A change of the nodes is under way.
    pub(super) const MOVING: u8 = 8;
    /// Some keys are locks: no reason to look at the others.
    pub(super) const PREFIX: u8 = 16;

    /// Looks at what these settings call slow.
    pub(super) fn new(settings: &SlowSettings) -> Self {
        let us =
            |time: Option<Duration>| time.map_or(u32::MAX, |time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        let threshold_us = us(settings.slower_than).min(us(settings.monitor_threshold));
        Self { threshold_us, slow_us: threshold_us, ..Self::default() }
    }

    /// Looks from now on at what these settings call slow.
    fn look_for(&mut self, settings: &SlowSettings) {
        self.threshold_us = Self::new(settings).threshold_us;
        self.rest();
    }

    /// Whether there is a reason to look at requests.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.bits & !Self::PREFIX != 0
    }

    /// Whether something may stand between a request and its keys.
    #[inline]
    pub(super) fn guards(&self) -> bool {
        self.bits & (Self::MOVING | Self::PREFIX) != 0
    }

    /// Replies whose node took at least this long are looked at.
    #[inline]
    pub(super) fn slow_us(&self) -> u32 {
        self.slow_us
    }

    pub(super) fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    pub(super) fn set(&mut self, bit: u8, on: bool) {
        if on {
            self.bits |= bit;
        } else {
            self.bits &= !bit;
        }
    }

    /// Remembers that a request was held back.
    fn remember(&mut self, key: ClientKey, seq: u32, us: u64) {
        if self.held.len() >= HELD {
            self.held.pop_front();
        }
        self.held.push_back((key, seq, us));
        self.slow_us = 0;
    }

    /// How long the request in this slot was held back; forgotten afterwards.
    fn recall(&mut self, key: ClientKey, seq: u32) -> u64 {
        let Some(at) = self.held.iter().position(|(of, slot, _)| (*of, *slot) == (key, seq)) else { return 0 };
        let us = self.held.remove(at).map_or(0, |(_, _, us)| us);
        self.rest();
        us
    }

    fn rest(&mut self) {
        if self.held.is_empty() {
            self.slow_us = self.threshold_us;
        }
    }
}

impl Core {
    /// Writes what it measures of commands into `journal`, which all workers share.
    pub fn write_into(&mut self, journal: Arc<Journal>) {
        self.journal = journal;
    }

    /// Other settings hold from now on.
    pub(super) fn settings_changed(&mut self) {
        self.watch.look_for(&self.settings.slow);
        self.watch.set(Watch::PREFIX, !self.settings.locks.prefix.is_empty());
    }

    /// Publishes the numbers per command. To be called every 100 ms or so.
    pub fn publish_commands(&self) {
        self.journal.publish(self.index, &self.counters.commands, &self.snapshot.table);
    }

    /// Whether [`Core::flushed`] has something to measure, and wants the time.
    #[must_use]
    pub fn measures_flush(&self) -> bool {
        self.counters.commands.has_fresh()
    }

    /// Everything that could be written has been.
    pub fn flushed(&mut self) {
        self.counters.commands.left(self.now_us);
    }

    /// Whether [`Core::log_slow`] has something to log, and wants the time.
    #[must_use]
    #[inline]
    pub fn has_slow(&self) -> bool {
        !self.watch.waiting.is_empty()
    }

    /// Logs slow requests whose replies are about to leave: before their clients have them, as in Redis.
    pub fn log_slow(&mut self) {
        let now_us = self.now_us;
        for (mut slow, came_us) in self.watch.waiting.drain(..) {
            slow.us += now_us.saturating_sub(came_us);
            self.journal.slow().push(slow);
        }
    }

    /// Seconds since 1970.
    pub(super) fn unix_s(&self) -> u64 {
        (self.zero + Duration::from_micros(self.now_us)).as_secs()
    }

    /// Tells of the slow requests that were only counted since the last tick.
    pub(super) fn count_slow(&mut self) {
        self.watch.noted = 0;
        let counted = std::mem::take(&mut self.watch.counted);
        if counted > 0 {
            self.journal.slow().pass(counted);
        }
    }

    /// A request of `row` was taken while there was a reason to watch.
    #[cold]
    pub(super) fn watched(&mut self, key: ClientKey, request: Request<'_>, row: &Row) {
        if self.watch.has(Watch::MONITORED) {
            self.show_taken(key, request, row);
        }
        if self.watch.has(Watch::HELD) {
            let us = self.watch.held_us;
            self.counters.commands.held(row.id, us);
            if let Some(client) = self.client(key).filter(|client| us >= WORTH_US && !client.slots.is_empty()) {
                let seq = client.slots.next_seq().wrapping_sub(1);
                self.watch.remember(key, seq, us);
            }
        }
    }

    /// The requests that are taken from now on were held back since `since_us`; 0: they were not.
    pub(super) fn watch_held(&mut self, since_us: u64) {
        self.watch.held_us = if since_us == 0 { 0 } else { self.now_us.saturating_sub(since_us) };
        self.watch.set(Watch::HELD, self.watch.held_us > 0);
    }

    /// How long the requests that are taken now were held back.
    pub(super) fn held_us(&self) -> u64 {
        self.watch.held_us
    }

    /// A request waited for `us` until its pipe had a connection.
    pub(super) fn was_held(&mut self, entry: Entry, us: u32) {
        self.counters.commands.held(entry.row, u64::from(us));
        if u64::from(us) >= WORTH_US
            && let Some((key, seq)) = self.slot_of(entry)
        {
            self.watch.remember(key, seq, u64::from(us));
        }
    }

    /// Forgets held back requests whose reply came otherwise, or will not come.
    pub(super) fn forget_held(&mut self) {
        let mut held = std::mem::take(&mut self.watch.held);
        let waits = |key: ClientKey, seq: u32| {
            let slots = self.client(key).map(|client| (client.slots.head(), client.slots.len()));
            slots.is_some_and(|(head, len)| (seq.wrapping_sub(head) as usize) < len)
        };
        held.retain(|(key, seq, _)| waits(*key, *seq));
        self.watch.held = held;
        self.watch.rest();
    }

    /// The session and slot that wait for this entry's reply.
    fn slot_of(&self, entry: Entry) -> Option<(ClientKey, u32)> {
        match entry.owner {
            Owner::Client => Some((ClientKey { index: entry.index, generation: entry.generation }, entry.seq)),
            Owner::Part => {
                let aggregate = self.aggregates.get(entry.index as usize)?;
                // What was split is slow as a whole: its last part tells.
                let last = aggregate.generation == entry.generation && aggregate.missing == 1;
                last.then_some((aggregate.client, aggregate.seq))
            }
            Owner::Nobody | Owner::Unblock | Owner::Fence => None,
        }
    }

    /// The reply to the front request of this pipe is here, and may be slow. Returns how long the request was held back, µs.
    #[cold]
    pub(super) fn look_at_slow(&mut self, id: PipeId) -> u32 {
        let now_us = self.now_us;
        let Some((entry, _)) = self.pipes[id.index()].front() else { return 0 };
        if entry.row == NO_ROW || entry.waits {
            return 0;
        }
        let Some((key, seq)) = self.slot_of(entry) else { return 0 };
        let node_us = u64::from((now_us as u32).wrapping_sub(entry.sent_us));
        let held_us = self.watch.recall(key, seq);
        let us = node_us + held_us;
        let reaches = |threshold: Option<Duration>| threshold.is_some_and(|least| u128::from(us) >= least.as_micros());
        if reaches(self.settings.slow.monitor_threshold) {
            let fast = self.snapshot.table.row(entry.row).is_some_and(|row| row.flags.has(Flags::FAST));
            let event = if fast { "fast-command" } else { "command" };
            self.journal.events().note(event, self.unix_s(), us / 1_000);
        }
        if reaches(self.settings.slow.slower_than) && self.settings.slow.max_len > 0 {
            self.note_slow(id, key, us, node_us);
        }
        u32::try_from(held_us).unwrap_or(u32::MAX)
    }

    fn note_slow(&mut self, id: PipeId, key: ClientKey, us: u64, node_us: u64) {
        let Some(client) = self.client(key) else { return };
        let pipe = &self.pipes[id.index()];
        let Some((_, kept)) = pipe.front() else { return };
        if self.watch.noted >= self.settings.slow.max_len.max(NOTED) {
            self.watch.counted += 1;
            return;
        }
        let record = Arc::clone(&client.record);
        let slow = Slow {
            at_s: self.unix_s(),
            us,
            // One place is for where the time went.
            args: shown::arguments(kept, MAX_ARGS - 1),
            addr: record.addr.clone(),
            name: record.names().name.clone(),
            node: self.snapshot.topology.node(pipe.node).name.clone(),
            node_us,
        };
        self.watch.noted += 1;
        if self.watch.waiting.len() < WAITING {
            self.watch.waiting.push((slow, self.now_us));
        } else {
            self.journal.slow().push(slow);
        }
    }
}
