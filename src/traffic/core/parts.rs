//! A request to several nodes: one part for each, and an aggregate that waits for all of them.
//!
//! ```text
//!  MGET a b c ─► cut: whose key is which ─► MGET a c ─► pipe ─► node 1 ─┐
//!                                        └► MGET b ───► pipe ─► node 2 ─┴► aggregate ─► merge ─► slot
//! ```
//! Whether there is room is asked of every pipe first, so that a request is sent whole or not at all. What is cut lies in
//! memory that serves the next request. Pure.

use super::{
    Core,
    dispatch::NoPipe,
    reply::BIG,
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, Modes, Reply},
    command::{Gather, Row, Split},
    merge::{self, Aggregate, Context, Kind, State as PartState},
    pipe::{Entry, Owner},
    refusal::Refusal,
    resp::{Proto, encode},
    route::{NodeId, is_own, ring::Hashed},
};

impl Core {
    /// A multi-key command, cut by node.
    pub(super) fn split(&mut self, key: ClientKey, request: Request<'_>, row: &Row, how: Split) -> Taken {
        let step = if how == Split::Pairs { 2 } else { 1 };
        let args = &request.args[1..];
        if !args.len().is_multiple_of(step) {
            // An odd MSET: the node's own error.
            return self.any(key, request, row);
        }
        if !row.is_read()
            && let Some(own) = args.iter().step_by(step).map(|arg| arg.of(request.bytes)).find(|name| is_own(name))
        {
            return self.reject(key, row, &Refusal::OwnKey(own));
        }
        self.with_cut(|core, cut| {
            let topology = &core.snapshot.topology;
            if topology.change.is_some() {
                args.iter().step_by(step).for_each(|arg| cut.add(topology.owner(arg.of(request.bytes))));
            } else {
                // All look-ups are begun before the first is finished: each would wait for memory.
                cut.hashed.extend(args.iter().step_by(step).map(|arg| topology.ring.begin(arg.of(request.bytes))));
                for index in 0..cut.hashed.len() {
                    cut.add(topology.ring.finish(cut.hashed[index]));
                }
            }
            match cut.nodes.as_slice() {
                [node] => core.send_one(key, request, row, *node),
                _ => {
                    cut.write(request, step);
                    core.send_parts(key, Kind::Split(how), row.is_read(), cut)
                }
            }
        })
    }

    /// The same command to every node.
    pub(super) fn all(&mut self, key: ClientKey, request: Request<'_>, row: &Row, how: Gather) -> Taken {
        let reads = row.is_read() || how.only_asks();
        self.send_all(key, Kind::All(how), reads, |out| out.extend_from_slice(request.bytes))
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
        self.with_cut(|core, cut| {
            cut.order.extend_from_slice(marks);
            for (part, node) in core.nodes().enumerate() {
                cut.nodes.push(node);
                write(cut.buffer(part));
            }
            core.send_parts(key, kind, reads, cut)
        })
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
        self.with_cut(|core, cut| {
            cut.nodes.push(node);
            write(cut.buffer(0));
            core.send_parts(key, kind, reads, cut)
        })
    }

    /// Lets `send` use the memory that all cut requests share.
    fn with_cut(&mut self, send: impl FnOnce(&mut Self, &mut Cut) -> Taken) -> Taken {
        let mut cut = std::mem::take(&mut self.scratch.cut);
        cut.clear();
        let taken = send(self, &mut cut);
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
        let surplus = match aggregate.kind {
            Kind::All(Gather::DbSize) => {
                self.control.surplus(self.client(aggregate.client).map_or(0, |client| client.db))
            }
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
            surplus,
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
        self.look_at_fence();
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
