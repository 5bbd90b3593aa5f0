//! On-access pulls: many ask, each key is fetched once, many keys in one batch.
//!
//! ```text
//!  want(k) ─ in flight already ─► waits with the others
//!     └──── queue ─► runner (at most two per lane) ─ BATCH keys ─► Lane::batch ─► everybody who waits for them
//!                                                          big ─► a task of its own
//! ```
//! While the runners are busy, keys gather in the queue: batches grow with the load. Big keys hold nobody up but those who
//! want them. Bounded by the sessions that wait: each has at most one request's keys here. Keys that the pass is moving
//! at the same moment are not looked for, nor whether the target has them: it takes only one of the two, and it costs one
//! DUMP. Io.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    big,
    fault::MoveError,
    lane::{BATCH, Lane},
    lines::{Role, held},
    run::{Run, Shared},
};

/// Runners of a lane.
const RUNNERS: usize = 2;

/// What was pulled, or why not.
type Outcome = Result<(), MoveError>;

/// Keys that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    flights: HashMap<Bytes, Vec<oneshot::Sender<Outcome>>>,
    queue: VecDeque<Bytes>,
    runners: usize,
}

/// Pulls `keys`, those of them that move.
pub(super) async fn pull(shared: &Arc<Shared>, run: &Arc<Run>, db: u32, keys: &[Bytes]) -> Outcome {
    let place = &run.stage.place;
    let lanes = keys.iter().filter_map(|key| Some((run.lane(place(key)?, db), key)));
    let waiting: Vec<_> = lanes.map(|(lane, key)| want(shared, run, &lane, key)).collect();
    for answer in waiting {
        answer.await.unwrap_or(Err(MoveError::Stopped))?;
    }
    Ok(())
}

fn want(shared: &Arc<Shared>, run: &Arc<Run>, lane: &Arc<Lane>, key: &Bytes) -> oneshot::Receiver<Outcome> {
    let (sender, receiver) = oneshot::channel();
    let mut wanted = held(&lane.wanted);
    if let Some(others) = wanted.flights.get_mut(key) {
        others.push(sender);
        return receiver;
    }
    // A small slice would keep its whole buffer.
    let key = Bytes::copy_from_slice(key);
    wanted.flights.insert(key.clone(), vec![sender]);
    wanted.queue.push_back(key);
    if wanted.runners < RUNNERS {
        wanted.runners += 1;
        shared.runtime.spawn(serve(Arc::clone(shared), Arc::clone(run), Arc::clone(lane)));
    }
    receiver
}

/// A runner: works until the queue is empty.
async fn serve(shared: Arc<Shared>, run: Arc<Run>, lane: Arc<Lane>) {
    while let Some(keys) = lane.next_keys() {
        match lane.batch(&shared, &run, &keys, Role::Access, run.is_again()).await {
            Ok(batch) => {
                shared.progress.on_access.fetch_add(keys.len() as u64, Relaxed);
                for (key, outcome) in batch.done {
                    lane.finish(&key, &outcome);
                }
                for key in batch.big {
                    let (shared, run, lane) = (Arc::clone(&shared), Arc::clone(&run), Arc::clone(&lane));
                    shared.runtime.clone().spawn(async move {
                        let outcome = big::copy(&shared, &run, &lane, &key, Role::Access).await;
                        lane.finish(&key, &outcome);
                    });
                }
            }
            Err(error) => keys.iter().for_each(|key| lane.finish(key, &Err(error.clone()))),
        }
    }
}

impl Lane {
    /// Keys for a runner; `None`: it may go.
    fn next_keys(&self) -> Option<Vec<Bytes>> {
        let mut wanted = held(&self.wanted);
        let count = wanted.queue.len().min(BATCH);
        if count == 0 {
            wanted.runners -= 1;
            return None;
        }
        Some(wanted.queue.drain(..count).collect())
    }

    fn finish(&self, key: &Bytes, outcome: &Outcome) {
        let waiting = held(&self.wanted).flights.remove(key);
        for sender in waiting.into_iter().flatten() {
            // Fails if whoever asked has gone.
            let _ = sender.send(outcome.clone());
        }
    }
}
