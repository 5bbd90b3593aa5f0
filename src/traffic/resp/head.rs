//! One header of a reply: the type byte and what follows it up to CR LF.
//!
//! `reply` (as bytes stream by) and `elements` (in a whole frame) both read headers here, so that they cannot
//! disagree. The table of types, with n a number:
//!
//! ```text
//! $n bulk   !n error   =n verbatim text      $-1 null       + - text   , double   ( big number: lines of any length
//! *n array  ~n set     >n push               *-1 null       :n integer   #t #f boolean   _ null
//! %n map of n pairs    |n attribute: n pairs that describe the value behind them, which is the one that counts
//! ```
//! Invariants: a header is judged only when it is whole (or too long to be one), so cuts change nothing. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;

use super::length;

/// Longest header line: type byte, sign, 19 digits, CR LF, and one byte to spare.
pub(super) const LONGEST_HEAD: usize = 24;
/// A verbatim text begins with its format: `txt:`.
const VERBATIM_FORMAT: usize = 4;
/// Most values of one aggregate, as in Redis's own client library.
const MOST_ITEMS: usize = u32::MAX as usize;

/// What a node sent is not RESP: its connection cannot be used any further, for nobody knows where the next reply
/// begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramingError {
    /// No type begins with this byte; or a push stands inside a reply.
    UnknownType(u8),
    /// The number or letter in the header of this type makes no sense.
    BadHeader(u8),
    /// A streamed bulk or aggregate.
    Streamed,
    /// A bulk is not followed by CR LF.
    MissingCrLf,
    /// Levels beyond the limit.
    TooDeep,
    /// A bulk or line beyond the limit.
    TooLong,
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => write!(f, "unexpected type byte '{}'", byte.escape_ascii()),
            Self::BadHeader(byte) => write!(f, "bad header of a value of type '{}'", byte.escape_ascii()),
            Self::Streamed => f.write_str("a streamed value, which is not supported"),
            Self::MissingCrLf => f.write_str("no CRLF behind a bulk"),
            Self::TooDeep => f.write_str("arrays nested too deep"),
            Self::TooLong => f.write_str("a value longer than the limit"),
        }
    }
}

impl std::error::Error for FramingError {}

/// What a header line says.
pub(super) enum Head {
    /// The line is not whole.
    Partial,
    /// A line of any length follows the type byte.
    Line,
    /// The value is whole and ends at `next`.
    Value { next: usize },
    /// A bulk of `len` bytes begins at `next`.
    Bulk { len: usize, next: usize },
    /// `count` values follow from `next` on.
    Items { count: usize, next: usize },
    /// `count` values follow that describe the value behind them.
    Attribute { count: usize, next: usize },
}

/// Reads the header at `at`, which is inside `bytes`. Bulks longer than `longest` are refused.
#[inline(always)]
pub(super) fn head(bytes: &[u8], at: usize, longest: usize) -> Result<Head, FramingError> {
    match (bytes[at], length::read(bytes, at + 1)) {
        (b'+' | b'-' | b',' | b'(', _) => Ok(Head::Line),
        (b'$', Some((len, next))) if len <= longest => Ok(Head::Bulk { len, next }),
        (b':', Some((_, next))) => Ok(Head::Value { next }),
        (b'*', Some((count, next))) if count <= MOST_ITEMS => Ok(Head::Items { count, next }),
        (_, _) => rare_head(&bytes[at..], at, longest),
    }
}

/// The other types, and what is not whole, negative or wrong. `rest` begins with the header, which is at `at`.
fn rare_head(rest: &[u8], at: usize, longest: usize) -> Result<Head, FramingError> {
    let kind = rest[0];
    if !b"$:*%~>|_#!=".contains(&kind) {
        return Err(FramingError::UnknownType(kind));
    }
    let Some(lf) = rest.iter().take(LONGEST_HEAD).position(|byte| *byte == b'\n') else {
        return if rest.len() < LONGEST_HEAD { Ok(Head::Partial) } else { Err(FramingError::BadHeader(kind)) };
    };
    let next = at + lf + 1;
    let Some(text) = rest[1..lf].strip_suffix(b"\r") else { return Err(FramingError::BadHeader(kind)) };
    match (kind, text) {
        (b'_', b"") | (b'#', b"t" | b"f") | (b'$' | b'*', b"-1") => return Ok(Head::Value { next }),
        (b'_' | b'#', _) => return Err(FramingError::BadHeader(kind)),
        (b':', _) => {
            let number = length::strict(text.strip_prefix(b"+").unwrap_or(text));
            return number.map(|_| Head::Value { next }).ok_or(FramingError::BadHeader(kind));
        }
        (_, b"?") => return Err(FramingError::Streamed),
        _ => {}
    }
    let number = length::strict(text).and_then(|number| usize::try_from(number).ok());
    let count = number.filter(|number| *number <= MOST_ITEMS).ok_or(FramingError::BadHeader(kind));
    match kind {
        b'*' | b'~' | b'>' => Ok(Head::Items { count: count?, next }),
        b'%' => Ok(Head::Items { count: 2 * count?, next }),
        b'|' => Ok(Head::Attribute { count: 2 * count?, next }),
        _ => match number {
            Some(len) if kind == b'=' && len < VERBATIM_FORMAT => Err(FramingError::BadHeader(kind)),
            Some(len) if len <= longest => Ok(Head::Bulk { len, next }),
            Some(_) => Err(FramingError::TooLong),
            None => Err(FramingError::BadHeader(kind)),
        },
    }
}

/// Offset behind the first CR LF.
pub(super) fn line_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let cr = from + bytes.get(from..)?.iter().position(|byte| *byte == b'\r')?;
        if bytes.get(cr + 1) == Some(&b'\n') {
            return Some(cr + 2);
        }
        from = cr + 1;
    }
}
