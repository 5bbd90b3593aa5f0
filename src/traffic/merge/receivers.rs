//! Publish/subscribe: numbers of receivers, and names of channels that several nodes tell.
//!
//! Nodes count a worker's ear as one subscriber, whatever listens behind it; see [`Audience`]. Pure.
//!
//! [`Audience`]: crate::traffic::pubsub::Audience

use std::collections::HashSet;

use super::{
    Aggregate, Context, State,
    gather::{bulk, error_of, first_error, integer, replied},
};
use crate::traffic::{
    lock::FREED,
    pubsub::Kind,
    resp::{encode, reply::Elements},
};

/// The number that a node answered to PUBLISH, corrected.
pub(super) fn published(aggregate: &Aggregate, by: i64, out: &mut Vec<u8>) {
    for part in &aggregate.parts {
        let reply = aggregate.bytes(part);
        match integer(reply) {
            Some(count) if part.state == State::Replied => encode::integer(out, count.saturating_add(by).max(0)),
            _ => out.extend_from_slice(reply),
        }
    }
}

/// Channels and the sums of their subscribers, corrected (PUBSUB NUMSUB).
pub(super) fn subscribers(aggregate: &Aggregate, kind: Kind, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, true) {
        return error_of(aggregate, part, cx, out);
    }
    let mut sums: Vec<(&[u8], i64)> = Vec::new();
    for reply in replied(aggregate) {
        let elements: Vec<&[u8]> = Elements::of(reply).into_iter().flatten().collect();
        for (at, pair) in elements.chunks_exact(2).enumerate() {
            let count = integer(pair[1]).unwrap_or(0);
            match sums.get_mut(at) {
                Some((_, sum)) => *sum += count,
                None => sums.push((pair[0], count)),
            }
        }
    }
    encode::array_header(out, 2 * sums.len());
    for (channel, sum) in sums {
        let by = bulk(channel).map_or(0, |name| cx.audience.correction_of_all(kind, name));
        out.extend_from_slice(channel);
        encode::integer(out, sum.saturating_add(by).max(0));
    }
}

/// The elements of all arrays, each once (PUBSUB CHANNELS).
pub(super) fn union(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, true) {
        return error_of(aggregate, part, cx, out);
    }
    let mut seen = HashSet::new();
    let elements = replied(aggregate).filter_map(Elements::of).flatten();
    let shown = elements.filter(|element| !bulk(element).is_some_and(|channel| channel.starts_with(FREED)));
    let once: Vec<&[u8]> = shown.filter(|element| seen.insert(*element)).collect();
    encode::array_header(out, once.len());
    once.iter().for_each(|element| out.extend_from_slice(element));
}

/// The largest integer (PUBSUB NUMPAT: every pattern of ours is known to every node).
pub(super) fn max(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = first_error(aggregate, cx, true) {
        return error_of(aggregate, part, cx, out);
    }
    encode::integer(out, replied(aggregate).filter_map(integer).max().unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::super::{
        Kind as What,
        fixture::{aggregate, finished},
    };
    use super::*;
    use crate::traffic::{command::Gather, settings::PartialReads};

    fn told(kind: What, replies: &[Result<&str, &str>]) -> String {
        finished(&aggregate(kind, &[], replies), PartialReads::Error)
    }

    #[test]
    fn the_number_of_receivers_is_corrected_and_never_negative() {
        assert_eq!(told(What::Published(998), &[Ok(":2\r\n")]), ":1000\r\n");
        assert_eq!(told(What::Published(-3), &[Ok(":2\r\n")]), ":0\r\n");
        assert_eq!(told(What::Published(5), &[Ok("-NOPERM no\r\n")]), "-NOPERM no\r\n");
        assert_eq!(told(What::Published(5), &[Err("-NODEDOWN x\r\n")]), "-NODEDOWN x\r\n");
    }

    #[test]
    fn subscribers_of_all_nodes_are_added_up() {
        let of = |count: u8| format!("*4\r\n$1\r\na\r\n:{count}\r\n$1\r\nb\r\n:1\r\n");
        let (one, two) = (of(1), of(2));
        assert_eq!(
            told(What::Subscribers(Kind::Channel), &[Ok(&one), Ok(&two)]),
            "*4\r\n$1\r\na\r\n:3\r\n$1\r\nb\r\n:2\r\n"
        );
        assert_eq!(told(What::Subscribers(Kind::Channel), &[Ok("*0\r\n"), Ok("*0\r\n")]), "*0\r\n");
    }

    #[test]
    fn a_channel_that_several_nodes_name_is_named_once() {
        let replies = [Ok("*2\r\n$1\r\na\r\n$1\r\nb\r\n"), Ok("*2\r\n$1\r\nb\r\n$1\r\nc\r\n")];
        assert_eq!(told(What::All(Gather::Union), &replies), "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
        assert_eq!(told(What::All(Gather::Max), &[Ok(":1\r\n"), Ok(":3\r\n"), Ok(":2\r\n")]), ":3\r\n");
        assert_eq!(told(What::All(Gather::Max), &[Ok(":1\r\n"), Err("-NODEDOWN b\r\n")]), "-NODEDOWN b\r\n");
    }
}
