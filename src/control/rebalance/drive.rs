//! Drives a change of the nodes from its beginning to its end, and takes it up again after a restart.
//!
//! ```text
//!                 preflight ── Prepare: new nodes connected
//!                     │
//!  for each part:     ▼
//!    open (nonce) ─ saved ─ Fence ─ barrier ─ Moving ─ pass … ─ saved ─ part done ─ barrier ─ close ─ purge ─► next part
//!                                               ▲  │
//!                     FLUSHALL: fence, flush, new nonce           abort: fence, the way back, part by part
//! ```
//! The order is what keeps it correct, as moves.md and the mover's header say. What is on disk is never behind what was
//! published: that a part moves is saved before its fence (the nonce and the set are there by then), that it has arrived before
//! its topology is published. So a Circlet that is killed at any point goes on where it was: a part that is said to move is
//! opened again with the same nonce, and nobody's requests are under way in a process that has just begun.
//!
//! Requests are answered all the time. What only the operator can decide (a target that lost its memory, one that is full, a
//! key that was there before) stops the pass; keys that were not brought yet are refused with the reason, nothing else is
//! concerned. One change at a time; others wait in their order. In a cache nothing is copied, and the change is another one:
//! `cache.rs`. Io.

mod cache;
mod flush;
mod leg;
mod open;
mod orders;
mod out;
mod part;

use std::{
    collections::{HashSet, VecDeque},
    hash::RandomState,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc::UnboundedReceiver};

use super::{
    desk::Inbox,
    members::{Listed, Member, Members, Wish},
    mover::{self, Event, MoveError, Mover, Opened},
    report::{Doing, Report},
    seats::{Course, Seats},
    state::{Change, Phase as Saved, Purge, State, Store},
    totals::Totals,
};
use crate::{
    config::Config,
    control::{live::Live, lock, now_ms, reload::Reload},
    traffic::{
        control::{Ask, Wanted},
        core::Message,
        observe::chronicle::Kind,
        route::{Arrived, Epoch, NodeId, Phase, Topology},
        worker::Fleet,
    },
};

/// Pause before something that a node's absence has stopped is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Rules that may be switched off to see that the checker misses them. No option of the configuration leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safety {
    /// Requests for moving keys wait until nothing is under way at the old node.
    pub fence: bool,
    /// A node that was left out is purged before it may serve again.
    pub cleanse: bool,
    /// Nodes of a cache delete the keys that they give away.
    pub purge: bool,
    /// A topology in which keys move has a table of its own for what has arrived.
    pub own_marks: bool,
    /// The mover's own.
    pub mover: mover::Safety,
}

impl Default for Safety {
    fn default() -> Self {
        Self { fence: true, cleanse: true, purge: true, own_marks: true, mover: mover::Safety::default() }
    }
}

/// What a driver works with.
#[derive(Debug)]
pub struct Tools {
    /// The workers.
    pub fleet: Arc<Fleet>,
    /// The options.
    pub live: Arc<Live>,
    /// What copies keys.
    pub mover: Mover,
    /// The state file; `None`: there is no state directory, and no change is taken.
    pub store: Option<Store>,
    /// What keeps locks: it must know the nodes.
    pub locks: lock::Front,
    /// For tests that must fail.
    pub safety: Safety,
}

/// A FLUSHALL or FLUSHDB that waits for its turn.
type Flush = Ask;

/// The driver of one pool.
#[derive(Debug)]
pub struct Driver {
    tools: Tools,
    kept: Mutex<Kept>,
    report: Mutex<Report>,
    /// Something for the driver to look at.
    called: Notify,
    flushes: Mutex<VecDeque<Flush>>,
    /// The rate of the next change, if the operator has set one.
    rate: Mutex<Option<u64>>,
    /// What reads the configuration again.
    reload: OnceLock<Weak<Reload>>,
    abort: AtomicBool,
    resume: AtomicBool,
    /// A target has restarted: what workers know of brought keys is to be forgotten.
    restarted: AtomicBool,
    epoch: AtomicU64,
    totals: Mutex<Totals>,
    begun: Mutex<Instant>,
    /// The table of all topologies where they have none of their own; see [`Safety::own_marks`].
    first_marks: OnceLock<Arc<Arrived>>,
}

