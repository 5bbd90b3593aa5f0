//! What the nodes are: asked over one control connection per node, published to the workers.
//!
//! ```text
//!  node ◄─ conversation ─ watch (one task per node) ──Learned──► Known (pure) ──changed──► publish
//!              ▲              │     ▲
//!              │              │     └ begun and ended as nodes come and go ◄── snapshots
//!              └ backoff ◄ lost, and asked anew every RECHECK: another run_id, other commands
//! ```
//!
//! The connection stays open, so that a node's end is seen at once and told by one log line, as is its return. What workers
//! suffer from a node ([`Signs`]) makes its watcher ask at once. Workers' own pipes do not depend on the probe, nor on the
//! detector's judgement of who is up for writes, which is told: a node whose control connection is refused still serves. A
//! node that will not say something (an ACL, a renamed command) is served all the same; only that fact stays unknown.
//! Bounded: one task and one connection per node, replies by [`conversation`]'s limits. Io.

pub(in crate::control) mod backoff;
pub(in crate::control) mod conversation;
mod detector;
pub(in crate::control) mod known;

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use tracing::Instrument as _;

use super::now_ms;
use crate::traffic::{
    command::Table,
    observe::{
        Journal,
        census::{Report, Said, Standing},
        chronicle,
    },
    route::{Node, NodeId, Topology},
    settings::PipeSettings,
    worker::{Facts, Snapshot},
};
use backoff::Backoff;
pub(in crate::control) use conversation::Conversation;
use conversation::Trouble;
use detector::{Detector, Seen, Verdict};
pub(in crate::control) use known::field;
pub use known::{Known, Learned};

/// How often a connected node is asked whether it is still the one it was.
const RECHECK: Duration = Duration::from_secs(2);

/// The same of one that is not up for writes, or may not be.
const RECHECK_IN_DOUBT: Duration = Duration::from_millis(500);

/// How often it is looked whether workers have suffered from a node.
const LOOK: Duration = Duration::from_millis(250);

/// Answers that wait to be worked in; a full queue makes the watchers wait.
const QUEUE: usize = 16;

/// Tells how connections to nodes behave at the moment.
pub type Settings = Arc<dyn Fn() -> PipeSettings + Send + Sync>;

/// How often each worker has lost a connection to a node, or could not make one: numbers that the workers count anyway.
pub type Signs = Box<dyn Fn(NodeId) -> Vec<u64> + Send + Sync>;

/// Is called at each verdict.
pub type Heard = Box<dyn Fn() + Send + Sync>;

/// Which nodes answer their control connection, and what they say of themselves: the journal keeps it.
pub struct Board {
    journal: Arc<Journal>,
    /// How often the nodes are asked for their INFO; `None`: never.
    info_every: Option<Duration>,
    signs: Signs,
    heard: Heard,
    /// What is thought of each node.
    judged: Mutex<HashMap<NodeId, Judged>>,
    begin: Instant,
}

/// What is thought of a node, and the signs that were taken in already.
#[derive(Debug)]
struct Judged {
    detector: Detector,
    signs: Vec<u64>,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("judged", &self.judged).finish_non_exhaustive()
    }
}

impl Board {
    /// A board on `journal`, in which no node has answered yet.
    #[must_use]
    pub fn new(journal: Arc<Journal>, info_every: Option<Duration>, signs: Signs, heard: Heard) -> Self {
        Self { journal, info_every, signs, heard, judged: Mutex::default(), begin: Instant::now() }
    }

    /// Whether the node answers.
    #[must_use]
    pub fn answers(&self, node: NodeId) -> bool {
        self.journal.census().answers(node)
    }

    /// It answers, or does not because of `why`.
    fn set(&self, id: NodeId, answers: bool, why: &str) {
        self.journal.census().entry(id).set_answers(answers, why, now_ms());
    }

    /// It has left.
    fn clear(&self, id: NodeId) {
        *self.journal.census().entry(id) = Report::default();
        self.judged().remove(&id);
    }

