//! The bytes of the requests in flight: of reads all, so that they can be asked once more when their connection is lost, of
//! others the first ones, for the log of slow requests.
//!
//! A queue of bytes: requests go in at the end, and out at the front with their replies. Flat, with a read position,
//! because every request pays for it twice. Bounded by what is in flight: `max_in_flight` short requests. Pure.

/// A read position beyond this is worth moving the rest to the front.
const MOVE_FROM: usize = 32 << 10;

/// A queue of bytes.
#[derive(Debug, Default)]
pub struct Replay {
    buf: Vec<u8>,
    at: usize,
}

impl Replay {
    /// Appends a request.
    #[inline]
    pub fn push(&mut self, request: &[u8]) {
        self.buf.extend_from_slice(request);
    }

    /// Forgets the first `len` bytes.
    #[inline]
    pub fn skip(&mut self, len: usize) {
        self.at += len;
        debug_assert!(self.at <= self.buf.len());
        if self.at == self.buf.len() {
            self.buf.clear();
            self.at = 0;
        } else if self.at > MOVE_FROM && self.at > self.buf.len() / 2 {
            self.buf.drain(..self.at);
            self.at = 0;
        }
    }

    /// The first `len` bytes.
    #[must_use]
    pub fn front(&self, len: usize) -> &[u8] {
        self.buf.get(self.at..self.at + len).unwrap_or_default()
    }

    /// Takes the first `len` bytes.
    pub fn take(&mut self, len: usize) -> Vec<u8> {
        let request = self.buf[self.at..self.at + len].to_vec();
        self.skip(len);
        request
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len() - self.at
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buf.capacity()
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        if self.is_empty() && self.buf.capacity() > 16 << 10 {
            self.buf = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_first_comes_out_first_and_a_long_queue_does_not_grow() {
        let mut replay = Replay::default();
        replay.push(b"first");
        for round in 0..10_000_u32 {
            replay.push(format!("request {round:>40}").as_bytes());
            if round == 0 {
                assert_eq!(replay.take(5), b"first");
            } else {
                assert_eq!(replay.take(48), format!("request {:>40}", round - 1).as_bytes());
            }
        }
        assert_eq!(replay.len(), 48);
        assert!(replay.held() < 256 << 10, "{}", replay.held());
    }
}
