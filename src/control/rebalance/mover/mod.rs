//! What copies keys between plain Redis nodes while clients work, and never twice.
//!
//! ```text
//!  driver ── preflight, open, pass, close, purge, verify ──┐
//!  workers ─ pull(db, keys) ───────────────────────────────┤
//!                                                          ▼     a thread and a runtime of its own
//!   Run (the open stage) ─ Lane (from, to, db) ── GIVE: DUMP, PTTL ──► source
//!                                  │ └─────────── TAKE: RESTORE ─────► target, with its set of tombstones
//!                                  └ big: in chunks to circlet:copy:…, then RENAME
//! ```
//! Reading order: `stage` (what is to be moved), `script` (what happens on the nodes), `lane`, `access` and `pass` (who
//! asks for it), `marks` (what has arrived), `seal` (open and close), `big`, `purge`, `verify`, `preflight`; below them
//! `lines`, `line`, `pace`.
//!
//! # Why no value is lost and none comes back
//! The caller calls [`Mover::open`], freezes the keys at their sources (a barrier over all workers; on the way back before it
//! opens), then lets requests go to the targets, each after a [`Mover::pull`] of its keys.
//! 1. *Forth.* A restore has an effect only at a target that has the nonce and no tombstone of the key, and it sets the
//!    tombstone in the same script. So of all restores of a key, however many were sent and however late they arrive, one
//!    has an effect; and since a client's first command on the key waits for a pull to have seen the tombstone, that one
//!    comes before it. What is restored is the last acknowledged value, because the source is frozen but for expiry.
//!    After [`Mover::close`] the nonce is gone, and with it every restore that is still under way.
//! 2. *Back* ([`Kind::Back`]: the new owner S' of a key is its old source S, and the frozen one is the old target T). First
//!    the forward set gets another name at T: no forward restore can have an effect any more, and the set does not change
//!    again. A key that is not in it was never restored, and no client has worked on it at T, since its pull would have
//!    left a tombstone: S' has the truth, and nothing is to be done. A key that is in it belongs to T: its value is restored
//!    at S' over what is there, or, if T has none, deleted at S'; under a set and a nonce of this stage, so once, and
//!    before any client's command, as in 1. Afterwards what the forward set names is deleted at T.
//! 3. *Every db.* A pull opens the set in its db also where the source has no key: what clients make there is in the set
//!    then, and a way back finds it.
//!
//! 4. *Marks.* What TAKE or a look at the tombstones has answered for is marked in the table of the topology by which it moves
//!    ([`Mover::mark_in`]), so that workers need not ask again. A mark says no more than the tombstone does, and no other
//!    topology has that table.
//!
//! The unit tests in `model` look at every order of these steps, late restores included, and show that each rule is needed.
//!
//! # What it does not do
//! It publishes nothing and holds no request back: fences, gates and barriers are the caller's. It does not move Circlet's
//! own keys (`circlet:…`), nor LRU and LFU of a key. It never sets a rate by itself, it only lowers the given one.

mod access;
mod big;
mod fault;
mod lane;
mod line;
mod lines;
mod marks;
#[cfg(test)]
mod model;
mod pace;
mod pass;
mod preflight;
mod progress;
mod purge;
mod request;
mod run;
mod script;
mod seal;
mod stage;
mod verify;

use std::{fmt, io, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use tokio::{runtime, sync::oneshot, task::JoinHandle};

pub use fault::MoveError;
pub use line::Times;
pub use pace::Pace;
pub use preflight::{Need, Plan};
pub use progress::Progress;
pub use purge::{Doomed, Haste};
pub use stage::{Busy, Kind, Opened, PlaceOf, Stage};
pub use verify::{Count, OwnerOf, Samples, Verified};

use crate::traffic::route::{Arrived, Node, NodeId};
use lines::{Lines, held};
use marks::Marks;
use run::Shared;

/// Something that the driver should know at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another process answers at the node's address than before: it may have lost data that it had acknowledged. If it is a
    /// target and came back with its set, workers must forget which keys they have pulled.
    Restarted {
        /// The node.
        node: NodeId,
    },
}

