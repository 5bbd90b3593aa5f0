//! The keeper: what it has, and who of its parts is told what.
//!
//! ```text
//!            ┌─ Ask, Unblock, Gone ──────► ask ──► acquire · extend · release · look ──┐
//!  Input ────┼─ Answered ──► clock ──► work (rounds, votes) ──► decided ───────────────┼──► Output
//!   + now    ├─ Met, Lost, Looked ───────► quarantine · debts                          │
//!            ├─ Wanted, Saved, NotSaved ─► change · records                            │
//!            └─ before anything else: what has lapsed ─────────────────────────────────┘
//! ```
//! Lapses first: after a pause of the process nobody is told that he holds what is over. Everything that is sent has an errand
//! in its seat's queue, in the order of the line, so that a line that breaks answers all of them at once. Pure.

use std::collections::{BTreeSet, HashMap, VecDeque};

use rustc_hash::FxHashMap;

use super::{
    Facts, Input, Limits, LineNo, Member, Now, Output, Rules, Said, Script, Ticket, Voter,
    dice::Dice,
    held::Holdings,
    placement::SLOTS,
    records::Records,
    seat::{Errand, Seat, Standing, payable, seconds},
    timers::Timers,
    view::View,
    waiting::{Queue, Sessions},
    work::Work,
};
use crate::{
    control::lock::state::{State, Window},
    traffic::lock::LockName,
};

/// What comes at its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A round has no more time.
    Round(u64),
    /// A waiter has waited long enough.
    Deadline(LockName, u64),
    /// The first of those that wait tries again.
    Retry(LockName),
    /// A SESSION lock is renewed.
    Renew(LockName),
    /// A node's quarantine is over.
    Quarantine(Voter),
    /// The window is over.
    Window,
    /// A write that failed is tried again.
    Write,
}

/// Decides everything about the locks of one pool.
#[derive(Debug)]
pub struct Keeper {
    pub(super) rules: Rules,
    pub(super) dice: Dice,
    pub(super) boot: String,
    // The nodes, and what is wanted to be on the disk of them.
    pub(super) seats: Vec<Seat>,
    pub(super) view: Option<View>,
    pub(super) epoch: u64,
    pub(super) set: Vec<Member>,
    pub(super) window: Option<Window>,
    /// What comes after the change under way.
    pub(super) wanted: Option<Vec<Member>>,
    /// Nodes of a young ring that were not met yet.
    pub(super) young: Vec<Member>,
    pub(super) records: Records,
    /// A lock was asked for in this process.
    pub(super) used: bool,
    // The locks.
    pub(super) held: Holdings,
    pub(super) queues: HashMap<LockName, Queue>,
    /// Clients that wait, of all queues.
    pub(super) waiters: usize,
    pub(super) sessions: Sessions,
    pub(super) works: FxHashMap<u64, Box<Work>>,
    /// Works that wait for nodes to be admitted.
    pub(super) preparing: BTreeSet<u64>,
    /// The last fence of each slot.
    pub(super) fences: Box<[u64]>,
    pub(super) timers: Timers<Due>,
    /// Numbers of works, waiters and tickets.
    pub(super) numbers: u64,
    /// The latest time that was heard.
    clock: Now,
    pub(super) out: VecDeque<Output>,
}

impl Keeper {
    /// A keeper that goes on from `state`, on the boot `boot`; its tokens come from `secret`.
    #[must_use]
    pub fn new(rules: Rules, state: Option<State>, boot: String, secret: [u8; 32], now: Now) -> Self {
        let mut keeper = Self {
            rules,
            dice: Dice::new(secret),
            boot,
            seats: Vec::new(),
            view: None,
            epoch: 0,
            set: Vec::new(),
            window: None,
            wanted: None,
            young: Vec::new(),
            records: Records::default(),
            used: false,
            held: Holdings::default(),
            queues: HashMap::new(),
            waiters: 0,
            sessions: Sessions::default(),
            works: FxHashMap::default(),
            preparing: BTreeSet::new(),
            fences: vec![0; usize::from(SLOTS)].into_boxed_slice(),
            timers: Timers::default(),
            numbers: 0,
            clock: now,
            out: VecDeque::new(),
        };
        if let Some(state) = state {
            keeper.restore(state, now);
            keeper.write();
        }
        keeper
    }

