//! The way of keys from one node to another, in one db.
//!
//! ```text
//!           ┌ moved before? KNOWN ─ yes ──────────────────────────────────────────► done, marked
//!  keys ────┤                        no, or nobody asks that                        ▲
//!           └► GIVE at the source ─ payload, absent ─► TAKE at the target ──────────┤
//!                        ├─ never moved (way back) ─────────────────────────────────┘
//!                        └─ too big ─► copied in chunks
//! ```
//! An outcome that is unknown (the line broke) is an error; whoever asks again begins with GIVE, and the target's tombstones
//! see to it that a key is restored once. Whether keys have moved before is asked where that is likely: a stage that goes on
//! after a restart, a source that is away. Bounded: [`BATCH`] keys and [`BUDGET`] bytes of payload (and one key more) per
//! call. Io.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::sync::Semaphore;

use super::{
    access::Wanted,
    fault::MoveError,
    lines::{Answer, Role, To, held},
    request::evalsha,
    run::{Run, Shared},
    script::{FENCED, GIVE, KNOWN, TAKE, taken},
};
use crate::traffic::route::NodeId;

/// Most keys of a batch.
pub(super) const BATCH: usize = 128;
/// Payload bytes after which a source leaves the rest to the next call.
const BUDGET: usize = 1 << 20;
/// Batches of the pass in flight on one lane: the source works on the next while the target works on this.
const IN_FLIGHT: usize = 4;

/// One pair of nodes, in one db.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) from: NodeId,
    pub(super) to: NodeId,
    pub(super) db: u32,
    pub(super) wanted: Mutex<Wanted>,
    pub(super) in_flight: Arc<Semaphore>,
}

/// A key as the source has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Payload {
        bytes: Bytes,
        pttl: i64,
    },
    Absent,
    /// Above the bound for one DUMP.
    Big,
    /// The way back: it was never moved.
    Stayed,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) done: Vec<(Bytes, Result<(), MoveError>)>,
    /// To be copied in chunks.
    pub(super) big: Vec<Bytes>,
}

impl Lane {
    pub(super) fn new(from: NodeId, to: NodeId, db: u32) -> Self {
        Self { from, to, db, wanted: Mutex::default(), in_flight: Arc::new(Semaphore::new(IN_FLIGHT)) }
    }

    pub(super) fn source(&self, role: Role) -> To {
        To { node: self.from, db: self.db, role }
    }

    pub(super) fn target(&self, role: Role) -> To {
        To { node: self.to, db: self.db, role }
    }

    /// Moves `keys` and marks what has arrived; `ask_first` spares the source what the target has already. Repeatable.
    pub(super) async fn batch(
        &self,
        shared: &Shared,
        run: &Run,
        keys: &[Bytes],
        role: Role,
        ask_first: bool,
    ) -> Result<Batch, MoveError> {
        let marks = shared.marks_of(run);
        if !shared.settings.safety.marks_behind {
            keys.iter().for_each(|key| marks.mark(self.db, key));
        }
        let outcome = self.bring(shared, run, keys, role, ask_first).await;
        match &outcome {
            Ok(batch) => {
                let arrived = batch.done.iter().filter(|(_, outcome)| outcome.is_ok());
                arrived.for_each(|(key, _)| marks.mark(self.db, key));
            }
            Err(MoveError::Lost { .. }) => marks.void(),
            Err(_) => {}
        }
        outcome
    }

    async fn bring(
        &self,
        shared: &Shared,
        run: &Run,
        keys: &[Bytes],
        role: Role,
        ask_first: bool,
    ) -> Result<Batch, MoveError> {
        run.ensure_open(&shared.lines, self.to, self.db, role).await?;
        let mut batch = Batch::default();
        let mut keys = keys.to_vec();
        let may_ask = shared.settings.safety.tombstones;
        if ask_first && may_ask {
            keys = self.unknown(shared, run, keys, role, &mut batch).await?;
        }
        while !keys.is_empty() {
            let (given, sent) = match self.give(shared, run, &keys, role, shared.settings.big_key_bytes).await {
                Err(error) if role == Role::Access && error.is_down() && may_ask && !ask_first => {
                    // That the source is away is nothing to keys that have arrived.
                    let keys = self.unknown(shared, run, keys, role, &mut batch).await?;
                    batch.done.extend(keys.into_iter().map(|key| (key, Err(error.clone()))));
                    break;
                }
                given => given?,
            };
            let mut given: Vec<(Bytes, Given)> = keys.drain(..given.len().min(keys.len())).zip(given).collect();
            given.retain(|(key, given)| match given {
                Given::Big => {
                    batch.big.push(key.clone());
                    false
                }
                Given::Stayed => {
                    batch.done.push((key.clone(), Ok(())));
                    false
                }
                Given::Payload { .. } | Given::Absent => true,
            });
            if !given.is_empty() {
                self.take(shared, run, given, sent, role, &mut batch).await?;
            }
        }
        Ok(batch)
    }

