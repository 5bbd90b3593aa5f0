//! Fields whose value is a list: `db0:keys=3,expires=1,avg_ttl=99950`, `cmdstat_get:calls=1,usec=6,…`.
//!
//! Each key of the list has its own rule, in [`merge`]. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::decimal::Decimal;

/// One node's list.
type Line<'a> = Vec<(&'a str, &'a str)>;

/// Longest list: Redis's own have at most about 60 pairs (sizes of keys by powers of two).
const MAX_PAIRS: usize = 128;

/// Merges the nodes' lists; `None` when one of them is no such list.
///
/// | key             | of                   | merged                                  |
/// |-----------------|----------------------|-----------------------------------------|
/// | `usec_per_call` | `cmdstat_*`          | sum of `usec` divided by sum of `calls` |
/// | `avg_ttl`       | `dbN`                | mean, weighted by `expires`             |
/// | `p50`, `p99.9`  | `latency_…`          | largest: no percentile of all is known  |
/// | any other       | counters             | sum; the first node's if it is no number |
pub(super) fn merge(values: &[&[u8]]) -> Option<String> {
    let lines: Vec<Line<'_>> = values.iter().map(|value| read(value)).collect::<Option<_>>()?;
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in lines.iter().flatten() {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    let pairs: Vec<String> = keys.into_iter().map(|key| format!("{key}={}", merge_key(key, &lines))).collect();
    Some(pairs.join(","))
}

fn read(value: &[u8]) -> Option<Line<'_>> {
    let line: Line<'_> =
        std::str::from_utf8(value).ok()?.split(',').map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
    (line.len() <= MAX_PAIRS).then_some(line)
}

fn merge_key(key: &str, lines: &[Line<'_>]) -> String {
    let texts: Vec<&[u8]> = lines.iter().filter_map(|line| find(line, key)).map(str::as_bytes).collect();
    let first = || lines.iter().find_map(|line| find(line, key)).unwrap_or_default().to_owned();
    let Some(numbers) = Decimal::parse_all(&texts) else { return first() };
    match key {
        "usec_per_call" => format!("{:.2}", quotient(sum(lines, "usec"), sum(lines, "calls"))),
        "avg_ttl" => {
            let weighted = |line: &Line<'_>| number(line, "avg_ttl") * number(line, "expires");
            format!("{:.0}", quotient(lines.iter().map(weighted).sum(), sum(lines, "expires")))
        }
        _ if is_percentile(key) => numbers.iter().max().map_or_else(first, Decimal::to_string),
        _ => Decimal::sum(&numbers).to_string(),
    }
}

/// `p50`, `p99.9`.
fn is_percentile(key: &str) -> bool {
    key.strip_prefix('p').is_some_and(|rest| Decimal::parse(rest.as_bytes()).is_some())
}

fn find<'a>(line: &Line<'a>, key: &str) -> Option<&'a str> {
    line.iter().find(|pair| pair.0 == key).map(|pair| pair.1)
}

/// A node's number; 0 where it has none.
fn number(line: &Line<'_>, key: &str) -> f64 {
    find(line, key).and_then(|text| Decimal::parse(text.as_bytes())).map_or(0.0, Decimal::approximate)
}

fn sum(lines: &[Line<'_>], key: &str) -> f64 {
    lines.iter().map(|line| number(line, key)).sum()
}

/// 0 when there is nothing to divide by.
pub(super) fn quotient(of: f64, by: f64) -> f64 {
    if by == 0.0 { 0.0 } else { of / by }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(values: &[&str]) -> Option<String> {
        merge(&values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>())
    }

    #[test]
    fn every_key_has_its_rule() {
        for (values, whole) in [
            (vec!["keys=3,expires=1,avg_ttl=900", "keys=5,expires=2,avg_ttl=300"], "keys=8,expires=3,avg_ttl=500"),
            (vec!["keys=3,expires=0,avg_ttl=0", "keys=5,expires=0,avg_ttl=0"], "keys=8,expires=0,avg_ttl=0"),
            (
                vec![
                    "calls=1,usec=10,usec_per_call=10.00,failed_calls=1",
                    "calls=2,usec=2,usec_per_call=1.00,failed_calls=0",
                ],
                "calls=3,usec=12,usec_per_call=4.00,failed_calls=1",
            ),
            (vec!["p50=3.007,p99.9=5.023", "p50=1.001,p99.9=31.103"], "p50=3.007,p99.9=31.103"),
            (vec!["count=1", "count=4"], "count=5"),
            (vec!["1=19,2=655,1K=31", "2=5,1M=1"], "1=19,2=660,1K=31,1M=1"),
            (vec!["keys=1,subexpiry=2", "keys=1"], "keys=2,subexpiry=2"),
            (vec!["name=x,n=1", "name=y,n=1"], "name=x,n=2"),
        ] {
            assert_eq!(merged(&values).as_deref(), Some(whole));
        }
    }

    #[test]
    fn what_is_no_list_is_left_alone() {
        assert_eq!(merged(&["a=1,b", "a=1"]), None);
        assert_eq!(merged(&["", "a=1"]), None);
    }
}
