//! How far a change is: what `CIRCLET REBALANCE STATUS` answers, and the status page and the metrics show. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use serde::Serialize;

use crate::traffic::resp::{Fields, Proto};

/// What is done at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Doing {
    /// Nothing.
    #[default]
    Idle,
    /// A change begins, or one of its parts: nodes are looked at, requests for the keys wait until it is quiet.
    Fence,
    /// Keys are moved.
    Moving,
    /// Keys are not moved: by the operator's word, or because something needs the operator.
    Paused,
    /// A part has arrived.
    Committed,
    /// What has gone elsewhere is deleted at the old nodes.
    Purging,
}

impl Doing {
    /// All, in the order of their index.
    pub const ALL: [Self; 6] = [Self::Idle, Self::Fence, Self::Moving, Self::Paused, Self::Committed, Self::Purging];

    /// Its name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fence => "fence",
            Self::Moving => "moving",
            Self::Paused => "paused",
            Self::Committed => "committed",
            Self::Purging => "purging",
        }
    }
}

/// How far a change is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What is done at the moment.
    pub state: Doing,
    /// Number of the topology that holds.
    pub epoch: u64,
    /// Number of the change; 0: there is none.
    pub change: u64,
    /// What it is, in the words of `CIRCLET NODE`.
    pub what: String,
    /// Whether it goes back.
    pub back: bool,
    /// The part under way, from 1.
    pub part: u32,
    /// Parts.
    pub parts: u32,
    /// Pairs of nodes between which keys are moved, in all parts.
    pub batches: u64,
    /// Keys that have arrived.
    pub keys_moved: u64,
    /// Keys that are still to arrive, estimated.
    pub keys_left: u64,
    /// Bytes that have arrived, as the nodes dump them.
    pub bytes_moved: u64,
    /// Bytes that are still to arrive, estimated.
    pub bytes_left: u64,
    /// Keys that were deleted at their old nodes.
    pub keys_purged: u64,
    /// Keys per second that may be moved; 0: no bound.
    pub rate: u64,
    /// Keys per second that are moved.
    pub speed: u64,
    /// How long it still takes, seconds; -1: not known.
    pub seconds_left: i64,
    /// Changes that wait for this one.
    pub queued: u64,
    /// Nodes that are left out since they are down, separated by commas.
    pub out: String,
    /// Nodes that are to delete keys that they do not own any more.
    pub owing: u64,
    /// What went wrong last, or what is waited for.
    pub last_error: String,
}

impl Report {
    /// Names and values, as they are shown.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        vec![
            ("state", self.state.label().to_owned()),
            ("epoch", self.epoch.to_string()),
            ("change", self.change.to_string()),
            ("what", self.what.clone()),
            ("direction", if self.back { "back" } else { "forth" }.to_owned()),
            ("part", self.part.to_string()),
            ("parts", self.parts.to_string()),
            ("batches", self.batches.to_string()),
            ("keys-moved", self.keys_moved.to_string()),
            ("keys-left", self.keys_left.to_string()),
            ("bytes-moved", self.bytes_moved.to_string()),
            ("bytes-left", self.bytes_left.to_string()),
            ("keys-purged", self.keys_purged.to_string()),
            ("rate", self.rate.to_string()),
            ("speed", self.speed.to_string()),
            ("seconds-left", self.seconds_left.to_string()),
            ("queued", self.queued.to_string()),
            ("out", self.out.clone()),
            ("owing", self.owing.to_string()),
            ("last-error", self.last_error.clone()),
        ]
    }

    /// The reply to `CIRCLET REBALANCE STATUS`.
    #[must_use]
    pub fn reply(&self, proto: Proto) -> Vec<u8> {
        let mut out = Vec::new();
        Fields::of(&self.fields(), proto).end(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_stands_first_and_every_field_is_a_name_and_a_value() {
        let report = Report { state: Doing::Moving, keys_left: 7, ..Report::default() };
        let reply = String::from_utf8(report.reply(Proto::Resp2)).unwrap();
        assert!(reply.starts_with("*40\r\n$5\r\nstate\r\n$6\r\nmoving\r\n"), "{reply}");
        assert!(reply.contains("$9\r\nkeys-left\r\n$1\r\n7\r\n"), "{reply}");
        assert!(report.reply(Proto::Resp3).starts_with(b"%20\r\n"));
    }
}
