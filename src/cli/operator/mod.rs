//! A running Circlet and the operator at the terminal: how one reaches it, and what all of its subcommands share.
//!
//! `circlet node`, `plan`, `rebalance`, `reload` and `lock` are thin clients of the commands `CIRCLET …` and `LOCK.…`: what they
//! may do, what they mean and what is wrong with them is the running Circlet's word. Io.

mod number;
mod planned;
mod table;
mod told;

use std::{
    env, fs,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
};

use clap::Args;
use redis_protocol::resp2::types::OwnedFrame;
use serde_json::{Map, Value};

pub(super) use self::{
    number::{bytes, count, percent, time},
    planned::planned,
    told::told,
};
use super::{Exit, complain, remote::Remote};

/// The environment's variable with the token.
const TOKEN: &str = "CIRCLET_ADMIN_TOKEN";

/// Where a Circlet runs, and what it wants to hear first.
#[derive(Args, Debug)]
pub(super) struct At {
    /// The Circlet that runs there: host:port or unix:/path, where its clients connect.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6380")]
    pub(super) at: String,
    /// File with the password that its clients give; without it, the environment's REDISCLI_AUTH, as for redis-cli.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with its admin_token, which it wants from other machines; without it, the environment's CIRCLET_ADMIN_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl At {
    /// Connects, as an operator.
    pub(super) fn connect(&self) -> Result<Remote, String> {
        let token = match &self.token_file {
            Some(path) => Some(first_line(path)?),
            None => env::var(TOKEN).ok().filter(|token| !token.is_empty()),
        };
        let mut remote = Remote::connect(&self.at, self.password_file.as_deref())?;
        if let Some(token) = token {
            remote.ask(&[b"CIRCLET", b"AUTH", token.as_bytes()])?;
        }
        Ok(remote)
    }
}

fn first_line(path: &PathBuf) -> Result<String, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("--token-file: {} cannot be read ({error})", path.display()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("--token-file: {} is empty; write the token into it", path.display())),
    }
}

/// How a subcommand ends that has asked a running Circlet; why it could not, or was refused, is told.
pub(super) fn ended(done: Result<Exit, String>) -> Exit {
    done.unwrap_or_else(|text| {
        complain(text);
        Exit::NotStarted
    })
}

/// What the person at the terminal says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Yes,
    No,
    /// Nobody is there who could be asked.
    Nobody,
}

/// Asks, if somebody is there.
pub(super) fn consent(question: &str) -> Consent {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Consent::Nobody;
    }
    let mut answer = String::new();
    let asked = write!(io::stderr(), "{question} [y/N] ").and_then(|()| io::stderr().flush());
    if asked.is_err() || io::stdin().read_line(&mut answer).is_err() {
        return Consent::Nobody;
    }
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) { Consent::Yes } else { Consent::No }
}

/// A reply for people: text as it is, a list of fields and values as aligned lines, other lists element by element.
pub(super) fn lines(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::Array(items) => match fields(items) {
            Some(fields) => {
                let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
                let line = |(name, value): &(String, &OwnedFrame)| {
                    format!("{name:width$}  {}", lines(value)).trim_end().to_owned()
                };
                fields.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            None => {
                let lists = items.iter().any(|item| matches!(item, OwnedFrame::Array(_)));
                items.iter().map(lines).collect::<Vec<_>>().join(if lists { "\n\n" } else { "\n" })
            }
        },
        other => text(other),
    }
}

/// A reply for programs.
pub(super) fn json(frame: &OwnedFrame) -> Value {
    match frame {
        OwnedFrame::Integer(number) => (*number).into(),
        OwnedFrame::Null => Value::Null,
        OwnedFrame::Array(items) => match fields(items) {
            Some(fields) => {
                let pairs = fields.into_iter().map(|(name, value)| (name, json(value)));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
            None => Value::Array(items.iter().map(json).collect()),
        },
        other => text(other).into(),
    }
}

/// Names and values, if the list can be read so: every other element is a name, none stands twice.
fn fields(items: &[OwnedFrame]) -> Option<Vec<(String, &OwnedFrame)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    let is_name = |frame: &OwnedFrame| {
        matches!(frame, OwnedFrame::BulkString(_) | OwnedFrame::SimpleString(_)) && !text(frame).contains(' ')
    };
    if !rest.is_empty() || pairs.is_empty() || !pairs.iter().all(|[name, _]| is_name(name)) {
        return None;
    }
    let fields: Vec<(String, &OwnedFrame)> = pairs.iter().map(|[name, value]| (text(name), value)).collect();
    let unique: std::collections::BTreeSet<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    (unique.len() == fields.len()).then_some(fields)
}

/// A single value as text.
pub(super) fn text(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::BulkString(bytes) | OwnedFrame::SimpleString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        OwnedFrame::Integer(number) => number.to_string(),
        OwnedFrame::Error(line) => line.clone(),
        OwnedFrame::Null => String::new(),
        OwnedFrame::Array(_) => lines(frame),
    }
}

#[cfg(test)]
pub(super) mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> OwnedFrame {
        OwnedFrame::BulkString(text.into())
    }

    #[test]
    fn replies_are_told_to_people_and_programs() {
        let status = OwnedFrame::Array(vec![bulk("state"), bulk("idle"), bulk("keys-left"), OwnedFrame::Integer(7)]);
        assert_eq!(lines(&status), "state      idle\nkeys-left  7");
        assert_eq!(json(&status).to_string(), r#"{"keys-left":7,"state":"idle"}"#);
        let list = OwnedFrame::Array(vec![status.clone(), status]);
        assert_eq!(json(&list).as_array().unwrap().len(), 2);
        assert_eq!(lines(&list).lines().count(), 5);
        assert_eq!(json(&OwnedFrame::Null), Value::Null);
        let twice = OwnedFrame::Array(vec![bulk("a"), bulk("b"), bulk("a"), bulk("c")]);
        assert!(json(&twice).is_array());
    }
}