    fn judged(&self) -> MutexGuard<'_, HashMap<NodeId, Judged>> {
        self.judged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its watcher begins.
    fn begin(&self, id: NodeId, node: &Node) {
        let now = self.begin.elapsed();
        // Who was left out before this process began has to prove itself.
        let detector = if node.out { Detector::fallen(now) } else { Detector::new(now) };
        self.judged().insert(id, Judged { detector, signs: (self.signs)(id) });
    }

    /// Takes in what workers have suffered from it since the last look; whether they have.
    fn heed(&self, id: NodeId) -> bool {
        let (now, signs) = (self.begin.elapsed(), (self.signs)(id));
        let mut all = self.judged();
        let Some(judged) = all.get_mut(&id) else { return false };
        let before = std::mem::replace(&mut judged.signs, signs);
        // Of each worker one: what it loses at once it loses for one reason.
        let more = judged.signs.iter().enumerate().filter(|(worker, count)| before.get(*worker).unwrap_or(&0) < *count);
        let suffered = more.count();
        for _ in 0..suffered {
            // By itself it is no verdict.
            judged.detector.see(Seen::Sign, now);
        }
        let standing = judged.detector.standing();
        drop(all);
        if suffered > 0 {
            self.journal.census().entry(id).standing = Some(standing);
        }
        suffered > 0
    }

    /// Whether it is up for writes beyond doubt.
    fn is_sure_of(&self, id: NodeId) -> bool {
        self.judged().get(&id).is_none_or(|judged| judged.detector.standing() == Standing::Up)
    }

    /// It did not answer, for so long.
    fn miss(&self, id: NodeId, node: &Node, lasting: Duration) {
        if let Some(judged) = self.judged().get_mut(&id) {
            judged.detector.suspect(self.begin.elapsed().saturating_sub(lasting));
        }
        self.heed(id);
        self.see(id, node, Seen::Silence);
    }

    /// Its probe has seen this; whatever changes by it and is not plain from the connection is told.
    fn see(&self, id: NodeId, node: &Node, seen: Seen) {
        let now = self.begin.elapsed();
        let mut all = self.judged();
        let Some(judged) = all.get_mut(&id) else { return };
        let (verdict, standing) = (judged.detector.see(seen, now), judged.detector.standing());
        drop(all);
        self.journal.census().entry(id).standing = Some(standing);
        let (kind, text) = match verdict {
            None => return,
            Some(Verdict::Up) => (chronicle::Kind::NodeUp, "it is up for writes".to_owned()),
            Some(Verdict::Down(why, falls)) => {
                let why = match why {
                    Seen::Loading => "it is loading its data",
                    Seen::Replica => "it is a read-only replica; give its primary's address, or REPLICAOF NO ONE",
                    Seen::Good | Seen::Silence | Seen::Sign => "it does not answer",
                };
                let often = if falls > 1 { format!(" ({falls} times in short order)") } else { String::new() };
                (chronicle::Kind::NodeDown, format!("it is not up for writes{often}: {why}"))
            }
        };
        self.happened(kind, node, &text);
        tracing::warn!(node = %node.name, address = %node.address, "node: {text}");
        (self.heard)();
    }

    fn happened(&self, kind: chronicle::Kind, node: &Node, text: &str) {
        self.journal.chronicle().note(now_ms(), kind, &node.name, text);
    }
}

/// Watches the nodes that take part, and those that are left out for now, until dropped; `publish` gets table and facts whenever they change.
pub async fn run(
    mut snapshots: watch::Receiver<Snapshot>,
    settings: Settings,
    board: Arc<Board>,
    mut known: Known,
    publish: impl Fn(Arc<Table>, Facts),
) {
    let (sender, mut learned) = mpsc::channel(QUEUE);
    let mut watchers = Watchers::default();
    loop {
        let topology = Arc::clone(&snapshots.borrow_and_update().topology);
        let mut changed = false;
        for id in watchers.end_of_leavers(&topology) {
            board.clear(id);
            changed |= known.forget(id);
        }
        if changed {
            publish(known.table(), known.facts());
        }
        watchers.begin(&topology, |node, id| {
            watch(node, id, Arc::clone(&settings), Arc::clone(&board), sender.clone()).in_current_span()
        });
        // Both are cancel-safe: what is not taken now is there the next time.
        tokio::select! {
            more = snapshots.changed() => if more.is_err() { return },
            Some((id, said)) = learned.recv() => {
                // What was on its way when its node left says nothing any more.
                if watchers.tasks.contains_key(&id) && known.learn(id, said) {
                    publish(known.table(), known.facts());
                }
            }
        }
    }
}

