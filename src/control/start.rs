//! From checked configurations to a running Circlet, and back.
//!
//! ```text
//!  Pools ──► Doors::open ──► start ──► Running ──► drain
//!            state lock      planes    accepts     doors closed, answers given,
//!            ports bound     admin     serves      sessions ended or cut off
//! ```
//!
//! A process serves one pool, or the several of a twemproxy file: each has its own [`Plane`]; admin address, state directory,
//! log and the end are the process's, and come from the first pool's options. The doors are opened first and on their own, so
//! that every taken port is known before anything else is started; clients that come in between wait in the kernel's
//! backlog. Io.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::{JoinHandle, JoinSet};

use super::{
    admin::{self, Access},
    listen::{self, BindError, Door},
    live::Live,
    lock,
    plane::Plane,
    rebalance::drive::Safety,
    reload::{NotReloaded, Reload, Summary},
    source::Source,
    status, trim, views,
};
use crate::{
    config::Config,
    traffic::route::{Address, Topology},
};

/// A ring that is to be served.
#[derive(Clone, Debug)]
pub struct Pool {
    /// How it is told from others; `None` where there is one only.
    pub name: Option<String>,
    /// Its options.
    pub config: Config,
    /// For tests that must fail.
    pub safety: Safety,
    /// For tests of locks that must fail.
    pub locks: lock::Safety,
}

impl Pool {
    /// The only one of its process.
    #[must_use]
    pub fn only(config: Config) -> Self {
        Self { name: None, config, safety: Safety::default(), locks: lock::Safety::default() }
    }
}

/// Why Circlet did not start. Its Display is one line with the cure.
#[derive(Debug)]
pub enum StartError {
    /// An address cannot be listened on.
    Bind {
        /// The pool that it is of, where there are several.
        pool: Option<String>,
        /// The option that gave it, `listen` or `admin`.
        option: &'static str,
        /// Why.
        error: BindError,
    },
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
            Self::Bind { pool: Some(pool), option, error } => write!(f, "pool {pool}: {option}: {error}"),
            Self::Bind { pool: None, option, error } => write!(f, "{option}: {error}"),
            Self::State(text) => f.write_str(text),
            Self::Ring(text) => write!(f, "the nodes make no ring: {text}"),
            Self::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Everything that another process could have taken: bound addresses and the locked state directory.
#[derive(Debug, Default)]
pub struct Doors {
    /// Each pool's.
    clients: Vec<Vec<Door>>,
    admin: Option<(std::net::TcpListener, SocketAddr)>,
    state: Option<std::fs::File>,
}

impl Doors {
    /// Locks the state directory and binds every address. On an error nothing stays bound.
    ///
    /// # Errors
    /// Everything that could not be had.
    pub fn open(pools: &[Pool]) -> Result<Self, Vec<StartError>> {
        let (mut doors, mut errors) = (Self::default(), Vec::new());
        for Pool { name, config, .. } in pools {
            let mut own = Vec::new();
            for address in &config.listen {
                match listen::bind(address, config.socket_mode) {
                    Ok(bound) => own.extend(bound),
                    Err(error) => errors.push(StartError::Bind { pool: name.clone(), option: "listen", error }),
                }
            }
            doors.clients.push(own);
        }
        if let Some(Pool { config, .. }) = pools.first() {
            match lock_state(config) {
                Ok(state) => doors.state = state,
                Err(error) => errors.push(error),
            }
            match admin_door(config) {
                Ok(admin) => doors.admin = admin,
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(doors) } else { Err(errors) }
    }

    /// Where the admin's HTTP is served.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(_, address)| *address)
    }
}

fn lock_state(config: &Config) -> Result<Option<std::fs::File>, StartError> {
    let state = config.open_state().map_err(StartError::State)?;
    if let (Some(lock), Some(dir)) = (&state, &config.state)
        && let Err(error) = lock.try_lock()
    {
        let dir = dir.display();
        return Err(StartError::State(match error {
            std::fs::TryLockError::WouldBlock => {
                format!("state directory {dir} is in use by another Circlet; stop that one or give another directory")
            }
            std::fs::TryLockError::Error(error) => format!("state directory {dir} cannot be locked: {error}"),
        }));
    }
    Ok(state)
}

fn admin_door(config: &Config) -> Result<Option<(std::net::TcpListener, SocketAddr)>, StartError> {
    let Some(Address::Tcp { host, port }) = &config.admin else { return Ok(None) };
    let bound = listen::bind_tcp(host, *port);
    let listener = bound.map_err(|error| StartError::Bind { pool: None, option: "admin", error })?;
    let address = listener.local_addr().map_err(|error| StartError::System("the admin address", error))?;
    Ok(Some((listener, address)))
}

/// A Circlet that serves.
#[derive(Debug)]
pub struct Running {
    planes: Arc<[Plane]>,
    accepting: Vec<JoinHandle<()>>,
    /// Probes and admin; they end when this is dropped.
    background: JoinSet<()>,
    draining: Arc<AtomicBool>,
    reload: Arc<Reload>,
    /// Held until the end.
    _state: Option<std::fs::File>,
}

/// Starts workers, accepts clients, watches the nodes and serves the admin address; the pools are those of `source`. Must be
/// called in a runtime.
///
/// # Errors
/// If a ring cannot be built or a thread not be started.
pub fn start(pools: &[Pool], doors: Doors, source: Source) -> Result<Running, StartError> {
    let Doors { clients, admin, state } = doors;
    let draining = Arc::new(AtomicBool::new(false));
    let mut background = JoinSet::new();
    let mut planes: Vec<Plane> = Vec::with_capacity(pools.len());
    for (pool, live) in pools.iter().zip(Live::of(pools.iter().map(|pool| pool.config.clone()).collect())) {
        let before = planes.iter().map(|plane| plane.fleet().published().len()).sum();
        planes.push(Plane::start(pool, Arc::new(live), before, &draining, &mut background)?);
    }
    let planes: Arc<[Plane]> = planes.into();
    let reload = Arc::new(Reload::new(source, &planes));
    planes.iter().for_each(|plane| plane.driver().reload_by(Arc::downgrade(&reload)));
    background.spawn(trim::run(planes.iter().map(|plane| Arc::clone(plane.fleet())).collect()));
    if let (Some((listener, address)), Some(Pool { config, .. })) = (admin, pools.first()) {
        for plane in &*planes {
            background.spawn(status::run(Arc::clone(plane.status())));
        }
        let (views, access) = (views::of(&planes), Access::of(config));
        background.spawn(async move {
            if let Err(error) = admin::serve(listener, views, access).await {
                tracing::error!(%address, why = %error, "the admin address is not served");
            }
        });
        tracing::info!(%address, "status page, metrics and health over HTTP");
    }
    let accept =
        |(plane, doors): (&Plane, Vec<Door>)| doors.into_iter().map(|door| plane.accept(door)).collect::<Vec<_>>();
    let accepting = planes.iter().zip(clients).flat_map(accept).collect();
    Ok(Running { planes, accepting, background, draining, reload, _state: state })
}

impl Running {
    /// Nodes and ring of each pool.
    #[must_use]
    pub fn topologies(&self) -> Vec<Arc<Topology>> {
        self.planes.iter().map(|plane| plane.fleet().topology()).collect()
    }

