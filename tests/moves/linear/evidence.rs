//! Operations of which nobody was told the outcome, but which had one: somebody saw the value that they wrote.
//!
//! Such a write took effect before the reply that shows it, so it has an end after all, and cannot be left out. Without
//! this, every lost reply would double what the search has to look at for the rest of the history.

use std::collections::HashMap;

use super::history::{Call, Op, Reply};

/// The operations in the order of their begin, those ended of which there is evidence. Reads without a reply say nothing
/// and are left out.
pub fn close(ops: &[Op]) -> Vec<Op> {
    let mut shown: HashMap<u64, u64> = HashMap::new();
    for op in ops {
        let (Some(end), Some(reply)) = (op.end, &op.reply) else { continue };
        for id in seen(&op.call, reply) {
            shown.entry(id).and_modify(|first| *first = end.min(*first)).or_insert(end);
        }
    }
    let mut closed: Vec<Op> = ops.iter().filter(|op| op.reply.is_some() || !op.call.only_reads()).cloned().collect();
    for op in &mut closed {
        if op.reply.is_none() {
            op.end =
                written(&op.call).iter().filter_map(|id| shown.get(id)).min().copied().filter(|end| *end >= op.begin);
        }
    }
    closed.sort_by_key(|op| (op.begin, op.end.unwrap_or(u64::MAX)));
    closed
}

/// The operation that wrote what the reply of `op` shows.
pub fn origin<'a>(ops: &'a [Op], op: &Op) -> Option<&'a Op> {
    let shown = seen(&op.call, op.reply.as_ref()?);
    ops.iter().find(|other| written(&other.call).iter().any(|id| shown.contains(id)))
}

/// The values that a reply shows.
fn seen(call: &Call, reply: &Reply) -> Vec<u64> {
    let old = if let (Call::Cas { old: Some(old), .. }, Reply::Done) = (call, reply) { Some(*old) } else { None };
    match reply {
        Reply::Value(id) => vec![*id],
        Reply::Items(ids) => ids.clone(),
        _ => old.into_iter().collect(),
    }
}

/// The values that a call writes.
fn written(call: &Call) -> Vec<u64> {
    match call {
        Call::Set(id) | Call::SetNx(id) | Call::Swap(id) | Call::SetUntil(id, _) | Call::Cas { new: id, .. } => {
            vec![*id]
        }
        Call::Push(ids) => ids.clone(),
        _ => Vec::new(),
    }
}
