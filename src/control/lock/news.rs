//! What the keeper tells, as lines of the log and as events. Io: the log.

use std::time::Duration;

use super::note::Note;
use crate::{
    control::now_ms,
    traffic::observe::{Journal, chronicle::Kind},
};

/// Tells whoever reads the log or asks for the events. Single locks are in neither: they are as many as requests.
pub(super) fn tell(note: &Note, journal: &Journal) {
    let event = |kind, node: &str, text: &str| journal.chronicle().note(now_ms(), kind, node, text);
    match note {
        Note::Quarantined { node, why, left } => {
            let left = seconds(*left);
            tracing::warn!(%node, %left, %why, "node does not count for locks for now: it is in quarantine");
            event(Kind::Quarantine, node, &format!("does not count for locks for {left}, {why}"));
        }
        Note::Admitted { node } => {
            tracing::info!(%node, "node counts for locks");
            event(Kind::Admitted, node, "counts for locks");
        }
        Note::Unfit { node, why } => {
            tracing::warn!(%node, %why, "node cannot count for locks as it is");
            event(Kind::Quarantine, node, &format!("cannot count for locks: {why}"));
        }
        Note::WindowBegun { before, after, left } => {
            let (before, after, left) = (before.join(", "), after.join(", "), seconds(*left));
            tracing::info!(%before, %after, %left, "other nodes keep locks; for now a majority of both is needed");
            event(
                Kind::Locks,
                "",
                &format!("locks go to {after}; a majority of these and of {before} is needed for {left}"),
            );
        }
        Note::WindowEnded { nodes } => {
            let nodes = nodes.join(", ");
            tracing::info!(%nodes, "these nodes alone keep locks");
            event(Kind::Locks, "", &format!("{nodes} alone keep locks"));
        }
        Note::Advice(text) => {
            tracing::info!(advice = %text, "locks");
            event(Kind::Locks, "", text);
        }
        Note::Acquired { .. } | Note::Refused(_) | Note::Extended | Note::Released { .. } | Note::Lost => {}
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
