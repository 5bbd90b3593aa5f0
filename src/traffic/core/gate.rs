//! The gate: requests for keys that are on the move wait here, and a fence is told when it is quiet behind it.
//!
//! ```text
//!  request, its row found ─► gate ─┬─ its keys stay, or have arrived ──────────────► intercept, route
//!                                  ├─ fenced ─► the session is held ─► next topology ─► looked at again
//!                                  └─ moving ─► Ask::Bring ─► … ─► Message::Brought ─► looked at again
//!
//!  topology with a fence ─► a PING behind what is in flight at each node that loses keys
//!                        ─► blocking commands for these keys are unblocked, to be given at their new owners
//!                        ─► all answered: tracking clients forget what they cached, the epoch is acknowledged
//! ```
//! Only keys whose owner changes ever wait; without a change nothing comes here (one bit of [`Watch`]). A held session's
//! bytes stay where they are, so that order is kept and nothing grows.
//!
//! The worker brings no key itself, though moves.md lets it: one mover for the whole process asks the nodes for the keys
//! that all workers wait for and for those that nobody waits for, many in one round trip, and each once. What it does for a
//! key is what the model checks, with one puller instead of several. It marks what has arrived in a table that all workers
//! look at ([`Arrived`](crate::traffic::route::Arrived)), and who is not found there is asked for again. A node to which a
//! connection has broken may have restarted without what had arrived: its marks are not believed until the mover, which sees
//! restarts, has brought a key there, whether it was there already or not.
//!
//! A fence waits for what was in flight when it began, with every second try of it: the PING is repeated behind repeated
//! reads, and a script that its node does not know yet is sent again before its aggregate ends. Bounded by the sessions.
//! Pure.

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{
    Core, Todo,
    dispatch::apart,
    observe::Watch,
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, Pass, Pause, Record},
    command::{Found, Local, Route, Row, Session},
    control::{Ask, Wanted},
    merge::{Aggregate, Kind},
    pipe::{Entry, Holder, Owner, PipeId},
    refusal::Refusal,
    resp::{Scan, request::Scanner},
    route::{Change, Epoch, NodeId, Phase, Place, Topology},
};

/// A worker's gate.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Nodes to which a connection has broken, each with the last ticket before that: what has arrived there is not certain.
    doubts: Vec<(NodeId, u64)>,
    /// Sessions that wait for the next topology.
    held: Vec<ClientKey>,
    /// Who waits for keys, by ticket.
    waiting: FxHashMap<u64, Waiting>,
    next_ticket: u64,
    fence: Option<Fence>,
    /// Sessions whose blocking commands are to be given anew when the fence is over.
    pub(super) unblocked: Vec<ClientKey>,
}

/// Who waits for keys.
#[derive(Debug)]
struct Waiting {
    key: ClientKey,
    brought: Vec<u128>,
    /// Where to.
    nodes: Vec<NodeId>,
    /// Its blocking command waits, and not its next request.
    blocks: bool,
}

/// A fence that is not quiet yet.
#[derive(Debug)]
struct Fence {
    epoch: Epoch,
    /// Aggregates up to this generation were there when it began.
    mark: u32,
    /// PINGs under way.
    pings: usize,
    /// Sessions that were told to wait no more at their nodes.
    blocked: usize,
}

/// By what a key of a db is known in a [`Pass`].
fn hash_of(db: u32, key: &[u8]) -> u128 {
    xxh3_128_with_seed(key, u64::from(db))
}

impl Core {
    /// Another topology holds from now on.
    pub(super) fn turn_to(&mut self, before: &Topology) {
        let topology = Arc::clone(&self.snapshot.topology);
        if topology.epoch == before.epoch {
            return;
        }
        let change = topology.change.as_deref();
        self.watch.set(Watch::MOVING, change.is_some());
        self.gate.doubts.clear();
        self.gate.fence = None;
        self.find_homes_anew();
        match change {
            Some(change) if change.phase == Phase::Fence => self.begin_fence(topology.epoch, change),
            Some(change) if change.phase == Phase::Prepare => self.acknowledge_when_heard(topology.epoch),
            _ => self.acknowledge(topology.epoch),
        }
        self.open_gate();
    }

