//! EXEC: the whole block to its node in one write, and its reply put together.
//!
//! ```text
//!  no WATCH, nothing that changes the connection:   shared pipe   … GET │ MULTI a b c EXEC │ GET …
//!  else:                        earlier replies first ─► lease    SELECT │ MULTI a b c EXEC │ ─► back to the pool, or closed
//!
//!  replies +OK +QUEUED … *n ─► Aggregate (merge::exec) ─► slot           *3 │ :1 │ "$2 me" │ :2
//!                                  └ with own commands: Unfolding ──────►    node  own        node
//! ```
//! A block stands in its pipe without a gap, so it is atomic there too, and whatever becomes of it EXEC leaves the
//! connection as it was. On the shared pipe it need not wait for anything: the session's commands for that node are in
//! order there. Own commands are carried out one after the other when EXEC has run, each as if it came alone, and its
//! reply stands at its place; the session takes nothing else meanwhile. A message whose channel lies at the node goes with
//! the block, and the number of its receivers is corrected as for any other. If EXEC did not run they are not carried out.
//! Bounded by what may be queued: a block may overfill a pipe by that much, as one large request may. Pure.

use std::sync::Arc;

use super::integer;
use crate::traffic::{
    client::{
        Client, ClientKey, Modes, Pause, Reply, ReplyMode, Tracking,
        transaction::{Block, Transaction, Turn, Unfolding},
    },
    command::{Found, Local, Route, Session},
    core::{
        Core, Todo,
        dispatch::NoPipe,
        observe::Watch,
        request::{Request, Taken},
    },
    merge::{Aggregate, Kind},
    observe::tally::NO_ROW,
    pipe::{Entry, Owner, PipeId},
    refusal::Refusal,
    resp::{Elements, Proto, Scan, encode, request::Scanner},
};

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

impl Core {
    /// `EXEC`
    pub(super) fn exec(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
        if self.has_moved(key)
            && let Some(taken) = self.gate_block(key)
        {
            return taken;
        }
        let Some(client) = self.client(key) else { return Taken::Yes };
        let special = client.special.as_deref();
        let Some(transaction) = special.and_then(|special| special.transaction.as_deref()) else {
            self.refuse(key, &Refusal::Redis("ERR EXEC without MULTI"));
            return Taken::Yes;
        };
        debug_assert!(client.modes.has(Modes::QUEUEING));
        let watch = special.and_then(|special| special.watch.as_ref());
        if transaction.aborted {
            self.give_up(key, &Refusal::ExecAborted);
            return Taken::Yes;
        }
        if let Some(watch) = watch.filter(|watch| watch.lost) {
            let (node, topology) = (watch.home.node, Arc::clone(&self.snapshot.topology));
            self.give_up(key, &Refusal::WatchLost(topology.node(node)));
            return Taken::Yes;
        }
        if watch.is_some_and(|watch| watch.moved) {
            // What it watched has moved to another node: whether it was written there in between nobody can say.
            let proto = client.proto;
            self.end_transaction(key);
            self.forget_watch(key);
            self.answer(key, |out| encode::null_array(out, proto));
            return Taken::Yes;
        }
        if !transaction.needs_node() && watch.is_none() {
            self.exec_without_node(key, request);
            return Taken::Yes;
        }
        let on_lease = watch.is_some() || transaction.changes_connection;
        if on_lease && self.awaits_replies(key) {
            return Taken::Later;
        }
        match self.pipe_of_block(key) {
            Ok(pipe) => self.send_block(key, request, pipe, on_lease),
            Err(taken) => return taken,
        }
        Taken::Yes
    }

    /// Whether the nodes have changed since the session's MULTI, though they are not changing now: what was one node's may be
    /// no more. (While they change, the gate has looked.)
    fn has_moved(&self, key: ClientKey) -> bool {
        let special = self.client(key).and_then(|client| client.special.as_deref());
        let transaction = special.and_then(|special| special.transaction.as_deref());
        transaction.is_some_and(|transaction| transaction.moved) && !self.watch.has(Watch::MOVING)
    }

