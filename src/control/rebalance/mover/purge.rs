//! The purge: keys that a node no longer owns, deleted at the rate of the move unless nobody would notice.
//!
//! Only where no request goes to: the caller sees to that. Circlet's own keys stay, but for what an interrupted copy has
//! left behind. A node that is down is waited for; one that restarts is scanned from the beginning. Bounded: one SCAN's keys
//! per node. Io.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    fault::MoveError,
    lines::{Answer, Role, To},
    pass::COUNT,
    request::{COPY, OURS, command, copies_of, scanned},
    run::Shared,
    seal::unlink,
};
use crate::traffic::route::NodeId;

/// How fast a purge goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// At the rate of the move: clients are served there.
    Paced,
    /// As fast as the node can: nobody is served there, or clients wait for it.
    Full,
}

/// Whether a key is to be deleted at a node.
pub type Doomed = Arc<dyn Fn(NodeId, &[u8]) -> bool + Send + Sync>;

/// Purges all `nodes` side by side.
pub(super) async fn purge(
    shared: Arc<Shared>,
    nodes: Vec<NodeId>,
    doomed: Doomed,
    haste: Haste,
) -> Result<(), MoveError> {
    let mut purges = JoinSet::new();
    for node in nodes {
        let (shared, doomed) = (Arc::clone(&shared), Arc::clone(&doomed));
        purges.spawn(async move {
            for (db, _) in shared.patiently(|| shared.dbs(node)).await? {
                purge_db(&shared, To { node, db, role: Role::Pass }, &doomed, haste).await?;
            }
            Ok(())
        });
    }
    while let Some(ended) = purges.join_next().await {
        ended.unwrap_or(Err(MoveError::Stopped))?;
    }
    Ok(())
}

async fn purge_db(shared: &Shared, to: To, doomed: &Doomed, haste: Haste) -> Result<(), MoveError> {
    let mut cursor = Bytes::from_static(b"0");
    let mut process: Option<String> = None;
    loop {
        if haste == Haste::Paced {
            shared.pace.wait().await;
        }
        let request = command(&[&b"SCAN"[..], &cursor, b"COUNT", COUNT.as_bytes()]);
        let Answer { frame, line, .. } = shared.patiently(|| shared.lines.ask_line(to, &request)).await?;
        let same = process.as_deref().is_none_or(|process| process == line.run());
        process = Some(line.run().to_owned());
        let (next, mut keys) = scanned(frame).ok_or_else(|| shared.lines.garbage(to.node, "SCAN"))?;
        keys.retain(|key| if key.starts_with(OURS) { left_over(shared, key) } else { doomed(to.node, key) });
        shared.patiently(|| unlink(shared, to, keys.clone())).await?;
        if !same {
            cursor = Bytes::from_static(b"0");
            continue;
        }
        if &next[..] == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

/// A copy in chunks that is no longer being made.
fn left_over(shared: &Shared, key: &[u8]) -> bool {
    let under_way = shared.current().is_ok_and(|run| key.starts_with(copies_of(&run.stage.id).as_bytes()));
    key.starts_with(COPY.as_bytes()) && !under_way
}
