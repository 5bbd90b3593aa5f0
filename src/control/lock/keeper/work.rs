//! What is under way for one lock: a round of one script to each of its nodes, and the votes.
//!
//! ```text
//!  Preparing ──nodes admitted──► round 1 ──► decided? ──► round 2 … ──► done
//!      └──────── node_time ────────┴── each round: node_time; a node whose line breaks has no answer at once
//! ```
//! A round ends as soon as its end is certain: a majority said yes, or none can any more. Pure.

use super::{
    Now, Said, Script, Voter,
    acquire::Attempt,
    extend::Extension,
    look::Look,
    machine::{Due, Keeper},
    release::Freeing,
    seat::Errand,
    timers::Handle,
    view::{Electorate, Mask},
};
use crate::traffic::lock::{LockAsk, LockName};

/// What is done.
#[derive(Debug)]
pub(super) enum Deed {
    Acquire(Attempt),
    Extend(Extension),
    Release(Freeing),
    Look(Look),
}

/// What is under way.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) lock: LockName,
    /// Whom the answer is for; `None`: nobody waits, or a waiter of the queue does.
    pub(super) ask: Option<LockAsk>,
    /// When it was asked for.
    pub(super) asked: Now,
    pub(super) electorate: Electorate,
    /// 0: its nodes are not ready.
    pub(super) round: u32,
    pub(super) votes: Votes,
    /// The end of the round.
    pub(super) timer: Option<Handle>,
    pub(super) deed: Deed,
}

/// The answers of one round, by the voters' places in the electorate.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// No answer yet.
    pub(super) waiting: Mask,
    pub(super) yes: Mask,
    pub(super) no: Mask,
    /// What they said.
    pub(super) said: Vec<Option<Said>>,
    /// Why there is no answer; `None` with no answer: it does not count.
    pub(super) silent: Vec<Option<String>>,
}

impl Votes {
    fn new(voters: usize) -> Self {
        Self { said: vec![None; voters], silent: vec![None; voters], ..Self::default() }
    }

    /// Those that have answered, and count.
    pub(super) fn answered(&self) -> Mask {
        self.yes | self.no
    }

    /// Counts an answer.
    fn count(&mut self, place: usize, heard: Result<Said, String>) {
        let bit = 1 << place;
        if self.waiting & bit == 0 {
            return;
        }
        self.waiting &= !bit;
        match heard {
            Ok(said) => {
                if is_yes(&said) {
                    self.yes |= bit;
                } else {
                    self.no |= bit;
                }
                if let Some(room) = self.said.get_mut(place) {
                    *room = Some(said);
                }
            }
            Err(why) => {
                if let Some(room) = self.silent.get_mut(place) {
                    *room = Some(why);
                }
            }
        }
    }

    /// Those that have not answered by now will not.
    fn close(&mut self, why: &str) {
        for (place, room) in self.silent.iter_mut().enumerate() {
            if self.waiting & 1 << place != 0 {
                *room = Some(why.to_owned());
            }
        }
        self.waiting = 0;
    }
}

fn is_yes(said: &Said) -> bool {
    match said {
        Said::Key { mine, .. } => *mine,
        Said::Fence { accepted, .. } => *accepted,
        Said::Released(released) => *released,
        Said::Done => true,
        Said::NotAdmitted | Said::Error(_) => false,
    }
}

impl Work {
    /// A work that has not begun.
    pub(super) fn new(
        lock: LockName,
        ask: Option<LockAsk>,
        asked: Now,
        electorate: Electorate,
        deed: Deed,
    ) -> Box<Self> {
        let votes = Votes::default();
        Box::new(Self { lock, ask, asked, electorate, round: 0, votes, timer: None, deed })
    }
}

/// What becomes of a work.
pub(super) enum Next {
    /// It goes on.
    On(Box<Work>),
    /// It has ended, and everybody knows.
    Done,
}

impl Keeper {
    /// Begins a work: now, or as soon as enough of its nodes count, if they soon will.
    pub(super) fn begin(&mut self, id: u64, work: Box<Work>, now: Now) {
        if let Some(ask) = &work.ask {
            self.sessions.works(ask.session, id);
        }
        if !self.used {
            self.used = true;
            self.mark_all();
        }
        if self.must_wait(&work) {
            self.prepare(id, work, now);
        } else {
            self.start(id, work, now);
        }
    }

