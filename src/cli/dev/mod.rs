//! `circlet dev`: Redis processes of its own, one Circlet in front of them, nothing left behind.
//!
//! ```text
//!  flags ──► data (directory) ──► config ──► Doors (port taken? told now) ──► nodes started ──► serve ──► banner
//!                                                                                                │ signal
//!            data removed unless --persist ◄── nodes stopped ◄── drained ◄───────────────────────┘
//! ```
//!
//! Whatever fails or whichever signal comes, what was started is stopped and what was made is removed. The nodes are called
//! node-1, node-2 … on every start, so with `--persist` each key is found where it was. Io.

mod banner;
mod data;
mod node;
mod nodes;

use std::{path::PathBuf, slice, time::Duration};

use clap::Args;

use super::{Common, Exit, complain, lifecycle, say};
use crate::{
    config::{self, Config, Overrides},
    control::{
        self, Doors, Pool, Signals, Source, StartError, file_limit, listen, lock, logging, rebalance::state::Store,
    },
    traffic::route::Address,
};
use data::Data;
use nodes::Nodes;

const EXAMPLES: &str = "\
Examples:
  circlet dev
  circlet dev --nodes 5 --port 7000
  circlet dev --persist ./data

Then: redis-cli -p 6380. Ctrl-C stops Circlet and its nodes.";

/// Where the admin address is, unless somebody else is there.
const ADMIN: &str = "127.0.0.1:9180";

/// How long Ctrl-C waits for requests in flight: a person waits.
const DRAIN: Duration = Duration::from_secs(2);

/// Flags of `circlet dev`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// How many redis-server processes to start [default: 3, or as many as --persist DIR holds].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    nodes: Option<u16>,
    /// Port on 127.0.0.1 where clients connect.
    #[arg(long, value_name = "PORT", default_value_t = 6380, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Directory in which the nodes keep their data; without it, it is gone with them.
    #[arg(long, value_name = "DIR")]
    persist: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Why `circlet dev` did not come to serve.
enum Failure {
    /// A line for the person who started it.
    Told(Exit, String),
    /// A signal came before everything was up.
    Interrupted,
}

impl Failure {
    fn start(text: impl std::fmt::Display) -> Self {
        Self::Told(Exit::NotStarted, text.to_string())
    }
}

/// Serves; the exit tells why it ended.
pub(super) fn run(flags: Flags) -> Exit {
    lifecycle::block_on(Box::pin(async move {
        match dev(flags).await {
            Ok(exit) => exit,
            Err(Failure::Interrupted) => Exit::Ended,
            Err(Failure::Told(exit, text)) => {
                complain(text);
                exit
            }
        }
    }))
}

async fn dev(flags: Flags) -> Result<Exit, Failure> {
    let mut signals = Signals::listen(true)
        .map_err(|error| Failure::start(format_args!("signals cannot be listened to: {error}")))?;
    let Flags { nodes, port, persist, common } = flags;
    let program = node::find_program().map_err(Failure::start)?;
    let mut data = Data::open(persist, nodes).map_err(Failure::start)?;
    let ports = nodes::free_ports(data.nodes()).map_err(Failure::start)?;
    let mut config = configuration(common, port, &data, &ports)?;
    logging::start(&config.log);
    file_limit::fit(slice::from_ref(&config));
    // A temporary directory must be there before it is locked; a kept one is not filled before the ports are had.
    if data.kept().is_none() {
        data.make().map_err(Failure::start)?;
    }
    let doors = open_doors(&mut config, port)?;
    if data.kept().is_some() {
        data.make().map_err(Failure::start)?;
    }
    relocate(&config)?;
    renew_locks(&config)?;
    let mut nodes = Nodes::new(program);
    let served = serve(&config, doors, &mut nodes, &data, &ports, &mut signals).await;
    nodes.stop(&mut signals).await;
    served
}

/// The configuration of `ports` nodes, from defaults and flags.
fn configuration(common: Common, port: u16, data: &Data, ports: &[u16]) -> Result<Config, Failure> {
    let name = |(index, port): (usize, &u16)| format!("{}=127.0.0.1:{port}", node::name(index));
    let mut overrides = Overrides {
        listen: vec![format!("127.0.0.1:{port}")],
        nodes: ports.iter().enumerate().map(name).collect(),
        // One Circlet per data directory.
        state: Some(data.dir().to_path_buf()),
        // Nor did anybody use its nodes for locks before.
        lock_bootstrap: true,
        ..common.into_overrides()
    };
    // The banner is the news; what is wrong is logged.
    overrides.log.get_or_insert_with(|| "warn".to_owned());
    overrides.admin.get_or_insert_with(|| ADMIN.to_owned());
    config::load(None, &overrides)
        .map_err(|mistakes| Failure::Told(Exit::Misconfigured, format!("the flags are wrong:\n{mistakes}")))
}

/// Binds the addresses before any node is started. The default admin address moves aside for whoever has it.
fn open_doors(config: &mut Config, port: u16) -> Result<Doors, Failure> {
    let open = |config: &Config| {
        // The first is told: the clients' address, if it is among them.
        Doors::open(&[Pool::only(config.clone())]).map_err(|errors| errors.into_iter().next())
    };
    let told = |error: Option<StartError>| match error {
        Some(StartError::Bind { option: "listen", error, .. }) if matches!(error.reason, listen::Reason::Taken) => {
            let address = error.address;
            Failure::start(format_args!(
                "port {port} is taken: another process listens on {address}; stop it, or use --port"
            ))
        }
        error => Failure::start(error.map_or_else(String::new, |error| error.to_string())),
    };
    match open(config) {
        Err(Some(StartError::Bind { option: "admin", error, .. })) if error.address == ADMIN => {
            config.admin = Some(Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 });
            open(config).map_err(told)
        }
        opened => opened.map_err(told),
    }
}

/// The nodes have other ports than the last time, and are the same nodes.
fn relocate(config: &Config) -> Result<(), Failure> {
    let Some(dir) = &config.state else { return Ok(()) };
    let (store, found) = Store::open(dir, None, config).map_err(Failure::start)?;
    let Some(mut state) = found else { return Ok(()) };
    state.relocate(config);
    store.save(&state).map_err(Failure::start)
}

/// The nodes are begun by this process each time, and nobody holds a lock on them.
fn renew_locks(config: &Config) -> Result<(), Failure> {
    match lock::Kept::open(config, None).map_err(Failure::start)? {
        Some(kept) => kept.renew().map_err(Failure::start),
        None => Ok(()),
    }
}

async fn serve(
    config: &Config,
    doors: Doors,
    nodes: &mut Nodes,
    data: &Data,
    ports: &[u16],
    signals: &mut Signals,
) -> Result<Exit, Failure> {
    // Not cancel-safe, and need not be: after a signal the nodes started so far are stopped.
    tokio::select! {
        started = nodes.start(data, ports) => started.map_err(Failure::start)?,
        _ = signals.next() => return Err(Failure::Interrupted),
    }
    let admin = doors.admin_address();
    // Its nodes are its own: there is nothing to be read again.
    let source = Source::flags(Overrides::default());
    let running = control::start(&[Pool::only(config.clone())], doors, source).map_err(Failure::start)?;
    for topology in running.topologies() {
        say(banner::text(config, &topology, admin, data.kept()));
    }
    // Cancel-safe: a signal is not lost, and a node that has ended stays ended.
    let signal = tokio::select! {
        signal = signals.next() => signal,
        never = nodes.watch() => match never {},
    };
    Ok(lifecycle::drain(running, signals, signal, config.drain_timeout.min(DRAIN)).await)
}