    /// Whether a value that is read over this connection, which does not track, could be cached for ever: the keys are watched
    /// there, and tracking has been switched on since.
    fn reads_untracked(&self, key: ClientKey, id: PipeId) -> bool {
        let tracking = self.client(key).and_then(|client| client.tracking().filter(|own| own.is_heard(client.proto)));
        tracking.is_some_and(Tracking::tracks_next) && !self.pipes[id.index()].tracks
    }

    /// EXEC runs nothing: the client is told why.
    fn give_up(&mut self, key: ClientKey, refusal: &Refusal<'_>) {
        self.end_transaction(key);
        self.forget_watch(key);
        self.refuse(key, refusal);
    }

    /// The connection that the session's block is to go over; or what became of EXEC.
    fn pipe_of_block(&mut self, key: ClientKey) -> Result<PipeId, Taken> {
        let Some((client, special)) = self.client(key).and_then(|client| Some((client, client.special.as_deref()?)))
        else {
            return Err(Taken::Yes);
        };
        if let Some(watch) = &special.watch {
            return Ok(watch.pipe);
        }
        let (db, proto) = (client.db, client.proto);
        let transaction = special.transaction.as_ref();
        let leased = transaction.is_some_and(|transaction| transaction.changes_connection);
        let channel = transaction.and_then(|transaction| transaction.first_channel());
        let home = special.home().map(|home| home.node);
        let home = home.or_else(|| channel.map(|channel| self.snapshot.topology.speaker(channel)));
        let Some(node) = home.or_else(|| self.any_live_node()) else {
            self.give_up(key, &Refusal::NoNode);
            return Err(Taken::Yes);
        };
        if leased {
            return self.lease(key, node).map_err(|why| {
                self.end_transaction(key);
                self.refuse_lease(key, node, "exec", &why);
                Taken::Yes
            });
        }
        let tracks = client.modes.has(Modes::TRACKING);
        let pipe = if tracks { self.tracked_pipe(key, node) } else { self.pipe_for(node, db, proto) };
        pipe.map_err(|why| match why {
            NoPipe::Full(pipe) => Taken::Full(pipe),
            NoPipe::NoLease(why) => {
                self.end_transaction(key);
                self.refuse_tracked(key, node, &why);
                Taken::Yes
            }
            NoPipe::Down(why) => {
                let topology = Arc::clone(&self.snapshot.topology);
                self.give_up(key, &Refusal::NodeDown(topology.node(node), &why));
                Taken::Yes
            }
        })
    }

    /// MULTI, the queued commands and EXEC, one behind the other.
    fn send_block(&mut self, key: ClientKey, request: Request<'_>, id: PipeId, on_lease: bool) {
        if on_lease {
            self.tune(key, id, true);
        }
        self.load_first(key, id);
        self.caching_first(key, id);
        let Some(transaction) = self.end_transaction(key) else { return };
        let Some(client) = self.client_mut(key) else { return };
        let watched = client.special_mut().watch.take().is_some();
        let run = self.note_block(key, request, &transaction, watched);
        let untracked = self.reads_untracked(key, id);
        let (writes, changed) = (transaction.writes, transaction.changes_connection);
        let mut block = self.block_for(id, *transaction);
        let Some(client) = self.client_mut(key) else { return };
        client.special_mut().exec_untracked = untracked;
        let (seq, proto) = (client.open_slot(), client.proto);
        if block.has_own() {
            client.pause = Pause::Exec;
        } else if on_lease {
            // What comes next goes over a shared pipe, and must not be there first.
            client.pause = Pause::Order;
        }
        let (aggregate, generation) = self.new_aggregate(key, seq, Kind::Exec, proto, !writes);
        self.aggregates[aggregate].request = run;
        let entry = Entry {
            index: aggregate as u32,
            generation,
            owner: Owner::Part,
            reads: !writes,
            ..Entry::unwanted(self.stamp())
        };
        let row = self.client(key).map_or(NO_ROW, Client::command_row);
        let now_us = self.now_us;
        let pipe = &mut self.pipes[id.index()];
        pipe.used_us = now_us;
        pipe.ends |= on_lease && !pipe.tracks;
        pipe.soiled |= changed && !pipe.tracks;
        for _ in 0..=block.sent {
            let part = self.aggregates[aggregate].add_part(pipe.node);
            pipe.enqueue(Entry { seq: part, ..entry }, &[]);
        }
        // The last one stands for all of them where slow and failed commands are counted.
        let part = self.aggregates[aggregate].add_part(pipe.node);
        pipe.enqueue(Entry { seq: part, row, ..entry }, EXEC);
        pipe.out.push(MULTI);
        pipe.out.append(&mut block.out);
        pipe.out.push(EXEC);
        self.counters.nodes[pipe.node.index()].requests += block.sent as u64 + 2;
        self.mark_pipe(id);
        if changed {
            self.restore(id);
        } else if on_lease {
            self.tune(key, id, false);
        }
        self.expect_reply(key, seq, block);
    }

