//! What locks must know after a restart of Circlet. Pure; `store.rs` keeps it on the disk.
//!
//! Times are ms of CLOCK_BOOTTIME of the boot [`State::boot`]: on another boot nobody knows how long ago they were, and
//! what is under way begins anew.

use super::keeper::Member;

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The boot that the times belong to.
    pub boot: String,
    /// The lock epoch: fences begin at `epoch << 32`. Raised when a quarantine or a window ends.
    pub epoch: u64,
    /// The nodes that count; empty: none was ever known.
    pub set: Vec<Member>,
    /// A change of them that is under way.
    pub window: Option<Window>,
    /// What was known of each node.
    pub nodes: Vec<Known>,
}

/// A change of the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The nodes afterwards.
    pub next: Vec<Member>,
    /// When it ends, ms.
    pub until_ms: u64,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which.
    pub member: Member,
    /// Its process, as it was seen last.
    pub run_id: String,
    /// When its quarantine ends, ms, and why it began; `None`: it is admitted.
    pub quarantine: Option<(u64, String)>,
    /// Whether its marker was written or seen: from then on it must be there.
    pub marked: bool,
    /// `evicted_keys` when it was admitted.
    pub evicted: u64,
}
