//! FUNCTION over several nodes. All of them ought to have the same libraries, since Circlet loads them everywhere; a node
//! that came back without its data has fewer, so what is asked is answered from those that have them. Pure.

use super::{Aggregate, Context, State, gather};
use crate::traffic::resp::{encode, reply::Elements};

/// `FUNCTION STATS`: the reply of a node that runs a function; else of the one that has most libraries.
pub(super) fn running(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let runs = |reply: &&[u8]| value_of(reply, b"running_script").is_some_and(|script| Elements::of(script).is_some());
    let fullest = || answers(aggregate).rev().max_by_key(|reply| libraries_of(reply));
    match answers(aggregate).find(runs).or_else(fullest) {
        Some(reply) => out.extend_from_slice(reply),
        None => refuse(aggregate, cx, out),
    }
}

/// How many libraries the engines of a `FUNCTION STATS` reply have.
fn libraries_of(stats: &[u8]) -> i64 {
    let engines = value_of(stats, b"engines").and_then(Elements::of).into_iter().flatten();
    engines.filter_map(|engine| gather::integer(value_of(engine, b"libraries_count")?)).sum()
}

/// `FUNCTION DUMP`: the longest reply, which holds most libraries.
pub(super) fn longest(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    match answers(aggregate).rev().max_by_key(|reply| reply.len()) {
        Some(reply) => out.extend_from_slice(reply),
        None => refuse(aggregate, cx, out),
    }
}

/// `FUNCTION LIST`: each library once, as the first node that has it tells of it.
pub(super) fn libraries(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let mut known: Vec<&[u8]> = Vec::new();
    let mut libraries: Vec<&[u8]> = Vec::new();
    let (mut any, mut refused) = (false, None);
    for part in aggregate.parts.iter().filter(|part| part.state == State::Replied) {
        let Some(elements) = Elements::of(aggregate.bytes(part)) else {
            refused = Some(part);
            continue;
        };
        any = true;
        for library in elements {
            let name = value_of(library, b"library_name").unwrap_or(library);
            if !known.contains(&name) {
                known.push(name);
                libraries.push(library);
            }
        }
    }
    match refused {
        // What is wrong with the request is wrong at every node.
        Some(part) => gather::error_of(aggregate, part, cx, out),
        None if !any => refuse(aggregate, cx, out),
        None => {
            encode::array_header(out, libraries.len());
            libraries.iter().for_each(|library| out.extend_from_slice(library));
        }
    }
}

/// The replies that are no errors.
fn answers(aggregate: &Aggregate) -> impl DoubleEndedIterator<Item = &[u8]> {
    aggregate.parts.iter().filter(|part| !aggregate.is_error(part)).map(|part| aggregate.bytes(part))
}

/// No node has a usable reply: a node's own error before ours.
fn refuse(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let replied = aggregate.parts.iter().find(|part| part.state == State::Replied);
    if let Some(part) = replied.or(aggregate.parts.first()) {
        gather::error_of(aggregate, part, cx, out);
    }
}

/// The value of `name` in a map.
fn value_of<'a>(map: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut elements = Elements::of(map)?;
    while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
        if gather::bulk(key) == Some(name) {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{
        Kind,
        fixture::{aggregate, finished},
    };
    use crate::traffic::{command::Gather, settings::PartialReads::Error};

    fn merged(how: Gather, parts: &[Result<&str, &str>]) -> String {
        finished(&aggregate(Kind::All(how), &[], parts), Error)
    }

    #[test]
    fn each_library_is_listed_once_whoever_has_it() {
        let library =
            |name: &str| format!("*4\r\n$12\r\nlibrary_name\r\n$1\r\n{name}\r\n$6\r\nengine\r\n$3\r\nLUA\r\n");
        let (x, y) = (library("x"), library("y"));
        let (one, other) = (format!("*1\r\n{x}"), format!("*2\r\n{y}{x}"));
        let down = Err("-NODEDOWN node c\r\n");
        assert_eq!(merged(Gather::Libraries, &[Ok(&one), Ok(&other), down]), format!("*2\r\n{x}{y}"));
        assert_eq!(merged(Gather::Libraries, &[Ok("*0\r\n"), Ok("*0\r\n")]), "*0\r\n");
        assert_eq!(merged(Gather::Libraries, &[Ok("-ERR no\r\n"); 2]), "-ERR no\r\n");
        assert_eq!(merged(Gather::Libraries, &[down, down]), "-NODEDOWN node c\r\n");
    }

    #[test]
    fn the_node_that_runs_a_function_is_told_of() {
        let stats = |script: &str| format!("*2\r\n$14\r\nrunning_script\r\n{script}");
        let (idle, busy) = (stats("$-1\r\n"), stats("*2\r\n$4\r\nname\r\n$1\r\nf\r\n"));
        assert_eq!(merged(Gather::Running, &[Ok(&idle), Ok(&busy), Err("-NODEDOWN\r\n")]), busy);
        assert_eq!(merged(Gather::Running, &[Err("-NODEDOWN\r\n"), Ok(&idle)]), idle);
        let with =
            |count| format!("*2\r\n$7\r\nengines\r\n*2\r\n$3\r\nLUA\r\n*2\r\n$15\r\nlibraries_count\r\n:{count}\r\n");
        assert_eq!(merged(Gather::Running, &[Ok(&with(0)), Ok(&with(2)), Ok(&with(1))]), with(2));
    }

    #[test]
    fn the_fullest_dump_is_given() {
        assert_eq!(
            merged(Gather::Longest, &[Ok("$1\r\na\r\n"), Ok("$2\r\nbc\r\n"), Ok("$2\r\nde\r\n")]),
            "$2\r\nbc\r\n"
        );
    }
}
