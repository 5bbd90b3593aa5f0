//! `circlet node`: nodes join, leave, change weight or are replaced, under a running Circlet.
//!
//! ```text
//!  arguments ──► wishes ──► CIRCLET PLAN ──► shown ──► yes? ──► CIRCLET NODE ──► (--watch) CIRCLET REBALANCE STATUS
//! ```
//! Nothing is changed before the plan was shown and somebody said yes, at the terminal or by --yes. Io.

mod wishes;

use clap::{Args, Subcommand};
use serde_json::json;

use self::wishes::Login;
pub(super) use self::wishes::{Changes, command};
use super::{
    Exit, complain,
    operator::{At, Consent, consent, ended, planned, text},
    plan, rebalance,
    remote::Remote,
    say,
};
use crate::{
    config,
    control::rebalance::{
        members::{Member, Wish},
        words,
    },
};

const EXAMPLES: &str = "\
Examples:
  circlet node add cache-d 10.0.0.4:6379 --watch
  circlet node remove cache-a --at 10.0.0.9:6380 --token-file token
  circlet node replace cache-b 10.0.0.12:6379 --node-password-file secret
  circlet node change --add d=127.0.0.1:7004*2 --remove a --weight b=2 --yes

Keys are moved while clients go on; circlet rebalance shows and steers it. With --yes nobody is asked, as
scripts need it.

Exit codes: 0 taken on, or not wanted after all; 1 the running Circlet cannot be asked, or refuses; 2 wrong
flags, or nobody is there to say yes.";

/// Flags of `circlet node`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A node joins: it gets its share of the keys from the others.
    Add {
        /// Its name, which decides with the weight which keys it has.
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it listens: host:port or unix:/path. It should be empty.
        #[arg(value_name = "ADDRESS")]
        address: String,
        /// Its share of the keys relative to the others'.
        #[arg(long, value_name = "W", default_value = "1")]
        weight: String,
        #[command(flatten)]
        login: Login,
        #[command(flatten)]
        how: How,
    },
    /// A node leaves: its keys are moved to the others first.
    Remove {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// A node has another weight: keys are moved to it, or from it.
    Weight {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Its new weight.
        #[arg(value_name = "W")]
        weight: String,
        #[command(flatten)]
        how: How,
    },
    /// Another server takes a node's name, its place on the ring and all of its keys.
    Replace {
        /// The node's name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Where the other server listens.
        #[arg(value_name = "ADDRESS")]
        address: String,
        #[command(flatten)]
        login: Login,
        #[command(flatten)]
        how: How,
    },
    /// A node is dead and does not come back: its keys are given up.
    Forget {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Says that its keys are lost, and that this is known.
        #[arg(long, required = true)]
        lost: bool,
        #[command(flatten)]
        how: How,
    },
    /// Several of these together, as one change: no key is moved twice.
    Change {
        #[command(flatten)]
        changes: Changes,
        /// Says that the keys of nodes to --forget are lost, and that this is known.
        #[arg(long)]
        lost: bool,
        #[command(flatten)]
        how: How,
    },
}

/// How a change is made.
#[derive(Args, Debug)]
struct How {
    #[command(flatten)]
    at: At,
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
    /// Then show how far it is, until it is done.
    #[arg(long)]
    watch: bool,
    /// Print JSON: the plan, and what Circlet answered. Wants --yes.
    #[arg(long, requires = "yes")]
    json: bool,
}

/// Changes nodes.
pub(super) fn run(flags: Flags) -> Exit {
    let (wishes, how) = match flags.what.wishes() {
        Ok(wished) => wished,
        Err(text) => {
            complain(text);
            return Exit::Misconfigured;
        }
    };
    ended(change(&wishes, &how))
}

impl What {
    /// What is wished, and how.
    fn wishes(self) -> Result<(Vec<Wish>, How), String> {
        let weighed = |text: &str| config::node_weight(text).map_err(|cure| format!("weight {text}: {cure}"));
        let placed = |text: &str| config::node_address(text).map_err(|cure| format!("address: {cure}"));
        match self {
            Self::Add { name, address, weight, login, how } => {
                let name = config::node_name(&name).map_err(|cure| format!("name: {cure}"))?;
                let credentials = login.credentials()?.unwrap_or_default();
                Ok((vec![Wish::Add(Member::new(&name, placed(&address)?, weighed(&weight)?, credentials))], how))
            }
            Self::Remove { name, how } => Ok((vec![Wish::Remove(name)], how)),
            Self::Weight { name, weight, how } => Ok((vec![Wish::Weight(name, weighed(&weight)?)], how)),
            Self::Replace { name, address, login, how } => {
                let (address, credentials) = (placed(&address)?, login.credentials()?);
                Ok((vec![Wish::Replace { name, address, credentials }], how))
            }
            Self::Forget { name, how, .. } => Ok((vec![Wish::Forget(name)], how)),
            Self::Change { changes, how, .. } => Ok((changes.wishes()?, how)),
        }
    }
}

