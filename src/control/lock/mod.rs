//! Locks: Redlock over the nodes, done by Circlet (locks.md in short).
//!
//! ```text
//!  worker ── Ask::Lock ──► shell ── Input ──► keeper (pure) ── Output ──► shell ──► lines to the nodes, state file, workers
//!                            ▲                                              │
//!                            └── answers of the nodes, time, what is saved ─┘
//! ```
//! One thread with its own connections for all workers, as the mover has: the order in which sessions wait for a lock, what
//! is held and how long is then known in one place, and a change of the nodes is seen by everybody at once. The rules are
//! in [`keeper`], which decides everything and touches nothing; the shell does what it says.

mod begin;
mod clock;
mod front;
pub mod keeper;
mod line;
mod listen;
mod news;
pub mod note;
pub mod outcome;
pub mod reply;
pub mod script;
mod shell;
pub mod state;
pub mod store;
mod totals;
mod wire;

use std::{
    fs::File,
    io::{self, Read as _},
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    thread,
};

use tokio::sync::oneshot;
use tracing::Span;

use super::live::Live;
use crate::{
    config::Config,
    traffic::{core::Message, lock::LockAsk, refusal::Refusal, worker::Fleet},
};
pub use front::{Front, Inbox, queue};
use keeper::{Input, Keeper, Limits, Rules};
use line::Common;
use outcome::Outcome;
use shell::{Disk, Shell};
use store::{Found, Store, StoreError};
pub use totals::Totals;

/// Rules that may be switched off to see that the checker misses them. No option of the configuration leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Safety {
    /// What a connection that broke had queued is dead before its node is asked for anything.
    pub kills: bool,
    /// The keeper's own.
    pub keeper: keeper::Safety,
}

impl Default for Safety {
    fn default() -> Self {
        Self { kills: true, keeper: keeper::Safety::default() }
    }
}

/// The file of a pool's locks, and what was found in it.
#[derive(Debug)]
pub struct Kept {
    store: Store,
    found: Option<Found>,
}

impl Kept {
    /// Opens the file of `pool` in the state directory of `config`; `None`: there are no locks without one, or none at all.
    ///
    /// # Errors
    /// It cannot be used; the cure.
    pub fn open(config: &Config, pool: Option<&str>) -> Result<Option<Self>, StoreError> {
        let dir: Option<&PathBuf> = config.state.as_ref().filter(|_| config.lock.nodes > 0);
        let Some(dir) = dir else { return Ok(None) };
        let (store, found) = Store::open(dir, pool)?;
        Ok(Some(Self { store, found }))
    }

    /// Nothing is known of the nodes, and fences go on above those of before: for whoever starts its own nodes each time.
    ///
    /// # Errors
    /// It could not be written.
    pub fn renew(self) -> Result<(), StoreError> {
        let Some(Found { basis, state }) = self.found else { return Ok(()) };
        let state = state::State { epoch: state.epoch + 1, ..state::State::default() };
        self.store.save(basis, &state)
    }
}

/// What keeps the locks of one pool; its thread ends with it.
#[derive(Debug)]
pub struct Locks {
    /// Dropped with the locks, which ends the thread.
    _end: oneshot::Sender<()>,
}

impl Locks {
    /// Starts the thread. Workers ask, and the driver says which nodes there are, through the other side of `inbox`.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn start(
        fleet: Arc<Fleet>,
        live: Arc<Live>,
        kept: Kept,
        safety: Safety,
        front: Front,
        inbox: Inbox,
    ) -> io::Result<Self> {
        let secret = secret()?;
        let (end, ended) = oneshot::channel::<()>();
        let span = Span::current();
        // A local runtime is made in the thread that it belongs to; whether it could be made is told here.
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let run = move || match shell::runtime() {
            Err(error) => drop(ready.send(Err(error))),
            Ok(runtime) => {
                drop(ready.send(Ok(())));
                let _in_pool = span.enter();
                runtime.block_on(async {
                    let shell = made(fleet, live, kept, safety, front, secret);
                    tokio::select! {
                        () = shell.run(inbox) => {}
                        // Err: the locks were dropped, as expected.
                        _ = ended => {}
                    }
                });
            }
        };
        thread::Builder::new().name("locks".to_owned()).spawn(run)?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of locks ended at once")))?;
        Ok(Self { _end: end })
    }
}

/// The shell, with the keeper that goes on from what was found.
fn made(fleet: Arc<Fleet>, live: Arc<Live>, kept: Kept, safety: Safety, front: Front, secret: [u8; 32]) -> Shell {
    let rules = live.see(|config| rules(config, safety));
    let (now, boot) = (clock::now(), clock::boot());
    let Kept { store, found } = kept;
    let begun = begin::begin(found, &rules, &boot, now);
    begun.news.iter().for_each(|news| tracing::warn!("{news}"));
    if begun.state.as_ref().is_none_or(|state| state.set.is_empty()) && !rules.bootstrap {
        tracing::info!(
            wait = %format!("{:.1} s", rules.quarantine().as_secs_f64()),
            "no node is known to locks yet: each counts this long after it was first seen, since nobody knows whether it has \
             forgotten a lock; --lock-bootstrap says that no Circlet has used them for locks before"
        );
    }
    let after = store::Basis { nodes: rules.nodes, max_ttl_ms: rules.max_ttl_ms() };
    let disk = Disk { store: Arc::new(store), basis: begun.basis, after, until: begun.until };
    let common = Common {
        front,
        live,
        book: line::Book::default(),
        left: Rc::default(),
        numbers: Rc::default(),
        kills: safety.kills,
    };
    Shell::new(Keeper::new(rules, begun.state, boot, secret, now), fleet, common, disk)
}

/// What nobody can guess: tokens come from it.
fn secret() -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(secret)
}

/// What of the options the keeper goes by.
fn rules(config: &Config, safety: Safety) -> Rules {
    Rules {
        nodes: config.lock.nodes,
        max_ttl: config.traffic.locks.max_ttl,
        bootstrap: config.lock.bootstrap,
        limits: limits(config),
        safety: safety.keeper,
    }
}

/// What of it may change while it goes by them.
fn limits(config: &Config) -> Limits {
    Limits {
        // A node's connection is given up no sooner than its vote.
        node_time: config.lock.node_timeout.min(config.traffic.pipe.request_timeout),
        max_waiters: config.lock.max_waiters,
        max_held: config.lock.max_held,
    }
}

/// Answers everybody that there are no locks, and why, until the process ends.
pub async fn refuse(fleet: Arc<Fleet>, off: bool, mut inbox: Inbox) {
    let why = "locks are switched off (lock.nodes is 0); set it to 3 and start Circlet anew";
    while let Some(event) = inbox.recv().await {
        if let front::Event::Input(Input::Ask(LockAsk { asker, form, resp3, .. })) = event {
            let mut text = Vec::new();
            if off {
                reply::write(&Outcome::Refused(why.to_owned()), &form, resp3, &mut text);
            } else {
                Refusal::NoLocks.write(&mut text);
            }
            fleet.tell(asker.worker, Message::Answer { to: asker, text });
        }
    }
}
