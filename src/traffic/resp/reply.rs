//! Finds where a node's reply ends, while it streams by.
//!
//! bytes of a pipe -> here -> `pipe` (whose reply it is) and `merge` (replies in several parts). Each call gets only
//! new bytes; nothing is kept but counters and a header line that a read cut apart.
//!
//! ```text
//!        type byte, length                    payload, CR LF
//! Head ---------------------> Body (bulk) -------------------> value done
//!  |---- + - , ( -----------> Line ------ CR LF -------------> value done
//!  |---- : _ # null --------------------------------------------> value done
//!  +---- * ~ > % | n -------> n (2n) values one level deeper, then value done ('|': then the value it describes)
//! value done: the level's count sinks; at 0 the level above goes on; at the top the frame ends
//! ```
//! Invariants: what is found does not depend on how the bytes are cut; the stack holds one count per open level.
//! Bounds: `Limits::max_nesting`, `Limits::reply_bulk`; header lines of 24 bytes. Pure.
//! It does not look into values, and knows no streamed types (`$?`, `*?`): no server sends them.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::head::{Head, LONGEST_HEAD, head, line_end};
use super::length;
use super::limits::Limits;

pub use super::elements::{Elements, element_end};
pub use super::head::FramingError;

/// Where the scanner stands inside a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Before or inside a header line.
    #[default]
    Head,
    /// In a line of any length; `seen` bytes of it have gone by and the last one was a CR if `cr`.
    Line { seen: usize, cr: bool },
    /// In a bulk: so many bytes, CR LF included, are still to come.
    Body { left: usize },
}

/// Incremental finder of frame ends on one pipe.
#[derive(Debug, Default)]
pub struct ReplyScanner {
    /// Values still to come on this level; 0 between frames.
    left: usize,
    /// The same for the levels above, outermost first.
    outer: Vec<usize>,
    phase: Phase,
    kind: u8,
    /// The beginning of a header line that was cut apart.
    cut: [u8; LONGEST_HEAD],
    cut_len: usize,
}

