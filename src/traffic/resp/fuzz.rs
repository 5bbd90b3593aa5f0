//! What must hold for any bytes whatever: the checks behind the property tests and the cargo-fuzz targets.
//!
//! Each function feeds its bytes whole and in cuts, and asserts that the outcome is the same, that it is well formed,
//! that no more memory was taken than the input justifies, and that redis-protocol, where it understands the bytes,
//! agrees. The oracle overflows the stack on deep nesting and has no limits: it is shown only what a scanner has
//! bounded. Not part of the proxy: nothing else calls it. Panics are its findings. Pure; cuts are drawn from the
//! input itself.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use redis_protocol::{resp2, resp3};

use super::elements::{Elements, element_end};
use super::head::FramingError;
use super::inline;
use super::limits::Limits;
use super::reply::ReplyScanner;
use super::request::{Arg, ProtocolError, Scan, Scanner};

/// One request as it was found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Command { at: usize, len: usize, args: Vec<Arg> },
    Inline { at: usize, len: usize, line: Vec<u8> },
    Error(ProtocolError),
}

/// Any bytes as requests of a client.
pub fn fuzz_request(bytes: &[u8]) {
    let mut random = seeded(bytes);
    let limits = some_limits(&mut random);
    let authenticated = random.bool();
    let whole = requests(bytes, &[], &limits, authenticated);
    for cuts in some_cuts(bytes.len(), &mut random) {
        assert_eq!(requests(bytes, &cuts, &limits, authenticated), whole, "cut at {cuts:?}");
    }
}

/// Any bytes as replies of a node.
pub fn fuzz_reply(bytes: &[u8]) {
    let mut random = seeded(bytes);
    let limits = some_limits(&mut random);
    let whole = replies(bytes, &[], &limits);
    for cuts in some_cuts(bytes.len(), &mut random) {
        assert_eq!(replies(bytes, &cuts, &limits), whole, "cut at {cuts:?}");
    }
    let mut at = 0;
    for (_, end) in whole.0 {
        check_frame(&bytes[at..end], &limits);
        at = end;
    }
}

/// Any bytes as the line of an inline request.
pub fn fuzz_inline(line: &[u8]) {
    let mut out = b"left over".to_vec();
    let Ok(count) = inline::split(line, &mut out) else { return };
    assert!(out.len() <= 7 * line.len() + 16, "{} bytes of {}", out.len(), line.len());
    if count == 0 {
        assert!(out.is_empty());
        return;
    }
    let mut scanner = Scanner::new();
    assert_eq!(scanner.scan(&out, &Limits::default(), true), Ok(Scan::Command { len: out.len() }));
    assert_eq!(scanner.args().len(), count);
}

/// All requests in `bytes` when reads end at `cuts` (ascending).
fn requests(bytes: &[u8], cuts: &[usize], limits: &Limits, authenticated: bool) -> Vec<Found> {
    let mut found = Vec::new();
    let mut scanner = Scanner::new();
    let (mut at, mut promised) = (0, 0);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        loop {
            let buf = &bytes[at..end];
            let scan = scanner.scan(buf, limits, authenticated);
            let args = scanner.args();
            assert!(args.len() <= buf.len() / 6, "{} arguments of {} bytes", args.len(), buf.len());
            let len = match scan {
                Ok(Scan::Incomplete) => {
                    promised = promised.max(buf.len() + scanner.missing());
                    break;
                }
                Ok(Scan::Command { len }) => {
                    check_command(&buf[..len], args);
                    found.push(Found::Command { at, len, args: args.to_vec() });
                    len
                }
                Ok(Scan::Inline { len, line }) => {
                    found.push(Found::Inline { at, len, line: buf[line].to_vec() });
                    len
                }
                Err(error) => {
                    assert!(error.to_string().starts_with("Protocol error: "));
                    found.push(Found::Error(error));
                    return found;
                }
            };
            assert!(len > 0 && len <= limits.request().max(limits.max_inline + 2));
            assert!(promised <= len, "said that {promised} bytes were needed of {len}");
            promised = 0;
            at += len;
        }
    }
    found
}

