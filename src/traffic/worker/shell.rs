//! A worker's thread: a runtime, the core, and the sockets that the core's bytes come from and go to.
//!
//! ```text
//!  session tasks  (client_io) ── read ──► core ◄── read ── pipe tasks (pipe_io)
//!        ▲                                 │ dirty                ▲
//!        └──────── write ◄── flusher: once per wake-up, pipes first ──┘
//! ```
//! The tasks only poll; all state is in [`State`], borrowed in synchronous functions only and never across an await. The
//! flusher is woken behind the tasks that are ready, so it writes once what all of them produced: flushing inside each
//! task was measured at +25 to +97 % CPU. Io.

use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::watch,
};

use super::{
    Shared, Snapshot,
    alarm::Alarm,
    client_io::ClientIo,
    mailbox::{Inbox, Letter},
    pipe_io::{self, PipeIo},
};
use crate::traffic::{
    core::{Core, Message, Todo},
    counters::Closed,
    pipe::chunk::Chunk,
};

/// Timeouts, published numbers and memory bounds are looked at this often.
const TICK: Duration = Duration::from_millis(100);

/// Every so many ticks idle memory and idle connections are given back.
const TICKS_PER_SWEEP: u32 = 20;

/// Bytes of the buffer that all sessions of a worker read into.
const READ_BUFFER: usize = 64 << 10;

/// The worker's parts, borrowed together.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Core,
    /// Sockets of sessions, by the index of their key.
    pub(super) clients: Vec<Option<ClientIo>>,
    /// Sockets of pipes, by id.
    pub(super) pipes: Vec<Option<PipeIo>>,
    /// What sessions read into.
    pub(super) buffer: Box<[u8]>,
    /// What the next pipe reads into.
    pub(super) chunk: Option<Chunk>,
    /// The newest snapshot; what is new in it, the core does not have yet.
    snapshots: watch::Receiver<Snapshot>,
    flusher: Option<Waker>,
}

/// A worker as its tasks see it.
#[derive(Debug)]
pub(super) struct Shell {
    pub(super) state: RefCell<State>,
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
}

/// The runtime of one worker.
pub(super) fn runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// Runs a worker until it is told to stop.
pub(super) fn run(runtime: &LocalRuntime, index: usize, shared: &Arc<Shared>, inbox: Inbox) {
    let mut snapshots = shared.snapshot.subscribe();
    let snapshot = snapshots.borrow_and_update().clone();
    // It may be newer than the one that the fleet began with.
    shared.acknowledge(index, snapshot.topology.epoch.0);
    let settings = Arc::clone(&shared.settings);
    let seed = fastrand::u64(..);
    let mut core = Core::new(settings, snapshot, Arc::clone(&shared.registry), index, seed);
    core.write_into(Arc::clone(&shared.journal));
    core.remember_in(Arc::clone(&shared.scripts));
    core.offer(Arc::clone(&shared.options));
    core.answer_to(Arc::clone(&shared.control));
    let state = State {
        core,
        clients: Vec::new(),
        pipes: Vec::new(),
        buffer: vec![0; READ_BUFFER].into_boxed_slice(),
        chunk: None,
        snapshots: snapshots.clone(),
        flusher: None,
    };
    let shell = Rc::new(Shell { state: RefCell::new(state), shared: Arc::clone(shared), index });
    runtime.block_on(async move {
        let (flusher, mut alarm) = (Rc::clone(&shell), Alarm::new());
        tokio::task::spawn_local(tokio::task::unconstrained(poll_fn(move |cx| flusher.poll_flush(cx, &mut alarm))));
        tokio::task::spawn_local(tick(Rc::clone(&shell)));
        tokio::task::spawn_local(follow(Rc::clone(&shell), snapshots));
        {
            let mut state = shell.state.borrow_mut();
            shell.set_now(&mut state);
            state.core.open_all();
            shell.settle(&mut state);
        }
        receive(&shell, inbox).await;
    });
}

/// Takes letters until one says stop.
async fn receive(shell: &Rc<Shell>, mut inbox: Inbox) {
    while let Some(letter) = inbox.recv().await {
        let mut state = shell.state.borrow_mut();
        shell.set_now(&mut state);
        // Who was sent here behind a snapshot must find it.
        state.follow();
        match letter {
            Letter::Client { stream, local } => shell.add_client(&mut state, stream, local),
            Letter::Message(message) => state.core.receive(message),
            Letter::Drain => state.core.drain(),
            Letter::Stop => return,
        }
        shell.settle(&mut state);
    }
}

/// Hands the core every newer snapshot.
async fn follow(shell: Rc<Shell>, mut snapshots: watch::Receiver<Snapshot>) {
    while snapshots.changed().await.is_ok() {
        let mut state = shell.state.borrow_mut();
        shell.set_now(&mut state);
        state.follow();
        shell.settle(&mut state);
    }
}