/// The task of each node that is watched; all end when this is dropped.
#[derive(Default)]
struct Watchers {
    set: JoinSet<()>,
    tasks: HashMap<NodeId, AbortHandle>,
}

impl Watchers {
    /// Ends those of nodes that are no more, and names them.
    fn end_of_leavers(&mut self, topology: &Topology) -> Vec<NodeId> {
        let left: Vec<NodeId> = self.tasks.keys().copied().filter(|id| !topology.is_listed(*id)).collect();
        left.iter().filter_map(|id| self.tasks.remove(id)).for_each(|task| task.abort());
        while self.set.try_join_next().is_some() {}
        left
    }

    /// Begins those of nodes that are not watched yet.
    fn begin<W: Future<Output = ()> + Send + 'static>(
        &mut self,
        topology: &Topology,
        watch: impl Fn(Node, NodeId) -> W,
    ) {
        for id in topology.listed() {
            if !self.tasks.contains_key(&id) {
                self.tasks.insert(id, self.set.spawn(watch(topology.node(id).clone(), id)));
            }
        }
    }
}

/// One node's watcher; ends only with its channel.
async fn watch(
    node: Node,
    id: NodeId,
    settings: Settings,
    board: Arc<Board>,
    learned: mpsc::Sender<(NodeId, Learned)>,
) {
    let fresh = || {
        let PipeSettings { backoff_min, backoff_max, .. } = settings();
        Backoff::new(backoff_min, backoff_max)
    };
    board.begin(id, &node);
    let mut backoff = fresh();
    let mut told: Option<String> = None;
    while !learned.is_closed() {
        let now = settings();
        let visit = Visit { node: &node, id, settings: &now, board: &board, learned: &learned };
        let Err(trouble) = visit.stay().await;
        let was_there = board.answers(id);
        if was_there {
            (backoff, told) = (fresh(), None);
        }
        let why = trouble.to_string();
        board.set(id, false, &why);
        let lasting = if let Trouble::Timeout(limit) = trouble { limit } else { Duration::ZERO };
        board.miss(id, &node, lasting);
        // One line per change, not per try.
        if told.as_ref() != Some(&why) {
            board.happened(chronicle::Kind::NodeDown, &node, &why);
            tracing::warn!(node = %node.name, address = %node.address, %why, "node does not answer its probe");
            told = Some(why);
        }
        sleep(backoff.pause(fastrand::f64())).await;
    }
}

/// One connection to a node, from its opening to its end.
struct Visit<'a> {
    node: &'a Node,
    id: NodeId,
    settings: &'a PipeSettings,
    board: &'a Board,
    learned: &'a mpsc::Sender<(NodeId, Learned)>,
}

