//! Ears: the connections on which a worker hears messages, one per node, for all its subscribers together.
//!
//! ```text
//!            a topic needs the node                 every topic of the node is asked for        no topic, idle
//!  (closed) ───────────────────────► Connecting ─► Ready ─ SUBSCRIBE … ─► frames heard ────────────────────► (closed)
//!     ▲                                  │ fails       │ lost, silent
//!     └── next try: backoff, node up ◄───┴─────────────┘   topics are deaf meanwhile; their members stay
//! ```
//! An ear is a [`Pipe`] of [`Holder::Ear`]: connecting, backoff and silence are as for every other; its silence shows by a
//! PING when nothing else is under way. Everything sent on it is answered by one frame, in order, so `asked` says what
//! each confirmation belongs to; commands wait in `queue` so that only a bounded number is under way. A frame is
//! collected whole; of one that is larger than any subscriber may be owed only the beginning is kept, which names its
//! topic, and the subscribers are treated as if they had let that much pile up. Pure.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{Core, Todo, reply::Nonsense};
use crate::traffic::{
    client::ClientKey,
    counters::Closed,
    pipe::{Entry, Holder, Pipe, PipeId, State, chunk::Chunk},
    pubsub::{Hearing, Kind, Name, Station, Word, comes_from_all_nodes},
    refusal::Refusal,
    resp::{Proto, encode, reply::ReplyScanner},
    route::NodeId,
};

/// Commands under way on one ear.
const MAX_ASKED: usize = 1_024;

/// Bytes of a frame that are kept beyond the largest message that anybody may be owed: for its names.
const HEAD: usize = 64 << 10;

/// An ear on which nothing has arrived for this long (µs) is asked for a sign of life.
const QUIET_US: u64 = 1_000_000;

/// What an ear tells its node.
#[derive(Debug)]
enum Order {
    /// Listen to this topic, which has this number.
    Listen(Kind, Name, u32),
    /// Listen no more; who waits for that.
    Leave(Kind, Name, Option<ClientKey>),
    /// Give a sign of life; who waits for that.
    Ping(Option<ClientKey>),
}

/// A worker's ear at one node.
#[derive(Debug)]
pub(super) struct Ear {
    pipe: PipeId,
    /// Topics that must be heard at the node.
    wanted: usize,
    /// Orders that are not sent yet.
    queue: VecDeque<Order>,
    /// Orders sent and not answered, oldest first.
    asked: VecDeque<Order>,
    /// The beginning of a frame that came in several reads.
    begun: Vec<u8>,
    /// Not all of that is kept.
    cut: bool,
    /// Messages of this node are missed, and somebody was told so.
    missing: bool,
    /// The node has refused some topic.
    refused: bool,
    /// It is closed, the node down, and nobody waits for it any more.
    given_up: bool,
}

impl Ear {
    /// Bytes of memory held.
    pub(super) fn held(&self) -> usize {
        self.begun.capacity()
    }
}

impl Core {
    /// The nodes at which a topic must be heard: the only place that knows.
    pub(super) fn listens_at(&self, kind: Kind, name: &[u8]) -> Vec<NodeId> {
        let topology = &self.snapshot.topology;
        if comes_from_all_nodes(kind, name) || topology.ring.is_random() {
            topology.members().to_vec()
        } else {
            // While nodes change: where messages go by either ring, since workers do not take the new one all at once.
            let mut nodes = vec![topology.ring.owner_of(name)];
            nodes.extend(topology.change.as_ref().map(|change| change.next.owner_of(name)));
            nodes.dedup();
            nodes
        }
    }

    /// A topic is heard at this station no more; returns how many answers to that `waiter` will get.
    pub(super) fn leave_station(
        &mut self,
        kind: Kind,
        name: &Name,
        station: Station,
        waiter: Option<ClientKey>,
    ) -> usize {
        if station.hearing == Hearing::Heard {
            self.registry.audience.count_ear(kind, name, station.node, self.index, -1);
        }
        let knows = matches!(station.hearing, Hearing::Heard | Hearing::Asked);
        if knows {
            self.order(station.node, Order::Leave(kind, name.clone(), waiter));
        }
        self.close_ear(station.node);
        usize::from(knows)
    }

