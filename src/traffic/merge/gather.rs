//! The rules by which replies of several nodes become one: sums, minima, statuses, arrays.
//!
//! One function per rule, named after what it does; [`super::finish`] chooses. Each first decides about failures
//! ([`first_error`]), then merges. A reply that is not of the expected shape is passed on as it came. Pure.

use super::{Aggregate, Context, Part, State};
use crate::traffic::{
    resp::{encode, reply::Elements},
    route::is_own,
    settings::PartialReads,
};

/// The part whose error the whole command answers, if any. With `partial_reads = "nil"` a read takes a silent node as empty.
pub(super) fn first_error<'a>(aggregate: &'a Aggregate, cx: &Context<'_>, reads: bool) -> Option<&'a Part> {
    let tolerant = reads && cx.partial_reads == PartialReads::Nil;
    aggregate.parts.iter().find(|part| aggregate.is_error(part) && !(tolerant && part.state == State::Failed))
}

/// Appends the error of `part`, with the node's name if that node itself gave it and not all say the same.
pub(super) fn error_of(aggregate: &Aggregate, part: &Part, cx: &Context<'_>, out: &mut Vec<u8>) {
    let line = aggregate.bytes(part);
    if part.state == State::Replied && aggregate.parts.iter().any(|other| aggregate.bytes(other) != line) {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        out.extend_from_slice(text);
        out.extend_from_slice(format!(" (node {})\r\n", cx.topology.node(part.node).name).as_bytes());
    } else {
        out.extend_from_slice(line);
    }
}

/// Parts that replied.
pub(super) fn replied(aggregate: &Aggregate) -> impl Iterator<Item = &[u8]> {
    aggregate.parts.iter().filter(|part| part.state == State::Replied).map(|part| aggregate.bytes(part))
}

/// The value of an integer frame.
pub(super) fn integer(frame: &[u8]) -> Option<i64> {
    std::str::from_utf8(frame.strip_prefix(b":")?.strip_suffix(b"\r\n")?).ok()?.parse().ok()
}

/// One array with each key's value in the order of the keys (MGET).
pub(super) fn values(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, true) {
        return error_of(aggregate, part, cx, out);
    }
    let mut parts: Vec<Option<Elements<'_>>> = aggregate
        .parts
        .iter()
        .map(|part| if part.state == State::Replied { Elements::of(aggregate.bytes(part)) } else { None })
        .collect();
    encode::array_header(out, aggregate.order.len());
    for part in &aggregate.order {
        match parts.get_mut(usize::from(*part)).and_then(Option::as_mut).and_then(Iterator::next) {
            Some(value) => out.extend_from_slice(value),
            None => encode::null(out, aggregate.proto),
        }
    }
}

/// The sum of integers (DEL, EXISTS, DBSIZE).
pub(super) fn sum(aggregate: &Aggregate, surplus: u64, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, aggregate.reads) {
        return error_of(aggregate, part, cx, out);
    }
    let sum = replied(aggregate).filter_map(integer).fold(0, i64::saturating_add);
    encode::integer(out, if surplus == 0 { sum } else { sum.saturating_sub_unsigned(surplus).max(0) });
}

/// The smallest integer (LASTSAVE: since then everything is saved).
pub(super) fn min(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, aggregate.reads) {
        return error_of(aggregate, part, cx, out);
    }
    encode::integer(out, replied(aggregate).filter_map(integer).min().unwrap_or(0));
}

/// Arrays of integers: the smallest of each place (WAITAOF).
pub(super) fn min_each(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, aggregate.reads) {
        return error_of(aggregate, part, cx, out);
    }
    let mut smallest: Vec<i64> = Vec::new();
    for (number, reply) in replied(aggregate).enumerate() {
        for (place, value) in Elements::of(reply).into_iter().flatten().filter_map(integer).enumerate() {
            match smallest.get_mut(place) {
                Some(known) => *known = value.min(*known),
                None if number == 0 => smallest.push(value),
                None => {}
            }
        }
    }
    encode::array_header(out, smallest.len());
    smallest.iter().for_each(|value| encode::integer(out, *value));
}

/// The first reply, if every node succeeded (MSET, FLUSHALL, SCRIPT LOAD).
pub(super) fn all_succeed(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, false) {
        return error_of(aggregate, part, cx, out);
    }
    if let Some(reply) = replied(aggregate).next() {
        out.extend_from_slice(reply);
    }
}

