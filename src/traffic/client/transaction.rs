//! What a session has of a transaction: the keys it watches, the commands it has queued, the reply it is given.
//!
//! ```text
//!            WATCH ─► Watch (a leased connection) ───────────────┐
//!  (nothing) ─ MULTI ─► Transaction: queued ─ EXEC ─► Block ─────┴► node ─► reply ─► Unfolding ─► slots
//!                          ▲ every command: QUEUED      └ own commands, one after the other ┘
//! ```
//! Which commands the node is sent is decided at EXEC, when the node is known: a message whose channel lies there goes
//! with the others, in its order. The [`Block`] is what the node is sent, as it is sent; `own` are the commands that
//! Circlet carries out itself, each at its place among the node's replies. Bounded by `max_queued` and
//! `max_queued_bytes`. Pure.

use bytes::Bytes;

use crate::traffic::{
    outbox::Outbox,
    pipe::PipeId,
    pubsub::Kind,
    resp::{Limits, elements::element_end},
    route::NodeId,
    scripts::Sha,
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
    /// Its node may have lost the keys to another one since: EXEC runs nothing.
    pub moved: bool,
}

/// Who carries a queued command out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// The transaction's node.
    Node,
    /// Circlet.
    Own,
    /// The node, and Circlet, whose reply counts.
    Both,
    /// A message: the transaction's node if its channel lies there, else Circlet. Where its channel stands in the request.
    Message(Kind, u32, u32),
}

/// Where the bytes of a queued command are.
#[derive(Clone, Debug)]
enum Bulk {
    /// In `text`.
    Text(usize, usize),
    /// Apart, for they are many.
    Apart(Bytes),
}

/// A queued command.
#[derive(Clone, Debug)]
struct Queued {
    share: Share,
    bytes: Bulk,
    /// What the node is sent instead, in `text`.
    instead: Option<(usize, usize)>,
    /// It concerns scripts, which is noted when it is run.
    script: bool,
}

/// What Circlet has to do about one of the replies to EXEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It carries the command out.
    Alone,
    /// It carries the command out, and the node has, too, whose reply nobody wants: SELECT.
    Also,
    /// It adds this to the node's number: receivers of a message.
    Adds(i64),
}

/// A reply that is not the node's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    /// Commands of the block before it.
    before: usize,
    /// The command's bytes.
    start: usize,
    end: usize,
    how: How,
}

/// What has been queued since MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    queued: Vec<Queued>,
    /// Bytes of commands.
    text: Vec<u8>,
    /// Bytes of those that are kept apart.
    apart: usize,
    /// Where it runs; `None`: anywhere.
    pub home: Option<Home>,
    /// Scripts that are called by their digests.
    pub scripts: Vec<Sha>,
    /// A command was refused.
    pub aborted: bool,
    /// A command of the node's writes.
    pub writes: bool,
    /// A command may write, as CLIENT PAUSE … WRITE sees it.
    pub may_write: bool,
    /// A command changes the connection that it runs on.
    pub changes_connection: bool,
    /// An own command changes what the session hears, or how, so that messages behind it must not be sent before it.
    pub changes_ears: bool,
    /// The nodes have changed since a command was queued: where its keys are is to be looked up again.
    pub moved: bool,
}

impl Transaction {
    /// A command was refused: nothing is kept of the others, and EXEC runs nothing.
    pub fn abort(&mut self) {
        *self = Self { aborted: true, home: self.home.take(), ..Self::default() };
    }

    /// Number of queued commands.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether a node has to do something; a message counts, for some node has it to send.
    #[must_use]
    pub fn needs_node(&self) -> bool {
        self.queued.iter().any(|queued| queued.share != Share::Own)
    }

    /// The channel of the first message, by which a transaction without keys finds its node.
    #[must_use]
    pub fn first_channel(&self) -> Option<&[u8]> {
        self.queued.iter().find_map(|queued| self.channel(queued)).map(|(_, channel)| channel)
    }

