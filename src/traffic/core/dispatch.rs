//! A planned request to the pipe of its node, and which pipe that is.
//!
//! The bytes go on as they came. What goes to several nodes is cut up in [`super::parts`].

use super::{
    Core, Todo,
    lease::NoLease,
    proto_index,
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, Modes},
    command::{KeysError, Patterns, Row},
    pipe::{Entry, Pipe, PipeId, State},
    refusal::Refusal,
    resp::{Proto, encode},
    route::{NodeId, Topology, is_own},
};

/// Why a request cannot be put into a node's pipe.
#[derive(Debug)]
pub(super) enum NoPipe {
    /// Full; it may wait.
    Full(PipeId),
    /// The node or this pipe of it cannot be used; why.
    Down(String),
    /// The session needs one of its own, and a limit forbids it.
    NoLease(NoLease),
}

impl Core {
    /// A command whose keys say where it goes.
    #[inline]
    pub(super) fn by_keys(&mut self, client: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        if let Some(index) = row.single_key() {
            let name = request.arg(index as usize);
            if is_own(name) && !row.is_read() {
                return self.reject(client, row, &Refusal::OwnKey(name));
            }
            let node = self.owner(name);
            return self.send_one(client, request, row, node);
        }
        if row.blocks(request.args, request.bytes) {
            return self.block(client, request, row);
        }
        match self.node_of(client, request, row) {
            Some(node) => self.send_one(client, request, row, node),
            None => Taken::Yes,
        }
    }

    /// The node that a command's keys lie on, any live one if it has none; `None`: it was refused.
    pub(super) fn node_of(&mut self, client: ClientKey, request: Request<'_>, row: &Row) -> Option<NodeId> {
        let mut keys = std::mem::take(&mut self.scratch.keys);
        keys.clear();
        let found = row.find_keys(request.args, request.bytes, self.patterns(), &mut keys);
        if let Some(own) = own_among(request, row, &keys) {
            self.scratch.keys = keys;
            self.reject(client, row, &Refusal::OwnKey(own));
            return None;
        }
        let owner = found.map(|()| self.owner_of_all(request, &keys));
        if keys.capacity() > 16 << 10 {
            keys = Vec::new();
        }
        self.scratch.keys = keys;
        match owner {
            Ok(Ok(Some(node))) => return Some(node),
            Ok(Err((key, other))) => {
                self.refuse_crossslot(client, request.arg(key as usize), request.arg(other as usize));
                return None;
            }
            Err(KeysError::ForeignPattern) => {
                self.refuse(client, &Refusal::ForeignPattern(&row.name));
                return None;
            }
            // No keys; or the node says what is wrong with it, better than we could.
            Ok(Ok(None)) | Err(KeysError::Malformed) => {}
        }
        let node = self.any_live_node();
        if node.is_none() {
            self.refuse(client, &Refusal::NoNode);
        }
        node
    }

    /// Where the keys lie that a pattern of SORT makes up.
    pub(super) fn patterns(&self) -> Patterns {
        let topology = &self.snapshot.topology;
        if topology.members().len() == 1 {
            return Patterns::Together;
        }
        topology.ring.tag().map_or(Patterns::Anywhere, Patterns::Tagged)
    }

    /// The node that owns all `keys` (argument indices); `None`: there are no keys. Else two keys of different nodes.
    pub(super) fn owner_of_all(&self, request: Request<'_>, keys: &[u32]) -> Result<Option<NodeId>, (u32, u32)> {
        let topology = &self.snapshot.topology;
        let Some((first, rest)) = keys.split_first() else { return Ok(None) };
        let owner = topology.owner(request.arg(*first as usize));
        match rest.iter().find(|key| !topology.may_own(owner, request.arg(**key as usize))) {
            Some(other) => Err((*first, *other)),
            None => Ok(Some(owner)),
        }
    }

    pub(super) fn refuse_crossslot(&mut self, client: ClientKey, key: &[u8], other: &[u8]) {
        let topology = std::sync::Arc::clone(&self.snapshot.topology);
        self.refuse(client, &apart(&topology, key, other));
    }

