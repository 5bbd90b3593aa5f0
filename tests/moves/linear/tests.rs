//! The checker itself: told histories, random ones of a real object, mutated ones, and all orders tried for small ones.

use fastrand::Rng;

use super::{
    object::{State, apply, step},
    render::render,
    *,
};
use crate::support::seed;

/// `client begin-end call = reply`; an end of 0 is none.
fn op(client: u16, begin: u64, end: u64, call: Call, reply: impl Into<Option<Reply>>) -> Op {
    Op { client, begin, end: (end > 0).then_some(end), call, reply: reply.into() }
}

fn get(client: u16, begin: u64, end: u64, id: Option<u64>) -> Op {
    op(client, begin, end, Call::Get, id.map_or(Reply::Nil, Reply::Value))
}

fn set(client: u16, begin: u64, end: u64, id: u64) -> Op {
    op(client, begin, end, Call::Set(id), (end > 0).then_some(Reply::Done))
}

fn allowed(ops: &[Op]) -> bool {
    match check(ops, 0) {
        Verdict::Linearizable => true,
        Verdict::Broken(_) => false,
        Verdict::TooMuch => panic!("too much: {ops:?}"),
    }
}

#[test]
fn told_histories_of_a_register() {
    // What overlaps may have been in either order; what does not, not.
    assert!(allowed(&[set(1, 1, 4, 7), get(2, 2, 3, None)]));
    assert!(allowed(&[set(1, 1, 4, 7), get(2, 2, 3, Some(7))]));
    assert!(!allowed(&[set(1, 1, 2, 7), get(2, 3, 4, None)]), "a lost write");
    assert!(!allowed(&[set(1, 1, 2, 7), set(1, 3, 4, 8), get(2, 5, 6, Some(7))]), "a stale read");
    assert!(!allowed(&[get(2, 1, 2, Some(7)), set(1, 3, 4, 7)]), "a value before it was written");
    // Two readers during one write cannot disagree about the order.
    assert!(!allowed(&[set(1, 1, 9, 7), get(2, 2, 3, Some(7)), get(3, 4, 5, None)]));
    // Nonsense never happens.
    assert!(!allowed(&[op(1, 1, 2, Call::Get, Reply::Nonsense("half".into()))]));
}

#[test]
fn told_histories_with_unknown_outcomes() {
    // It may have happened, at any later time, or never; but once only.
    assert!(allowed(&[set(1, 1, 0, 7), get(2, 3, 4, None)]));
    assert!(allowed(&[set(1, 1, 0, 7), get(2, 3, 4, Some(7))]));
    assert!(allowed(&[set(1, 1, 0, 7), get(2, 3, 4, None), get(2, 5, 6, Some(7))]));
    assert!(!allowed(&[set(1, 1, 0, 7), get(2, 3, 4, Some(7)), get(2, 5, 6, None)]));
    let add = |begin, end, told: Option<i64>| op(1, begin, end, Call::Add(1), told.map(Reply::Number));
    assert!(allowed(&[add(1, 0, None), add(2, 3, Some(1)), add(4, 5, Some(3))]));
    assert!(!allowed(&[add(1, 0, None), add(2, 3, Some(1)), add(4, 5, Some(4))]));
    assert!(!allowed(&[add(1, 0, None), add(2, 3, Some(1)), add(4, 5, Some(3)), add(6, 7, Some(5))]));
    // Twenty of them are as quick as one.
    let mut many: Vec<Op> = (1..=20).map(|at| add(at, 0, None)).collect();
    many.extend((1..=40).map(|at| add(30 + 2 * at, 31 + 2 * at, Some(i64::try_from(at).unwrap() + 20))));
    assert!(allowed(&many));
}

