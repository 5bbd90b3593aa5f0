//! `circlet completions`: a script for a shell, made from the rows that `--help` is made from. Io.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Exit, pour};

const EXAMPLES: &str = "\
Examples:
  circlet completions bash > /etc/bash_completion.d/circlet
  circlet completions zsh > /usr/local/share/zsh/site-functions/_circlet
  circlet completions fish > ~/.config/fish/completions/circlet.fish
  source <(circlet completions bash)";

/// Flags of `circlet completions`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// For which shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script.
pub(super) fn run(flags: &Flags) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), "circlet", &mut script);
    pour(&script);
    Exit::Ended
}
