//! Why keys could not be moved. Its Display is what an operator reads: what, on which node, and the cure. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

use bytes::Bytes;

use crate::traffic::route::NodeId;

/// Codes of error lines by which a node says that it will do it later.
const FOR_NOW: [&str; 7] = ["LOADING", "BUSY", "MASTERDOWN", "READONLY", "TRYAGAIN", "NOREPLICAS", "UNKILLABLE"];

/// Why a pull, a pass or a preparation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// The node cannot be reached, or cannot serve at the moment. The pass waits for it; an on-access pull does not.
    Down {
        /// The node.
        node: NodeId,
        /// Its name.
        name: String,
        /// In words.
        why: String,
    },
    /// A target no longer knows the move: it restarted empty, or was flushed. Resume with a new nonce, or abort.
    Lost {
        /// The target.
        node: NodeId,
        /// Its name.
        name: String,
    },
    /// The node refuses; its own error line (`OOM …`, `NOPERM …`). Nothing was changed for the key.
    Refused {
        /// The node.
        node: NodeId,
        /// Its name.
        name: String,
        /// The error line, without `-`.
        line: String,
    },
    /// The target holds a key that it must not hold yet: a left-over of an earlier ownership, or written past Circlet.
    Conflict {
        /// The target.
        node: NodeId,
        /// Its name.
        name: String,
        /// The db.
        db: u32,
        /// The key.
        key: Bytes,
    },
    /// The preparation found that the change cannot work; what, and the cure.
    Unfit(String),
    /// No stage is open: none is under way, or it could not be opened yet.
    NotOpen,
    /// The mover has ended.
    Stopped,
}

impl MoveError {
    /// Whether the same may work later without anybody doing anything but the node itself.
    #[must_use]
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// What a client is told whose key cannot be brought: the error line, without `-`.
    #[must_use]
    pub fn line(&self) -> String {
        match self {
            Self::Down { .. } => format!("NODEDOWN {self}"),
            Self::Refused { line, .. } => line.clone(),
            Self::Conflict { .. } => format!("CONFLICT {self}"),
            Self::Lost { .. } | Self::Unfit(_) | Self::NotOpen | Self::Stopped => format!("TRYAGAIN {self}"),
        }
    }

    /// What an error line of `node` means.
    pub(super) fn of_line(node: NodeId, name: &str, line: &str) -> Self {
        let name = name.to_owned();
        // Redis appends where in a script it happened; that is nothing to a client.
        let line = line.split(" script: ").next().unwrap_or(line).trim_start_matches('-').to_owned();
        let code = line.split(' ').next().unwrap_or_default();
        if FOR_NOW.contains(&code) { Self::Down { node, name, why: line } } else { Self::Refused { node, name, line } }
    }
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { name, why, .. } => write!(f, "node {name}: {why}"),
            Self::Lost { name, .. } => write!(
                f,
                "node {name} has lost what was moved to it (it restarted empty, or was flushed); RESUME moves the keys \
                 again from where they were, ABORT leaves them there"
            ),
            Self::Refused { name, line, .. } => write!(f, "node {name} refuses: {line}"),
            Self::Conflict { name, db, key, .. } => write!(
                f,
                "node {name} already has the key '{}' in db {db}, which is only now moved to it; look at both copies, \
                 delete the wrong one on its node, then RESUME",
                key.escape_ascii()
            ),
            Self::Unfit(why) => f.write_str(why),
            Self::NotOpen => f.write_str("the key is to be moved, and that cannot begin yet"),
            Self::Stopped => f.write_str("Circlet is ending"),
        }
    }
}

impl std::error::Error for MoveError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_line_is_for_now_or_for_good_by_its_code() {
        let error = |line: &str| MoveError::of_line(NodeId(1), "b", line);
        assert!(error("LOADING Redis is loading the dataset in memory").is_down());
        assert!(error("READONLY You can't write against a read only replica.").is_down());
        let oom = "OOM command not allowed when used memory > 'maxmemory'.";
        for line in [oom.to_owned(), format!("{oom} script: abc, on @user_script:4."), format!("-{oom}")] {
            let refused = MoveError::Refused { node: NodeId(1), name: "b".to_owned(), line: oom.to_owned() };
            assert_eq!(error(&line), refused);
        }
    }
}
