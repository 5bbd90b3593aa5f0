//! The differences of `differences.txt` that concern a play: what they hold for is not sent.

use super::step::{self, Request, Word};
use crate::compat::differences::{Differences, Rule};

/// What is not sent within transactions, where hardly anybody has a use for it.
const ALONE: [&str; 14] = [
    // Where replies change their protocol, or are taken away, Redis's own array is short of elements or mixed.
    "hello",
    "client|reply",
    // Circlet carries these out behind what the node does, so that they concern nothing of the same transaction.
    "client|tracking",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
    "publish",
    "spublish",
    "swapdb",
    // Circlet knows a script from when it is queued, Redis from when it is run.
    "eval",
    "eval_ro",
];

/// The list.
#[derive(Debug)]
pub struct Known(Differences);

impl Known {
    pub fn load() -> Self {
        Self(Differences::load())
    }

    /// Takes out of a pipeline what Circlet answers in its own way; `queueing`: it begins within a transaction.
    pub fn keep(&self, requests: &mut Vec<Request>, mut queueing: bool) {
        requests.retain(|request| {
            let (name, args) = name(request);
            let keep = match self.0.rule(&name, &args) {
                _ if queueing && ALONE.contains(&name.as_str()) => false,
                // A node learns of the end of its subscriptions behind the reply: who publishes at once is told one
                // receiver too many.
                _ if name == "reset" => false,
                Rule::Refused | Rule::Own => false,
                Rule::Outside => !queueing,
                _ => true,
            };
            match name.as_str() {
                "multi" if args.is_empty() => queueing = true,
                // Where it does not end one, more is left out than need be.
                "exec" | "discard" if args.is_empty() => queueing = false,
                _ => {}
            }
            keep
        });
        // What is watched when tracking begins is watched no more.
        let tracks = |request: &Request| name(request).0 == "client|tracking";
        for at in (0..requests.len()).rev().filter(|&at| tracks(&requests[at])).collect::<Vec<_>>() {
            requests.insert(at, step::request("UNWATCH"));
        }
    }
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