#[test]
fn told_histories_of_sets_and_queues() {
    let sadd = |begin, end| op(1, begin, end, Call::SAdd(3), Reply::Number(1));
    let srem = |begin, end| op(1, begin, end, Call::SRem(3), Reply::Number(1));
    let members = |begin, end, bits| op(2, begin, end, Call::Members, Reply::Members(bits));
    assert!(allowed(&[sadd(1, 2), srem(3, 4), members(5, 6, 0)]));
    assert!(!allowed(&[sadd(1, 2), srem(3, 4), members(5, 6, 8)]), "a deleted member came back");
    let push = |begin, end, ids: &[u64], told| op(1, begin, end, Call::Push(ids.to_vec()), Reply::Number(told));
    let pop =
        |client, begin, end, id: Option<u64>| op(client, begin, end, Call::Pop, id.map_or(Reply::Nil, Reply::Value));
    // A pop that blocked is over behind the push that fed it.
    assert!(allowed(&[pop(2, 1, 9, Some(5)), push(4, 8, &[5], 1)]));
    assert!(!allowed(&[push(1, 2, &[5, 6], 2), pop(2, 3, 4, Some(6))]), "out of turn");
    assert!(!allowed(&[push(1, 2, &[5], 1), pop(2, 3, 6, Some(5)), pop(3, 4, 5, Some(5))]), "given away twice");
    assert!(!allowed(&[push(1, 2, &[5], 1), pop(2, 3, 6, None)]), "lost");
    // One that lost its client may have taken it.
    assert!(allowed(&[push(1, 2, &[5], 1), op(3, 2, 0, Call::Pop, None), pop(2, 3, 6, None)]));
}

#[test]
fn told_histories_of_keys_that_end() {
    let until = |end| op(1, 1, 2, Call::SetUntil(7, end), Reply::Done);
    let at = |begin, end, id| get(2, begin, end, id);
    let with = |ops: &[Op], slack| check(ops, slack) == Verdict::Linearizable;
    assert!(with(&[until(100), at(50, 51, Some(7)), at(101, 102, None)], 0));
    assert!(!with(&[until(100), at(50, 51, None)], 0), "missing early");
    assert!(!with(&[until(100), at(101, 102, Some(7))], 0), "seen late");
    assert!(with(&[until(100), at(101, 102, Some(7))], 5), "within the slack");
    assert!(!with(&[until(100), at(101, 102, None), at(103, 104, Some(7))], 10), "gone and back");
    let longer = op(1, 60, 61, Call::ExpireAt(200), Reply::Number(1));
    assert!(with(&[until(100), longer.clone(), at(150, 151, Some(7))], 0));
    assert!(!with(&[until(100), longer, at(201, 202, Some(7))], 0));
}

#[test]
fn a_break_is_drawn_from_where_the_state_was_certain() {
    let ops = [set(1, 1, 2, 1), set(1, 3, 4, 7), set(2, 5, 8, 9), get(3, 6, 7, Some(9)), get(4, 9, 10, Some(7))];
    let Verdict::Broken(found) = check(&ops, 0) else { panic!("it is broken") };
    assert_eq!((&found.certain, found.op), (&(8, State::Value(9)), 4));
    assert_eq!(found.origin.as_ref(), Some(&ops[1]));
    let text = render(&found);
    assert!(text.contains(" >      4") && text.contains("GET = 7") && text.contains("--- 9 ---"), "{text}");
}

/// Calls of one kind of object, at random. `id` is a value that nobody has used.
fn some_call(kind: usize, id: u64, rng: &mut Rng) -> Call {
    match (kind, rng.u8(..6)) {
        _ if rng.u8(..20) == 0 => Call::Wipe,
        (0, 0..3) | (1, 0) => Call::Get,
        (0, 3) => Call::Set(id),
        (0, 4) => Call::Swap(id),
        (1, 1..5) => Call::Add(rng.i64(1..3)),
        (2, 0..2) => Call::SAdd(rng.u8(..3)),
        (2, 2..4) => Call::SRem(rng.u8(..3)),
        (2, 4) => Call::Members,
        (3, 0..2) => Call::Push(vec![id]),
        (3, 2..4) => Call::Pop,
        (3, 4) => Call::Len,
        (3, _) => Call::Items,
        (0, _) if rng.bool() => Call::SetNx(id),
        _ => Call::Del,
    }
}

/// What `clients` clients, of which `writers` write, saw of a real object: each operation takes effect at a moment inside its interval.
fn real(kind: usize, count: usize, clients: u16, writers: u16, lost: f64, rng: &mut Rng) -> Vec<Op> {
    let mut free = vec![0; usize::from(clients)];
    let mut planned = Vec::new();
    for number in 0..count {
        let client = rng.usize(..free.len());
        let begin = free[client] + rng.u64(1..20);
        let moment = begin + rng.u64(1..20);
        let end = moment + rng.u64(1..20);
        free[client] = end;
        let client = u16::try_from(client).unwrap();
        let call = if client < writers { some_call(kind, number as u64 + 1, rng) } else { Call::Get };
        planned.push((moment, op(client, begin, end, call, None)));
    }
    planned.sort_by_key(|(moment, op)| (*moment, op.client));
    let mut state = State::Absent;
    for (_, op) in &mut planned {
        let lost = rng.f64() < lost;
        if lost && rng.bool() {
            // It never reached the object.
            op.end = None;
            continue;
        }
        let (after, reply) = apply(&state, &op.call);
        state = after;
        op.reply = (!lost).then_some(reply);
        op.end = op.end.filter(|_| !lost);
    }
    planned.into_iter().map(|(_, op)| op).collect()
}