    /// A topic needs `node` from now on.
    pub(super) fn open_ear(&mut self, node: NodeId) {
        if self.ears.len() <= node.index() {
            self.ears.resize_with(node.index() + 1, || None);
        }
        if self.ears[node.index()].is_none() {
            let pipe = PipeId(self.pipes.len() as u32);
            self.pipes.push(Pipe { holder: Holder::Ear, ..Pipe::new(node, 0, Proto::Resp2) });
            self.ears[node.index()] = Some(Ear {
                pipe,
                wanted: 0,
                queue: VecDeque::new(),
                asked: VecDeque::new(),
                begun: Vec::new(),
                cut: false,
                missing: false,
                refused: false,
                given_up: false,
            });
        }
        if let Some(ear) = &mut self.ears[node.index()] {
            ear.wanted += 1;
        }
        self.tend_ear(node);
    }

    /// A topic needs `node` no more.
    fn close_ear(&mut self, node: NodeId) {
        if let Some(ear) = self.ear(node) {
            ear.wanted = ear.wanted.saturating_sub(1);
        }
    }

    fn ear(&mut self, node: NodeId) -> Option<&mut Ear> {
        self.ears.get_mut(node.index())?.as_mut()
    }

    fn ear_pipe(&self, node: NodeId) -> Option<&Pipe> {
        let ear = self.ears.get(node.index())?.as_ref()?;
        Some(&self.pipes[ear.pipe.index()])
    }

    /// Whether this ear must stay open though nothing passes.
    pub(super) fn is_wanted(&self, pipe: &Pipe) -> bool {
        let ear = self.ears.get(pipe.node.index()).and_then(Option::as_ref);
        pipe.holder == Holder::Ear && ear.is_some_and(|ear| ear.wanted > 0)
    }

    /// Whether an order to `node` is answered, if it lives.
    pub(super) fn ear_is_open(&self, node: NodeId) -> bool {
        self.ear_pipe(node).is_some_and(|pipe| pipe.state == State::Ready)
    }

    /// Why nothing can be heard of `node` at the moment.
    pub(super) fn deaf_because(&self, node: NodeId) -> Option<&str> {
        if let Some((_, why)) = &self.links[node.index()].down {
            return Some(why);
        }
        match &self.ear_pipe(node)?.state {
            State::Failed { until_us, why } if self.now_us < *until_us => Some(why),
            _ => None,
        }
    }

    /// Asks for this topic at a node whose ear is open.
    pub(super) fn order_listen(&mut self, node: NodeId, kind: Kind, name: &Name, id: u32) {
        self.order(node, Order::Listen(kind, name.clone(), id));
    }

    /// Asks the ear at `node` for a sign of life, behind everything that its node has sent; `waiter` is told when it is there.
    pub(super) fn order_sign(&mut self, node: NodeId, waiter: ClientKey) {
        self.order(node, Order::Ping(Some(waiter)));
    }

    fn order(&mut self, node: NodeId, order: Order) {
        if let Some(ear) = self.ear(node) {
            ear.queue.push_back(order);
            self.send_orders(node);
        }
    }

    /// Sends orders as long as there is room for them.
    fn send_orders(&mut self, node: NodeId) {
        while let Some(ear) = self.ears.get_mut(node.index()).and_then(Option::as_mut) {
            let id = ear.pipe;
            let full = self.pipes[id.index()].out.len() >= self.settings.pipe.max_unsent;
            if ear.asked.len() >= MAX_ASKED || full && !ear.asked.is_empty() {
                return;
            }
            let Some(order) = ear.queue.pop_front() else { return };
            let mut bytes = Vec::new();
            order.write(&mut bytes);
            ear.asked.push_back(order);
            let entry = Entry::unwanted(self.stamp());
            self.put(id, entry, super::request::Request { bytes: &bytes, args: &[], blob: None });
        }
    }

    /// An ear's connection is open: every topic of its node is asked for.
    pub(super) fn ear_opened(&mut self, node: NodeId) {
        let mut orders = Vec::new();
        for (kind, name, topic) in self.topics.all_mut() {
            let id = topic.id;
            if let Some(station) = topic.station(node) {
                station.hearing = Hearing::Asked;
                orders.push(Order::Listen(kind, name.clone(), id));
            }
        }
        let count = orders.len();
        let Some(ear) = self.ear(node) else { return };
        ear.queue.extend(orders);
        ear.refused = false;
        ear.given_up = false;
        if std::mem::take(&mut ear.missing) {
            self.todo.push(Todo::Hears(node, count));
        }
        self.send_orders(node);
    }

