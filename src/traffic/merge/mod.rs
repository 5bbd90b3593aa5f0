//! Replies of several nodes become one.
//!
//! ```text
//!  Split, All, SCAN ─► Aggregate: parts sent ─► each reply or failure noted ─► last one: finish() ─► the session's slot
//! ```
//! An [`Aggregate`] holds the parts of one request; [`finish`] writes the whole reply. What a part's failure does is
//! chosen per command: a multi-key read obeys `partial_reads`, INFO tells what it can, everything else answers the first
//! error, with the node's name. Whether a part failed is a state, never read from its text. Bounded by the request that
//! made it and by `max_buffered`. Pure.

mod docs;
pub mod exec;
mod functions;
pub mod gather;
pub mod info;
mod memory;
mod receivers;
pub mod scan;
pub mod steps;

use super::{
    client::ClientKey,
    command::{Gather, Split},
    pubsub::{self, Audience},
    resp::{Limits, Proto, encode},
    route::{NodeId, Topology},
    settings::PartialReads,
};

/// What the parts make together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A multi-key command, cut by node.
    Split(Split),
    /// The same command at every node.
    All(Gather),
    /// A transaction: MULTI, the queued commands, EXEC.
    Exec,
    /// WATCH.
    Watch,
    /// EVALSHA of a script whose text is known.
    Script,
    /// One step of SCAN, HSCAN, SSCAN or ZSCAN at one node.
    Scan(scan::Step),
    /// PUBLISH at one node: what is to be added to the number that it tells.
    Published(i64),
    /// PUBSUB NUMSUB at every node, of topics of this kind.
    Subscribers(pubsub::Kind),
    /// One round of a command that has several; its [`steps::Steps`] say what comes of it.
    Round,
    /// COMMAND DOCS of one node, and of Circlet's own commands.
    Docs,
    /// INFO of all nodes.
    Info {
        /// With Circlet's own section.
        own: bool,
    },
}

/// How far a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No reply yet.
    Pending,
    /// The node's reply, whatever it says.
    Replied,
    /// No reply: the node is down, silent or lost. The bytes are Circlet's error line.
    Failed,
}

/// One node's part.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The node.
    pub node: NodeId,
    /// How far it is.
    pub state: State,
    start: usize,
    end: usize,
}

/// A request whose reply several nodes make together.
#[derive(Debug)]
pub struct Aggregate {
    /// Generation of its place in the worker's table.
    pub generation: u32,
    /// The session that asked.
    pub client: ClientKey,
    /// Its slot.
    pub seq: u32,
    /// How the parts are put together.
    pub kind: Kind,
    /// Protocol of the reply.
    pub proto: Proto,
    /// The command only reads, so that `partial_reads` applies.
    pub reads: bool,
    /// The parts, in the order they were sent.
    pub parts: Vec<Part>,
    /// For [`Split::Values`]: the part that holds each key's value, in key order. For [`Gather::And`]: 1 where one node's
    /// word is enough.
    pub order: Vec<u16>,
    /// For [`Kind::Script`]: the request, to be sent once more. For [`Kind::Exec`]: those of the commands of which something
    /// is to be noted if they have run.
    pub request: Vec<u8>,
    /// Parts without reply.
    pub missing: usize,
    /// The command of which it is one round.
    pub course: Option<Box<steps::Course>>,
    /// Bytes of the replies so far.
    replied: usize,
    /// All replies, one after the other.
    buf: Vec<u8>,
}

impl Aggregate {
    /// An empty one, to be prepared.
    #[must_use]
    pub fn new(client: ClientKey) -> Self {
        Self {
            generation: 0,
            client,
            seq: 0,
            kind: Kind::All(Gather::Ok),
            proto: Proto::Resp2,
            reads: false,
            parts: Vec::new(),
            order: Vec::new(),
            request: Vec::new(),
            missing: 0,
            course: None,
            replied: 0,
            buf: Vec::new(),
        }
    }

    /// Makes it ready for another request, keeping its memory unless that is large.
    pub fn recycle(&mut self) {
        self.parts.clear();
        self.order.clear();
        self.request.clear();
        self.buf.clear();
        self.missing = 0;
        self.course = None;
        self.replied = 0;
        if self.buf.capacity() > 64 << 10 {
            self.buf = Vec::new();
        }
        if self.order.capacity() > 4 << 10 {
            self.order = Vec::new();
        }
    }