#[test]
fn what_a_real_object_did_is_allowed() {
    let mut rng = seed::rng("what_a_real_object_did_is_allowed");
    for round in 0..400 {
        let (kind, clients) = (round % 4, rng.u16(1..9));
        let lost = if round % 3 == 0 { 0.03 } else { 0.0 };
        let ops = real(kind, rng.usize(1..200), clients, clients, lost, &mut rng);
        if let Verdict::Broken(found) = check(&ops, 0) {
            panic!("round {round}:\n{}", render(&found));
        }
    }
}

#[test]
fn what_a_real_object_never_did_is_found() {
    let mut rng = seed::rng("what_a_real_object_never_did_is_found");
    let mut found = [0; 4];
    for round in 0..400 {
        let mut ops = real(0, 150, 4, 1, 0.0, &mut rng);
        ops.sort_by_key(|op| op.begin);
        // With one writer, a read that overlaps with no write has one answer.
        let alone = |ops: &[Op], at: usize| {
            let (begin, end) = (ops[at].begin, ops[at].end.unwrap());
            let apart = |other: &Op| other.call.only_reads() || other.end.unwrap() < begin || other.begin > end;
            ops[at].call == Call::Get && ops.iter().all(apart)
        };
        let Some(read) = (1..ops.len()).filter(|&at| alone(&ops, at)).nth(rng.usize(..4)) else { continue };
        let told = ops[read].reply.clone().unwrap();
        let earlier: Vec<Reply> = ops[..read].iter().filter_map(|op| op.reply.clone()).collect();
        let stale = earlier.iter().rev().find(|reply| matches!(reply, Reply::Value(_)) && **reply != told).cloned();
        let lie = match round % 4 {
            0 if told != Reply::Nil => Reply::Nil,
            1 => stale.unwrap_or(Reply::Value(1_000_000)),
            2 if told == Reply::Nil => stale.unwrap_or(Reply::Value(1_000_000)),
            _ => Reply::Value(1_000_000),
        };
        ops[read].reply = Some(lie);
        assert!(!allowed(&ops), "round {round}: {ops:#?}");
        found[round % 4] += 1;
    }
    assert!(found.iter().all(|&count| count > 10), "{found:?}");
}

/// Tries every order of every choice of operations: slow, and short enough to be seen to be right.
fn by_force(ops: &[Op], done: &mut Vec<usize>, state: &State) -> bool {
    if (0..ops.len()).all(|at| done.contains(&at) || ops[at].reply.is_none()) {
        return true;
    }
    for at in 0..ops.len() {
        // Nothing that is still to come may have ended before this one began.
        let late = |other: usize| !done.contains(&other) && ops[other].end.is_some_and(|end| end < ops[at].begin);
        if done.contains(&at) || (0..ops.len()).any(|other| other != at && late(other)) {
            continue;
        }
        for after in step(state, &ops[at], 0) {
            done.push(at);
            let found = by_force(ops, done, &after);
            done.pop();
            if found {
                return true;
            }
        }
    }
    false
}

#[test]
fn small_histories_are_judged_as_by_trying_every_order() {
    let mut rng = seed::rng("small_histories_are_judged_as_by_trying_every_order");
    let (mut good, mut bad) = (0, 0);
    for round in 0..6_000 {
        let kind = round % 4;
        let count = rng.usize(2..7);
        let mut ops = real(kind, count, 3, 3, 0.2, &mut rng);
        // Half of them are lies: replies of one operation given to another.
        if rng.bool() {
            let (one, other) = (rng.usize(..count), rng.usize(..count));
            let reply = ops[other].reply.clone();
            if ops[one].reply.is_some() && reply.is_some() {
                ops[one].reply = reply;
            }
        }
        let expected = by_force(&ops, &mut Vec::new(), &State::Absent);
        assert_eq!(allowed(&ops), expected, "round {round}: {ops:#?}");
        if expected { good += 1 } else { bad += 1 }
    }
    assert!(good > 1_000 && bad > 300, "{good} good, {bad} bad");
}
