//! Texts of Lua scripts that clients have shown, by their digests: what EVALSHA needs at a node that does not know them.
//!
//! ```text
//!  EVAL, SCRIPT LOAD ─► Seen (worker: hashed before?) ─► Scripts (all workers) ─► SCRIPT LOAD to nodes, in front of EVALSHA
//!                                                                                  └ Told (pipe: not twice)
//! ```
//! A single Redis knows every script that it has run; of several nodes each knows only its own, and forgets them when it
//! restarts. [`Scripts`] is shared by all workers and bounded by `max_scripts`; the oldest texts go first, and those that
//! only EVAL has shown before those that were loaded on purpose. SCRIPT FLUSH empties it. Hashing a text with SHA-1 at
//! every EVAL would cost more than the rest of the request, so each worker remembers by a cheap hash what it has shown:
//! two texts of one cheap hash only mean that the second is not remembered. Pure, but shared.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use dashmap::DashMap;
use rustc_hash::FxHashSet;
use sha1::{Digest as _, Sha1};

/// Texts that a worker remembers to have shown, and digests that a pipe remembers to have told.
const REMEMBERED: usize = 4_096;

/// What a text takes up beside its own bytes, roughly.
const OVERHEAD: usize = 128;

/// The digest of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sha([u8; 20]);

impl Sha {
    /// The digest of `text`.
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        Self(Sha1::digest(text).into())
    }

    /// Reads the 40 digits, in any case, that EVALSHA takes.
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<Self> {
        if digits.len() != 40 {
            return None;
        }
        let mut sha = [0; 20];
        for (byte, pair) in sha.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Some(Self(sha))
    }
}

/// How a text came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Somebody ran it.
    Run,
    /// Somebody loaded it.
    Loaded,
}

/// The texts.
#[derive(Debug, Default)]
pub struct Scripts {
    texts: DashMap<Sha, (Bytes, Shown)>,
    order: Mutex<Order>,
    /// Bytes that they may take up.
    most: usize,
    /// How often they were all forgotten.
    flushes: AtomicU64,
    /// How often any was forgotten.
    losses: AtomicU64,
}

/// The digests in the order in which their texts came; some may have been forgotten since, or come twice.
#[derive(Debug, Default)]
struct Order {
    run: VecDeque<Sha>,
    loaded: VecDeque<Sha>,
    /// Bytes that all texts take up.
    bytes: usize,
}

impl Scripts {
    /// Keeps at most `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// The text of `sha`.
    #[must_use]
    pub fn text(&self, sha: Sha) -> Option<Bytes> {
        self.texts.get(&sha).map(|entry| entry.value().0.clone())
    }

    /// How often they were all forgotten.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Relaxed)
    }

    /// Forgets everything.
    pub fn flush(&self) {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        self.texts.clear();
        *order = Order::default();
        self.flushes.fetch_add(1, Relaxed);
        self.losses.fetch_add(1, Relaxed);
    }

    /// Keeps `text`, as long as there is room; older ones make room.
    pub fn keep(&self, text: &[u8], shown: Shown) {
        if text.len() + OVERHEAD > self.most {
            return;
        }
        let sha = Sha::of(text);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        match self.texts.get_mut(&sha) {
            // What was run is now loaded, too.
            Some(mut known) if known.1 == Shown::Run && shown == Shown::Loaded => known.1 = shown,
            Some(_) => return,
            None => {
                order.bytes += text.len() + OVERHEAD;
                drop(self.texts.insert(sha, (Bytes::copy_from_slice(text), shown)));
            }
        }
        match shown {
            Shown::Run => order.run.push_back(sha),
            Shown::Loaded => order.loaded.push_back(sha),
        }
        while order.bytes > self.most && self.forget_one(&mut order) {}
    }

    /// Forgets the oldest text; false: there is none.
    fn forget_one(&self, order: &mut Order) -> bool {
        let (sha, shown) = match (order.run.pop_front(), order.loaded.front()) {
            (Some(sha), _) => (sha, Shown::Run),
            (None, Some(sha)) => (*sha, Shown::Loaded),
            (None, None) => return false,
        };
        if shown == Shown::Loaded {
            order.loaded.pop_front();
        }
        if let Some((_, (text, _))) = self.texts.remove_if(&sha, |_, (_, is)| *is == shown) {
            order.bytes -= text.len() + OVERHEAD;
            self.losses.fetch_add(1, Relaxed);
        }
        true
    }
}

