//! Bytes of a connection on which whole replies are wanted, cut into replies.
//!
//! For control connections and the operator's subcommands; what passes through pipes is not kept whole. The scanner goes on
//! where it stopped; turning a reply into a value is up to whoever wants it. Bounded by the depth and the size that its
//! owner allows. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use bytes::{Bytes, BytesMut};

use super::{Limits, ReplyScanner};

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// What came is no RESP, nested too deep, or longer than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoReply;

/// What has been read and not been taken.
#[derive(Debug)]
pub struct Frames {
    buf: BytesMut,
    scanner: ReplyScanner,
    /// Bytes of `buf` that the scanner has seen.
    seen: usize,
    limits: Limits,
    /// Bytes that may be there of a reply that is not whole: one whose end comes with the last read may have that many more.
    most: usize,
}

impl Frames {
    /// For replies nested so deep, of so many bytes.
    #[must_use]
    pub fn new(max_nesting: usize, most: usize) -> Self {
        let limits = Limits { max_nesting, ..Limits::default() };
        Self { buf: BytesMut::new(), scanner: ReplyScanner::new(), seen: 0, limits, most }
    }

    /// Where more is read to.
    pub fn room(&mut self) -> &mut BytesMut {
        self.buf.reserve(CHUNK);
        &mut self.buf
    }

    /// Whether nothing has come behind the last reply that was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The next whole reply, as it came; `None`: more must be read.
    ///
    /// # Errors
    /// It is no RESP, nested too deep, or longer than allowed.
    pub fn next_reply(&mut self) -> Result<Option<Bytes>, NoReply> {
        if self.seen < self.buf.len() {
            match self.scanner.scan(&self.buf[self.seen..], &self.limits) {
                Err(_) => return Err(NoReply),
                Ok(None) => self.seen = self.buf.len(),
                Ok(Some(end)) => {
                    let bytes = self.buf.split_to(self.seen + end).freeze();
                    self.seen = 0;
                    return Ok(Some(bytes));
                }
            }
        }
        if self.buf.len() > self.most { Err(NoReply) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_cut_out_however_they_come() {
        let replies: [&[u8]; 4] = [b"+OK\r\n", b"$-1\r\n", b"*2\r\n$3\r\nabc\r\n:7\r\n", b"$0\r\n\r\n"];
        let whole = replies.concat();
        for size in 1..=whole.len() {
            let (mut frames, mut found) = (Frames::new(4, 1_000), Vec::new());
            for piece in whole.chunks(size) {
                frames.room().extend_from_slice(piece);
                while let Some(reply) = frames.next_reply().unwrap() {
                    found.push(reply);
                }
            }
            assert_eq!(found, replies, "{size}");
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn what_is_too_long_too_deep_or_no_reply_is_an_error() {
        for (bytes, fits) in [(&b"$9\r\n12345"[..], true), (b"$9\r\n1234567", false), (b"?\r\n", false)] {
            let mut frames = Frames::new(1, 10);
            frames.room().extend_from_slice(bytes);
            assert_eq!(frames.next_reply().is_ok(), fits, "{}", String::from_utf8_lossy(bytes));
        }
        let mut frames = Frames::new(1, 100);
        frames.room().extend_from_slice(b"*1\r\n*1\r\n*1\r\n:1\r\n");
        assert!(frames.next_reply().is_err());
    }

    #[test]
    fn what_comes_behind_a_reply_is_seen() {
        let mut frames = Frames::new(1, 100);
        frames.room().extend_from_slice(b"+OK\r\n+");
        assert_eq!(frames.next_reply().unwrap().unwrap(), &b"+OK\r\n"[..]);
        assert!(!frames.is_empty());
    }
}
