//! `circlet lock`: which locks there are, who has one and why it cannot be had, and freeing one. Io.

use clap::{Args, Subcommand};
use redis_protocol::resp2::types::OwnedFrame;
use serde_json::json;

use super::{
    Exit, complain,
    operator::{At, ended, json as for_programs, told},
    say,
};

const EXAMPLES: &str = "\
Examples:
  circlet lock list 'orders:*'
  circlet lock info orders
  circlet lock info orders --db 2 --json
  circlet lock release orders --token 9f86d081884c7d659a2feaa0c55ad015
  circlet lock release orders --force

Exit codes: 0 done; 1 the running Circlet cannot be asked, or refuses, or the lock was not held; 2 wrong flags.";

/// Flags of `circlet lock`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the locks that this Circlet has granted, and those that its clients wait for.
    List {
        /// Only those whose names match, as in KEYS.
        #[arg(value_name = "PATTERN")]
        pattern: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Tells who has a lock, what each of its nodes says, and why it could not be had now.
    Info {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Frees a lock: its owner's, by its token, or whoever's it is.
    Release {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// The token that LOCK.ACQUIRE gave.
        #[arg(long, value_name = "TOKEN", required_unless_present = "force", conflicts_with = "force")]
        token: Option<String>,
        /// Free it whoever has it: its holder goes on as if it had it, until it asks. An operator's right, as a change of nodes is.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
}

/// Flags that all of them have.
#[derive(Args, Debug)]
struct Common {
    #[command(flatten)]
    at: At,
    /// The db of the lock's clients.
    #[arg(long, value_name = "N", default_value_t = 0)]
    db: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows or frees.
pub(super) fn run(flags: &Flags) -> Exit {
    ended(carry_out(&flags.what))
}

fn carry_out(what: &What) -> Result<Exit, String> {
    match what {
        What::List { pattern, common } => {
            let reply = match pattern {
                Some(pattern) => common.ask(&["LOCK.LIST", pattern])?,
                None => common.ask(&["LOCK.LIST"])?,
            };
            if !common.json && matches!(&reply, OwnedFrame::Array(locks) if locks.is_empty()) {
                say("no lock is held through this Circlet, and nobody waits for one");
            } else {
                common.show(&reply);
            }
        }
        What::Info { name, common } => common.show(&common.ask(&["LOCK.INFO", name])?),
        What::Release { name, token, common, .. } => {
            let reply = common.ask(&["LOCK.RELEASE", name, token.as_deref().unwrap_or("FORCE")])?;
            return Ok(common.released(name, reply == OwnedFrame::Integer(1)));
        }
    }
    Ok(Exit::Ended)
}

impl Common {
    fn ask(&self, words: &[&str]) -> Result<OwnedFrame, String> {
        let mut remote = self.at.connect()?;
        if self.db != 0 {
            remote.ask(&[b"SELECT", self.db.to_string().as_bytes()])?;
        }
        remote.ask(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
    }

    fn show(&self, reply: &OwnedFrame) {
        if self.json {
            say(format_args!("{:#}", for_programs(reply)));
        } else {
            say(told(reply).trim_end());
        }
    }

    /// Tells whether it was freed.
    fn released(&self, name: &str, freed: bool) -> Exit {
        if self.json {
            say(format_args!("{:#}", json!({ "name": name, "db": self.db, "released": freed })));
        } else if freed {
            say(format_args!("lock '{name}' is free"));
        } else {
            complain(format_args!("lock '{name}' was not held like that; circlet lock info shows who has it"));
        }
        if freed { Exit::Ended } else { Exit::NotStarted }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::{
        cli::operator::fake::Fake,
        traffic::resp::{Fields, Proto},
    };

    fn run(line: &str, at: &str) -> Exit {
        let words = format!("circlet lock {line} --at {at}");
        crate::cli::run(words.split(' ').map(OsString::from))
    }

    fn info() -> Vec<u8> {
        let mut out = Vec::new();
        Fields::of(&[("name", "orders".to_owned()), ("state", "free".to_owned())], Proto::Resp2).end(&mut out);
        out
    }

    #[test]
    fn every_subcommand_is_its_command() {
        let (info, one): (&[u8], &[u8]) = (&info(), b":1\r\n");
        for (line, words, reply) in [
            ("list", "LOCK.LIST", &b"*0\r\n"[..]),
            ("list --json", "LOCK.LIST", b"*0\r\n"),
            ("list or*", "LOCK.LIST or*", &[b"*1\r\n", info].concat()),
            ("info orders", "LOCK.INFO orders", info),
            ("info orders --json", "LOCK.INFO orders", info),
            ("release orders --token c0ffee", "LOCK.RELEASE orders c0ffee", one),
            ("release orders --force --json", "LOCK.RELEASE orders FORCE", one),
        ] {
            let fake = Fake::with(&[reply]);
            assert_eq!(run(line, fake.address()), Exit::Ended, "{line}");
            assert_eq!(fake.asked(), [words]);
        }
        let fake = Fake::with(&[b"+OK\r\n", info]);
        assert_eq!(run("info orders --db 2", fake.address()), Exit::Ended);
        assert_eq!(fake.asked(), ["SELECT 2", "LOCK.INFO orders"]);
    }

    #[test]
    fn what_was_not_freed_is_no_success() {
        for reply in [&b":0\r\n"[..], b"-NOQUORUM lock 'orders': 1 of 3 nodes answered\r\n", b"-NOPERM no\r\n"] {
            for json in ["", " --json"] {
                let fake = Fake::with(&[reply]);
                assert_eq!(run(&format!("release orders --force{json}"), fake.address()), Exit::NotStarted);
                assert_eq!(fake.asked(), ["LOCK.RELEASE orders FORCE"]);
            }
        }
    }

    #[test]
    fn wrong_flags_are_found_out_before_anybody_is_asked() {
        for line in
            ["", "info", "release orders", "release --force", "release orders --token t --force", "info o --db x"]
        {
            assert_eq!(run(line.trim(), "127.0.0.1:1"), Exit::Misconfigured, "{line}");
        }
    }
}
