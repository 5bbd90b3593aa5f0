//! The pass: every key that moves and was not asked for.
//!
//! ```text
//!  each source ─ each db ─ SCAN ─ place ─► batches of a pair ─► Lane::batch, several in flight
//!  way back:              SSCAN of the forward set ─┘
//! ```
//! SCAN gives every key that is there from begin to end, and the source is frozen for the keys that move: none is missed. A
//! cursor means nothing to another process, so a source that has restarted is scanned from the beginning, and a target that
//! has restarted may have lost what was moved: then the whole pass is done again. What is marked as arrived when the scan
//! meets it is passed over. A node that is down is waited for; whatever
//! else goes wrong ends the pass. Bounded: [`super::lane::BATCH`] keys times the batches in flight. Io.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};

use super::{
    big,
    fault::MoveError,
    lane::{BATCH, Lane},
    lines::{Answer, Role, To},
    request::{OURS, command, scanned},
    run::{Run, Shared},
};
use crate::traffic::route::{Arrived, NodeId};

/// COUNT of a SCAN.
pub(super) const COUNT: &str = "1000";
/// The same where there is a rate: clients' requests stand behind it.
const FEW: &str = "500";
/// How often the nodes' own latency is measured.
const PULSE: Duration = Duration::from_millis(100);

/// One whole pass, until one has ended without failures.
pub(super) async fn pass(shared: Arc<Shared>, run: Arc<Run>) -> Result<(), MoveError> {
    let _pulses = pulses(&shared, &run);
    loop {
        let before = restarts(&shared, &run).await?;
        once(&shared, &run).await?;
        if restarts(&shared, &run).await? == before {
            return Ok(());
        }
        tracing::warn!("a target has restarted during the pass; its keys are looked through again");
        run.again.store(true, SeqCst);
    }
}

/// How often the targets have restarted, each asked just now whether it still knows of the move.
async fn restarts(shared: &Shared, run: &Run) -> Result<u64, MoveError> {
    let mut sum = 0;
    for node in run.stage.targets() {
        let to = To { node, db: 0, role: Role::Pass };
        let question = [b"SISMEMBER", run.set.as_bytes(), run.mark.as_bytes()];
        let known = shared.patiently(|| shared.lines.words(to, &question)).await?;
        if known != BytesFrame::Integer(1) {
            return Err(run.lost(&shared.lines, node));
        }
        sum += shared.lines.run(node).map_or(0, |(_, restarts)| restarts);
    }
    Ok(sum)
}

async fn once(shared: &Arc<Shared>, run: &Arc<Run>) -> Result<(), MoveError> {
    let mut scans = JoinSet::new();
    let mut total = 0;
    for node in run.stage.sources() {
        let mut dbs = shared.patiently(|| shared.dbs(node)).await?;
        if let Some(set) = run.stage.forward_set() {
            for (db, keys) in &mut dbs {
                *keys = shared.patiently(|| members(shared, node, *db, &set)).await?;
            }
        }
        total += dbs.iter().map(|(_, keys)| keys).sum::<u64>();
        let (shared, run) = (Arc::clone(shared), Arc::clone(run));
        scans.spawn(async move {
            for (db, _) in dbs {
                Scan::new(&shared, &run, node, db).whole().await?;
            }
            Ok(())
        });
    }
    shared.progress.begin_pass(total);
    while let Some(ended) = scans.join_next().await {
        of_task(ended)?;
    }
    Ok(())
}

/// How many keys the way back has to look at.
async fn members(shared: &Shared, node: NodeId, db: u32, set: &str) -> Result<u64, MoveError> {
    match shared.lines.words(To { node, db, role: Role::Pass }, &["SCARD", set]).await? {
        BytesFrame::Integer(count) => Ok(u64::try_from(count).unwrap_or(0)),
        _ => Err(shared.lines.garbage(node, "SCARD")),
    }
}

fn of_task(ended: Result<Result<(), MoveError>, JoinError>) -> Result<(), MoveError> {
    ended.unwrap_or(Err(MoveError::Stopped))
}

/// The scan of one source's db, with its batches in flight; they end with it.
struct Scan<'a> {
    shared: &'a Arc<Shared>,
    run: &'a Arc<Run>,
    from: To,
    batches: JoinSet<Result<(), MoveError>>,
    /// What has arrived, as it stood when the scan began.
    marks: Arc<Arrived>,
    /// Keys of batches that are not full.
    gathered: HashMap<NodeId, Vec<Bytes>>,
}

impl<'a> Scan<'a> {
    fn new(shared: &'a Arc<Shared>, run: &'a Arc<Run>, node: NodeId, db: u32) -> Self {
        let from = To { node, db, role: Role::Pass };
        let (marks, batches) = (shared.marks_of(run), JoinSet::new());
        Self { shared, run, from, batches, marks, gathered: HashMap::new() }
    }