    /// Moves a key in one piece, however big it is.
    pub(super) async fn whole(&self, shared: &Shared, run: &Run, key: &Bytes, role: Role) -> Result<(), MoveError> {
        let (given, sent) = self.give(shared, run, std::slice::from_ref(key), role, u64::MAX >> 12).await?;
        if given.first() == Some(&Given::Stayed) {
            return Ok(());
        }
        let given = vec![key.clone()].into_iter().zip(given).collect();
        let mut batch = Batch::default();
        self.take(shared, run, given, sent, role, &mut batch).await?;
        batch.done.into_iter().try_for_each(|(_, outcome)| outcome)
    }

    /// Those of `keys` that the target has no tombstone of; the others are done.
    pub(super) async fn unknown(
        &self,
        shared: &Shared,
        run: &Run,
        keys: Vec<Bytes>,
        role: Role,
        batch: &mut Batch,
    ) -> Result<Vec<Bytes>, MoveError> {
        let names = with_set(&run.set, keys.iter());
        let request = evalsha(&KNOWN, names.into_iter(), [run.mark.as_bytes()].into_iter());
        let flags = match shared.lines.run_script(self.target(role), &KNOWN, &request).await? {
            BytesFrame::Array(flags) if flags.len() == keys.len() => flags,
            BytesFrame::SimpleString(word) if word == FENCED => return Err(run.lost(&shared.lines, self.to)),
            _ => return Err(shared.lines.garbage(self.to, "a look into a set")),
        };
        let mut unknown = Vec::new();
        let before = batch.done.len();
        for (key, flag) in keys.into_iter().zip(flags) {
            match flag {
                BytesFrame::Integer(1) => batch.done.push((key, Ok(()))),
                _ => unknown.push(key),
            }
        }
        if role == Role::Pass && run.resumed {
            // The pass has seen them at their source, and whoever moved them counts no more.
            shared.progress.found_twice(self.from, self.db, (batch.done.len() - before) as u64);
        }
        Ok(unknown)
    }

    /// What the source has of the first of `keys`, at least one; and when it was asked.
    async fn give(
        &self,
        shared: &Shared,
        run: &Run,
        keys: &[Bytes],
        role: Role,
        big: u64,
    ) -> Result<(Vec<Given>, Instant), MoveError> {
        let forward = run.stage.forward_set();
        let set = forward.as_deref().unwrap_or(&run.set);
        give(shared, self.source(role), set, forward.is_some(), keys, big).await
    }

    async fn take(
        &self,
        shared: &Shared,
        run: &Run,
        given: Vec<(Bytes, Given)>,
        sent: Instant,
        role: Role,
        batch: &mut Batch,
    ) -> Result<(), MoveError> {
        let elapsed = i64::try_from(sent.elapsed().as_millis()).unwrap_or(i64::MAX);
        let request = take_request(run, &given, elapsed, shared.settings.safety.tombstones);
        let answers = match shared.lines.run_script(self.target(role), &TAKE, &request).await? {
            BytesFrame::Array(answers) if answers.len() == given.len() => answers,
            BytesFrame::SimpleString(word) if word == FENCED => return Err(run.lost(&shared.lines, self.to)),
            _ => return Err(shared.lines.garbage(self.to, "a restore")),
        };
        let (mut keys, mut bytes) = (0, 0);
        let mut down = None;
        let mut samples = held(&shared.progress.samples);
        for ((key, given), answer) in given.into_iter().zip(answers) {
            let outcome = match answer {
                BytesFrame::Integer(taken::RESTORED) => {
                    keys += 1;
                    if let Given::Payload { bytes: payload, .. } = given {
                        bytes += payload.len() as u64;
                        samples.saw(self.to, self.db, &key, &payload);
                    }
                    Ok(())
                }
                BytesFrame::Integer(taken::ALREADY | taken::ABSENT) => Ok(()),
                BytesFrame::Integer(taken::CONFLICT) => Err(self.conflict(shared, &key)),
                other => Err(self.failed(shared, &other)),
            };
            down = down.or_else(|| outcome.as_ref().err().filter(|error| error.is_down()).cloned());
            batch.done.push((key, outcome));
        }
        drop(samples);
        shared.progress.restored(self.from, self.db, keys, bytes);
        shared.pace.charge(keys, bytes);
        down.map_or(Ok(()), Err)
    }

    pub(super) fn conflict(&self, shared: &Shared, key: &Bytes) -> MoveError {
        MoveError::Conflict { node: self.to, name: shared.lines.name(self.to), db: self.db, key: key.clone() }
    }

