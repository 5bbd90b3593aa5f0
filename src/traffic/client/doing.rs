//! What a session is doing, for whoever counts sessions. Pure.

use super::{Client, Modes, Pause};

/// What a session is doing. Of several things, the first one here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// MONITOR.
    Monitor,
    /// A blocking command of it waits at a node.
    Blocked,
    /// CLIENT PAUSE holds its next request.
    Paused,
    /// It is between WATCH or MULTI and EXEC.
    Transaction,
    /// It listens to channels or patterns.
    PubSub,
    /// CLIENT TRACKING is on.
    Tracking,
    /// Requests and replies.
    Normal,
}

impl Doing {
    /// Number of these.
    pub const COUNT: usize = 7;
    /// All, in the order of their index.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Monitor, Self::Blocked, Self::Paused, Self::Transaction, Self::PubSub, Self::Tracking, Self::Normal];

    /// What `client` is doing.
    #[must_use]
    pub fn of(client: &Client) -> Self {
        if matches!(client.pause, Pause::Held | Pause::Gate) {
            return Self::Paused;
        }
        let Some(special) = &client.special else { return Self::Normal };
        if client.modes.has(Modes::MONITOR) {
            Self::Monitor
        } else if client.pause == Pause::Blocked {
            Self::Blocked
        } else if special.transaction.is_some() || special.unfolding.is_some() || special.watch.is_some() {
            Self::Transaction
        } else if !special.subscriptions.is_empty() {
            Self::PubSub
        } else if special.tracking.is_some() {
            Self::Tracking
        } else {
            Self::Normal
        }
    }

    /// It as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Transaction => "transaction",
            Self::PubSub => "pubsub",
            Self::Tracking => "tracking",
            Self::Normal => "normal",
        }
    }
}
