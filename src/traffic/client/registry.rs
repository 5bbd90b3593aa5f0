//! All sessions of the process, for CLIENT LIST and CLIENT KILL of any worker.
//!
//! The one state that several workers share: a dashmap from client id to [`Record`]. A worker writes its own sessions'
//! records (once per read batch, relaxed), anybody reads them. Not on a request's way.

use std::{
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use dashmap::DashMap;

use super::Load;
use crate::traffic::pubsub::{Audience, Kind};

/// Stands for the row of a command that was never given.
pub const NO_COMMAND: u32 = u32::MAX;

/// [`Record::queued`] of a session that is not between MULTI and EXEC.
pub const NOT_QUEUEING: u32 = u32::MAX;

/// What others may know of a session.
#[derive(Debug)]
pub struct Record {
    /// Number of the session, unique in this process, growing.
    pub id: u64,
    /// The client's address.
    pub addr: String,
    /// The listener's address.
    pub laddr: Arc<str>,
    /// The worker that owns it.
    pub worker: usize,
    /// Descriptor of its socket; -1: not known.
    pub fd: i32,
    /// When it connected: µs of the process's clock.
    pub born_us: u64,
    /// Its last request: µs of the process's clock.
    pub active_us: AtomicU64,
    /// Selected db.
    pub db: AtomicU32,
    /// 2 or 3.
    pub resp: AtomicU8,
    /// Row id of its last command, or [`NO_COMMAND`].
    pub command: AtomicU32,
    /// CLIENT NO-EVICT.
    pub no_evict: AtomicBool,
    /// CLIENT NO-TOUCH.
    pub no_touch: AtomicBool,
    /// Commands queued since MULTI; [`NOT_QUEUEING`] outside of it.
    pub queued: AtomicU32,
    /// What it is at the moment: see the `MARK`s.
    marks: AtomicU8,
    /// Where it lives in its worker.
    place: AtomicU32,
    /// The session that is told for it (CLIENT TRACKING … REDIRECT); 0: itself, -1: it does not track.
    redirect: AtomicI64,
    /// Number of its subscriptions of each kind.
    pub subscribed: [AtomicU32; Kind::COUNT],
    /// Names the client gave.
    pub names: Mutex<Names>,
}

/// Names that a client gives itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
}

impl Record {
    /// The record of a session that connects now; `now_us` is the process's clock.
    #[must_use]
    pub fn new(id: u64, addr: String, laddr: Arc<str>, worker: usize, now_us: u64) -> Self {
        Self {
            id,
            addr,
            laddr,
            worker,
            fd: -1,
            born_us: now_us,
            active_us: AtomicU64::new(now_us),
            db: AtomicU32::new(0),
            resp: AtomicU8::new(2),
            command: AtomicU32::new(NO_COMMAND),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            queued: AtomicU32::new(NOT_QUEUEING),
            marks: AtomicU8::new(0),
            place: AtomicU32::new(0),
            redirect: AtomicI64::new(-1),
            subscribed: [const { AtomicU32::new(0) }; Kind::COUNT],
            names: Mutex::default(),
        }
    }

    /// Mark: a blocking command of it waits at a node.
    pub const BLOCKED: u8 = 1;
    /// Mark: it is between MULTI and EXEC.
    pub const MULTI: u8 = 2;
    /// Mark: it is subscribed to channels or patterns.
    pub const PUBSUB: u8 = 4;
    /// Mark: CLIENT TRACKING is on.
    pub const TRACKING: u8 = 8;
    /// Mark: MONITOR.
    pub const MONITOR: u8 = 16;

    /// Mark: CLIENT TRACKING with BCAST.
    pub const BCAST: u8 = 32;
    /// Mark: the session that was to be told for it is gone.
    pub const BROKEN_REDIRECT: u8 = 64;
    /// Mark: READONLY, of a client that takes Circlet for a cluster.
    pub const READONLY: u8 = 128;

    /// Notes CLIENT TRACKING: who is told (see `redirect`), and whether with BCAST.
    pub fn track(&self, redirect: i64, bcast: bool) {
        self.redirect.store(redirect, Relaxed);
        self.mark(Self::TRACKING, redirect >= 0);
        self.mark(Self::BCAST, bcast);
        self.mark(Self::BROKEN_REDIRECT, false);
    }

    /// Notes where its worker keeps it.
    pub fn take_place(&self, place: u32) {
        self.place.store(place, Relaxed);
    }

    /// Where its worker keeps it.
    #[must_use]
    pub fn place(&self) -> u32 {
        self.place.load(Relaxed)
    }

    /// Sets or clears a mark; only its own worker does.
    pub fn mark(&self, mark: u8, on: bool) {
        if on {
            self.marks.fetch_or(mark, Relaxed);
        } else {
            self.marks.fetch_and(!mark, Relaxed);
        }
    }

    /// Whether a mark is set.
    #[must_use]
    pub fn is_marked(&self, mark: u8) -> bool {
        self.marks.load(Relaxed) & mark != 0
    }

    /// Notes bytes at `now_us` of the process's clock, and the row of the last command.
    #[inline]
    pub fn touched(&self, now_us: u64, command: u32) {
        self.active_us.store(now_us, Relaxed);
        self.command.store(command, Relaxed);
    }

    /// What RESET puts back.
    pub fn reset(&self) {
        self.db.store(0, Relaxed);
        self.resp.store(2, Relaxed);
        self.no_evict.store(false, Relaxed);
        self.no_touch.store(false, Relaxed);
        self.mark(Self::READONLY, false);
        *self.names() = Names::default();
    }