    /// What is sent to the node of this connection, with the messages whose channels lie there.
    fn block_for(&self, id: PipeId, transaction: Transaction) -> Block {
        let node = self.pipes[id.index()].node;
        let (topology, audience) = (&self.snapshot.topology, &self.registry.audience);
        transaction.into_block(|kind, channel| {
            topology.may_speak(node, channel).then(|| audience.correction(kind, channel, node))
        })
    }

    /// Notes what a block says of scripts and shows it to monitors, EXEC behind it; what is watched may keep it from running,
    /// so that this is to be done when the node has answered: then the commands that it concerns are given.
    fn note_block(&mut self, key: ClientKey, exec: Request<'_>, transaction: &Transaction, watched: bool) -> Vec<u8> {
        let monitored = self.watch.has(Watch::MONITORED);
        let mut run = transaction.listed(monitored);
        if monitored {
            run.extend_from_slice(exec.bytes);
            if let Some(client) = self.client_mut(key) {
                client.special_mut().exec_shown_apart = true;
            }
        }
        if !watched {
            self.note_run(key, &run, true);
            run.clear();
        }
        run
    }

    /// EXEC, which stands behind these commands if it is to be shown, runs them, or not.
    fn note_run(&mut self, key: ClientKey, commands: &[u8], runs: bool) {
        let (table, settings) = (Arc::clone(&self.snapshot.table), Arc::clone(&self.settings));
        let monitored = self.watch.has(Watch::MONITORED);
        let mut db = self.client(key).map_or(0, |client| client.db);
        let (mut scanner, mut left) = (Scanner::default(), commands);
        while let Ok(Scan::Command { len }) = scanner.scan(left, &settings.limits, true) {
            let request = Request { bytes: &left[..len], args: scanner.args(), blob: None };
            let second = (request.args.len() > 1).then(|| request.arg(1));
            if let Found::Row(row) = table.find(request.arg(0), second)
                && (runs || row.route == Route::Session(Session::Exec))
            {
                match row.route {
                    Route::Script(which) => self.note_script(request, which),
                    Route::Local(Local::Select) => {
                        let wanted = integer(request.arg(1)).and_then(|wanted| u32::try_from(wanted).ok());
                        db = wanted.filter(|wanted| *wanted < self.snapshot.facts.databases).unwrap_or(db);
                    }
                    _ => {}
                }
                if monitored {
                    self.show(key, db, request, row);
                }
            }
            left = &left[len..];
        }
    }

    /// Brings a connection back whose db or protocol the block may have changed.
    fn restore(&mut self, id: PipeId) {
        let pipe = &self.pipes[id.index()];
        let (db, version): (u32, &[u8]) = (pipe.db, if pipe.proto == Proto::Resp3 { b"3" } else { b"2" });
        self.send_unwanted(id, &[b"HELLO", version]);
        self.send_unwanted(id, &[b"SELECT", itoa::Buffer::new().format(db).as_bytes()]);
    }

    /// Keeps what is left to do behind EXEC.
    fn expect_reply(&mut self, key: ClientKey, seq: u32, block: Block) {
        if block.has_own()
            && let Some(client) = self.client_mut(key)
        {
            client.special_mut().unfolding = Some(Box::new(block.unfolding(seq)));
        }
    }

