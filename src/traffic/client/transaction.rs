//! What a session has of a transaction: the keys it watches, the commands it has queued, the reply it is given.
//!
//! ```text
//!            WATCH ─► Watch (a leased connection) ───────────────┐
//!  (nothing) ─ MULTI ─► Transaction: block, own ─ EXEC ─► block ─┴► node ─► reply ─► Unfolding ─► slots
//!                          ▲ every command: QUEUED                            own commands, one after the other
//! ```
//! The `block` is what a node is sent, as it is sent; `own` are the commands that Circlet carries out itself, each at its
//! place among the node's replies. Bounded by `max_queued` and `max_queued_bytes`. Pure.

use crate::traffic::{
    outbox::Outbox, pipe::PipeId, resp::Limits, resp::elements::element_end, route::NodeId, scripts::Sha,
};

/// Where a transaction runs, and why: the node of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    /// The node.
    pub node: NodeId,
    /// The key that decided it.
    pub key: Box<[u8]>,
}

/// Keys that are watched, on a leased connection.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The connection.
    pub pipe: PipeId,
    /// The node of the keys.
    pub home: Home,
    /// A WATCH on it has succeeded.
    pub holds: bool,
    /// The connection is gone, and what it watched with it.
    pub lost: bool,
}

/// A queued command that Circlet carries out itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own {
    /// Commands of the block before it.
    before: usize,
    /// Its bytes.
    start: usize,
    end: usize,
    /// It stands in the block too, whose reply to it nobody wants: SELECT.
    also: bool,
}

/// What has been queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The node's commands, without MULTI and EXEC.
    pub block: Outbox,
    /// How many they are.
    pub sent: usize,
    /// Commands in the block that are also Circlet's own.
    both: usize,
    own: Vec<Own>,
    /// The bytes of `own`.
    text: Vec<u8>,
    /// Where it runs; `None`: anywhere.
    pub home: Option<Home>,
    /// Scripts that are called by their digests.
    pub scripts: Vec<Sha>,
    /// A command was refused.
    pub aborted: bool,
    /// A command writes.
    pub writes: bool,
}

impl Transaction {
    /// A command was refused: nothing is kept of the others, and EXEC runs nothing.
    pub fn abort(&mut self) {
        *self = Self { aborted: true, home: self.home.take(), ..Self::default() };
    }

    /// Number of queued commands.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sent - self.both + self.own.len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a command changes the connection that it runs on.
    #[must_use]
    pub fn changes_connection(&self) -> bool {
        self.both > 0
    }

    /// Whether Circlet has something to carry out itself.
    #[must_use]
    pub fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// Bytes of what is queued.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.block.len() + self.text.len()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.block.held()
            + self.scripts.capacity() * size_of::<Sha>()
            + self.text.capacity()
            + self.own.capacity() * size_of::<Own>()
    }

    /// Notes a command that the block ends with.
    pub fn add_sent(&mut self) {
        self.sent += 1;
    }

    /// Queues a command for Circlet itself; `also`: the block ends with it too, so that the node does as Circlet does.
    pub fn add_own(&mut self, request: &[u8], also: bool) {
        let (before, start) = (self.sent, self.text.len());
        self.text.extend_from_slice(request);
        self.own.push(Own { before, start, end: self.text.len(), also });
        if also {
            self.sent += 1;
            self.both += 1;
        }
    }

    /// What is left to do when the node has answered EXEC.
    #[must_use]
    pub fn unfolding(self, seq: u32) -> Unfolding {
        Unfolding {
            seq,
            commands: self.len(),
            sent: self.sent,
            own: self.own,
            text: self.text,
            reply: None,
            at: 0,
            passed: 0,
            next: 0,
            skips: false,
        }
    }
}

/// A reply to EXEC that the node gives in part and Circlet in part.
#[derive(Debug)]
pub struct Unfolding {
    /// EXEC's slot.
    pub seq: u32,
    /// Number of replies.
    pub commands: usize,
    /// Number of replies of the node.
    pub sent: usize,
    own: Vec<Own>,
    text: Vec<u8>,
    /// The node's replies, once they are there.
    reply: Option<Vec<u8>>,
    /// Where the first one that has not been handed on begins.
    at: usize,
    /// How many were.
    passed: usize,
    /// The own command whose turn it is.
    next: usize,
    /// The reply behind it is not wanted (CLIENT REPLY SKIP).
    pub skips: bool,
}

impl Unfolding {
    /// Whether the node has answered, so that it can go on.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.reply.is_some()
    }

    /// Takes the node's reply: the frame of an array, whose head is `head` bytes long.
    pub fn begin(&mut self, reply: Vec<u8>, head: usize) {
        self.at = head;
        self.reply = Some(reply);
    }

    /// The node's replies up to Circlet's next command; empty if there is none between, or they were taken.
    pub fn run(&mut self, limits: &Limits) -> std::ops::Range<usize> {
        let until = self.own.get(self.next).map_or(self.sent, |own| own.before);
        let start = self.at;
        self.skip(until, limits);
        start..self.at
    }

    fn skip(&mut self, until: usize, limits: &Limits) {
        let reply = self.reply.as_deref().unwrap_or_default();
        while self.passed < until {
            self.at = element_end(reply, self.at, limits).unwrap_or(reply.len());
            self.passed += 1;
        }
    }

    /// The node's reply.
    #[must_use]
    pub fn reply(&self) -> &[u8] {
        self.reply.as_deref().unwrap_or_default()
    }

    /// Circlet's next command; `None`: all is done.
    #[must_use]
    pub fn own(&self) -> Option<&[u8]> {
        self.own.get(self.next).map(|own| &self.text[own.start..own.end])
    }

    /// Whether replies of the node stand behind what was handed on.
    #[must_use]
    pub fn node_follows(&self) -> bool {
        self.passed < self.sent
    }

    /// Circlet's command is carried out.
    pub fn carried_out(&mut self, limits: &Limits) {
        if let Some(own) = self.own.get(self.next) {
            let until = own.before + usize::from(own.also);
            self.skip(until, limits);
            self.next += 1;
        }
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.text.capacity() + self.reply.as_ref().map_or(0, Vec::capacity) + self.own.capacity() * size_of::<Own>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_replies_stand_at_their_places_among_the_nodes() {
        let mut transaction = Transaction::default();
        transaction.add_own(b"first", false);
        transaction.add_sent();
        transaction.add_sent();
        transaction.add_own(b"both", true);
        transaction.add_own(b"second", false);
        transaction.add_sent();
        assert_eq!((transaction.len(), transaction.sent), (6, 4));
        let limits = Limits::default();
        let mut unfolding = transaction.unfolding(0);
        unfolding.begin(b"*4\r\n:1\r\n*1\r\n:2\r\n+OK\r\n$1\r\n3\r\n".to_vec(), 4);
        let mut seen = Vec::new();
        loop {
            let run = unfolding.run(&limits);
            assert_eq!(unfolding.run(&limits).len(), 0, "handed on once");
            seen.push(String::from_utf8(unfolding.reply()[run].to_vec()).unwrap());
            let Some(own) = unfolding.own() else { break };
            seen.push(String::from_utf8(own.to_vec()).unwrap());
            unfolding.carried_out(&limits);
        }
        assert_eq!(seen, ["", "first", ":1\r\n*1\r\n:2\r\n", "both", "", "second", "$1\r\n3\r\n"]);
    }
}
