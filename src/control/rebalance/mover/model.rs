//! Every order of what can happen to one key, forth and back: a breadth-first search over a small model.
//!
//! Clients at several workers want the key; restores may be answered, be done with the answer lost, or arrive at any later
//! time; what has arrived is marked, also late, and whoever finds it marked asks no more; the key may expire; the move may end
//! or be taken back at any time. In every state the node whose turn it is has the last acknowledged value. Each rule can be
//! left out, and then the search finds how a value is lost or comes back: so each is needed, and the search sees what it
//! should.

use std::collections::{HashMap, VecDeque};

/// A value; `None`: the key is not there. 0 is the one before the move, which may expire.
type Value = Option<u8>;

/// The rules that hold.
#[derive(Clone, Copy)]
struct Rules {
    /// TAKE forth: a key is restored once.
    tombstones: bool,
    /// TAKE forth: not without the nonce.
    nonce: bool,
    /// Back: the forward set is put aside first, and its nonces with it.
    silence: bool,
    /// Back: what is not in the forward set has never left.
    members: bool,
    /// Back: the value restored replaces the one there.
    replace: bool,
    /// Back: a key that is gone at the target is deleted at the source.
    unlink: bool,
    /// TAKE back: a key is restored once.
    back_tombstones: bool,
    /// TAKE back: not without the nonce.
    back_nonce: bool,
    /// The key is marked when it has arrived, and not when somebody asks for it.
    marks_behind: bool,
    /// The way back has a table of marks of its own.
    own_marks: bool,
}

const ALL: Rules = Rules {
    tombstones: true,
    nonce: true,
    silence: true,
    members: true,
    replace: true,
    unlink: true,
    back_tombstones: true,
    back_nonce: true,
    marks_behind: true,
    own_marks: true,
};

/// Where the change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Phase {
    Forth,
    /// Closed; the target has the key, the source's copy may be purged at any time.
    Moved,
    Back,
    /// Closed; the source has the key, the target's copy may be deleted at any time.
    Returned,
}

/// What a worker does for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    /// Asks for the key.
    Give,
    /// Has been given this, and sends it on.
    Take(Value),
    /// Has been told that the key has arrived, and marks it.
    Mark,
    /// May run the client's command.
    Run,
    Done,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    phase: Phase,
    source: Value,
    target: Value,
    /// What was acknowledged last.
    truth: Value,
    nonce: bool,
    tombstone: bool,
    back_nonce: bool,
    back_tombstone: bool,
    /// The table that workers look at now says that the key has arrived.
    marked: bool,
    /// A mark of the phase before is still to be set.
    late_mark: bool,
    /// Restores on their way: back or forth, and of what. Sorted.
    late: Vec<(bool, Value)>,
    workers: Vec<(Step, u8)>,
    /// Commands that clients have run.
    ran: u8,
}

impl State {
    /// TAKE at the target; whether it was answered other than FENCED.
    fn take(&mut self, rules: Rules, value: Value) -> bool {
        if rules.nonce && !self.nonce {
            return false;
        }
        if rules.tombstones && self.tombstone {
            return true;
        }
        self.tombstone = true;
        // Without REPLACE.
        self.target = self.target.or(value);
        true
    }

    fn take_back(&mut self, rules: Rules, value: Value) -> bool {
        if rules.back_nonce && !self.back_nonce {
            return false;
        }
        if rules.back_tombstones && self.back_tombstone {
            return true;
        }
        self.back_tombstone = true;
        match value {
            Some(_) if rules.replace || self.source.is_none() => self.source = value,
            None if rules.unlink => self.source = None,
            _ => {}
        }
        true
    }

    fn take_either(&mut self, rules: Rules, back: bool, value: Value) -> bool {
        if back { self.take_back(rules, value) } else { self.take(rules, value) }
    }

