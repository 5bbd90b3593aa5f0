//! Where everybody else reaches the thread that keeps locks.
//!
//! ```text
//!  workers ─ ask, gone ─┐
//!  driver ─ want ───────┼─► Front ─► Inbox ─► shell
//!  lines, disk ─────────┘     └─ surplus, totals ◄── shell
//! ```
//! Putting something in never waits. Bounded by the sessions, each of which has one wish under way, by the nodes, and by what is
//! under way on the lines. Pure, but for the queue.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::sync::{mpsc, oneshot};

use super::{keeper::Input, totals::Totals};
use crate::traffic::{lock::LockAsk, route::Node};

/// What arrives.
#[derive(Debug)]
pub enum Event {
    /// Something for the keeper.
    Input(Input),
    /// These nodes keep locks from now on.
    Want(Vec<Node>),
    /// Somebody waits until nothing is under way at any node.
    Rest(oneshot::Sender<()>),
}

/// The shell's side.
pub type Inbox = mpsc::UnboundedReceiver<Event>;

/// Everybody else's side.
#[derive(Clone, Debug)]
pub struct Front {
    events: mpsc::UnboundedSender<Event>,
    shown: Arc<Shown>,
}

/// What the shell shows of itself.
#[derive(Debug, Default)]
struct Shown {
    /// Keys of Circlet's own on all nodes together, for locks.
    surplus: AtomicU64,
    totals: Mutex<Totals>,
}

/// Both sides.
#[must_use]
pub fn queue() -> (Front, Inbox) {
    let (events, inbox) = mpsc::unbounded_channel();
    (Front { events, shown: Arc::default() }, inbox)
}

impl Front {
    /// A session wants something of a lock.
    pub fn ask(&self, ask: LockAsk) {
        self.put(Event::Input(Input::Ask(ask)));
    }

    /// CLIENT UNBLOCK: this session waits no longer.
    pub fn unblock(&self, session: u64, error: bool) {
        self.put(Event::Input(Input::Unblock { session, error }));
    }

    /// A session that has asked for a lock has ended, or was reset.
    pub fn gone(&self, session: u64) {
        self.put(Event::Input(Input::Gone(session)));
    }

    /// These nodes keep locks from now on; it is said again whenever they may have changed.
    pub fn want(&self, nodes: Vec<Node>) {
        self.put(Event::Want(nodes));
    }

    /// Waits until everything that was put in before has been done, and answered by the nodes: before the process ends, so that
    /// locks that end with their sessions are free at once. Who waits for it sets a limit.
    pub async fn rest(&self) {
        let (told, rested) = oneshot::channel();
        self.put(Event::Rest(told));
        // Err: there are no locks.
        let _ = rested.await;
    }

    /// How many keys the nodes have in this db that belong to locks; all of them are in db 0.
    #[must_use]
    pub fn surplus(&self, db: u32) -> u64 {
        if db == 0 { self.shown.surplus.load(Relaxed) } else { 0 }
    }

    /// What was done so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.shown().clone()
    }

    pub(super) fn shown(&self) -> MutexGuard<'_, Totals> {
        self.shown.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn show_surplus(&self, keys: u64) {
        self.shown.surplus.store(keys, Relaxed);
    }

    pub(super) fn input(&self, input: Input) {
        self.put(Event::Input(input));
    }

    fn put(&self, event: Event) {
        // Nobody keeps locks any more: the process ends.
        drop(self.events.send(event));
    }
}
