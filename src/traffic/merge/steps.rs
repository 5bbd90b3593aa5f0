//! Commands that ask the nodes several times: the replies of a round decide what is asked in the next.
//!
//! ```text
//!  CONFIG SET   read the old values ─► set here, then there ─► all did: Answer | some did: put all back ─► Answer
//!  SWAPDB                              swap ─► all did: Answer | some did: swap again where it was done ─► Answer
//!  DEBUG        do all nodes allow it? ─► do it ─► Answer
//!  CLUSTER GETKEYSINSLOT   scan ─► scan on … ─► Answer
//!  CONFIG GET   ask ─► add Circlet's own options ─► Answer
//! ```
//! Each is a small machine behind one question, [`Steps::next`]: the complete round goes in, what is to be done comes out.
//! What must be undone is undone although the client is gone ([`Steps::outlives_client`]). Two clients that change the
//! same parameter at once may each find the other's value in the middle; the nodes then hold what was set last. Bounded
//! by the request and the replies of one round; what is kept from round to round ([`Steps::held`]) counts as owed to the
//! client. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod config_get;
mod config_set;
mod debug;
mod slot_keys;
mod swap_db;

pub use config_get::ConfigGet;
pub use config_set::ConfigSet;
pub use debug::Debug;
pub use slot_keys::SlotKeys;
pub use swap_db::SwapDb;

use super::{Aggregate, Context, Part, State, gather, text_of};
use crate::traffic::{resp::encode, route::NodeId};

/// A request to one node.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// The node.
    pub node: NodeId,
    /// The whole request.
    pub request: Vec<u8>,
}

/// What is to be done after a round.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Another round, of at least one question.
    Ask(Vec<Question>),
    /// Change these options of Circlet, then [`Steps::changed`], which ends it or asks again.
    Change(Vec<(String, String)>),
    /// The reply; it is over.
    Answer(Vec<u8>),
}

/// A command under way.
#[derive(Debug)]
pub enum Steps {
    /// `CONFIG GET`
    ConfigGet(ConfigGet),
    /// `CONFIG SET`
    ConfigSet(ConfigSet),
    /// `SWAPDB`
    SwapDb(SwapDb),
    /// `DEBUG`
    Debug(Debug),
    /// `CLUSTER COUNTKEYSINSLOT`, `CLUSTER GETKEYSINSLOT`
    SlotKeys(SlotKeys),
}

/// A command under way, and what holds for all its rounds.
#[derive(Debug)]
pub struct Course {
    /// How far it is.
    pub steps: Steps,
    /// The db of the client that gave it.
    pub db: u32,
    /// The command's row.
    pub row: u16,
    /// What of [`Steps::held`] has been counted as held for the client.
    pub held: usize,
}

impl Steps {
    /// What is to be done now that all parts of `round` are there. `run` tells which run of a node's process is connected.
    pub fn next(&mut self, round: &Aggregate, cx: &Context<'_>, run: &dyn Fn(NodeId) -> u32) -> Next {
        match self {
            Self::ConfigGet(steps) => steps.next(round, cx),
            Self::ConfigSet(steps) => steps.next(round, cx),
            Self::SwapDb(steps) => steps.next(round, cx),
            Self::Debug(steps) => steps.next(round, cx),
            Self::SlotKeys(steps) => steps.next(round, cx, run),
        }
    }

    /// What is to be done after Circlet's options were changed, or why they could not be.
    pub fn changed(&mut self, result: Result<(), String>) -> Next {
        match self {
            Self::ConfigSet(steps) => steps.changed(result),
            Self::ConfigGet(_) | Self::SwapDb(_) | Self::Debug(_) | Self::SlotKeys(_) => Next::Answer(ok()),
        }
    }

    /// Bytes of memory that it holds from round to round, beyond the request.
    #[must_use]
    pub fn held(&self) -> usize {
        match self {
            Self::SlotKeys(steps) => steps.held(),
            Self::ConfigGet(_) | Self::ConfigSet(_) | Self::SwapDb(_) | Self::Debug(_) => 0,
        }
    }

    /// Whether it goes on when its client is gone, so that no node is left different from the others.
    #[must_use]
    pub fn outlives_client(&self) -> bool {
        matches!(self, Self::ConfigSet(_) | Self::SwapDb(_))
    }

    /// Whether this round is what the client asked for, and is measured as the command.
    #[must_use]
    pub fn acts(&self) -> bool {
        match self {
            Self::ConfigGet(_) | Self::SlotKeys(_) => true,
            Self::ConfigSet(steps) => steps.sets(),
            Self::SwapDb(steps) => steps.swaps(),
            Self::Debug(steps) => !steps.only_reads(),
        }
    }

    /// Whether the questions of this round only read, so that they may be sent twice.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        match self {
            Self::ConfigGet(_) | Self::SlotKeys(_) => true,
            Self::ConfigSet(steps) => steps.only_reads(),
            Self::Debug(steps) => steps.only_reads(),
            Self::SwapDb(_) => false,
        }
    }
}

/// A request of these words.
fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::array_header(&mut out, words.len());
    words.iter().for_each(|word| encode::bulk(&mut out, word));
    out
}

fn ok() -> Vec<u8> {
    b"+OK\r\n".to_vec()
}

fn error(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::error(&mut out, text);
    out
}

/// The error of `part` as an answer, with `more` behind it.
fn error_of(round: &Aggregate, part: &Part, cx: &Context<'_>, more: &str) -> Vec<u8> {
    let mut out = Vec::new();
    gather::error_of(round, part, cx, &mut out);
    out.truncate(out.trim_ascii_end().len());
    out.extend_from_slice(more.as_bytes());
    out.extend_from_slice(b"\r\n");
    out
}

/// The first part without success.
fn first_failed(round: &Aggregate) -> Option<&Part> {
    round.parts.iter().find(|part| round.is_error(part))
}

/// Whether every node refused it, with the same words: nothing was done anywhere, and it is the request that is wrong.
fn all_refuse_alike(round: &Aggregate) -> bool {
    let Some(first) = round.parts.first() else { return false };
    round
        .parts
        .iter()
        .all(|part| part.state == State::Replied && round.is_error(part) && round.bytes(part) == round.bytes(first))
}

/// How the undoing went, as the end of an error line.
fn undone(round: &Aggregate, cx: &Context<'_>, culprit: NodeId, done: &str) -> String {
    let mut text = String::new();
    for part in round.parts.iter().filter(|part| round.is_error(part) && part.node != culprit) {
        let name = &cx.topology.node(part.node).name;
        let why = String::from_utf8_lossy(round.bytes(part).trim_ascii_end()).into_owned();
        text.push_str(&format!("; node {name} could not be {done}: {}", why.trim_start_matches('-')));
    }
    if text.is_empty() { format!("; the other nodes were {done}") } else { text }
}

/// The pairs of a map or flat array of strings.
fn pairs(frame: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut elements = crate::traffic::resp::reply::Elements::of(frame).into_iter().flatten();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (elements.next(), elements.next()) {
        if let (Some(name), Some(value)) = (text_of(name), text_of(value)) {
            pairs.push((name, value));
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
