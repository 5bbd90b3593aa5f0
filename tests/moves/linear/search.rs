//! Looks for an order of one object's operations that the object allows: Wing and Gong's search, told just in time.
//!
//! ```text
//!  events in time:  begin a · begin b · end a · begin c · end b · …
//!                                        │
//!   what may be so by now ──────────► at each end: every way to let that operation have happened,
//!   (state, which of the open                 with others that are open before it, if that helps
//!    operations have happened)       ◄── none left: there is no such order
//! ```
//! Three things keep the number of ways small. What is the same is looked at once. A reply that fits and says that nothing
//! changed is let happen at once: later would not be better. Of two ways that differ only in operations of unknown
//! outcome, the one that has used fewer can do all that the other can; and of equal such operations the eldest goes first.

use std::collections::{HashMap, VecDeque};

use super::{
    evidence,
    history::Op,
    object::{State, step},
};

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Broken(Box<Break>),
    /// Too many ways to look at them all.
    TooMuch,
}

/// Where the last possible order ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// What happened lately, in the order of begin.
    pub window: Vec<Op>,
    /// The last time at which nothing was open and one state possible, and that state.
    pub certain: (u64, State),
    /// Which of the window cannot have happened.
    pub op: usize,
    /// Who wrote what its reply shows.
    pub origin: Option<Op>,
    /// The states that were possible before its end.
    pub possible: Vec<State>,
}

/// Ways that one history may cost; a second or two.
const BUDGET: usize = 1_500_000;

/// Events that are shown of the time before the state was certain.
const BEFORE: usize = 40;

/// Operations that are open at a time: one bit each.
const SLOTS: usize = 64;

/// Searches. `slack`: see [`step`].
pub fn check(ops: &[Op], slack: u64) -> Verdict {
    let ops = evidence::close(ops);
    Search::new(&ops, slack).run()
}

struct Search<'a> {
    ops: &'a [Op],
    slack: u64,
    /// The operations that have begun and not ended, by their bit.
    open: [Option<usize>; SLOTS],
    /// Bits of open operations that will end.
    ending: u64,
    ways: Ways,
    left: usize,
    /// The last event at which nothing was open and one way left, its time and state.
    certain: (usize, u64, State),
}

impl<'a> Search<'a> {
    fn new(ops: &'a [Op], slack: u64) -> Self {
        let mut ways = Ways::default();
        ways.insert(&State::Absent, 0, 0);
        Self { ops, slack, open: [None; SLOTS], ending: 0, ways, left: BUDGET, certain: (0, 0, State::Absent) }
    }

    fn run(mut self) -> Verdict {
        let begins = self.ops.iter().enumerate().map(|(at, op)| (op.begin, 0, at));
        let ends = self.ops.iter().enumerate().filter_map(|(at, op)| Some((op.end?, 1, at)));
        let mut events: Vec<(u64, u8, usize)> = begins.chain(ends).collect();
        // At one time, begins come first: what touches overlaps.
        events.sort_unstable();
        for (number, &(time, is_end, at)) in events.iter().enumerate() {
            if is_end == 0 {
                let Some(slot) = self.open.iter().position(Option::is_none) else { return Verdict::TooMuch };
                self.open[slot] = Some(at);
                self.ending |= u64::from(self.ops[at].end.is_some()) << slot;
                continue;
            }
            let before = self.ways.states();
            if !self.end(at) {
                return Verdict::TooMuch;
            }
            if self.ways.is_empty() {
                return Verdict::Broken(Box::new(self.explain(&events[..=number], at, before)));
            }
            if self.ending == 0
                && let Some(state) = self.ways.only()
            {
                self.certain = (number + 1, time, state);
            }
        }
        Verdict::Linearizable
    }