    /// A command that any live node may answer: the first one that is up, so that answers do not change needlessly.
    pub(super) fn any(&mut self, client: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        let Some(node) = self.any_live_node() else {
            self.refuse(client, &Refusal::NoNode);
            return Taken::Yes;
        };
        self.send_one(client, request, row, node)
    }

    /// The whole request to one node.
    #[inline(always)]
    pub(super) fn send_one(&mut self, key: ClientKey, request: Request<'_>, row: &Row, node: NodeId) -> Taken {
        match self.pipe_of(key, node) {
            Ok(pipe) => self.send_on(pipe, key, request, row),
            Err(taken) => return taken,
        }
        Taken::Yes
    }

    /// The pipe for a session's command at `node`; or what became of the command.
    #[inline(always)]
    pub(super) fn pipe_of(&mut self, key: ClientKey, node: NodeId) -> Result<PipeId, Taken> {
        match self.pipe_to(key, node) {
            Ok(pipe) => return Ok(pipe),
            Err(NoPipe::Full(pipe)) => return Err(Taken::Full(pipe)),
            Err(NoPipe::Down(why)) => self.refuse_down(key, node, &why),
            Err(NoPipe::NoLease(why)) => self.refuse_tracked(key, node, &why),
        }
        Err(Taken::Yes)
    }

    /// The whole request over a pipe that has room.
    #[inline(always)]
    pub(super) fn send_on(&mut self, pipe: PipeId, key: ClientKey, request: Request<'_>, row: &Row) {
        let Some(client) = self.client(key) else { return };
        let tracks = client.modes.has(Modes::TRACKING);
        if tracks {
            self.caching_first(key, pipe);
        }
        let Some(client) = self.client_mut(key) else { return };
        let seq = client.open_slot();
        let entry = Entry { retried: tracks, ..Entry::asked(key, seq, row, self.stamp()) };
        self.put(pipe, entry, request);
    }

    /// Puts a whole request into a pipe that has room.
    #[inline(always)]
    pub(super) fn put(&mut self, id: PipeId, entry: Entry, request: Request<'_>) {
        let now_us = self.now_us;
        let pipe = &mut self.pipes[id.index()];
        pipe.used_us = now_us;
        pipe.enqueue(entry, request.bytes);
        match request.blob {
            Some(blob) => pipe.out.push_blob(blob.clone()),
            None => pipe.out.push(request.bytes),
        }
        self.counters.nodes[pipe.node.index()].requests += 1;
        self.mark_pipe(id);
    }

    /// Puts a request of our own into a pipe; nobody wants its reply.
    pub(super) fn send_unwanted(&mut self, id: PipeId, words: &[&[u8]]) {
        let entry = Entry::unwanted(self.stamp());
        self.send_own(id, entry, words);
    }

    /// Puts a request of our own into a pipe.
    pub(super) fn send_own(&mut self, id: PipeId, entry: Entry, words: &[&[u8]]) {
        let mut bytes = Vec::new();
        encode::array_header(&mut bytes, words.len());
        words.iter().for_each(|word| encode::bulk(&mut bytes, word));
        self.put(id, entry, Request { bytes: &bytes, args: &[], blob: None });
    }

    pub(super) fn refuse_down(&mut self, key: ClientKey, node: NodeId, why: &str) {
        let topology = std::sync::Arc::clone(&self.snapshot.topology);
        self.refuse(key, &Refusal::NodeDown(topology.node(node), why));
    }

    /// The pipe over which requests of a session go to `node`; or why there is none.
    #[inline(always)]
    pub(super) fn pipe_to(&mut self, key: ClientKey, node: NodeId) -> Result<PipeId, NoPipe> {
        let Some(client) = self.client(key) else { return Err(NoPipe::Down(String::new())) };
        let (db, proto) = (client.db, client.proto);
        if client.modes.has(Modes::TRACKING) { self.tracked_pipe(key, node) } else { self.pipe_for(node, db, proto) }
    }

