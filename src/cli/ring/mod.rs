//! `circlet ring`: who has which part of the keys, where a key lies and why, and what a change of nodes would move.
//!
//! ```text
//!  FILE, flags ──► Config ──► Ring ──► shares, keys' ways, plan ──► Report ──► text or JSON
//!  --at ADDRESS ─► a running Circlet's CIRCLET RING and WHERE ──► plan ──┘
//! ```
//! Nothing is started, no node is asked: what is told holds for every Circlet with this configuration, or is the word of the
//! one that runs. Io: reads the files, or asks that one.

mod live;
mod plan;
mod report;

use std::{ffi::OsString, os::unix::ffi::OsStrExt, path::PathBuf};

use clap::Args;

use self::report::Report;
use super::{Deployment, Exit, complain, say};
use crate::config::{self, Config, Mistakes, twemproxy};

const EXAMPLES: &str = "\
Examples:
  circlet ring --config circlet.toml
  circlet ring --config circlet.toml user:1 'cart:{user:1}'
  circlet ring --config circlet.toml --plan 'add cache-d=10.0.0.4:6379*2,remove cache-a'
  circlet ring --twemproxy-config nutcracker.yml --pool alpha --json user:1
  circlet ring --at 127.0.0.1:6380 user:1
  circlet ring --at unix:/run/circlet.sock --password-file secret --json

Exit codes: 0 told; 1 the running Circlet cannot be asked; 2 wrong flags, configuration or plan.";

/// Flags that say what is configured, which a running Circlet knows itself.
const OWN_CONFIGURATION: [&str; 12] = [
    "config",
    "twemproxy_config",
    "pool",
    "listen",
    "node",
    "state",
    "admin",
    "workers",
    "log",
    "log_format",
    "requirepass_file",
    "set",
];

/// Flags of `circlet ring`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// Keys whose way is to be told.
    #[arg(value_name = "KEY")]
    keys: Vec<OsString>,
    /// Circlet's configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// twemproxy's configuration file, in place of one of Circlet's.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    twemproxy_config: Option<PathBuf>,
    /// Which pool of twemproxy's file; needed if it has several.
    #[arg(long, value_name = "NAME", requires = "twemproxy_config")]
    pool: Option<String>,
    /// Ask the Circlet that runs there: host:port or unix:/path. Its word goes for ring and keys.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = OWN_CONFIGURATION)]
    at: Option<String>,
    /// File with the password that it wants; without it, the environment's REDISCLI_AUTH, as for redis-cli.
    #[arg(long, value_name = "FILE", requires = "at")]
    password_file: Option<PathBuf>,
    /// What would move if the nodes changed: "add NAME=ADDRESS*WEIGHT" and "remove NAME", separated by commas.
    #[arg(long, value_name = "CHANGES")]
    plan: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// Tells about the ring.
pub(super) fn run(flags: Flags) -> Exit {
    let Flags { keys, config, twemproxy_config, pool, at, password_file, plan, json, deployment } = flags;
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    if let Some(at) = at {
        return match live::ask(&at, password_file.as_deref(), &keys) {
            Ok(live) => {
                let report = Report::told(&live.config, &live.ring, live.ways, plan.as_deref());
                print(report.map(|report| report.without(live.out)), json)
            }
            Err(text) => {
                complain(text);
                Exit::NotStarted
            }
        };
    }
    let overrides = deployment.into_overrides();
    let loaded: Result<Config, Mistakes> = match twemproxy_config {
        None => config::load(config.as_deref(), &overrides),
        Some(file) => twemproxy::load_one(&file, pool.as_deref(), &overrides).map(|pool| pool.config),
    };
    match loaded {
        Ok(config) => print(Report::of(&config, &keys, plan.as_deref()), json),
        Err(mistakes) => {
            complain(format_args!("the configuration is wrong:\n{mistakes}"));
            Exit::Misconfigured
        }
    }
}

fn print(report: Result<Report<'_>, String>, json: bool) -> Exit {
    match report {
        Ok(report) if json => say(report.json()),
        Ok(report) => say(report.text().trim_end()),
        Err(text) => {
            complain(text);
            return Exit::Misconfigured;
        }
    }
    Exit::Ended
}