/// Looks at the clock for the core, again and again.
async fn tick(shell: Rc<Shell>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ticks: u32 = 0;
    loop {
        interval.tick().await;
        ticks = ticks.wrapping_add(1);
        let mut state = shell.state.borrow_mut();
        shell.set_now(&mut state);
        state.core.set_wall_clock(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        state.core.set_others_held(shell.others_held());
        state.core.tick();
        if ticks.is_multiple_of(TICKS_PER_SWEEP) {
            state.core.sweep();
        }
        let published = &shell.shared.published[shell.index];
        published.store(state.core.counters());
        // The runtime measures it anyway, once per sleep.
        let busy = tokio::runtime::Handle::current().metrics().worker_total_busy_duration(0);
        published.busy_us.store(busy.as_micros() as u64, Relaxed);
        state.core.publish_commands();
        shell.settle(&mut state);
    }
}

impl State {
    /// Hands the core the newest snapshot, if it does not have it.
    fn follow(&mut self) {
        if self.snapshots.has_changed().unwrap_or(false) {
            let snapshot = self.snapshots.borrow_and_update().clone();
            self.core.publish(snapshot);
        }
    }
}

impl Shell {
    /// Tells the core the time; once per poll, not per request.
    #[inline]
    pub(super) fn set_now(&self, state: &mut State) {
        state.core.set_now(self.shared.zero.elapsed().as_micros() as u64);
    }

    /// Bytes that the other workers hold.
    fn others_held(&self) -> u64 {
        let others = self.shared.published.iter().enumerate().filter(|(index, _)| *index != self.index);
        others.map(|(_, published)| published.buffered.load(Relaxed)).sum()
    }

    /// To be called when a task has fed the core: does what the core wants done, and wakes the flusher.
    #[inline]
    pub(super) fn settle(self: &Rc<Self>, state: &mut State) {
        while state.core.has_todo() {
            for todo in state.core.take_todo() {
                self.carry_out(state, todo);
            }
        }
        if state.core.is_dirty()
            && let Some(flusher) = &state.flusher
        {
            flusher.wake_by_ref();
        }
    }

    /// Writes once what all ready tasks have produced.
    fn poll_flush(self: &Rc<Self>, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.flusher.as_ref().is_none_or(|known| !known.will_wake(cx.waker())) {
            state.flusher = Some(cx.waker().clone());
        }
        if alarm.rings(cx) {
            self.set_now(state);
            state.core.end_lingering();
        }
        while state.core.is_dirty() {
            if state.core.has_slow() {
                self.set_now(state);
                state.core.log_slow();
            }
            while let Some(id) = state.core.next_dirty_pipe() {
                Self::write_pipe(state, id);
            }
            while let Some(key) = state.core.next_dirty_client() {
                Self::write_client(state, key);
            }
            self.settle(state);
        }
        if state.core.measures_flush() {
            self.set_now(state);
            state.core.flushed();
        }
        if let Some(until_us) = state.core.lingers_until()
            && alarm.set(self.shared.zero + Duration::from_micros(until_us), cx)
        {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Puts a message into another worker's mailbox, when that is full as soon as there is room.
    fn tell(&self, state: &mut State, worker: usize, message: Message) {
        let Some(mailbox) = self.shared.mailboxes.get(worker) else { return };
        let may_be_lost = message.may_be_lost();
        match mailbox.send(Letter::Message(message)) {
            Ok(()) => {}
            Err(_) if may_be_lost => state.core.message_lost(),
            Err(letter) => {
                let mailbox = mailbox.clone();
                tokio::task::spawn_local(async move { mailbox.send_surely(letter).await });
            }
        }
    }

    fn carry_out(self: &Rc<Self>, state: &mut State, todo: Todo) {
        match todo {
            Todo::Connect(id, attempt) => {
                tokio::task::spawn_local(pipe_io::run(Rc::clone(self), id, attempt));
            }
            Todo::Disconnect(id) => {
                if let Some(waker) = state.pipes.get_mut(id.index()).and_then(Option::take).and_then(|io| io.waker) {
                    waker.wake();
                }
            }
            Todo::Resume(key) => {
                if let Some(io) = state.client_io(key) {
                    io.resume = true;
                    if let Some(waker) = &io.waker {
                        waker.wake_by_ref();
                    }
                }
            }
            Todo::Close(key) => {
                if state.client_io(key).is_some() {
                    self.shared.sessions[self.index].fetch_sub(1, Relaxed);
                    if let Some(waker) = state.clients[key.index as usize].take().and_then(|io| io.waker) {
                        waker.wake();
                    }
                }
            }
            Todo::Tell(worker, message) => self.tell(state, worker, message),
            Todo::Acknowledge(epoch) => self.shared.acknowledge(self.index, epoch.0),
            Todo::NodeUp(node) => {
                let node = state.core.snapshot().topology.node(node);
                tracing::debug!(worker = self.index, node = %node.name, address = %node.address, "node can be used");
            }
            Todo::NodeDown(node, why) => {
                let node = state.core.snapshot().topology.node(node);
                tracing::debug!(worker = self.index, node = %node.name, address = %node.address, %why, "node cannot be used");
            }
            Todo::Deaf(node, why) => {
                let node = state.core.snapshot().topology.node(node);
                tracing::warn!(worker = self.index, node = %node.name, address = %node.address, %why, "messages are not heard");
            }
            Todo::Hears(node, topics) => {
                let node = state.core.snapshot().topology.node(node);
                tracing::info!(worker = self.index, node = %node.name, address = %node.address, topics, "messages are heard again");
            }
            Todo::Dropped(id, addr, why) => {
                // Anybody can send nonsense as often as they like; that must not fill the log.
                if why == Closed::Protocol {
                    tracing::debug!(client = id, %addr, reason = why.label(), "session closed");
                } else {
                    tracing::warn!(client = id, %addr, reason = why.label(), "session closed");
                }
            }
        }
    }
}
