//! From a checked configuration to a running Circlet, and back.
//!
//! ```text
//!  Config ──► Doors::open ──► start ──► Running ──► drain
//!             state lock      ring       accepts     doors closed, answers given,
//!             ports bound     workers    serves      sessions ended or cut off
//! ```
//!
//! The doors are opened first and on their own, so that a taken port is known before anything else is started; clients
//! that come in between wait in the kernel's backlog. Io.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::task::{JoinHandle, JoinSet};

use super::{
    admin::{self, Access, Views},
    listen::{self, BindError, Door},
    live::Live,
    now_ms,
    probe::{self, Board, Known},
    status::{self, Status},
    telemetry::{Limits, Telemetry, View},
    trim,
};
use crate::{
    config::Config,
    traffic::{
        client::Refused,
        command::Table,
        observe::chronicle::Kind,
        options::Options,
        route::{Address, Epoch, Topology},
        worker::{Fleet, Snapshot},
    },
};

/// Why Circlet did not start. Its Display is one line with the cure.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on; the option that gave it, `listen` or `admin`.
    Bind(&'static str, BindError),
    /// The state directory cannot be used, or is another Circlet's.
    State(String),
    /// The nodes make no ring.
    Ring(String),
    /// The system refused something else.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(option, error) => write!(f, "{option}: {error}"),
            Self::State(text) => f.write_str(text),
            Self::Ring(text) => write!(f, "the nodes make no ring: {text}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Everything that another process could have taken: bound addresses and the locked state directory.
#[derive(Debug)]
pub struct Doors {
    clients: Vec<Door>,
    admin: Option<(std::net::TcpListener, SocketAddr)>,
    state: Option<std::fs::File>,
}

impl Doors {
    /// Locks the state directory and binds every address. On an error nothing stays bound.
    ///
    /// # Errors
    /// The first thing that could not be had.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let state = config.open_state().map_err(StartError::State)?;
        if let (Some(lock), Some(dir)) = (&state, &config.state)
            && let Err(error) = lock.try_lock()
        {
            let dir = dir.display();
            return Err(StartError::State(match error {
                std::fs::TryLockError::WouldBlock => format!(
                    "state directory {dir} is in use by another Circlet; stop that one or give another directory"
                ),
                std::fs::TryLockError::Error(error) => format!("state directory {dir} cannot be locked: {error}"),
            }));
        }
        let mut clients = Vec::new();
        for address in &config.listen {
            clients
                .extend(listen::bind(address, config.socket_mode).map_err(|error| StartError::Bind("listen", error))?);
        }
        let admin = match &config.admin {
            Some(Address::Tcp { host, port }) => Some(admin_door(host, *port)?),
            Some(Address::Unix(_)) | None => None,
        };
        Ok(Self { clients, admin, state })
    }

    /// Where the admin's HTTP is served.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }
}

fn admin_door(host: &str, port: u16) -> Result<(std::net::TcpListener, SocketAddr), StartError> {
    let listener = listen::bind_tcp(host, port).map_err(|error| StartError::Bind("admin", error))?;
    let address = listener.local_addr().map_err(|error| StartError::System("the admin address", error))?;
    Ok((listener, address))
}

/// A Circlet that serves.
#[derive(Debug)]
pub struct Running {
    fleet: Arc<Fleet>,
    accepting: Vec<JoinHandle<()>>,
    /// Probe and admin; they end when this is dropped.
    background: JoinSet<()>,
    draining: Arc<AtomicBool>,
    /// Held until the end.
    _state: Option<std::fs::File>,
}

/// Starts workers, accepts clients, watches the nodes and serves the admin address. Must be called in a runtime.
///
/// # Errors
/// If the ring cannot be built or a thread not be started.
pub fn start(config: &Config, doors: Doors) -> Result<Running, StartError> {
    let topology = Arc::new(topology(config)?);
    let nodes = topology.nodes.len();
    let known = Known::new(Arc::new(Table::builtin()), nodes);
    let snapshot = Snapshot { topology: Arc::clone(&topology), table: known.table(), facts: known.facts() };
    let live = Arc::new(Live::new(config.clone()));
    let fleet = Fleet::start(Arc::new(config.traffic.clone()), snapshot, Arc::clone(&live) as Arc<dyn Options>)
        .map_err(|error| StartError::System("the workers cannot be started", error))?;
    let fleet = Arc::new(fleet);
    live.note_in(Arc::clone(fleet.journal()));
    let board = Arc::new(Board::new(nodes, Arc::clone(fleet.journal()), config.node_info));
    let draining = Arc::new(AtomicBool::new(false));
    let status =
        Arc::new(Status::new(Arc::clone(&fleet), Arc::clone(&board), Arc::clone(&live), Arc::clone(&draining)));
    let mut background = JoinSet::new();
    background.spawn(trim::run(Arc::clone(&fleet)));
    let pipe_settings = Arc::clone(&live);
    background.spawn(probe::run(
        Arc::clone(&topology),
        Arc::new(move || pipe_settings.pipe()),
        board,
        known,
        publisher(&fleet, &topology),
    ));
    let Doors { clients, admin, state } = doors;
    let accept_failures = Arc::new(AtomicU64::new(0));
    if let Some((listener, address)) = admin {
        background.spawn(status::run(Arc::clone(&status)));
        let (views, access) = (views(&fleet, &status, live, Arc::clone(&accept_failures)), Access::of(config));
        background.spawn(async move {
            if let Err(error) = admin::serve(listener, views, access).await {
                tracing::error!(%address, why = %error, "the admin address is not served");
            }
        });
        tracing::info!(%address, "status page, metrics and health over HTTP");
    }
    let accept = |door| spawn_accept(door, Arc::clone(&fleet), Arc::clone(&accept_failures));
    let accepting = clients.into_iter().map(accept).collect();
    Ok(Running { fleet, accepting, background, draining, _state: state })
}

fn topology(config: &Config) -> Result<Topology, StartError> {
    let ring = config.ring().map_err(|error| StartError::Ring(error.to_string()))?;
    Ok(Topology { epoch: Epoch(1), nodes: config.nodes.clone(), ring })
}

fn publisher(
    fleet: &Arc<Fleet>,
    topology: &Arc<Topology>,
) -> impl Fn(Arc<Table>, crate::traffic::worker::Facts) + Send + 'static {
    let (fleet, topology) = (Arc::clone(fleet), Arc::clone(topology));
    move |table, facts| fleet.publish(&Snapshot { topology: Arc::clone(&topology), table, facts })
}

