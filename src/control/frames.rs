//! Bytes of a node on a control connection, cut into replies.
//!
//! The end of a reply is found by the data plane's scanner, which goes on where it stopped; only then is it decoded, by whoever
//! wants its value. Bounded by the depth and the size that its owner allows. Pure.

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::{decode::decode_bytes, types::BytesFrame};

use super::probe::conversation::Trouble;
use crate::traffic::resp::{Limits, ReplyScanner};

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// What has been read and not been taken.
#[derive(Debug)]
pub(in crate::control) struct Frames {
    buf: BytesMut,
    scanner: ReplyScanner,
    /// Bytes of `buf` that the scanner has seen.
    seen: usize,
    limits: Limits,
    /// Bytes that one reply may have.
    most: usize,
}

impl Frames {
    /// For replies nested so deep, of so many bytes.
    pub(in crate::control) fn new(max_nesting: usize, most: usize) -> Self {
        let limits = Limits { max_nesting, ..Limits::default() };
        Self { buf: BytesMut::new(), scanner: ReplyScanner::new(), seen: 0, limits, most }
    }

    /// Where more is read to.
    pub(in crate::control) fn room(&mut self) -> &mut BytesMut {
        self.buf.reserve(CHUNK);
        &mut self.buf
    }

    /// The next whole reply, as it came.
    ///
    /// # Errors
    /// It is no RESP, or longer than allowed.
    pub(in crate::control) fn next_bytes(&mut self) -> Result<Option<Bytes>, Trouble> {
        if self.seen < self.buf.len() {
            match self.scanner.scan(&self.buf[self.seen..], &self.limits) {
                Err(_) => return Err(Trouble::Garbage),
                Ok(None) => self.seen = self.buf.len(),
                Ok(Some(end)) => {
                    let bytes = self.buf.split_to(self.seen + end).freeze();
                    self.seen = 0;
                    return Ok(Some(bytes));
                }
            }
        }
        if self.buf.len() > self.most { Err(Trouble::Garbage) } else { Ok(None) }
    }

    /// The next whole reply.
    ///
    /// # Errors
    /// As [`Frames::next_bytes`].
    pub(in crate::control) fn next(&mut self) -> Result<Option<BytesFrame>, Trouble> {
        self.next_bytes()?.map(|bytes| decode(&bytes)).transpose()
    }
}

/// The value of one whole reply.
///
/// # Errors
/// It is none.
pub(in crate::control) fn decode(bytes: &Bytes) -> Result<BytesFrame, Trouble> {
    match decode_bytes(bytes) {
        Ok(Some((frame, _))) => Ok(frame),
        Ok(None) | Err(_) => Err(Trouble::Garbage),
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
                while let Some(reply) = frames.next_bytes().unwrap() {
                    found.push(reply);
                }
            }
            assert_eq!(found, replies, "{size}");
        }
    }

    #[test]
    fn what_is_too_long_too_deep_or_no_reply_is_an_error() {
        for (bytes, fits) in [(&b"$9\r\n12345"[..], true), (b"$9\r\n1234567", false), (b"?\r\n", false)] {
            let mut frames = Frames::new(1, 10);
            frames.room().extend_from_slice(bytes);
            assert_eq!(frames.next_bytes().is_ok(), fits, "{}", String::from_utf8_lossy(bytes));
        }
        let mut frames = Frames::new(1, 100);
        frames.room().extend_from_slice(b"*1\r\n*1\r\n*1\r\n:1\r\n");
        assert!(frames.next().is_err());
    }
}
