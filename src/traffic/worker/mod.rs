//! The workers: one thread each, and the only way in.
//!
//! ```text
//!  accept ── hand_over ──►┐                 ┌► thread 0: runtime ─ shell ─ core
//!  drain, CLIENT KILL ────┤ bounded mailbox ┤
//!                         └─────────────────┴► thread 1: …
//!  control ── publish ────► newest snapshot ──► every thread ── acknowledged epoch ──► barrier
//! ```
//! [`Fleet`] starts the threads and sends them letters; a worker answers only through its [`Published`] numbers, and by
//! acknowledging the topologies that it plans with. A new session goes to the worker with the fewest. [`shell`] moves bytes
//! between sockets and the [core](super::core).
//!
//! Of snapshots only the newest counts: a worker may skip one, never go back, and nothing piles up for one that is busy.
//! Whoever needs every worker to have seen a topology waits for it ([`Fleet::barrier`]) before it publishes the next. Io.

mod alarm;
mod client_io;
mod mailbox;
mod pipe_io;
mod shell;
pub mod socket;

use std::{
    io,
    io::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicU64, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

pub use mailbox::{Letter, Mailbox, Stream};

pub use super::core::{Facts, Snapshot};
use super::{
    client::{Refused, Registry},
    command::Table,
    control::Control,
    core::{Message, NewSettings},
    counters::Published,
    observe::Journal,
    options::Options,
    refusal::Refusal,
    route::{Epoch, Topology},
    scripts::Scripts,
    settings::Settings,
};

/// How often a drain looks whether everybody is gone.
const DRAIN_STEP: Duration = Duration::from_millis(10);

/// What the names of the workers' threads begin with, in front of the worker's index.
pub const THREAD: &str = "worker-";

/// What workers and whoever speaks to them share.
#[derive(Debug)]
pub struct Shared {
    /// Those of the start; each core knows which hold now.
    settings: Arc<Settings>,
    registry: Arc<Registry>,
    options: Arc<dyn Options>,
    control: Arc<dyn Control>,
    mailboxes: Vec<Mailbox>,
    /// What workers plan with: the newest.
    snapshot: watch::Sender<Snapshot>,
    /// The epoch of the topology that each worker has acknowledged; [`ENDED`] of one that is no more.
    acknowledged: Vec<AtomicU64>,
    /// Told of every change of `acknowledged`.
    acknowledging: Notify,
    /// Each worker's numbers, at most one tick old.
    published: Vec<Arc<Published>>,
    /// What they measure of commands.
    journal: Arc<Journal>,
    /// Texts of scripts.
    scripts: Arc<Scripts>,
    /// Sessions per worker, those still in the mailbox included.
    sessions: Vec<AtomicUsize>,
    /// When the process's clock was 0.
    zero: Instant,
}

impl Shared {
    /// The worker `index` plans with the topology of `epoch`, and with none before.
    fn acknowledge(&self, index: usize, epoch: u64) {
        self.acknowledged[index].store(epoch, Release);
        self.acknowledging.notify_waiters();
    }
}

/// Acknowledged by a worker that has ended: it plans nothing any more, whatever the epoch.
const ENDED: u64 = u64::MAX;

/// All workers.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Fleet {
    /// Starts the workers; their threads are numbered from `first_thread` on, so that several fleets of a process can be told
    /// apart. What they log stands in the present span.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made.
    pub fn start(
        settings: Arc<Settings>,
        snapshot: Snapshot,
        options: Arc<dyn Options>,
        control: Arc<dyn Control>,
        first_thread: usize,
    ) -> io::Result<Self> {
        let count = settings.workers.max(1);
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| mailbox::new()).unzip();
        let nodes = snapshot.topology.nodes.len();
        let journal = Arc::new(Journal::new(count, settings.slow.max_len));
        let scripts = Arc::new(Scripts::new(settings.max_scripts));
        let registry = Arc::new(Registry::default());
        registry.set_max_sessions(settings.session.max_sessions);
        let shared = Arc::new(Shared {
            settings,
            registry,
            options,
            control,
            mailboxes,
            acknowledged: (0..count).map(|_| AtomicU64::new(snapshot.topology.epoch.0)).collect(),
            acknowledging: Notify::new(),
            snapshot: watch::Sender::new(snapshot),
            journal,
            scripts,
            published: (0..count).map(|_| Arc::new(Published::new(nodes))).collect(),
            sessions: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            zero: Instant::now(),
        });
        let mut threads = Vec::new();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let (shared, span) = (Arc::clone(&shared), tracing::Span::current());
            // A local runtime is made in the thread that it belongs to; whether it could be made is told here.
            let (ready, started) = std::sync::mpsc::sync_channel(1);
            let run = move || match shell::runtime() {
                Ok(runtime) => {
                    drop(ready.send(Ok(())));
                    span.in_scope(|| shell::run(&runtime, index, &shared, inbox));
                    shared.acknowledge(index, ENDED);
                }
                Err(error) => drop(ready.send(Err(error))),
            };
            let name = format!("{THREAD}{}", first_thread + index);
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
            started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker's thread ended at once")))?;
        }
        Ok(Self { shared, threads: Mutex::new(threads) })
    }

    /// Gives a new connection to the worker with the fewest sessions; `local` is the listener's address. Too many
    /// sessions: it gets Redis's own error and is closed.
    pub fn hand_over(&self, stream: Stream, local: String) {
        let counts = self.shared.sessions.iter().map(|count| count.load(Relaxed));
        let total: usize = counts.clone().sum();
        let fewest = counts.enumerate().min_by_key(|(_, count)| *count).map_or(0, |(worker, _)| worker);
        let refused = if total >= self.shared.registry.max_sessions() {
            Some((stream, Refused::MaxSessions))
        } else {
            self.shared.sessions[fewest].fetch_add(1, Relaxed);
            match self.shared.mailboxes[fewest].send(Letter::Client { stream, local }) {
                Ok(()) => None,
                Err(letter) => {
                    self.shared.sessions[fewest].fetch_sub(1, Relaxed);
                    letter.into_stream().map(|stream| (stream, Refused::Busy))
                }
            }
        };
        if let Some((stream, why)) = refused {
            self.shared.registry.refuse(why);
            refuse(stream);
        }
    }

    /// Every worker plans with `topology` as soon as it looks; its epoch is above all before. Slots may have been added, and
    /// nodes have left theirs; none has another node than before.
    pub fn publish_topology(&self, topology: Arc<Topology>) {
        self.shared.snapshot.send_modify(|snapshot| {
            debug_assert!(
                topology.epoch > snapshot.topology.epoch && topology.nodes.len() >= snapshot.topology.nodes.len()
            );
            snapshot.topology = topology;
        });
    }

    /// Every worker plans with these commands and facts as soon as it looks.
    pub fn publish_facts(&self, table: Arc<Table>, facts: Facts) {
        self.shared.snapshot.send_modify(|snapshot| (snapshot.table, snapshot.facts) = (table, facts));
    }

    /// Every worker goes by `settings`, unless it has newer ones. Must be called in a runtime.
    pub fn set_settings(&self, settings: &Arc<Settings>) {
        for mailbox in &self.shared.mailboxes {
            let letter = Letter::Message(Message::Settings(NewSettings(Arc::clone(settings))));
            if let Err(letter) = mailbox.send(letter) {
                // Full of new sessions: it goes in as soon as there is room. (Or the worker is gone, and needs none.)
                let mailbox = mailbox.clone();
                tokio::spawn(async move { mailbox.send_surely(letter).await });
            }
        }
    }

    /// What was published last, and what will be.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.shared.snapshot.subscribe()
    }

    /// The newest epoch that every worker has acknowledged: none plans with a topology before it.
    #[must_use]
    pub fn acknowledged(&self) -> Epoch {
        let epochs = self.shared.acknowledged.iter().map(|epoch| epoch.load(Acquire));
        Epoch(epochs.min().unwrap_or(ENDED))
    }

    /// Waits until every worker has acknowledged `epoch`. Cancel-safe: it only looks.
    pub async fn barrier(&self, epoch: Epoch) {
        loop {
            // Enlisted before the look, so that no change is missed between the look and the wait.
            let mut changed = std::pin::pin!(self.shared.acknowledging.notified());
            changed.as_mut().enable();
            if self.acknowledged() >= epoch {
                return;
            }
            changed.await;
        }
    }

    /// Tells a worker something, when its mailbox is full as soon as there is room. Must be called in a runtime.
    pub fn tell(&self, worker: usize, message: Message) {
        let Some(mailbox) = self.shared.mailboxes.get(worker) else { return };
        if let Err(letter) = mailbox.send(Letter::Message(message)) {
            let mailbox = mailbox.clone();
            tokio::spawn(async move { mailbox.send_surely(letter).await });
        }
    }

    /// Each worker's numbers, at most one tick old.
    #[must_use]
    pub fn published(&self) -> &[Arc<Published>] {
        &self.shared.published
    }

    /// What the workers measure of commands.
    #[must_use]
    pub fn journal(&self) -> &Arc<Journal> {
        &self.shared.journal
    }

    /// Sessions of all workers.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.sessions.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Connections refused, for any reason.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.registry.all_refused()
    }

    /// Every session of the process, and connections that became none.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// The nodes and the ring, as they were published last.
    #[must_use]
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.shared.snapshot.borrow().topology)
    }

    /// Answers what is in flight, ends every session and the workers. Returns how many sessions had to be cut off
    /// because `limit` was over.
    pub async fn drain(&self, limit: Duration) -> usize {
        for mailbox in &self.shared.mailboxes {
            mailbox.send_surely(Letter::Drain).await;
        }
        let until = Instant::now() + limit;
        while self.sessions() > 0 && Instant::now() < until {
            tokio::time::sleep(DRAIN_STEP).await;
        }
        let cut_off = self.sessions();
        for mailbox in &self.shared.mailboxes {
            mailbox.send_surely(Letter::Stop).await;
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        drop(joined.await);
        cut_off
    }
}

