//! Finds where a client's request ends and where its arguments lie.
//!
//! bytes of a client -> here -> `command` (which command, which keys) and `route`; the bytes themselves stay where
//! they are.
//!
//! ```text
//!           '*'                    count > 0              last argument
//! Start ----------> count line --------------> Arguments ---------------> Command
//!   |                    | count <= 0: Command without arguments (to be skipped)
//!   +--- other byte ---> line up to LF ---------------------------------> Inline
//! ```
//! The caller shows a buffer that begins with the request and grows until the request is whole. Between two calls the
//! scanner keeps the offset of the header it stands at, so an argument is looked at once however many reads it takes.
//!
//! Invariants: what is found, errors included, depends on the bytes, not on where reads cut them; `args` lie in order
//! inside the request, do not overlap, and are each followed by CR LF. Bounds: `Limits`; 12 bytes of memory per
//! argument *received* (a count alone reserves nothing). Pure. Accepts what Redis accepts, and checks the CR LF
//! behind arguments, which Redis does not.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fmt;
use std::ops::Range;

use super::length;
use super::limits::Limits;

/// The smallest argument, `$0 CR LF CR LF`: what each argument to come costs at least.
const SMALLEST_ARG: usize = 6;
/// A number may take this much even if `max_inline` is less: the fast path, which sees whole lines only, would take it.
const LONGEST_NUMBER: usize = 24;
/// Arguments for which an idle scanner keeps the memory.
const KEPT_ARGS: usize = 64;

/// One argument, as offsets from the request's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Of the `$` of its header.
    pub head: u32,
    /// Of its first payload byte.
    pub start: u32,
    /// Behind its last payload byte; CR LF follows.
    pub end: u32,
}

impl Arg {
    /// The payload: `foo`.
    #[inline]
    pub fn of(self, request: &[u8]) -> &[u8] {
        &request[self.start as usize..self.end as usize]
    }

    /// Header, payload and end: `$3 CR LF foo CR LF`.
    #[inline]
    pub fn raw(self, request: &[u8]) -> &[u8] {
        &request[self.head as usize..self.end as usize + 2]
    }
}

/// What a call of [`Scanner::scan`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The request is not whole; [`Scanner::missing`] tells how much must come at least.
    Incomplete,
    /// A request in RESP; its arguments are in [`Scanner::args`]. Without arguments (`*0`) it gets no reply.
    Command {
        /// Bytes of the request.
        len: usize,
    },
    /// A line typed by hand, for [`super::inline::split`]. An empty line gets no reply.
    Inline {
        /// Bytes of the request, its end of line included.
        len: usize,
        /// The line without its end.
        line: Range<usize>,
    },
}

/// Why a client cannot be understood. It gets the text as an error reply, then its connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// The number of arguments is no number, or above the limit.
    InvalidMultibulkLength,
    /// The length of an argument is no number, negative, or above the limit.
    InvalidBulkLength,
    /// An argument begins with another byte than `$`.
    ExpectedDollar(u8),
    /// The header of a request does not end.
    TooBigMultibulkCount,
    /// The header of an argument does not end.
    TooBigBulkCount,
    /// An inline request does not end.
    TooBigInline,
    /// A quote in an inline request is not closed, or is followed by something else than a blank.
    UnbalancedQuotes,
    /// More arguments than a client may send before it authenticates.
    UnauthenticatedMultibulkLength,
    /// A longer argument than a client may send before it authenticates.
    UnauthenticatedBulkLength,
    /// An argument is not followed by CR LF (Redis would skip the two bytes unseen).
    ExpectedCrLf,
    /// The request as a whole is above the limit (Redis bounds only its arguments).
    TooBigRequest,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        f.write_str(match self {
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::ExpectedDollar(byte) => return write_expected(f, *byte),
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::TooBigInline => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::ExpectedCrLf => "expected CRLF after bulk",
            Self::TooBigRequest => "too big request",
        })
    }
}

/// As Redis, except that bytes which would not be text are escaped.
fn write_expected(f: &mut fmt::Formatter<'_>, byte: u8) -> fmt::Result {
    match byte {
        b'\r' | b'\n' => f.write_str("expected '$', got ' '"),
        0x20..=0x7e => write!(f, "expected '$', got '{}'", char::from(byte)),
        _ => write!(f, "expected '$', got '\\x{byte:02x}'"),
    }
}

impl std::error::Error for ProtocolError {}