    /// Bytes of what is queued.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + self.apart
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.text.capacity()
            + self.apart
            + self.scripts.capacity() * size_of::<Sha>()
            + self.queued.capacity() * size_of::<Queued>()
    }

    /// Queues a command; `blob`: its bytes as a reference, if they are many; `script`: it concerns scripts.
    pub fn queue(&mut self, share: Share, request: &[u8], blob: Option<&Bytes>, script: bool) {
        let bytes = match blob {
            Some(blob) => {
                self.apart += blob.len();
                Bulk::Apart(blob.clone())
            }
            None => {
                let (start, end) = self.write(request);
                Bulk::Text(start, end)
            }
        };
        self.queued.push(Queued { share, bytes, instead: None, script });
    }

    /// Queues a command for Circlet, of which the node is sent `part`.
    pub fn queue_both(&mut self, request: &[u8], part: &[u8]) {
        let (start, end) = self.write(request);
        let instead = (part != request).then(|| self.write(part));
        self.queued.push(Queued { share: Share::Both, bytes: Bulk::Text(start, end), instead, script: false });
    }

    fn write(&mut self, bytes: &[u8]) -> (usize, usize) {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        (start, self.text.len())
    }

    fn of<'a>(&'a self, queued: &'a Queued) -> &'a [u8] {
        match &queued.bytes {
            Bulk::Text(start, end) => &self.text[*start..*end],
            Bulk::Apart(blob) => blob,
        }
    }

    fn channel<'a>(&'a self, queued: &'a Queued) -> Option<(Kind, &'a [u8])> {
        let Share::Message(kind, start, end) = queued.share else { return None };
        Some((kind, &self.of(queued)[start as usize..end as usize]))
    }

    /// The commands, one behind the other: all, or only those about scripts.
    #[must_use]
    pub fn listed(&self, all: bool) -> Vec<u8> {
        let wanted = self.queued.iter().filter(|queued| all || queued.script);
        wanted.flat_map(|queued| self.of(queued)).copied().collect()
    }

    /// What the node is sent, and what is left to do when it has answered. `takes`: whether the node takes messages to
    /// this channel, and what is to be added to the number of their receivers.
    #[must_use]
    pub fn into_block(mut self, takes: impl Fn(Kind, &[u8]) -> Option<i64>) -> Block {
        let mut block = Block { commands: self.queued.len(), ..Block::default() };
        for queued in std::mem::take(&mut self.queued) {
            let joins = self.channel(&queued).and_then(|(kind, channel)| takes(kind, channel));
            let (before, sent) =
                (block.sent, !matches!((queued.share, joins), (Share::Own | Share::Message(..), None)));
            let how = match (queued.share, joins) {
                (Share::Node, _) | (_, Some(0)) => None,
                (Share::Both, _) => Some(How::Also),
                (_, Some(by)) => Some(How::Adds(by)),
                (_, None) => Some(How::Alone),
            };
            if let Some(how) = how {
                let start = block.text.len();
                if !matches!(how, How::Adds(_)) {
                    block.text.extend_from_slice(self.of(&queued));
                }
                block.own.push(Own { before, start, end: block.text.len(), how });
            }
            if sent {
                block.sent += 1;
                match (queued.instead, queued.bytes) {
                    (Some((start, end)), _) | (None, Bulk::Text(start, end)) => block.out.push(&self.text[start..end]),
                    (None, Bulk::Apart(blob)) => block.out.push_blob(blob),
                }
            }
        }
        block
    }
}

/// A transaction as it is sent.
#[derive(Debug, Default)]
pub struct Block {
    /// The node's commands, without MULTI and EXEC.
    pub out: Outbox,
    /// How many they are.
    pub sent: usize,
    /// How many replies EXEC has.
    commands: usize,
    own: Vec<Own>,
    /// The bytes of `own`.
    text: Vec<u8>,
}

