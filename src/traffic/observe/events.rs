//! Latency events as Redis's latency monitor keeps them: per event, the worst latency of each second.
//!
//! Events are named as in Redis: `command`, and `fast-command` for commands with the flag `fast`. An event keeps its newest
//! 160 samples and its worst latency ever. Times are seconds since 1970, latencies ms. Pure.

use std::collections::{BTreeMap, VecDeque};

/// Samples that an event keeps (`LATENCY_TS_LEN`).
const SAMPLES: usize = 160;

/// The worst latency within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The second, since 1970.
    pub at_s: u64,
    /// The latency, ms.
    pub ms: u64,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Oldest first, never empty.
    pub samples: VecDeque<Sample>,
    /// The worst ever, ms.
    pub worst_ms: u64,
}

/// All events, by name.
#[derive(Debug, Default)]
pub struct Events(BTreeMap<&'static str, Event>);

impl Events {
    /// Notes that `event` took `ms`.
    pub fn note(&mut self, event: &'static str, at_s: u64, ms: u64) {
        let event = self.0.entry(event).or_default();
        event.worst_ms = event.worst_ms.max(ms);
        match event.samples.back_mut() {
            Some(last) if last.at_s == at_s => last.ms = last.ms.max(ms),
            _ => event.samples.push_back(Sample { at_s, ms }),
        }
        if event.samples.len() > SAMPLES {
            event.samples.pop_front();
        }
    }

    /// The event with this name, in any case.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<(&'static str, &Event)> {
        let found = self.0.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))?;
        Some((*found.0, found.1))
    }

    /// All events with their names.
    pub fn all(&self) -> impl ExactSizeIterator<Item = (&'static str, &Event)> {
        self.0.iter().map(|(name, event)| (*name, event))
    }

    /// Forgets the events with these names, all if there are none; returns how many.
    pub fn reset(&mut self, names: &[&[u8]]) -> usize {
        let before = self.0.len();
        self.0.retain(|known, _| {
            !names.is_empty() && !names.iter().any(|name| known.as_bytes().eq_ignore_ascii_case(name))
        });
        before - self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_and_an_event_its_newest() {
        let mut events = Events::default();
        for (at_s, ms) in [(10, 5), (10, 9), (10, 7), (11, 3)] {
            events.note("command", at_s, ms);
        }
        let (_, event) = events.get(b"COMMAND").unwrap();
        assert_eq!(event.samples, [Sample { at_s: 10, ms: 9 }, Sample { at_s: 11, ms: 3 }]);
        assert_eq!(event.worst_ms, 9);
        (20..400).for_each(|at_s| events.note("command", at_s, 1));
        assert_eq!(events.get(b"command").unwrap().1.samples.len(), SAMPLES);
        events.note("fast-command", 1, 1);
        assert_eq!((events.reset(&[b"fast-command", b"x"]), events.reset(&[]), events.all().len()), (1, 1, 0));
    }
}
