//! Which keys have arrived at their new nodes: one table, marked by the mover, looked at by every worker.
//!
//! ```text
//!  mover ── TAKE said: restored, already, absent ──► mark(db, key)
//!                                                        │        hash of one secret: which set      64 bytes: one line
//!                                                        ▼        hash of another:    ┌────┬────┬────┬─ … ─┬────┐
//!  worker ── request for a key that moves ─────────► has(db, key)       what is kept  │    │mark│    │     │mark│
//!                              yes: its new node            no: Ask::Bring            └────┴────┴────┴─ … ─┴────┘
//! ```
//! A key that is marked has its tombstone at its new node, so that nothing is restored over it any more, and it is served there
//! without another question until its part is over. One that is not marked may have arrived as well: whoever asks for it is
//! told so by the mover, which is right and only slower. So a full set may forget any of its marks.
//!
//! A mark that is seen where there is none would send a request to a node before its key is there, and a write would be lost.
//! * *Marks of another stage* (the way back, another nonce, after a flush or a restart of a node): every topology in which keys
//!   move has a table of its own, and a batch of the mover marks in the one that held when it began.
//! * *Two keys of one mark*: a mark is 64 bits of SipHash-1-3 with a secret of this table, and only the [`WAYS`] marks of one
//!   set are compared, which another secret chooses. A key that has not arrived is taken for one that has with 8 in 2^64, be
//!   the table full: for 2^22 keys, each asked for before it arrives, about one in 2^39 changes. Nobody who does not know the
//!   secrets can choose keys that do better, and no reply shows them.
//!
//! Reads and marks need no order between threads: that a key has arrived was true before it was marked, and stays true.
//! Bounded: [`SEGMENTS`] × [`SETS`] × [`WAYS`] marks, 16 MB, taken as they are needed, whatever the number of keys. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{
    fmt,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{
        OnceLock,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
};

/// Parts of the table, each taken from the system when a mark is first set in it.
const SEGMENTS: usize = 256;
/// Sets of a segment.
const SETS: usize = 1024;
/// Marks of a set.
const WAYS: usize = 8;

/// Marks that may stand for each other; 0: an empty place.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// The table. The default one has no places: in it nothing is ever marked.
#[derive(Default)]
pub struct Arrived {
    secrets: Option<[RandomState; 2]>,
    segments: Box<[OnceLock<Box<[Set]>>]>,
    /// What was marked is true no more, and what will be is not believed.
    void: AtomicBool,
}

impl Arrived {
    /// An empty table; nobody else has its secrets.
    #[must_use]
    pub fn new(secrets: [RandomState; 2]) -> Self {
        let segments = (0..SEGMENTS).map(|_| OnceLock::new()).collect();
        Self { secrets: Some(secrets), segments, void: AtomicBool::new(false) }
    }

    /// The key has arrived.
    pub fn mark(&self, db: u32, key: &[u8]) {
        let Some((segment, set, mark)) = self.place(db, key) else { return };
        let segment = self.segments[segment].get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        let ways = &segment[set].0;
        let fits = |way: &&AtomicU64| [0, mark].contains(&way.load(Relaxed));
        // Which one goes if all are taken is as random as the mark.
        ways.iter().find(fits).unwrap_or(&ways[mark as usize % WAYS]).store(mark, Relaxed);
    }

    /// Whether the key is known to have arrived.
    #[must_use]
    pub fn has(&self, db: u32, key: &[u8]) -> bool {
        let Some((segment, set, mark)) = self.place(db, key) else { return false };
        let Some(segment) = self.segments[segment].get() else { return false };
        segment[set].0.iter().any(|way| way.load(Relaxed) == mark) && !self.void.load(SeqCst)
    }

    /// A node may have lost what had arrived: from now on nothing is marked, for good.
    pub fn void(&self) {
        self.void.store(true, SeqCst);
    }

    /// Segment, set and mark of a key.
    fn place(&self, db: u32, key: &[u8]) -> Option<(usize, usize, u64)> {
        let hash = |secret: &RandomState| {
            let mut hasher = secret.build_hasher();
            hasher.write_u32(db);
            hasher.write(key);
            hasher.finish()
        };
        let [place, mark] = self.secrets.as_ref()?.each_ref().map(hash);
        // 0 is an empty place.
        Some((place as usize % self.segments.len(), (place >> 32) as usize % SETS, mark.max(1)))
    }
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secrets are nobody's business.
        f.debug_struct("Arrived").field("void", &self.void).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Arrived {
        Arrived::new([RandomState::new(), RandomState::new()])
    }

    #[test]
    fn what_was_marked_is_found_and_nothing_else() {
        let arrived = table();
        assert!(!arrived.has(0, b"k"));
        arrived.mark(0, b"k");
        assert!(arrived.has(0, b"k"));
        assert!(!arrived.has(1, b"k") && !arrived.has(0, b"l") && !arrived.has(0, b"") && !arrived.has(0, b"k\0"));
        arrived.mark(3, b"");
        assert!(arrived.has(3, b""));
    }

    #[test]
    fn another_table_knows_nothing_of_it() {
        let (one, other) = (table(), table());
        let keys: Vec<String> = (0..5_000).map(|n| format!("key:{n}")).collect();
        keys.iter().for_each(|key| one.mark(0, key.as_bytes()));
        other.mark(0, b"another");
        assert!(keys.iter().all(|key| one.has(0, key.as_bytes())));
        assert!(!keys.iter().any(|key| other.has(0, key.as_bytes())));
        // Not even with the same marks in the same places, as one that was used again would have.
        let again = Arrived { segments: one.segments, ..table() };
        assert!(!keys.iter().any(|key| again.has(0, key.as_bytes())));
    }

    #[test]
    fn what_is_void_stays_void() {
        let arrived = table();
        arrived.mark(0, b"k");
        arrived.void();
        arrived.mark(0, b"l");
        assert!(!arrived.has(0, b"k") && !arrived.has(0, b"l"));
    }

    #[test]
    fn without_places_nothing_is_marked() {
        let none = Arrived::default();
        none.mark(0, b"k");
        assert!(!none.has(0, b"k"));
    }

    #[test]
    fn it_holds_what_it_has_room_for_and_forgets_the_rest_without_growing() {
        let segments: Box<[_]> = (0..4).map(|_| OnceLock::new()).collect();
        let room = segments.len() * SETS * WAYS;
        let arrived = Arrived { segments, ..table() };
        let key = |n: usize| (n as u64).to_le_bytes();
        let held = |keys: std::ops::Range<usize>| {
            keys.clone().filter(|n| arrived.has(0, &key(*n))).count() as f64 / keys.len() as f64
        };
        (0..room / 2).for_each(|n| arrived.mark(0, &key(n)));
        assert!(held(0..room / 2) > 0.98, "{}", held(0..room / 2));
        (room / 2..2 * room).for_each(|n| arrived.mark(0, &key(n)));
        let share = held(0..2 * room);
        assert!((0.4..=0.5).contains(&share), "{share}");
        // Of the last thousand each may have had to go for one of those behind it: 1.5 of 100 on average.
        let last = held(2 * room - 1_000..2 * room);
        assert!(last > 0.96, "the last ones are there: {last}");
        assert!(held(2 * room..3 * room) == 0.0);
    }
}