impl ReplyScanner {
    /// A scanner before its first frame. Allocates nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with new bytes: `Some(n)` when the frame ends after the first `n` of them (the rest is to be shown
    /// again, it begins the next frame), `None` when all of them belong to a frame that goes on. After an error there
    /// is no next call.
    #[inline]
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, FramingError> {
        let mut at = 0;
        if self.left == 0 {
            if let Some(end) = whole_bulk(bytes) {
                self.kind = b'$';
                return Ok(Some(end));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            self.kind = 0;
            self.left = 1;
        } else {
            match self.resume(bytes, limits)? {
                Some(next) => at = next,
                None => return Ok(None),
            }
            if self.left == 0 {
                return Ok(Some(at));
            }
        }
        self.values(bytes, at, limits)
    }

    /// The type byte of the frame (that of the reply itself, not of attributes before it): 0 as long as it has not
    /// come, and kept until the next frame begins.
    #[inline]
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Between two frames.
    #[inline]
    pub fn idle(&self) -> bool {
        self.left == 0
    }

    /// How many bytes of a bulk that is streaming by, CR LF included, are still to come; 0 elsewhere.
    pub fn bulk_left(&self) -> usize {
        match self.phase {
            Phase::Body { left } => left,
            Phase::Head | Phase::Line { .. } => 0,
        }
    }

    /// Values one after the other, from a header at `at` to the end of the frame or of `bytes`.
    #[inline]
    fn values(&mut self, bytes: &[u8], mut at: usize, limits: &Limits) -> Result<Option<usize>, FramingError> {
        let longest = limits.reply_bulk();
        while let Some(&kind) = bytes.get(at) {
            if self.outer.is_empty() && kind != b'|' {
                self.kind = kind;
            }
            match head(bytes, at, longest)? {
                Head::Bulk { len, next } => {
                    let end = next + len;
                    match bytes.get(end..end + 2) {
                        Some(b"\r\n") => at = end + 2,
                        Some(_) => return Err(FramingError::MissingCrLf),
                        None => {
                            self.body(&bytes[next..], len + 2)?;
                            return Ok(None);
                        }
                    }
                    self.value_done();
                }
                Head::Value { next } => {
                    at = next;
                    self.value_done();
                }
                Head::Line => match self.line(&bytes[at + 1..], 0, false, limits)? {
                    Some(len) => {
                        at += 1 + len;
                        self.value_done();
                    }
                    None => return Ok(None),
                },
                Head::Partial => {
                    self.keep_cut(&bytes[at..]);
                    return Ok(None);
                }
                deeper @ (Head::Items { .. } | Head::Attribute { .. }) => at = self.descend(kind, &deeper, limits)?,
            }
            if self.left == 0 {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Finishes what the last call left unfinished; returns where in `bytes` the next header begins.
    #[cold]
    fn resume(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, FramingError> {
        let done = match self.phase {
            Phase::Head if self.cut_len == 0 => return Ok(Some(0)),
            Phase::Head => return self.resume_head(bytes, limits),
            Phase::Line { seen, cr } => self.line(bytes, seen, cr, limits)?,
            Phase::Body { left } => self.body(bytes, left)?,
        };
        if done.is_some() {
            self.phase = Phase::Head;
            self.value_done();
        }
        Ok(done)
    }

    /// Completes the header line that was cut apart; at most `LONGEST_HEAD` bytes, whatever the number of reads.
    fn resume_head(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, FramingError> {
        let room = LONGEST_HEAD - self.cut_len;
        let used = match bytes.iter().take(room).position(|byte| *byte == b'\n') {
            Some(lf) => lf + 1,
            None => bytes.len().min(room),
        };
        self.cut[self.cut_len..self.cut_len + used].copy_from_slice(&bytes[..used]);
        self.cut_len += used;
        match head(&self.cut[..self.cut_len], 0, limits.reply_bulk())? {
            Head::Partial | Head::Line => return Ok(None),
            Head::Value { .. } => self.value_done(),
            Head::Bulk { len, .. } => {
                self.cut_len = 0;
                let done = self.body(&bytes[used..], len + 2)?;
                if done.is_some() {
                    self.phase = Phase::Head;
                    self.value_done();
                }
                return Ok(done.map(|len| used + len));
            }
            deeper @ (Head::Items { .. } | Head::Attribute { .. }) => {
                self.descend(self.cut[0], &deeper, limits)?;
            }
        }
        self.cut_len = 0;
        Ok(Some(used))
    }

    /// Keeps the beginning of a header line; `head` has seen that it is shorter than the longest.
    #[cold]
    fn keep_cut(&mut self, bytes: &[u8]) {
        self.cut[..bytes.len()].copy_from_slice(bytes);
        self.cut_len = bytes.len();
    }

    /// Skips a line that goes on with `bytes`, up to and with its CR LF. A lone CR or LF belongs to the text.
    fn line(&mut self, bytes: &[u8], seen: usize, cr: bool, limits: &Limits) -> Result<Option<usize>, FramingError> {
        if cr && bytes.first() == Some(&b'\n') {
            return Ok(Some(1));
        }
        if let Some(end) = line_end(bytes) {
            return Ok(Some(end));
        }
        let seen = seen + bytes.len();
        if seen > limits.reply_bulk() {
            return Err(FramingError::TooLong);
        }
        self.phase = Phase::Line { seen, cr: bytes.last().map_or(cr, |last| *last == b'\r') };
        Ok(None)
    }

    /// Skips `left` bytes, of which the last two must be CR LF.
    fn body(&mut self, bytes: &[u8], left: usize) -> Result<Option<usize>, FramingError> {
        let mut at = left.saturating_sub(2).min(bytes.len());
        let mut left = left - at;
        while left == 1 || left == 2 {
            let Some(byte) = bytes.get(at) else { break };
            if *byte != if left == 2 { b'\r' } else { b'\n' } {
                return Err(FramingError::MissingCrLf);
            }
            at += 1;
            left -= 1;
        }
        self.phase = Phase::Body { left };
        Ok((left == 0).then_some(at))
    }

    /// Opens a level for the values inside an aggregate; returns where the first of them begins.
    fn descend(&mut self, kind: u8, head: &Head, limits: &Limits) -> Result<usize, FramingError> {
        if kind == b'>' && !self.outer.is_empty() {
            return Err(FramingError::UnknownType(kind));
        }
        let (count, next, itself) = match *head {
            Head::Items { count, next } => (count, next, 1),
            Head::Attribute { count, next } => (count, next, 0),
            _ => return Err(FramingError::BadHeader(kind)),
        };
        if count > 0 {
            if self.outer.len() >= limits.max_nesting {
                return Err(FramingError::TooDeep);
            }
            self.outer.push(self.left - itself);
            self.left = count;
        } else if itself == 1 {
            self.value_done();
        }
        Ok(next)
    }

    /// One value less on this level, and if it was the last, back to the level that has some left.
    #[inline]
    fn value_done(&mut self) {
        self.left -= 1;
        while self.left == 0 {
            match self.outer.pop() {
                Some(left) => self.left = left,
                None => return,
            }
        }
    }
}

/// End of the commonest frame of all, a bulk that came in one piece: no state is touched for it.
#[inline]
fn whole_bulk(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'$') {
        return None;
    }
    let (len, start) = length::read(bytes, 1)?;
    let end = start + len;
    (bytes.get(end..end + 2)? == b"\r\n").then_some(end + 2)
}

#[cfg(test)]
mod tests;