    /// An ear's connection is lost or could not be made; `pipe_lost` and `pipe_failed` have dealt with the connection.
    pub(super) fn ear_gone(&mut self, node: NodeId, why: &str) {
        let Some(ear) = self.ear(node) else { return };
        let orders: Vec<Order> = ear.queue.drain(..).chain(ear.asked.drain(..)).collect();
        ear.begun = Vec::new();
        ear.cut = false;
        ear.given_up = false;
        let mut awaited = Vec::new();
        let mut deafened = false;
        let audience = &self.registry.audience;
        for (kind, name, topic) in self.topics.all_mut() {
            let is_awaited = topic.is_awaited();
            let Some(station) = topic.station(node) else { continue };
            if station.hearing == Hearing::Heard {
                audience.count_ear(kind, name, node, self.index, -1);
                deafened = true;
            }
            station.hearing = Hearing::Deaf;
            if is_awaited {
                awaited.push((kind, name.clone()));
            }
        }
        if deafened && let Some(ear) = self.ear(node) {
            ear.missing = true;
            self.todo.push(Todo::Deaf(node, why.to_owned()));
        }
        for order in orders {
            match order {
                Order::Leave(_, _, Some(waiter)) => self.one_less_awaited(waiter),
                Order::Ping(Some(waiter)) => self.one_sign_less(waiter),
                Order::Listen(..) | Order::Leave(..) | Order::Ping(None) => {}
            }
        }
        for (kind, name) in awaited {
            self.settle_topic(kind, &name);
        }
    }

    /// An ear's connection broke. That alone says nothing of the node: it may have found us too slow.
    pub(super) fn ear_broke(&mut self, id: PipeId, short_lived: bool, why: &str) {
        let pipe = &mut self.pipes[id.index()];
        let node = pipe.node;
        pipe.abandon(&mut self.pool);
        pipe.failures = if short_lived { pipe.failures + 1 } else { 0 };
        let failures = pipe.failures;
        let pause_us = if short_lived { self.pause_us(failures) } else { 0 };
        self.pipes[id.index()].state = State::Failed { until_us: self.now_us + pause_us, why: why.to_owned() };
        let counters = &mut self.counters.nodes[node.index()];
        counters.connections = counters.connections.saturating_sub(1);
        counters.failures += 1;
        self.todo.push(Todo::Disconnect(id));
        self.ear_gone(node, why);
    }

    /// What is due: ears that must be open and are not, and silent ones.
    pub(super) fn tend_ears(&mut self) {
        for node in (0..self.ears.len()).map(|index| NodeId(index as u16)) {
            self.tend_ear(node);
        }
        self.counters.topics = self.topics.counts();
    }

    fn tend_ear(&mut self, node: NodeId) {
        let Some(ear) = self.ears.get(node.index()).and_then(Option::as_ref).filter(|ear| ear.wanted > 0) else {
            return;
        };
        let (id, idle) = (ear.pipe, ear.asked.is_empty());
        let pipe = &self.pipes[id.index()];
        match pipe.state {
            State::Ready => {
                if idle && self.now_us.saturating_sub(pipe.progress_us) > QUIET_US {
                    self.order(node, Order::Ping(None));
                }
            }
            State::Connecting => {}
            State::Failed { until_us, .. } if self.now_us < until_us => {}
            // A node that is known to be down is tried by its first pipe.
            State::Idle | State::Failed { .. } if self.links[node.index()].down.is_some() => self.give_up_waiting(node),
            State::Idle | State::Failed { .. } => self.open_pipe(id),
        }
    }

    /// The node turned out to be down after its ear was lost: whoever waits for the ear is told, once.
    fn give_up_waiting(&mut self, node: NodeId) {
        if self.ear(node).is_none_or(|ear| std::mem::replace(&mut ear.given_up, true)) {
            return;
        }
        let mut awaited = Vec::new();
        for (kind, name, topic) in self.topics.all_mut() {
            if topic.is_awaited() && topic.station(node).is_some() {
                awaited.push((kind, name.clone()));
            }
        }
        awaited.iter().for_each(|(kind, name)| self.settle_topic(*kind, name));
    }

