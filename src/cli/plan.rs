//! `circlet plan`: what a change of nodes would move, asked of a running Circlet. Nothing is changed. Io.

use clap::Args;
use redis_protocol::resp2::types::OwnedFrame;

use super::{
    Exit, complain,
    node::{Changes, command},
    operator::{At, planned},
    remote::Remote,
    say,
};
use crate::control::rebalance::{members::Wish, plan::Plan};

const EXAMPLES: &str = "\
Examples:
  circlet plan --add cache-d=10.0.0.4:6379
  circlet plan --remove cache-a --weight cache-b=2 --json

It knows how many keys the nodes have. circlet ring --plan tells the shares alone, also of a configuration that
is not served.

Exit codes: 0 told; 1 the running Circlet cannot be asked, or refuses; 2 wrong flags.";

/// Flags of `circlet plan`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    #[command(flatten)]
    changes: Changes,
    /// Says that the keys of nodes to --forget are lost, and that this is known.
    #[arg(long)]
    lost: bool,
    #[command(flatten)]
    at: At,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Tells a plan.
pub(super) fn run(flags: &Flags) -> Exit {
    let wishes = match flags.changes.wishes() {
        Ok(wishes) => wishes,
        Err(text) => {
            complain(text);
            return Exit::Misconfigured;
        }
    };
    match flags.at.connect().and_then(|mut remote| ask(&mut remote, &flags.at.at, &wishes)) {
        Ok(plan) if flags.json => say(serde_json::to_string_pretty(&plan).unwrap_or_default()),
        Ok(plan) => say(planned(&plan).trim_end()),
        Err(text) => {
            complain(text);
            return Exit::NotStarted;
        }
    }
    Exit::Ended
}

/// The plan of `wishes`, of the Circlet at `address`.
pub(super) fn ask(remote: &mut Remote, address: &str, wishes: &[Wish]) -> Result<Plan, String> {
    let words = command("PLAN", wishes);
    let reply: OwnedFrame = remote.ask(&words.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
    Plan::from_frame(reply)
        .ok_or_else(|| format!("--at {address}: its answer is not understood; is it another version?"))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::{cli::operator::fake::Fake, traffic::resp::Proto};

    fn run(line: &str, at: &str) -> Exit {
        let words = format!("circlet {line} --at {at}");
        crate::cli::run(words.split(' ').map(OsString::from))
    }

    #[test]
    fn a_plan_is_asked_for_and_nothing_else() {
        let reply = Plan { parts: 1, ..Plan::default() }.reply(Proto::Resp2);
        for json in ["", " --json"] {
            let fake = Fake::with(&[&reply]);
            assert_eq!(run(&format!("plan --add d=h:1 --remove a{json}"), fake.address()), Exit::Ended);
            assert_eq!(fake.asked(), ["CIRCLET PLAN ADD d h:1 AND REMOVE a"]);
        }
        let fake = Fake::with(&[b"+what\r\n"]);
        assert_eq!(run("plan --remove a", fake.address()), Exit::NotStarted);
        assert_eq!(run("plan --add d", "127.0.0.1:1"), Exit::Misconfigured);
        assert_eq!(run("plan", "127.0.0.1:1"), Exit::Misconfigured);
    }
}
