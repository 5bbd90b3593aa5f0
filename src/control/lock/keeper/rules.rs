//! What the keeper goes by: the options, and the lengths that follow from them. Pure.

use std::time::Duration;

/// What a quarantine and a window last longer than the longest lock: drift of the nodes' clocks, and a margin.
const MARGIN: Duration = Duration::from_millis(500);

/// The options of `[lock]`, checked.
#[derive(Clone, Debug)]
pub struct Rules {
    /// On how many nodes a lock lies: 1, 3, 5 or 7, or fewer where there are fewer nodes.
    pub nodes: usize,
    /// The longest ttl.
    pub max_ttl: Duration,
    /// The nodes of a young ring are admitted at once: the operator says that nobody holds a lock on them.
    pub bootstrap: bool,
    /// Those that may change.
    pub limits: Limits,
    /// For tests that must fail.
    pub safety: Safety,
}

/// What may change at any time: no promise that was made rests on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a round waits for answers.
    pub node_time: Duration,
    /// Clients that may wait, of all locks.
    pub max_waiters: usize,
    /// Locks that may be held.
    pub max_held: usize,
}

impl Rules {
    /// How long a node that has forgotten something, or may have, does not count: until every lock that it may have
    /// forgotten is over. One unit less is a counterexample (model B2).
    #[must_use]
    pub fn quarantine(&self) -> Duration {
        if !self.safety.quarantine {
            return Duration::ZERO;
        }
        self.max_ttl + self.max_ttl / 100 + MARGIN
    }

    /// How long the nodes before a change and those after it count together: until every lock that was taken before it is
    /// over, or has been extended in it (models F2, F5).
    #[must_use]
    pub fn window(&self) -> Duration {
        if !self.safety.window {
            return Duration::ZERO;
        }
        self.max_ttl + self.max_ttl / 100 + MARGIN
    }

    /// On how many of `members` nodes a lock lies.
    #[must_use]
    pub fn voters_of(&self, members: usize) -> usize {
        let most = self.nodes.min(members).min(super::view::MOST);
        if most.is_multiple_of(2) { most.saturating_sub(1) } else { most }
    }

    /// The longest ttl, ms.
    #[must_use]
    pub fn max_ttl_ms(&self) -> u64 {
        u64::try_from(self.max_ttl.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Rules that may be switched off to see that the checker misses them. No option of the configuration leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safety {
    /// Nodes that may have forgotten something do not count for a time.
    pub quarantine: bool,
    /// Every attempt has a token of its own.
    pub fresh_tokens: bool,
    /// Nothing is granted before round 2 is done.
    pub second_round: bool,
    /// Validity is computed after round 2.
    pub late_validity: bool,
    /// Nodes before and after a change count together for a time.
    pub window: bool,
    /// EXTEND succeeds only within the validity before it.
    pub extend_in_time: bool,
    /// A node without its marker does not count.
    pub marker: bool,
    /// Releases compare.
    pub compare: bool,
}

impl Default for Safety {
    fn default() -> Self {
        Self {
            quarantine: true,
            fresh_tokens: true,
            second_round: true,
            late_validity: true,
            window: true,
            extend_in_time: true,
            marker: true,
            compare: true,
        }
    }
}
