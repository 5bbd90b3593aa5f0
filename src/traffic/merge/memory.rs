//! MEMORY over several nodes: numbers added up, and texts one under the other.
//!
//! A node's map of numbers keeps its shape: what is an integer is summed, what is a ratio is computed again from the sums
//! (a mean of ratios would be none), maps inside it (`db.0`) likewise. Pure.

use super::{Aggregate, Context, Part, State, gather, text_of};
use crate::traffic::resp::{Proto, encode, reply::Elements};

/// A field and what each node that has it says.
type Field<'a> = (&'a [u8], Vec<&'a [u8]>);

/// `MEMORY STATS`.
pub(super) fn stats(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    if let Some(part) = gather::first_error(aggregate, cx, false) {
        return gather::error_of(aggregate, part, cx, out);
    }
    let replies: Vec<&[u8]> = gather::replied(aggregate).collect();
    match replies.as_slice() {
        [one] => out.extend_from_slice(one),
        several => write_map(&fields(several), aggregate.proto, out),
    }
}

/// The fields of all maps, in the order of the first that has them.
fn fields<'a>(maps: &[&'a [u8]]) -> Vec<Field<'a>> {
    let mut fields: Vec<Field<'a>> = Vec::new();
    for map in maps {
        let mut elements = Elements::of(map).into_iter().flatten();
        while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
            match fields.iter_mut().find(|field| field.0 == name) {
                Some(field) => field.1.push(value),
                None => fields.push((name, vec![value])),
            }
        }
    }
    fields
}

