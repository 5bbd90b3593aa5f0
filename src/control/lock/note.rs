//! What the keeper tells the log, the events and the metrics. Pure.

#![expect(missing_docs, reason = "the fields of a variant are named by their types")]

use std::time::Duration;

/// Something worth telling.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A node does not count any more, for so long, because of this.
    Quarantined { node: String, why: String, left: Duration },
    /// It counts again.
    Admitted { node: String },
    /// It cannot be admitted as it is (a replica, one that evicts, one that is too old); what would help.
    Unfit { node: String, why: String },
    /// Other nodes keep locks from now on; both sets count for so long.
    WindowBegun { before: Vec<String>, after: Vec<String>, left: Duration },
    /// Only the new ones count.
    WindowEnded { nodes: Vec<String> },
    /// What an operator should know of the number of nodes.
    Advice(String),
    /// A lock was granted behind this waiting.
    Acquired { waited: Duration },
    /// It was not; a label for the metrics.
    Refused(Why),
    /// It was extended.
    Extended,
    /// It was released by its owner, held for so long.
    Released { held: Duration },
    /// Its validity ended, or could not be extended, or a node of its majority lost it.
    Lost,
}

/// Why a lock was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Somebody has it.
    Taken,
    /// Too few nodes answered or count.
    Quorum,
    /// It took so long that too little validity was left.
    Late,
    /// Limits: waiters, held locks.
    Limit,
}