/// What the driver alone changes.
#[derive(Debug)]
struct Kept {
    state: State,
    seats: Seats,
    /// What was moved before this change, or before the last one.
    before: Totals,
    /// Nodes that are left out, answer, and have nothing any more, by name.
    clean: HashSet<String>,
    /// Nodes of which it was told that they stay though they are down.
    spared: Vec<String>,
}

/// What a pool begins with: its state, and the topology that belongs to it.
#[derive(Debug)]
pub struct Start {
    /// The state.
    pub state: State,
    seats: Seats,
    /// The first topology.
    pub topology: Arc<Topology>,
}

impl Start {
    /// What belongs to `state`.
    ///
    /// # Errors
    /// Its nodes make no ring; why.
    pub fn of(mut state: State) -> Result<Self, String> {
        let mut seats = Seats::default();
        // Whatever was published before the end is older.
        state.epoch += 1;
        let epoch = Epoch(state.epoch);
        let topology = match &state.change {
            None => seats.topology(state.cast(), &state.scheme, epoch),
            Some(change) => seats.course(state.cast(), change.cast(), &state.scheme).and_then(|course| {
                if leg::is_over(change) {
                    let cast = if change.back { state.cast() } else { change.cast() };
                    return seats.topology(cast, &state.scheme, epoch);
                }
                Ok(leg::topology(&course, change, epoch))
            }),
        };
        let topology = topology.map_err(|error| error.to_string())?;
        Ok(Self { state, seats, topology: Arc::new(marked(topology, table)) })
    }
}

impl Driver {
    /// A driver that begins with `start`; its first topology is published already.
    #[must_use]
    pub fn new(tools: Tools, start: Start) -> Self {
        let Start { state, seats, topology } = start;
        let report = Report { epoch: topology.epoch.0, ..Report::default() };
        tools.mover.mark_in(arrived(&topology));
        Self {
            tools,
            epoch: AtomicU64::new(topology.epoch.0),
            kept: Mutex::new(Kept {
                state,
                seats,
                before: Totals::default(),
                clean: HashSet::new(),
                spared: Vec::new(),
            }),
            report: Mutex::new(report),
            called: Notify::new(),
            flushes: Mutex::default(),
            rate: Mutex::default(),
            reload: OnceLock::new(),
            abort: AtomicBool::new(false),
            resume: AtomicBool::new(false),
            restarted: AtomicBool::new(false),
            totals: Mutex::default(),
            begun: Mutex::new(Instant::now()),
            first_marks: OnceLock::new(),
        }
    }

    /// CIRCLET RELOAD is for `reload` from now on.
    pub fn reload_by(&self, reload: Weak<Reload>) {
        // The first one stays: there is one per process.
        let _ = self.reload.set(reload);
    }

    /// Answers workers until the process ends.
    pub async fn serve(self: Arc<Self>, mut inbox: Inbox) {
        let _bringing = self.tools.mover.beside(Arc::clone(&self).bring_all(inbox.wanted));
        while let Some(ask) = inbox.asks.recv().await {
            match ask {
                Ask::Bring(wanted) => drop(tokio::spawn(Arc::clone(&self).bring_one(wanted))),
                Ask::Flush { .. } => {
                    held(&self.flushes).push_back(ask);
                    self.called.notify_one();
                }
                Ask::Command { words, resp3, asker } => {
                    let driver = Arc::clone(&self);
                    tokio::spawn(async move {
                        let text = driver.order(&words, resp3).await;
                        driver.tools.fleet.tell(asker.worker, Message::Answer { to: asker, text });
                    });
                }
                // The desk has another queue for these.
                Ask::Lock(_) | Ask::LockUnblock { .. } | Ask::LockGone(_) => {}
            }
        }
    }

    /// Brings what workers want: on the mover's thread, since clients wait and every change of threads takes time.
    async fn bring_all(self: Arc<Self>, mut wanted: UnboundedReceiver<Wanted>) {
        while let Some(wanted) = wanted.recv().await {
            tokio::spawn(Arc::clone(&self).bring_one(wanted));
        }
    }