/// The first reply that is no error; if there is none, an error: a node's own before ours, and one that says more than
/// "nothing runs here" before that (SCRIPT KILL).
pub(super) fn any_ok(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = aggregate.parts.iter().find(|part| !aggregate.is_error(part)) {
        return out.extend_from_slice(aggregate.bytes(part));
    }
    let busy = replied(aggregate).find(|reply| !reply.starts_with(b"-NOTBUSY "));
    match busy.or_else(|| replied(aggregate).next()) {
        Some(reply) => out.extend_from_slice(reply),
        None => {
            if let Some(part) = aggregate.parts.first() {
                error_of(aggregate, part, cx, out);
            }
        }
    }
}

/// Arrays of 0 and 1, element by element: 1 where every node says 1, or any one where that is enough (SCRIPT EXISTS).
pub(super) fn and(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, false) {
        return error_of(aggregate, part, cx, out);
    }
    let one_is_enough = |index: usize| aggregate.order.get(index) == Some(&1);
    let mut all: Vec<bool> = Vec::new();
    for (at, reply) in replied(aggregate).enumerate() {
        let Some(elements) = Elements::of(reply) else { return out.extend_from_slice(reply) };
        for (index, element) in elements.enumerate() {
            let yes = integer(element) == Some(1);
            match all.get_mut(index) {
                Some(so_far) if one_is_enough(index) => *so_far |= yes,
                Some(so_far) => *so_far &= yes,
                None => all.push(yes && at == 0),
            }
        }
    }
    encode::array_header(out, all.len());
    for yes in all {
        encode::integer(out, i64::from(yes));
    }
}

/// The elements of all arrays, node after node (SLOWLOG GET).
pub(super) fn join(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, aggregate.reads) {
        return error_of(aggregate, part, cx, out);
    }
    let elements = || replied(aggregate).filter_map(Elements::of).flatten();
    encode::array_header(out, elements().count());
    elements().for_each(|element| out.extend_from_slice(element));
}

/// The keys of all nodes, each only from the node that owns it, so that none is named twice and each can be read (KEYS).
pub(super) fn keys(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, true) {
        return error_of(aggregate, part, cx, out);
    }
    let mut count = 0;
    let mut body = Vec::new();
    for part in aggregate.parts.iter().filter(|part| part.state == State::Replied) {
        count += owned_keys(aggregate.bytes(part), part, cx, &mut body);
    }
    encode::array_header(out, count);
    out.extend_from_slice(&body);
}

/// Appends those keys of an array that its node owns; returns how many.
pub(super) fn owned_keys(array: &[u8], part: &Part, cx: &Context<'_>, out: &mut Vec<u8>) -> usize {
    let mut count = 0;
    for frame in Elements::of(array).into_iter().flatten() {
        let Some(key) = bulk(frame) else { continue };
        if cx.topology.may_show(part.node, key) {
            out.extend_from_slice(frame);
            count += 1;
        }
    }
    count
}

/// The bytes inside a bulk frame.
pub(super) fn bulk(frame: &[u8]) -> Option<&[u8]> {
    let header = frame.iter().position(|byte| *byte == b'\n')? + 1;
    if frame.first()? == &b'$' { frame.get(header..frame.len().checked_sub(2)?) } else { None }
}