    /// Everybody who was held looks again.
    fn open_gate(&mut self) {
        let mut held = std::mem::take(&mut self.gate.held);
        let waiting = std::mem::take(&mut self.gate.waiting);
        let (blocks, requests): (Vec<_>, Vec<_>) = waiting.into_values().partition(|waiting| waiting.blocks);
        held.extend(requests.iter().map(|waiting| waiting.key));
        held.into_iter().for_each(|key| self.release(key));
        self.gate.unblocked.extend(blocks.iter().map(|waiting| waiting.key));
        for key in std::mem::take(&mut self.gate.unblocked) {
            self.block_anew(key);
        }
    }

    /// A session that is held looks again.
    fn release(&mut self, key: ClientKey) {
        if let Some(client) = self.client_mut(key)
            && client.pause == Pause::Gate
        {
            client.pause = Pause::No;
            client.record.mark(Record::BLOCKED, false);
            self.todo.push(Todo::Resume(key));
        }
    }

    /// What stands between a request and its keys while nodes change; `None`: nothing.
    #[cold]
    pub(super) fn gate(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Option<Taken> {
        match row.route {
            Route::Session(Session::Exec) => return self.gate_block(key),
            Route::All(_) if row.name == "flushall" || row.name == "flushdb" => return self.gate_flush(key, request),
            Route::Steps(_) if row.name == "swapdb" => {
                return Some(self.reject(key, row, &Refusal::Redis(SWAPS)));
            }
            _ => {}
        }
        let db = self.client(key)?.db;
        let mut wanted = Vec::new();
        let fenced = self.look_at_places(request, row, db, &mut wanted);
        if self.reads_what_moves(request, row) {
            return Some(self.reject(key, row, &Refusal::Redis(SORTS)));
        }
        self.pass_or_wait(key, row, fenced, wanted)
    }

    /// Whether a request reads keys that are on their way and whose names it makes up from patterns, so that nobody can bring
    /// them: SORT with BY or GET.
    fn reads_what_moves(&self, request: Request<'_>, row: &Row) -> bool {
        let is_pattern = |arg: &[u8]| arg.eq_ignore_ascii_case(b"BY") || arg.eq_ignore_ascii_case(b"GET");
        matches!(row.name.as_str(), "sort" | "sort_ro")
            && (2..request.args.len()).any(|at| is_pattern(request.arg(at)))
            && matches!(self.snapshot.topology.place(request.arg(1)), Place::Moving(..))
    }

    /// Looks where the keys of a request are: pushes those that are to be brought; true: one is fenced.
    fn look_at_places(&mut self, request: Request<'_>, row: &Row, db: u32, wanted: &mut Vec<(u32, Bytes)>) -> bool {
        let topology = Arc::clone(&self.snapshot.topology);
        let mut indices = std::mem::take(&mut self.scratch.keys);
        indices.clear();
        // A request whose keys cannot be found is refused by whoever looks at it next.
        let _ = row.find_keys(request.args, request.bytes, self.patterns(), &mut indices);
        let mut fenced = false;
        for index in &indices {
            let name = request.arg(*index as usize);
            match topology.place(name) {
                Place::At(_) => {}
                Place::Fenced => fenced = true,
                Place::Moving(_, to) => {
                    for db in std::iter::once(db).chain(other_db(row, request)) {
                        if !self.has_arrived(&topology, db, name, to) {
                            wanted.push((db, Bytes::copy_from_slice(name)));
                        }
                    }
                }
            }
        }
        self.scratch.keys = indices;
        fenced
    }

    /// Whether a key that moves is known to be at its new node.
    fn has_arrived(&self, topology: &Topology, db: u32, name: &[u8], to: NodeId) -> bool {
        let is_certain = !self.gate.doubts.iter().any(|(node, _)| *node == to);
        is_certain && topology.change.as_deref().is_some_and(|change| change.arrived.has(db, name))
    }

    /// A connection to `node` was lost: until the mover has been there, what has arrived is not certain.
    pub(super) fn doubt_arrivals(&mut self, node: NodeId) {
        if self.watch.has(Watch::MOVING) {
            self.gate.doubts.retain(|(other, _)| *other != node);
            self.gate.doubts.push((node, self.gate.next_ticket));
        }
    }

    /// Whether the keys of a session's blocking command are at their new nodes; `None`: it waits for them. Else the error line.
    pub(super) fn keys_are_there(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        row: &Row,
    ) -> Option<Result<(), Vec<u8>>> {
        let (db, epoch) = (self.client(key)?.db, self.snapshot.topology.epoch);
        let mut wanted = Vec::new();
        if self.look_at_places(request, row, db, &mut wanted) {
            self.gate.unblocked.push(key);
            return None;
        }
        let pass = std::mem::take(&mut self.client_mut(key)?.special_mut().pass);
        if pass.epoch == Some(epoch) {
            if let Some(text) = pass.refusal {
                return Some(Err(Refusal::Redis(&text).line()));
            }
            wanted.retain(|(db, name)| !pass.brought.contains(&hash_of(*db, name)));
        }
        if wanted.is_empty() {
            return Some(Ok(()));
        }
        self.ask_for(key, wanted, true);
        None
    }

    /// Lets a request pass, or holds its session until it may.
    fn pass_or_wait(
        &mut self,
        key: ClientKey,
        row: &Row,
        fenced: bool,
        mut wanted: Vec<(u32, Bytes)>,
    ) -> Option<Taken> {
        let epoch = self.snapshot.topology.epoch;
        if !wanted.is_empty() || fenced {
            let pass = self.client(key)?.special.as_deref().map(|special| &special.pass);
            if let Some(pass) = pass.filter(|pass| pass.epoch == Some(epoch)) {
                wanted.retain(|(db, name)| !pass.brought.contains(&hash_of(*db, name)));
            }
        }
        let refusal = self.client_mut(key)?.special.as_deref_mut().and_then(|special| special.pass.refusal.take());
        if let Some(refusal) = refusal {
            self.client_mut(key)?.special_mut().pass = Pass::default();
            return Some(self.reject(key, row, &Refusal::Redis(&refusal)));
        }
        if fenced {
            self.gate.held.push(key);
            return Some(self.keep_out(key));
        }
        if wanted.is_empty() {
            if let Some(special) = self.client_mut(key)?.special.as_deref_mut() {
                special.pass = Pass::default();
            }
            return None;
        }
        self.ask_for(key, wanted, false);
        Some(self.keep_out(key))
    }

    fn keep_out(&mut self, key: ClientKey) -> Taken {
        if let Some(client) = self.client_mut(key) {
            client.pause = Pause::Gate;
            client.record.mark(Record::BLOCKED, true);
        }
        Taken::Held
    }

    /// Asks for keys to be brought, those of one db at a time.
    fn ask_for(&mut self, key: ClientKey, wanted: Vec<(u32, Bytes)>, blocks: bool) {
        let Some(db) = wanted.first().map(|(db, _)| *db) else { return };
        let keys: Vec<Bytes> = wanted.into_iter().filter(|(of, _)| *of == db).map(|(_, name)| name).collect();
        self.gate.next_ticket += 1;
        let ticket = self.gate.next_ticket;
        let brought = keys.iter().map(|name| hash_of(db, name)).collect();
        let nodes = keys.iter().map(|name| self.snapshot.topology.owner(name)).collect();
        self.gate.waiting.insert(ticket, Waiting { key, brought, nodes, blocks });
        let (worker, epoch) = (self.index, self.snapshot.topology.epoch);
        self.control.ask(Ask::Bring(Wanted { worker, ticket, epoch, db, keys }));
    }

    /// The keys of a ticket were brought, or were not: the whole error line.
    pub(super) fn were_brought(&mut self, ticket: u64, result: Result<(), String>) {
        let Some(Waiting { key, brought, nodes, blocks }) = self.gate.waiting.remove(&ticket) else { return };
        let epoch = self.snapshot.topology.epoch;
        if result.is_ok() {
            self.gate.doubts.retain(|(node, since)| ticket <= *since || !nodes.contains(node));
        }
        let Some(client) = self.client_mut(key) else { return };
        let pass = &mut client.special_mut().pass;
        if pass.epoch != Some(epoch) {
            *pass = Pass { epoch: Some(epoch), ..Pass::default() };
        }
        match result {
            Ok(()) => pass.brought.extend(brought),
            Err(text) => pass.refusal = Some(text),
        }
        if blocks {
            self.block_anew(key);
        } else {
            self.release(key);
        }
    }

    /// EXEC: every key of the block must be there, and all at one node.
    pub(super) fn gate_block(&mut self, key: ClientKey) -> Option<Taken> {
        let special = self.client(key)?.special.as_deref()?;
        let transaction = special.transaction.as_ref().filter(|transaction| !transaction.aborted)?;
        if !transaction.moved && !self.watch.has(Watch::MOVING) {
            return None;
        }
        let (commands, mut db) = (transaction.listed(true), self.client(key)?.db);
        let (table, settings) = (Arc::clone(&self.snapshot.table), Arc::clone(&self.settings));
        let (mut scanner, mut left) = (Scanner::default(), &commands[..]);
        let (mut fenced, mut wanted, mut home) = (false, Vec::new(), None);
        while let Ok(Scan::Command { len }) = scanner.scan(left, &settings.limits, true) {
            let request = Request { bytes: &left[..len], args: scanner.args(), blob: None };
            let second = (request.args.len() > 1).then(|| request.arg(1));
            if let Found::Row(row) = table.find(request.arg(0), second) {
                if row.route == Route::Local(Local::Select) {
                    db = std::str::from_utf8(request.arg(1)).ok().and_then(|text| text.parse().ok()).unwrap_or(db);
                }
                if let Some((one, other)) = self.is_apart(request, row, &mut home) {
                    let text = apart(&self.snapshot.topology, &one, &other).text();
                    return Some(self.give_block_up(key, &text));
                }
                if self.reads_what_moves(request, row) {
                    return Some(self.give_block_up(key, SORTS));
                }
                fenced |= self.look_at_places(request, row, db, &mut wanted);
            }
            left = &left[len..];
        }
        let exec = table.lookup(b"exec")?;
        self.pass_or_wait(key, exec, fenced, wanted)
    }

    /// EXEC runs nothing; why.
    fn give_block_up(&mut self, key: ClientKey, why: &str) -> Taken {
        self.end_transaction(key);
        self.forget_watch(key);
        self.refuse(key, &Refusal::ExecAbort(why));
        Taken::Yes
    }

    /// Two keys that lie on different nodes now, one of `request` and one before it.
    fn is_apart(&mut self, request: Request<'_>, row: &Row, home: &mut Option<Vec<u8>>) -> Option<(Vec<u8>, Vec<u8>)> {
        if !matches!(row.route, Route::Keys | Route::Split(_) | Route::Script(_)) {
            return None;
        }
        let mut indices = Vec::new();
        row.find_keys(request.args, request.bytes, self.patterns(), &mut indices).ok()?;
        let topology = &self.snapshot.topology;
        for index in indices {
            let name = request.arg(index as usize);
            match home {
                None => *home = Some(name.to_vec()),
                Some(first) if topology.owner(first) != topology.owner(name) => {
                    return Some((first.clone(), name.to_vec()));
                }
                Some(_) => {}
            }
        }
        None
    }

    /// FLUSHALL and FLUSHDB: the control plane sees to it that nothing comes back.
    fn gate_flush(&mut self, key: ClientKey, request: Request<'_>) -> Option<Taken> {
        if self.client(key)?.special.as_deref().is_some_and(|special| special.transaction.is_some()) {
            return None;
        }
        if self.awaits_replies(key) {
            return Some(Taken::Later);
        }
        let (request, db) = (Bytes::copy_from_slice(request.bytes), self.client(key)?.db);
        let asker = self.ask(key)?;
        self.client_mut(key)?.pause = Pause::Order;
        self.control.ask(Ask::Flush { request, db, asker });
        Some(Taken::Yes)
    }

    /// What sessions have bound to nodes is bound anew, by its keys.
    fn find_homes_anew(&mut self) {
        let topology = Arc::clone(&self.snapshot.topology);
        let fence = topology.change.as_deref().filter(|change| change.phase == Phase::Fence);
        for (_, client) in &mut self.clients {
            let Some(special) = client.special.as_deref_mut() else { continue };
            if let Some(transaction) = special.transaction.as_deref_mut() {
                transaction.moved = true;
                if let Some(home) = &mut transaction.home {
                    home.node = topology.owner(&home.key);
                }
            }
            if let Some(watch) = &mut special.watch {
                watch.moved |= fence.is_some_and(|change| change.loses(watch.home.node));
                watch.home.node = topology.owner(&watch.home.key);
            }
        }
    }

    fn begin_fence(&mut self, epoch: Epoch, change: &Change) {
        self.next_generation = self.next_generation.wrapping_add(1);
        self.gate.fence = Some(Fence { epoch, mark: self.next_generation, pings: 0, blocked: 0 });
        for index in 0..self.pipes.len() {
            let pipe = &self.pipes[index];
            let waits = || pipe.inflight.iter().any(|entry| entry.waits);
            if pipe.holder != Holder::Ear && !pipe.inflight.is_empty() && change.loses(pipe.node) && !waits() {
                self.ping_behind(PipeId(index as u32));
            }
        }
        let blocked = self.unblock_moving();
        if let Some(fence) = &mut self.gate.fence {
            fence.blocked = blocked;
        }
        self.look_at_fence();
    }

    /// The fence waits for what is in flight here.
    fn ping_behind(&mut self, id: PipeId) {
        let Some(fence) = &mut self.gate.fence else { return };
        fence.pings += 1;
        let entry = Entry {
            index: fence.epoch.0 as u32,
            owner: Owner::Fence,
            reads: true,
            retried: false,
            ..Entry::unwanted(self.now_us as u32)
        };
        self.send_own(id, entry, &[b"PING"]);
    }

    /// Something was sent once more behind a fence's PING: it waits for that, too.
    pub(super) fn fence_again(&mut self, id: PipeId) {
        if self.gate.fence.is_some() {
            self.ping_behind(id);
        }
    }

    /// A PING is answered, or its connection is gone and what stood before it settled.
    pub(super) fn ping_passed(&mut self, entry: Entry) {
        if let Some(fence) = self.gate.fence.as_mut().filter(|fence| fence.epoch.0 as u32 == entry.index) {
            fence.pings = fence.pings.saturating_sub(1);
            self.look_at_fence();
        }
    }

    /// A session that the fence has unblocked waits no more at its node.
    pub(super) fn no_longer_blocked(&mut self) {
        if let Some(fence) = &mut self.gate.fence {
            fence.blocked = fence.blocked.saturating_sub(1);
            self.look_at_fence();
        }
    }

    /// Ends the fence when everything that it waits for is over.
    pub(super) fn look_at_fence(&mut self) {
        let Some(fence) = &self.gate.fence else { return };
        let holds = |aggregate: &Aggregate| {
            let old = (aggregate.generation.wrapping_sub(fence.mark) as i32) < 0;
            old && match aggregate.kind {
                Kind::Script | Kind::Exec | Kind::Round => true,
                Kind::All(how) => !how.waits(),
                _ => false,
            }
        };
        if fence.pings > 0 || fence.blocked > 0 || self.aggregates.iter().any(|(_, aggregate)| holds(aggregate)) {
            return;
        }
        let epoch = fence.epoch;
        self.gate.fence = None;
        // What clients have cached of moving keys no node will tell them of any more.
        for key in self.client_keys() {
            if self.client(key).is_some_and(|client| client.tracking().is_some()) {
                self.invalidate(key, None);
            }
        }
        self.acknowledge(epoch);
    }

    pub(super) fn acknowledge(&mut self, epoch: Epoch) {
        self.todo.push(Todo::Acknowledge(epoch));
    }
}

/// The db that a command reaches beside its session's: MOVE, COPY.
fn other_db(row: &Row, request: Request<'_>) -> Option<u32> {
    let number = |index: usize| std::str::from_utf8(request.arg(index)).ok()?.parse().ok();
    match row.name.as_str() {
        "move" => number(2),
        "copy" => {
            let at = (3..request.args.len()).find(|index| request.arg(*index).eq_ignore_ascii_case(b"DB"))?;
            number(at + 1)
        }
        _ => None,
    }
}

/// SORT with patterns, while what they mean is on its way.
const SORTS: &str = "TRYAGAIN SORT with BY or GET must wait until the keys of its hash tag have moved to their node; see \
                     CIRCLET REBALANCE STATUS";

/// SWAPDB would exchange what says which keys have moved.
const SWAPS: &str = "TRYAGAIN SWAPDB must wait until keys have moved to their nodes; see CIRCLET REBALANCE STATUS";
