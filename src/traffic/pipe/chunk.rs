//! Read chunks: what a node sent, shared by the replies that lie in it.
//!
//! A pipe reads into a [`Chunk`]; a large reply leaves as a [`Slice`] of it, by reference, and the chunk goes back to
//! the [`Pool`] when the last slice is written. Small replies are copied, so that 20 bytes never pin 64 KB.
//! Bounded by `max_buffered`: chunks that are out are counted whole. Owned by one worker (`Rc`). Pure.

use std::rc::Rc;

/// Bytes of a chunk. 256 KB was measured to be slower: it falls out of the cache.
pub const CHUNK: usize = 64 << 10;

/// Free chunks that the pool keeps; what a burst took beyond it goes back to the allocator.
const KEPT: usize = 16;

/// One read buffer.
pub type Chunk = Rc<Box<[u8]>>;

/// A part of a chunk.
#[derive(Clone, Debug)]
pub struct Slice {
    chunk: Chunk,
    start: u32,
    end: u32,
}

impl Slice {
    /// Bytes `start..end` of `chunk`.
    #[must_use]
    pub fn new(chunk: &Chunk, start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= chunk.len());
        Self { chunk: Rc::clone(chunk), start: start as u32, end: end as u32 }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.chunk[self.start as usize..self.end as usize]
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Leaves out the first `n` bytes.
    pub fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start += n as u32;
    }

    /// The chunk it lies in, for giving it back.
    #[must_use]
    pub fn into_chunk(self) -> Chunk {
        self.chunk
    }
}

/// Free chunks of one worker.
#[derive(Debug, Default)]
pub struct Pool {
    free: Vec<Chunk>,
    /// Chunks that exist and are not free, at most: a chunk dropped elsewhere than by `give` still counts until `sweep`.
    out: usize,
    /// The most of them since [`Pool::peak`] was asked.
    most: usize,
}

impl Pool {
    /// A chunk that nobody else refers to.
    pub fn take(&mut self) -> Chunk {
        self.out += 1;
        self.most = self.most.max(self.out);
        self.free.pop().unwrap_or_else(|| Rc::new(vec![0; CHUNK].into_boxed_slice()))
    }

    /// Gives a reference back; the last one returns the chunk.
    pub fn give(&mut self, chunk: Chunk) {
        if Rc::strong_count(&chunk) == 1 {
            self.out = self.out.saturating_sub(1);
            if self.free.len() < KEPT {
                self.free.push(chunk);
            }
        }
    }

    /// Bytes in chunks that are in use.
    #[must_use]
    pub fn bytes_out(&self) -> usize {
        self.out * CHUNK
    }

    /// The most bytes in chunks that were in use at a time since this was asked before.
    pub fn peak(&mut self) -> usize {
        std::mem::replace(&mut self.most, self.out) * CHUNK
    }

    /// Gives the memory of free chunks back to the allocator.
    pub fn shrink(&mut self) {
        self.free.truncate(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_returns_with_its_last_reference() {
        let mut pool = Pool::default();
        let chunk = pool.take();
        let slice = Slice::new(&chunk, 0, 5_000);
        pool.give(chunk);
        assert_eq!(pool.bytes_out(), CHUNK);
        assert!(pool.free.is_empty());
        pool.give(slice.into_chunk());
        assert_eq!(pool.bytes_out(), 0);
        assert_eq!(pool.free.len(), 1);
    }

    #[test]
    fn a_burst_is_remembered_until_it_is_asked_for() {
        let mut pool = Pool::default();
        let chunks: Vec<Chunk> = (0..100).map(|_| pool.take()).collect();
        chunks.into_iter().for_each(|chunk| pool.give(chunk));
        let _held = pool.take();
        assert_eq!((pool.peak(), pool.peak()), (100 * CHUNK, CHUNK));
    }
}
