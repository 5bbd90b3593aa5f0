//! Opening and closing a stage: the nonce, without which no restore of it has any effect.
//!
//! db 0 of each target is the anchor: in it the nonce is set first and deleted first; in any other db a set is opened only
//! where the anchor has the nonce. So a target that has lost its memory is never opened again by accident, and once the
//! anchor is gone, nothing that is still under way opens another db. Io.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::{
    fault::MoveError,
    lines::{Role, To},
    request::{OURS, command, evalsha, scanned},
    run::{Run, Shared},
    script::SILENCE,
    stage::{Kind, Opened, Stage, mark_of, moved_of, set_of},
};
use crate::traffic::route::NodeId;

/// Opens; see [`super::Mover::open`].
pub(super) async fn open(
    shared: &Arc<Shared>,
    stage: Arc<Stage>,
    recorded: Option<&Opened>,
) -> Result<(Arc<Run>, Opened), MoveError> {
    shared.lines.learn(&stage.nodes);
    for (node, run) in recorded.iter().flat_map(|opened| &opened.runs) {
        shared.lines.expect_run(*node, run);
        shared.lines.watch(true);
    }
    if let Kind::Back { forward } = &stage.kind {
        for node in stage.sources() {
            silence(shared, node, forward).await?;
        }
    }
    if let Some(former) = &stage.replaces {
        let words = ["SREM".to_owned(), stage.set(), mark_of(former)];
        for node in stage.targets() {
            in_every_db(shared, node, &words).await?;
        }
    }
    let mut known = 0;
    for node in stage.targets() {
        known += anchor(shared, &stage, node, recorded.is_some()).await?;
    }
    // What this process has moved is counted already.
    let resumed = recorded.is_some() && shared.progress.twice().is_empty();
    let run = Arc::new(Run::new(Arc::clone(&stage), recorded.is_some() || known > 0, resumed));
    let mut opened = recorded.cloned().unwrap_or_default();
    if recorded.is_none() {
        for (from, to) in &stage.pairs {
            for (db, _) in shared.dbs(*from).await? {
                run.ensure_open(&shared.lines, *to, db, Role::Pass).await?;
            }
        }
        opened.runs = runs(shared, &stage);
    }
    // Every node of the stage has been asked something by now: what has happened before is no news.
    shared.lines.watch(true);
    shared.progress.begin_pass(0);
    Ok((run, opened))
}

/// Sets the nonce in db 0, or sees whether it is still there; gives the number of keys that were moved before.
async fn anchor(shared: &Shared, stage: &Stage, node: NodeId, must_be_there: bool) -> Result<u64, MoveError> {
    let to = To { node, db: 0, role: Role::Pass };
    let (set, mark) = (stage.set(), stage.mark());
    if must_be_there {
        let there = shared.lines.words(to, &["SISMEMBER", &set, &mark]).await?;
        if there != BytesFrame::Integer(1) {
            return Err(MoveError::Lost { node, name: shared.lines.name(node) });
        }
    } else {
        shared.lines.words(to, &["SADD", &set, &mark]).await?;
    }
    match shared.lines.words(to, &["SCARD", &set]).await? {
        BytesFrame::Integer(count) => Ok(u64::try_from(count).unwrap_or(0).saturating_sub(1)),
        _ => Err(shared.lines.garbage(node, "SCARD")),
    }
}

fn runs(shared: &Shared, stage: &Stage) -> BTreeMap<NodeId, String> {
    let nodes = stage.sources().into_iter().chain(stage.targets());
    nodes.filter_map(|node| Some((node, shared.lines.run(node)?.0))).collect()
}

/// Takes the forward set out of the way: from now on no restore of that stage has any effect here, with whatever nonce and
/// however late it comes, and no db of it is opened any more.
async fn silence(shared: &Shared, node: NodeId, forward: &str) -> Result<(), MoveError> {
    let keys = [set_of(forward), moved_of(forward)];
    let request = evalsha(&SILENCE, keys.iter().map(String::as_bytes), [].into_iter());
    let to = |db| To { node, db, role: Role::Pass };
    shared.lines.run_script(to(0), &SILENCE, &request).await?;
    for (db, _) in shared.dbs(node).await?.into_iter().filter(|(db, _)| *db != 0) {
        shared.lines.run_script(to(db), &SILENCE, &request).await?;
    }
    Ok(())
}

/// First in db 0, then in every other that is in use by then.
async fn in_every_db(shared: &Shared, node: NodeId, words: &[String]) -> Result<(), MoveError> {
    shared.lines.words(To { node, db: 0, role: Role::Pass }, words).await?;
    for (db, _) in shared.dbs(node).await?.into_iter().filter(|(db, _)| *db != 0) {
        shared.lines.words(To { node, db, role: Role::Pass }, words).await?;
    }
    Ok(())
}

/// Closes; see [`super::Mover::close`].
pub(super) async fn close(shared: &Shared, stage: &Stage) -> Result<(), MoveError> {
    shared.lines.learn(&stage.nodes);
    let unlink = ["UNLINK".to_owned(), stage.set()];
    for node in stage.targets() {
        shared.patiently(|| in_every_db(shared, node, &unlink)).await?;
    }
    shared.lines.watch(false);
    if let Some(forward) = stage.forward_set() {
        for node in stage.sources() {
            for (db, _) in shared.patiently(|| shared.dbs(node)).await? {
                shared.patiently(|| unlink_members(shared, node, db, &forward)).await?;
            }
        }
    }
    Ok(())
}

/// After a way back: the keys that `set` names, then the set. A repetition does no harm: SSCAN begins anew.
async fn unlink_members(shared: &Shared, node: NodeId, db: u32, set: &str) -> Result<(), MoveError> {
    let to = To { node, db, role: Role::Pass };
    let mut cursor = Bytes::from_static(b"0");
    loop {
        shared.pace.wait().await;
        let request = command(&[&b"SSCAN"[..], set.as_bytes(), &cursor, b"COUNT", super::pass::COUNT.as_bytes()]);
        let frame = shared.lines.ask(to, &request).await?;
        let (next, keys) = scanned(frame).ok_or_else(|| shared.lines.garbage(node, "SSCAN"))?;
        unlink(shared, to, keys.into_iter().filter(|key| !key.starts_with(OURS)).collect()).await?;
        if &next[..] == b"0" {
            break;
        }
        cursor = next;
    }
    shared.lines.words(to, &["UNLINK", set]).await.map(drop)
}

/// Deletes `keys`, however many, and counts what was there.
pub(super) async fn unlink(shared: &Shared, to: To, keys: Vec<Bytes>) -> Result<(), MoveError> {
    for chunk in keys.chunks(super::lane::BATCH) {
        let mut words: Vec<&[u8]> = vec![b"UNLINK"];
        words.extend(chunk.iter().map(|key| &key[..]));
        if let BytesFrame::Integer(count) = shared.lines.words(to, &words).await? {
            let count = u64::try_from(count).unwrap_or(0);
            shared.progress.gone(to.node, to.db, count);
            shared.pace.charge(count, 0);
        }
    }
    Ok(())
}
