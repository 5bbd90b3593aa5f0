//! What each object would answer if it stood on one machine and were asked one thing at a time.
//!
//! A register, a counter, a set, a queue and a key that ends are one type: which calls are made decides what it is. Two
//! keys of one hash tag that are always written together are a register too; seeing them differ is [`Reply::Nonsense`].

use super::history::{Call, Op, Reply};

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Absent,
    Value(u64),
    /// A value and its end.
    Until(u64, u64),
    Number(i64),
    Members(u64),
    Items(Vec<u64>),
}

/// Every state that the object may be in behind `op`, from `state`; none if its reply denies it. A key that ends may be
/// taken as gone, or as still there, for `slack` nanoseconds around its end.
pub fn step(state: &State, op: &Op, slack: u64) -> impl Iterator<Item = State> {
    let (there, gone) = match state {
        State::Until(_, end) => {
            let seen_late = op.begin > end.saturating_add(slack);
            let missed_early = op.end.is_some_and(|time| time.saturating_add(slack) < *end);
            (!seen_late, !missed_early)
        }
        _ => (true, false),
    };
    let after = |state: &State| {
        let (state, reply) = apply(state, &op.call);
        op.reply.as_ref().is_none_or(|told| *told == reply).then_some(state)
    };
    let first = there.then(|| after(state)).flatten();
    let second = gone.then(|| after(&State::Absent)).flatten();
    first.into_iter().chain(second)
}

/// What `call` makes of `state`, and what it tells.
pub fn apply(state: &State, call: &Call) -> (State, Reply) {
    let same = |reply| (state.clone(), reply);
    let present = i64::from(*state != State::Absent);
    match call {
        Call::Get if let State::Number(number) = state => same(Reply::Number(*number)),
        Call::Get => same(value(state)),
        Call::Exists => same(Reply::Number(present)),
        Call::Set(id) => (State::Value(*id), Reply::Done),
        Call::SetNx(id) if present == 0 => (State::Value(*id), Reply::Number(1)),
        Call::SetNx(_) => same(Reply::Number(0)),
        Call::Swap(id) => (State::Value(*id), value(state)),
        Call::Take => (State::Absent, value(state)),
        Call::Del => (State::Absent, Reply::Number(present)),
        Call::Wipe => (State::Absent, Reply::Done),
        Call::Cas { old, new } if value(state) == old.map_or(Reply::Nil, Reply::Value) => {
            (State::Value(*new), Reply::Done)
        }
        Call::Cas { .. } => same(Reply::Nil),
        Call::SetUntil(id, end) => (State::Until(*id, *end), Reply::Done),
        Call::ExpireAt(end) => match state {
            State::Value(id) | State::Until(id, _) => (State::Until(*id, *end), Reply::Number(1)),
            _ => same(Reply::Number(0)),
        },
        Call::Add(by) => {
            let number = by + if let State::Number(number) = state { *number } else { 0 };
            (State::Number(number), Reply::Number(number))
        }
        Call::SAdd(_) | Call::SRem(_) | Call::IsMember(_) | Call::Members => set(state, call),
        Call::Push(_) | Call::Pop | Call::Len | Call::Items => queue(state, call),
    }
}

fn value(state: &State) -> Reply {
    match state {
        State::Value(id) | State::Until(id, _) => Reply::Value(*id),
        _ => Reply::Nil,
    }
}

fn set(state: &State, call: &Call) -> (State, Reply) {
    let members = if let State::Members(members) = state { *members } else { 0 };
    let of = |members| if members == 0 { State::Absent } else { State::Members(members) };
    let told = |changed: bool| Reply::Number(i64::from(changed));
    match call {
        Call::SAdd(member) => (of(members | 1 << member), told(members >> member & 1 == 0)),
        Call::SRem(member) => (of(members & !(1 << member)), told(members >> member & 1 == 1)),
        Call::IsMember(member) => (state.clone(), told(members >> member & 1 == 1)),
        _ => (state.clone(), Reply::Members(members)),
    }
}

fn queue(state: &State, call: &Call) -> (State, Reply) {
    let items: &[u64] = if let State::Items(items) = state { items } else { &[] };
    let length = |items: &[u64]| Reply::Number(i64::try_from(items.len()).unwrap());
    let of = |items: Vec<u64>| if items.is_empty() { State::Absent } else { State::Items(items) };
    match (call, items) {
        (Call::Push(more), _) => {
            let all = [items, more].concat();
            let reply = length(&all);
            (of(all), reply)
        }
        (Call::Pop, [first, rest @ ..]) => (of(rest.to_vec()), Reply::Value(*first)),
        (Call::Pop, []) => (State::Absent, Reply::Nil),
        (Call::Len, _) => (state.clone(), length(items)),
        _ => (state.clone(), Reply::Items(items.to_vec())),
    }
}
