//! Real clients with their defaults, each over three real nodes: what its users do first, and what breaks proxies most
//! (the start of a connection, deep pipelines, bytes of any kind, large values, a restart).
//!
//! ```text
//!  redis_cli, redis_benchmark   driven from here
//!  hiredis.c                    compiled here
//!  redigo.go                    compiled here; redigo's own tests too
//!  redis_py.py                  in tests/.venv, pinned by requirements.txt
//!  ioredis.js, node_redis.js    over common.js, pinned by package.json and its lock
//!  locks.py, locks.js           lock libraries over lock.prefix
//!  ruby_redis.rb, php_redis.php the system's
//!  cluster_mode.*               clients of clusters, of the packages above
//! ```
//! A script is run as `SCRIPT PORT SCENARIO PROTOCOL` (those of one protocol without the last) and checks what it gets
//! itself; it passes against a plain redis-server too, which is how to see whose fault a failure is. `tests/setup.sh` installs all of this; a test whose client is missing
//! fails and says so.

mod cluster_mode;
mod hiredis;
mod ioredis;
mod locks;
mod node_redis;
mod php_redis;
pub mod program;
mod redigo;
mod redis_benchmark;
mod redis_cli;
mod redis_exporter;
mod redis_py;
mod ruby_redis;

use std::process::Command;

use program::{Program, here, missing};

use crate::support::{Cluster, Redis, cluster::plan_over};

/// RESP3, which these clients ask for unless told otherwise, and RESP2.
const PROTOCOLS: [&str; 2] = ["default", "2"];

/// Plays a scenario of a script over three empty nodes, once with each protocol.
fn play(script: fn() -> Command, scenario: &str) {
    play_over(&Cluster::start(), script, scenario);
}

/// Like `play`, with nodes that have further options.
fn play_with(options: &[&str], script: fn() -> Command, scenario: &str) {
    let nodes: Vec<Redis> = (0..3).map(|_| Redis::with(options)).collect();
    let circlet = plan_over(&nodes).start();
    play_over(&Cluster { circlet, nodes }, script, scenario);
}

fn play_over(cluster: &Cluster, script: fn() -> Command, scenario: &str) {
    for protocol in PROTOCOLS {
        start(script(), cluster, &[scenario, protocol]).finish();
        cluster.client().expect("FLUSHALL", "+OK\r\n");
    }
}

/// Plays the scenario `reconnect` of a script, and restarts Circlet when it asks for that.
fn play_reconnect(script: fn() -> Command) {
    play_restarted(script, "reconnect");
}

/// Plays a scenario that asks for a restart of Circlet.
fn play_restarted(script: fn() -> Command, scenario: &str) {
    let mut cluster = Cluster::start();
    for protocol in PROTOCOLS {
        let program = start(script(), &cluster, &[scenario, protocol]);
        restart_when_asked(program, &mut cluster);
    }
}

/// Plays a scenario of a client that speaks RESP2 only.
fn play_once(script: Command, scenario: &str) {
    let mut cluster = Cluster::start();
    let program = start(script, &cluster, &[scenario]);
    if scenario == "reconnect" { restart_when_asked(program, &mut cluster) } else { drop(program.finish()) }
}

fn start(mut script: Command, cluster: &Cluster, words: &[&str]) -> Program {
    script.arg(cluster.circlet.port().to_string()).args(words);
    Program::start(script)
}

fn restart_when_asked(mut program: Program, cluster: &mut Cluster) {
    program.expect("RESTART\n");
    cluster.circlet.restart();
    program.write(b"done\n");
    program.finish();
}

/// The node that runs a JavaScript client: the system's, or the one that `tests/setup.sh` got where that is too old.
fn node(script: &str) -> Command {
    if !here("node_modules/ioredis").exists() || !here("node_modules/redis").exists() {
        missing("tests/clients/node_modules");
    }
    let own = here("../.venv/bin/node");
    let mut command = if own.exists() { Command::new(own) } else { Command::new("node") };
    command.arg(here(script));
    command
}

/// Python with the packages of requirements.txt.
fn python() -> Command {
    let python = here("../.venv/bin/python");
    if !python.exists() {
        missing("tests/.venv");
    }
    Command::new(python)
}