/// The second argument of the request that `buf` begins with, mostly its key: for a look ahead, without any promise.
#[inline]
#[must_use]
pub fn peek_second(buf: &[u8]) -> Option<&[u8]> {
    let bulk = |at: usize| if buf.get(at) == Some(&b'$') { length::read(buf, at + 1) } else { None };
    let (_, name) = if buf.first() == Some(&b'*') { length::read(buf, 1)? } else { return None };
    let (name_len, name_start) = bulk(name)?;
    let (len, start) = bulk(name_start.checked_add(name_len)?.checked_add(2)?)?;
    buf.get(start..start.checked_add(len)?)
}

/// Resumable scanner of one client's requests.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Arguments found so far; those of the last request until the next one begins.
    args: Vec<Arg>,
    /// Arguments still to come; 0 while the request's first line is not whole (or no request has begun).
    left: usize,
    /// Offset of the header that is next: 0, or of the `$` of the next argument.
    at: usize,
    /// Up to here the line at `at` has been searched for its end without success.
    searched: usize,
    /// Bytes surely missing after the last `Incomplete`.
    missing: usize,
}

impl Scanner {
    /// A scanner before its first request. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on in `buf`, which begins with the request's first byte and holds at least what it held at the last call.
    /// After a whole request the next call begins another one. After an error only [`Self::reset`] may follow.
    #[inline]
    pub fn scan(&mut self, buf: &[u8], limits: &Limits, authenticated: bool) -> Result<Scan, ProtocolError> {
        if self.left == 0 {
            self.args.clear();
            let (count, next) = match (buf.first(), length::read(buf, 1)) {
                (Some(b'*'), Some(found)) => found,
                (Some(b'*'), None) => match self.count_line(buf, limits)? {
                    Some(found) => found,
                    None => return Ok(Scan::Incomplete),
                },
                (Some(_), _) => return self.inline(buf, limits),
                (None, _) => return Ok(self.incomplete(1)),
            };
            check_count(count, limits, authenticated)?;
            if count == 0 {
                return Ok(self.finish(next));
            }
            self.left = count;
            self.at = next;
            self.searched = 0;
        }
        self.arguments(buf, limits, authenticated)
    }

    /// The arguments of the request that `scan` found last.
    #[inline]
    pub fn args(&self) -> &[Arg] {
        &self.args
    }

    /// How many bytes are surely still missing when the last answer was [`Scan::Incomplete`]; at least 1. It is the
    /// client's claim and may be as large as a request: to size a read by it is fine, to reserve all of it at once is
    /// not.
    pub fn missing(&self) -> usize {
        self.missing.max(1)
    }

    /// Forgets the request in progress. Gives back the memory of unusually many arguments.
    pub fn reset(&mut self) {
        self.args.clear();
        self.args.shrink_to(KEPT_ARGS);
        self.left = 0;
        self.at = 0;
        self.searched = 0;
        self.missing = 0;
    }

    /// Gives back the memory of unusually many arguments, if no request is in progress.
    pub fn shrink(&mut self) {
        if self.left == 0 {
            self.args.clear();
            self.args.shrink_to(KEPT_ARGS);
        }
    }

    /// Bytes of memory held.
    pub fn held(&self) -> usize {
        self.args.capacity() * size_of::<Arg>()
    }

    /// Reads arguments until the last one or the end of `buf`.
    #[inline]
    fn arguments(&mut self, buf: &[u8], limits: &Limits, authenticated: bool) -> Result<Scan, ProtocolError> {
        let (mut at, mut left) = (self.at, self.left);
        let room = limits.request();
        let bulk_limit =
            if authenticated { limits.max_bulk } else { limits.max_bulk.min(Limits::UNAUTHENTICATED_BULK) };
        while left > 0 {
            let found = if buf.get(at) == Some(&b'$') { length::read(buf, at + 1) } else { None };
            let (len, start) = match found {
                Some(found) => found,
                None => {
                    (self.at, self.left) = (at, left);
                    match self.bulk_line(buf, limits)? {
                        Some(found) => found,
                        None => return Ok(Scan::Incomplete),
                    }
                }
            };
            if len > bulk_limit {
                return Err(if len > limits.max_bulk {
                    ProtocolError::InvalidBulkLength
                } else {
                    ProtocolError::UnauthenticatedBulkLength
                });
            }
            let end = start + len;
            let least = end + 2 + (left - 1) * SMALLEST_ARG;
            if least > room {
                return Err(ProtocolError::TooBigRequest);
            }
            match buf.get(end..end + 2) {
                Some(b"\r\n") => {}
                Some(_) => return Err(ProtocolError::ExpectedCrLf),
                None => {
                    (self.at, self.left) = (at, left);
                    return Ok(self.incomplete(least - buf.len()));
                }
            }
            self.args.push(arg(at, start, end));
            at = end + 2;
            left -= 1;
        }
        Ok(self.finish(at))
    }

