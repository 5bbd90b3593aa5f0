//! `circlet serve`: a configuration file, flags, or both; served until a signal.

use std::path::PathBuf;

use clap::Args;

use super::{Deployment, Exit, complain, lifecycle};
use crate::{
    config::{self, Config, Note, twemproxy},
    control::{self, Doors, Pool, Signals, file_limit, logging},
};

const EXAMPLES: &str = "\
Examples:
  circlet serve --config conf/circlet.toml
  circlet serve --node 127.0.0.1:7001 --node 127.0.0.1:7002
  circlet serve --listen 0.0.0.0:6379 --listen unix:/run/circlet.sock \\
                --node cache-a=10.0.0.1:6379 --node cache-b=10.0.0.2:6379*2
  circlet serve --twemproxy-config nutcracker.yml --pool alpha

Flags are stronger than the file. With one --node, no node of the file is used; likewise --listen.";

/// Flags of `circlet serve`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Configuration file; conf/circlet.toml explains every option.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// twemproxy's configuration file, in place of one of Circlet's: every key stays where nutcracker put it.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    twemproxy_config: Option<PathBuf>,
    /// Which pool of twemproxy's file to serve; needed if it has several.
    #[arg(long, value_name = "NAME", requires = "twemproxy_config")]
    pool: Option<String>,
    #[command(flatten)]
    deployment: Deployment,
}

/// Serves; the exit tells why it ended.
pub(super) fn run(flags: Flags) -> Exit {
    let Flags { config, twemproxy_config, pool, deployment } = flags;
    let overrides = deployment.into_overrides();
    let loaded = match twemproxy_config {
        None => config::load(config.as_deref(), &overrides).map(|config| (config, Vec::new())),
        Some(file) => twemproxy::load(&file, pool.as_deref(), &overrides).map(|import| (import.config, import.notes)),
    };
    match loaded {
        Ok((config, notes)) => lifecycle::block_on(Box::pin(serve(config, notes))),
        Err(mistakes) => {
            complain(format_args!("the configuration is wrong:\n{mistakes}"));
            Exit::Misconfigured
        }
    }
}

async fn serve(config: Config, notes: Vec<Note>) -> Exit {
    logging::start(&config.log);
    for note in notes {
        tracing::warn!(at = %note.place, "not as in twemproxy: {}", note.text);
    }
    let settings = &config.traffic;
    file_limit::fit(std::slice::from_ref(&config));
    let mut signals = match Signals::listen(false) {
        Ok(signals) => signals,
        Err(error) => {
            complain(format_args!("signals cannot be listened to: {error}"));
            return Exit::NotStarted;
        }
    };
    let (version, workers, nodes) = (env!("CARGO_PKG_VERSION"), settings.workers, config.nodes.len());
    tracing::info!(%version, workers, nodes, "circlet starts");
    let drain_timeout = config.drain_timeout;
    let pools = [Pool::only(config)];
    let started = Doors::open(&pools).and_then(|doors| control::start(&pools, doors).map_err(|error| vec![error]));
    match started {
        Ok(running) => {
            let signal = signals.next().await;
            lifecycle::drain(running, &mut signals, signal, drain_timeout).await
        }
        Err(errors) => {
            errors.iter().for_each(complain);
            Exit::NotStarted
        }
    }
}
