//! `circlet serve`: a configuration file, flags, or both; or the pools of a twemproxy file. Served until a signal.

use std::path::PathBuf;

use clap::Args;

use super::{Deployment, Exit, complain, lifecycle};
use crate::{
    config::{
        self, Note,
        twemproxy::{self, Import, Served},
    },
    control::{self, Doors, Pool, Signals, file_limit, logging, notify, plane},
};

const EXAMPLES: &str = "\
Examples:
  circlet serve --config conf/circlet.toml
  circlet serve --node 127.0.0.1:7001 --node 127.0.0.1:7002
  circlet serve --listen 0.0.0.0:6379 --listen unix:/run/circlet.sock \\
                --node cache-a=10.0.0.1:6379 --node cache-b=10.0.0.2:6379*2
  circlet serve --twemproxy-config nutcracker.yml

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
    let loaded = match twemproxy_config {
        None => config::load(config.as_deref(), &overrides).map(|config| (vec![Pool::only(config)], Vec::new())),
        Some(file) => twemproxy::load(&file, &pool, &overrides).map(|import| pools(&import)),
    };
    match loaded {
        Ok((pools, notes)) => lifecycle::block_on(Box::pin(serve(pools, notes))),
        Err(mistakes) => {
            complain(format_args!("the configuration is wrong:\n{mistakes}"));
            Exit::Misconfigured
        }
    }
}

/// A line for the log, and the pool that it is about, where there are several.
type Told = (Option<String>, Note);

/// What twemproxy's file comes to. A pool that is alone needs no name: it is served like any other configuration.
fn pools(import: &Import) -> (Vec<Pool>, Vec<Told>) {
    let several = import.pools.len() > 1;
    let name = |pool: &Served| several.then(|| pool.name.clone());
    let told = import.pools.iter().flat_map(|pool| pool.notes.iter().map(move |note| (name(pool), note.clone())));
    let notes = import.left_out.iter().map(|note| (None, note.clone())).chain(told).collect();
    let configs = import.in_one_process();
    (import.pools.iter().zip(configs).map(|(pool, config)| Pool { name: name(pool), config }).collect(), notes)
}

async fn serve(pools: Vec<Pool>, notes: Vec<Told>) -> Exit {
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
    let started = Doors::open(&pools).and_then(|doors| control::start(&pools, doors).map_err(|error| vec![error]));
    match started {
        Ok(running) => {
            let (nodes, workers) = sizes(&pools);
            notify::ready(&format!("serving {nodes} nodes with {workers} workers"));
            let signal = signals.next().await;
            lifecycle::drain(running, &mut signals, signal, config.drain_timeout).await
        }
        Err(errors) => {
            errors.iter().for_each(complain);
            Exit::NotStarted
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_pool_that_is_alone_is_served_without_its_name() {
        let pool = |name: &str| Served { name: name.to_owned(), config: Config::default(), notes: Vec::new() };
        let names = |names: &[&str]| -> Vec<Option<String>> {
            let import = Import { pools: names.iter().map(|name| pool(name)).collect(), ..Import::default() };
            pools(&import).0.into_iter().map(|pool| pool.name).collect()
        };
        assert_eq!(names(&["a"]), [None]);
        assert_eq!(names(&["a", "b"]), [Some("a".to_owned()), Some("b".to_owned())]);
    }
}
