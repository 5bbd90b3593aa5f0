//! What the core measures beside its work: held back requests, the moment when everything is written.
//!
//! [`Watch`] is one byte that every request looks at; nothing of this costs more while it is 0. Pure.

use std::sync::Arc;

use super::Core;
use crate::traffic::{client::ClientKey, command::Row, observe::Journal};

/// Why requests are looked at more closely at the moment.
#[derive(Debug, Default)]
pub(super) struct Watch {
    bits: u8,
    /// How long the requests that are taken now were held back, µs.
    held_us: u64,
}

impl Watch {
    /// The requests that are taken now were held back.
    const HELD: u8 = 1;

    /// Whether there is a reason.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.bits != 0
    }

    fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    fn set(&mut self, bit: u8, on: bool) {
        if on {
            self.bits |= bit;
        } else {
            self.bits &= !bit;
        }
    }
}

impl Core {
    /// Writes what it measures of commands into `journal`, which all workers share.
    pub fn write_into(&mut self, journal: Arc<Journal>) {
        self.journal = journal;
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

    /// A request of `row` was taken while there was a reason to watch.
    pub(super) fn watched(&mut self, _key: ClientKey, row: &Row) {
        if self.watch.has(Watch::HELD) {
            self.counters.commands.held(row.id, self.watch.held_us);
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
}
