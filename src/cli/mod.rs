//! The command line: flags in, exit code out.
//!
//! `circlet serve` is the program; `circlet dev` is the same over Redis processes of its own; `circlet check` and
//! `circlet ring` look at a configuration and start nothing; `circlet node`, `plan`, `rebalance`, `reload` and `lock` steer one
//! that runs ([`operator`]). Each subcommand is one file that holds its flags and what they do; help, with examples, stands on the flags themselves. Io.

mod bars;
mod check;
mod completions;
mod dev;
mod exit;
mod lifecycle;
mod lock;
mod man;
mod node;
mod operator;
mod plan;
mod rebalance;
mod reload;
mod remote;
mod ring;
mod serve;

use std::{ffi::OsString, io, io::Write};

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
pub use exit::Exit;

/// One Redis endpoint over many Redis nodes.
#[derive(Debug, Parser)]
#[command(name = "circlet", bin_name = "circlet", version, max_term_width = 110, after_help = exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves clients over the configured Redis nodes until SIGTERM or SIGINT.
    Serve(serve::Flags),
    /// Says what is wrong in a configuration, then what it comes to: every option, the ring's shares, what is risky.
    Check(check::Flags),
    /// Tells who has which part of the keys, where a key lies and why, and what a change of nodes would move.
    Ring(ring::Flags),
    /// Starts Redis nodes of its own and serves them: to try Circlet, and for development.
    Dev(dev::Flags),
    /// Changes the nodes of a running Circlet: they join, leave, change weight or are replaced, and keys are moved.
    Node(node::Flags),
    /// Tells what a change of nodes would move, before it is made.
    Plan(plan::Flags),
    /// Shows how far a change of nodes is, and steers it.
    Rebalance(rebalance::Flags),
    /// Has a running Circlet read its configuration again.
    Reload(reload::Flags),
    /// Shows the locks of a running Circlet, and frees them.
    Lock(lock::Flags),
    /// Prints what makes a shell complete Circlet's subcommands and flags.
    Completions(completions::Flags),
    /// Prints the manual page, or writes all of them into a directory.
    Man(man::Flags),
}

/// Flags of a Circlet over nodes that are there already: `serve` starts it, `check` looks at it.
#[derive(Args, Debug)]
struct Deployment {
    /// Where clients connect: host:port (IPv6 in brackets) or unix:/path (may be repeated) [default: 127.0.0.1:6380].
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// A Redis node: address, with name= before it and *weight behind it if wanted (may be repeated). Keys lie by a node's
    /// name, which is its address if not given.
    #[arg(long, value_name = "[NAME=]ADDRESS[*WEIGHT]")]
    node: Vec<String>,
    /// Directory that this Circlet keeps for itself: a second one in it does not start.
    #[arg(long, value_name = "DIR")]
    state: Option<std::path::PathBuf>,
    /// Trusts nodes that the state directory does not know with locks at once: when no Circlet has used them for locks before.
    #[arg(long)]
    lock_bootstrap: bool,
    #[command(flatten)]
    common: Common,
}

impl Deployment {
    fn into_overrides(self) -> Overrides {
        let Self { listen, node, state, lock_bootstrap, common } = self;
        Overrides { listen, nodes: node, state, lock_bootstrap, ..common.into_overrides() }
    }
}

/// Flags that all subcommands have; every other option is `--set`.
#[derive(Args, Debug)]
struct Common {
    /// Where to serve the status page, /metrics, /healthz and /readyz over HTTP: host:port, or off [default: 127.0.0.1:9180].
    #[arg(long, value_name = "ADDRESS|off")]
    admin: Option<String>,
    /// Worker threads [default: auto, one per core].
    #[arg(long, value_name = "N|auto")]
    workers: Option<String>,
    /// What to log on standard error: off, error, warn, info, debug, trace, or directives such as
    /// "info,circlet::control=debug".
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Shape of log lines: human or json [default: human].
    #[arg(long, value_name = "human|json")]
    log_format: Option<String>,
    /// File with the password that clients must give.
    #[arg(long, value_name = "FILE")]
    requirepass_file: Option<std::path::PathBuf>,
    /// Sets any option of the configuration file, as in --set session.max_sessions=50000 (may be repeated).
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Common {
    fn into_overrides(self) -> Overrides {
        Overrides {
            admin: self.admin,
            workers: self.workers,
            log: self.log,
            log_format: self.log_format,
            requirepass_file: self.requirepass_file,
            set: self.set,
            ..Overrides::default()
        }
    }
}

/// Runs the command line `args`, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Exit {
    match Cli::try_parse_from(args) {
        Ok(Cli { command: Command::Serve(flags) }) => serve::run(flags),
        Ok(Cli { command: Command::Check(flags) }) => check::run(flags),
        Ok(Cli { command: Command::Ring(flags) }) => ring::run(flags),
        Ok(Cli { command: Command::Dev(flags) }) => dev::run(flags),
        Ok(Cli { command: Command::Node(flags) }) => node::run(flags),
        Ok(Cli { command: Command::Plan(flags) }) => plan::run(&flags),
        Ok(Cli { command: Command::Rebalance(flags) }) => rebalance::run(&flags),
        Ok(Cli { command: Command::Reload(flags) }) => reload::run(&flags),
        Ok(Cli { command: Command::Lock(flags) }) => lock::run(&flags),
        Ok(Cli { command: Command::Completions(flags) }) => completions::run(&flags),
        Ok(Cli { command: Command::Man(flags) }) => man::run(flags),
        Err(error) => {
            // Help and version come this way too, on standard output.
            let asked_for = !error.use_stderr();
            let _ = error.print();
            if asked_for { Exit::Ended } else { Exit::Misconfigured }
        }
    }
}

/// A message to the person at the terminal. If nobody reads it any more, nothing is to be done.
fn complain(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "circlet: {message}");
}

/// Bytes to standard output, as they are.
fn pour(bytes: &[u8]) {
    let mut out = io::stdout();
    // Whoever reads only the beginning (head) has what he wants.
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// A line on standard output.
fn say(line: impl std::fmt::Display) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_help() {
        every_one_has_its_help(&Cli::command());
    }

    fn every_one_has_its_help(parent: &clap::Command) {
        for command in parent.get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for flag in command.get_arguments() {
                assert!(flag.get_help().is_some(), "{} {}", command.get_name(), flag.get_id());
            }
            every_one_has_its_help(command);
        }
    }

    #[test]
    fn the_help_tells_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        for exit in [Exit::Ended, Exit::NotStarted, Exit::Misconfigured, Exit::CutOff, Exit::Risky] {
            assert!(help.contains(&format!("\n  {}  ", exit.code())), "{exit:?} in {help}");
        }
    }

    #[test]
    fn wrong_flags_are_a_misconfiguration_and_help_is_not() {
        let run = |args: &[&str]| run(args.iter().map(OsString::from));
        assert_eq!(run(&["circlet", "serve", "--no-such-flag"]), Exit::Misconfigured);
        assert_eq!(run(&["circlet", "nonsense"]), Exit::Misconfigured);
        assert_eq!(run(&["circlet", "--version"]), Exit::Ended);
    }
}
