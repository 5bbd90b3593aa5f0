//! Big keys: copied in chunks under another name, then given their own in one step.
//!
//! ```text
//!  wait for the turn (one copy per target and db) ─ tombstone there? done
//!   └► Plan (type, length) ─► chunk n to circlet:copy:<id>:<random>  ║ meanwhile chunk n+1 from the source
//!                              └ all ─► PTTL again: gone? absent ─► FINISH: nonce, tombstone, length, RENAME, TTL
//! ```
//! No call takes a node longer than [`read::CHUNK`] bytes or [`read::MOST`] elements do (one element is never cut, but for
//! strings). The source is frozen but for expiry, and what is there at the last PTTL was there at every chunk: the copy is
//! whole. Every try has a name and lines of its own, so that a chunk of a broken try that arrives late spoils no other; such
//! names expire by themselves ([`KEEP`]) and are purged. Types of modules are dumped whole, which the log tells. Io.

mod read;
mod stream;

use std::time::{Duration, Instant};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::time::timeout;

use super::{
    fault::MoveError,
    lane::{Batch, Lane, with_set},
    line::Line,
    lines::{Lines, Role},
    request::{command, copies_of, evalsha},
    run::{Run, Shared},
    script::{FENCED, FINISH, taken},
};
use crate::{control::probe::conversation::Trouble, traffic::route::NodeId};
use read::{Reader, Shape};

/// After so long a left-over expires; every chunk prolongs it.
const KEEP: &str = "3600000";
/// Most that the pace may hold up one chunk: far less than a copy is kept.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Copies `key`, and marks it. Repeatable.
pub(super) async fn copy(shared: &Shared, run: &Run, lane: &Lane, key: &Bytes, role: Role) -> Result<(), MoveError> {
    let marks = shared.marks_of(run);
    let outcome = bring(shared, run, lane, key, role).await;
    match &outcome {
        Ok(()) => marks.mark(lane.db, key),
        Err(MoveError::Lost { .. }) => marks.void(),
        Err(_) => {}
    }
    outcome
}

async fn bring(shared: &Shared, run: &Run, lane: &Lane, key: &Bytes, role: Role) -> Result<(), MoveError> {
    let turn = run.turn(lane.to, lane.db);
    let _turn = turn.lock().await;
    run.ensure_open(&shared.lines, lane.to, lane.db, role).await?;
    if shared.settings.safety.tombstones {
        let asked = vec![key.clone()];
        if lane.unknown(shared, run, asked, role, &mut Batch::default()).await?.is_empty() {
            return Ok(());
        }
    }
    let mut source = End::open(&shared.lines, lane.from, lane.db).await?;
    let Some(shape) = Shape::ask(&mut source, key).await? else {
        drop(source);
        return lane.whole(shared, run, key, Role::Whole).await;
    };
    let target = End::open(&shared.lines, lane.to, lane.db).await?;
    let name = format!("{}{:016x}", copies_of(&run.stage.id), fastrand::u64(..));
    let attempt = Attempt { shared, run, lane, key, name: &name, role };
    let outcome = attempt.make(source, &target, shape).await;
    if outcome.is_err() {
        // If this fails too, it expires.
        let _ = target.ask(&["UNLINK", &name]).await;
    }
    outcome
}

/// One try.
struct Attempt<'a> {
    shared: &'a Shared,
    run: &'a Run,
    lane: &'a Lane,
    key: &'a Bytes,
    /// Of the copy.
    name: &'a str,
    role: Role,
}

impl Attempt<'_> {
    async fn make(&self, source: End<'_>, target: &End<'_>, shape: Shape) -> Result<(), MoveError> {
        let length = shape.length();
        let mut reader = Reader::new(source, self.key, self.name, shape);
        let mut bytes = 0;
        let mut chunk = reader.next().await?;
        while let Some(requests) = chunk {
            let size = requests.iter().map(Bytes::len).sum::<usize>() as u64;
            bytes += size;
            let (written, next) = tokio::join!(self.write(target, requests), reader.next());
            written?;
            chunk = next?;
            self.shared.pace.charge(0, size);
            if self.role == Role::Pass {
                // Either way it goes on.
                let _ = timeout(LONGEST_WAIT, self.shared.pace.wait()).await;
            }
        }
        let asked = Instant::now();
        let pttl = reader.pttl().await?;
        if pttl == -2 {
            target.ask(&["UNLINK", self.name]).await?;
            return self.lane.whole(self.shared, self.run, self.key, self.role).await;
        }
        self.finish(target, pttl, asked, length).await?;
        self.shared.progress.copied(self.lane.from, self.lane.db, bytes);
        self.shared.pace.charge(1, 0);
        Ok(())
    }

    /// Writes a chunk and prolongs the life of the copy.
    async fn write(&self, target: &End<'_>, requests: Vec<Bytes>) -> Result<(), MoveError> {
        for request in requests {
            let prolong = command(&["PEXPIRE", self.name, KEEP]);
            let (written, prolonged) = tokio::join!(target.send(request), target.send(prolong));
            written?;
            prolonged?;
        }
        Ok(())
    }

    async fn finish(
        &self,
        target: &End<'_>,
        pttl: i64,
        asked: Instant,
        length: Option<(&'static str, u64)>,
    ) -> Result<(), MoveError> {
        let elapsed = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
        let ttl = if pttl < 0 { 0 } else { pttl.saturating_sub(elapsed).max(1) };
        let tombstones = if self.shared.settings.safety.tombstones { "1" } else { "0" };
        let (question, length) = length.map_or((String::new(), 0), |(word, length)| (word.to_owned(), length));
        let args =
            [&self.run.mark, self.run.stage.busy(), tombstones, &ttl.to_string(), &question, &length.to_string()];
        let keys = [self.key.clone(), Bytes::copy_from_slice(self.name.as_bytes())];
        let request =
            evalsha(&FINISH, with_set(&self.run.set, keys.iter()).into_iter(), args.iter().map(|arg| arg.as_bytes()));
        target.ask(&["SCRIPT", "LOAD", FINISH.text()]).await?;
        match target.send(request).await? {
            BytesFrame::Integer(taken::RESTORED | taken::ALREADY) => Ok(()),
            BytesFrame::Integer(taken::CONFLICT) => Err(self.lane.conflict(self.shared, self.key)),
            BytesFrame::SimpleString(word) if word == FENCED => Err(self.run.lost(&self.shared.lines, self.lane.to)),
            BytesFrame::SimpleString(_) => {
                let why = format!("the copy of '{}' is not whole and is made again", self.key.escape_ascii());
                Err(self.shared.lines.down(self.lane.to, &why))
            }
            other => Err(self.lane.failed(self.shared, &other)),
        }
    }
}

/// One end of a copy: a line of its own.
struct End<'a> {
    lines: &'a Lines,
    node: NodeId,
    line: Line,
}

impl<'a> End<'a> {
    async fn open(lines: &'a Lines, node: NodeId, db: u32) -> Result<Self, MoveError> {
        let line = lines.private(node, db).await?;
        Ok(Self { lines, node, line })
    }

    async fn ask(&self, words: &[impl AsRef<[u8]>]) -> Result<BytesFrame, MoveError> {
        self.send(command(words)).await
    }

    async fn send(&self, request: Bytes) -> Result<BytesFrame, MoveError> {
        let reply = self.line.ask(request).await;
        reply
            .map_err(|trouble: Trouble| self.lines.down(self.node, &trouble.to_string()))
            .and_then(|frame| self.lines.checked(self.node, frame))
    }

    fn garbage(&self, to: &str) -> MoveError {
        self.lines.garbage(self.node, to)
    }
}