fn spawn_accept(door: Door, fleet: Arc<Fleet>, failures: Arc<AtomicU64>) -> JoinHandle<()> {
    let name = door.name().to_owned();
    tracing::info!(address = %name, "serving clients");
    tokio::spawn(async move {
        if let Err(error) = listen::accept(door, &failures, move |stream, local| fleet.hand_over(stream, local)).await {
            tracing::error!(address = %name, why = %error, "clients are not accepted");
        }
    })
}

/// What the admin address shows.
fn views(fleet: &Arc<Fleet>, status: &Arc<Status>, live: Arc<Live>, accept_failures: Arc<AtomicU64>) -> Views {
    let telemetry = Telemetry::new(SystemTime::now());
    let (fleet, journal) = (Arc::clone(fleet), Arc::clone(fleet.journal()));
    let metrics = move || render(&telemetry, &fleet, &live, accept_failures.load(Relaxed));
    let of = |text: fn(&Status) -> String| {
        let status = Arc::clone(status);
        Box::new(move || text(&status)) as Box<dyn Fn() -> String + Send + Sync>
    };
    let ready = Arc::clone(status);
    Views {
        metrics: Box::new(metrics),
        ready: Box::new(move || ready.ready()),
        status: of(Status::status),
        ring: of(Status::ring),
        nodes: of(Status::nodes),
        refused: Box::new(move |text| journal.chronicle().count(now_ms(), Kind::Admin, text, 1)),
    }
}

/// The text of `/metrics`.
fn render(telemetry: &Telemetry, fleet: &Fleet, live: &Live, accept_failures: u64) -> String {
    let registry = fleet.registry();
    let slow = fleet.journal().slow().seen();
    telemetry.render(&View {
        topology: &fleet.topology(),
        workers: fleet.published(),
        commands: fleet.journal().commands(),
        sessions: fleet.sessions(),
        refused: Refused::ALL.map(|why| registry.refused(why)),
        accept_failures,
        slow,
        limits: Limits { sessions: registry.max_sessions() as u64, buffered: live.max_buffered() as u64 },
    })
}

impl Running {
    /// Nodes and ring that are served.
    #[must_use]
    pub fn topology(&self) -> Arc<Topology> {
        self.fleet.topology()
    }

    /// Clients connected now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.fleet.sessions()
    }

    /// Closes the doors, lets every request that was read be answered, and ends the sessions; gives how many had to be cut
    /// off after `limit`.
    pub async fn drain(&mut self, limit: Duration) -> usize {
        self.draining.store(true, Relaxed);
        let journal = self.fleet.journal();
        journal.chronicle().note(
            now_ms(),
            Kind::Stopping,
            "",
            "stopping: no new clients, what is in flight is answered",
        );
        for accepting in self.accepting.drain(..) {
            accepting.abort();
            // Awaited so that the socket is closed and its file removed; that it was cancelled is no news.
            let _ = accepting.await;
        }
        let cut = self.fleet.drain(limit).await;
        self.background.shutdown().await;
        cut
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn config(listen: u16, admin: u16) -> Config {
        let address = |port| Address::Tcp { host: "127.0.0.1".to_owned(), port };
        Config { listen: vec![address(listen)], admin: Some(address(admin)), ..Config::default() }
    }

    #[test]
    fn a_taken_port_names_the_option_that_gave_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let told = |config: &Config| Doors::open(config).unwrap_err().to_string();
        assert!(told(&config(port, 0)).starts_with(&format!("listen: cannot listen on 127.0.0.1:{port}: it is taken")));
        assert!(told(&config(0, port)).starts_with(&format!("admin: cannot listen on 127.0.0.1:{port}: it is taken")));
    }

    #[test]
    fn a_state_directory_lets_in_one_circlet_at_a_time() {
        let dir = std::env::temp_dir().join(format!("circlet-start-{}", std::process::id()));
        let config = Config { state: Some(dir.clone()), ..config(0, 0) };
        let first = Doors::open(&config).unwrap();
        assert!(first.admin_address().is_some());
        let error = Doors::open(&config).unwrap_err().to_string();
        assert!(error.contains("is in use by another Circlet"), "{error}");
        drop(first);
        assert!(Doors::open(&config).is_ok());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
