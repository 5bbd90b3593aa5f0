//! What the data plane needs to know from the configuration, already checked.
//!
//! `config` builds it once; every worker reads it, nobody changes it. Sizes are bytes.
//! Pure: holds values, decides nothing.

use std::{fmt, ops::Deref, time::Duration};

use super::{resp::Limits, route::Address};

/// A password: whoever prints it by accident prints nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Deref for Password {
    type Target = str;

    /// The password itself, for a handshake or a comparison.
    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Settings of every worker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Counts up with each change at run time; the highest holds.
    pub revision: u64,
    /// Number of worker threads, at least 1.
    pub workers: usize,
    /// What one request or reply may measure.
    pub limits: Limits,
    /// Bounds of one client session.
    pub session: SessionSettings,
    /// How connections to nodes behave.
    pub pipe: PipeSettings,
    /// Which requests are slow.
    pub slow: SlowSettings,
    /// Which keys are looked at.
    pub keys: KeySettings,
    /// Bytes that all sessions and pipes of this process may hold together; past it the largest holder is closed.
    pub max_buffered: usize,
    /// Bytes of scripts that are remembered for EVALSHA.
    pub max_scripts: usize,
    /// Password that clients must give (`AUTH`, `HELLO … AUTH`); `None`: everybody may enter.
    pub requirepass: Option<Password>,
    /// Whether Circlet presents itself as a Redis Cluster of one node, and under which address.
    pub cluster_facade: Facade,
    /// What a multi-key read answers for keys whose node did not answer.
    pub partial_reads: PartialReads,
    /// Locks, as far as workers look at what is wanted of them.
    pub locks: LockSettings,
}

/// What of locks a worker must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSettings {
    /// Keys that begin so are locks; empty: none is.
    pub prefix: Vec<u8>,
    /// Longest time that a lock may be asked for.
    pub max_ttl: Duration,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self { prefix: Vec::new(), max_ttl: Duration::from_secs(60) }
    }
}

/// Whether Circlet presents itself as a Redis Cluster of one node that owns all slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facade {
    /// It is a plain Redis.
    Off,
    /// Under the address that each client has connected to.
    On,
    /// Under this address, always [`Address::Tcp`].
    At(Address),
}

impl fmt::Display for Facade {
    /// As the configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On => f.write_str("on"),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// Bounds of one client session.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// Sessions of all workers together; one more is refused with Redis's own error.
    pub max_sessions: usize,
    /// The database that a session begins in, and RESET returns to.
    pub database: u32,
    /// Requests of one session that may await their reply; then its socket is not read until some are answered.
    pub max_pending: usize,
    /// Reply bytes owed to one session past which its socket is not read.
    pub soft_output: usize,
    /// Reply bytes owed past which the session is closed (one single reply may be larger).
    pub hard_output: usize,
    /// How long replies may wait for the other replies of their batch, to leave in one write; `None`: not at all.
    pub linger: Option<Duration>,
    /// Node connections that one session may lease at a time.
    pub max_leases: usize,
    /// Commands that one session may queue between MULTI and EXEC.
    pub max_queued: usize,
    /// Bytes of those commands.
    pub max_queued_bytes: usize,
    /// Bytes of messages, invalidations and MONITOR lines that may wait for one session; past it it is closed.
    pub hard_pushes: usize,
    /// Channels, patterns and shard channels that one session may listen to.
    pub max_subscriptions: usize,
    /// Bytes of memory that their names may take.
    pub max_subscription_bytes: usize,
    /// A session without any request for this long is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
}

/// How connections to nodes behave.
#[derive(Clone, Debug)]
pub struct PipeSettings {
    /// Requests in flight on one pipe; sessions that need it wait when it is full.
    pub max_in_flight: usize,
    /// Bytes that may wait to be written to one pipe; sessions that need it wait when it holds more.
    pub max_unsent: usize,
    /// Node connections that a worker leases to single sessions, idle ones included.
    pub max_leased: usize,
    /// Time for resolving, connecting and the handshake together.
    pub connect_timeout: Duration,
    /// Time from the sending of a request to its whole reply.
    pub request_timeout: Duration,
    /// First pause before a failed node is tried again; doubles up to `backoff_max`, with jitter.
    pub backoff_min: Duration,
    /// Longest pause before a failed node is tried again.
    pub backoff_max: Duration,
    /// A pipe without traffic for this long is closed, except the first one of each node; `None`: never.
    pub idle_timeout: Option<Duration>,
}

/// Which requests are slow, and how many of them are kept.
#[derive(Clone, Debug)]
pub struct SlowSettings {
    /// Requests that take at least this long are logged (SLOWLOG); `None`: none.
    pub slower_than: Option<Duration>,
    /// Slow requests that are kept.
    pub max_len: usize,
    /// Requests that take at least this long are latency events (LATENCY); `None`: none.
    pub monitor_threshold: Option<Duration>,
}

/// How closely keys are looked at.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// Requests per second and worker whose keys are counted; 0: none, and big values are not noted either.
    pub samples: usize,
    /// Values and replies of at least this many bytes are big; not below what is read at once.
    pub big: usize,
}

/// What MGET, EXISTS, TOUCH, KEYS, SCAN and DBSIZE answer when a part of the nodes did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialReads {
    /// The whole command answers an error that names the node (default).
    Error,
    /// Missing values are nil, missing counts are 0, missing keys are left out.
    Nil,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            revision: 0,
            workers: 1,
            limits: Limits::default(),
            session: SessionSettings::default(),
            pipe: PipeSettings::default(),
            slow: SlowSettings::default(),
            keys: KeySettings::default(),
            max_buffered: 4 << 30,
            max_scripts: 16 << 20,
            requirepass: None,
            cluster_facade: Facade::Off,
            partial_reads: PartialReads::Error,
            locks: LockSettings::default(),
        }
    }
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            max_sessions: 10_000,
            database: 0,
            max_pending: 1_024,
            soft_output: 1 << 20,
            hard_output: 256 << 20,
            linger: Some(Duration::from_millis(1)),
            max_leases: 128,
            max_queued: 100_000,
            max_queued_bytes: 256 << 20,
            hard_pushes: 32 << 20,
            max_subscriptions: 65_536,
            max_subscription_bytes: 16 << 20,
            idle_timeout: None,
        }
    }
}

impl Default for SlowSettings {
    fn default() -> Self {
        Self { slower_than: Some(Duration::from_millis(10)), max_len: 128, monitor_threshold: None }
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self { samples: 1_000, big: 1 << 20 }
    }
}

impl Default for PipeSettings {
    fn default() -> Self {
        Self {
            max_in_flight: 16_384,
            max_unsent: 16 << 20,
            max_leased: 1_024,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            idle_timeout: Some(Duration::from_secs(300)),
        }
    }
}
