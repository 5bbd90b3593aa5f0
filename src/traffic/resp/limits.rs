//! What a peer may send before it is refused: the bounds of the two scanners.
//!
//! One copy per worker, from the configuration. The defaults are Redis's own where Redis has one, so that a request
//! which Redis takes is also taken here. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// Bounds on requests and on the shape of replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument (Redis: `proto-max-bulk-len`). Replies of nodes may hold longer ones, see
    /// [`Self::reply_bulk`].
    pub max_bulk: usize,
    /// Arguments of one request, its name included.
    pub max_args: usize,
    /// Bytes of one inline request, and of a header line without its end.
    pub max_inline: usize,
    /// Bytes of one whole request. Offsets are `u32`, so the scanner never goes beyond [`Self::LARGEST_REQUEST`].
    pub max_request: usize,
    /// Levels of arrays in arrays in a reply.
    pub max_nesting: usize,
}

impl Limits {
    /// No request can be larger, whatever `max_request` says: offsets into a request are `u32`.
    pub const LARGEST_REQUEST: usize = (u32::MAX - 1) as usize;
    /// Arguments that a client which has not authenticated may send in one request (as Redis).
    pub const UNAUTHENTICATED_ARGS: usize = 10;
    /// Bytes per argument that a client which has not authenticated may send (as Redis).
    pub const UNAUTHENTICATED_BULK: usize = 16_384;
    /// A node's `proto-max-bulk-len` may be above ours, and replies are streamed: only absurd lengths are refused.
    const GENEROUS_REPLY_BULK: usize = 4 << 30;

    /// Longest bulk that a node may send.
    pub fn reply_bulk(&self) -> usize {
        self.max_bulk.max(Self::GENEROUS_REPLY_BULK)
    }

    /// Largest request, with regard to the width of its offsets.
    pub fn request(&self) -> usize {
        self.max_request.min(Self::LARGEST_REQUEST)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bulk: 512 << 20, max_args: 1 << 20, max_inline: 64 << 10, max_request: 1 << 30, max_nesting: 128 }
    }
}
