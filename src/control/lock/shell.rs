//! The shell around the keeper: turns what happens into its inputs, and does what it says.
//!
//! ```text
//!  Inbox ─ asks, answers of nodes, nodes wanted, state saved ─► Keeper ─┬─ Voter, Send ──► lines (requests gather, then go at once)
//!  clock ─ its deadline ──────────────────────────────────────►         ├─ Listen ───────► ears
//!                                                                       ├─ Answer, Lapsed ► workers' mailboxes
//!                                                                       ├─ Save ─────────► disk, on another thread
//!                                                                       └─ Note ─────────► log, events, totals
//! ```
//! One thread; everything that has arrived is handled before any line is told to send, so that under load a write carries many
//! requests. The clock is read for each input: what has lapsed meanwhile has lapsed. Io.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use bytes::Bytes;
use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::oneshot,
    task::{AbortHandle, spawn_blocking, spawn_local},
    time::sleep_until,
};

use super::{
    Inbox, clock,
    front::Event,
    keeper::{Input, Keeper, Member, Output, Token, Voter},
    line::{self, Book, Common, Line},
    listen::{self, Changes, Ear, Topics},
    news,
    outcome::Outcome,
    reply,
    state::State,
    store::{Basis, Store},
    wire::Wire,
};
use crate::traffic::{
    core::Message,
    lock::{LockAsk, LockName},
    resp::{Proto, encode},
    route::Node,
    worker::Fleet,
};

/// Events that are handled before the lines are told to send.
const BATCH: usize = 1_024;

/// The runtime of the thread.
pub(super) fn runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// Where states are kept, and on what they stand.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) store: Arc<Store>,
    pub(super) basis: Basis,
    /// What it stands on behind [`Disk::until`].
    pub(super) after: Basis,
    pub(super) until: super::keeper::Now,
}

/// A voter's connections.
#[derive(Debug)]
struct Seat {
    wire: Rc<Wire>,
    changes: Rc<Changes>,
    tasks: [AbortHandle; 2],
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// The shell.
pub(super) struct Shell {
    keeper: Keeper,
    fleet: Arc<Fleet>,
    common: Common,
    disk: Disk,
    seats: HashMap<Voter, Seat>,
    topics: Topics,
    /// The nodes that are wanted, as they were told last.
    wanted: Vec<Member>,
    /// Who waits until nothing is under way.
    resting: Vec<oneshot::Sender<()>>,
}

impl Shell {
    pub(super) fn new(keeper: Keeper, fleet: Arc<Fleet>, common: Common, disk: Disk) -> Self {
        Self {
            keeper,
            fleet,
            common,
            disk,
            seats: HashMap::new(),
            topics: Topics::default(),
            wanted: Vec::new(),
            resting: Vec::new(),
        }
    }

    /// Works until nobody can ask anything any more.
    pub(super) async fn run(mut self, mut inbox: Inbox) {
        let mut events = Vec::with_capacity(BATCH);
        self.carry_out();
        loop {
            let wake = self.keeper.next_deadline().map(line::instant);
            let timer = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            // Cancel-safe, both.
            tokio::select! {
                count = inbox.recv_many(&mut events, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.follow();
                    for event in events.drain(..) {
                        self.take(event);
                    }
                }
                () = timer => self.handle(Input::Wake),
            }
            self.seats.values().for_each(|seat| seat.wire.ring());
            if !self.resting.is_empty() && self.seats.values().all(|seat| seat.wire.is_idle()) {
                for told in self.resting.drain(..) {
                    // Fails if nobody waits any more.
                    let _ = told.send(());
                }
            }
            self.show();
        }
    }

    /// Has the keeper go by the limits that hold now.
    fn follow(&mut self) {
        let limits = self.common.live.see(super::limits);
        self.keeper.limit(limits);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.handle(input),
            Event::Want(nodes) => self.want(nodes),
            Event::Rest(told) => self.resting.push(told),
        }
    }

    fn handle(&mut self, input: Input) {
        self.keeper.handle(input, clock::now());
        self.carry_out();
    }

