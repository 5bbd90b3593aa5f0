//! The workers: one thread each, and the only way in.
//!
//! ```text
//!  accept ── hand_over ──►┐                 ┌► thread 0: runtime ─ shell ─ core
//!  control ── publish ────┤ bounded mailbox ┤
//!  drain, CLIENT KILL ────┘                 └► thread 1: …
//! ```
//! [`Fleet`] starts the threads and sends them letters; a worker answers only through its [`Published`] numbers. A new
//! session goes to the worker with the fewest. [`shell`] moves bytes between sockets and the [core](super::core). Io.

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
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use mailbox::{Letter, Mailbox, Stream};

pub use super::core::{Facts, Snapshot};
use super::{
    client::{Refused, Registry},
    counters::Published,
    observe::Journal,
    options::Options,
    refusal::Refusal,
    route::Topology,
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
    mailboxes: Vec<Mailbox>,
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

/// All workers.
#[derive(Debug)]
pub struct Fleet {
    shared: Arc<Shared>,
    topology: Arc<Topology>,
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
            mailboxes,
            journal,
            scripts,
            published: (0..count).map(|_| Arc::new(Published::new(nodes))).collect(),
            sessions: (0..count).map(|_| AtomicUsize::new(0)).collect(),
            zero: Instant::now(),
        });
        let mut threads = Vec::new();
        for (index, inbox) in inboxes.into_iter().enumerate() {
            let (shared, snapshot, span) = (Arc::clone(&shared), snapshot.clone(), tracing::Span::current());
            // A local runtime is made in the thread that it belongs to; whether it could be made is told here.
            let (ready, started) = std::sync::mpsc::sync_channel(1);
            let run = move || match shell::runtime() {
                Ok(runtime) => {
                    drop(ready.send(Ok(())));
                    span.in_scope(|| shell::run(&runtime, index, &shared, snapshot, inbox));
                }
                Err(error) => drop(ready.send(Err(error))),
            };
            let name = format!("{THREAD}{}", first_thread + index);
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
            started.recv().unwrap_or_else(|_| Err(io::Error::other("the worker's thread ended at once")))?;
        }
        let topology = snapshot.topology;
        Ok(Self { shared, topology, threads: Mutex::new(threads) })
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

    /// Gives every worker a new snapshot, with the same nodes. Must be called in a runtime.
    pub fn publish(&self, snapshot: &Snapshot) {
        for mailbox in &self.shared.mailboxes {
            if let Err(letter) = mailbox.send(Letter::Snapshot(Box::new(snapshot.clone()))) {
                // Full of new sessions: it goes in as soon as there is room. (Or the worker is gone, and needs none.)
                let mailbox = mailbox.clone();
                tokio::spawn(async move { mailbox.send_surely(letter).await });
            }
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

    /// The nodes and the ring.
    #[must_use]
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology)
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
