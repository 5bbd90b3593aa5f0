//! What was done with locks since the process began, for the metrics. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::note::{Note, Why};
use crate::traffic::observe::Histogram;

impl Why {
    /// All, in the order of their index.
    pub const ALL: [Self; 4] = [Self::Taken, Self::Quorum, Self::Late, Self::Limit];

    /// Its name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Quorum => "quorum",
            Self::Late => "late",
            Self::Limit => "limit",
        }
    }
}

/// Everything that is counted, and what there is now.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Locks granted.
    pub acquired: u64,
    /// Locks not granted, by [`Why`].
    pub refused: [u64; Why::ALL.len()],
    /// Locks extended.
    pub extended: u64,
    /// Locks released by their owners.
    pub released: u64,
    /// Locks that ended otherwise.
    pub lost: u64,
    /// How long those waited that were granted one.
    pub wait: Histogram,
    /// How long locks were held that were released.
    pub hold: Histogram,
    /// Locks held now.
    pub held: u64,
    /// Clients that wait for one now.
    pub waiters: u64,
    /// Nodes that do not count now: in quarantine, or not fit.
    pub out: Vec<String>,
}

impl Totals {
    /// Counts what the keeper tells.
    pub fn count(&mut self, note: &Note) {
        let us = |time: &Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        match note {
            Note::Acquired { waited } => {
                self.acquired += 1;
                self.wait.observe(us(waited), 1);
            }
            Note::Refused(why) => self.refused[*why as usize] += 1,
            Note::Extended => self.extended += 1,
            Note::Released { held } => {
                self.released += 1;
                self.hold.observe(us(held), 1);
            }
            Note::Lost => self.lost += 1,
            Note::Quarantined { node, .. } | Note::Unfit { node, .. } => {
                if !self.out.contains(node) {
                    self.out.push(node.clone());
                }
            }
            Note::Admitted { node } => self.out.retain(|out| out != node),
            Note::WindowEnded { nodes } => self.out.retain(|out| nodes.contains(out)),
            Note::WindowBegun { .. } | Note::Advice(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_is_counted_where_it_belongs() {
        let mut totals = Totals::default();
        totals.count(&Note::Acquired { waited: Duration::from_secs(10_000) });
        totals.count(&Note::Released { held: Duration::from_millis(3) });
        totals.count(&Note::Extended);
        totals.count(&Note::Lost);
        totals.count(&Note::Refused(Why::Late));
        let quarantined =
            |node: &str| Note::Quarantined { node: node.into(), why: String::new(), left: Duration::ZERO };
        for note in [quarantined("a"), quarantined("a"), quarantined("b"), quarantined("c")] {
            totals.count(&note);
        }
        totals.count(&Note::Admitted { node: "a".into() });
        totals.count(&Note::WindowEnded { nodes: vec!["b".into()] });
        assert_eq!(totals.out, ["b"]);
        assert_eq!((totals.acquired, totals.released, totals.extended, totals.lost), (1, 1, 1, 1));
        assert_eq!(totals.refused, [0, 0, 1, 0]);
        assert_eq!((totals.wait.count(), totals.hold.sum_us), (1, 3_000));
        assert_eq!(Why::ALL.map(|why| why as usize), [0, 1, 2, 3]);
    }
}
