//! A node's clock, as far as its answers tell: TIME comes with every one.
//!
//! ```text
//!  ours   ──┼ sent ────────────┼ got ──►     the node's TIME was read somewhere between:
//!  node's      └─ TIME ─┘                    TIME - got <= how far it is ahead <= TIME - sent
//! ```
//! Keys expire by the node's wall clock. If what is known of it before (give or take 1 % of the time between, the drift that
//! validity allows for) and what is known now have nothing in common, by more than 2 ms, then it was set: certainly, since
//! only bounds are compared. A slow answer has wide bounds and accuses nobody. Forward, keys are forgotten early; backward,
//! it is no clock to count by either. TIME comes with every script, and with INFO each second where the node tells it there.
//!
//! Limit: what was known of a clock is not kept over a restart of Circlet, so that a clock that is set meanwhile is not
//! noticed. Pure.

use std::time::Duration;

use super::Now;

/// Steps up to this are no jump, µs.
const GRAIN_US: i128 = 2_000;

/// How far a node's clock is ahead of ours, µs: between these, at that time of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ahead {
    least: i128,
    most: i128,
    at: Now,
}

/// What is known of one node's clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock(Option<Ahead>);

impl Clock {
    /// The node said `time_us` between `sent` and `got`. By how much its clock has jumped at least, µs, if it certainly has.
    pub(super) fn heard(&mut self, time_us: u64, sent: Now, got: Now) -> Option<i64> {
        let (earliest, latest) = (micros_down(sent), micros_up(got));
        let heard = Ahead { least: i128::from(time_us) - latest, most: i128::from(time_us) + 1 - earliest, at: got };
        let Some(known) = self.0 else {
            self.0 = Some(heard);
            return None;
        };
        // Both ways: drift in either direction.
        let drift = micros_up(got.saturating_sub(known.at)) / 100 + 1;
        let (least, most) = (known.least - drift, known.most + drift);
        let forward = heard.least - most;
        let backward = least - heard.most;
        if forward > GRAIN_US || backward > GRAIN_US {
            self.0 = Some(heard);
            let jump = if forward > 0 { forward } else { -backward };
            return Some(i64::try_from(jump).unwrap_or(if jump > 0 { i64::MAX } else { i64::MIN }));
        }
        let both = Ahead { least: least.max(heard.least), most: most.min(heard.most), at: got };
        // Within the grain they need not overlap: then what was heard last counts.
        self.0 = Some(if both.least <= both.most { both } else { heard });
        None
    }

    #[cfg(test)]
    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

fn micros_down(time: Duration) -> i128 {
    i128::try_from(time.as_micros()).unwrap_or(i128::MAX / 4)
}

fn micros_up(time: Duration) -> i128 {
    micros_down(time) + 1
}