    /// Other nodes, or what they are told.
    fn want(&mut self, nodes: Vec<Node>) {
        let members: Vec<Member> = nodes.iter().map(member).collect();
        learn(&self.common.book, nodes);
        if members != self.wanted {
            self.wanted.clone_from(&members);
            self.handle(Input::Wanted(members));
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.keeper.poll_output() {
            match output {
                Output::Send { voter, line, ticket, script } => {
                    if let Some(seat) = self.seats.get(&voter) {
                        seat.wire.send(line, ticket, script, clock::now());
                    }
                }
                Output::Answer { to, outcome } => self.answer(&to, &outcome),
                Output::Lapsed { session, lock, token } => self.lapsed(session, &lock, token),
                Output::Voter(voter, member) => self.seat(voter, member),
                Output::Listen(lock, wanted) => self.listen(lock, wanted),
                Output::Save(number, state) => self.save(number, state),
                Output::Note(note) => {
                    self.common.front.shown().count(&note);
                    news::tell(&note, self.fleet.journal());
                }
            }
        }
    }

    fn answer(&self, to: &LockAsk, outcome: &Outcome) {
        let mut text = Vec::with_capacity(64);
        reply::write(outcome, &to.form, to.resp3, &mut text);
        self.fleet.tell(to.asker.worker, Message::Answer { to: to.asker, text });
    }

    /// A session of RESP3 hears of it; others must look at their validity, as everybody should.
    fn lapsed(&self, session: u64, lock: &LockName, token: Token) {
        let Some(record) = self.fleet.registry().get(session) else { return };
        let mut push = Vec::new();
        encode::push_header(&mut push, 3, Proto::Resp3);
        encode::bulk(&mut push, b"lock-lost");
        encode::bulk(&mut push, &lock.name);
        encode::bulk(&mut push, token.hex().as_bytes());
        self.fleet.tell(record.worker, Message::Push { id: session, bytes: push.into() });
    }

    fn seat(&mut self, voter: Voter, member: Option<Member>) {
        let Some(member) = member else {
            self.seats.remove(&voter);
            return;
        };
        let (wire, changes) = (Rc::<Wire>::default(), Rc::<Changes>::default());
        let line = Line::new(self.common.clone(), voter, member.clone(), Rc::clone(&wire));
        let ear =
            Ear { common: self.common.clone(), member, topics: Rc::clone(&self.topics), changes: Rc::clone(&changes) };
        let tasks = [spawn_local(line.keep()).abort_handle(), spawn_local(ear.keep()).abort_handle()];
        self.seats.insert(voter, Seat { wire, changes, tasks });
    }

    fn listen(&self, lock: LockName, wanted: bool) {
        let channel: Bytes = listen::channel(&lock);
        if wanted {
            self.topics.borrow_mut().insert(channel.clone(), lock);
        } else {
            self.topics.borrow_mut().remove(&channel);
        }
        self.seats.values().for_each(|seat| seat.changes.put(channel.clone(), wanted));
    }

    /// Writes on a thread that may wait for the disk; the keeper has one write under way at a time.
    fn save(&mut self, number: u64, state: State) {
        if clock::now() >= self.disk.until {
            self.disk.basis = self.disk.after;
        }
        let (store, basis, front) = (Arc::clone(&self.disk.store), self.disk.basis, self.common.front.clone());
        let write = move || {
            front.input(match store.save(basis, &state) {
                Ok(()) => Input::Saved(number),
                Err(error) => {
                    tracing::warn!(why = %error, "the state of locks is not written; what needs it waits");
                    Input::NotSaved(number, error.to_string())
                }
            });
        };
        // Its end is an event.
        drop(spawn_blocking(write));
    }

    /// Shows what there is now.
    fn show(&self) {
        self.common.front.show_surplus(self.keeper.surplus(0));
        let mut shown = self.common.front.shown();
        (shown.held, shown.waiters) = (self.keeper.held() as u64, self.keeper.waiting() as u64);
    }
}

/// A node as locks know it.
fn member(node: &Node) -> Member {
    Member { name: node.name.clone(), place: node.ring_name().to_owned(), address: node.address.to_string() }
}

/// Nodes that are wanted no more are still asked until the end of a window: what is known of them stays.
fn learn(book: &Book, nodes: Vec<Node>) {
    let mut book = book.borrow_mut();
    for node in nodes {
        book.insert(member(&node), node);
    }
}