    /// Clients connected now.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.planes.iter().map(|plane| plane.fleet().sessions()).sum()
    }

    /// Reads the configuration again and follows it, as far as that needs no restart.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub async fn reload(&self) -> Result<Summary, NotReloaded> {
        self.reload.reload().await
    }

    /// Closes the doors, lets every request that was read be answered, and ends the sessions; gives how many had to be cut
    /// off after `limit`.
    pub async fn drain(&mut self, limit: Duration) -> usize {
        self.draining.store(true, Relaxed);
        self.planes.iter().for_each(Plane::note_stopping);
        for accepting in self.accepting.drain(..) {
            accepting.abort();
            // Awaited so that the socket is closed and its file removed; that it was cancelled is no news.
            let _ = accepting.await;
        }
        // All at once: no pool waits for the clients of another.
        let fleets = self.planes.iter().map(|plane| Arc::clone(plane.fleet()));
        let drains: JoinSet<usize> = fleets.map(|fleet| async move { fleet.drain(limit).await }).collect();
        let cut = drains.join_all().await.into_iter().sum();
        for plane in &*self.planes {
            plane.rest().await;
        }
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
        let told = |config: Config| Doors::open(&[Pool::only(config)]).unwrap_err()[0].to_string();
        assert!(told(config(port, 0)).starts_with(&format!("listen: cannot listen on 127.0.0.1:{port}: it is taken")));
        assert!(told(config(0, port)).starts_with(&format!("admin: cannot listen on 127.0.0.1:{port}: it is taken")));
    }

    #[test]
    fn every_pools_taken_port_is_told_at_once() {
        let taken = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let pool = |(name, listener): (&str, &TcpListener)| {
            let port = listener.local_addr().unwrap().port();
            Pool { name: Some(name.to_owned()), ..Pool::only(config(port, port)) }
        };
        let pools: Vec<Pool> = ["alpha", "beta"].into_iter().zip(&taken).map(pool).collect();
        let told: Vec<String> = Doors::open(&pools).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        for (told, start) in told.iter().zip(["pool alpha: listen: ", "pool beta: listen: ", "admin: "]) {
            assert!(told.starts_with(&format!("{start}cannot listen on ")), "{told}");
        }
    }

    #[test]
    fn a_state_directory_lets_in_one_circlet_at_a_time() {
        let dir = crate::scratch::Scratch::new("start");
        let config = [Pool::only(Config { state: Some(dir.path().to_path_buf()), ..config(0, 0) })];
        let first = Doors::open(&config).unwrap();
        assert!(first.admin_address().is_some());
        let error = Doors::open(&config).unwrap_err()[0].to_string();
        assert!(error.contains("is in use by another Circlet"), "{error}");
        drop(first);
        assert!(Doors::open(&config).is_ok());
    }
}