    /// What the node has whose value counts.
    fn owner(&self) -> Value {
        match self.phase {
            Phase::Forth if !self.tombstone => self.source,
            Phase::Back if self.tombstone && !self.back_tombstone => self.target,
            Phase::Forth | Phase::Moved => self.target,
            Phase::Back | Phase::Returned => self.source,
        }
    }

    fn expire(&mut self) {
        let over = |value: &mut Value| *value = value.filter(|value| *value != 0);
        over(&mut self.source);
        over(&mut self.target);
        over(&mut self.truth);
        self.late.iter_mut().for_each(|(_, value)| over(value));
        for (step, _) in &mut self.workers {
            if let Step::Take(value) = step {
                over(value);
            }
        }
        self.late.sort_unstable();
    }

    /// Workers begin anew under another phase; what they have sent is on its way.
    fn enter(&mut self, rules: Rules, phase: Phase, begin: Step) {
        let back = self.phase == Phase::Back;
        self.late_mark |= self.workers.iter().any(|(step, _)| *step == Step::Mark);
        self.marked &= !rules.own_marks;
        for (step, _) in &mut self.workers {
            if let Step::Take(value) = *step {
                self.late.push((back, value));
            }
            if *step != Step::Done || phase == Phase::Back {
                *step = begin;
            }
        }
        self.late.sort_unstable();
        self.phase = phase;
    }
}

fn next(state: &State, rules: Rules) -> Vec<(String, State)> {
    let mut all = Vec::new();
    let mut add = |what: String, change: &dyn Fn(&mut State)| {
        let mut changed = state.clone();
        change(&mut changed);
        all.push((what, changed));
    };
    add("the key expires".to_owned(), &State::expire);
    for at in 0..state.late.len() {
        let (back, value) = state.late[at];
        add(format!("{value:?} lands late, back: {back}"), &|s| {
            s.late.remove(at);
            s.take_either(rules, back, value);
        });
    }
    if state.late_mark {
        add("it is marked late".to_owned(), &|s| {
            s.late_mark = false;
            s.marked |= !rules.own_marks;
        });
    }
    change_steps(state, rules, &mut add);
    for number in 0..state.workers.len() {
        worker_steps(state, rules, number, &mut add);
    }
    all
}

type Add<'a> = dyn FnMut(String, &dyn Fn(&mut State)) + 'a;

/// What the driver may do.
fn change_steps(state: &State, rules: Rules, add: &mut Add<'_>) {
    match state.phase {
        Phase::Forth => {
            add("taken back".to_owned(), &|s| {
                s.enter(rules, Phase::Back, Step::Give);
                s.nonce &= !rules.silence;
                s.back_nonce = true;
            });
            if state.tombstone {
                add("closed".to_owned(), &|s| {
                    s.enter(rules, Phase::Moved, Step::Run);
                    (s.nonce, s.tombstone) = (false, false);
                });
            }
        }
        Phase::Back if !state.tombstone || state.back_tombstone => add("closed, back".to_owned(), &|s| {
            s.enter(rules, Phase::Returned, Step::Run);
            (s.back_nonce, s.back_tombstone) = (false, false);
        }),
        Phase::Moved => add("the source is purged".to_owned(), &|s| s.source = None),
        Phase::Returned if state.tombstone => add("the target is purged".to_owned(), &|s| {
            (s.target, s.tombstone) = (None, false);
        }),
        Phase::Back | Phase::Returned => {}
    }
}

