//! Redlock's delayed restart, and what else makes a node forget: who may not count, from when, and until when.
//!
//! ```text
//!  another run_id, also at first contact ─┐
//!  its marker is gone (FLUSHALL), differs ├─► Quarantine, max_ttl * 1.01 + 500 ms ─► epoch + 1, saved ─► Admitted
//!  keys were evicted                      │                                                               │
//!  its clock has jumped                   │                       first use of a lock: marker, saved ◄────┘
//!  it was a replica, could evict ─────────┘
//! ```
//! * A connection survives FLUSHALL: that a flush is seen a second later is too late. So every script refuses without the
//!   marker `circlet:admit`; once it was written or seen, its absence is a loss of memory (model B7).
//! * The marker is written at the first use of a lock, so that those who use none have nothing on their nodes, and a
//!   FLUSHALL costs them nothing. Until it is on the disk that it was written, nothing is taken on the node: so a node that
//!   has none, and of which the disk says that it has none, has forgotten no lock of this Circlet.
//! * A node that joins while a window is open is admitted at once: until the window ends a majority of the old nodes decides
//!   too, which lasts as long as a quarantine (models F1, F3, F11 begin so). In quarantine it would be of no use to locks
//!   that must be extended onto it before the window ends.
//! * The epoch is raised with each end: fences may have been forgotten (model G5).
//!
//! Limit: two Circlets before the same nodes, each with the node just admitted and unmarked: if one writes the marker and
//! takes locks, and all is flushed, before the other's next look (a second), the other cannot tell. Pure.

use super::{
    Facts, Now, Output, Script, Voter,
    machine::Keeper,
    seat::{Errand, Seat, Standing},
    timers::Handle,
    validity::full_ms,
};
use crate::control::lock::note::Note;

/// Versions from this on pass on what scripts did, not the scripts, so that a script may read the clock and write.
const OLDEST: u32 = 5;

impl Keeper {
    /// What a node says of itself.
    pub(super) fn look_at(&mut self, voter: Voter, facts: Facts, now: Now) {
        let free = self.admits_at_once(voter);
        let quarantine = self.rules.quarantine();
        let safety = self.rules.safety;
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        let before = seat.standing.clone();
        let node = seat.member.name.clone();
        if let Some(why) = unfit(&facts) {
            if !matches!(&before, Standing::Unfit(known) if *known == why) {
                let before = seat.known.quarantine.as_ref().map_or(0, |(before, _)| *before);
                seat.known.quarantine = Some((full_ms(now + quarantine).max(before), format!("after {why}")));
                seat.known.marked = false;
                seat.known.evicted = facts.evicted;
                seat.known.run_id.clone_from(&facts.run_id);
                seat.standing = Standing::Unfit(why.clone());
                self.note(Note::Unfit { node, why });
                self.dirty();
            }
            self.remember(voter, facts);
            return;
        }
        match reason(seat, &facts, safety.marker) {
            Some(Reason::First) if free => self.admit(voter, &facts),
            Some(reason) => {
                let why = reason.text(seat);
                self.quarantine(voter, &facts, why, now);
            }
            None => self.go_on(voter, &facts, now),
        }
        self.remember(voter, facts);
    }