    /// The pipe to `node` for this db and protocol, opened if need be, with room for one more request.
    #[inline(always)]
    pub(super) fn pipe_for(&mut self, node: NodeId, db: u32, proto: Proto) -> Result<PipeId, NoPipe> {
        let link = &self.links[node.index()];
        if let Some((_, why)) = &link.down {
            return Err(NoPipe::Down(why.clone()));
        }
        let id = self.shared_pipe(node, db, proto).unwrap_or_else(|| self.new_pipe(node, db, proto));
        self.with_room(id)
    }

    /// A pipe to `node` beside the usual ones: a Redis that runs a script hears nobody on the connection that it came over,
    /// so whoever wants to end it must come over another one.
    pub(super) fn pipe_aside(&mut self, node: NodeId, proto: Proto) -> Result<PipeId, NoPipe> {
        if let Some((_, why)) = &self.links[node.index()].down {
            return Err(NoPipe::Down(why.clone()));
        }
        let id = self.links[node.index()].aside[proto_index(proto)].unwrap_or_else(|| {
            let id = PipeId(self.pipes.len() as u32);
            self.pipes.push(Pipe::new(node, 0, proto));
            self.links[node.index()].aside[proto_index(proto)] = Some(id);
            id
        });
        self.with_room(id)
    }

    /// This shared pipe, opened if need be, if it has room for one more request.
    #[inline(always)]
    fn with_room(&mut self, id: PipeId) -> Result<PipeId, NoPipe> {
        let pipe = &self.pipes[id.index()];
        match &pipe.state {
            State::Ready | State::Connecting => {}
            State::Failed { until_us, why } if self.now_us < *until_us => return Err(NoPipe::Down(why.clone())),
            State::Idle | State::Failed { .. } => self.open_pipe(id),
        }
        let pipe = &self.pipes[id.index()];
        let limits = &self.settings.pipe;
        if pipe.inflight.len() >= limits.max_in_flight || pipe.out.len() >= limits.max_unsent {
            return Err(NoPipe::Full(id));
        }
        Ok(id)
    }

    /// The pipe to `node` for this db and protocol that all sessions share, if it was ever opened.
    #[inline]
    pub(super) fn shared_pipe(&self, node: NodeId, db: u32, proto: Proto) -> Option<PipeId> {
        self.links[node.index()].pipes[proto_index(proto)].get(db as usize).copied().flatten()
    }

    pub(super) fn new_pipe(&mut self, node: NodeId, db: u32, proto: Proto) -> PipeId {
        let id = PipeId(self.pipes.len() as u32);
        self.pipes.push(Pipe::new(node, db, proto));
        let by_db = &mut self.links[node.index()].pipes[proto_index(proto)];
        if by_db.len() <= db as usize {
            by_db.resize(db as usize + 1, None);
        }
        by_db[db as usize] = Some(id);
        id
    }

    pub(super) fn open_pipe(&mut self, id: PipeId) {
        let now_us = self.now_us;
        let pipe = &mut self.pipes[id.index()];
        pipe.state = State::Connecting;
        pipe.attempt = pipe.attempt.wrapping_add(1);
        pipe.used_us = now_us;
        self.todo.push(Todo::Connect(id, pipe.attempt));
    }
}

/// Two keys lie on different nodes.
pub(super) fn apart<'a>(topology: &'a Topology, key: &'a [u8], other: &'a [u8]) -> Refusal<'a> {
    let name = |key: &[u8]| topology.node(topology.owner(key)).name.as_str();
    Refusal::CrossSlot(key, name(key), other, name(other))
}

/// A key among these (argument indices) that is Circlet's own, if the command may write it.
pub(super) fn own_among<'a>(request: Request<'a>, row: &Row, keys: &[u32]) -> Option<&'a [u8]> {
    if row.is_read() {
        return None;
    }
    keys.iter().map(|index| request.arg(*index as usize)).find(|name| is_own(name))
}