impl Visit<'_> {
    /// Connects, asks, and stays until the connection ends.
    async fn stay(&self) -> Result<Infallible, Trouble> {
        let PipeSettings { connect_timeout, request_timeout, .. } = *self.settings;
        let mut conversation = Conversation::open(self.node, connect_timeout, request_timeout).await?;
        let mut seen = self.ask_all(&mut conversation).await?;
        self.board.set(self.id, true, "");
        self.board.happened(chronicle::Kind::NodeUp, self.node, "it answers");
        self.log(&seen, "node answers its probe");
        let mut asked = None;
        loop {
            self.ask_info(&mut conversation, &mut asked).await?;
            self.rest(&mut conversation).await?;
            if Identity::ask(&mut conversation).await? != seen {
                seen = self.ask_all(&mut conversation).await?;
                self.board.happened(chronicle::Kind::NodeChanged, self.node, "it is another server than before");
                self.log(&seen, "node has changed");
            }
        }
    }

    fn recheck(&self) -> Duration {
        if self.board.is_sure_of(self.id) { RECHECK } else { RECHECK_IN_DOUBT }
    }

    /// Waits until the node is to be asked again: sooner, if it is in doubt or workers suffer from it.
    async fn rest(&self, conversation: &mut Conversation) -> Result<(), Trouble> {
        let begin = Instant::now();
        loop {
            let left = self.recheck().saturating_sub(begin.elapsed());
            if left.is_zero() || self.board.heed(self.id) {
                return Ok(());
            }
            conversation.rest(left.min(LOOK)).await?;
        }
    }

    /// Asks what the node says of itself, if that was long enough ago. One that will not say is asked again all the same.
    async fn ask_info(&self, conversation: &mut Conversation, asked: &mut Option<Instant>) -> Result<(), Trouble> {
        let Some(every) = self.board.info_every else {
            // It answers; more is not to be asked.
            self.board.see(self.id, self.node, Seen::Good);
            return Ok(());
        };
        let every = if self.board.is_sure_of(self.id) { every } else { RECHECK_IN_DOUBT.min(every) };
        if asked.is_some_and(|asked| asked.elapsed() + self.recheck() / 2 < every) {
            return Ok(());
        }
        let begin = Instant::now();
        *asked = Some(begin);
        // Nearly nothing to do for the node: what it takes is the way, and the queue in front of it.
        conversation.ask(&["COMMAND", "COUNT"]).await?;
        let answer_us = begin.elapsed().as_micros() as u64;
        let info = conversation.text_of(&["INFO"], 0).await?;
        let mut census = self.board.journal.census();
        let report = census.entry(self.id);
        report.answer_us = answer_us;
        if let Ok(info) = info {
            report.set_said(Said::read(&info, now_ms()));
            drop(census);
            self.board.see(self.id, self.node, fitness(&info));
        }
        Ok(())
    }

    fn log(&self, seen: &Identity, what: &str) {
        let known = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "unknown".to_owned());
        let (version, run_id, commands) = (known(&seen.version), known(&seen.run_id), known(&seen.commands));
        tracing::info!(node = %self.node.name, address = %self.node.address, %version, %run_id, %commands, "{what}");
    }

    /// Asks everything that others want to know, and hands it on.
    async fn ask_all(&self, conversation: &mut Conversation) -> Result<Identity, Trouble> {
        let identity = Identity::ask(conversation).await?;
        let databases = conversation.text_of(&["CONFIG", "GET", "databases"], 1).await?.ok();
        let commands = conversation.ask(&["COMMAND"]).await?;
        let commands = commands.starts_with(b"*").then(|| commands.to_vec());
        if commands.is_none() {
            let node = &self.node.name;
            tracing::info!(%node, "node does not tell its commands; those of Redis and Valkey are assumed");
        }
        let version = identity.version.clone();
        let databases = databases.and_then(|text| text.parse().ok());
        // A closed channel means that Circlet ends; the watcher sees that next.
        let _ = self.learned.send((self.id, Learned { version, databases, commands })).await;
        Ok(identity)
    }
}

/// What a node's INFO says of whether it takes writes.
fn fitness(info: &str) -> Seen {
    if known::field(info, "loading").is_some_and(|loading| loading == "1") {
        return Seen::Loading;
    }
    let reads_only = known::field(info, "slave_read_only").is_some_and(|only| only == "1");
    let is_replica = known::field(info, "role").is_some_and(|role| role == "slave");
    if is_replica && reads_only { Seen::Replica } else { Seen::Good }
}

/// By what a node is recognised; `None` where it would not say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    version: Option<String>,
    run_id: Option<String>,
    commands: Option<String>,
}

impl Identity {
    async fn ask(conversation: &mut Conversation) -> Result<Self, Trouble> {
        let info = match conversation.text_of(&["INFO", "server"], 0).await? {
            Ok(info) => info,
            // Its code for a missing password: it will answer nobody, whereas any other refusal concerns INFO only.
            Err(error) if error.starts_with("NOAUTH ") => return Err(Trouble::Refused(error)),
            Err(_) => String::new(),
        };
        let commands = conversation.text_of(&["COMMAND", "COUNT"], 0).await?.ok();
        Ok(Self { version: known::field(&info, "redis_version"), run_id: known::field(&info, "run_id"), commands })
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
