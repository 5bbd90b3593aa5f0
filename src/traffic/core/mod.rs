//! The core of a worker: bytes in, bytes out, no socket, no task, no clock.
//!
//! ```text
//!  feed_client(bytes) ─► request ─► dispatch ─► pipes[..].out, inflight ──► dirty pipes ──┐
//!                                      └► local answers ─► slots ─────────► dirty clients ─┤ the shell flushes both once
//!  feed_node(chunk) ───► replies ─► slots of sessions | parts of aggregates ─► dirty clients ┘ per wake-up
//! ```
//! [`Core`] is one worker's whole state; its methods stand in one file per idea: [`request`] (a session's bytes),
//! [`dispatch`] (a planned request to its pipe), [`parts`] (to several nodes), [`commands`] (what Circlet does more about),
//! [`reply`] (a node's bytes), [`linger`] (when replies leave), [`faults`] (connections that fail, and time), [`members`] (nodes that come and go). What it cannot do itself (connect, close, wake a task) it leaves in [`Core::todo`].
//! Time comes in as [`Core::set_now`]. Bounds: see [`super::settings`]; enforced in `request` (pauses), `reply` and
//! `faults` (closing). Pure.

mod catch_up;
mod commands;
mod dispatch;
mod ears;
mod faults;
mod gate;
mod intercept;
mod keys;
mod lease;
mod linger;
mod members;
mod message;
mod monitor;
mod observe;
mod parts;
mod pause;
mod poll;
mod reply;
mod request;
mod steps;
#[cfg(test)]
mod tests;
mod tracking;

use std::{sync::Arc, time::Duration};

use slab::Slab;

use super::{
    client::{Client, ClientKey, Partial, Pause, Record, Registry},
    command::Table,
    control::{Control, NoControl},
    counters::{Closed, Counters},
    merge::Aggregate,
    observe::Journal,
    options::{NoOptions, Options},
    pipe::{Pipe, PipeId, chunk::Pool},
    pubsub::Topics,
    resp::{Proto, request::Scanner},
    route::{Epoch, NodeId, Topology},
    scripts::{Scripts, Seen},
    settings::Settings,
};

pub use commands::Filter;
pub use faults::{Fault, Lost};
pub use message::{Asker, Message, NewSettings};
pub use pause::Pausing;
pub use poll::{Question, Told};

/// What is known of the nodes as Redis servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The lowest `redis_version` of the nodes; what HELLO tells clients.
    pub version: String,
    /// Number of dbs that every node has.
    pub databases: u32,
}

impl Default for Facts {
    fn default() -> Self {
        Self { version: "7.0.0".to_owned(), databases: 16 }
    }
}

/// Everything a worker plans with; replaced as a whole by the control plane.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Nodes and ring.
    pub topology: Arc<Topology>,
    /// Known commands.
    pub table: Arc<Table>,
    /// What the nodes are.
    pub facts: Facts,
}

/// What the core wants done by whoever owns sockets and tasks.
#[derive(Debug, PartialEq, Eq)]
pub enum Todo {
    /// Open this pipe's connection, which has this attempt number.
    Connect(PipeId, u32),
    /// Close whatever connection this pipe has.
    Disconnect(PipeId),
    /// This session may go on: call [`Core::resume_client`].
    Resume(ClientKey),
    /// Close this session's socket; the core has forgotten it.
    Close(ClientKey),
    /// Tell the worker with this index.
    Tell(usize, Message),
    /// Tell that this worker plans with the topology of this epoch, and nothing hangs on one before it.
    Acknowledge(Epoch),
    /// Log that a node can be used again.
    NodeUp(NodeId),
    /// Log that a node cannot be used, and why.
    NodeDown(NodeId, String),
    /// Log that messages of a node are missed, and why.
    Deaf(NodeId, String),
    /// Log that so many topics of a node are being listened to again.
    Hears(NodeId, usize),
    /// Log that a session was closed for more than its own wish.
    Dropped(u64, String, Closed),
}

/// A node as this worker sees it.
#[derive(Debug, Default)]
struct Link {
    /// Set while requests are refused at once: until when (µs), and why.
    down: Option<(u64, String)>,
    /// A try to reach the down node is under way.
    probing: bool,
    /// Failures in a row.
    failures: u32,
    /// Pipes by protocol, then db.
    pipes: [Vec<Option<PipeId>>; 2],
    /// Pipes for what must not stand behind other requests, by protocol.
    aside: [Option<PipeId>; 2],
}

/// Buffers that are reused from request to request.
#[derive(Debug, Default)]
struct Scratch {
    scanner: Scanner,
    inline: Vec<u8>,
    inline_scanner: Scanner,
    text: Vec<u8>,
    keys: Vec<u32>,
    cut: parts::Cut,
    pipes: Vec<Result<PipeId, String>>,
}