/// Tells a connection that there are too many, and closes it.
fn refuse(stream: Stream) {
    let mut text = Vec::new();
    Refusal::MaxClients.write(&mut text);
    // It is non-blocking and fresh: the line fits its empty buffer, or the client is gone already.
    let _ = match stream {
        Stream::Tcp(mut stream) => stream.write(&text),
        Stream::Unix(mut stream) => stream.write(&text),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{
        control::NoControl,
        options::NoOptions,
        route::{Address, Node, Ring},
    };

    fn topology(epoch: u64) -> Arc<Topology> {
        // Nobody listens there; that is of no concern here.
        let node = Node::new("a", Address::Unix("/nowhere/redis.sock".into()));
        Arc::new(Topology::new(vec![node], Ring::build(&[("a", 1.0)], 16).unwrap(), Epoch(epoch)))
    }

    #[tokio::test]
    async fn every_worker_acknowledges_what_is_published_until_it_ends() {
        let settings = Arc::new(Settings { workers: 3, ..Settings::default() });
        let table = Arc::new(Table::builtin());
        let snapshot = Snapshot { topology: topology(1), table: Arc::clone(&table), facts: Facts::default() };
        let fleet = Fleet::start(settings, snapshot, Arc::new(NoOptions), Arc::new(NoControl), 0).unwrap();
        fleet.barrier(Epoch(1)).await;
        for epoch in 2..100 {
            fleet.publish_topology(topology(epoch));
            fleet.publish_facts(Arc::clone(&table), Facts::default());
            fleet.barrier(Epoch(epoch)).await;
            assert_eq!((fleet.acknowledged(), fleet.topology().epoch), (Epoch(epoch), Epoch(epoch)));
        }
        fleet.drain(Duration::ZERO).await;
        fleet.barrier(Epoch(1_000)).await;
    }
}
