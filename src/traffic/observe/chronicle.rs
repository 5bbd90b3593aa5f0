//! What has happened lately: the newest events, for the operator who asks.
//!
//! ```text
//!  control plane ─► note, again ─► newest MAX entries ─► CIRCLET EVENTS, /api/status, the status page
//! ```
//! Events that repeat are counted together instead of filling the list. The log says the same and more, and keeps it; this is for looking at. Bounded by [`MAX`] entries of [`MAX_TEXT`] bytes. Pure: time
//! comes in, ms since 1970.

use std::collections::VecDeque;

/// Events that are kept.
pub const MAX: usize = 200;
/// Longest text of one, bytes; a node's own words may be in it.
const MAX_TEXT: usize = 400;
/// Events that are alike are counted together within this time.
const TOGETHER_MS: u64 = 60_000;

/// What kind of thing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Circlet has started.
    Started,
    /// Circlet is stopping: it takes no new clients.
    Stopping,
    /// A node answers.
    NodeUp,
    /// A node does not answer.
    NodeDown,
    /// A node is another server than before: restarted, or of another version.
    NodeChanged,
    /// An option was changed, by CONFIG SET or a reload.
    Option,
    /// The configuration was read again.
    Reload,
    /// Clients were refused.
    Refused,
    /// Sessions were closed by a limit.
    Closed,
    /// The admin address was asked with a wrong token, or by a name that is not its own.
    Admin,
    /// A node of a cache is left out since it is down.
    NodeOut,
    /// A node that was left out is back.
    NodeBack,
    /// A change of the nodes: begun, done, taken back, stuck.
    Change,
    /// A node may have lost, or has lost, data that it had acknowledged.
    DataLoss,
    /// A node does not count for locks.
    Quarantine,
    /// It counts again.
    Admitted,
    /// Other nodes keep locks; what is worth knowing of them.
    Locks,
}

impl Kind {
    /// Its name for programs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::NodeUp => "node-up",
            Self::NodeDown => "node-down",
            Self::NodeChanged => "node-changed",
            Self::Option => "option",
            Self::Reload => "reload",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Admin => "admin",
            Self::NodeOut => "node-out",
            Self::NodeBack => "node-back",
            Self::Change => "change",
            Self::DataLoss => "data-loss",
            Self::Quarantine => "quarantine",
            Self::Admitted => "admitted",
            Self::Locks => "locks",
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// Its number; they count up.
    pub id: u64,
    /// When it was first seen.
    pub at_ms: u64,
    /// When it was last seen.
    pub last_ms: u64,
    /// What kind of thing.
    pub kind: Kind,
    /// The node that it is about; empty if it is about none.
    pub node: String,
    /// What has happened, for people.
    pub text: String,
    /// How often, or how many.
    pub count: u64,
}

/// The newest events.
#[derive(Debug, Default)]
pub struct Chronicle {
    next_id: u64,
    /// Newest last.
    entries: VecDeque<Happening>,
}

impl Chronicle {
    /// Notes an event; one that repeats the newest within [`TOGETHER_MS`] is counted there.
    pub fn note(&mut self, at_ms: u64, kind: Kind, node: &str, text: &str) {
        self.put(at_ms, kind, node, text, 1, 1);
    }

    /// Notes `count` events that are alike, where they stand if they were noted within [`TOGETHER_MS`]: whatever anybody can
    /// make happen as often as they like, so that it does not push out the others.
    pub fn count(&mut self, at_ms: u64, kind: Kind, text: &str, count: u64) {
        self.put(at_ms, kind, "", text, count, MAX);
    }

    /// Looks for one that is alike among the newest `among`, or adds it.
    fn put(&mut self, at_ms: u64, kind: Kind, node: &str, text: &str, count: u64, among: usize) {
        let text = cut(text);
        let alike = |one: &&mut Happening| {
            (one.kind, one.node.as_str(), one.text.as_str()) == (kind, node, text)
                && at_ms.saturating_sub(one.last_ms) < TOGETHER_MS
        };
        if let Some(one) = self.entries.iter_mut().rev().take(among).find(alike) {
            one.count += count;
            one.last_ms = at_ms;
            return;
        }
        let (node, text) = (node.to_owned(), text.to_owned());
        self.entries.push_back(Happening { id: self.next_id, at_ms, last_ms: at_ms, kind, node, text, count });
        self.next_id += 1;
        if self.entries.len() > MAX {
            self.entries.pop_front();
        }
    }

    /// The newest `count`, newest first.
    pub fn newest(&self, count: usize) -> impl ExactSizeIterator<Item = &Happening> {
        self.entries.iter().rev().take(count)
    }
}

/// As much of `text` as is kept, cut between letters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_counted_and_the_oldest_makes_room() {
        let mut chronicle = Chronicle::default();
        chronicle.note(1_000, Kind::NodeDown, "a", "connection refused");
        chronicle.note(30_000, Kind::NodeDown, "a", "connection refused");
        chronicle.note(95_000, Kind::NodeDown, "a", "connection refused");
        chronicle.count(95_000, Kind::Refused, "too many clients", 7);
        chronicle.note(95_500, Kind::NodeUp, "a", "it answers");
        chronicle.count(96_000, Kind::Refused, "too many clients", 3);
        let told: Vec<_> =
            chronicle.newest(9).map(|one| (one.id, one.at_ms, one.last_ms, one.kind.label(), one.count)).collect();
        assert_eq!(
            told,
            [
                (3, 95_500, 95_500, "node-up", 1),
                (2, 95_000, 96_000, "refused", 10),
                (1, 95_000, 95_000, "node-down", 1),
                (0, 1_000, 30_000, "node-down", 2)
            ]
        );
        for number in 0..500 {
            chronicle.note(number, Kind::Option, "", &format!("{number} {}", "ü".repeat(1_000)));
        }
        assert_eq!(chronicle.newest(usize::MAX).len(), MAX);
        assert!(chronicle.newest(1).all(|one| one.text.len() <= MAX_TEXT && one.text.starts_with("499 ü")));
    }
}
