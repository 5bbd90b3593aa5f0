//! What is sent to a client without being a reply: messages, invalidations, MONITOR lines.
//!
//! ```text
//!  replies already handed over │ half of a reply │ replies that wait for an earlier one
//!  ───────── a push may stand ─┘                 └─ or behind those, never inside a reply
//! ```
//! A push leaves at once, except behind replies that its node gave before it and that still wait for their turn: an
//! invalidation must not overtake the value that it invalidates. Then it is held until everything that was asked before
//! it is answered. Bounded by `hard_pushes`. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

/// Pushes that wait for replies before them.
#[derive(Debug, Default)]
pub struct Pushes {
    /// Each with the slot number that must have become the head.
    held: VecDeque<(u32, Bytes)>,
    bytes: usize,
    /// Bytes of all pushes since the client had taken everything.
    unsent: usize,
}

impl Pushes {
    /// Holds `push` until slot `after` is the head.
    pub fn hold(&mut self, after: u32, push: Bytes) {
        self.bytes += push.len();
        self.held.push_back((after, push));
    }

    /// The next one that may leave now that slot `head` is the head.
    pub fn next(&mut self, head: u32) -> Option<Bytes> {
        let (after, _) = self.held.front()?;
        // Numbers wrap; differences are small.
        if (head.wrapping_sub(*after) as i32) < 0 {
            return None;
        }
        let (_, push) = self.held.pop_front()?;
        self.bytes -= push.len();
        Some(push)
    }

    /// Counts a push, held or not.
    pub fn count(&mut self, bytes: usize) {
        self.unsent = self.unsent.saturating_add(bytes);
    }

    /// Of `owed` bytes that the client has not taken, those that may be pushes.
    pub fn unsent(&mut self, owed: usize) -> usize {
        self.unsent = self.unsent.min(owed);
        self.unsent
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_waits_for_its_slot_and_keeps_its_place() {
        let mut pushes = Pushes::default();
        pushes.hold(u32::MAX, Bytes::from_static(b"a"));
        pushes.hold(1, Bytes::from_static(b"b"));
        assert_eq!(pushes.next(u32::MAX - 1), None);
        assert_eq!(pushes.next(u32::MAX), Some(Bytes::from_static(b"a")));
        assert_eq!(pushes.next(0), None);
        assert_eq!(pushes.bytes(), 1);
        assert_eq!(pushes.next(1), Some(Bytes::from_static(b"b")));
        assert!(pushes.is_empty() && pushes.next(2).is_none());
    }
}
