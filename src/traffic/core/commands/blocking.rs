//! Commands that wait at a node: BLPOP and its kin, XREAD BLOCK, WAIT, WAITAOF, and CLIENT UNBLOCK, which ends them.
//!
//! ```text
//!  BLPOP ─ earlier replies first ─► lease ─► waits at the node ─► reply ─► lease back, the session goes on
//!                                              │  client gone, killed: the connection is closed, as Redis would see it
//!                                              │  CLIENT UNBLOCK: the node is told over the shared pipe
//! ```
//! A blocked session takes no more requests, as in Redis, but its socket is read so that its end is seen; the leased
//! connection is then closed at once, and the node pops nothing for it. Bounded by the leases; no timer runs for it.
//! When its keys move to another node, it is unblocked at the old one behind the fence (`core/gate.rs`): what it was given
//! by then is the client's, a nil is not, and it is given again at the new node, with the rest of its time.
//! Invariant: a connection that somebody was told to unblock is never used again, or the word could meet the next
//! session's command.
//!
//! WAIT counts the replicas of a connection's own writes. The session's writes went over shared pipes, so each node is
//! asked on a leased one after a PING, whose execution makes the node's whole write history that connection's own
//! (`c->woff` of Redis). The smallest answer of all nodes counts, as in Redis Cluster. Pure.

use super::{NOT_AN_INTEGER, integer};
use crate::traffic::{
    client::{Blocked, ClientKey, Pause, Record, Reply},
    command::{Gather, KeysError, Row},
    core::{
        Asker, Core, Message,
        dispatch::own_among,
        lease::NoLease,
        request::{Request, Taken},
    },
    merge::{Kind, State as PartState},
    pipe::{Entry, Owner, PipeId, State},
    refusal::Refusal,
    resp::encode,
    route::NodeId,
};

/// What a node is told of a client that waits there no more.
#[derive(Clone, Copy, Debug)]
pub(in crate::traffic::core) struct Word {
    /// The client gets an error, not a nil.
    error: bool,
    /// Who wants to know whether it waited.
    asker: Option<Asker>,
}

impl Core {
    /// A command with keys that may wait for data.
    pub(in crate::traffic::core) fn block(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        if self.awaits_replies(key) {
            return Taken::Later;
        }
        let mut keys = Vec::new();
        match row.find_keys(request.args, request.bytes, self.patterns(), &mut keys) {
            Ok(()) => {}
            // It cannot block: the node says what is wrong with it.
            Err(KeysError::Malformed | KeysError::ForeignPattern) => return self.any(key, request, row),
        }
        if let Some(own) = own_among(request, row, &keys) {
            return self.reject(key, row, &Refusal::OwnKey(own));
        }
        match self.owner_of_all(request, &keys) {
            Ok(Some(node)) => self.block_at(key, request, row, node),
            Ok(None) => self.any(key, request, row),
            Err((one, other)) => {
                self.refuse_crossslot(key, request.arg(one as usize), request.arg(other as usize));
                Taken::Yes
            }
        }
    }

    fn block_at(&mut self, key: ClientKey, request: Request<'_>, row: &Row, node: NodeId) -> Taken {
        let id = match self.lease(key, node) {
            Ok(id) => id,
            Err(why) => {
                self.refuse_lease(key, node, &row.name, &why);
                return Taken::Yes;
            }
        };
        let sent_us = self.now_us as u32;
        let Some(client) = self.client_mut(key) else { return Taken::Yes };
        let seq = client.open_slot();
        let entry = Entry { retried: true, waits: true, ..Entry::asked(key, seq, row, sent_us) };
        self.caching_first(key, id);
        self.put(id, entry, request);
        self.pipes[id.index()].ends = true;
        let (request, since_us) = (request.bytes.to_vec(), self.now_us);
        self.blocked(key, Blocked { pipes: vec![id], seq, whole: true, request, since_us, moves: false });
        Taken::Yes
    }

