//! What is where, looked up afterwards: keys per node and db, strays, and whether samples of what was moved are as they were.
//!
//! Every node is scanned whole, at the rate of the move; nothing is changed. SCAN may give a key twice while a node
//! enlarges its table, so counts under writes are near the truth, and exact at rest. Io.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use tokio::task::JoinSet;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    fault::MoveError,
    lane::{BATCH, Given, give},
    lines::{Role, To, held},
    pass::COUNT,
    request::{OURS, command, scanned},
    run::Shared,
};
use crate::traffic::route::NodeId;

/// Samples that are kept.
const SAMPLES: usize = 1_000;
/// RDB version and checksum at the end of a DUMP.
const TRAILER: usize = 10;

/// Who owns a key.
pub type OwnerOf = Arc<dyn Fn(&[u8]) -> NodeId + Send + Sync>;

/// Keys of one node in one db.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The node.
    pub node: NodeId,
    /// The db.
    pub db: u32,
    /// Keys that the node owns.
    pub own: u64,
    /// Keys that another node owns: left-overs of a move that was not purged, or written past Circlet.
    pub strays: u64,
}

/// What became of a sample of the keys that were moved last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// Still as they were moved.
    pub same: u64,
    /// Changed since; clients do that.
    pub changed: u64,
    /// Deleted or expired since.
    pub gone: u64,
}

/// What [`super::Mover::verify`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// By node and db.
    pub counts: Vec<Count>,
    /// Of all nodes.
    pub samples: Samples,
}

/// A key as it was moved.
#[derive(Debug)]
struct Sample {
    to: NodeId,
    db: u32,
    key: Bytes,
    digest: u64,
}

/// Some of the keys that were moved, each with the same chance to be among them.
#[derive(Debug, Default)]
pub(super) struct Reservoir {
    seen: usize,
    kept: Vec<Sample>,
}

impl Reservoir {
    /// One more was moved.
    pub(super) fn saw(&mut self, to: NodeId, db: u32, key: &Bytes, payload: &[u8]) {
        self.seen += 1;
        let at = if self.kept.len() < SAMPLES { self.kept.len() } else { fastrand::usize(..self.seen) };
        if at >= SAMPLES {
            return;
        }
        let Some(digest) = digest(payload) else { return };
        let sample = Sample { to, db, key: Bytes::copy_from_slice(key), digest };
        match self.kept.get_mut(at) {
            Some(old) => *old = sample,
            None => self.kept.push(sample),
        }
    }
}

/// Of a DUMP; `None` where equal values may be dumped differently: hash tables have an order of their own on each node.
fn digest(payload: &[u8]) -> Option<u64> {
    const HASH_TABLES: [u8; 4] = [2, 4, 22, 24];
    let value = payload.get(..payload.len().checked_sub(TRAILER)?)?;
    let kind = value.first()?;
    (!HASH_TABLES.contains(kind)).then(|| xxh3_64(value))
}

/// Looks at all of `nodes`.
pub(super) async fn verify(shared: Arc<Shared>, nodes: Vec<NodeId>, owner: OwnerOf) -> Result<Verified, MoveError> {
    let mut scans = JoinSet::new();
    for node in nodes {
        let (shared, owner) = (Arc::clone(&shared), Arc::clone(&owner));
        scans.spawn(async move {
            let mut counts = Vec::new();
            for (db, _) in shared.dbs(node).await? {
                counts.push(count(&shared, To { node, db, role: Role::Pass }, &owner).await?);
            }
            Ok(counts)
        });
    }
    let mut counts = Vec::new();
    while let Some(ended) = scans.join_next().await {
        counts.extend(ended.unwrap_or(Err(MoveError::Stopped))?);
    }
    counts.retain(|count| count.own + count.strays > 0);
    counts.sort_unstable_by_key(|count| (count.node, count.db));
    Ok(Verified { counts, samples: samples(&shared).await? })
}

async fn count(shared: &Shared, to: To, owner: &OwnerOf) -> Result<Count, MoveError> {
    let mut count = Count { node: to.node, db: to.db, own: 0, strays: 0 };
    let mut cursor = Bytes::from_static(b"0");
    loop {
        shared.pace.wait().await;
        let request = command(&[&b"SCAN"[..], &cursor, b"COUNT", COUNT.as_bytes()]);
        let (next, keys) =
            scanned(shared.lines.ask(to, &request).await?).ok_or_else(|| shared.lines.garbage(to.node, "SCAN"))?;
        for key in keys.iter().filter(|key| !key.starts_with(OURS)) {
            let kind = if owner(key) == to.node { &mut count.own } else { &mut count.strays };
            *kind += 1;
        }
        shared.pace.charge(keys.len() as u64, 0);
        if &next[..] == b"0" {
            return Ok(count);
        }
        cursor = next;
    }
}

async fn samples(shared: &Shared) -> Result<Samples, MoveError> {
    let mut at: HashMap<To, Vec<(Bytes, u64)>> = HashMap::new();
    for sample in &held(&shared.progress.samples).kept {
        let to = To { node: sample.to, db: sample.db, role: Role::Pass };
        at.entry(to).or_default().push((sample.key.clone(), sample.digest));
    }
    let mut samples = Samples::default();
    for (to, mut asked) in at {
        while !asked.is_empty() {
            let keys: Vec<Bytes> = asked.iter().take(BATCH).map(|(key, _)| key.clone()).collect();
            let (given, _) = give(shared, to, "", false, &keys, shared.settings.big_key_bytes).await?;
            for ((_, digest_then), given) in asked.drain(..given.len().min(keys.len())).zip(given) {
                match given {
                    Given::Payload { bytes, .. } if digest(&bytes) == Some(digest_then) => samples.same += 1,
                    Given::Absent => samples.gone += 1,
                    Given::Payload { .. } | Given::Big | Given::Stayed => samples.changed += 1,
                }
            }
        }
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_samples_are_kept_and_no_more() {
        let mut reservoir = Reservoir::default();
        for number in 0..5 * SAMPLES {
            reservoir.saw(NodeId(0), 0, &Bytes::from(number.to_string()), b"\0value--trailer-");
        }
        assert_eq!((reservoir.seen, reservoir.kept.len()), (5 * SAMPLES, SAMPLES));
        assert!(reservoir.kept.iter().any(|sample| sample.key.len() == 4), "later keys have a chance too");
    }

    #[test]
    fn a_digest_is_of_the_value_alone() {
        assert_eq!(digest(b"\0value0123456789"), digest(b"\0valueabcdefghij"));
        assert_ne!(digest(b"\0value0123456789"), digest(b"\0other0123456789"));
        assert_eq!(digest(b"\x02value0123456789"), None, "a set in a hash table");
        assert_eq!(digest(b"\x00123456789"), None);
        assert_eq!(digest(b""), None);
    }
}