    async fn whole(mut self) -> Result<(), MoveError> {
        let mut cursor = Bytes::from_static(b"0");
        let mut process: Option<String> = None;
        loop {
            self.shared.pace.wait().await;
            let request = self.request(&cursor);
            let lines = &self.shared.lines;
            let Answer { frame, line, .. } = self.shared.patiently(|| lines.ask_line(self.from, &request)).await?;
            if process.as_deref().is_some_and(|process| process != line.run()) {
                process = Some(line.run().to_owned());
                cursor = Bytes::from_static(b"0");
                continue;
            }
            process.get_or_insert_with(|| line.run().to_owned());
            let (next, keys) = scanned(frame).ok_or_else(|| lines.garbage(self.from.node, "SCAN"))?;
            self.shared.progress.scanned.fetch_add(keys.len() as u64, Relaxed);
            for key in keys {
                self.offer(key).await?;
            }
            while let Some(ended) = self.batches.try_join_next() {
                of_task(ended)?;
            }
            if &next[..] == b"0" {
                break;
            }
            cursor = next;
        }
        for (to, keys) in std::mem::take(&mut self.gathered) {
            self.start(to, keys).await?;
        }
        while let Some(ended) = self.batches.join_next().await {
            of_task(ended)?;
        }
        Ok(())
    }

    fn request(&self, cursor: &[u8]) -> Bytes {
        let count = if self.shared.pace.rate().0 == 0 { COUNT } else { FEW }.as_bytes();
        match self.run.stage.forward_set() {
            Some(set) => command(&[&b"SSCAN"[..], set.as_bytes(), cursor, b"COUNT", count]),
            None => command(&[&b"SCAN"[..], cursor, b"COUNT", count]),
        }
    }

    async fn offer(&mut self, key: Bytes) -> Result<(), MoveError> {
        if key.starts_with(OURS) {
            return Ok(());
        }
        let Some((from, to)) = (self.run.stage.place)(&key) else { return Ok(()) };
        if from != self.from.node {
            return Ok(());
        }
        self.shared.progress.matched.fetch_add(1, Relaxed);
        if self.marks.has(self.from.db, &key) {
            // Somebody has asked for it before.
            return Ok(());
        }
        let keys = self.gathered.entry(to).or_default();
        keys.push(key);
        if keys.len() < self.shared.pace.portion(BATCH) {
            return Ok(());
        }
        let keys = std::mem::take(keys);
        self.start(to, keys).await
    }

    /// Starts a batch as soon as there is room for it.
    async fn start(&mut self, to: NodeId, keys: Vec<Bytes>) -> Result<(), MoveError> {
        self.shared.pace.wait().await;
        let lane = self.run.lane((self.from.node, to), self.from.db);
        let room = Arc::clone(&lane.in_flight).acquire_owned().await;
        let among_all = Arc::clone(&self.shared.in_flight).acquire_owned().await;
        let (Ok(room), Ok(among_all)) = (room, among_all) else { return Err(MoveError::Stopped) };
        let (shared, run) = (Arc::clone(self.shared), Arc::clone(self.run));
        let reserved = shared.pace.reserve(keys.len());
        self.batches.spawn(async move {
            let _room = (room, among_all);
            let ended = carry(&shared, &run, &lane, &keys).await;
            shared.pace.give_back(reserved);
            ended
        });
        Ok(())
    }
}

/// A batch, and the big keys in it.
async fn carry(shared: &Shared, run: &Run, lane: &Lane, keys: &[Bytes]) -> Result<(), MoveError> {
    let ask_first = run.is_again();
    let batch = shared.patiently(|| lane.batch(shared, run, keys, Role::Pass, ask_first)).await?;
    for (_, outcome) in batch.done {
        outcome?;
    }
    for key in &batch.big {
        shared.patiently(|| big::copy(shared, run, lane, key, Role::Pass)).await?;
    }
    Ok(())
}

/// Measures, as long as it is held, how long the nodes take for a PING, on lines with nothing large in front of it.
fn pulses(shared: &Arc<Shared>, run: &Run) -> JoinSet<()> {
    let mut pulses = JoinSet::new();
    for node in run.stage.sources().union(&run.stage.targets()).copied() {
        let shared = Arc::clone(shared);
        pulses.spawn(async move {
            let (ping, to) = (command(&["PING"]), To { node, db: 0, role: Role::Access });
            let mut floor = Duration::MAX;
            loop {
                sleep(PULSE).await;
                let sent = Instant::now();
                if shared.lines.ask(to, &ping).await.is_ok() {
                    shared.pace.felt(&mut floor, sent.elapsed());
                }
            }
        });
    }
    pulses
}