/// Where events go. Called on the mover's thread: it must not block.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(Event) + Send + Sync>);

impl Events {
    /// Events go to `sink`.
    pub fn to(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }
}

impl std::ops::Deref for Events {
    type Target = dyn Fn(Event) + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// What the mover is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long nodes may take.
    pub times: Times,
    /// Keys with a MEMORY USAGE above it are copied in chunks.
    pub big_key_bytes: u64,
    /// The rate to begin with, all nodes together; 0: no bound.
    pub keys_per_second: u64,
    /// The same in bytes.
    pub bytes_per_second: u64,
    /// For tests that must fail.
    pub safety: Safety,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            times: Times { connect: Duration::from_secs(1), answer: Duration::from_secs(5) },
            big_key_bytes: 1 << 20,
            keys_per_second: 15_000,
            bytes_per_second: 50_000_000,
            safety: Safety::default(),
        }
    }
}

/// Rules that may be switched off to see that the checker misses them. No option of the configuration leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safety {
    /// A key is restored at most once.
    pub tombstones: bool,
    /// A key is marked when it has arrived, and not when it is asked for.
    pub marks_behind: bool,
}

impl Default for Safety {
    fn default() -> Self {
        Self { tombstones: true, marks_behind: true }
    }
}

/// The mover; its thread ends with it.
#[derive(Debug)]
pub struct Mover {
    shared: Arc<Shared>,
    /// Dropped with the mover, which ends the thread.
    _end: oneshot::Sender<()>,
}