    async fn bring_one(self: Arc<Self>, wanted: Wanted) {
        let result = self.bring(&wanted).await.map_err(|error| error.line());
        self.tools.fleet.tell(wanted.worker, Message::Brought { ticket: wanted.ticket, result });
    }

    /// Brings keys to their new nodes. Behind a restart the part may move already while its nodes are still being asked; that
    /// is waited for.
    async fn bring(&self, wanted: &Wanted) -> Result<(), MoveError> {
        let until = Instant::now() + self.tools.live.pipe().request_timeout;
        loop {
            let result = self.tools.mover.pull(wanted.db, &wanted.keys).await;
            let early = result == Err(MoveError::NotOpen) && self.epoch.load(SeqCst) == wanted.epoch.0;
            if !early || Instant::now() >= until {
                return result;
            }
            tokio::time::sleep(AGAIN / 10).await;
        }
    }

    /// Does what is to be done until the process ends.
    pub async fn work(self: Arc<Self>) {
        self.tell_locks();
        self.follow_up();
        let config = self.tools.live.see(Config::clone);
        if let Err(why) = self.follow(&config).await {
            tracing::error!(%why, "the nodes of the configuration cannot be followed; those of the state directory are served");
            self.trouble(&why);
        }
        loop {
            self.flush_now().await;
            if self.kept().state.change.is_some() {
                self.carry_out().await;
            } else if !self.begin_out().await && !self.begin_next().await {
                self.pay_idly().await;
            }
        }
    }

    /// What the mover has noticed.
    pub fn noticed(&self, event: Event) {
        let Event::Restarted { node } = event;
        // Of a cache nothing is moved that could be lost on the way.
        if self.kept().state.change.as_ref().is_none_or(|change| !change.copies) {
            return;
        }
        let topology = self.tools.fleet.topology();
        let Some(node) = topology.nodes.get(node.index()) else { return };
        let text = "DATA_LOSS_POSSIBLE: another process answers than when the move began; what it had acknowledged and \
                    not written to disk is gone";
        self.note(Kind::DataLoss, &node.name, text);
        tracing::warn!(node = %node.name, address = %node.address, "DATA_LOSS_POSSIBLE: node has restarted while keys move");
        self.restarted.store(true, SeqCst);
        self.called.notify_one();
    }

    /// How far the change is.
    #[must_use]
    pub fn report(&self) -> Report {
        let (progress, totals) = (self.tools.mover.progress(), self.totals());
        let kept = self.kept();
        let mut report = held(&self.report).clone();
        report.epoch = self.epoch.load(SeqCst);
        report.rate = self.tools.mover.pace().rate().0;
        report.queued = kept.state.queue.len() as u64;
        let topology = self.tools.fleet.topology();
        let out = topology.nodes.iter().filter(|node| node.out).map(|node| node.name.as_str());
        report.out = out.collect::<Vec<_>>().join(",");
        report.owing = kept.state.purges.len() as u64;
        if report.state == Doing::Idle && (report.queued > 0 || kept.state.change.is_some()) {
            // It was taken on just now.
            report.state = Doing::Fence;
        }
        report.keys_moved = totals.keys.saturating_sub(kept.before.keys);
        report.bytes_moved = totals.bytes.saturating_sub(kept.before.bytes);
        report.keys_purged = totals.purged.saturating_sub(kept.before.purged);
        if let Some(change) = &kept.state.change {
            report.change = change.id;
            report.what.clone_from(&change.text);
            report.back = change.back;
            report.part = change.part + 1;
            report.parts = change.parts;
            let (keys, bytes) = (progress.keys.load(SeqCst), progress.bytes.load(SeqCst));
            report.keys_left = progress.left();
            report.bytes_left = bytes.checked_div(keys).unwrap_or(0) * report.keys_left;
            let seconds = held(&self.begun).elapsed().as_secs_f64();
            report.speed = if seconds > 0.0 { (keys as f64 / seconds) as u64 } else { 0 };
            report.seconds_left =
                report.keys_left.checked_div(report.speed).and_then(|left| i64::try_from(left).ok()).unwrap_or(-1);
            if change.paused && report.state == Doing::Moving {
                report.state = Doing::Paused;
            }
        }
        // Work that was given up may not have noticed yet: where none is under way, nothing is waited for.
        if report.state != Doing::Idle
            && let Some(trouble) = progress.trouble()
        {
            report.last_error = trouble;
        }
        report
    }