fn write_map(fields: &[Field<'_>], proto: Proto, out: &mut Vec<u8>) {
    encode::map_header(out, fields.len(), proto);
    for (name, values) in fields {
        out.extend_from_slice(name);
        let name = text_of(name).unwrap_or_default();
        if Elements::of(values[0]).is_some() {
            write_map(&self::fields(values), proto, out);
        } else if name == b"keys.bytes-per-key" {
            let bytes = sum_of(fields, b"total.allocated") - sum_of(fields, b"startup.allocated");
            encode::integer(out, quotient(bytes, sum_of(fields, b"keys.count")) as i64);
        } else if let Some(sum) = sum(values) {
            encode::integer(out, sum);
        } else if let Some(ratio) = ratio(fields, name) {
            encode::double(out, ratio, proto);
        } else {
            out.extend_from_slice(values[0]);
        }
    }
}

/// The sum, if all values are integers.
fn sum(values: &[&[u8]]) -> Option<i64> {
    values.iter().try_fold(0_i64, |sum, value| Some(sum.saturating_add(gather::integer(value)?)))
}

fn sum_of(fields: &[Field<'_>], name: &[u8]) -> f64 {
    let field = fields.iter().find(|field| text_of(field.0) == Some(name));
    field.and_then(|field| sum(&field.1)).unwrap_or(0) as f64
}

/// A ratio of sums, as Redis computes it of one server's numbers.
fn ratio(fields: &[Field<'_>], name: &[u8]) -> Option<f64> {
    let of = |name: &str| sum_of(fields, name.as_bytes());
    let resident_set = of("allocator.resident") + of("rss-overhead.bytes");
    Some(match name {
        b"dataset.percentage" => 100.0 * quotient(of("dataset.bytes"), of("total.allocated") - of("startup.allocated")),
        b"peak.percentage" => 100.0 * quotient(of("total.allocated"), of("peak.allocated")),
        b"allocator-fragmentation.ratio" => quotient(of("allocator.active"), of("allocator.allocated")),
        b"allocator-rss.ratio" => quotient(of("allocator.resident"), of("allocator.active")),
        b"rss-overhead.ratio" => quotient(resident_set, of("allocator.resident")),
        b"fragmentation" => quotient(resident_set, resident_set - of("fragmentation.bytes")),
        _ => return None,
    })
}

/// 0 when there is nothing to divide by.
fn quotient(of: f64, by: f64) -> f64 {
    if by == 0.0 { 0.0 } else { of / by }
}

/// `MEMORY DOCTOR`, `MALLOC-STATS`: once if all say the same, else each under its node's name; a node that does not answer
/// stands there with its error.
pub(super) fn texts(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let Some(first) = aggregate.parts.first() else { return };
    let failed = |part: &Part| part.state == State::Failed || aggregate.is_error(part);
    if aggregate.parts.iter().all(failed) {
        return gather::error_of(aggregate, first, cx, out);
    }
    if aggregate.parts.iter().all(|part| aggregate.bytes(part) == aggregate.bytes(first)) {
        return out.extend_from_slice(aggregate.bytes(first));
    }
    let mut text = String::new();
    for part in &aggregate.parts {
        let bytes = aggregate.bytes(part);
        let said = String::from_utf8_lossy(text_of(bytes).unwrap_or(bytes));
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("# {}\n{}\n", cx.topology.node(part.node).name, said.trim_end()));
    }
    encode::verbatim_text(out, &text, aggregate.proto);
}

#[cfg(test)]
mod tests {
    use super::super::{
        Kind,
        fixture::{aggregate, finished},
    };
    use crate::traffic::{command::Gather, settings::PartialReads::Error};

    /// A flat RESP2 reply of words; numbers become integers.
    fn reply(words: &[&str]) -> String {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            match word.parse::<i64>() {
                Ok(_) => text.push_str(&format!(":{word}\r\n")),
                Err(_) => text.push_str(&format!("${}\r\n{word}\r\n", word.len())),
            }
        }
        text
    }

    fn merged(how: Gather, parts: &[Result<&str, &str>]) -> String {
        finished(&aggregate(Kind::All(how), &[], parts), Error)
    }

    #[test]
    fn numbers_are_added_up_and_ratios_computed_again() {
        let words = |total, peak, keys| {
            let mut text = reply(&["peak.allocated", peak, "total.allocated", total, "startup.allocated", "100"]);
            text.push_str(&reply(&["keys.count", keys, "keys.bytes-per-key", "7", "peak.percentage", "99.5"])[4..]);
            text.replacen("*6\r\n", "*12\r\n", 1).replace("*6\r\n", "")
        };
        let (one, other) = (words("300", "400", "2"), words("500", "600", "4"));
        let expected = reply(&["peak.allocated", "1000", "total.allocated", "800", "startup.allocated", "200"])
            + &reply(&["keys.count", "6", "keys.bytes-per-key", "100", "peak.percentage"])[4..]
            + "$2\r\n80\r\n";
        let got = merged(Gather::MemoryStats, &[Ok(&one), Ok(&other)]);
        assert_eq!(got, expected.replacen("*6\r\n", "*12\r\n", 1));
        assert_eq!(merged(Gather::MemoryStats, &[Ok(&one)]), one, "one node's is passed on");
    }

    #[test]
    fn a_map_of_a_database_is_merged_too() {
        let one = format!("*2\r\n$4\r\ndb.0\r\n{}", reply(&["overhead.hashtable.main", "72"]));
        let other = format!(
            "*4\r\n$4\r\ndb.0\r\n{}$4\r\ndb.1\r\n{}",
            reply(&["overhead.hashtable.main", "28"]),
            reply(&["overhead.hashtable.main", "1"])
        );
        let expected = format!(
            "*4\r\n$4\r\ndb.0\r\n{}$4\r\ndb.1\r\n{}",
            reply(&["overhead.hashtable.main", "100"]),
            reply(&["overhead.hashtable.main", "1"])
        );
        assert_eq!(merged(Gather::MemoryStats, &[Ok(&one), Ok(&other)]), expected);
    }

    #[test]
    fn texts_stand_under_their_nodes_names_unless_all_say_the_same() {
        let (fine, sick) = ("$5\r\nfine\n\r\n", "$4\r\nsick\r\n");
        assert_eq!(merged(Gather::Texts, &[Ok(fine), Ok(fine)]), fine);
        let both = "# a\nfine\n\n# b\nsick\n\n# c\n-NODEDOWN node c\n";
        let expected = format!("${}\r\n{both}\r\n", both.len());
        assert_eq!(merged(Gather::Texts, &[Ok(fine), Ok(sick), Err("-NODEDOWN node c\r\n")]), expected);
        assert_eq!(merged(Gather::Texts, &[Err("-NODEDOWN node a\r\n"), Ok("-ERR x\r\n")]), "-NODEDOWN node a\r\n");
    }
}
