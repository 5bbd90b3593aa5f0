//! All lines of the mover: opened on first use, opened again after trouble, with a pause that grows.
//!
//! ```text
//!  ask(node, db, role) ─► Slot ─ line there ────────────────► Line
//!                          ├── none, or broken ─ connect ───► Line   (another run_id than last time? told as an event)
//!                          └── down until … ─ Access: refused at once; others: wait, then connect
//! ```
//! A role has a line of its own, so that an on-access pull never waits behind a megabyte of the pass. Bounded: one line per
//! (node, db, role). Io.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::{sync, time::sleep};

use super::{
    Event, Events,
    fault::MoveError,
    line::{Line, Times},
    request::command,
    script::Script,
};
use crate::{
    control::probe::{backoff::Backoff, conversation::Trouble},
    traffic::route::{Node, NodeId},
};

/// Pauses between tries to reach a node.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// How long a node may take for what cannot be cut: asked for again and again, it would stand still for good.
const WHOLE: Duration = Duration::from_secs(120);

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// On-access pulls: somebody waits.
    Access,
    /// The pass, purge, verification and preparations: they wait for a node that is down.
    Pass,
    /// What cannot be cut and may take a node long: a big value of a module's type. It waits as well.
    Whole,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct To {
    pub(super) node: NodeId,
    pub(super) db: u32,
    pub(super) role: Role,
}

/// A reply, and what else is known of it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) frame: BytesFrame,
    pub(super) line: Arc<Line>,
    /// When the request was sent: it ran later.
    pub(super) sent: Instant,
}

#[derive(Debug, Default)]
struct Slot {
    line: Option<Arc<Line>>,
    /// The node as it was when the line was opened.
    node: Option<Node>,
    down: Option<Down>,
}

/// Trouble with no success since.
#[derive(Debug)]
struct Down {
    until: Instant,
    why: String,
    pauses: Backoff,
}

/// A process of a node, as far as lines have seen it.
#[derive(Debug)]
struct Run {
    id: String,
    restarts: u64,
}

/// The lines.
pub(super) struct Lines {
    times: Times,
    events: Events,
    book: Mutex<Arc<[Node]>>,
    slots: Mutex<HashMap<To, Arc<sync::Mutex<Slot>>>>,
    runs: Mutex<HashMap<NodeId, Run>>,
    /// Whether a restart is news: keys are being moved.
    watching: AtomicBool,
}

impl Lines {
    pub(super) fn new(times: Times, events: Events) -> Self {
        let (book, watching) = (Mutex::new([].into()), AtomicBool::new(false));
        Self { times, events, book, slots: Mutex::default(), runs: Mutex::default(), watching }
    }

    /// Where the nodes are from now on; lines to a node that has changed are opened anew.
    pub(super) fn learn(&self, nodes: &Arc<[Node]>) {
        *held(&self.book) = Arc::clone(nodes);
    }

    pub(super) fn node(&self, id: NodeId) -> Result<Node, MoveError> {
        let unknown = || MoveError::Unfit(format!("there is no node number {}", id.0));
        held(&self.book).get(id.index()).cloned().ok_or_else(unknown)
    }

    pub(super) fn name(&self, id: NodeId) -> String {
        held(&self.book).get(id.index()).map_or_else(|| format!("number {}", id.0), |node| node.name.clone())
    }

    /// Closes all lines; forgets nothing else.
    pub(super) fn close(&self) {
        held(&self.slots).clear();
    }

    /// As which process the node has been seen last, and how often it has changed.
    pub(super) fn run(&self, id: NodeId) -> Option<(String, u64)> {
        held(&self.runs).get(&id).map(|run| (run.id.clone(), run.restarts))
    }

    /// Takes `run` as what the node was until now, unless its lines know better.
    pub(super) fn expect_run(&self, id: NodeId, run: &str) {
        held(&self.runs).entry(id).or_insert_with(|| Run { id: run.to_owned(), restarts: 0 });
    }

    /// From now on a node that restarts is told, or no longer.
    pub(super) fn watch(&self, watching: bool) {
        self.watching.store(watching, SeqCst);
    }

    fn saw(&self, node: NodeId, id: &str) {
        let mut runs = held(&self.runs);
        let run = runs.entry(node).or_insert_with(|| Run { id: id.to_owned(), restarts: 0 });
        if id.is_empty() || run.id == id {
            return;
        }
        run.id = id.to_owned();
        run.restarts += 1;
        drop(runs);
        if !self.watching.load(SeqCst) {
            return;
        }
        tracing::warn!(node = %self.name(node), "node has restarted while keys are being moved; it may have lost data");
        (self.events)(Event::Restarted { node });
    }

