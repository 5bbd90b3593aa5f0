//! `circlet reload`: has a running Circlet read its configuration again. Io.

use clap::Args;

use super::{
    Exit, complain,
    operator::{At, json, lines},
    say,
};

const EXAMPLES: &str = "\
Examples:
  circlet reload
  circlet reload --at unix:/run/circlet/circlet.sock --json

It says what was changed, and what needs a restart. A wrong file changes nothing, and every mistake is told.
SIGHUP does the same, and tells it in the log.

Exit codes: 0 read; 1 the running Circlet cannot be asked, or its file is wrong; 2 wrong flags.";

/// Flags of `circlet reload`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks for it, and tells what came of it.
pub(super) fn run(flags: &Flags) -> Exit {
    match flags.at.connect().and_then(|mut remote| remote.ask(&[b"CIRCLET", b"RELOAD"])) {
        Ok(reply) if flags.json => say(format_args!("{:#}", json(&reply))),
        Ok(reply) => say(lines(&reply)),
        Err(text) => {
            complain(text);
            return Exit::NotStarted;
        }
    }
    Exit::Ended
}