fn change(wishes: &[Wish], how: &How) -> Result<Exit, String> {
    let mut remote = how.at.connect()?;
    let plan = plan::ask(&mut remote, &how.at.at, wishes)?;
    if !how.json {
        say(planned(&plan).trim_end());
    }
    if !how.yes {
        match consent(&format!("{}: go on?", words::text(wishes))) {
            Consent::Yes => {}
            Consent::No => {
                say("nothing was changed");
                return Ok(Exit::Ended);
            }
            Consent::Nobody => {
                complain("nothing was changed, since nobody is at a terminal to say yes; give --yes");
                return Ok(Exit::Misconfigured);
            }
        }
        // Whoever has thought it over for long has a connection that may be gone.
        remote = how.at.connect()?;
    }
    let answer = order(&mut remote, wishes)?;
    if how.json {
        say(format_args!("{:#}", json!({ "plan": plan, "answer": answer })));
    } else {
        say(&answer);
    }
    if how.watch { rebalance::watch(&mut remote, how.json) } else { Ok(Exit::Ended) }
}

/// Gives the order; what was answered.
fn order(remote: &mut Remote, wishes: &[Wish]) -> Result<String, String> {
    let words = command("NODE", wishes);
    let reply = remote.ask(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    Ok(text(&reply))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::{
        cli::operator::fake::Fake,
        control::rebalance::plan::{Pair, Plan},
        traffic::resp::Proto,
    };

    fn run(line: &str, at: &str) -> Exit {
        let words = format!("circlet {line} --at {at}");
        crate::cli::run(words.split(' ').map(OsString::from))
    }

    fn reply() -> Vec<u8> {
        let pair = Pair { from: "a".into(), to: "d".into(), ..Pair::default() };
        Plan { pairs: vec![pair], ..Plan::default() }.reply(Proto::Resp2)
    }

    #[test]
    fn a_change_is_planned_and_then_ordered() {
        for (line, words) in [
            ("node add d h:7004 --weight 2 --yes", "ADD d h:7004 WEIGHT 2"),
            ("node remove a --yes --json", "REMOVE a"),
            ("node weight a 2 --yes", "WEIGHT a 2"),
            ("node replace a h:7004 --yes", "REPLACE a h:7004"),
            ("node forget a --lost --yes", "FORGET a --lost"),
            ("node change --remove a --forget b --lost --yes", "REMOVE a AND FORGET b --lost"),
        ] {
            let fake = Fake::with(&[&reply(), b"+OK change 3: begun\r\n"]);
            assert_eq!(run(line, fake.address()), Exit::Ended);
            assert_eq!(fake.asked(), [format!("CIRCLET PLAN {words}"), format!("CIRCLET NODE {words}")]);
        }
    }

    #[test]
    fn without_a_yes_nothing_is_ordered() {
        let fake = Fake::with(&[&reply()]);
        assert_eq!(run("node remove a", fake.address()), Exit::Misconfigured);
        assert_eq!(fake.asked(), ["CIRCLET PLAN REMOVE a"]);
        // A plan that is refused is no plan.
        let fake = Fake::with(&[b"-ERR there is no node z; use one of a, b\r\n"]);
        assert_eq!(run("node remove z --yes", fake.address()), Exit::NotStarted);
        assert_eq!(fake.asked().len(), 1);
    }

    #[test]
    fn wrong_flags_are_found_out_before_anybody_is_asked() {
        for line in [
            "node",
            "node add d",
            "node add d nowhere --yes",
            "node add d h:1 --weight 0 --yes",
            "node weight a much --yes",
            "node forget a --yes",
            "node change --yes",
            "node change --forget a --yes",
            "node remove a --json",
            "node replace a h:1 --user u --yes",
            "node replace a h:1 --node-password-file /nonexistent --yes",
        ] {
            assert_eq!(run(line, "127.0.0.1:1"), Exit::Misconfigured, "{line}");
        }
    }

    #[test]
    fn a_password_goes_from_its_file_to_the_node() {
        let dir = crate::scratch::Scratch::new("node-cli");
        let file = dir.write("secret", "hush\n");
        let fake = Fake::with(&[&reply(), b"+OK\r\n"]);
        let line = format!("node add d h:1 --user u --node-password-file {} --yes", file.display());
        assert_eq!(run(&line, fake.address()), Exit::Ended);
        assert_eq!(fake.asked()[1], "CIRCLET NODE ADD d h:1 USER u PASSWORD hush");
    }
}
