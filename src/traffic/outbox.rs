//! Bytes on their way out, to a client or to a node, in order.
//!
//! Small things are copied into one buffer; large ones stay where they are and are referred to: a [`Slice`] of a read
//! chunk (a node's reply), or `Bytes` (a client's request). One vectored write takes both.
//!
//! ```text
//!  buf   |sent|copied bytes……|copied bytes…|          order (only while something large waits)
//!              ^pos                                    Copied(n) -> Slice -> Copied(n) -> Blob …
//! ```
//! While `order` is empty everything unsent is `buf[pos..]`. Invariant: the `Copied` lengths in `order` add up to
//! `buf.len() - pos` whenever `order` is not empty. Bounded by its owner (owed bytes per session, in flight per pipe).
//! Pure.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes};

use super::pipe::chunk::{Pool, Slice};

/// Slices of one vectored write; Linux takes 1,024, a socket buffer rarely more than this many large pieces.
pub const MAX_SLICES: usize = 32;

/// A buffer larger than this is given back when it is empty at the sweep.
const KEPT_CAPACITY: usize = 512;

#[derive(Debug)]
enum Piece {
    Copied(usize),
    Slice(Slice),
    Blob(Bytes),
}

/// An ordered queue of bytes.
#[derive(Debug, Default)]
pub struct Outbox {
    buf: Vec<u8>,
    pos: usize,
    order: VecDeque<Piece>,
    large: usize,
}

