//! `circlet check`: what is wrong in a configuration; then what it comes to, and what is risky in it.
//!
//! ```text
//!  FILE, flags ──► mistakes, all at once, on standard error ──► exit 2
//!             └──► every option, the ring's shares, the risks, on standard output ──► exit 0, or 4 with --strict and a risk
//!  --twemproxy ──► pools.rs: the equal circlet.toml of each pool, all else as remarks in it
//! ```
//! Nothing is started, no node is asked. Io.

mod pools;
mod risk;

use std::{fs, path::PathBuf};

use clap::Args;

use self::risk::Machine;
use super::{Deployment, Exit, bars, complain, say};
use crate::{
    config::{self, Config, twemproxy},
    control::file_limit,
    traffic::route::Ring,
};

const EXAMPLES: &str = "\
Examples:
  circlet check conf/circlet.toml && systemctl restart circlet
  circlet check conf/circlet.toml --strict --set workers=2
  circlet check --twemproxy nutcracker.yml
  circlet check --twemproxy nutcracker.yml --pool alpha > circlet.toml

Exit codes:
  0  nothing is wrong
  2  something is wrong; every mistake is listed on standard error
  4  with --strict: nothing is wrong, but something is risky

Flags go over the file, as for circlet serve.";

/// Flags of `circlet check`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// The configuration file.
    #[arg(value_name = "FILE", required_unless_present = "node")]
    file: Option<PathBuf>,
    /// FILE is twemproxy's: print the circlet.toml that does the same as each pool, and what is not the same.
    #[arg(long, requires = "file")]
    twemproxy: bool,
    /// Which pool of twemproxy's file (may be repeated) [default: every pool that speaks Redis].
    #[arg(long, value_name = "NAME", requires = "twemproxy")]
    pool: Vec<String>,
    /// Exit with 4 if something is risky.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    deployment: Deployment,
}

/// Checks; the exit tells what was found.
pub(super) fn run(flags: Flags) -> Exit {
    let Flags { file, twemproxy, pool, strict, deployment } = flags;
    let overrides = deployment.into_overrides();
    let report = match file {
        Some(file) if twemproxy => {
            twemproxy::load(&file, &pool, &overrides).map(|import| pools::report(&file.display().to_string(), &import))
        }
        file => config::load(file.as_deref(), &overrides).map(|config| of_circlet(&config)),
    };
    match report {
        Ok((text, risky)) => {
            say(text.trim_end());
            if risky && strict { Exit::Risky } else { Exit::Ended }
        }
        Err(mistakes) => {
            complain(format_args!("the configuration is wrong:\n{mistakes}"));
            Exit::Misconfigured
        }
    }
}

/// The report on a configuration, and whether it tells of a risk.
fn of_circlet(config: &Config) -> (String, bool) {
    let (shares, risks) = ring_and_risks(config, &machine(config));
    let mut text = format!("# Every option\n\n{config}\n# Shares of the keys\n\n{}", indented(&shares));
    text += "\n# What is risky\n\n";
    text +=
        &if risks.is_empty() { "Nothing is wrong, and nothing known is risky.\n".to_owned() } else { listed(&risks) };
    (text, !risks.is_empty())
}

/// This machine, for a process that serves nothing else.
fn machine(config: &Config) -> Machine {
    Machine { open_files: file_limit::shortage_of(std::slice::from_ref(config)), memory: memory() }
}

/// Shares and risks of `config` on `machine`.
fn ring_and_risks(config: &Config, machine: &Machine) -> (String, Vec<String>) {
    match config.ring() {
        Ok(ring) => (bars::shares(&config.nodes, Ring::shares(&ring)), risk::risks(config, &ring, machine)),
        // Not for a configuration that was loaded; and if so, it is told.
        Err(error) => (String::new(), vec![error.to_string()]),
    }
}

fn listed(items: &[String]) -> String {
    items.iter().map(|item| format!("- {item}\n")).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Memory of this machine, or of the control group that this process is in, if that is less; `None`: not known.
fn memory() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    });
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    fn config(nodes: &[&str], set: &[&str]) -> Config {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        load(None, &Overrides { nodes: owned(nodes), set: owned(set), ..Overrides::default() }).unwrap()
    }

    #[test]
    fn the_report_shows_options_shares_and_risks() {
        let (text, risky) = of_circlet(&config(&["a=127.0.0.1:1"], &["workers=3"]));
        for part in [
            "workers = 3\n",
            "[[nodes]]\nname = \"a\"\n",
            "\n  a  127.0.0.1:1  weight 1  100.00 %  █",
            "- there is one node, a",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(risky);
    }
}
