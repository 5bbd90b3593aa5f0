//! An open stage: its lanes, and in which dbs its sets are open. Io.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::{runtime::Handle, sync, sync::Semaphore, time::sleep};

use super::{
    Settings,
    fault::MoveError,
    lane::Lane,
    lines::{Lines, Role, To, held},
    marks::Marks,
    pace::Pace,
    progress::Progress,
    request::evalsha,
    script::{FENCED, OPEN},
    stage::Stage,
};
use crate::traffic::route::{Arrived, NodeId};

/// Batches of the pass in flight, all pairs together: bounds the memory.
const IN_FLIGHT: usize = 32;
/// Between two tries of what a node cannot do at the moment.
const PAUSE: Duration = Duration::from_millis(50);

/// What everything in the mover stands on.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) lines: Lines,
    pub(super) progress: Progress,
    pub(super) pace: Pace,
    pub(super) runtime: Handle,
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) run: Mutex<Option<Arc<Run>>>,
    pub(super) marks: Arc<Marks>,
}

impl Shared {
    pub(super) fn new(settings: Settings, lines: Lines, marks: Arc<Marks>, runtime: Handle) -> Self {
        let pace = Pace::new(settings.keys_per_second, settings.bytes_per_second);
        let in_flight = Arc::new(Semaphore::new(IN_FLIGHT));
        let run = Mutex::default();
        Self { settings, lines, progress: Progress::default(), pace, runtime, in_flight, run, marks }
    }

    /// Where what arrives with `run` is to be marked; nowhere if another one is open now.
    pub(super) fn marks_of(&self, run: &Run) -> Arc<Arrived> {
        let is_open = held(&self.run).as_ref().is_some_and(|open| std::ptr::eq(&raw const **open, run));
        if is_open { self.marks.now() } else { Arc::default() }
    }

    pub(super) fn current(&self) -> Result<Arc<Run>, MoveError> {
        held(&self.run).clone().ok_or(MoveError::NotOpen)
    }

    /// Works until it works, or fails for good.
    pub(super) async fn patiently<T, F>(&self, mut work: impl FnMut() -> F) -> Result<T, MoveError>
    where
        F: Future<Output = Result<T, MoveError>>,
    {
        let mut waiting = self.progress.waiting();
        loop {
            match work().await {
                Err(error) if error.is_down() => {
                    waiting.tell(error.to_string());
                    sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// The dbs in use at a node, each with its number of keys.
    pub(super) async fn dbs(&self, node: NodeId) -> Result<Vec<(u32, u64)>, MoveError> {
        let info = self.info(node, "keyspace").await?;
        Ok(super::request::dbs(&info))
    }

    /// A section of a node's INFO.
    pub(super) async fn info(&self, node: NodeId, section: &str) -> Result<Bytes, MoveError> {
        let to = To { node, db: 0, role: Role::Pass };
        match self.lines.words(to, &["INFO", section]).await? {
            BytesFrame::BulkString(info) => Ok(info),
            _ => Err(self.lines.garbage(node, "INFO")),
        }
    }
}

/// One chunked copy at a time.
type Turn = Arc<sync::Mutex<()>>;

/// The stage that is open.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) stage: Arc<Stage>,
    pub(super) set: String,
    pub(super) mark: String,
    /// Much was moved before (a restart of Circlet, of a target): the pass asks first what there is to do.
    pub(super) again: AtomicBool,
    /// An earlier process of Circlet has opened it; what that one has moved is counted when the pass comes across it.
    pub(super) resumed: bool,
    lanes: Mutex<HashMap<(NodeId, NodeId, u32), Arc<Lane>>>,
    opened: Mutex<HashSet<(NodeId, u32)>>,
    turns: Mutex<HashMap<(NodeId, u32), Turn>>,
}

impl Run {
    pub(super) fn new(stage: Arc<Stage>, again: bool, resumed: bool) -> Self {
        let (set, mark) = (stage.set(), stage.mark());
        let again = AtomicBool::new(again);
        Self {
            stage,
            set,
            mark,
            again,
            resumed,
            lanes: Mutex::default(),
            opened: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// The lane of a pair in a db.
    pub(super) fn lane(&self, (from, to): (NodeId, NodeId), db: u32) -> Arc<Lane> {
        let mut lanes = held(&self.lanes);
        Arc::clone(lanes.entry((from, to, db)).or_insert_with(|| Arc::new(Lane::new(from, to, db))))
    }

    /// Whoever holds it may copy a key in chunks into that db.
    pub(super) fn turn(&self, node: NodeId, db: u32) -> Turn {
        Arc::clone(held(&self.turns).entry((node, db)).or_default())
    }

    /// Sees to it that the set is open in the target's `db`: an empty db of the source has no keys to move, but keys may be
    /// made at the target, and an abort must find them.
    pub(super) async fn ensure_open(&self, lines: &Lines, node: NodeId, db: u32, role: Role) -> Result<(), MoveError> {
        if held(&self.opened).contains(&(node, db)) {
            return Ok(());
        }
        let args = [self.mark.clone(), db.to_string()];
        let request = evalsha(&OPEN, [self.set.as_bytes()].into_iter(), args.iter().map(String::as_bytes));
        match lines.run_script(To { node, db, role }, &OPEN, &request).await? {
            BytesFrame::SimpleString(word) if word == FENCED => Err(self.lost(lines, node)),
            _ => {
                held(&self.opened).insert((node, db));
                Ok(())
            }
        }
    }

    /// How many nodes have a set of this move in this db; each target has it in db 0, and each node that gives keys back has
    /// that of the way forth.
    pub(super) fn sets_in(&self, db: u32) -> u64 {
        let back = if self.stage.forward_set().is_some() { self.stage.sources().len() } else { 0 };
        match db {
            0 => (self.stage.targets().len() + back) as u64,
            _ => held(&self.opened).iter().filter(|(_, of)| *of == db).count() as u64,
        }
    }

    pub(super) fn lost(&self, lines: &Lines, node: NodeId) -> MoveError {
        held(&self.opened).retain(|(open, _)| *open != node);
        MoveError::Lost { node, name: lines.name(node) }
    }

    pub(super) fn is_again(&self) -> bool {
        self.again.load(SeqCst)
    }
}
