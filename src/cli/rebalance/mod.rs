//! `circlet rebalance`: how far a change of nodes is, and how it is steered. Io.

mod watch;

use std::time::Duration;

use clap::{Args, Subcommand};

use self::watch::numbered;
pub(super) use self::watch::watch;
use super::{
    Exit,
    operator::{At, ended, json, lines},
    say,
};

/// Time in which a verification answers: it asks every node for many keys.
const VERIFY_TIME: Duration = Duration::from_secs(600);

const EXAMPLES: &str = "\
Examples:
  circlet rebalance status --watch
  circlet rebalance rate 5000
  circlet rebalance pause --at unix:/run/circlet.sock
  circlet rebalance verify --json

Exit codes: 0 done; 1 the running Circlet cannot be asked, or refuses; 2 wrong flags.";

/// Flags of `circlet rebalance`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tells how far the change of nodes is.
    Status {
        #[command(flatten)]
        common: Common,
        /// Go on showing it until the change is done.
        #[arg(long)]
        watch: bool,
    },
    /// Moves no more keys until told to resume; clients go on, and keys that they ask for are still moved.
    Pause(Common),
    /// Moves keys again after a pause, or after what had stopped it was put right.
    Resume(Common),
    /// Sets how fast keys are moved, for the change that is under way.
    Rate {
        /// Keys per second; 0: as fast as the nodes can.
        #[arg(value_name = "N")]
        keys: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Takes the change back: keys that were moved are moved back.
    Abort(Common),
    /// Looks whether keys lie where they should: counts of every node, and a sample of keys.
    Verify(Common),
}

/// Flags that all of them have.
#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows or steers.
pub(super) fn run(flags: &Flags) -> Exit {
    ended(carry_out(&flags.what))
}

fn carry_out(what: &What) -> Result<Exit, String> {
    let (words, common) = match what {
        What::Status { common, watch: true } => return watch(&mut common.at.connect()?, common.json),
        What::Status { common, .. } => (vec!["STATUS".to_owned()], common),
        What::Pause(common) => (vec!["PAUSE".to_owned()], common),
        What::Resume(common) => (vec!["RESUME".to_owned()], common),
        What::Rate { keys, common } => (vec!["RATE".to_owned(), keys.to_string()], common),
        What::Abort(common) => (vec!["ABORT".to_owned()], common),
        What::Verify(common) => (vec!["VERIFY".to_owned()], common),
    };
    let mut remote = common.at.connect()?;
    if matches!(what, What::Verify(_)) {
        remote.wait_for(VERIFY_TIME)?;
    }
    let mut line: Vec<&[u8]> = vec![b"CIRCLET", b"REBALANCE"];
    line.extend(words.iter().map(String::as_bytes));
    let reply = remote.ask(&line)?;
    if common.json {
        say(format_args!("{:#}", numbered(json(&reply))));
    } else {
        say(lines(&reply));
    }
    Ok(Exit::Ended)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::operator::fake::Fake;

    fn run(line: &str, at: &str) -> Exit {
        let words = format!("circlet {line} --at {at}");
        crate::cli::run(words.split(' ').map(OsString::from))
    }

    #[test]
    fn every_subcommand_is_its_command() {
        for (line, words) in [
            ("status", "STATUS"),
            ("status --json", "STATUS"),
            ("pause", "PAUSE"),
            ("resume", "RESUME"),
            ("rate 5000", "RATE 5000"),
            ("abort --json", "ABORT"),
            ("verify", "VERIFY"),
        ] {
            let fake = Fake::with(&[b"+OK\r\n"]);
            assert_eq!(run(&format!("rebalance {line}"), fake.address()), Exit::Ended);
            assert_eq!(fake.asked(), [format!("CIRCLET REBALANCE {words}")]);
        }
        let fake = Fake::with(&[b"*2\r\n$7\r\nchanged\r\n*0\r\n"]);
        assert_eq!(run("reload --json", fake.address()), Exit::Ended);
        assert_eq!(fake.asked(), ["CIRCLET RELOAD"]);
        let fake = Fake::with(&[b"-ERR nothing is under way\r\n"]);
        assert_eq!(run("rebalance abort", fake.address()), Exit::NotStarted);
        assert_eq!(run("rebalance rate fast", fake.address()), Exit::Misconfigured);
    }

    #[test]
    fn a_watch_ends_with_the_change() {
        let status = |state: &str, moved: u64| {
            let text = format!(
                "*8\r\n$5\r\nstate\r\n${}\r\n{state}\r\n$10\r\nkeys-moved\r\n:{moved}\r\n$9\r\nkeys-left\r\n:{}\r\n$10\r\nlast-error\r\n$0\r\n\r\n",
                state.len(),
                100 - moved
            );
            text.into_bytes()
        };
        for json in ["", " --json"] {
            let replies = [status("fence", 0), status("moving", 40), status("purging", 100), status("idle", 100)];
            let fake = Fake::with(&replies.each_ref().map(Vec::as_slice));
            assert_eq!(run(&format!("rebalance status --watch{json}"), fake.address()), Exit::Ended);
            assert_eq!(fake.asked().len(), 4);
        }
    }
}
