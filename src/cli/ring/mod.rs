//! `circlet ring`: who has which part of the keys, where a key lies and why, and what a change of nodes would move.
//!
//! ```text
//!  FILE, flags ──► Config ──► Ring ──► shares, keys' ways, plan ──► Report ──► text or JSON
//! ```
//! Nothing is started, no node is asked: what is told holds for every Circlet with this configuration. Io: reads the files.

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

Exit codes: 0 told; 2 wrong flags, configuration or plan.";

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
    let Flags { keys, config, twemproxy_config, pool, plan, json, deployment } = flags;
    let overrides = deployment.into_overrides();
    let loaded: Result<Config, Mistakes> = match twemproxy_config {
        None => config::load(config.as_deref(), &overrides),
        Some(file) => twemproxy::load(&file, pool.as_deref(), &overrides).map(|import| import.config),
    };
    let config = match loaded {
        Ok(config) => config,
        Err(mistakes) => {
            complain(format_args!("the configuration is wrong:\n{mistakes}"));
            return Exit::Misconfigured;
        }
    };
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    match Report::of(&config, &keys, plan.as_deref()) {
        Ok(report) => {
            if json {
                say(report.json());
            } else {
                say(report.text().trim_end());
            }
            Exit::Ended
        }
        Err(text) => {
            complain(text);
            Exit::Misconfigured
        }
    }
}
