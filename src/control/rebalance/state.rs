//! What must outlive the process: the nodes, the epoch, and a change that is under way. One file per pool in the state
//! directory.
//!
//! ```text
//!  start:  ring.json? ─► Store::open ─► State ─► begin ─► what the configuration wishes of its nodes
//!  later:  driver ─► Store::save ─► ring.json.new ─ write ─ fsync ─ rename ─ fsync of the directory ─► then publish
//! ```
//! Whoever reads the file at any moment finds the old state or the new one, whole. It says which format it has and holds the
//! digest of its content: a file that is damaged, or of a newer Circlet, is refused with the cure and stays as it is.
//!
//! A configuration counts only where it differs from the one that was followed last ([`State::baseline`]): what commands
//! have changed since is not undone by a restart.
//!
//! Passwords: a node that the configuration lists has its credentials there, and the file only says so; those of other nodes
//! stand in the file, which only its owner may read. Bounded by [`MAX_FILE`]. Io; [`begin`] is pure.

mod error;
mod kept;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    members::{self, Listed, Member, Members, Wish},
    seats::Cast,
};
use crate::{
    config::{Config, Credentials, Profile},
    control::sealed,
    traffic::route::{Address, Scheme},
};
pub use error::StateError;

/// Longest file: a thousand nodes take less than 1 MB.
const MAX_FILE: u64 = 64 << 20;

/// The format of the file.
const FORMAT: u64 = 1;

/// Everything that is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The highest epoch that may have been published; 0: none.
    pub epoch: u64,
    /// Number of the next change; no number is used twice, since sets at the nodes are called by it.
    pub next_id: u64,
    /// How keys are spread.
    pub scheme: Scheme,
    /// The nodes of the configuration that was followed last.
    pub baseline: Vec<Listed>,
    /// The nodes that own the keys; while a change is under way, those of before it.
    pub members: Vec<Member>,
    /// Those of them that are left out for now, since they are down, by name; they have no keys.
    pub out: Vec<String>,
    /// The change that is under way.
    pub change: Option<Change>,
    /// Changes that wait for it, in their order.
    pub queue: Vec<Vec<Wish>>,
    /// Nodes on which keys still lie that have gone elsewhere.
    pub purges: Vec<Purge>,
    /// The `run_id` that each node had last, by name: another one means that it has restarted.
    pub run_ids: BTreeMap<String, String>,
}

/// A change that is under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its number.
    pub id: u64,
    /// What was wished, for people.
    pub text: String,
    /// The nodes afterwards.
    pub next: Vec<Member>,
    /// Those of them that are left out afterwards, by name.
    pub out: Vec<String>,
    /// Nodes that are given up with their keys.
    pub lost: Vec<String>,
    /// Whether keys are moved; else they are given up with their old places, as in a cache.
    pub copies: bool,
    /// Parts in which keys are moved.
    pub parts: u32,
    /// Parts that are committed.
    pub done: Vec<u32>,
    /// The part that is under way.
    pub part: u32,
    /// How far it is.
    pub phase: Phase,
    /// What the moves into the targets are fenced by.
    pub nonce: String,
    /// Ids of the sets at the targets that belong to it.
    pub sets: Vec<String>,
    /// Whether it was aborted: keys go back.
    pub back: bool,
    /// Whether it was told to go back, which has not begun yet.
    pub aborted: bool,
    /// Whether it was told to pause.
    pub paused: bool,
    /// Keys per second that were set for it alone.
    pub rate: Option<u64>,
}

impl Change {
    /// A change after which these nodes have the keys; none is copied, and nothing has begun.
    #[must_use]
    pub fn new(id: u64, text: String, next: Vec<Member>, out: Vec<String>) -> Self {
        Self {
            id,
            text,
            next,
            out,
            lost: Vec::new(),
            copies: false,
            parts: 1,
            done: Vec::new(),
            part: 0,
            phase: Phase::Prepare,
            nonce: String::new(),
            sets: Vec::new(),
            back: false,
            aborted: false,
            paused: false,
            rate: None,
        }
    }

    /// Whether it only says who of `members` is left out.
    #[must_use]
    pub fn is_of_out_only(&self, members: &[Member]) -> bool {
        !self.copies && self.next == members
    }

    /// The nodes afterwards, and who of them is left out.
    #[must_use]
    pub fn cast(&self) -> Cast<'_> {
        Cast { members: &self.next, out: &self.out }
    }
}

/// How far a part of a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The nodes are looked at; nothing has changed hands.
    Prepare,
    /// The targets serve; keys are moved.
    Moving,
    /// Everything is moved; what is left at the sources is owed to a [`Purge`].
    Committed,
}

/// Keys that a node still holds and no longer owns.
#[derive(Clone, Debug, PartialEq)]
pub struct Purge {
    /// The change that they went with.
    pub change: u64,
    /// The node that holds them; it may have left.
    pub node: Member,
}

impl State {
    /// The nodes that own the keys, under the rules of `config`; while a change is under way, those of before it.
    #[must_use]
    pub fn present(&self, config: &Config) -> Members {
        Members::with(self.members.clone(), config)
    }