    /// WAIT and WAITAOF: of every node.
    pub(super) fn wait(&mut self, key: ClientKey, request: Request<'_>, row: &Row, how: Gather) -> Taken {
        if self.awaits_replies(key) {
            return Taken::Later;
        }
        let mut leases: Vec<(NodeId, Result<PipeId, String>)> = Vec::new();
        for node in self.nodes() {
            match self.lease(key, node) {
                Ok(id) => leases.push((node, Ok(id))),
                Err(NoLease::Down(why)) => leases.push((node, Err(why))),
                Err(limit) => {
                    leases.into_iter().filter_map(|(_, lease)| lease.ok()).for_each(|id| self.end_lease(id));
                    self.refuse_lease(key, node, &row.name, &limit);
                    return Taken::Yes;
                }
            }
        }
        self.wait_on(key, request, how, leases);
        Taken::Yes
    }

    fn wait_on(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        how: Gather,
        leases: Vec<(NodeId, Result<PipeId, String>)>,
    ) {
        let (sent_us, proto) = (self.now_us as u32, self.proto(key));
        let Some(client) = self.client_mut(key) else { return };
        let (seq, row) = (client.open_slot(), client.command_row());
        let (aggregate, generation) = self.new_aggregate(key, seq, Kind::All(how), proto, false);
        let mut pipes = Vec::new();
        for (node, lease) in leases {
            let part = self.aggregates[aggregate].add_part(node);
            match lease {
                Ok(id) => {
                    self.send_unwanted(id, &[b"PING"]);
                    let entry = Entry {
                        index: aggregate as u32,
                        generation,
                        seq: part,
                        row,
                        owner: Owner::Part,
                        waits: true,
                        ..Entry::unwanted(sent_us)
                    };
                    self.put(id, entry, request);
                    self.pipes[id.index()].ends = true;
                    pipes.push(id);
                }
                Err(why) => {
                    let topology = std::sync::Arc::clone(&self.snapshot.topology);
                    let refusal = Refusal::NodeDown(topology.node(node), &why);
                    self.aggregates[aggregate].note(part, PartState::Failed, |out| refusal.write(out));
                }
            }
        }
        if pipes.is_empty() {
            return self.finish_aggregate(aggregate);
        }
        let (request, since_us) = (Vec::new(), self.now_us);
        self.blocked(key, Blocked { pipes, seq, whole: false, request, since_us, moves: false });
    }

    /// The session waits from now on.
    fn blocked(&mut self, key: ClientKey, blocked: Blocked) {
        self.counters.blocked += 1;
        if let Some(client) = self.client_mut(key) {
            client.pause = Pause::Blocked;
            client.record.mark(Record::BLOCKED, true);
            client.special_mut().blocked = Some(blocked);
        }
    }

    /// The session waits no more: it is answered, or gone.
    pub(in crate::traffic::core) fn waits_no_more(&mut self, key: ClientKey) {
        let Some(client) = self.client_mut(key) else { return };
        let Some(special) = &mut client.special else { return };
        let Some(blocked) = special.blocked.take() else { return };
        client.record.mark(Record::BLOCKED, false);
        self.counters.blocked = self.counters.blocked.saturating_sub(1);
        if blocked.moves && !blocked.pipes.is_empty() {
            self.no_longer_blocked();
        }
    }

    /// Ends the waiting of a session, as if its time were over or with an error. `asker` is told whether it waited; of
    /// several nodes (WAIT) the first one's word counts.
    pub(in crate::traffic::core) fn unblock(&mut self, key: ClientKey, error: bool, asker: Option<Asker>) {
        if self.unblock_lock(key, error) {
            return self.answer_asker(asker, true);
        }
        let special = self.client(key).and_then(|client| client.special.as_ref());
        let Some(blocked) = special.and_then(|special| special.blocked.clone()) else {
            return self.answer_asker(asker, false);
        };
        if blocked.pipes.is_empty() {
            // It is between two nodes.
            self.answer_unblocked(key, blocked.seq, error);
            return self.answer_asker(asker, true);
        }
        let mut asker = asker;
        for id in &blocked.pipes {
            let word = Word { error, asker: asker.take() };
            if let Err(word) = self.tell_node_to_unblock(*id, word) {
                // The node does not know of it, or cannot be told: nothing can come of the waiting.
                if blocked.whole {
                    self.answer_unblocked(key, blocked.seq, error);
                }
                self.close_lease(*id);
                self.answer_asker(word.asker, true);
            }
        }
    }

    /// Tells the node of a leased connection that its client waits no more, as if its time were over; false: it cannot be told.
    pub(super) fn unblock_quietly(&mut self, id: PipeId) -> bool {
        self.tell_node_to_unblock(id, Word { error: false, asker: None }).is_ok()
    }