    /// How many keys the nodes have in this db beyond the clients'.
    #[must_use]
    pub fn surplus(&self, db: u32) -> u64 {
        self.tools.mover.surplus(self.tools.fleet.topology().members(), db)
    }

    /// What was moved since the process began.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let (mut totals, progress) = (held(&self.totals).clone(), self.tools.mover.progress());
        totals.keys += progress.keys.load(SeqCst);
        totals.bytes += progress.bytes.load(SeqCst);
        totals.purged += progress.purged.load(SeqCst);
        totals
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        held(&self.kept)
    }

    fn note(&self, kind: Kind, node: &str, text: &str) {
        self.tools.fleet.journal().chronicle().note(now_ms(), kind, node, text);
    }

    fn doing(&self, doing: Doing) {
        held(&self.report).state = doing;
    }

    /// Something went wrong, or is over (an empty text).
    fn trouble(&self, text: &str) {
        let mut report = held(&self.report);
        if report.last_error != text {
            text.clone_into(&mut report.last_error);
            drop(report);
            if !text.is_empty() {
                tracing::warn!(why = %text, "keys are not moved");
                self.note(Kind::Change, "", text);
            }
        }
    }

    /// Keeps what `change` makes of the state; returns when it is on disk. A disk that cannot be written is waited for: nothing
    /// may be published that a restart would not know.
    async fn save(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.kept().state);
        loop {
            let saved = {
                let mut kept = self.kept();
                kept.state.epoch = self.epoch.load(SeqCst) + 2;
                self.tools.store.as_ref().map_or(Ok(()), |store| store.save(&kept.state))
            };
            match saved {
                Ok(()) => return self.tell_locks(),
                Err(error) => self.trouble(&error.to_string()),
            }
            tokio::time::sleep(AGAIN * 5).await;
        }
    }

    /// Locks lie on the nodes afterwards as soon as the disk knows of these, whether they can be reached or not: a lock that moved
    /// with a node's health would have two majorities.
    fn tell_locks(&self) {
        let kept = self.kept();
        let members = match &kept.state.change {
            Some(change) if !change.back => &change.next,
            _ => &kept.state.members,
        };
        self.tools.locks.want(members.iter().map(Member::node).collect());
    }

    /// Keeps what `look` makes of the change that is under way, as [`Driver::save`] does.
    async fn save_change(&self, look: impl FnOnce(&mut Change)) {
        self.save(|state| {
            if let Some(change) = &mut state.change {
                look(change);
            }
        })
        .await;
    }

    /// Publishes what `topology` makes of the next epoch; returns when every worker has acknowledged it.
    async fn publish(&self, topology: impl FnOnce(&mut Kept, Epoch) -> Topology) {
        let epoch = Epoch(self.epoch.fetch_add(1, SeqCst) + 1);
        let topology = topology(&mut self.kept(), epoch);
        let first = || Arc::clone(self.first_marks.get_or_init(table));
        let topology = if self.tools.safety.own_marks { marked(topology, table) } else { marked(topology, first) };
        self.tools.mover.mark_in(arrived(&topology));
        self.tools.fleet.publish_topology(Arc::new(topology));
        self.tools.fleet.barrier(epoch).await;
    }
}

/// `topology` with a table for what arrives by it, if keys move.
fn marked(topology: Topology, table: impl FnOnce() -> Arc<Arrived>) -> Topology {
    let moves = topology.change.as_deref().is_some_and(|change| change.phase == Phase::Moving);
    if moves { topology.marked_in(table()) } else { topology }
}

/// A table that nobody has had before.
fn table() -> Arc<Arrived> {
    Arc::new(Arrived::new([RandomState::new(), RandomState::new()]))
}

/// The table of `topology`.
fn arrived(topology: &Topology) -> Arc<Arrived> {
    topology.change.as_deref().map(|change| Arc::clone(&change.arrived)).unwrap_or_default()
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