    /// Keeps the ways in which the operation `at` has happened; `false` if they are too many to look at.
    fn end(&mut self, at: usize) -> bool {
        let slot = self.open.iter().position(|&open| open == Some(at)).expect("it has begun");
        let bit = 1 << slot;
        let (mut seen, mut next, mut cost) = (Ways::default(), Ways::default(), 0);
        let mut queue: VecDeque<(State, u64)> = std::mem::take(&mut self.ways).into_iter().collect();
        while let Some((state, done)) = queue.pop_front() {
            let done = self.absorb(&state, done);
            if done & bit != 0 {
                next.insert(&state, done & self.ending & !bit, done & !self.ending);
                continue;
            }
            for (slot, op) in self.candidates(done) {
                for after in step(&state, op, self.slack) {
                    let done = done | 1 << slot;
                    if seen.insert(&after, done & self.ending, done & !self.ending) {
                        queue.push_back((after, done));
                        cost += 1;
                    }
                }
            }
            if cost > self.left {
                return false;
            }
        }
        self.left -= cost;
        self.ways = next;
        self.open[slot] = None;
        self.ending &= !bit;
        true
    }

    /// Lets every open operation happen whose reply fits and says that it changed nothing.
    fn absorb(&self, state: &State, mut done: u64) -> u64 {
        for (slot, op) in self.candidates(done) {
            if op.changed_nothing() && step(state, op, self.slack).next().is_some_and(|after| after == *state) {
                done |= 1 << slot;
            }
        }
        done
    }

    /// Open operations that have not happened in this way. Of those without an end that are equal, the eldest.
    fn candidates(&self, done: u64) -> impl Iterator<Item = (usize, &Op)> {
        let waits = move |slot: usize, at: &usize| done >> slot & 1 == 0 && self.ops[*at].end.is_none();
        self.open.iter().enumerate().filter_map(move |(slot, at)| {
            let at = (*at)?;
            let op = &self.ops[at];
            let elder = |(slot, other): (usize, &Option<usize>)| {
                other.is_some_and(|other| other < at && waits(slot, &other) && self.ops[other].call == op.call)
            };
            let possible = done >> slot & 1 == 0 && (op.end.is_some() || !self.open.iter().enumerate().any(elder));
            possible.then_some((slot, op))
        })
    }

    fn explain(&self, events: &[(u64, u8, usize)], failed: usize, possible: Vec<State>) -> Break {
        let (from, time, state) = &self.certain;
        let recent = &events[from.saturating_sub(BEFORE)..];
        // What never ended may take effect late.
        let mut shown: Vec<usize> =
            recent.iter().map(|&(_, _, at)| at).chain(self.open.iter().flatten().copied()).collect();
        shown.sort_unstable();
        shown.dedup();
        Break {
            op: shown.iter().position(|&at| at == failed).expect("its end is the last event"),
            window: shown.iter().map(|&at| self.ops[at].clone()).collect(),
            certain: (*time, state.clone()),
            origin: evidence::origin(self.ops, &self.ops[failed]).cloned(),
            possible,
        }
    }
}

/// Ways in which it may have been so far: a state and which open operations have happened, those that end and those that do
/// not. Of the latter only the smallest sets are kept.
#[derive(Debug, Default)]
struct Ways(HashMap<(State, u64), Vec<u64>>);

impl Ways {
    /// Whether this way is new: no other does the same with less.
    fn insert(&mut self, state: &State, ending: u64, endless: u64) -> bool {
        let sets = self.0.entry((state.clone(), ending)).or_default();
        if sets.iter().any(|set| set & endless == *set) {
            return false;
        }
        sets.retain(|set| set & endless != endless);
        sets.push(endless);
        true
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn states(&self) -> Vec<State> {
        let mut states: Vec<State> = Vec::new();
        for (state, _) in self.0.keys() {
            if !states.contains(state) {
                states.push(state.clone());
            }
        }
        states
    }

    /// The state, if there is one way only.
    fn only(&self) -> Option<State> {
        let mut ways = self.0.iter();
        let ((state, _), sets) = ways.next()?;
        (ways.next().is_none() && sets.len() == 1).then(|| state.clone())
    }

    fn into_iter(self) -> impl Iterator<Item = (State, u64)> {
        self.0
            .into_iter()
            .flat_map(|((state, ending), sets)| sets.into_iter().map(move |set| (state.clone(), ending | set)))
    }
}