impl Mover {
    /// Starts the thread.
    pub fn start(settings: Settings, events: Events) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let marks = Arc::<Marks>::default();
        let lines = Lines::new(settings.times, voiding(Arc::clone(&marks), events));
        let shared = Arc::new(Shared::new(settings, lines, marks, runtime.handle().clone()));
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // Err: the mover was dropped, as expected.
            let _ = runtime.block_on(ended);
        };
        thread::Builder::new().name("mover".to_owned()).spawn(run)?;
        Ok(Self { shared, _end: end })
    }

    /// What has been done so far.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.shared.progress
    }

    /// The rate, changeable at any time.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// Looks whether `stage` can work at all, before anything is frozen, and gives what the operator should know; an error
    /// names its cure. Joining nodes get the functions of the others. The first call for a change; its samples begin here.
    pub async fn preflight(&self, stage: Arc<Stage>, plan: Plan) -> Result<Vec<String>, MoveError> {
        let shared = Arc::clone(&self.shared);
        *held(&shared.progress.samples) = verify::Reservoir::default();
        self.on_thread(preflight::preflight(shared, stage, plan)).await
    }

    /// Opens `stage`, in place of any other: from now on its keys can be pulled. Until it has succeeded, none can.
    ///
    /// Before the first pull the barrier of a fence must be done, so that the sources are frozen; a way back is opened behind
    /// it. `recorded` is `None` until the answer to it has been kept on disk; the stage's gates open only after that. With
    /// it, after a restart, every target must still know the nonce, else [`MoveError::Lost`]. After that error, and after
    /// all data was flushed on purpose: a new nonce, [`Busy::Keep`], and `None`. It may be repeated.
    pub async fn open(&self, stage: Arc<Stage>, recorded: Option<Opened>) -> Result<Opened, MoveError> {
        let shared = Arc::clone(&self.shared);
        self.on_thread(async move {
            // A pull by the rules of the stage before would be answered, and prove nothing.
            *held(&shared.run) = None;
            let (run, opened) = seal::open(&shared, stage, recorded.as_ref()).await?;
            *held(&shared.run) = Some(run);
            Ok(opened)
        })
        .await
    }

    /// Sees to it that `keys` are where requests go now; keys that do not move are there already. For any thread.
    ///
    /// It fails at once if a node is down; whoever waits for the key may be told so, and the next request tries again.
    pub async fn pull(&self, db: u32, keys: &[Bytes]) -> Result<(), MoveError> {
        loop {
            let run = self.shared.current()?;
            let outcome = access::pull(&self.shared, &run, db, keys).await;
            let replaced = || self.shared.current().is_ok_and(|now| !Arc::ptr_eq(&now, &run));
            if !matches!(outcome, Err(MoveError::Lost { .. })) || !replaced() {
                return outcome;
            }
        }
    }

    /// What arrives from now on is marked in `arrived`, the table of the topology that is published next; nothing is marked in
    /// the one before but what was under way.
    pub fn mark_in(&self, arrived: Arc<Arrived>) {
        self.shared.marks.set(arrived);
    }

    /// Runs `work` on the mover's thread, beside everything else, until what is given is dropped.
    pub fn beside<W: Future<Output = ()> + Send + 'static>(&self, work: W) -> impl Send + use<W> {
        Owned(self.shared.runtime.spawn(work))
    }

    /// Moves every key of the open stage that was not pulled yet. It waits for nodes that are down; `Ok`: nothing is left at
    /// the sources that is not at the targets. Dropping the future ends it; it can be begun again.
    pub async fn pass(&self) -> Result<(), MoveError> {
        let shared = Arc::clone(&self.shared);
        let run = shared.current()?;
        self.on_thread(pass::pass(shared, run)).await
    }

    /// Ends `stage`, open or not: late restores have no effect from now on. After a way back it also deletes what the
    /// forward stage has left at its targets. To be called when the barrier after the last pull is done; may be repeated.
    pub async fn close(&self, stage: Arc<Stage>) -> Result<(), MoveError> {
        let shared = Arc::clone(&self.shared);
        self.on_thread(async move {
            {
                let mut run = held(&shared.run);
                if run.as_ref().is_some_and(|run| run.stage.id == stage.id) {
                    *run = None;
                }
            }
            seal::close(&shared, &stage).await
        })
        .await
    }

    /// Deletes at each of `at`, in every db, the keys that `doomed` says so of. To be called only when no request for them
    /// goes there any more. Dropping the future ends it.
    pub async fn purge(
        &self,
        nodes: Arc<[Node]>,
        at: Vec<NodeId>,
        doomed: Doomed,
        haste: Haste,
    ) -> Result<(), MoveError> {
        let shared = Arc::clone(&self.shared);
        shared.lines.learn(&nodes);
        self.on_thread(purge::purge(shared, at, doomed, haste)).await
    }

    /// Counts, at each of `at`, the keys that it owns and those that it does not, and looks at samples of what was moved
    /// since the last [`Self::preflight`]. Changes nothing.
    pub async fn verify(&self, nodes: Arc<[Node]>, at: Vec<NodeId>, owner: OwnerOf) -> Result<Verified, MoveError> {
        let shared = Arc::clone(&self.shared);
        shared.lines.learn(&nodes);
        self.on_thread(verify::verify(shared, at, owner)).await
    }

    /// How many keys these nodes have in this db that are sets of tombstones, or copies that old nodes still hold. Estimated:
    /// copies may expire, or be deleted at their new nodes.
    #[must_use]
    pub fn surplus(&self, nodes: &[NodeId], db: u32) -> u64 {
        let twice = self.shared.progress.twice();
        let copies = nodes.iter().filter_map(|node| twice.get(&(*node, db)));
        copies.sum::<u64>() + self.shared.current().map_or(0, |run| run.sets_in(db))
    }

    /// Closes all connections; the next call opens those that it needs.
    pub fn rest(&self) {
        self.shared.lines.close();
    }

    /// Runs `work` on the mover's thread, and ends it if nobody waits for it any more.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, MoveError>> + Send + 'static,
    ) -> Result<T, MoveError> {
        let mut task = Owned(self.shared.runtime.spawn(work));
        (&mut task.0).await.unwrap_or(Err(MoveError::Stopped))
    }
}

/// Events, each of which makes uncertain what has arrived.
fn voiding(marks: Arc<Marks>, events: Events) -> Events {
    Events::to(move |event| {
        let Event::Restarted { .. } = event;
        marks.now().void();
        events(event);
    })
}

/// A task that ends with its owner.
struct Owned<T>(JoinHandle<T>);

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