    /// Asks again for what nodes have refused: their access rules may have changed. To be called now and then.
    pub(super) fn ask_refused_again(&mut self) {
        for node in (0..self.ears.len()).map(|index| NodeId(index as u16)) {
            if !self.ear(node).is_some_and(|ear| std::mem::take(&mut ear.refused)) || !self.ear_is_open(node) {
                continue;
            }
            let mut orders = Vec::new();
            for (kind, name, topic) in self.topics.all_mut() {
                let id = topic.id;
                if let Some(station) = topic.station(node).filter(|station| station.hearing == Hearing::Refused) {
                    station.hearing = Hearing::Asked;
                    orders.push(Order::Listen(kind, name.clone(), id));
                }
            }
            orders.into_iter().for_each(|order| self.order(node, order));
        }
    }

    /// Takes the first `len` bytes of `chunk`, read from an ear's connection.
    pub(super) fn feed_ear(&mut self, id: PipeId, chunk: &Chunk, len: usize) -> Result<(), Nonsense> {
        let pipe = &mut self.pipes[id.index()];
        let node = pipe.node;
        let mut scanner = std::mem::replace(&mut pipe.scanner, ReplyScanner::new());
        let mut at = 0;
        let result = loop {
            if at >= len {
                break Ok(());
            }
            match scanner.scan(&chunk[at..len], &self.settings.limits) {
                Ok(Some(used)) => {
                    if let Err(error) = self.ear_frame(id, node, &chunk[at..at + used]) {
                        break Err(error);
                    }
                    at += used;
                }
                Ok(None) => {
                    self.collect(node, &chunk[at..len]);
                    break Ok(());
                }
                Err(error) => break Err(Nonsense::Framing(error)),
            }
        };
        self.pipes[id.index()].scanner = scanner;
        result
    }

    /// Keeps a part of a frame whose end has not come.
    fn collect(&mut self, node: NodeId, part: &[u8]) {
        let most = self.settings.session.hard_pushes.saturating_add(HEAD);
        let Some(ear) = self.ear(node) else { return };
        let room = most.saturating_sub(ear.begun.len());
        ear.cut |= part.len() > room;
        ear.begun.extend_from_slice(&part[..part.len().min(room)]);
    }

    /// `last` ends a frame; it is the whole of it, unless something was kept before.
    fn ear_frame(&mut self, id: PipeId, node: NodeId, last: &[u8]) -> Result<(), Nonsense> {
        if self.ear(node).is_none_or(|ear| ear.begun.is_empty()) {
            return self.hear(id, node, last, false);
        }
        self.collect(node, last);
        let Some(ear) = self.ear(node) else { return Ok(()) };
        let (whole, cut) = (std::mem::take(&mut ear.begun), std::mem::take(&mut ear.cut));
        self.hear(id, node, &whole, cut)
    }

    /// One frame: a message, or the answer to the oldest order.
    fn hear(&mut self, id: PipeId, node: NodeId, frame: &[u8], cut: bool) -> Result<(), Nonsense> {
        let word = match Word::of(frame) {
            Word::Message(kind, name) if cut => {
                self.drop_members(kind, name);
                return Ok(());
            }
            Word::Message(kind, name) => {
                self.deliver_message(kind, name, frame);
                return Ok(());
            }
            Word::Freed => return Ok(()),
            word => word,
        };
        let order = self.ear(node).and_then(|ear| ear.asked.pop_front()).ok_or(Nonsense::Unasked)?;
        let pipe = &mut self.pipes[id.index()];
        if let Some(entry) = pipe.answered() {
            self.counters.nodes[node.index()].observe((self.now_us as u32).wrapping_sub(entry.sent_us));
        }
        match (order, word) {
            (Order::Listen(kind, name, topic), Word::Listens(heard, text)) if kind == heard && name == text => {
                self.topic_heard(node, kind, &name, topic);
            }
            (Order::Listen(kind, name, topic), Word::Error) => self.topic_refused(node, kind, &name, topic, frame),
            (Order::Leave(kind, name, waiter), Word::Left(left, text)) if kind == left && name == text => {
                waiter.into_iter().for_each(|waiter| self.one_less_awaited(waiter));
            }
            (Order::Leave(_, _, waiter), Word::Error) => {
                waiter.into_iter().for_each(|waiter| self.one_less_awaited(waiter));
            }
            // What a node that loads its data says to PING is a sign of life, too.
            (Order::Ping(waiter), Word::Pong | Word::Error) => {
                waiter.into_iter().for_each(|waiter| self.one_sign_less(waiter));
            }
            (order, _) => {
                // Its waiter is told when the connection is given up.
                if let Some(ear) = self.ear(node) {
                    ear.asked.push_front(order);
                }
                return Err(Nonsense::Unasked);
            }
        }
        self.send_orders(node);
        Ok(())
    }