/// One of the keys that the nodes named (RANDOMKEY); nil when all are empty.
pub(super) fn random_key(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, true) {
        return error_of(aggregate, part, cx, out);
    }
    let is_clients = |reply: &&[u8]| bulk(reply).is_some_and(|key| !is_own(key));
    let named: Vec<&[u8]> = replied(aggregate).filter(is_clients).collect();
    match named.get(cx.random as usize % named.len().max(1)) {
        Some(reply) => out.extend_from_slice(reply),
        None => encode::null(out, aggregate.proto),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        Kind,
        fixture::{aggregate, finished},
    };
    use crate::traffic::{
        command::{Gather, Split},
        settings::PartialReads::{Error, Nil},
    };

    const OOM: &str = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    const DOWN: &str = "-NODEDOWN node b (127.0.0.1:7002): connection refused\r\n";

    #[test]
    fn values_stand_at_their_keys_places() {
        let parts = [Ok("*2\r\n$1\r\n1\r\n$-1\r\n"), Ok("*1\r\n$1\r\n3\r\n")];
        let mget = aggregate(Kind::Split(Split::Values), &[0, 1, 0], &parts);
        assert_eq!(finished(&mget, Error), "*3\r\n$1\r\n1\r\n$1\r\n3\r\n$-1\r\n");
    }

    #[test]
    fn a_silent_node_is_an_error_or_nil_as_configured() {
        let mget = aggregate(Kind::Split(Split::Values), &[0, 1], &[Ok("*1\r\n$1\r\n1\r\n"), Err(DOWN)]);
        assert_eq!(finished(&mget, Error), DOWN);
        assert_eq!(finished(&mget, Nil), "*2\r\n$1\r\n1\r\n$-1\r\n");
        let mut exists = aggregate(Kind::Split(Split::Sum), &[], &[Ok(":2\r\n"), Err(DOWN)]);
        assert_eq!(finished(&exists, Nil), DOWN, "DEL is no read");
        exists.reads = true;
        assert_eq!(finished(&exists, Nil), ":2\r\n");
    }

    #[test]
    fn a_nodes_own_error_is_passed_on_with_its_name() {
        let mset = aggregate(Kind::Split(Split::Pairs), &[], &[Ok("+OK\r\n"), Ok(OOM)]);
        assert_eq!(finished(&mset, Nil), "-OOM command not allowed when used memory > 'maxmemory'. (node b)\r\n");
        let flush = aggregate(Kind::All(Gather::Ok), &[], &[Ok("-ERR syntax error\r\n"); 3]);
        assert_eq!(finished(&flush, Error), "-ERR syntax error\r\n", "every node says the same");
        let mset = aggregate(Kind::Split(Split::Pairs), &[], &[Ok("+OK\r\n"), Ok("+OK\r\n")]);
        assert_eq!(finished(&mset, Error), "+OK\r\n");
    }

    #[test]
    fn numbers_are_summed_or_the_smallest_taken() {
        let parts = [Ok(":5\r\n"), Ok(":0\r\n"), Ok(":37\r\n")];
        assert_eq!(finished(&aggregate(Kind::All(Gather::Sum), &[], &parts), Error), ":42\r\n");
        assert_eq!(finished(&aggregate(Kind::All(Gather::Min), &[], &parts), Error), ":0\r\n");
    }

    #[test]
    fn a_script_exists_where_every_node_has_it() {
        let parts = [Ok("*3\r\n:1\r\n:1\r\n:0\r\n"), Ok("*3\r\n:1\r\n:0\r\n:1\r\n")];
        assert_eq!(finished(&aggregate(Kind::All(Gather::And), &[], &parts), Error), "*3\r\n:1\r\n:0\r\n:0\r\n");
    }

    #[test]
    fn logs_of_all_nodes_are_joined() {
        let parts = [Ok("*2\r\n*1\r\n:1\r\n:2\r\n"), Ok("*0\r\n"), Ok("*1\r\n$1\r\nx\r\n")];
        let log = aggregate(Kind::All(Gather::Join), &[], &parts);
        assert_eq!(finished(&log, Error), "*3\r\n*1\r\n:1\r\n:2\r\n$1\r\nx\r\n");
    }

    #[test]
    fn keys_are_named_once_and_only_by_their_owner() {
        let topology = super::super::fixture::topology(&["a", "b", "c"]);
        let owner = topology.owner(b"stray").index();
        let mut parts = [Ok("*1\r\n$5\r\nstray\r\n"); 3];
        let all = aggregate(Kind::All(Gather::Keys), &[], &parts);
        assert_eq!(finished(&all, Error), "*1\r\n$5\r\nstray\r\n");
        parts[owner] = Ok("*0\r\n");
        assert_eq!(finished(&aggregate(Kind::All(Gather::Keys), &[], &parts), Error), "*0\r\n");
    }

    #[test]
    fn a_random_key_comes_from_a_node_that_has_one() {
        let some = aggregate(Kind::All(Gather::RandomKey), &[], &[Ok("$-1\r\n"), Ok("$1\r\nk\r\n"), Ok("_\r\n")]);
        assert_eq!(finished(&some, Error), "$1\r\nk\r\n");
        let none = aggregate(Kind::All(Gather::RandomKey), &[], &[Ok("$-1\r\n"), Ok("$-1\r\n")]);
        assert_eq!(finished(&none, Error), "$-1\r\n");
    }

    #[test]
    fn one_success_is_enough_to_kill_a_script() {
        let busy = "-NOTBUSY No scripts in execution right now.\r\n";
        let kill = |parts: &[Result<&str, &str>]| finished(&aggregate(Kind::All(Gather::AnyOk), &[], parts), Error);
        assert_eq!(kill(&[Ok(busy), Ok("+OK\r\n")]), "+OK\r\n");
        assert_eq!(kill(&[Err(DOWN), Ok(busy)]), busy);
        let wrote = "-UNKILLABLE Sorry the script already executed write commands.\r\n";
        assert_eq!(kill(&[Ok(busy), Ok(wrote), Ok(busy)]), wrote);
    }
}