/// Texts that a worker has shown to [`Scripts`], by a cheap hash.
#[derive(Debug, Default)]
pub struct Seen {
    texts: FxHashSet<(u128, bool)>,
    losses: u64,
}

impl Seen {
    /// Shows a text, unless that was done lately and nothing has been forgotten since.
    pub fn show(&mut self, text: &[u8], shown: Shown, scripts: &Scripts) {
        let losses = scripts.losses.load(Relaxed);
        if losses != self.losses || self.texts.len() >= REMEMBERED {
            self.texts.clear();
            self.losses = losses;
        }
        if self.texts.insert((xxhash_rust::xxh3::xxh3_128(text), shown == Shown::Loaded)) {
            scripts.keep(text, shown);
        }
    }
}

/// Scripts that a node has been told over one connection.
#[derive(Debug, Default)]
pub struct Told {
    shas: FxHashSet<Sha>,
    flushes: u64,
}

impl Told {
    /// Notes that the node is told `sha`; false: it was told before.
    pub fn insert(&mut self, sha: Sha, scripts: &Scripts) -> bool {
        let flushes = scripts.flushes();
        if flushes != self.flushes || self.shas.len() >= REMEMBERED {
            self.shas.clear();
            self.flushes = flushes;
        }
        self.shas.insert(sha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_redis_s() {
        let sha = Sha::of(b"return 1");
        assert_eq!(Sha::parse(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"), Some(sha));
        assert_eq!(Sha::parse(b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB"), Some(sha));
        for wrong in [&b"e0e1"[..], b"", &[b'g'; 40], &[b'0'; 41], b"+0e1f9fabfc9d4800c877a703b823ac0578ff8db"] {
            assert_eq!(Sha::parse(wrong), None);
        }
    }

    #[test]
    fn what_was_only_run_is_forgotten_before_what_was_loaded() {
        let scripts = Scripts::new(2 * (OVERHEAD + 4) + 2);
        scripts.keep(b"load", Shown::Loaded);
        scripts.keep(b"run1", Shown::Run);
        scripts.keep(b"run2", Shown::Run);
        let known = |text: &[u8]| scripts.text(Sha::of(text)).is_some();
        assert!(known(b"load") && !known(b"run1") && known(b"run2"));
        scripts.keep(b"run2", Shown::Loaded);
        scripts.keep(b"run3", Shown::Run);
        assert!(known(b"load") && known(b"run2") && !known(b"run3"));
        scripts.keep(b"new!", Shown::Loaded);
        assert!(!known(b"load") && known(b"run2") && known(b"new!"));
        scripts.keep(&[b'x'; 1_000], Shown::Loaded);
        assert!(known(b"run2"), "what can never fit makes no room");
        scripts.flush();
        assert!(!known(b"run2") && !known(b"new!"));
        scripts.keep(&[b'y'; OVERHEAD], Shown::Run);
        assert!(known(&[b'y'; OVERHEAD]), "all room is free again");
    }

    #[test]
    fn any_order_of_events_keeps_the_bound() {
        let mut rng = fastrand::Rng::with_seed(5);
        let scripts = Scripts::new(2_000);
        for _ in 0..20_000 {
            let text = vec![rng.u8(..30); rng.usize(..60)];
            match rng.u8(..200) {
                0 => scripts.flush(),
                1..100 => scripts.keep(&text, Shown::Run),
                _ => scripts.keep(&text, Shown::Loaded),
            }
            let bytes: usize = scripts.texts.iter().map(|entry| entry.value().0.len() + OVERHEAD).sum();
            let order = scripts.order.lock().unwrap();
            assert_eq!(order.bytes, bytes);
            assert!(bytes <= 2_000);
            assert!(order.run.len() + order.loaded.len() <= 2 * scripts.texts.len() + 1, "the queues do not grow");
        }
    }

    #[test]
    fn a_text_is_shown_again_when_it_may_have_been_forgotten() {
        let (scripts, mut seen, mut told) = (Scripts::new(1_000), Seen::default(), Told::default());
        let sha = Sha::of(b"return 1");
        seen.show(b"return 1", Shown::Run, &scripts);
        assert!(told.insert(sha, &scripts) && !told.insert(sha, &scripts));
        scripts.flush();
        assert!(scripts.text(sha).is_none());
        seen.show(b"return 1", Shown::Run, &scripts);
        assert!(scripts.text(sha).is_some());
        assert!(told.insert(sha, &scripts));
    }
}