impl Outbox {
    /// Unsent bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len() - self.pos + self.large
    }

    /// Whether nothing is unsent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held, sent ones included, without the chunks that slices pin.
    #[must_use]
    pub fn held(&self) -> usize {
        self.buf.capacity() + self.large
    }

    /// Pieces that are referred to.
    #[must_use]
    pub fn pieces(&self) -> usize {
        self.order.iter().filter(|piece| !matches!(piece, Piece::Copied(_))).count()
    }

    /// Appends a copy of `bytes`.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        if !self.order.is_empty() {
            self.note_copied(bytes.len());
        }
    }

    /// Appends what `write` appends to the vector it is given.
    #[inline]
    pub fn push_with<R>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let before = self.buf.len();
        let result = write(&mut self.buf);
        if !self.order.is_empty() {
            self.note_copied(self.buf.len() - before);
        }
        result
    }

    fn note_copied(&mut self, len: usize) {
        match self.order.back_mut() {
            Some(Piece::Copied(n)) => *n += len,
            _ if len > 0 => self.order.push_back(Piece::Copied(len)),
            _ => {}
        }
    }

    fn push_large(&mut self, piece: Piece, len: usize) {
        let copied = self.buf.len() - self.pos;
        if self.order.is_empty() && copied > 0 {
            self.order.push_back(Piece::Copied(copied));
        }
        self.order.push_back(piece);
        self.large += len;
    }

    /// Appends a part of a read chunk, by reference.
    pub fn push_slice(&mut self, slice: Slice) {
        let len = slice.len();
        self.push_large(Piece::Slice(slice), len);
    }

    /// Appends a blob, by reference.
    pub fn push_blob(&mut self, blob: Bytes) {
        let len = blob.len();
        self.push_large(Piece::Blob(blob), len);
    }

    /// Moves everything unsent of `other` behind what is here; `other` is empty afterwards.
    pub fn append(&mut self, other: &mut Self) {
        let mut at = other.pos;
        if other.order.is_empty() {
            self.push(&other.buf[at..]);
        }
        while let Some(piece) = other.order.pop_front() {
            match piece {
                Piece::Copied(n) => {
                    self.push(&other.buf[at..at + n]);
                    at += n;
                }
                Piece::Slice(slice) => self.push_slice(slice),
                Piece::Blob(blob) => self.push_blob(blob),
            }
        }
        other.buf.clear();
        other.pos = 0;
        other.large = 0;
    }

    /// Copies everything unsent to the end of `out`.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        let mut at = self.pos;
        if self.order.is_empty() {
            out.extend_from_slice(&self.buf[at..]);
        }
        for piece in &self.order {
            match piece {
                Piece::Copied(n) => {
                    out.extend_from_slice(&self.buf[at..at + n]);
                    at += n;
                }
                Piece::Slice(slice) => out.extend_from_slice(slice.bytes()),
                Piece::Blob(blob) => out.extend_from_slice(blob),
            }
        }
    }

    /// Everything unsent, when it is one plain buffer.
    #[must_use]
    pub fn plain(&self) -> Option<&[u8]> {
        self.order.is_empty().then(|| &self.buf[self.pos..])
    }

    /// Fills `slices` with what is unsent, from the front; returns how many were used.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut at = self.pos;
        let mut used = 0;
        for (piece, slot) in self.order.iter().zip(slices.iter_mut()) {
            *slot = IoSlice::new(match piece {
                Piece::Copied(n) => {
                    at += n;
                    &self.buf[at - n..at]
                }
                Piece::Slice(slice) => slice.bytes(),
                Piece::Blob(blob) => blob,
            });
            used += 1;
        }
        used
    }

    /// Forgets the first `sent` bytes; chunks that are written out return to `pool`.
    pub fn advance(&mut self, mut sent: usize, pool: &mut Pool) {
        if self.order.is_empty() {
            self.pos += sent;
        }
        while sent > 0 {
            match self.order.front_mut() {
                None => break,
                Some(Piece::Copied(n)) => {
                    let taken = sent.min(*n);
                    *n -= taken;
                    self.pos += taken;
                    sent -= taken;
                    if *n > 0 {
                        break;
                    }
                    self.order.pop_front();
                }
                Some(Piece::Slice(slice)) => {
                    let taken = sent.min(slice.len());
                    slice.advance(taken);
                    self.large -= taken;
                    sent -= taken;
                    if !slice.is_empty() {
                        break;
                    }
                    if let Some(Piece::Slice(slice)) = self.order.pop_front() {
                        pool.give(slice.into_chunk());
                    }
                }
                Some(Piece::Blob(blob)) => {
                    let taken = sent.min(blob.len());
                    blob.advance(taken);
                    self.large -= taken;
                    sent -= taken;
                    if !blob.is_empty() {
                        break;
                    }
                    self.order.pop_front();
                }
            }
        }
        self.tidy();
    }

    /// Keeps the sent prefix from growing: a buffer that never runs empty would otherwise keep all it ever sent.
    fn tidy(&mut self) {
        if self.pos == self.buf.len() {
            self.buf.clear();
            self.pos = 0;
        } else if self.pos > 64 << 10 && self.pos > self.buf.len() / 2 {
            self.buf.drain(..self.pos);
            self.pos = 0;
        }
    }

    /// Drops everything; chunks return to `pool`.
    pub fn clear(&mut self, pool: &mut Pool) {
        while let Some(piece) = self.order.pop_front() {
            if let Piece::Slice(slice) = piece {
                pool.give(slice.into_chunk());
            }
        }
        self.buf.clear();
        self.pos = 0;
        self.large = 0;
    }

    /// Gives memory back that a burst took.
    pub fn shrink(&mut self) {
        if self.is_empty() && self.buf.capacity() > KEPT_CAPACITY {
            self.buf = Vec::new();
            self.pos = 0;
        }
        if self.order.is_empty() && self.order.capacity() > 0 {
            self.order = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything in the order in which a socket would take it, `step` bytes at a time.
    fn drained(outbox: &mut Outbox, step: usize, pool: &mut Pool) -> Vec<u8> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            let bytes = match outbox.plain() {
                Some(bytes) => bytes.to_vec(),
                None => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let used = outbox.slices(&mut slices);
                    slices[..used].iter().flat_map(|s| s.to_vec()).collect()
                }
            };
            let n = bytes.len().min(step);
            all.extend_from_slice(&bytes[..n]);
            outbox.advance(n, pool);
        }
        all
    }

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_the_write_takes() {
        let mut rng = fastrand::Rng::with_seed(7);
        for round in 0..2_000 {
            let mut pool = Pool::default();
            let mut outbox = Outbox::default();
            let mut expected = Vec::new();
            for _ in 0..rng.usize(..12) {
                let fill = rng.u8(..);
                let len = rng.usize(..40);
                match rng.u8(..4) {
                    0 => {
                        let mut chunk = pool.take();
                        std::rc::Rc::get_mut(&mut chunk).unwrap()[..len].fill(fill);
                        outbox.push_slice(Slice::new(&chunk, 0, len));
                        pool.give(chunk);
                    }
                    1 => outbox.push_blob(Bytes::from(vec![fill; len])),
                    2 => outbox.push_with(|buf| buf.resize(buf.len() + len, fill)),
                    _ => outbox.push(&vec![fill; len]),
                }
                expected.resize(expected.len() + len, fill);
                if rng.bool() && !outbox.is_empty() {
                    outbox.advance(1, &mut pool);
                    expected.remove(0);
                }
            }
            assert_eq!(outbox.len(), expected.len());
            let mut copy = Vec::new();
            outbox.copy_to(&mut copy);
            assert_eq!(copy, expected, "copy in round {round}");
            let mut moved = Outbox::default();
            moved.push(b"head");
            moved.append(&mut outbox);
            assert!(outbox.is_empty());
            let step = 1 + rng.usize(..50);
            assert_eq!(drained(&mut moved, step, &mut pool), [b"head".as_slice(), &expected].concat(), "round {round}");
        }
    }

    #[test]
    fn a_buffer_that_never_runs_empty_does_not_grow() {
        let mut pool = Pool::default();
        let mut outbox = Outbox::default();
        outbox.push(&[1; 1_000]);
        for _ in 0..10_000 {
            outbox.push(&[2; 1_000]);
            outbox.advance(1_000, &mut pool);
        }
        assert!(outbox.held() < 1 << 20, "{}", outbox.held());
    }
}
