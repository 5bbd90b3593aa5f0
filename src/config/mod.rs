//! What the operator wrote, checked: defaults < configuration file < flags.
//!
//! ```text
//!  defaults ──► file (TOML) ──► flags ──► check (contradictions) ──► Config, or all Mistakes at once
//!               file.rs         flags.rs  check.rs                   each with line or flag, value and cure
//!                   └── option.rs: one row per option ──┘
//! ```
//!
//! After [`load`] nothing re-checks a value: a [`Config`] is the proof that every option is in its range and none
//! contradicts another. Every option stands in `option.rs` as one row and in `conf/circlet.toml` with its default and
//! its consequence; a test holds the two together. Nodes are not single values and have their own file, `nodes.rs`.
//!
//! Io: reads the configuration file and password files; opens no socket, creates nothing (except [`Config::open_state`]).
//! Passwords are in no message, no Debug and no printed configuration.

mod address;
mod check;
mod draft;
mod file;
mod flags;
mod live;
mod mistake;
mod nearest;
mod nodes;
mod option;
mod secret;
mod state;
pub mod twemproxy;
mod value;

use std::{
    fmt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

pub use flags::Overrides;
pub use live::{Differences, Unchangeable};
pub use mistake::{Mistake, Mistakes, Note, Place};
pub use nearest::among as nearest_name;
pub use nodes::{
    Credentials, address as node_address, credentials as node_credentials, flag_node as node, is_info_section,
    name as node_name, weight as node_weight,
};
pub use secret::from_file as password_of;
pub use state::LOCK_FILE;

use crate::traffic::{
    Settings,
    route::{
        Address, KeyHash, Node, Ring, Scheme,
        hash_tag::Tag,
        ring::{Hashing, RingError},
    },
    settings::Password,
};
use draft::Draft;

/// Everything that can be configured, checked.
#[derive(Clone)]
pub struct Config {
    /// Where clients connect; at least one, each different.
    pub listen: Vec<Address>,
    /// Permission bits of the unix sockets among `listen`.
    pub socket_mode: u32,
    /// Where metrics and health are served (HTTP, always [`Address::Tcp`]); `None`: nowhere.
    pub admin: Option<Address>,
    /// What whoever reads there must give; always set where other machines reach it.
    pub admin_token: Option<Password>,
    /// Names by which it may be asked beside its own, in lower case; `*`: any.
    pub admin_hosts: Vec<String>,
    /// Directory that belongs to this Circlet alone; see [`Config::open_state`].
    pub state: Option<PathBuf>,
    /// How long a stopping Circlet waits for what is in flight.
    pub drain_timeout: Duration,
    /// How often the nodes are asked for their INFO; `None`: never.
    pub node_info: Option<Duration>,
    /// How keys are spread over the nodes.
    pub distribution: Distribution,
    /// Points on the ring of a node of weight 1, with [`Distribution::Xxh3`].
    pub points_per_weight: u32,
    /// The hash of keys, with [`Distribution::Ketama`] and [`Distribution::Modula`].
    pub key_hash: KeyHash,
    /// What encloses the part of a key that is hashed; `None`: keys are hashed whole. `{}` with [`Distribution::Xxh3`].
    pub hash_tag: Option<Tag>,
    /// How keys are moved when nodes come and go.
    pub rebalance: Rebalance,
    /// Whether keys are kept or may be lost when nodes change.
    pub profile: Profile,
    /// What locks are allowed, and where they lie.
    pub lock: Lock,
    /// What becomes of the keys of a node that is down.
    pub on_node_down: OnNodeDown,
    /// What is logged and how.
    pub log: Log,
    /// The Redis nodes; at least one, names and addresses unique.
    pub nodes: Vec<Node>,
    /// What the data plane needs.
    pub traffic: Settings,
}

/// How keys are spread over the nodes: the kinds of [`Scheme`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Circlet's own ring.
    Xxh3,
    /// twemproxy's consistent hashing.
    Ketama,
    /// twemproxy's hash modulo the slots.
    Modula,
    /// Any node.
    Random,
}

/// How keys are moved when nodes come and go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebalance {
    /// Keys per second, all nodes together; 0: as fast as they can.
    pub rate: usize,
    /// Bytes per second, all nodes together; 0: as fast as they can.
    pub bytes_per_second: usize,
    /// Keys of at least about so many bytes are copied in pieces.
    pub big_key_bytes: usize,
    /// Most keys between two nodes that are moved in one part of a change.
    pub part_keys: usize,
}