/// What a worker may do, or may happen to it.
fn worker_steps(state: &State, rules: Rules, number: usize, add: &mut Add<'_>) {
    let (step, tries) = state.workers[number];
    let back = state.phase == Phase::Back;
    match step {
        Step::Give if state.marked => {
            add(format!("{number} finds it marked"), &|s| s.workers[number].0 = Step::Run);
        }
        Step::Give if back && rules.members && !state.tombstone => {
            add(format!("{number} finds that it never left"), &|s| s.workers[number].0 = Step::Mark);
        }
        Step::Give => add(format!("{number} is given the key"), &|s| {
            s.workers[number].0 = Step::Take(if back { s.target } else { s.source });
            s.marked |= !rules.marks_behind;
        }),
        Step::Mark => add(format!("{number} marks it"), &|s| {
            s.workers[number].0 = Step::Run;
            s.marked = true;
        }),
        Step::Take(value) => {
            add(format!("{number} restores {value:?}"), &|s| {
                let heard = s.take_either(rules, back, value);
                s.workers[number].0 = if heard { Step::Mark } else { Step::Give };
            });
            if tries > 0 {
                add(format!("{number} restores {value:?} and does not know it"), &|s| {
                    s.take_either(rules, back, value);
                    s.workers[number] = (Step::Give, tries - 1);
                });
                add(format!("{number}'s restore of {value:?} is held up"), &|s| {
                    s.late.push((back, value));
                    s.late.sort_unstable();
                    s.workers[number] = (Step::Give, tries - 1);
                });
            }
        }
        Step::Run if state.ran < 4 => add(format!("{number}'s client writes"), &|s| {
            s.ran += 1;
            // The first worker's client deletes, the others' set a value of their own.
            let value = (number > 0).then_some(s.ran);
            let to = if matches!(s.phase, Phase::Forth | Phase::Moved) { &mut s.target } else { &mut s.source };
            (*to, s.truth) = (value, value);
            s.workers[number].0 = Step::Done;
        }),
        Step::Run | Step::Done => {}
    }
}

/// The steps to a state in which the owner has not what was acknowledged last.
fn search(rules: Rules, workers: usize, tries: u8) -> Result<usize, String> {
    let begin = State {
        phase: Phase::Forth,
        source: Some(0),
        target: None,
        truth: Some(0),
        nonce: true,
        tombstone: false,
        back_nonce: false,
        back_tombstone: false,
        marked: false,
        late_mark: false,
        late: Vec::new(),
        workers: vec![(Step::Give, tries); workers],
        ran: 0,
    };
    let mut seen: HashMap<State, Option<(State, String)>> = HashMap::from([(begin.clone(), None)]);
    let mut queue = VecDeque::from([begin]);
    while let Some(state) = queue.pop_front() {
        if state.owner() != state.truth {
            return Err(trace(&seen, state));
        }
        for (what, after) in next(&state, rules) {
            if !seen.contains_key(&after) {
                seen.insert(after.clone(), Some((state.clone(), what)));
                queue.push_back(after);
            }
        }
    }
    Ok(seen.len())
}

fn trace(seen: &HashMap<State, Option<(State, String)>>, mut state: State) -> String {
    let mut steps = vec![format!("{state:?}")];
    while let Some(Some((before, what))) = seen.get(&state) {
        steps.push(what.clone());
        state = before.clone();
    }
    steps.reverse();
    steps.join("; ")
}

#[test]
fn no_order_of_things_loses_a_value_or_brings_one_back() {
    for (workers, tries) in [(1, 2), (2, 1)] {
        let states = search(ALL, workers, tries).unwrap_or_else(|trace| panic!("{workers} workers: {trace}"));
        assert!(states > 200, "{states} states");
    }
}

#[test]
fn without_any_one_of_the_rules_a_value_is_lost_or_comes_back() {
    for (name, rules) in [
        ("tombstones", Rules { tombstones: false, ..ALL }),
        ("nonce", Rules { nonce: false, ..ALL }),
        ("silence", Rules { silence: false, ..ALL }),
        ("members", Rules { members: false, ..ALL }),
        ("replace", Rules { replace: false, ..ALL }),
        ("unlink", Rules { unlink: false, ..ALL }),
        ("back tombstones", Rules { back_tombstones: false, ..ALL }),
        ("back nonce", Rules { back_nonce: false, ..ALL }),
        ("marks behind", Rules { marks_behind: false, ..ALL }),
        ("own marks", Rules { own_marks: false, ..ALL }),
    ] {
        assert!(search(rules, 2, 1).is_err(), "{name} is not needed");
    }
}