    /// An EXEC of own commands only, or of nothing.
    fn exec_without_node(&mut self, key: ClientKey, request: Request<'_>) {
        let Some(transaction) = self.end_transaction(key) else { return };
        let Some(seq) = self.client(key).map(|client| client.slots.next_seq()) else { return };
        let count = transaction.len();
        self.note_block(key, request, &transaction, false);
        self.expect_reply(key, seq, transaction.into_block(|_, _| None));
        self.answer(key, |out| encode::array_header(out, count));
        if count > 0 {
            self.begin_unfolding(key, Vec::new(), 0);
            self.unfold(key);
        }
    }

    /// EXEC is answered, in whatever way.
    pub(in crate::traffic::core) fn exec_answered(&mut self, aggregate: &Aggregate, reply: &[u8]) {
        let (key, seq) = (aggregate.client, aggregate.seq);
        if !aggregate.request.is_empty() {
            self.note_run(key, &aggregate.request, Elements::of(reply).is_some());
            self.send_lines();
        }
        let Some(special) = self.client_mut(key).map(Client::special_mut) else { return };
        let untracked = std::mem::take(&mut special.exec_untracked) && Elements::of(reply).is_some();
        let unfolding = special.unfolding.as_deref().filter(|own| own.seq == seq);
        let Some((commands, sent)) = unfolding.map(|unfolding| (unfolding.commands, unfolding.sent)) else {
            self.fill(key, seq, Reply::Bytes(reply));
            return self.forget_if(key, untracked);
        };
        if Elements::of(reply).is_some_and(|elements| elements.len() == sent) {
            let head = reply.iter().position(|byte| *byte == b'\n').map_or(reply.len(), |end| end + 1);
            let mut text = Vec::new();
            encode::array_header(&mut text, commands);
            self.fill(key, seq, Reply::Bytes(&text));
            self.begin_unfolding(key, reply.to_vec(), head);
        } else {
            self.fill(key, seq, Reply::Bytes(reply));
            if let Some(client) = self.client_mut(key) {
                client.special_mut().unfolding = None;
            }
        }
        self.forget_if(key, untracked);
        self.go_on_unfolding(key);
    }

    /// The client must forget what it has just been given, behind that.
    fn forget_if(&mut self, key: ClientKey, untracked: bool) {
        if untracked {
            self.invalidate(key, None);
        }
    }

    fn begin_unfolding(&mut self, key: ClientKey, reply: Vec<u8>, head: usize) {
        let Some(client) = self.client_mut(key) else { return };
        client.pause = Pause::Exec;
        let Some(unfolding) = client.special_mut().unfolding.as_deref_mut() else { return };
        unfolding.begin(reply, head);
    }

    /// Goes on with a reply to EXEC; when that is done, the session goes on.
    pub(in crate::traffic::core) fn go_on_unfolding(&mut self, key: ClientKey) {
        self.unfold(key);
        if self.client(key).is_some_and(|client| client.pause == Pause::No) {
            self.todo.push(Todo::Resume(key));
        }
    }

