//! `circlet serve`: a configuration file, flags, or both; or the pools of a twemproxy file. Served until a signal; SIGHUP
//! has it read again.

use std::path::PathBuf;

use clap::Args;

use super::{Deployment, Exit, complain, lifecycle};
use crate::control::{
    self, Doors, Pool, Running, Signals, Source, file_limit, logging, notify, plane, signals::Asked, source::Told,
};

const EXAMPLES: &str = "\
Examples:
  circlet serve --config conf/circlet.toml
  circlet serve --node 127.0.0.1:7001 --node 127.0.0.1:7002
  circlet serve --listen 0.0.0.0:6379 --listen unix:/run/circlet.sock \\
                --node cache-a=10.0.0.1:6379 --node cache-b=10.0.0.2:6379*2
  circlet serve --twemproxy-config nutcracker.yml

Flags are stronger than the file. With one --node, no node of the file is used; likewise --listen.
SIGHUP has the file read again: what can be changed while it runs is changed, what needs a restart is
named in the log, and a wrong file changes nothing.";

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
    /// Which pool of twemproxy's file to serve (may be repeated) [default: every pool that speaks Redis].
    #[arg(long, value_name = "NAME", requires = "twemproxy_config")]
    pool: Vec<String>,
    #[command(flatten)]
    deployment: Deployment,
}

/// Serves; the exit tells why it ended.
pub(super) fn run(flags: Flags) -> Exit {
    let Flags { config, twemproxy_config, pool, deployment } = flags;
    let overrides = deployment.into_overrides();
    let source = match twemproxy_config {
        None => Source::Circlet { file: config, overrides },
        Some(file) => Source::Twemproxy { file, pools: pool, overrides },
    };
    match source.load() {
        Ok((pools, notes)) => lifecycle::block_on(Box::pin(serve(source, pools, notes))),
        Err(mistakes) => {
            complain(format_args!("the configuration is wrong:\n{mistakes}"));
            Exit::Misconfigured
        }
    }
}

async fn serve(source: Source, pools: Vec<Pool>, notes: Vec<Told>) -> Exit {
    let Some(Pool { config, .. }) = pools.first() else { return Exit::Ended };
    logging::start(&config.log);
    for (pool, note) in notes {
        plane::span(pool.as_deref())
            .in_scope(|| tracing::warn!(at = %note.place, "not as in twemproxy: {}", note.text));
    }
    file_limit::fit(&pools.iter().map(|pool| pool.config.clone()).collect::<Vec<_>>());
    let mut signals = match Signals::listen(false) {
        Ok(signals) => signals,
        Err(error) => {
            complain(format_args!("signals cannot be listened to: {error}"));
            return Exit::NotStarted;
        }
    };
    starts(&pools);
    let started =
        Doors::open(&pools).and_then(|doors| control::start(&pools, doors, source).map_err(|error| vec![error]));
    match started {
        Ok(running) => {
            let (nodes, workers) = sizes(&pools);
            let what = format!("serving {nodes} nodes with {workers} workers");
            notify::ready(&what);
            let signal = until_the_end(&running, &mut signals, &what).await;
            lifecycle::drain(running, &mut signals, signal, config.drain_timeout).await
        }
        Err(errors) => {
            errors.iter().for_each(complain);
            Exit::NotStarted
        }
    }
}

/// Reads the configuration again whenever a signal asks for it; gives the name of the one that asks for the end.
async fn until_the_end(running: &Running, signals: &mut Signals, what: &str) -> &'static str {
    loop {
        match signals.asked().await {
            Asked::End(signal) => return signal,
            Asked::Reload => {
                notify::reloading();
                match running.reload().await {
                    Ok(_) => notify::ready(what),
                    Err(_) => notify::ready(&format!("{what}; the configuration was not read again, see the log")),
                }
            }
        }
    }
}

/// The first line of the log.
fn starts(pools: &[Pool]) {
    let version = env!("CARGO_PKG_VERSION");
    let (nodes, workers) = sizes(pools);
    match pools.len() {
        1 => tracing::info!(%version, workers, nodes, "circlet starts"),
        pools => tracing::info!(%version, pools, workers, nodes, "circlet starts"),
    }
}

/// Nodes and workers of all pools.
fn sizes(pools: &[Pool]) -> (usize, usize) {
    let nodes = pools.iter().map(|pool| pool.config.nodes.len()).sum();
    (nodes, pools.iter().map(|pool| pool.config.traffic.workers).sum())
}