    fn prepare(&mut self, id: u64, mut work: Box<Work>, now: Now) {
        work.timer = Some(self.timers.set(now + self.rules.limits.node_time, Due::Round(id)));
        self.preparing.insert(id);
        self.works.insert(id, work);
    }

    /// Whether too few of its nodes count, and enough soon will.
    fn must_wait(&self, work: &Work) -> bool {
        let Some(_) = &self.view else { return true };
        if matches!(work.deed, Deed::Release(_)) {
            return false;
        }
        let usable = self.usable(&work.electorate);
        let coming = self.mask_of(&work.electorate, super::seat::Seat::coming);
        // Nodes that join have no key of it: they count for an extension by being given one.
        let joins = matches!(work.deed, Deed::Extend(_)) && work.electorate.newcomers() & coming != 0;
        (joins || !work.electorate.majority(usable)) && work.electorate.majority(usable | coming)
    }

    /// Something about the nodes has changed: what waits for them may go on, or cannot.
    pub(super) fn revive(&mut self, now: Now) {
        for id in std::mem::take(&mut self.preparing) {
            let Some(mut work) = self.works.remove(&id) else { continue };
            if let Some(view) = &self.view {
                work.electorate = view.electorate(&work.lock);
            }
            if self.must_wait(&work) {
                self.preparing.insert(id);
                self.works.insert(id, work);
            } else {
                self.stop_timer(&mut work);
                self.start(id, work, now);
            }
        }
    }

    fn start(&mut self, id: u64, mut work: Box<Work>, now: Now) {
        // The nodes may have changed while it waited for them: what begins now begins under the view of now (model F6).
        if !matches!(work.deed, Deed::Release(_)) {
            work.electorate = self.electorate(&work.lock);
        }
        let next = match work.deed {
            Deed::Acquire(_) => self.start_acquire(id, work, now),
            Deed::Extend(_) => self.start_extend(id, work, now),
            Deed::Release(_) => self.start_release(id, work, now),
            Deed::Look(_) => self.start_look(id, work, now),
        };
        self.keep(id, next);
    }

    /// Sends the next round: `script` of each place in `to`; the others do not count in it.
    pub(super) fn ask_round(
        &mut self,
        id: u64,
        work: &mut Work,
        to: Mask,
        now: Now,
        script: impl Fn(usize, String) -> Script,
    ) {
        self.stop_timer(work);
        work.round += 1;
        work.votes = Votes::new(work.electorate.voters.len());
        for (place, voter) in work.electorate.voters.iter().copied().enumerate() {
            let run_id = self.seats.get(usize::from(voter.0)).map(super::seat::Seat::run_id).unwrap_or_default();
            if to & 1 << place != 0 && self.send(voter, script(place, run_id), Errand::Round(id, work.round)) {
                work.votes.waiting |= 1 << place;
            } else if let (Some(room), Some(seat)) =
                (work.votes.silent.get_mut(place), self.seats.get(usize::from(voter.0)).filter(|seat| !seat.usable()))
            {
                *room = Some(seat.why_not(now));
            }
        }
        work.timer = Some(self.timers.set(now + self.rules.limits.node_time, Due::Round(id)));
    }

    /// A voter has answered, or will not.
    pub(super) fn heard(&mut self, id: u64, round: u32, voter: Voter, heard: Result<Said, String>, now: Now) {
        let Some(mut work) = self.works.remove(&id) else { return };
        if let Ok(Said::Key { fence, .. } | Said::Fence { stored: fence, .. }) = &heard {
            self.learn_epoch(*fence);
        }
        if let (Deed::Acquire(attempt), Ok(said)) = (&mut work.deed, &heard)
            && let Some(place) = work.electorate.voters.iter().position(|known| *known == voter)
        {
            attempt.learn(place, said);
        }
        if work.round != round {
            self.works.insert(id, work);
            return;
        }
        if let Some(place) = work.electorate.voters.iter().position(|known| *known == voter) {
            work.votes.count(place, heard);
        }
        self.decide(id, work, now);
    }

    /// Another Circlet has raised its epoch: what comes behind it must be larger, also when the nodes have forgotten it.
    fn learn_epoch(&mut self, fence: u64) {
        let epoch = fence >> 32;
        if epoch > self.epoch && fence < super::acquire::LAST_FENCE {
            self.epoch = epoch;
            self.dirty();
        }
    }