    /// Adds a part; returns its number.
    pub fn add_part(&mut self, node: NodeId) -> u32 {
        self.parts.push(Part { node, state: State::Pending, start: 0, end: 0 });
        self.missing += 1;
        (self.parts.len() - 1) as u32
    }

    /// Notes what became of part `part`: `write` appends its bytes. Returns whether it was the last.
    pub fn note(&mut self, part: u32, state: State, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = self.buf.len();
        if let Some(part) = self.parts.get_mut(part as usize)
            && part.state == State::Pending
        {
            write(&mut self.buf);
            *part = Part { state, start, end: self.buf.len(), ..*part };
            self.missing -= 1;
            if state == State::Replied {
                self.replied += self.buf.len() - start;
            }
        }
        self.missing == 0
    }

    /// The bytes of `part`.
    #[must_use]
    pub fn bytes(&self, part: &Part) -> &[u8] {
        &self.buf[part.start..part.end]
    }

    /// Bytes of the replies so far.
    #[must_use]
    pub fn replied(&self) -> usize {
        self.replied
    }

    /// Throws the replies away: nobody waits for them any more.
    pub fn forget(&mut self) {
        self.buf = Vec::new();
        self.replied = 0;
        self.parts.iter_mut().for_each(|part| (part.start, part.end) = (0, 0));
    }

    /// Whether `part` has no usable reply: Circlet's refusal, or the node's own error.
    fn is_error(&self, part: &Part) -> bool {
        part.state == State::Failed || self.bytes(part).first() == Some(&b'-')
    }
}

/// What [`finish`] must know beside the parts.
#[derive(Debug)]
pub struct Context<'a> {
    /// For the nodes' names and the owners of keys.
    pub topology: &'a Topology,
    /// What a missing part of a multi-key read is.
    pub partial_reads: PartialReads,
    /// Bounds of frames.
    pub limits: &'a Limits,
    /// A random number, for RANDOMKEY.
    pub random: u64,
    /// What Circlet says in INFO.
    pub own: &'a info::Own,
    /// For SCAN: the run of the node that answered, see [`scan::run_tag`].
    pub run: u32,
    /// Who listens to what.
    pub audience: &'a Audience,
    /// For DBSIZE: keys of the nodes that are not a client's, or are there twice.
    pub surplus: u64,
}

/// Appends the whole reply of a complete aggregate.
pub fn finish(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    finish_as(aggregate, aggregate.kind, cx, out);
}

/// Appends the reply that a complete aggregate makes if it is of this kind.
fn finish_as(aggregate: &Aggregate, kind: Kind, cx: &Context<'_>, out: &mut Vec<u8>) {
    debug_assert_eq!(aggregate.missing, 0);
    match kind {
        Kind::Split(Split::Values) => gather::values(aggregate, cx, out),
        Kind::Split(Split::Sum) | Kind::All(Gather::Sum) => gather::sum(aggregate, 0, cx, out),
        Kind::All(Gather::DbSize) => gather::sum(aggregate, cx.surplus, cx, out),
        Kind::Split(Split::Pairs) | Kind::All(Gather::Ok | Gather::First) => gather::all_succeed(aggregate, cx, out),
        Kind::All(Gather::Min) => gather::min(aggregate, cx, out),
        Kind::All(Gather::MinEach) => gather::min_each(aggregate, cx, out),
        Kind::All(Gather::And) => gather::and(aggregate, cx, out),
        Kind::All(Gather::Join) => gather::join(aggregate, cx, out),
        Kind::All(Gather::Keys) => gather::keys(aggregate, cx, out),
        Kind::All(Gather::RandomKey) => gather::random_key(aggregate, cx, out),
        Kind::All(Gather::AnyOk) => gather::any_ok(aggregate, cx, out),
        Kind::Exec => exec::finish(aggregate, cx, out),
        Kind::Watch | Kind::Script => gather::all_succeed(aggregate, cx, out),
        Kind::All(Gather::MemoryStats) => memory::stats(aggregate, cx, out),
        Kind::All(Gather::Texts) => memory::texts(aggregate, cx, out),
        Kind::All(Gather::Running) => functions::running(aggregate, cx, out),
        Kind::All(Gather::Libraries) => functions::libraries(aggregate, cx, out),
        Kind::All(Gather::Longest) => functions::longest(aggregate, cx, out),
        Kind::Scan(step) => scan::finish(aggregate, step, cx, out),
        Kind::All(Gather::Max) => receivers::max(aggregate, cx, out),
        Kind::All(Gather::Union) => receivers::union(aggregate, cx, out),
        Kind::Published(by) => receivers::published(aggregate, by, out),
        Kind::Subscribers(kind) => receivers::subscribers(aggregate, kind, cx, out),
        Kind::Docs => docs::finish(aggregate, cx, out),
        Kind::Round => {}
        Kind::Info { .. } => finish_info(aggregate, cx, out),
    }
}