/// One worker's state.
#[derive(Debug)]
pub struct Core {
    settings: Arc<Settings>,
    snapshot: Snapshot,
    registry: Arc<Registry>,
    /// Circlet's own options, as clients may see and change them.
    options: Arc<dyn Options>,
    /// This worker's index.
    index: usize,
    clients: Slab<Client>,
    next_generation: u32,
    pipes: Vec<Pipe>,
    /// By slot; those of nodes that have left count as down.
    links: Vec<Link>,
    /// Nodes that have left, with something in flight still.
    leaving: Vec<NodeId>,
    /// The topology that is acknowledged when all topics are heard where it wants them.
    unheard: Option<Epoch>,
    leases: lease::Leases,
    /// What nodes were told of clients that wait no more, until they answer.
    words: Slab<commands::Word>,
    topics: Topics,
    /// By node, as far as one was ever needed.
    ears: Vec<Option<ears::Ear>>,
    scripts: Arc<Scripts>,
    /// What this worker has seen of scripts.
    seen: Seen,
    /// Scripts about locks that it has read.
    programs: commands::Programs,
    aggregates: Slab<Aggregate>,
    /// Finished aggregates whose memory is used again.
    idle_aggregates: Vec<Aggregate>,
    /// Empty boxes for unfinished input.
    #[expect(clippy::vec_box, reason = "the boxes themselves are what is used again")]
    idle_partials: Vec<Box<Partial>>,
    pool: Pool,
    counters: Counters,
    /// What is looked at more closely.
    watch: observe::Watch,
    /// Which keys are hot or big.
    keys: keys::KeyWatch,
    /// What all workers measure of commands.
    journal: Arc<Journal>,
    /// Questions to all workers that are under way.
    polls: Vec<poll::Poll>,
    paused: pause::Paused,
    gate: gate::Gate,
    /// The control plane.
    control: Arc<dyn Control>,
    monitors: monitor::Monitors,
    /// µs since the process started.
    now_us: u64,
    /// Bytes that aggregates hold for sessions.
    gathered: usize,
    /// Bytes that the other workers hold.
    others_held: u64,
    /// Wall clock when `now_us` was 0, since 1970; for TIME.
    zero: Duration,
    rng: fastrand::Rng,
    draining: bool,
    dirty_pipes: Vec<PipeId>,
    dirty_clients: Vec<ClientKey>,
    lingering: linger::Lingering,
    foreseen: Option<request::Foreseen>,
    todo: Vec<Todo>,
    scratch: Scratch,
}