    /// A round, or the wait for its nodes, has no more time.
    pub(super) fn round_over(&mut self, id: u64, now: Now) {
        let Some(mut work) = self.works.remove(&id) else { return };
        work.timer = None;
        if work.round == 0 {
            self.preparing.remove(&id);
            self.start(id, work, now);
            return;
        }
        work.votes.close(&format!("no answer within {} ms", self.rules.limits.node_time.as_millis()));
        self.decide(id, work, now);
    }

    fn decide(&mut self, id: u64, work: Box<Work>, now: Now) {
        let next = match work.deed {
            Deed::Acquire(_) => self.decide_acquire(id, work, now),
            Deed::Extend(_) => self.decide_extend(id, work, now),
            Deed::Release(_) => self.decide_release(id, work, now),
            Deed::Look(_) => self.decide_look(id, work, now),
        };
        self.keep(id, next);
    }

    fn keep(&mut self, id: u64, next: Next) {
        if let Next::On(work) = next {
            self.works.insert(id, work);
        }
    }

    pub(super) fn stop_timer(&mut self, work: &mut Work) {
        if let Some(timer) = work.timer.take() {
            self.timers.stop(timer);
        }
    }

    /// Those of the electorate that count now.
    pub(super) fn usable(&self, electorate: &Electorate) -> Mask {
        self.mask_of(electorate, super::seat::Seat::usable)
    }

    pub(super) fn mask_of(&self, electorate: &Electorate, is: impl Fn(&super::seat::Seat) -> bool) -> Mask {
        let mut mask = 0;
        for (place, voter) in electorate.voters.iter().enumerate() {
            if self.seats.get(usize::from(voter.0)).is_some_and(&is) {
                mask |= 1 << place;
            }
        }
        mask
    }

    /// The nodes of a lock as they are now; without any node there is nobody.
    pub(super) fn electorate(&self, lock: &LockName) -> Electorate {
        let nobody = || Electorate { voters: Vec::new(), old: 0, new: None };
        self.view.as_ref().map_or_else(nobody, |view| view.electorate(lock))
    }

    /// Too few nodes have answered; the words behind NOQUORUM.
    pub(super) fn shortfall(&self, work: &Work, now: Now) -> String {
        let name = String::from_utf8_lossy(&work.lock.name).into_owned();
        if self.view.is_none() {
            let why = match &self.records.trouble {
                Some(why) => format!("the state of locks cannot be written: {why}"),
                None => "the nodes are not known yet".to_owned(),
            };
            return format!("lock '{name}': {why}");
        }
        let votes = work.electorate.votes();
        // Whoever counts and was not asked, since the others would not do anyway, would have answered.
        let silent = work.votes.silent.iter().enumerate().filter(|(_, why)| why.is_some());
        let silent = silent.fold(0, |mask, (place, _)| mask | 1 << place);
        let ready = self.usable(&work.electorate) & !silent & !work.votes.waiting;
        let answered = (work.votes.answered() | ready) & votes;
        let silent = |(place, voter): (usize, &Voter)| {
            let seat = self.seats.get(usize::from(voter.0))?;
            if votes & 1 << place == 0 || answered & 1 << place != 0 {
                return None;
            }
            let why = work.votes.silent.get(place).cloned().flatten().unwrap_or_else(|| seat.why_not(now));
            Some(format!("{}: {why}", seat.member.name))
        };
        let mut reasons: Vec<_> = work.electorate.voters.iter().enumerate().filter_map(silent).collect();
        reasons.sort_unstable();
        let mut text = format!("lock '{name}': {}", tally(&work.electorate, answered));
        if !reasons.is_empty() {
            text = format!("{text} ({})", reasons.join("; "));
        }
        if let Some(why) = &self.records.trouble {
            text = format!("{text}; the state of locks cannot be written: {why}");
        }
        text
    }
}

/// `1 of 3 nodes answered`.
fn tally(electorate: &Electorate, answered: Mask) -> String {
    let of = |set: Mask| ((answered & set).count_ones(), set.count_ones());
    let (old, all) = of(electorate.old);
    match electorate.new {
        None => format!("{old} of {all} nodes answered"),
        Some(new) => {
            let (after, of_them) = of(new);
            format!("nodes change, and {old} of the {all} before and {after} of the {of_them} after answered")
        }
    }
}