    /// Something has happened, at `now`.
    pub fn handle(&mut self, input: Input, now: Now) {
        let now = now.max(self.clock);
        self.clock = now;
        self.lapse(now);
        match input {
            Input::Ask(ask) => self.on_ask(ask, now),
            Input::Unblock { session, error } => self.on_unblock(session, error, now),
            Input::Gone(session) => self.on_gone(session, now),
            Input::Met { voter, line, facts, sent } => self.on_met(voter, line, facts, sent, now),
            Input::Lost { voter, line, why } => self.lose(voter, line, &why, now),
            Input::Looked { voter, line, facts, sent } => {
                if self.is_current(voter, line) {
                    self.looked(voter, facts, sent, now);
                }
            }
            Input::Answered { voter, line, ticket, said, clock_us, sent } => {
                self.on_answered(voter, line, ticket, Answer { said, clock_us, sent }, now);
            }
            Input::Freed { lock } => self.on_freed(&lock, now),
            Input::Wanted(members) => self.on_wanted(members),
            Input::Saved(number) => self.on_saved(number, now),
            Input::NotSaved(number, why) => self.on_not_saved(number, why, now),
            Input::Wake => {}
        }
        while let Some(due) = self.timers.pop(now) {
            self.on_due(due, now);
        }
        self.write();
        if cfg!(debug_assertions) && self.numbers.is_multiple_of(256) {
            self.check();
        }
    }

    /// These limits hold for what comes now: who waits or holds goes on.
    pub fn limit(&mut self, limits: Limits) {
        self.rules.limits = limits;
    }