/// A whole request: its arguments cover it, and the oracle finds the same ones.
fn check_command(request: &[u8], args: &[Arg]) {
    if args.is_empty() {
        return;
    }
    let mut head = args[0].head;
    for arg in args {
        assert_eq!(arg.head, head);
        assert_eq!(
            arg.raw(request),
            [format!("${}\r\n", arg.of(request).len()).as_bytes(), arg.of(request), b"\r\n"].concat()
        );
        head = arg.end + 2;
    }
    assert_eq!(head as usize, request.len());
    let ranges = args.iter().map(|arg| resp2::types::RangeFrame::BulkString((arg.start as usize, arg.end as usize)));
    let expected = resp2::types::RangeFrame::Array(ranges.collect());
    match resp2::decode::decode_range(request) {
        Ok(Some(found)) => assert_eq!(found, (expected, request.len())),
        other => panic!("the oracle says {other:?}"),
    }
}

/// Type and end of each frame, and the error after them.
type Replies = (Vec<(u8, usize)>, Option<FramingError>);

/// All replies in `bytes` when reads end at `cuts` (ascending).
fn replies(bytes: &[u8], cuts: &[usize], limits: &Limits) -> Replies {
    let mut found = Vec::new();
    let mut scanner = ReplyScanner::new();
    let mut at = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        loop {
            match scanner.scan(&bytes[at..end], limits) {
                Ok(Some(len)) => {
                    assert!(len > 0 && at + len <= end && scanner.idle() && scanner.bulk_left() == 0);
                    at += len;
                    found.push((scanner.kind(), at));
                }
                Ok(None) => {
                    at = end;
                    break;
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// A whole frame: it ends where it should by every way to find its end, and its elements fill it.
fn check_frame(frame: &[u8], limits: &Limits) {
    assert_eq!(element_end(frame, 0, limits), Some(frame.len()));
    if let Some(elements) = Elements::of(frame) {
        let expected = elements.len();
        let mut found = 0;
        let mut end = None;
        for element in elements {
            assert_eq!(element_end(element, 0, limits), Some(element.len()));
            end = Some(element.as_ptr_range().end);
            found += 1;
        }
        assert_eq!(found, expected);
        assert!(end.is_none_or(|end| end == frame.as_ptr_range().end));
    }
    if let Ok(oracle) = resp2::decode::decode_range(frame) {
        assert_eq!(oracle.map(|(_, len)| len), Some(frame.len()));
    } else if let Ok(oracle) = resp3::decode::complete::decode_range(frame) {
        assert_eq!(oracle.map(|(_, len)| len), Some(frame.len()));
    }
}

/// The same draws for the same input, so that every finding can be had again.
fn seeded(bytes: &[u8]) -> fastrand::Rng {
    let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    fastrand::Rng::with_seed(bytes.iter().take(64).fold(bytes.len() as u64, hash))
}

/// The default bounds, or bounds so narrow that small inputs meet them.
fn some_limits(random: &mut fastrand::Rng) -> Limits {
    if random.bool() {
        return Limits::default();
    }
    Limits {
        max_bulk: random.usize(8..64),
        max_args: random.usize(2..12),
        max_inline: random.usize(8..64),
        max_request: random.usize(32..256),
        max_nesting: random.usize(1..5),
    }
}

/// Every byte by itself, and a few draws of cuts.
fn some_cuts(len: usize, random: &mut fastrand::Rng) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    if len <= 4096 {
        all.push((0..=len).collect());
    }
    for count in [1, 1, 3, 10] {
        let mut cuts: Vec<usize> = (0..count).map(|_| random.usize(0..=len)).collect();
        cuts.sort_unstable();
        all.push(cuts);
    }
    all
}

#[cfg(test)]
mod tests;