    /// Hands on the node's replies and carries own commands out, in their order, as far as that can be done now.
    fn unfold(&mut self, key: ClientKey) {
        let settings = Arc::clone(&self.settings);
        loop {
            let Some(client) = self.client_mut(key) else { return };
            let Some(mut unfolding) = client.special_mut().unfolding.take() else { return self.unfolded(key, false) };
            if client.special_mut().awaiting.is_some() {
                // What follows a SUBSCRIBE is carried out by a subscriber.
                return self.keep_unfolding(key, unfolding);
            } else if unfolding.is_begun() {
                let run = unfolding.run(&settings.limits);
                if !run.is_empty() {
                    self.answer(key, |out| out.extend_from_slice(&unfolding.reply()[run]));
                }
                let own = match unfolding.turn() {
                    // No push may stand between what is still to come.
                    None if self.awaits_replies(key) => return self.keep_unfolding(key, unfolding),
                    None => return self.unfolded(key, unfolding.skips),
                    Some(Turn::CarryOut(own)) => own,
                    Some(Turn::Add(by)) => {
                        let element = unfolding.element(&settings.limits);
                        self.answer(key, |out| add(&unfolding.reply()[element], by, out));
                        unfolding.turn_over(&settings.limits);
                        self.keep_unfolding(key, unfolding);
                        continue;
                    }
                };
                let tracked = self.client(key).is_some_and(|client| client.tracking().is_some());
                match self.carry_out(key, own) {
                    Taken::Yes | Taken::Refused => {
                        if !tracked && unfolding.node_follows() {
                            self.tracks_too_late(key);
                        }
                        unfolding.turn_over(&settings.limits);
                        unfolding.skips |= self.takes_skip(key);
                    }
                    Taken::Later | Taken::Held => return self.keep_unfolding(key, unfolding),
                    Taken::Full(pipe) => {
                        self.keep_unfolding(key, unfolding);
                        return self.wait_for(key, pipe);
                    }
                }
                self.keep_unfolding(key, unfolding);
            } else {
                return self.keep_unfolding(key, unfolding);
            }
        }
    }

    fn keep_unfolding(&mut self, key: ClientKey, unfolding: Box<Unfolding>) {
        if let Some(client) = self.client_mut(key) {
            client.special_mut().unfolding = Some(unfolding);
        }
    }

    /// CLIENT REPLY SKIP in a transaction means the command behind EXEC, as in Redis; whether it was just given.
    fn takes_skip(&mut self, key: ClientKey) -> bool {
        let Some(client) = self.client_mut(key) else { return false };
        let skips = client.reply_mode == ReplyMode::SkipNext;
        if skips {
            client.reply_mode = ReplyMode::On;
        }
        skips
    }

    /// EXEC's reply is whole; `skips`: the next one is not wanted.
    fn unfolded(&mut self, key: ClientKey, skips: bool) {
        // CLIENT CACHING inside was for the commands behind it there.
        self.caching_is_over(key, "exec");
        let Some(client) = self.client_mut(key) else { return };
        if skips && client.reply_mode == ReplyMode::On {
            client.reply_mode = ReplyMode::SkipNext;
        }
        if client.pause == Pause::Exec {
            client.pause = Pause::No;
        }
        client.release_pushes();
        self.mark_client(key);
    }

    /// Makes a command the session's last one; the one that was.
    fn as_if_given(&mut self, key: ClientKey, row: u32) -> u32 {
        self.client_mut(key).map_or(row, |client| std::mem::replace(&mut client.last_command, row))
    }

    /// One of Circlet's own commands, as if it came alone. It was found and checked when it was queued.
    fn carry_out(&mut self, key: ClientKey, bytes: &[u8]) -> Taken {
        let table = Arc::clone(&self.snapshot.table);
        let mut scanner = std::mem::take(&mut self.scratch.inline_scanner);
        scanner.reset();
        let mut taken = Taken::Yes;
        if let Ok(Scan::Command { len }) = scanner.scan(bytes, &self.settings.limits, true) {
            let request = Request { bytes: &bytes[..len], args: scanner.args(), blob: None };
            let second = (request.args.len() > 1).then(|| request.arg(1));
            match table.find(request.arg(0), second) {
                Found::Row(row) => {
                    let exec = self.as_if_given(key, u32::from(row.id));
                    taken = self.by_route(key, request, row, &table);
                    self.as_if_given(key, exec);
                }
                // The table lost it meanwhile: each reply has its place all the same.
                Found::UnknownSub(_) | Found::Unknown => self.refuse(key, &Refusal::UnknownCommand(request.arg(0), "")),
            }
        }
        self.scratch.inline_scanner = scanner;
        taken
    }
}

/// Appends the node's reply, `by` added if it is a number.
fn add(reply: &[u8], by: i64, out: &mut Vec<u8>) {
    match reply.strip_prefix(b":").and_then(|number| integer(number.strip_suffix(b"\r\n")?)) {
        Some(number) => encode::integer(out, number + by),
        None => out.extend_from_slice(reply),
    }
}