impl Block {
    /// Whether Circlet has something to do about the reply.
    #[must_use]
    pub fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// What is left to do when the node has answered EXEC.
    #[must_use]
    pub fn unfolding(self, seq: u32) -> Unfolding {
        Unfolding {
            seq,
            commands: self.commands,
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

/// What Circlet has to do about the next reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn<'a> {
    /// Carry this command out.
    CarryOut(&'a [u8]),
    /// Add this to the node's number.
    Add(i64),
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

    /// What Circlet has to do next; `None`: all is done.
    #[must_use]
    pub fn turn(&self) -> Option<Turn<'_>> {
        self.own.get(self.next).map(|own| match own.how {
            How::Adds(by) => Turn::Add(by),
            How::Alone | How::Also => Turn::CarryOut(&self.text[own.start..own.end]),
        })
    }

    /// The node's reply that the next turn is about.
    pub fn element(&mut self, limits: &Limits) -> std::ops::Range<usize> {
        let start = self.at;
        self.skip(self.passed + 1, limits);
        start..self.at
    }

    /// Whether replies of the node stand behind what was handed on.
    #[must_use]
    pub fn node_follows(&self) -> bool {
        self.passed < self.sent
    }

    /// Circlet's turn is over.
    pub fn turn_over(&mut self, limits: &Limits) {
        if let Some(own) = self.own.get(self.next) {
            let until = own.before + usize::from(own.how != How::Alone);
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

    /// What a client is given of `reply`: the node's words as they are, Circlet's turns in brackets.
    fn unfolded(block: Block, reply: &str) -> Vec<String> {
        let limits = Limits::default();
        let mut unfolding = block.unfolding(0);
        unfolding.begin(reply.as_bytes().to_vec(), 4);
        let mut seen = Vec::new();
        loop {
            let run = unfolding.run(&limits);
            assert_eq!(unfolding.run(&limits).len(), 0, "handed on once");
            seen.push(String::from_utf8(unfolding.reply()[run].to_vec()).unwrap());
            match unfolding.turn() {
                None => break,
                Some(Turn::CarryOut(own)) => seen.push(format!("[{}]", String::from_utf8(own.to_vec()).unwrap())),
                Some(Turn::Add(by)) => {
                    let element = unfolding.element(&limits);
                    seen.push(format!("[{by} {}]", String::from_utf8(unfolding.reply()[element].to_vec()).unwrap()));
                }
            }
            unfolding.turn_over(&limits);
        }
        seen.retain(|part| !part.is_empty());
        seen
    }

    fn sent(block: &Block) -> String {
        let mut text = Vec::new();
        block.out.copy_to(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn own_replies_stand_at_their_places_among_the_nodes() {
        let mut transaction = Transaction::default();
        transaction.queue(Share::Own, b"first ", None, false);
        transaction.queue(Share::Node, b"a ", None, false);
        transaction.queue(Share::Node, b"-", Some(&Bytes::from_static(b"blob ")), true);
        transaction.queue_both(b"both and more ", b"both ");
        transaction.queue(Share::Own, b"second ", None, false);
        transaction.queue(Share::Node, b"c ", None, false);
        assert_eq!(transaction.len(), 6);
        assert_eq!(transaction.listed(false), b"blob ");
        assert_eq!(transaction.listed(true), b"first a blob both and more second c ");
        assert_eq!(transaction.bytes(), transaction.listed(true).len() + 5);
        let block = transaction.into_block(|_, _| None);
        assert_eq!((block.sent, sent(&block).as_str()), (4, "a blob both c "));
        let reply = "*4\r\n:1\r\n*1\r\n:2\r\n+OK\r\n$1\r\n3\r\n";
        let expected = ["[first ]", ":1\r\n*1\r\n:2\r\n", "[both and more ]", "[second ]", "$1\r\n3\r\n"];
        assert_eq!(unfolded(block, reply), expected);
    }

    #[test]
    fn a_message_goes_with_the_block_where_the_node_takes_it() {
        let block = |by: Option<i64>| {
            let mut transaction = Transaction::default();
            transaction.queue(Share::Node, b"a ", None, false);
            transaction.queue(Share::Message(Kind::Channel, 4, 6), b"say to you ", None, false);
            transaction.queue(Share::Node, b"b ", None, false);
            assert_eq!(transaction.first_channel(), Some(&b"to"[..]));
            transaction.into_block(|kind, channel| {
                assert_eq!((kind, channel), (Kind::Channel, &b"to"[..]));
                by
            })
        };
        assert_eq!(sent(&block(None)), "a b ");
        assert_eq!(unfolded(block(None), "*2\r\n:1\r\n:2\r\n"), [":1\r\n", "[say to you ]", ":2\r\n"]);
        assert_eq!(sent(&block(Some(2))), "a say to you b ");
        assert_eq!(unfolded(block(Some(2)), "*3\r\n:1\r\n:1\r\n:2\r\n"), [":1\r\n", "[2 :1\r\n]", ":2\r\n"]);
        assert!(!block(Some(0)).has_own(), "the node's number is right");
    }
}