    /// Nothing new: it goes on as it was when it was seen last.
    fn go_on(&mut self, voter: Voter, facts: &Facts, now: Now) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        let seen = facts.admit.as_deref() == Some(facts.run_id.as_str());
        if seen && !seat.known.marked {
            seat.known.marked = true;
            seat.fenced = true;
            self.records.dirty = true;
        }
        // CONFIG RESETSTAT: what is evicted from now on is counted from here.
        seat.known.evicted = seat.known.evicted.min(facts.evicted);
        match (&seat.standing, seat.known.quarantine.clone()) {
            (Standing::Admitted, _) => {}
            (_, None) => seat.standing = Standing::Admitted,
            (_, Some((until_ms, _))) if Now::from_millis(until_ms) <= now => self.admit(voter, facts),
            (Standing::Quarantine { .. }, Some(_)) => {}
            (_, Some((until_ms, why))) => self.confine(voter, Now::from_millis(until_ms), why, now),
        }
    }

    /// From now on it does not count.
    fn quarantine(&mut self, voter: Voter, facts: &Facts, why: String, now: Now) {
        let until = now + self.rules.quarantine();
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        seat.known.run_id.clone_from(&facts.run_id);
        seat.known.evicted = facts.evicted;
        seat.known.marked = facts.admit.as_deref() == Some(facts.run_id.as_str());
        self.exclude(voter, until, why, now);
    }

    /// It is excluded for what it showed, whatever it says of itself.
    pub(super) fn accuse(&mut self, voter: Voter, why: String, forgets_marker: bool, now: Now) {
        let until = now + self.rules.quarantine();
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        if matches!(seat.standing, Standing::Unmet | Standing::Unfit(_)) {
            return;
        }
        if forgets_marker {
            seat.known.marked = false;
        }
        self.exclude(voter, until, why, now);
    }

    fn exclude(&mut self, voter: Voter, until: Now, why: String, now: Now) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        // Never shorter than before: it may have begun when locks could be held for longer.
        let until = seat.known.quarantine.as_ref().map_or(until, |(before, _)| until.max(Now::from_millis(*before)));
        seat.known.quarantine = Some((full_ms(until), why.clone()));
        seat.marking = false;
        seat.clock.forget();
        self.dirty();
        self.confine(voter, until, why, now);
    }

    fn confine(&mut self, voter: Voter, until: Now, why: String, now: Now) {
        let timer = self.timers.set(until, super::machine::Due::Quarantine(voter));
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        seat.standing = Standing::Quarantine { until, why: why.clone() };
        let (node, old): (String, Option<Handle>) = (seat.member.name.clone(), seat.timer.replace(timer));
        if let Some(old) = old {
            self.timers.stop(old);
        }
        self.note(Note::Quarantined { node, why, left: until.saturating_sub(now) });
    }

    /// The time of a quarantine is over: it ends if there is a line, else with the next one.
    pub(super) fn quarantine_over(&mut self, voter: Voter) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        seat.timer = None;
        if !seat.kept || seat.line.is_none() || !matches!(seat.standing, Standing::Quarantine { .. }) {
            return;
        }
        if let Some(facts) = seat.facts.clone() {
            self.admit(voter, &facts);
        }
    }

    /// It counts again as soon as that, and the epoch that it counts in, is on the disk.
    fn admit(&mut self, voter: Voter, facts: &Facts) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        seat.known.run_id.clone_from(&facts.run_id);
        seat.known.evicted = facts.evicted;
        seat.known.quarantine = None;
        seat.known.marked = facts.admit.as_deref() == Some(facts.run_id.as_str());
        seat.standing = Standing::Admitted;
        let (node, timer) = (seat.member.name.clone(), seat.timer.take());
        if let Some(timer) = timer {
            self.timers.stop(timer);
        }
        self.epoch += 1;
        self.dirty();
        self.note(Note::Admitted { node });
    }

    /// Whether a node that was never met may count at once.
    fn admits_at_once(&self, voter: Voter) -> bool {
        let Some(seat) = self.seats.get(usize::from(voter.0)) else { return false };
        let member = &seat.member;
        let joins = self.window.as_ref().is_some_and(|window| window.next.contains(member));
        self.young.contains(member) || joins && !self.set.contains(member)
    }

    fn remember(&mut self, voter: Voter, facts: Facts) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        seat.facts = Some(facts);
        self.young.retain(|member| *member != seat.member);
    }

    /// Locks are used: nodes that are admitted are given their markers.
    pub(super) fn mark_all(&mut self) {
        for index in 0..self.seats.len() {
            let voter = Voter(u16::try_from(index).unwrap_or(u16::MAX));
            let Some(seat) = self.seats.get(index).filter(|seat| seat.kept && seat.markable()) else { continue };
            let run_id = seat.run_id();
            if self.send(voter, Script::Admit { run_id }, Errand::Admit)
                && let Some(seat) = self.seats.get_mut(index)
            {
                seat.marking = true;
            }
        }
    }

    /// The marker was written.
    pub(super) fn marked(&mut self, voter: Voter) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        if std::mem::take(&mut seat.marking) && seat.standing == Standing::Admitted {
            seat.known.marked = true;
            self.dirty();
        }
    }

    fn note(&mut self, note: Note) {
        self.out.push_back(Output::Note(note));
    }
}

/// Why a node is put into quarantine.
enum Reason {
    /// This Circlet has never seen it.
    First,
    /// Another process answers.
    Restarted,
    /// Its marker is gone, or another one.
    Forgot,
    /// It has evicted so many keys.
    Evicted(u64),
    /// It was not fit to count.
    WasUnfit,
}

impl Reason {
    fn text(&self, seat: &Seat) -> String {
        match self {
            Self::First => {
                "because this Circlet meets it for the first time (lock.bootstrap admits the nodes of a new \
                            ring at once)"
                    .to_owned()
            }
            Self::Restarted => "after a restart".to_owned(),
            Self::Forgot => "after it has lost its memory (FLUSHALL, or its key circlet:admit was deleted)".to_owned(),
            Self::Evicted(count) => format!("after it has evicted {count} keys"),
            Self::WasUnfit => match &seat.standing {
                Standing::Unfit(why) => format!("after {why}"),
                _ => "after it was not fit".to_owned(),
            },
        }
    }
}

/// What is new that speaks against it.
fn reason(seat: &Seat, facts: &Facts, marker: bool) -> Option<Reason> {
    let known = &seat.known;
    if known.run_id.is_empty() {
        return Some(Reason::First);
    }
    if known.run_id != facts.run_id {
        return Some(Reason::Restarted);
    }
    if matches!(seat.standing, Standing::Unfit(_)) {
        return Some(Reason::WasUnfit);
    }
    if marker && known.marked && facts.admit.as_deref() != Some(facts.run_id.as_str()) {
        return Some(Reason::Forgot);
    }
    (facts.evicted > known.evicted).then(|| Reason::Evicted(facts.evicted - known.evicted))
}

/// Why it cannot count as it is, and the cure.
fn unfit(facts: &Facts) -> Option<String> {
    if !facts.primary {
        return Some("it is a replica, which may lose what it was told; name its primary as the node".to_owned());
    }
    if let Some(policy) = &facts.evicts {
        return Some(format!(
            "it may evict keys (maxmemory-policy {policy}); set it to noeviction, or maxmemory to 0, on the nodes of locks"
        ));
    }
    let major = facts.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    major
        .is_none_or(|major| major < OLDEST)
        .then(|| format!("its version is {}, and locks need {OLDEST}.0 or newer; upgrade it", facts.version))
}