impl Core {
    /// The core of worker `index`; `seed` feeds jitter and RANDOMKEY.
    #[must_use]
    pub fn new(settings: Arc<Settings>, snapshot: Snapshot, registry: Arc<Registry>, index: usize, seed: u64) -> Self {
        let nodes = snapshot.topology.nodes.len();
        let links = snapshot.topology.nodes.iter().map(Link::of).collect();
        let journal = Arc::new(Journal::new(settings.workers, settings.slow.max_len));
        let mut watch = observe::Watch::new(&settings.slow);
        // A Circlet that was killed while keys move begins where it was.
        watch.set(observe::Watch::MOVING, snapshot.topology.change.is_some());
        watch.set(observe::Watch::PREFIX, !settings.locks.prefix.is_empty());
        let scripts = Arc::new(Scripts::new(settings.max_scripts));
        Self {
            settings,
            snapshot,
            registry,
            options: Arc::new(NoOptions),
            index,
            clients: Slab::new(),
            next_generation: 0,
            pipes: Vec::new(),
            links,
            leaving: Vec::new(),
            unheard: None,
            leases: lease::Leases::default(),
            words: Slab::new(),
            topics: Topics::default(),
            ears: Vec::new(),
            scripts,
            seen: Seen::default(),
            programs: commands::Programs::default(),
            aggregates: Slab::new(),
            idle_aggregates: Vec::new(),
            idle_partials: Vec::new(),
            pool: Pool::default(),
            counters: Counters::new(nodes),
            watch,
            keys: keys::KeyWatch::default(),
            journal,
            polls: Vec::new(),
            paused: pause::Paused::default(),
            gate: gate::Gate::default(),
            control: Arc::new(NoControl),
            monitors: monitor::Monitors::default(),
            now_us: 0,
            gathered: 0,
            others_held: 0,
            zero: Duration::ZERO,
            rng: fastrand::Rng::with_seed(seed),
            draining: false,
            dirty_pipes: Vec::new(),
            dirty_clients: Vec::new(),
            lingering: linger::Lingering::default(),
            foreseen: None,
            todo: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// Takes the options that clients may see and change.
    pub fn offer(&mut self, options: Arc<dyn Options>) {
        self.options = options;
    }

    /// Takes the control plane, which is asked what a worker cannot do.
    pub fn answer_to(&mut self, control: Arc<dyn Control>) {
        self.control = control;
    }

    /// The settings that hold now.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets the worker's clock: µs since the process started, the same for all workers.
    #[inline]
    pub fn set_now(&mut self, now_us: u64) {
        self.now_us = now_us;
    }

    /// Sets the wall clock that belongs to the worker's clock: time since 1970.
    pub fn set_wall_clock(&mut self, now: Duration) {
        self.zero = now.saturating_sub(Duration::from_micros(self.now_us));
    }

    /// Tells how many bytes the other workers hold, which count for `max_buffered` too.
    pub fn set_others_held(&mut self, bytes: u64) {
        self.others_held = bytes;
    }

    /// What this worker plans with.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// This worker's numbers.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What is to be done by the shell since the last call.
    pub fn take_todo(&mut self) -> Vec<Todo> {
        std::mem::take(&mut self.todo)
    }

    /// Whether [`Core::take_todo`] has anything.
    #[must_use]
    #[inline]
    pub fn has_todo(&self) -> bool {
        !self.todo.is_empty()
    }

    /// Whether pipes or sessions have bytes to be written.
    #[must_use]
    #[inline]
    pub fn is_dirty(&self) -> bool {
        !self.dirty_pipes.is_empty() || !self.dirty_clients.is_empty()
    }

    /// A pipe with bytes to be written; each is named once.
    #[inline]
    pub fn next_dirty_pipe(&mut self) -> Option<PipeId> {
        let id = self.dirty_pipes.pop()?;
        self.pipes[id.index()].dirty = false;
        Some(id)
    }

    /// A session with bytes to be written, or that has to be looked at; each is named once. Those whose replies linger
    /// are not among them.
    #[inline]
    pub fn next_dirty_client(&mut self) -> Option<ClientKey> {
        while let Some(key) = self.dirty_clients.pop() {
            if let Some(client) = self.client_mut(key) {
                client.dirty = false;
            }
            if !self.lingers(key) {
                return Some(key);
            }
            // It may owe too much all the same.
            self.settle_client(key);
        }
        None
    }

    /// The pipe `id`, its bytes to be written, and the pool that chunks return to.
    pub fn pipe_out(&mut self, id: PipeId) -> (&mut Pipe, &mut Pool) {
        (&mut self.pipes[id.index()], &mut self.pool)
    }

    /// The session `key`, its bytes to be written, and the pool that chunks return to.
    pub fn client_out(&mut self, key: ClientKey) -> Option<(&mut Client, &mut Pool)> {
        let client = self.clients.get_mut(key.index as usize).filter(|c| c.generation == key.generation)?;
        Some((client, &mut self.pool))
    }

    /// Where chunks come from.
    pub fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Counts `sent` bytes written to a session's client.
    #[inline]
    pub fn client_wrote(&mut self, sent: usize) {
        self.counters.client_out += sent as u64;
    }

    /// Counts `sent` bytes written to a node; sessions that waited for room may go on.
    #[inline]
    pub fn pipe_wrote(&mut self, id: PipeId, sent: usize) {
        let pipe = &mut self.pipes[id.index()];
        self.counters.nodes[pipe.node.index()].bytes_out += sent as u64;
        if pipe.out.len() + sent >= self.settings.pipe.max_unsent / 2 {
            // A large backlog moves: the node is slow, not silent.
            pipe.progress_us = self.now_us;
        }
        self.wake_waiting(id);
    }

    #[inline]
    fn client(&self, key: ClientKey) -> Option<&Client> {
        self.clients.get(key.index as usize).filter(|client| client.generation == key.generation)
    }

    #[inline]
    fn client_mut(&mut self, key: ClientKey) -> Option<&mut Client> {
        self.clients.get_mut(key.index as usize).filter(|client| client.generation == key.generation)
    }

    #[inline]
    fn mark_client(&mut self, key: ClientKey) {
        if let Some(client) = self.clients.get_mut(key.index as usize).filter(|c| c.generation == key.generation)
            && !client.dirty
        {
            client.dirty = true;
            self.dirty_clients.push(key);
        }
    }

    #[inline]
    fn mark_pipe(&mut self, id: PipeId) {
        let pipe = &mut self.pipes[id.index()];
        if !pipe.dirty {
            pipe.dirty = true;
            self.dirty_pipes.push(id);
        }
    }

    /// Takes a new session in; the record's id must be fresh.
    pub fn add_client(&mut self, record: Arc<Record>) -> ClientKey {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        let authenticated = self.settings.requirepass.is_none();
        self.counters.opened += 1;
        self.registry.insert(Arc::clone(&record));
        let index = self.clients.vacant_key() as u32;
        record.take_place(index);
        let mut client = Client::new(generation, record, authenticated);
        client.select(self.settings.session.database);
        self.clients.insert(client);
        let key = ClientKey { index, generation };
        if self.draining {
            self.close_when_done(key, Closed::Shutdown);
        }
        key
    }

    /// Number of sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.clients.len()
    }

    /// Forgets a session at once; replies that still come are dropped. The shell is told to close the socket.
    pub fn drop_client(&mut self, key: ClientKey, why: Closed) {
        if self.client(key).is_none() {
            return;
        }
        self.leave(key);
        let mut client = self.clients.remove(key.index as usize);
        client.out.clear(&mut self.pool);
        client.slots.clear(&mut self.pool);
        self.gathered = self.gathered.saturating_sub(client.gathered);
        self.registry.remove(client.record.id);
        self.counters.closed[why as usize] += 1;
        if matches!(why, Closed::Protocol | Closed::Output | Closed::Pushes | Closed::Memory | Closed::CutReply) {
            self.todo.push(Todo::Dropped(client.record.id, client.record.addr.clone(), why));
        }
        self.todo.push(Todo::Close(key));
    }

    /// What a session has outside of itself ends with it.
    fn leave(&mut self, key: ClientKey) {
        self.waits_no_more(key);
        self.leave_locks(key);
        self.stop_tracking(key);
        self.awaits_no_more(key);
        self.forget_subscriptions(key);
        self.end_monitor(key);
        for id in self.client(key).map(|client| client.leases().to_vec()).unwrap_or_default() {
            // In the middle of whatever it was doing: never clean.
            self.pipes[id.index()].soiled = true;
            self.end_lease(id);
        }
    }

    /// Sends a session something that is no reply.
    pub(super) fn push(&mut self, key: ClientKey, bytes: &bytes::Bytes) {
        if let Some(client) = self.client_mut(key) {
            client.push(bytes);
            self.mark_client(key);
        }
    }

    /// Takes no more requests of a session and ends it when all its replies are written.
    pub fn close_when_done(&mut self, key: ClientKey, why: Closed) {
        // Nothing more may come, or it would never be done.
        self.forget_subscriptions(key);
        if let Some(client) = self.client_mut(key) {
            client.closing.get_or_insert(why);
            client.partial = None;
            self.mark_client(key);
        }
    }

    /// From now on every session ends as soon as what it asked is answered.
    pub fn drain(&mut self) {
        self.draining = true;
        for key in self.client_keys() {
            self.close_when_done(key, Closed::Shutdown);
            self.unblock(key, true, None);
        }
    }

    fn client_keys(&self) -> Vec<ClientKey> {
        let key = |(index, client): (usize, &Client)| ClientKey { index: index as u32, generation: client.generation };
        self.clients.iter().map(key).collect()
    }

    /// What is to be done with a session after its replies were written as far as its socket takes them: it ends if it
    /// is done or owes too much, or may go on if it was paused.
    pub fn settle_client(&mut self, key: ClientKey) {
        let (soft, hard, pending) = {
            let session = &self.settings.session;
            (session.soft_output, session.hard_output, session.max_pending)
        };
        let hard_pushes = self.settings.session.hard_pushes;
        let Some(client) = self.client_mut(key) else { return };
        if client.is_done() {
            let why = client.closing.unwrap_or(Closed::ByClient);
            return self.drop_client(key, why);
        }
        let owed = client.owed();
        if client.special.as_mut().is_some_and(|special| special.pushes.unsent(owed) > hard_pushes) {
            return self.drop_client(key, Closed::Pushes);
        }
        if owed > hard && owed - client.largest.min(owed) > hard {
            return self.drop_client(key, Closed::Output);
        }
        if owed == 0 {
            client.largest = 0;
        }
        let goes_on = match client.pause {
            Pause::Replies => owed <= soft / 2 && client.slots.len() <= pending / 2,
            Pause::Order | Pause::Blocked => client.slots.is_empty(),
            Pause::Exec => {
                if client.slots.is_empty() {
                    self.todo.push(Todo::Resume(key));
                }
                return;
            }
            Pause::No | Pause::Pipe | Pause::Held | Pause::Gate => false,
        };
        if goes_on {
            let was_blocked = client.pause == Pause::Blocked;
            client.pause = Pause::No;
            self.todo.push(Todo::Resume(key));
            if was_blocked {
                self.waits_no_more(key);
            }
        }
    }

    /// The time as entries carry it.
    #[inline]
    fn stamp(&self) -> u32 {
        self.now_us as u32
    }
}

/// Index of a protocol in [`Link::pipes`].
fn proto_index(proto: Proto) -> usize {
    match proto {
        Proto::Resp2 => 0,
        Proto::Resp3 => 1,
    }
}
