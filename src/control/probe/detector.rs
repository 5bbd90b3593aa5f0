//! Whether a node is up for writes, judged from what its probe and the workers have seen, without haste and without flapping.
//!
//! ```text
//!            no answer, a sign         MISSES within WINDOW, over at least SPAN
//!   ┌─ Up ─────────────► Suspect ─────────────────────────────────► Down
//!   │   ▲  GOOD in a row    │                                        ▲ │
//!   │   └───────────────────┘          it says so itself             │ │ GOOD in a row, and the
//!   └─────────────────── (loading, a replica) ───────────────────────┘ │ pause is over
//!       ▲                                                              │
//!       └──────────────────────────────────────────────────────────────┘
//! ```
//! One lost answer is no verdict, nor is the time in which a server is started anew. What workers suffer (a connection lost or
//! refused, an answer that did not come) is a sign: it brings suspicion, and it counts as a missed answer as long as the probe
//! has had no good one since; but without a missed answer of the probe's own no sign is a verdict, so that one slow command
//! does not bring a node down. A node that was judged down is up again only after several good answers, and not before a
//! pause that doubles each time that it falls again soon ([`CALM`]), up to [`LONGEST`]. What a node says of itself needs no
//! second witness. Bounded: a few numbers. Pure: time comes in.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use crate::traffic::observe::census::Standing;

/// So many times without an answer …
const MISSES: usize = 3;
/// … within this time …
const WINDOW: Duration = Duration::from_secs(30);
/// … and over at least this time are a verdict.
const SPAN: Duration = Duration::from_secs(1);
/// Good answers in a row that clear a node.
const GOOD: u32 = 2;
/// How long a node stays down at least, the first time.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest such pause.
const LONGEST: Duration = Duration::from_secs(120);
/// A node that has been up for so long begins with a clean sheet.
const CALM: Duration = Duration::from_secs(300);

/// What was seen of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It answers, and can be written to.
    Good,
    /// Nothing.
    Silence,
    /// It loads its data and refuses everything.
    Loading,
    /// It takes no writes.
    Replica,
    /// A worker has lost its connection, or could not make one.
    Sign,
}

/// A judgement that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is up for writes.
    Up,
    /// It is not, because of this; it has fallen so many times in short order.
    Down(Seen, u32),
}

/// What is known of one node.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    standing: Standing,
    /// When it was last judged.
    since: Duration,
    /// When there was no answer, the newest last; at most [`MISSES`].
    misses: Vec<Duration>,
    /// Signs since the last good answer; fewer than [`MISSES`].
    signs: usize,
    /// When what made it suspect began.
    suspected: Duration,
    good: u32,
    falls: u32,
}

impl Detector {
    /// A node of which nothing bad is known.
    pub(super) fn new(now: Duration) -> Self {
        Self { standing: Standing::Up, since: now, misses: Vec::new(), signs: 0, suspected: now, good: 0, falls: 0 }
    }

    /// A node that was down when it was judged last.
    pub(super) fn fallen(now: Duration) -> Self {
        Self { standing: Standing::Down, falls: 1, ..Self::new(now) }
    }

    /// What is thought of it.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Takes in what was seen; what changes by it.
    pub(super) fn see(&mut self, seen: Seen, now: Duration) -> Option<Verdict> {
        let verdict = match seen {
            Seen::Good => self.answered(now),
            Seen::Silence => self.missed(now),
            Seen::Sign => self.hinted(now),
            Seen::Loading | Seen::Replica => self.fall(seen, now),
        };
        self.check();
        verdict
    }

    fn answered(&mut self, now: Duration) -> Option<Verdict> {
        self.good = (self.good + 1).min(GOOD);
        self.signs = 0;
        if self.good < GOOD {
            return None;
        }
        self.misses.clear();
        match self.standing {
            Standing::Up => None,
            Standing::Suspect => {
                self.standing = Standing::Up;
                None
            }
            Standing::Down if now.saturating_sub(self.since) < self.pause() => None,
            Standing::Down => {
                (self.standing, self.since) = (Standing::Up, now);
                Some(Verdict::Up)
            }
        }
    }

    fn missed(&mut self, now: Duration) -> Option<Verdict> {
        self.good = 0;
        if self.standing == Standing::Down {
            return None;
        }
        self.suspect(now);
        self.misses.retain(|at| now.saturating_sub(*at) < WINDOW);
        if self.misses.len() == MISSES {
            self.misses.remove(0);
        }
        self.misses.push(now);
        let enough = self.misses.len() + self.signs >= MISSES && now.saturating_sub(self.suspected) >= SPAN;
        if enough { self.fall(Seen::Silence, now) } else { None }
    }

    /// By itself it is no verdict.
    fn hinted(&mut self, now: Duration) -> Option<Verdict> {
        self.good = 0;
        if self.standing != Standing::Down {
            self.suspect(now);
            self.signs = (self.signs + 1).min(MISSES - 1);
        }
        None
    }

    /// Something is wrong since then.
    pub(super) fn suspect(&mut self, since: Duration) {
        match self.standing {
            Standing::Up => (self.standing, self.suspected) = (Standing::Suspect, since),
            Standing::Suspect => self.suspected = self.suspected.min(since),
            Standing::Down => {}
        }
    }

    fn fall(&mut self, why: Seen, now: Duration) -> Option<Verdict> {
        self.good = 0;
        self.signs = 0;
        self.misses.clear();
        if self.standing == Standing::Down {
            return None;
        }
        // `since` is when it came up last.
        self.falls = if now.saturating_sub(self.since) < CALM { self.falls.saturating_add(1) } else { 1 };
        (self.standing, self.since) = (Standing::Down, now);
        Some(Verdict::Down(why, self.falls))
    }

