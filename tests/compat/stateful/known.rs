//! The differences of `differences.txt` that concern a play, and one more: what they hold for is not sent.
//!
//! In a transaction Circlet begins and ends to listen, or changes the protocol of messages, when the node's part has run. So
//! messages that the node itself makes there (scripts, notifications of keys) are heard by whoever listened before, and
//! nobody else; and so is what others send who waited for the node's part.

use super::{
    play::PROTOS,
    side::State,
    step::{self, Request, Word},
};
use crate::compat::differences::{Differences, Rule};

/// What begins or ends to listen.
const LISTENING: [&str; 6] = ["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"];

/// What no node has a part in, or what is carried out behind those.
const OWN: [&str; 16] = [
    "auth", "client|", "discard", "echo", "exec", "hello", "multi", "ping", "publish", "pubsub|", "quit", "reset",
    "select", "spublish", "unwatch", "watch",
];

/// The list.
#[derive(Debug)]
pub struct Known {
    differences: Differences,
    /// Over several nodes.
    several: bool,
    /// Whether the transaction of a connection has begun or ended to listen.
    listens: [bool; PROTOS.len()],
}

impl Known {
    pub fn load(several: bool) -> Self {
        Self { differences: Differences::load(), several, listens: [false; PROTOS.len()] }
    }

    /// Takes out of a pipeline what Circlet answers in its own way; `queueing`: it begins within a transaction; `states`:
    /// what a plain server says of all connections.
    pub fn keep(&mut self, connection: usize, requests: &mut Vec<Request>, mut queueing: bool, states: &[State]) {
        let others = self.listens.iter().enumerate().any(|(at, listens)| *listens && at != connection);
        if others && states[connection].blocked {
            requests.clear();
        } else if others && let Some(at) = requests.iter().position(may_wait) {
            requests.truncate(at);
        }
        let listens = &mut self.listens[connection];
        let somebody_waits = states.iter().any(|state| state.blocked);
        let mut hears = states[connection].subscribed || states[connection].blocked;
        requests.retain(|request| {
            let (name, args) = name(request);
            *listens &= queueing;
            hears |= LISTENING.contains(&name.as_str());
            let listening = LISTENING.contains(&name.as_str()) || hears && name == "hello";
            let own = listening || OWN.iter().any(|own| name == *own || own.ends_with('|') && name.starts_with(own));
            let keep = match self.differences.rule(&name, &args) {
                Rule::Refused | Rule::Own => false,
                Rule::Outside if queueing && self.several => false,
                // It concerns every node, too.
                _ if queueing && self.several && name == "swapdb" => false,
                // Of all, in the order of a hash table, and as several elements of one array.
                _ if queueing && name.ends_with("unsubscribe") && args.is_empty() => false,
                _ if queueing && listening && somebody_waits => false,
                // It takes elements out of Redis's array, which nobody can read then.
                _ if queueing && name == "client|reply" => false,
                _ => !queueing || !*listens || own,
            };
            *listens |= queueing && listening;
            match name.as_str() {
                "multi" if args.is_empty() => queueing = true,
                // Where it does not end one, more is left out than need be.
                "exec" | "discard" if args.is_empty() => queueing = false,
                _ => {}
            }
            keep
        });
        *listens &= queueing;
    }
}

/// Whether a request may have to wait for another connection's.
fn may_wait(request: &Request) -> bool {
    let line = step::line(request).to_lowercase();
    let name = line.split(' ').next().unwrap_or_default();
    ["bl", "br", "bz", "wait"].iter().any(|start| name.starts_with(start)) || line.contains(" block ")
}

/// The name as the list writes it, and the words behind it.
fn name(request: &Request) -> (String, Vec<String>) {
    let word = |word: &Word| match word {
        Word::Text(text) => text.to_lowercase(),
        Word::Id(_) => String::new(),
    };
    let mut words: Vec<String> = request.iter().map(word).collect();
    let mut name = words.remove(0);
    if matches!(name.as_str(), "client" | "function" | "pubsub" | "script") && !words.is_empty() {
        name = format!("{name}|{}", words.remove(0));
    }
    (name, words)
}