/// INFO of the nodes that answered; what the others miss stands in the `# Circlet` section.
fn finish_info(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let parts: Vec<(&str, &[u8])> = aggregate
        .parts
        .iter()
        .filter(|part| !aggregate.is_error(part))
        .filter_map(|part| Some((cx.topology.node(part.node).name.as_str(), text_of(aggregate.bytes(part))?)))
        .collect();
    let refused = aggregate.parts.iter().find(|part| aggregate.is_error(part));
    if parts.is_empty()
        && cx.own.section.is_empty()
        && let Some(part) = refused
    {
        return gather::error_of(aggregate, part, cx, out);
    }
    let mut text = Vec::new();
    info::merge(&parts, cx.own, &mut text);
    encode::verbatim_text(out, &String::from_utf8_lossy(&text), aggregate.proto);
}

/// The text inside a bulk or verbatim frame.
fn text_of(frame: &[u8]) -> Option<&[u8]> {
    let header = frame.iter().position(|byte| *byte == b'\n')? + 1;
    let text = frame.get(header..frame.len().checked_sub(2)?)?;
    match frame.first()? {
        b'$' => Some(text),
        b'=' => text.get(4..),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use super::*;
    use crate::traffic::route::{Address, Epoch, Node, Ring};

    pub(crate) fn topology(names: &[&str]) -> Topology {
        let nodes: Vec<Node> = names
            .iter()
            .enumerate()
            .map(|(at, name)| Node::new(*name, Address::Tcp { host: "127.0.0.1".into(), port: 7001 + at as u16 }))
            .collect();
        let ring = Ring::build(&names.iter().map(|name| (*name, 1.0)).collect::<Vec<_>>(), 160).unwrap();
        Topology::new(nodes, ring, Epoch(1))
    }

    /// An aggregate whose parts said `replies`; `Err`: Circlet's own refusal.
    pub(crate) fn aggregate(kind: Kind, order: &[u16], replies: &[Result<&str, &str>]) -> Aggregate {
        let mut aggregate = Aggregate::new(ClientKey { index: 0, generation: 0 });
        aggregate.kind = kind;
        aggregate.order = order.to_vec();
        for at in 0..replies.len() {
            aggregate.add_part(NodeId(at as u16));
        }
        // The last node answers first: the order of arrival must not matter.
        for (at, reply) in replies.iter().enumerate().rev() {
            let (state, text) = match reply {
                Ok(text) => (State::Replied, text),
                Err(text) => (State::Failed, text),
            };
            aggregate.note(at as u32, state, |buf| buf.extend_from_slice(text.as_bytes()));
        }
        aggregate
    }

    pub(crate) fn finished(aggregate: &Aggregate, partial_reads: PartialReads) -> String {
        finished_in_run(aggregate, partial_reads, 0)
    }

    /// As [`finished`], answered by the run `run` of a node.
    pub(crate) fn finished_in_run(aggregate: &Aggregate, partial_reads: PartialReads, run: u32) -> String {
        let topology = topology(&["a", "b", "c"]);
        let limits = Limits::default();
        let (audience, own) = (Audience::default(), info::Own::default());
        let cx = Context {
            topology: &topology,
            partial_reads,
            limits: &limits,
            random: 1,
            own: &own,
            run,
            audience: &audience,
            surplus: 0,
        };
        let mut out = Vec::new();
        finish(aggregate, &cx, &mut out);
        String::from_utf8(out).unwrap()
    }
}