    /// How long it stays down at least.
    fn pause(&self) -> Duration {
        PAUSE.saturating_mul(1 << self.falls.saturating_sub(1).min(16)).min(LONGEST)
    }

    fn check(&self) {
        debug_assert!(self.misses.len() <= MISSES && self.signs < MISSES && self.good <= GOOD);
        debug_assert!(self.standing == Standing::Suspect || self.misses.is_empty());
        debug_assert!(self.standing == Standing::Suspect || self.signs == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Seen; 5] = [Seen::Good, Seen::Silence, Seen::Loading, Seen::Replica, Seen::Sign];
    const LENGTH: u32 = 7;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Every history of seven sights, at three paces.
    #[test]
    fn every_verdict_has_its_reasons_whatever_is_seen() {
        for step in [1, 7, 40] {
            for history in 0..KINDS.len().pow(LENGTH) {
                let kind = |index| KINDS[history / KINDS.len().pow(index) % KINDS.len()];
                let seen: Vec<Seen> = (0..LENGTH).map(kind).collect();
                let (mut detector, mut up, mut fell) = (Detector::new(at(0)), true, at(0));
                for (index, one) in seen.iter().enumerate() {
                    let now = at((index as u64 + 1) * step);
                    let before = &seen[..=index];
                    match detector.see(*one, now) {
                        None => {}
                        Some(Verdict::Down(why, falls)) => {
                            assert!(up && why == *one && why != Seen::Sign && falls >= 1, "{seen:?}");
                            if why == Seen::Silence {
                                let silent = before.iter().filter(|seen| **seen == Seen::Silence).count();
                                let signs = before.iter().rev().take_while(|seen| **seen != Seen::Good);
                                let signs = signs.filter(|seen| **seen == Seen::Sign).count();
                                assert!(silent + signs >= MISSES, "{seen:?}");
                                assert!(signs > 0 || step * (MISSES as u64 - 1) < WINDOW.as_secs(), "{seen:?}");
                            }
                            (up, fell) = (false, now);
                        }
                        Some(Verdict::Up) => {
                            assert!(!up && now - fell >= PAUSE, "{seen:?}");
                            assert!(
                                before.iter().rev().take(GOOD as usize).all(|seen| *seen == Seen::Good),
                                "{seen:?}"
                            );
                            up = true;
                        }
                    }
                    assert_eq!(up, detector.standing != Standing::Down);
                    // Who says himself that he cannot be written to is never up.
                    assert!(!up || !matches!(one, Seen::Loading | Seen::Replica), "{seen:?}");
                }
            }
        }
    }

    #[test]
    fn one_lost_answer_is_no_verdict_and_old_ones_are_forgotten() {
        let mut detector = Detector::new(at(0));
        for round in 0..100 {
            assert_eq!(detector.see(Seen::Silence, at(round * 20)), None);
        }
        assert_eq!(detector.see(Seen::Silence, at(1_981)), Some(Verdict::Down(Seen::Silence, 1)));
    }

    #[test]
    fn signs_speed_a_verdict_up_and_are_none() {
        let mut detector = Detector::new(at(0));
        for second in 1..100 {
            assert_eq!(detector.see(Seen::Sign, at(second)), None);
        }
        assert_eq!(detector.standing(), Standing::Suspect);
        assert_eq!(detector.see(Seen::Silence, at(100)), Some(Verdict::Down(Seen::Silence, 1)));
        // A good answer since then makes them void.
        let mut detector = Detector::new(at(0));
        for second in 1..100 {
            let seen = [Seen::Sign, Seen::Sign, Seen::Good, Seen::Silence][second as usize % 4];
            let slow = at(second * 20);
            assert_eq!(detector.see(seen, slow), None, "{second}");
        }
        // An answer that was waited for was missing all the while.
        let mut detector = Detector::new(at(0));
        detector.suspect(at(10));
        assert_eq!([Seen::Sign, Seen::Sign].map(|seen| detector.see(seen, at(15))), [None, None]);
        assert_eq!(detector.see(Seen::Silence, at(15)), Some(Verdict::Down(Seen::Silence, 1)));
        // Nor is a server that is started anew within a moment judged.
        let mut detector = Detector::new(at(0));
        let moment = |ms| Duration::from_millis(ms);
        for ms in [100, 200, 300, 500, 900, 1_099] {
            assert_eq!(detector.see(Seen::Silence, moment(ms)), None, "{ms}");
        }
        assert_eq!(detector.see(Seen::Silence, moment(1_100)), Some(Verdict::Down(Seen::Silence, 1)));
    }

    #[test]
    fn who_was_down_before_must_prove_itself() {
        let mut detector = Detector::fallen(at(10));
        let seen = [11, 12, 13].map(|second| detector.see(Seen::Good, at(second)));
        assert_eq!(seen, [None, Some(Verdict::Up), None]);
    }

    #[test]
    fn who_comes_and_goes_is_trusted_later_each_time_and_calm_forgives() {
        let (mut detector, mut now, mut pauses) = (Detector::new(at(0)), 0, Vec::new());
        for fall in 1..=10 {
            now += 1;
            assert_eq!(detector.see(Seen::Loading, at(now)), Some(Verdict::Down(Seen::Loading, fall)));
            let fell = now;
            loop {
                now += 1;
                if detector.see(Seen::Good, at(now)) == Some(Verdict::Up) {
                    break;
                }
            }
            pauses.push(now - fell);
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 120, 120, 120, 120]);
        assert_eq!(detector.see(Seen::Replica, at(now + 300)), Some(Verdict::Down(Seen::Replica, 1)));
    }
}
