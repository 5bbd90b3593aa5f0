//! `circlet serve`: a configuration file, flags, or both; served until a signal.

use std::path::PathBuf;

use clap::Args;

use super::{Common, Exit, complain, lifecycle};
use crate::{
    config::{self, Config, Overrides},
    control::{self, Doors, Signals, file_limit, logging},
};

const EXAMPLES: &str = "\
Examples:
  circlet serve --config conf/circlet.toml
  circlet serve --node 127.0.0.1:7001 --node 127.0.0.1:7002
  circlet serve --listen 0.0.0.0:6379 --listen unix:/run/circlet.sock \\
                --node cache-a=10.0.0.1:6379 --node cache-b=10.0.0.2:6379*2

Flags are stronger than the file. With one --node, no node of the file is used; likewise --listen.";

/// Flags of `circlet serve`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Configuration file; conf/circlet.toml explains every option.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect: host:port (IPv6 in brackets) or unix:/path (may be repeated) [default: 127.0.0.1:6380].
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// A Redis node: address, with name= before it and *weight behind it if wanted (may be repeated). Keys lie by a node's
    /// name, which is its address if not given.
    #[arg(long, value_name = "[NAME=]ADDRESS[*WEIGHT]")]
    node: Vec<String>,
    /// Directory that this Circlet keeps for itself: a second one in it does not start.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Serves; the exit tells why it ended.
pub(super) fn run(flags: Flags) -> Exit {
    let Flags { config, listen, node, state, common } = flags;
    let overrides = Overrides { listen, nodes: node, state, ..common.into_overrides() };
    match config::load(config.as_deref(), &overrides) {
        Ok(config) => lifecycle::block_on(Box::pin(serve(config))),
        Err(mistakes) => {
            complain(format_args!("the configuration is wrong:\n{mistakes}"));
            Exit::Misconfigured
        }
    }
}

async fn serve(config: Config) -> Exit {
    logging::start(&config.log);
    let settings = &config.traffic;
    file_limit::fit(&config);
    let mut signals = match Signals::listen(false) {
        Ok(signals) => signals,
        Err(error) => {
            complain(format_args!("signals cannot be listened to: {error}"));
            return Exit::NotStarted;
        }
    };
    let (version, workers, nodes) = (env!("CARGO_PKG_VERSION"), settings.workers, config.nodes.len());
    tracing::info!(%version, workers, nodes, "circlet starts");
    match Doors::open(&config).and_then(|doors| control::start(&config, doors)) {
        Ok(running) => {
            let signal = signals.next().await;
            lifecycle::drain(running, &mut signals, signal, config.drain_timeout).await
        }
        Err(error) => {
            complain(error);
            Exit::NotStarted
        }
    }
}
