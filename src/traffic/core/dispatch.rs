//! A planned request to the pipes of its nodes.
//!
//! One node: the bytes go on as they came. Several: one sub-command per node and an aggregate that waits for all of
//! them. Whether there is room is asked of every pipe first, so that a request is sent whole or not at all.

use super::{
    Core, Todo,
    lease::NoLease,
    proto_index,
    reply::BIG,
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, Modes, Reply},
    command::{Gather, KeysError, Patterns, Row, Split},
    merge::{self, Aggregate, Context, Kind, State as PartState},
    pipe::{Entry, Owner, Pipe, PipeId, State},
    refusal::Refusal,
    resp::{Proto, encode},
    route::{NodeId, ring::Hashed},
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
            let node = self.snapshot.topology.owner(request.arg(index as usize));
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
        if topology.nodes.len() == 1 {
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
        let name = |key: &[u8]| topology.node(topology.owner(key)).name.as_str();
        self.refuse(client, &Refusal::CrossSlot(key, name(key), other, name(other)));
    }

    /// A command that any live node may answer: the first one that is up, so that answers do not change needlessly.
    pub(super) fn any(&mut self, client: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        let Some(node) = self.any_live_node() else {
            self.refuse(client, &Refusal::NoNode);
            return Taken::Yes;
        };
        self.send_one(client, request, row, node)
    }

    pub(super) fn any_live_node(&self) -> Option<NodeId> {
        let index = self.links.iter().position(|link| link.down.is_none())?;
        Some(NodeId(index as u16))
    }

    /// The whole request to one node.
    #[inline]
    pub(super) fn send_one(&mut self, key: ClientKey, request: Request<'_>, row: &Row, node: NodeId) -> Taken {
        match self.pipe_of(key, node) {
            Ok(pipe) => self.send_on(pipe, key, request, row),
            Err(taken) => return taken,
        }
        Taken::Yes
    }

    /// The pipe for a session's command at `node`; or what became of the command.
    #[inline]
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
    #[inline]
    pub(super) fn send_on(&mut self, pipe: PipeId, key: ClientKey, request: Request<'_>, row: &Row) {
        let Some(client) = self.client(key) else { return };
        let tracks = client.modes.has(Modes::TRACKING);
        if tracks {
            self.caching_first(key, pipe);
        }
        let Some(client) = self.client_mut(key) else { return };
        let seq = client.open_slot();
        let entry = Entry {
            index: key.index,
            generation: key.generation,
            seq,
            sent_us: self.stamp(),
            replay: 0,
            row: row.id,
            owner: Owner::Client,
            reads: row.is_read(),
            retried: tracks,
            waits: false,
        };
        self.put(pipe, entry, request);
    }

    /// Puts a whole request into a pipe that has room.
    #[inline]
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
    #[inline]
    pub(super) fn pipe_to(&mut self, key: ClientKey, node: NodeId) -> Result<PipeId, NoPipe> {
        let Some(client) = self.client(key) else { return Err(NoPipe::Down(String::new())) };
        let (db, proto) = (client.db, client.proto);
        if client.modes.has(Modes::TRACKING) { self.tracked_pipe(key, node) } else { self.pipe_for(node, db, proto) }
    }

    /// The pipe to `node` for this db and protocol, opened if need be, with room for one more request.
    #[inline]
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
    fn pipe_aside(&mut self, node: NodeId, proto: Proto) -> Result<PipeId, NoPipe> {
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
    #[inline]
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

    /// A multi-key command, cut by node.
    pub(super) fn split(&mut self, key: ClientKey, request: Request<'_>, row: &Row, how: Split) -> Taken {
        let step = if how == Split::Pairs { 2 } else { 1 };
        let args = &request.args[1..];
        if !args.len().is_multiple_of(step) {
            // An odd MSET: the node's own error.
            return self.any(key, request, row);
        }
        let mut cut = std::mem::take(&mut self.scratch.cut);
        cut.clear();
        let ring = &self.snapshot.topology.ring;
        // All look-ups are begun before the first is finished: each would wait for memory.
        cut.hashed.extend(args.iter().step_by(step).map(|arg| ring.begin(arg.of(request.bytes))));
        for index in 0..cut.hashed.len() {
            cut.add(ring.finish(cut.hashed[index]));
        }
        let taken = match cut.nodes.as_slice() {
            [node] => self.send_one(key, request, row, *node),
            _ => {
                cut.write(request, step);
                self.send_parts(key, Kind::Split(how), row.is_read(), &cut)
            }
        };
        cut.release();
        self.scratch.cut = cut;
        taken
    }

    /// The same command to every node.
    pub(super) fn all(&mut self, key: ClientKey, request: Request<'_>, row: &Row, how: Gather) -> Taken {
        let reads = row.is_read() || how.only_asks();
        self.send_all(key, Kind::All(how), reads, |out| out.extend_from_slice(request.bytes))
    }

    /// A PUBLISH to one node, whose number of receivers is to be corrected by `by`.
    pub(super) fn send_counted(&mut self, key: ClientKey, request: Request<'_>, node: NodeId, by: i64) -> Taken {
        let mut cut = std::mem::take(&mut self.scratch.cut);
        cut.clear();
        cut.nodes.push(node);
        cut.buffer(0).extend_from_slice(request.bytes);
        let taken = self.send_parts(key, Kind::Published(by), false, &cut);
        cut.release();
        self.scratch.cut = cut;
        taken
    }

    /// What `write` appends, to every node.
    pub(super) fn send_all(&mut self, key: ClientKey, kind: Kind, reads: bool, write: impl Fn(&mut Vec<u8>)) -> Taken {
        self.send_all_marked(key, kind, reads, &[], write)
    }

    /// As [`Core::send_all`], with what the merging needs to know of each place in [`Aggregate::order`].
    pub(super) fn send_all_marked(
        &mut self,
        key: ClientKey,
        kind: Kind,
        reads: bool,
        marks: &[u16],
        write: impl Fn(&mut Vec<u8>),
    ) -> Taken {
        let mut cut = std::mem::take(&mut self.scratch.cut);
        cut.clear();
        cut.order.extend_from_slice(marks);
        for node in 0..self.links.len() {
            cut.nodes.push(NodeId(node as u16));
            write(cut.buffer(node));
        }
        let taken = self.send_parts(key, kind, reads, &cut);
        cut.release();
        self.scratch.cut = cut;
        taken
    }

    /// What `write` appends, to one node, its reply to be made into another one.
    pub(super) fn send_to(
        &mut self,
        key: ClientKey,
        kind: Kind,
        reads: bool,
        node: NodeId,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Taken {
        let mut cut = std::mem::take(&mut self.scratch.cut);
        cut.clear();
        cut.nodes.push(node);
        write(cut.buffer(0));
        let taken = self.send_parts(key, kind, reads, &cut);
        cut.release();
        self.scratch.cut = cut;
        taken
    }

    /// Sends each node its part and opens the slot that waits for them; or does nothing when a pipe is full.
    fn send_parts(&mut self, key: ClientKey, kind: Kind, reads: bool, cut: &Cut) -> Taken {
        let Some(client) = self.client(key) else { return Taken::Yes };
        let (db, proto, tracks) = (client.db, client.proto, client.modes.has(Modes::TRACKING));
        let aside = kind == Kind::All(Gather::AnyOk);
        let mut pipes = std::mem::take(&mut self.scratch.pipes);
        pipes.clear();
        for node in &cut.nodes {
            let pipe = if aside {
                self.pipe_aside(*node, proto)
            } else if tracks {
                self.tracked_pipe(key, *node)
            } else {
                self.pipe_for(*node, db, proto)
            };
            match pipe {
                Ok(pipe) => pipes.push(Ok(pipe)),
                Err(NoPipe::Down(why)) => pipes.push(Err(why)),
                Err(NoPipe::Full(pipe)) => {
                    self.scratch.pipes = pipes;
                    return Taken::Full(pipe);
                }
                Err(NoPipe::NoLease(why)) => {
                    self.scratch.pipes = pipes;
                    self.refuse_tracked(key, *node, &why);
                    return Taken::Yes;
                }
            }
        }
        let Some(client) = self.client_mut(key) else { return Taken::Yes };
        let (seq, row) = (client.open_slot(), client.command_row());
        let (id, generation) = self.new_aggregate(key, seq, kind, proto, reads);
        self.aggregates[id].order.extend_from_slice(&cut.order);
        let sent_us = self.stamp();
        for (part, (node, pipe)) in cut.nodes.iter().zip(pipes.drain(..)).enumerate() {
            self.aggregates[id].add_part(*node);
            match pipe {
                Ok(pipe) => {
                    if tracks {
                        self.caching_first(key, pipe);
                    }
                    let entry = Entry {
                        index: id as u32,
                        generation,
                        seq: part as u32,
                        sent_us,
                        replay: 0,
                        row,
                        owner: Owner::Part,
                        reads,
                        retried: tracks,
                        waits: false,
                    };
                    self.put(pipe, entry, Request { bytes: &cut.buffers[part], args: &[], blob: None });
                }
                Err(why) => {
                    let topology = std::sync::Arc::clone(&self.snapshot.topology);
                    let refusal = Refusal::NodeDown(topology.node(*node), &why);
                    self.counters.refusals[refusal.kind() as usize] += 1;
                    self.counters.commands.refused(row, refusal.kind());
                    self.aggregates[id].note(part as u32, PartState::Failed, |out| refusal.write(out));
                }
            }
        }
        self.scratch.pipes = pipes;
        if self.aggregates[id].missing == 0 {
            self.finish_aggregate(id);
        }
        Taken::Yes
    }

    pub(super) fn new_aggregate(
        &mut self,
        client: ClientKey,
        seq: u32,
        kind: Kind,
        proto: Proto,
        reads: bool,
    ) -> (usize, u32) {
        let mut aggregate = self.idle_aggregates.pop().unwrap_or_else(|| Aggregate::new(client));
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        aggregate.generation = generation;
        aggregate.client = client;
        aggregate.seq = seq;
        aggregate.kind = kind;
        aggregate.proto = proto;
        aggregate.reads = reads;
        (self.aggregates.insert(aggregate), generation)
    }

    /// Its memory serves the next one.
    pub(super) fn keep_aggregate(&mut self, mut aggregate: Aggregate) {
        aggregate.recycle();
        if self.idle_aggregates.len() < 64 {
            self.idle_aggregates.push(aggregate);
        }
    }

    /// All parts are there: the merged reply goes to its slot.
    pub(super) fn finish_aggregate(&mut self, id: usize) {
        if self.aggregates[id].course.is_some() {
            return self.round_over(id);
        }
        let aggregate = self.aggregates.remove(id);
        let replied = aggregate.replied();
        self.counters.big_replies += u64::from(replied >= BIG);
        let Some(client) = self.client_mut(aggregate.client) else { return self.keep_aggregate(aggregate) };
        client.gathered = client.gathered.saturating_sub(replied);
        self.gathered = self.gathered.saturating_sub(replied);
        let own = match aggregate.kind {
            Kind::Info { own } => self.own_info(own),
            _ => merge::info::Own::default(),
        };
        let random = self.rng.u64(..);
        // The reply that is complete came just now over this pipe, so this is the run that gave it.
        let run = match aggregate.kind {
            Kind::Scan(step) => self.run_of_step(step),
            _ => 0,
        };
        let mut text = std::mem::take(&mut self.scratch.text);
        text.clear();
        let cx = Context {
            topology: &self.snapshot.topology,
            partial_reads: self.settings.partial_reads,
            limits: &self.settings.limits,
            random,
            own: &own,
            run,
            audience: &self.registry.audience,
        };
        merge::finish(&aggregate, &cx, &mut text);
        match aggregate.kind {
            Kind::Exec => self.exec_answered(&aggregate, &text),
            Kind::Watch => {
                self.watch_answered(aggregate.client, aggregate.parts.first().map(|part| part.state), &text);
                self.fill(aggregate.client, aggregate.seq, Reply::Bytes(&text));
            }
            Kind::Script if self.runs_again(&aggregate, &text) => {}
            _ => self.fill(aggregate.client, aggregate.seq, Reply::Bytes(&text)),
        }
        self.keep_aggregate(aggregate);
        if text.capacity() > 64 << 10 {
            text = Vec::new();
        }
        self.scratch.text = text;
    }
}

/// A request cut into one part per node.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// The nodes, in the order in which they were met.
    nodes: Vec<NodeId>,
    /// Keys per node.
    counts: Vec<u32>,
    /// Each key's first half of the look-up.
    hashed: Vec<Hashed>,
    /// For each key the index of its node in `nodes`.
    order: Vec<u16>,
    /// For each node its sub-command; more may stand here, from earlier requests.
    buffers: Vec<Vec<u8>>,
}

