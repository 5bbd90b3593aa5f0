//! What may be read of a cache: the value that was written last, a newer one, or nothing. Never an older one.
//!
//! Each key has one writer, who counts: a write is known by its number. A miss is always allowed, so nothing is lost by it;
//! a value is old if a write with a higher number, a deletion too, was acknowledged before the read began, or if somebody
//! had read a higher one by then. Writes of unknown outcome may show or not. Pure.

/// What was done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// The write of this number; whether it was acknowledged.
    Write(u64, bool),
    /// The deletion of this number; whether it was acknowledged.
    Delete(u64, bool),
    /// A read and what it found.
    Read(Option<u64>),
}

/// An operation, from its beginning to its end.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub begin: u64,
    pub end: u64,
    pub did: Did,
}

/// An old value that was read, and what was known by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// When the read began.
    pub at: u64,
    /// The number that it found.
    pub found: u64,
    /// The least that it might have found.
    pub known: u64,
}

/// The first read of something old.
pub fn stale(ops: &[Op]) -> Option<Stale> {
    // What is known from a time on: acknowledged writes and what was read, by their ends.
    let mut facts: Vec<(u64, u64)> = Vec::new();
    let mut reads: Vec<(u64, u64)> = Vec::new();
    for op in ops {
        match op.did {
            Did::Write(number, true) | Did::Delete(number, true) => facts.push((op.end, number)),
            Did::Read(Some(number)) => {
                facts.push((op.end, number));
                reads.push((op.begin, number));
            }
            Did::Write(_, false) | Did::Delete(_, false) | Did::Read(None) => {}
        }
    }
    facts.sort_unstable();
    reads.sort_unstable();
    let (mut known, mut facts) = (0, facts.into_iter().peekable());
    for (at, found) in reads {
        while let Some((_, number)) = facts.next_if(|(end, _)| *end < at) {
            known = known.max(number);
        }
        if found < known {
            return Some(Stale { at, found, known });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(ops: &[(u64, u64, Did)]) -> Option<Stale> {
        stale(&ops.iter().map(|&(begin, end, did)| Op { begin, end, did }).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_is_older_than_what_is_known_is_stale() {
        use Did::{Delete, Read, Write};
        // The last value, nothing, and one that is being written.
        assert_eq!(history(&[(0, 1, Write(1, true)), (2, 3, Read(Some(1))), (4, 5, Read(None))]), None);
        assert_eq!(history(&[(0, 1, Write(1, true)), (2, 9, Write(2, true)), (3, 4, Read(Some(2)))]), None);
        assert_eq!(history(&[(0, 1, Write(1, true)), (2, 9, Write(2, true)), (3, 4, Read(Some(1)))]), None);
        // One of unknown outcome, before the next.
        assert_eq!(history(&[(0, 1, Write(1, false)), (2, 3, Read(Some(1))), (4, 5, Write(2, true))]), None);
        // An old one, a deleted one, and one older than what another has read.
        let old = |at, found, known| Some(Stale { at, found, known });
        assert_eq!(history(&[(0, 1, Write(1, true)), (2, 3, Write(2, true)), (4, 5, Read(Some(1)))]), old(4, 1, 2));
        assert_eq!(history(&[(0, 1, Write(1, true)), (2, 3, Delete(2, true)), (4, 5, Read(Some(1)))]), old(4, 1, 2));
        let seen = [(0, 1, Write(1, true)), (2, 9, Write(2, true)), (3, 4, Read(Some(2))), (5, 6, Read(Some(1)))];
        assert_eq!(history(&seen), old(5, 1, 2));
    }
}