    /// The node sends us the messages of this topic from now on.
    fn topic_heard(&mut self, node: NodeId, kind: Kind, name: &Name, id: u32) {
        let Some(topic) = self.topics.get_mut(kind, name).filter(|topic| topic.id == id) else { return };
        let Some(station) = topic.station(node) else { return };
        station.hearing = Hearing::Heard;
        let is_awaited = topic.is_awaited();
        self.registry.audience.count_ear(kind, name, node, self.index, 1);
        if is_awaited {
            self.settle_topic(kind, name);
        }
    }

    /// The node does not let us listen: whoever waits for that gets its own error; who listens already stays, deaf there.
    fn topic_refused(&mut self, node: NodeId, kind: Kind, name: &Name, id: u32, error: &[u8]) {
        self.counters.node_errors += 1;
        let Some(topic) = self.topics.get_mut(kind, name).filter(|topic| topic.id == id) else { return };
        let Some(station) = topic.station(node) else { return };
        station.hearing = Hearing::Refused;
        let waiting = topic.take_awaiting();
        let stays = !topic.members.is_empty();
        if let Some(ear) = self.ear(node) {
            ear.refused = true;
            if stays && !std::mem::replace(&mut ear.missing, true) {
                let why = String::from_utf8_lossy(error.get(1..error.len().saturating_sub(2)).unwrap_or_default());
                self.todo.push(Todo::Deaf(node, why.into_owned()));
            }
        }
        waiting.into_iter().for_each(|key| self.refuse_awaiting(key, error));
    }

    /// Hands a message to all members of its topic. `frame` is what a RESP2 client is sent; that of RESP3 differs in its
    /// first byte. Each is made once, whoever and how many they are for.
    fn deliver_message(&mut self, kind: Kind, name: &[u8], frame: &[u8]) {
        self.counters.messages_in += 1;
        let Some(topic) = self.topics.get(kind, name) else { return };
        let mut frames: [Option<Bytes>; 2] = [None, None];
        for key in &topic.members {
            let client = self.clients.get_mut(key.index as usize).filter(|client| client.generation == key.generation);
            let Some(client) = client else { continue };
            let bytes = frames[super::proto_index(client.proto)].get_or_insert_with(|| match client.proto {
                Proto::Resp2 => Bytes::copy_from_slice(frame),
                Proto::Resp3 => [b">", &frame[1..]].concat().into(),
            });
            client.push(bytes);
            if !client.dirty {
                client.dirty = true;
                self.dirty_clients.push(*key);
            }
        }
        self.counters.messages_out += topic.members.len() as u64;
    }

    /// A message came that is larger than what may wait for a session: none of the members can be sent it.
    fn drop_members(&mut self, kind: Kind, name: &[u8]) {
        self.counters.messages_in += 1;
        let members: Vec<ClientKey> =
            self.topics.get(kind, name).map(|topic| topic.members.iter().copied().collect()).unwrap_or_default();
        members.into_iter().for_each(|key| self.drop_client(key, Closed::Pushes));
    }

    /// Why a topic cannot be heard, as an error line; empty if it can be.
    pub(super) fn deafness(&self, node: NodeId) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(why) = self.deaf_because(node) {
            let topology = Arc::clone(&self.snapshot.topology);
            Refusal::NodeDown(topology.node(node), why).write(&mut text);
        }
        text
    }
}

impl Order {
    fn write(&self, out: &mut Vec<u8>) {
        let (word, name) = match self {
            Self::Listen(kind, name, _) => (kind.subscribe(), name),
            Self::Leave(kind, name, _) => (kind.unsubscribe(), name),
            Self::Ping(_) => {
                encode::array_header(out, 1);
                return encode::bulk(out, b"PING");
            }
        };
        encode::array_header(out, 2);
        encode::bulk(out, word.as_bytes());
        encode::bulk(out, name);
    }
}