impl Cut {
    /// Gives back the memory of an unusually large request.
    fn release(&mut self) {
        for buffer in self.buffers.iter_mut().take(self.nodes.len()) {
            if buffer.capacity() > 64 << 10 {
                *buffer = Vec::new();
            }
        }
        if self.order.capacity() > 16 << 10 {
            self.order = Vec::new();
        }
        if self.hashed.capacity() > 4 << 10 {
            self.hashed = Vec::new();
        }
    }

    fn clear(&mut self) {
        self.nodes.clear();
        self.counts.clear();
        self.hashed.clear();
        self.order.clear();
    }

    /// Notes the next key's owner.
    fn add(&mut self, node: NodeId) {
        let part = self.nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.counts.push(0);
            self.nodes.len() - 1
        });
        self.counts[part] += 1;
        self.order.push(part as u16);
    }

    /// The empty buffer of part `part`.
    fn buffer(&mut self, part: usize) -> &mut Vec<u8> {
        while self.buffers.len() <= part {
            self.buffers.push(Vec::new());
        }
        self.buffers[part].clear();
        &mut self.buffers[part]
    }

    /// Writes each node's sub-command: the command's name, and of every `step` arguments those whose key it owns.
    fn write(&mut self, request: Request<'_>, step: usize) {
        for part in 0..self.nodes.len() {
            let count = self.counts[part] as usize * step + 1;
            let out = self.buffer(part);
            encode::array_header(out, count);
            out.extend_from_slice(request.args[0].raw(request.bytes));
        }
        for (group, part) in request.args[1..].chunks_exact(step).zip(&self.order) {
            let (first, last) = (group[0].head as usize, group[step - 1].end as usize + 2);
            self.buffers[usize::from(*part)].extend_from_slice(&request.bytes[first..last]);
        }
    }
}