    #[inline]
    fn finish(&mut self, len: usize) -> Scan {
        self.left = 0;
        self.at = 0;
        self.searched = 0;
        Scan::Command { len }
    }

    fn incomplete(&mut self, missing: usize) -> Scan {
        self.missing = missing;
        Scan::Incomplete
    }

    /// The slow path of the first line: not whole, negative, or wrong. A count below 1 becomes 0, as in Redis.
    #[cold]
    fn count_line(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(end) = self.line_end(buf, limits, ProtocolError::TooBigMultibulkCount)? else {
            return Ok(None);
        };
        if buf.get(end + 1) != Some(&b'\n') {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        let count = length::strict(&buf[1..end]).ok_or(ProtocolError::InvalidMultibulkLength)?;
        // A count above usize is above every limit.
        Ok(Some((usize::try_from(count.max(0)).unwrap_or(usize::MAX), end + 2)))
    }

    /// The slow path of an argument's header.
    #[cold]
    fn bulk_line(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<(usize, usize)>, ProtocolError> {
        let Some(end) = self.line_end(buf, limits, ProtocolError::TooBigBulkCount)? else {
            return Ok(None);
        };
        match buf.get(self.at) {
            Some(b'$') => {}
            other => return Err(ProtocolError::ExpectedDollar(other.copied().unwrap_or_default())),
        }
        if buf.get(end + 1) != Some(&b'\n') {
            return Err(ProtocolError::InvalidBulkLength);
        }
        let len = length::strict(&buf[self.at + 1..end]).and_then(|len| usize::try_from(len).ok());
        Ok(Some((len.filter(|len| *len <= limits.max_bulk).ok_or(ProtocolError::InvalidBulkLength)?, end + 2)))
    }

    /// Offset of the CR that ends the line at `at`, once the byte behind it is there too. As in Redis the first CR is
    /// the end, and what stands before it is judged only then. A line longer than `max_inline` is `too_big`.
    fn line_end(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let from = self.searched.max(self.at);
        let cr = find(b'\r', buf, from);
        if cr.unwrap_or(buf.len()).saturating_sub(self.at) > limits.max_inline.max(LONGEST_NUMBER) {
            return Err(too_big);
        }
        if let Some(cr) = cr.filter(|cr| cr + 1 < buf.len()) {
            return Ok(Some(cr));
        }
        self.searched = cr.unwrap_or(buf.len());
        let least = if self.left > 0 { (self.at + self.left * SMALLEST_ARG).saturating_sub(buf.len()) } else { 0 };
        self.incomplete(least.max(1));
        Ok(None)
    }

    #[cold]
    fn inline(&mut self, buf: &[u8], limits: &Limits) -> Result<Scan, ProtocolError> {
        let lf = find(b'\n', buf, self.searched);
        if lf.unwrap_or(buf.len()) > limits.max_inline {
            return Err(ProtocolError::TooBigInline);
        }
        let Some(lf) = lf else {
            self.searched = buf.len();
            return Ok(self.incomplete(1));
        };
        self.searched = 0;
        let end = if lf > 0 && buf[lf - 1] == b'\r' { lf - 1 } else { lf };
        Ok(Scan::Inline { len: lf + 1, line: 0..end })
    }
}

#[inline]
fn check_count(count: usize, limits: &Limits, authenticated: bool) -> Result<(), ProtocolError> {
    if count > limits.max_args.min(Limits::LARGEST_REQUEST) {
        return Err(ProtocolError::InvalidMultibulkLength);
    }
    if count > Limits::UNAUTHENTICATED_ARGS && !authenticated {
        return Err(ProtocolError::UnauthenticatedMultibulkLength);
    }
    Ok(())
}

/// All three are at most `Limits::LARGEST_REQUEST`, which fits.
#[inline]
fn arg(head: usize, start: usize, end: usize) -> Arg {
    Arg { head: head as u32, start: start as u32, end: end as u32 }
}

fn find(byte: u8, buf: &[u8], from: usize) -> Option<usize> {
    buf.get(from..)?.iter().position(|found| *found == byte).map(|index| from + index)
}

#[cfg(test)]
mod tests;
