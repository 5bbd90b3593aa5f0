//! Plays steps on all sides at the same time and compares what each connection gets.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    caches::Caches,
    canonical::canonical,
    side::{Side, State},
    step::Step,
};
/// The protocols that the connections begin with.
pub const PROTOS: [u8; 5] = [2, 3, 2, 3, 3];

/// How long a right answer may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// What the next step may depend on.
#[derive(Debug)]
pub struct View {
    pub states: Vec<State>,
    pub closed: Vec<bool>,
}

/// A play that is over.
#[derive(Debug)]
pub struct Told {
    pub steps: Vec<Step>,
    /// Why it ended before its time.
    pub difference: Option<String>,
}

/// Plays up to `count` steps, each made when the one before is done; `None` ends it.
pub fn play(
    plain: &mut Side,
    others: &mut [Side],
    patience: Duration,
    count: usize,
    mut next: impl FnMut(&View) -> Option<Step>,
) -> Told {
    for side in std::iter::once(&mut *plain).chain(&mut *others) {
        side.begin(&PROTOS);
    }
    let mut view = View { states: plain.settle(None), closed: vec![false; PROTOS.len()] };
    let (mut steps, mut caches) = (Vec::new(), Caches::default());
    for _ in 0..count {
        let Some(step) = next(&view) else { return Told { steps, difference: None } };
        for side in std::iter::once(&mut *plain).chain(&mut *others) {
            side.act(&step);
        }
        let brief = step.is_brief().then(|| (step.connection(), patience));
        let before = std::mem::replace(&mut view.states, plain.settle(brief));
        caches.follow(&step, &before, &view.states);
        steps.push(step);
        view.closed = plain.connections.iter().map(|connection| connection.closed).collect();
        let wrong = others.iter_mut().find_map(|other| differs(plain, other, &caches, patience));
        if wrong.is_some() {
            return Told { steps, difference: wrong };
        }
        let changed = forget(plain, others, &mut caches);
        caches.keep_reads(&changed);
    }
    let wrong = others.iter_mut().find_map(|other| (!other.same_data(plain)).then(|| other.name.clone()));
    Told { steps, difference: wrong.map(|name| format!("{name}: the data differ at the end")) }
}

/// Forgets what has come; gives the keys of which anybody was told.
fn forget(plain: &mut Side, others: &mut [Side], caches: &mut Caches) -> BTreeSet<Option<Vec<u8>>> {
    let mut changed = BTreeSet::new();
    for side in std::iter::once(plain).chain(others) {
        for (at, connection) in side.connections.iter_mut().enumerate() {
            caches.told(at, &connection.invalid);
            changed.append(&mut connection.invalid);
            connection.forget();
        }
    }
    changed
}

/// What is wrong at `other`, once there was time enough for everything that `plain` has.
fn differs(plain: &mut Side, other: &mut Side, caches: &Caches, patience: Duration) -> Option<String> {
    let end = Instant::now() + patience;
    for at in 0..PROTOS.len() {
        loop {
            other.drain();
            let difference = compare(plain, other, at, caches);
            match difference {
                None => break,
                Some(Difference { late: true, .. }) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_micros(200));
                }
                Some(difference) => return Some(format!("{}, connection {at}: {}", other.name, difference.text)),
            }
        }
    }
    let wanted = plain.blocked();
    loop {
        let got = other.blocked();
        if got == wanted {
            break;
        }
        if Instant::now() > end {
            return Some(format!("{}: {got} clients wait at the nodes, not {wanted}", other.name));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    None
}

struct Difference {
    text: String,
    /// It may be that something is still to come.
    late: bool,
}

fn compare(plain: &Side, other: &Side, at: usize, caches: &Caches) -> Option<Difference> {
    let (expected, got) = (&plain.connections[at], &other.connections[at]);
    let queues = [("reply", &expected.replies, &got.replies), ("push", &expected.pushes, &got.pushes)];
    for (what, expected, got) in queues {
        let late = got.len() < expected.len();
        let (expected, got) = (canonical(expected, plain), canonical(got, other));
        for number in 0..expected.len().max(got.len()) {
            let (one, another) = (expected.get(number), got.get(number));
            if one == another {
                continue;
            }
            let shown = |frame: Option<&Vec<u8>>| match frame {
                Some(frame) => format!("{:?}", String::from_utf8_lossy(&frame[..frame.len().min(500)])),
                None => "nothing".to_owned(),
            };
            let text = format!("{what} {number}\n   Redis: {}\n Circlet: {}", shown(one), shown(another));
            return Some(Difference { text, late });
        }
    }
    // One invalidation too many costs a look-up; one that is missing costs the truth.
    let told = |key: &Option<Vec<u8>>| got.invalid.contains(key) || got.invalid.contains(&None);
    let mut missing = expected.invalid.iter().filter(|key| !told(key) && caches.needs(at, key.as_deref()));
    if let Some(key) = missing.next() {
        let key = key.as_ref().map(|key| String::from_utf8_lossy(key));
        return Some(Difference { text: format!("no invalidation of {key:?}"), late: true });
    }
    if expected.broken && !got.broken && caches.needs_to_know(at) {
        return Some(Difference { text: "not told that nobody is told".to_owned(), late: true });
    }
    (expected.closed != got.closed).then(|| {
        let text = if expected.closed { "it is not closed" } else { "it is closed" };
        Difference { text: text.to_owned(), late: expected.closed }
    })
}