    /// What is to be done, one at a time.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Input::Wake`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        [self.timers.next(), self.held.next_lapse()].into_iter().flatten().min()
    }

    fn on_due(&mut self, due: Due, now: Now) {
        match due {
            Due::Round(work) => self.round_over(work, now),
            Due::Deadline(lock, waiter) => self.waited_enough(&lock, waiter, now),
            Due::Retry(lock) => self.retry(&lock, now),
            Due::Renew(lock) => self.renew(&lock, now),
            Due::Quarantine(voter) => self.quarantine_over(voter),
            Due::Window => self.window_over(now),
            Due::Write => self.write_again(),
        }
    }

    /// The next number.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn is_current(&self, voter: Voter, line: LineNo) -> bool {
        self.seats.get(usize::from(voter.0)).is_some_and(|seat| seat.line == Some(line))
    }

    /// Sends a script over the voter's line; `false`: there is none.
    pub(super) fn send(&mut self, voter: Voter, script: Script, errand: Errand) -> bool {
        let ticket = Ticket(self.number());
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return false };
        let Some(line) = seat.line else { return false };
        seat.errands.push_back((ticket, errand));
        self.out.push_back(Output::Send { voter, line, ticket, script });
        true
    }

    fn on_met(&mut self, voter: Voter, line: LineNo, facts: Facts, sent: Now, now: Now) {
        let Some(seat) = self.seats.get(usize::from(voter.0)) else { return };
        if !seat.kept || line < seat.latest || seat.line == Some(line) {
            return;
        }
        if let Some(old) = seat.line {
            self.lose(voter, old, "another connection has taken its place", now);
        }
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        (seat.line, seat.latest, seat.down) = (Some(line), line, None);
        let debts = std::mem::take(&mut seat.debts);
        // What the old line had queued is dead: a release now is the last word about its attempt.
        for script in payable(debts, now) {
            self.send(voter, script, Errand::Nothing);
        }
        self.looked(voter, facts, sent, now);
        self.revive(now);
    }

    fn looked(&mut self, voter: Voter, facts: Facts, sent: Now, now: Now) {
        let (time, same) = (facts.clock_us, self.is_same(voter, &facts));
        self.look_at(voter, facts, now);
        if same {
            self.compare_clocks(voter, time, sent, now);
        }
        if self.used {
            self.mark_all();
        }
    }

    /// Whether the process is the one that was known.
    fn is_same(&self, voter: Voter, facts: &Facts) -> bool {
        self.seats.get(usize::from(voter.0)).is_some_and(|seat| seat.known.run_id == facts.run_id)
    }

    /// A node whose clock was set does not count.
    fn compare_clocks(&mut self, voter: Voter, time_us: Option<u64>, sent: Now, now: Now) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        let Some(jump) = time_us.and_then(|time| seat.clock.heard(time, sent, now)) else { return };
        let by = seconds(std::time::Duration::from_micros(jump.unsigned_abs()));
        let way = if jump > 0 { "forward" } else { "back" };
        self.accuse(voter, format!("after its clock was set {way} by {by}"), false, now);
    }

    /// The voter's line is gone, or none can be had.
    pub(super) fn lose(&mut self, voter: Voter, line: LineNo, why: &str, now: Now) {
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        if line < seat.latest {
            return;
        }
        seat.latest = line;
        let first = seat.down.is_none();
        (seat.line, seat.down, seat.marking) = (None, Some(why.to_owned()), false);
        for (_, errand) in std::mem::take(&mut seat.errands) {
            if let Errand::Round(work, round) = errand {
                self.heard(work, round, voter, Err(why.to_owned()), now);
            }
        }
        if first {
            self.revive(now);
        }
    }

    fn on_answered(&mut self, voter: Voter, line: LineNo, ticket: Ticket, answer: Answer, now: Now) {
        if !self.is_current(voter, line) {
            return;
        }
        let Some(seat) = self.seats.get_mut(usize::from(voter.0)) else { return };
        let Some(place) = seat.errands.iter().position(|(known, _)| *known == ticket) else { return };
        let Some((_, errand)) = seat.errands.remove(place) else { return };
        let counted = matches!(seat.standing, Standing::Admitted);
        self.compare_clocks(voter, answer.clock_us, answer.sent, now);
        if answer.said == Said::NotAdmitted && counted && !self.rules.safety.marker {
            self.unmark(voter);
        } else if answer.said == Said::NotAdmitted && counted {
            let why = "after it has lost its memory (FLUSHALL, or its key circlet:admit was deleted)";
            self.accuse(voter, why.to_owned(), true, now);
        }
        match errand {
            Errand::Nothing => {}
            Errand::Admit if answer.said == Said::Done => self.marked(voter),
            Errand::Admit => self.not_marked(voter),
            Errand::Round(work, round) => {
                let heard = self.weigh(voter, answer.said, now);
                self.heard(work, round, voter, heard, now);
            }
        }
    }

    /// An answer, if it counts; else why it does not.
    fn weigh(&self, voter: Voter, said: Said, now: Now) -> Result<Said, String> {
        let Some(seat) = self.seats.get(usize::from(voter.0)) else { return Err(String::new()) };
        match said {
            // What was deleted is deleted, whatever else the node has forgotten.
            Said::Released(_) => Ok(said),
            Said::Error(line) => Err(line),
            Said::NotAdmitted => Err(seat.why_not(now)),
            _ if seat.standing != Standing::Admitted => Err(seat.why_not(now)),
            _ => Ok(said),
        }
    }

    /// The marker is written again as if nothing had been forgotten: only without its rule.
    fn unmark(&mut self, voter: Voter) {
        if let Some(seat) = self.seats.get_mut(usize::from(voter.0)) {
            seat.known.marked = false;
        }
        if self.used {
            self.mark_all();
        }
    }

    fn not_marked(&mut self, voter: Voter) {
        if let Some(seat) = self.seats.get_mut(usize::from(voter.0)) {
            // Tried again at the next look.
            seat.marking = false;
        }
    }

    /// How many locks are held by clients of this process.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How many clients wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiters
    }

    /// How many keys of Circlet's own the nodes have in this db, as far as this process knows.
    #[must_use]
    pub fn surplus(&self, db: u32) -> u64 {
        if db != 0 {
            return 0;
        }
        let of_seat = |seat: &Seat| u64::from(seat.known.marked) + u64::from(seat.fenced && seat.known.marked);
        self.seats.iter().filter(|seat| seat.kept).map(of_seat).sum::<u64>() + self.held.keys()
    }

    /// Whether what must hold holds.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&self) {
        self.held.check();
        let waiting: usize = self.queues.values().map(Queue::len).sum();
        assert_eq!(waiting, self.waiters, "the number of waiters");
        for (lock, queue) in &self.queues {
            assert!(queue.len() > 0 || queue.contender.is_some(), "{lock:?}: an empty queue");
            if let Some((work, _)) = queue.contender {
                assert!(self.works.contains_key(&work), "{lock:?}: a contender without work");
            }
        }
        assert!(self.works.values().all(|work| work.timer.is_some()), "a work without end");
        assert!(self.epoch >= self.records.saved.epoch, "the epoch goes back");
    }
}

/// What a node has answered.
struct Answer {
    said: Said,
    clock_us: Option<u64>,
    sent: Now,
}