impl Default for Rebalance {
    fn default() -> Self {
        Self { rate: 15_000, bytes_per_second: 50 << 20, big_key_bytes: 1 << 20, part_keys: 1_000_000 }
    }
}

/// Locks; what the data plane must know of them too is in [`Settings::locks`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Nodes that keep each lock: 1, 3 or 5; 0: there are no locks.
    pub nodes: usize,
    /// Nodes that no state directory knows are trusted at once.
    pub bootstrap: bool,
    /// How long a lock waits for a node.
    pub node_timeout: Duration,
    /// Clients that may wait for locks at a time.
    pub max_waiters: usize,
    /// Locks that may be held at a time.
    pub max_held: usize,
}

impl Default for Lock {
    fn default() -> Self {
        Self {
            nodes: 3,
            bootstrap: false,
            node_timeout: Duration::from_millis(250),
            max_waiters: 100_000,
            max_held: 1_000_000,
        }
    }
}

/// What the nodes are to whoever uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// They have the only copy: no key may be lost, and keys are moved when nodes change.
    Store,
    /// They have copies of what lies elsewhere: a key may be missing, but never be old. Nothing is moved.
    Cache,
}

/// What becomes of the keys of a node that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNodeDown {
    /// They are answered with an error until it is back.
    Error,
    /// The other nodes of a cache have them, from nothing on, until it is back and purged.
    Eject,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or `target=level` directives separated by commas; `tracing_subscriber::EnvFilter` accepts it.
    pub filter: String,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    /// The defaults, with which `conf/circlet.toml` agrees. There are no default nodes.
    fn default() -> Self {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        Self {
            listen: vec![Address::Tcp { host: "127.0.0.1".to_owned(), port: 6380 }],
            socket_mode: 0o660,
            admin: Some(Address::Tcp { host: "127.0.0.1".to_owned(), port: 9180 }),
            admin_token: None,
            admin_hosts: Vec::new(),
            state: None,
            drain_timeout: Duration::from_secs(10),
            node_info: Some(Duration::from_secs(5)),
            distribution: Distribution::Xxh3,
            points_per_weight: 8_192,
            key_hash: KeyHash::Fnv1a64,
            hash_tag: Some(Tag::BRACES),
            rebalance: Rebalance::default(),
            profile: Profile::Store,
            lock: Lock::default(),
            on_node_down: OnNodeDown::Error,
            log: Log { filter: "info".to_owned(), format: LogFormat::Human },
            nodes: Vec::new(),
            traffic: Settings { workers, ..Settings::default() },
        }
    }
}

impl Config {
    /// How keys are spread over the nodes.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        let hashing = Hashing { hash: self.key_hash, tag: self.hash_tag };
        match self.distribution {
            Distribution::Xxh3 => Scheme::Xxh3 { points_per_weight: self.points_per_weight },
            Distribution::Ketama => Scheme::Ketama(hashing),
            Distribution::Modula => Scheme::Modula(hashing),
            Distribution::Random => Scheme::Random,
        }
    }

    /// The ring of the nodes.
    ///
    /// # Errors
    /// None for what [`load`] gave.
    pub fn ring(&self) -> Result<Ring, RingError> {
        let nodes: Vec<(&str, f64)> = self.nodes.iter().map(|node| (node.ring_name(), node.weight)).collect();
        Ring::of(&nodes, &self.scheme())
    }
}

/// Reads `file` (if any), lays `overrides` over it and checks the whole.
///
/// # Errors
/// All mistakes found in file and flags, at once.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, Mistakes> {
    let mut draft = Draft::new();
    if let Some(path) = file {
        file::apply(&mut draft, path);
    }
    flags::apply(&mut draft, overrides);
    check::apply(&mut draft);
    draft.finish()
}

impl fmt::Display for Config {
    /// The configuration as TOML, as [`load`] would read it back, except for passwords, which stand as a remark only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        option::print(self, false, f)?;
        nodes::print(&self.nodes, f)
    }
}

/// A configuration's Display without the options that have their default; [`load`] reads the same from it.
#[derive(Debug)]
pub struct Changes<'a>(pub &'a Config);

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        option::print(self.0, true, f)?;
        nodes::print(&self.0.nodes, f)
    }
}

impl fmt::Debug for Config {
    /// The same as Display: without passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