    /// The error line with which a key could not be restored, or what is none.
    pub(super) fn failed(&self, shared: &Shared, answer: &BytesFrame) -> MoveError {
        match answer {
            BytesFrame::BulkString(line) | BytesFrame::SimpleString(line) => {
                MoveError::of_line(self.to, &shared.lines.name(self.to), &String::from_utf8_lossy(line))
            }
            _ => shared.lines.garbage(self.to, "a restore"),
        }
    }
}

/// What a node has of the first of `keys`, at least one; and when it was asked. `back`: only what is in `set`.
pub(super) async fn give(
    shared: &Shared,
    to: To,
    set: &str,
    back: bool,
    keys: &[Bytes],
    big: u64,
) -> Result<(Vec<Given>, Instant), MoveError> {
    let args = [if back { "1" } else { "0" }.to_owned(), big.to_string(), BUDGET.to_string()];
    let request = evalsha(&GIVE, with_set(set, keys.iter()).into_iter(), args.iter().map(String::as_bytes));
    let Answer { frame, sent, .. } = shared.lines.run_script_line(to, &GIVE, &request).await?;
    let given = match frame {
        BytesFrame::Array(values) => read_given(values).filter(|given| !given.is_empty()),
        _ => None,
    };
    let given = given.ok_or_else(|| shared.lines.garbage(to.node, "a request for keys"))?;
    Ok((given, sent))
}

/// The keys of a script's call.
pub(super) fn with_set<'a>(set: &'a str, keys: impl ExactSizeIterator<Item = &'a Bytes>) -> Vec<&'a [u8]> {
    let mut names = Vec::with_capacity(1 + keys.len());
    names.push(set.as_bytes());
    names.extend(keys.map(|key| &key[..]));
    names
}

fn take_request(run: &Run, given: &[(Bytes, Given)], elapsed: i64, tombstones: bool) -> Bytes {
    let ttls: Vec<String> = given.iter().map(|(_, given)| left(given, elapsed).to_string()).collect();
    let mut args: Vec<&[u8]> = Vec::with_capacity(3 + 2 * given.len());
    args.extend([run.mark.as_bytes(), run.stage.busy().as_bytes(), if tombstones { b"1" } else { b"0" }]);
    for ((_, given), ttl) in given.iter().zip(&ttls) {
        args.push(ttl.as_bytes());
        args.push(if let Given::Payload { bytes, .. } = given { bytes } else { b"" });
    }
    evalsha(&TAKE, with_set(&run.set, given.iter().map(|(key, _)| key)).into_iter(), args.into_iter())
}

/// The TTL that RESTORE is to set, `elapsed` ms after the key was asked for; 0: none.
fn left(given: &Given, elapsed: i64) -> i64 {
    match given {
        Given::Payload { pttl, .. } if *pttl >= 0 => pttl.saturating_sub(elapsed).max(1),
        _ => 0,
    }
}

fn read_given(values: Vec<BytesFrame>) -> Option<Vec<Given>> {
    let mut given = Vec::with_capacity(values.len() / 2);
    let mut values = values.into_iter();
    while let Some(value) = values.next() {
        let BytesFrame::Integer(pttl) = values.next()? else { return None };
        given.push(match (value, pttl) {
            (BytesFrame::BulkString(bytes), _) => Given::Payload { bytes, pttl },
            (BytesFrame::Integer(_), _) => Given::Big,
            (BytesFrame::Null, -3) => Given::Stayed,
            (BytesFrame::Null, _) => Given::Absent,
            _ => return None,
        });
    }
    Some(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(pttl: i64) -> Given {
        Given::Payload { bytes: Bytes::from_static(b"x"), pttl }
    }

    #[test]
    fn a_ttl_shrinks_by_the_time_it_was_on_its_way_but_never_to_none() {
        assert_eq!(left(&payload(-1), 50), 0);
        assert_eq!(left(&payload(100), 30), 70);
        assert_eq!(left(&payload(100), 100), 1);
        assert_eq!(left(&payload(0), 0), 1);
        assert_eq!(left(&Given::Absent, 5), 0);
    }

    #[test]
    fn what_a_source_gives_is_read_in_pairs() {
        let (null, int) = (BytesFrame::Null, BytesFrame::Integer);
        let bulk = BytesFrame::BulkString(Bytes::from_static(b"x"));
        let values = vec![bulk.clone(), int(7), null.clone(), int(-2), int(5_000_000), int(0), null, int(-3)];
        let expected = vec![payload(7), Given::Absent, Given::Big, Given::Stayed];
        assert_eq!(read_given(values), Some(expected));
        assert_eq!(read_given(vec![bulk.clone()]), None);
        assert_eq!(read_given(vec![bulk.clone(), bulk]), None);
    }
}