    /// The nodes, and who of them is left out; while a change is under way, before it.
    #[must_use]
    pub fn cast(&self) -> Cast<'_> {
        Cast { members: &self.members, out: &self.out }
    }

    /// The nodes once all that is under way or waits is done.
    #[must_use]
    pub fn afterwards(&self, config: &Config) -> Members {
        let next = match &self.change {
            Some(change) if !change.back => Members::with(change.next.clone(), config),
            _ => self.present(config),
        };
        // What can no longer be fulfilled is told when its turn comes.
        self.queue.iter().fold(next, |next, wishes| next.after(wishes).unwrap_or(next))
    }

    /// What `config` wishes, behind what is under way; once that is taken on, it is the [`State::baseline`].
    #[must_use]
    pub fn wished_by(&self, config: &Config) -> Vec<Wish> {
        members::wishes(&self.baseline, config, &self.afterwards(config))
    }

    /// Whether nodes are left out, or are to be.
    fn has_out(&self) -> bool {
        !self.out.is_empty() || self.change.as_ref().is_some_and(|change| !change.out.is_empty())
    }

    /// The first state of a pool.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            epoch: 0,
            next_id: 1,
            scheme: config.scheme(),
            baseline: Listed::of(config),
            members: Members::of(config).list().to_vec(),
            out: Vec::new(),
            change: None,
            queue: Vec::new(),
            purges: Vec::new(),
            run_ids: BTreeMap::new(),
        }
    }

    /// The nodes of the configuration are where it says now, without having been replaced: for whoever starts them himself, at
    /// other ports each time.
    pub fn relocate(&mut self, config: &Config) {
        let moved: HashMap<Address, Address> = self
            .baseline
            .iter()
            .filter_map(|listed| {
                let node = config.nodes.iter().find(|node| node.name == listed.name)?;
                Some((listed.address.clone(), node.address.clone()))
            })
            .collect();
        let next = self.change.iter_mut().flat_map(|change| &mut change.next);
        let purged = self.purges.iter_mut().map(|purge| &mut purge.node);
        let members = self.members.iter_mut().chain(next).chain(purged).map(|member| &mut member.address);
        for address in members.chain(self.baseline.iter_mut().map(|listed| &mut listed.address)) {
            if let Some(new) = moved.get(address) {
                address.clone_from(new);
            }
        }
    }
}

/// What a Circlet begins with that `found` a state, or none; where there was none, it is yet to be saved.
///
/// # Errors
/// State and configuration do not go together.
pub fn begin(found: Option<State>, config: &Config) -> Result<State, StateError> {
    let state = match found {
        None => State::new(config),
        Some(state) if state.scheme != config.scheme() => {
            return Err(StateError::Scheme { file: state.scheme, configuration: config.scheme() });
        }
        Some(state) if config.profile != Profile::Cache && state.has_out() => {
            let next = state.change.as_ref().map_or(&[][..], |change| &change.out);
            let more = next.iter().filter(|name| !state.out.contains(name));
            return Err(StateError::Out(state.out.iter().chain(more).cloned().collect()));
        }
        // Nobody owns a key: the configuration is all there is.
        Some(state) if state.scheme == Scheme::Random => State { epoch: state.epoch + 1, ..State::new(config) },
        Some(state) => state,
    };
    state.present(config).ring().map_err(|error| StateError::Ring(error.to_string()))?;
    Ok(state)
}

/// The file of one pool. Whoever has it holds the lock of the state directory.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    name: String,
    /// What the configuration says of the nodes that it lists.
    configured: Mutex<HashMap<String, Credentials>>,
}

impl Store {
    /// Opens the file of `pool` in `dir`, and reads it if it is there.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or of a newer Circlet; it is left as it is.
    pub fn open(dir: &Path, pool: Option<&str>, config: &Config) -> Result<(Self, Option<State>), StateError> {
        let name = sealed::name("ring", pool);
        let store = Self { dir: dir.to_path_buf(), name, configured: Mutex::new(credentials(config)) };
        let path = store.path();
        let Some(bytes) = sealed::read(&path, MAX_FILE)? else { return Ok((store, None)) };
        let body = sealed::open(&path, FORMAT, &bytes)?;
        let state = kept::read(body, &store.configured()).map_err(|why| why.at(&path))?;
        Ok((store, Some(state)))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// Another configuration holds: of nodes that it no longer lists, the file will say everything. Of those that it lists as
    /// before, what they are told stays as it was.
    pub fn follow(&self, config: &Config) {
        let (mut configured, mut before) = (credentials(config), self.configured());
        for (name, credentials) in &mut configured {
            if let Some(before) = before.get(name) {
                credentials.clone_from(before);
            }
        }
        *before = configured;
    }

    fn configured(&self) -> MutexGuard<'_, HashMap<String, Credentials>> {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `state`; when it returns, the state is on the disk.
    ///
    /// # Errors
    /// It could not be written; the state of before holds.
    pub fn save(&self, state: &State) -> Result<(), StateError> {
        self.save_through(state, &mut |_| Ok(()))
    }

    fn save_through(&self, state: &State, gate: &mut sealed::Gate<'_>) -> Result<(), StateError> {
        let bytes = sealed::seal(FORMAT, &kept::write(state, &self.configured()));
        sealed::replace(&self.dir, &self.name, &bytes, gate).map_err(|error| StateError::Io {
            path: self.path(),
            doing: "written",
            error,
        })
    }
}

fn credentials(config: &Config) -> HashMap<String, Credentials> {
    let said = |node: &crate::traffic::route::Node| {
        let credentials = Credentials { username: node.username.clone(), password: node.password.clone() };
        (node.name.clone(), credentials)
    };
    config.nodes.iter().map(said).collect()
}

#[cfg(test)]
mod tests;