    /// The names; a poisoned lock is no reason to lose them.
    pub fn names(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The field `flags` of CLIENT LIST, in Redis's order; `closing`: it ends when its replies are written.
    #[must_use]
    pub fn flags(&self, closing: bool) -> String {
        let letters = [
            (self.is_marked(Self::MONITOR), 'O'),
            (self.is_marked(Self::PUBSUB), 'P'),
            (self.is_marked(Self::MULTI), 'x'),
            (self.is_marked(Self::BLOCKED), 'b'),
            (self.is_marked(Self::TRACKING), 't'),
            (self.is_marked(Self::BROKEN_REDIRECT), 'R'),
            (self.is_marked(Self::BCAST), 'B'),
            (closing, 'c'),
            (self.addr.starts_with("unix:"), 'U'),
            (self.is_marked(Self::READONLY), 'r'),
            (self.no_evict.load(Relaxed), 'e'),
            (self.no_touch.load(Relaxed), 'T'),
        ];
        let flags: String = letters.iter().filter(|(on, _)| *on).map(|(_, letter)| *letter).collect();
        if flags.is_empty() { "N".to_owned() } else { flags }
    }

    /// Appends the session's line of CLIENT LIST, with `\n`.
    pub fn write_line(&self, now_us: u64, command: &str, flags: &str, load: &Load, out: &mut String) {
        let age = now_us.saturating_sub(self.born_us) / 1_000_000;
        let idle = now_us.saturating_sub(self.active_us.load(Relaxed)) / 1_000_000;
        let names = self.names();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "id={} addr={} laddr={} fd={} name={} age={age} idle={idle} flags={flags} db={} sub={} psub={} ssub={} multi={} \
             {load} cmd={command} user=default redir={} resp={} lib-name={} lib-ver={} worker={}",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            names.name,
            self.db.load(Relaxed),
            self.subscribed[Kind::Channel as usize].load(Relaxed),
            self.subscribed[Kind::Pattern as usize].load(Relaxed),
            self.subscribed[Kind::Shard as usize].load(Relaxed),
            self.queued.load(Relaxed).cast_signed(),
            self.redirect.load(Relaxed),
            self.resp.load(Relaxed),
            names.lib_name,
            names.lib_ver,
            self.worker,
        );
    }
}

/// Why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There were `session.max_sessions` already.
    MaxSessions,
    /// The worker had not even taken in those before it: more connections came at once than its mailbox holds.
    Busy,
}

impl Refused {
    /// All reasons, in the order of their index.
    pub const ALL: [Self; 2] = [Self::MaxSessions, Self::Busy];

    /// The reason as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::MaxSessions => "max_sessions",
            Self::Busy => "busy",
        }
    }
}

/// All sessions of the process.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: DashMap<u64, Arc<Record>>,
    last_id: AtomicU64,
    /// Connections refused, by [`Refused`].
    refused: [AtomicU64; Refused::ALL.len()],
    /// Sessions that there may be; one more is refused.
    max_sessions: AtomicUsize,
    /// `last_id` and the sum of `refused` at the last CONFIG RESETSTAT.
    reset_at: [AtomicU64; 2],
    /// How many of them listen to which channels and patterns.
    pub audience: Audience,
}

impl Registry {
    /// A new session's number.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Relaxed) + 1
    }

    /// How many sessions there may be.
    #[must_use]
    pub fn max_sessions(&self) -> usize {
        self.max_sessions.load(Relaxed)
    }

    /// Sets how many sessions there may be.
    pub fn set_max_sessions(&self, most: usize) {
        self.max_sessions.store(most, Relaxed);
    }

    /// Counts a connection that was refused.
    pub fn refuse(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    /// Connections refused for this reason.
    #[must_use]
    pub fn refused(&self, why: Refused) -> u64 {
        self.refused[why as usize].load(Relaxed)
    }

    /// Connections refused for any reason.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        Refused::ALL.into_iter().map(|why| self.refused(why)).sum()
    }

    /// Connections accepted and refused since the last CONFIG RESETSTAT.
    #[must_use]
    pub fn connections(&self) -> (u64, u64) {
        let since = |now: u64, then: &AtomicU64| now.saturating_sub(then.load(Relaxed));
        (since(self.last_id.load(Relaxed), &self.reset_at[0]), since(self.all_refused(), &self.reset_at[1]))
    }

    /// CONFIG RESETSTAT: what INFO tells begins at 0 again.
    pub fn reset_stats(&self) {
        self.reset_at[0].store(self.last_id.load(Relaxed), Relaxed);
        self.reset_at[1].store(self.all_refused(), Relaxed);
    }

    /// Number of sessions with this mark.
    #[must_use]
    pub fn marked(&self, mark: u8) -> usize {
        self.sessions.iter().filter(|record| record.is_marked(mark)).count()
    }

    /// Adds a session.
    pub fn insert(&self, record: Arc<Record>) {
        self.sessions.insert(record.id, record);
    }

    /// Removes a session.
    pub fn remove(&self, id: u64) {
        self.sessions.remove(&id);
    }

    /// The session with number `id`.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Arc<Record>> {
        self.sessions.get(&id).map(|entry| Arc::clone(entry.value()))
    }

    /// Number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// All sessions, by number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Record>> {
        let mut all: Vec<_> = self.sessions.iter().map(|entry| Arc::clone(entry.value())).collect();
        all.sort_unstable_by_key(|record| record.id);
        all
    }
}
