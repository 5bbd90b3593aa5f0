//! One pool's data plane and all that belongs to it alone: its workers, the probe of its nodes, its doors.
//!
//! ```text
//!  Pool ──► topology ──► Fleet (workers) ◄── hand_over ── accept ◄── Door
//!                          ▲   │    └──► Published, journal ──► status, telemetry
//!                          │   └── Desk ──► driver (nodes), Locks
//!                          └── publish ── probe ──► Board
//! ```
//! Planes share no state but the process's options (log, limit of open files), which [`Live`] keeps together. What a plane
//! logs stands in a span of its pool's name, where there are several. Io.

use std::{
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tracing::{Instrument as _, Span};

use super::{
    listen::{self, Door},
    live::Live,
    lock::{self, Locks},
    now_ms,
    probe::{self, Board, Known},
    rebalance::{
        desk::Desk,
        drive::{Driver, Safety, Start, Tools},
        mover::{self, Mover},
        state::{self, Store},
    },
    start::{Pool, StartError},
    status::Status,
    telemetry::{KeyCounts, Limits, Moves, View},
};
use crate::traffic::{
    client::Refused,
    command::Table,
    counters::Published,
    observe::chronicle::Kind,
    options::Options,
    route::Topology,
    worker::{Facts, Fleet, Snapshot},
};

/// How long the end waits for locks to be released.
const REST: Duration = Duration::from_millis(500);

/// A pool that is served.
#[derive(Debug)]
pub struct Plane {
    /// Its name, where there are several.
    name: Option<String>,
    fleet: Arc<Fleet>,
    status: Arc<Status>,
    live: Arc<Live>,
    /// Clients that could not be accepted at once.
    accept_failures: Arc<AtomicU64>,
    /// Workers of the pools before it.
    workers_before: usize,
    driver: Arc<Driver>,
    front: lock::Front,
    /// Its thread ends with it.
    _locks: Option<Locks>,
    span: Span,
}

/// In what a pool's log lines stand; shown by every filter that shows a line in it.
#[must_use]
pub fn span(name: Option<&str>) -> Span {
    name.map_or_else(Span::none, |name| tracing::error_span!("pool", %name))
}

impl Plane {
    /// Starts the workers of `pool` behind the `workers_before` of others, and watches its nodes in `background`. Must be
    /// called in a runtime.
    ///
    /// # Errors
    /// If the ring cannot be built or a thread not be started.
    pub fn start(
        pool: &Pool,
        live: Arc<Live>,
        workers_before: usize,
        draining: &Arc<AtomicBool>,
        background: &mut JoinSet<()>,
    ) -> Result<Self, StartError> {
        let (span, config) = (span(pool.name.as_deref()), &pool.config);
        let (store, start) = begin(pool)?;
        let known = Known::new(Arc::new(Table::builtin()));
        let topology = Arc::clone(&start.topology);
        let snapshot = Snapshot { topology, table: known.table(), facts: known.facts() };
        let (settings, options) = (Arc::new(config.traffic.clone()), Arc::clone(&live) as Arc<dyn Options>);
        let whom: Arc<OnceLock<Weak<Driver>>> = Arc::default();
        let kept = lock::Kept::open(config, pool.name.as_deref());
        let kept = kept.map_err(|error| StartError::State(error.to_string()))?;
        let (front, asked) = lock::queue();
        let (desk, inbox) = Desk::new(Arc::clone(&whom), front.clone());
        let started = span.in_scope(|| Fleet::start(settings, snapshot, options, Arc::new(desk), workers_before));
        let fleet = Arc::new(started.map_err(|error| StartError::System("the workers cannot be started", error))?);
        live.note_in(Arc::clone(fleet.journal()));
        let locks = match kept {
            Some(kept) => {
                let (fleet, live, front) = (Arc::clone(&fleet), Arc::clone(&live), front.clone());
                let started = span.in_scope(|| Locks::start(fleet, live, kept, pool.locks, front, asked));
                Some(
                    started
                        .map_err(|error| StartError::System("the thread that keeps locks cannot be started", error))?,
                )
            }
            None => {
                background.spawn(lock::refuse(Arc::clone(&fleet), config.lock.nodes == 0, asked));
                None
            }
        };
        let driver = drive(&fleet, &live, &whom, (store, start), front.clone(), pool.safety)?;
        background.spawn(Arc::clone(&driver).serve(inbox).instrument(span.clone()));
        background.spawn(Arc::clone(&driver).work().instrument(span.clone()));
        let judged = Arc::downgrade(&driver);
        let heard: probe::Heard = Box::new(move || {
            if let Some(driver) = judged.upgrade() {
                driver.look();
            }
        });
        let board = Arc::new(Board::new(Arc::clone(fleet.journal()), config.node_info, signs(&fleet), heard));
        let status = Arc::new(Status::new(
            Arc::clone(&fleet),
            Arc::clone(&board),
            Arc::clone(&live),
            Arc::clone(&driver),
            Arc::clone(draining),
        ));
        let pipe_settings = Arc::clone(&live);
        let probe =
            probe::run(fleet.snapshots(), Arc::new(move || pipe_settings.pipe()), board, known, publisher(&fleet));
        background.spawn(probe.instrument(span.clone()));
        let accept_failures = Arc::default();
        let name = pool.name.clone();
        Ok(Self { name, fleet, status, live, accept_failures, workers_before, driver, front, _locks: locks, span })
    }

    /// Its name, where there are several.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Waits until the locks of sessions that have ended are free, but not for long: nodes may be away.
    pub async fn rest(&self) {
        // Elapsed: their time will be over.
        let _ = timeout(REST, self.front.rest()).await;
    }

    /// Its workers.
    #[must_use]
    pub fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// Its options.
    #[must_use]
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// What changes its nodes.
    #[must_use]
    pub fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    /// What is shown of it.
    #[must_use]
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Accepts clients from `door` until the task is ended.
    pub fn accept(&self, door: Door) -> JoinHandle<()> {
        let (fleet, failures, name) =
            (Arc::clone(&self.fleet), Arc::clone(&self.accept_failures), door.name().to_owned());
        self.span.in_scope(|| tracing::info!(address = %name, "serving clients"));
        let accept = async move {
            let take = move |stream, local| fleet.hand_over(stream, local);
            if let Err(error) = listen::accept(door, &failures, take).await {
                tracing::error!(address = %name, why = %error, "clients are not accepted");
            }
        };
        tokio::spawn(accept.instrument(self.span.clone()))
    }

    /// Tells whoever looks that it is ending.
    pub fn note_stopping(&self) {
        let text = "stopping: no new clients, what is in flight is answered";
        self.fleet.journal().chronicle().note(now_ms(), Kind::Stopping, "", text);
    }

    /// What a scrape looks at; `topology` is that of its fleet.
    #[must_use]
    pub fn view<'a>(&'a self, topology: &'a Topology) -> View<'a> {
        let (registry, keys) = (self.fleet.registry(), self.fleet.journal().keys());
        let (report, totals) = (self.driver.report(), self.driver.totals());
        View {
            moves: Moves { doing: report.state, keys_left: report.keys_left, totals },
            locks: self.front.totals(),
            pool: self.name(),
            topology,
            standings: self.fleet.journal().census().standings(),
            workers: self.fleet.published(),
            first_thread: self.workers_before,
            commands: self.fleet.journal().commands(),
            sessions: self.fleet.sessions(),
            refused: Refused::ALL.map(|why| registry.refused(why)),
            accept_failures: self.accept_failures.load(Relaxed),
            slow: self.fleet.journal().slow().seen(),
            keys: KeyCounts { samples: keys.samples, big: keys.bigs },
            limits: Limits { sessions: registry.max_sessions() as u64, buffered: self.live.max_buffered() as u64 },
        }
    }
}

/// What the state directory says of a pool; without one, what its configuration says.
fn begin(pool: &Pool) -> Result<(Option<Store>, Start), StartError> {
    let config = &pool.config;
    let refused = |error: state::StateError| StartError::State(error.to_string());
    let (store, found) = match &config.state {
        Some(dir) => {
            let (store, found) = Store::open(dir, pool.name.as_deref(), config).map_err(refused)?;
            (Some(store), found)
        }
        None => (None, None),
    };
    let start = Start::of(state::begin(found, config).map_err(refused)?).map_err(StartError::Ring)?;
    if let Some(store) = &store {
        // Before anything is published.
        store.save(&start.state).map_err(refused)?;
    }
    Ok((store, start))
}

/// What changes the nodes of a pool.
fn drive(
    fleet: &Arc<Fleet>,
    live: &Arc<Live>,
    whom: &Arc<OnceLock<Weak<Driver>>>,
    (store, start): (Option<Store>, Start),
    locks: lock::Front,
    safety: Safety,
) -> Result<Arc<Driver>, StartError> {
    let told = Arc::clone(whom);
    let events = mover::Events::to(move |event| {
        if let Some(driver) = told.get().and_then(Weak::upgrade) {
            driver.noticed(event);
        }
    });
    let options = live.config();
    let settings = mover::Settings {
        big_key_bytes: options.rebalance.big_key_bytes as u64,
        keys_per_second: options.rebalance.rate as u64,
        bytes_per_second: options.rebalance.bytes_per_second as u64,
        safety: safety.mover,
        ..mover::Settings::default()
    };
    let mover = Mover::start(settings, events);
    let mover = mover.map_err(|error| StartError::System("the thread that moves keys cannot be started", error))?;
    let (fleet, live) = (Arc::clone(fleet), Arc::clone(live));
    let driver = Arc::new(Driver::new(Tools { fleet, live, mover, store, locks, safety }, start));
    // Set once, here.
    let _ = whom.set(Arc::downgrade(&driver));
    Ok(driver)
}

/// What workers suffer from nodes.
fn signs(fleet: &Arc<Fleet>) -> probe::Signs {
    let workers = fleet.published().to_vec();
    Box::new(move |id| {
        let failures = |worker: &Arc<Published>| worker.node(id.index()).map_or(0, |node| node.failures.load(Relaxed));
        workers.iter().map(failures).collect()
    })
}

fn publisher(fleet: &Arc<Fleet>) -> impl Fn(Arc<Table>, Facts) + Send + 'static {
    let fleet = Arc::clone(fleet);
    move |table, facts| fleet.publish_facts(table, facts)
}
