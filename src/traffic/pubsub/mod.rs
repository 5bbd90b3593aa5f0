//! Publish/subscribe: who listens to what, apart from how it is heard.
//!
//! ```text
//!  session ── SUBSCRIBE ──► Subscriptions (its own, ordered)
//!                     └───► Topics (its worker's): topic ─► members, waiting, stations ──► ears (core/ears.rs) ──► nodes
//!                                                    └──► Audience (all workers'): counts only
//!  node ──► ear ──► Word (what a frame says) ──► the topic's members ──► sessions
//! ```
//! * **topic**: a channel, a pattern or a shard channel that somebody of this worker listens to.
//! * **ear**: a worker's connection to a node on which it hears messages for all its subscribers.
//! * **station**: a node at which a topic must be heard, and whether it is.
//!
//! Names of the same text are different topics if their [`Kind`] differs, as in Redis. Pure.

pub mod audience;
pub mod subscriptions;
pub mod topics;
pub mod word;

pub use audience::Audience;
pub use subscriptions::Subscriptions;
pub use topics::{Hearing, Station, Topic, Topics};
pub use word::Word;

use bytes::Bytes;

/// The name of a channel, pattern or shard channel.
pub type Name = Bytes;

/// What a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `SUBSCRIBE`: one channel by its name.
    Channel,
    /// `PSUBSCRIBE`: all channels that match.
    Pattern,
    /// `SSUBSCRIBE`: one shard channel; these are a world of their own.
    Shard,
}

impl Kind {
    /// Number of kinds.
    pub const COUNT: usize = 3;
    /// All kinds, in the order of their index.
    pub const ALL: [Self; Self::COUNT] = [Self::Channel, Self::Pattern, Self::Shard];

    /// The command that begins it, and the word that confirms that.
    #[must_use]
    pub fn subscribe(self) -> &'static str {
        match self {
            Self::Channel => "subscribe",
            Self::Pattern => "psubscribe",
            Self::Shard => "ssubscribe",
        }
    }

    /// The command that ends it, and the word that confirms that.
    #[must_use]
    pub fn unsubscribe(self) -> &'static str {
        match self {
            Self::Channel => "unsubscribe",
            Self::Pattern => "punsubscribe",
            Self::Shard => "sunsubscribe",
        }
    }

    /// As a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Pattern => "pattern",
            Self::Shard => "shard",
        }
    }
}

/// Whether messages of this channel come from every node, and not from its owner alone: keyspace notifications, which a
/// node gives of the keys that it has.
#[must_use]
pub fn comes_from_all_nodes(kind: Kind, name: &[u8]) -> bool {
    match kind {
        Kind::Channel => name.starts_with(b"__keyspace@") || name.starts_with(b"__keyevent@"),
        Kind::Pattern => true,
        Kind::Shard => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_and_patterns_come_from_all_nodes() {
        for (kind, name, all) in [
            (Kind::Channel, "news", false),
            (Kind::Channel, "__keyspace@0__:k", true),
            (Kind::Channel, "__keyevent@3__:del", true),
            (Kind::Channel, "__keyspace", false),
            (Kind::Shard, "__keyspace@0__:k", false),
            (Kind::Pattern, "news.*", true),
            (Kind::Pattern, "news", true),
        ] {
            assert_eq!(comes_from_all_nodes(kind, name.as_bytes()), all, "{kind:?} {name}");
        }
    }

    #[test]
    fn kinds_are_in_the_order_of_their_index() {
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| at == *kind as usize));
    }
}