    /// Tells the node of a leased connection that its client waits no more; gives the word back if that cannot be said.
    fn tell_node_to_unblock(&mut self, id: PipeId, word: Word) -> Result<(), Word> {
        let pipe = &self.pipes[id.index()];
        let Some(shared) = self.first_pipe(pipe.node) else { return Err(word) };
        if pipe.state != State::Ready || pipe.node_client == 0 || self.pipes[shared.index()].state != State::Ready {
            return Err(word);
        }
        let (client, attempt) = (pipe.node_client.to_string(), pipe.attempt);
        self.pipes[id.index()].soiled = true;
        let how: &[u8] = if word.error { b"ERROR" } else { b"TIMEOUT" };
        let entry = Entry {
            index: id.0,
            generation: attempt,
            seq: self.words.insert(word) as u32,
            owner: Owner::Unblock,
            ..Entry::unwanted(self.now_us as u32)
        };
        self.send_own(shared, entry, &[b"CLIENT", b"UNBLOCK", client.as_bytes(), how]);
        Ok(())
    }

    /// What the node said to CLIENT UNBLOCK; empty if it said nothing. The two connections are not ordered: when the blocking command has not
    /// come to its turn yet there is nobody to unblock, and the node is told again.
    pub(in crate::traffic::core) fn node_unblocked(&mut self, entry: Entry, reply: &[u8]) {
        let Some(word) = self.words.try_remove(entry.seq as usize) else { return };
        let id = PipeId(entry.index);
        let pipe = &self.pipes[id.index()];
        let waits = pipe.attempt == entry.generation && pipe.inflight.back().is_some_and(|last| last.waits);
        if reply == b":1\r\n" || !waits {
            return self.answer_asker(word.asker, reply == b":1\r\n");
        }
        let again = if reply == b":0\r\n" { self.tell_node_to_unblock(id, word) } else { Err(word) };
        if let Err(word) = again {
            // It will not be told (ACL): the connection is all that can be taken from it.
            self.close_lease(id);
            self.answer_asker(word.asker, true);
        }
    }

    /// Tells who asked for an unblocking whether anybody waited.
    fn answer_asker(&mut self, asker: Option<Asker>, waited: bool) {
        let Some(to) = asker else { return };
        let mut text = Vec::new();
        encode::integer(&mut text, i64::from(waited));
        self.tell(to.worker, Message::Answer { to, text });
    }

    fn answer_unblocked(&mut self, key: ClientKey, seq: u32, error: bool) {
        let mut text = Vec::new();
        if error {
            Refusal::Redis("UNBLOCKED client unblocked via CLIENT UNBLOCK").write(&mut text);
        } else {
            encode::null_array(&mut text, self.proto(key));
        }
        self.fill(key, seq, Reply::Bytes(&text));
    }

    /// `CLIENT UNBLOCK id [TIMEOUT | ERROR]`
    pub(super) fn client_unblock(&mut self, key: ClientKey, request: Request<'_>) {
        let error = match (request.args.len(), request.arg(3)) {
            (3, _) => false,
            (4, how) if how.eq_ignore_ascii_case(b"TIMEOUT") => false,
            (4, how) if how.eq_ignore_ascii_case(b"ERROR") => true,
            (4, _) => {
                return self.refuse(key, &Refusal::Redis("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
            }
            _ => return self.refuse(key, &Refusal::SubcommandSyntax(request.arg(1), "CLIENT")),
        };
        let Some(id) = integer(request.arg(2)) else { return self.refuse(key, &Refusal::Redis(NOT_AN_INTEGER)) };
        match self.registry.get(id as u64) {
            Some(record) => {
                let Some(from) = self.ask(key) else { return };
                self.tell(record.worker, Message::Unblock { id: record.id, error, from });
            }
            None => self.answer(key, |out| encode::integer(out, 0)),
        }
    }

    /// Another session's CLIENT UNBLOCK of a session that may be here.
    pub(in crate::traffic::core) fn unblock_for(&mut self, id: u64, error: bool, from: Asker) {
        match self.key_of(id) {
            Some(key) => self.unblock(key, error, Some(from)),
            None => self.answer_asker(Some(from), false),
        }
    }
}