    /// The line, opened if need be.
    pub(super) async fn line(&self, to: To) -> Result<Arc<Line>, MoveError> {
        let slot = Arc::clone(held(&self.slots).entry(to).or_default());
        loop {
            let mut slot = slot.lock().await;
            let node = self.node(to.node)?;
            if slot.node.as_ref() != Some(&node) {
                *slot = Slot { node: Some(node.clone()), ..Slot::default() };
            }
            let left =
                slot.down.as_ref().map_or(Duration::ZERO, |down| down.until.saturating_duration_since(Instant::now()));
            match (&slot.line, &slot.down) {
                (Some(line), _) if !line.is_broken() && left.is_zero() => return Ok(Arc::clone(line)),
                (_, Some(down)) if !left.is_zero() && to.role == Role::Access => {
                    return Err(self.down(to.node, &down.why));
                }
                (_, Some(_)) if !left.is_zero() => {
                    drop(slot);
                    sleep(left).await;
                    continue;
                }
                _ => {}
            }
            let answer = if to.role == Role::Whole { self.times.answer.max(WHOLE) } else { self.times.answer };
            return match Line::open(&node, to.db, Times { answer, ..self.times }).await {
                Ok(line) => {
                    self.saw(to.node, line.run());
                    let line = Arc::new(line);
                    slot.line = Some(Arc::clone(&line));
                    Ok(line)
                }
                Err(trouble) => {
                    slot.stumble(&trouble.to_string());
                    Err(self.refused_or_down(to.node, trouble))
                }
            };
        }
    }

    /// A line that nobody else uses.
    pub(super) async fn private(&self, node: NodeId, db: u32) -> Result<Line, MoveError> {
        let line = Line::open(&self.node(node)?, db, self.times).await;
        let line = line.map_err(|trouble| self.refused_or_down(node, trouble))?;
        self.saw(node, line.run());
        Ok(line)
    }

    /// Asks; an error line is an error. Only for what may run twice: a line that has gone stale is replaced once.
    pub(super) async fn ask(&self, to: To, request: &Bytes) -> Result<BytesFrame, MoveError> {
        self.ask_line(to, request).await.map(|answer| answer.frame)
    }

    /// As [`Self::ask`], with who has answered.
    pub(super) async fn ask_line(&self, to: To, request: &Bytes) -> Result<Answer, MoveError> {
        let mut again = true;
        loop {
            let line = self.line(to).await?;
            let sent = Instant::now();
            match line.ask(request.clone()).await {
                Ok(frame) => {
                    let frame = self.checked(to.node, frame);
                    match &frame {
                        Err(MoveError::Down { why, .. }) => self.stumble(to, why).await,
                        _ => self.well(to).await,
                    }
                    return frame.map(|frame| Answer { frame, line, sent });
                }
                Err(Trouble::Closed | Trouble::Io(_)) if again => again = false,
                Err(trouble) => {
                    self.stumble(to, &trouble.to_string()).await;
                    return Err(self.refused_or_down(to.node, trouble));
                }
            }
        }
    }

    /// Asks by words.
    pub(super) async fn words(&self, to: To, words: &[impl AsRef<[u8]>]) -> Result<BytesFrame, MoveError> {
        self.ask(to, &command(words)).await
    }

    /// Runs a script; tells its text to a node that does not know it.
    pub(super) async fn run_script(&self, to: To, script: &Script, request: &Bytes) -> Result<BytesFrame, MoveError> {
        self.run_script_line(to, script, request).await.map(|answer| answer.frame)
    }

    /// As [`Self::run_script`], with who has answered.
    pub(super) async fn run_script_line(&self, to: To, script: &Script, request: &Bytes) -> Result<Answer, MoveError> {
        match self.ask_line(to, request).await {
            Err(MoveError::Refused { line, .. }) if line.starts_with("NOSCRIPT") => {
                self.words(to, &["SCRIPT", "LOAD", script.text()]).await?;
                self.ask_line(to, request).await
            }
            other => other,
        }
    }

    pub(super) fn checked(&self, node: NodeId, frame: BytesFrame) -> Result<BytesFrame, MoveError> {
        match frame {
            BytesFrame::Error(line) => Err(MoveError::of_line(node, &self.name(node), &line)),
            frame => Ok(frame),
        }
    }

    async fn stumble(&self, to: To, why: &str) {
        let slot = Arc::clone(held(&self.slots).entry(to).or_default());
        slot.lock().await.stumble(why);
    }

    async fn well(&self, to: To) {
        let slot = Arc::clone(held(&self.slots).entry(to).or_default());
        slot.lock().await.down = None;
    }

    pub(super) fn down(&self, node: NodeId, why: &str) -> MoveError {
        MoveError::Down { node, name: self.name(node), why: why.to_owned() }
    }

    fn refused_or_down(&self, node: NodeId, trouble: Trouble) -> MoveError {
        match trouble {
            Trouble::Refused(line) => MoveError::of_line(node, &self.name(node), &line),
            other => self.down(node, &other.to_string()),
        }
    }

    /// A reply that makes no sense.
    pub(super) fn garbage(&self, node: NodeId, to: &str) -> MoveError {
        let (name, line) = (self.name(node), format!("its reply to {to} makes no sense"));
        MoveError::Refused { node, name, line }
    }
}

impl Slot {
    fn stumble(&mut self, why: &str) {
        let mut pauses = match self.down.take() {
            Some(down) => down.pauses,
            None => Backoff::new(PAUSES[0], PAUSES[1]),
        };
        let until = Instant::now() + pauses.pause(fastrand::f64());
        self.down = Some(Down { until, why: why.to_owned(), pauses });
    }
}

/// A lock whose holder never panics while what it guards is half done.
pub(super) fn held<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}
