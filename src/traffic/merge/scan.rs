//! SCAN over all nodes behind one cursor.
//!
//! ```text
//!  cursor, 64 bits:   | position at the node (54 bits) | node (10 bits) |      0 = start at the first node, and the end
//! ```
//! One call asks one node. When that node is through (its own cursor is 0) the next call begins at the next node. Keys
//! are named only by their owner, so a left-over copy on another node is never seen and each key comes once. Redis's
//! guarantee holds: what is there from the first call to the last is returned. A node's position is a bucket number and
//! survives a restart of the node. A cursor that no node could have given starts over, as Redis's does. Pure.

use super::{Aggregate, Context, Part, State, gather};
use crate::traffic::{
    resp::{encode, reply::Elements},
    route::NodeId,
    settings::PartialReads,
};

/// Bits of a cursor that name the node.
const NODE_BITS: u32 = 10;

/// Most nodes that a cursor can name.
pub const MAX_NODES: usize = 1 << NODE_BITS;

/// Where a client's cursor points to, among `nodes` nodes: the node, and the cursor to give to it.
#[must_use]
pub fn position(cursor: u64, nodes: usize) -> (NodeId, u64) {
    let node = (cursor & (MAX_NODES as u64 - 1)) as u16;
    if usize::from(node) < nodes { (NodeId(node), cursor >> NODE_BITS) } else { (NodeId(0), 0) }
}

/// The client's cursor after `node` answered `cursor`. `None`: the node's cursor does not fit.
fn next(node: NodeId, cursor: u64, nodes: usize) -> Option<u64> {
    if cursor == 0 {
        let following = node.index() + 1;
        return Some(if following < nodes { following as u64 } else { 0 });
    }
    (cursor >> (64 - NODE_BITS) == 0).then(|| cursor << NODE_BITS | u64::from(node.0))
}

/// Appends the reply of one step: the client's next cursor and the keys that the node owns.
pub(super) fn finish(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let Some(part) = aggregate.parts.first() else { return };
    let nodes = cx.topology.nodes.len();
    if part.state == State::Failed && cx.partial_reads == PartialReads::Nil {
        // The silent node's keys are left out, as for the other reads.
        return write(next(part.node, 0, nodes).unwrap_or(0), 0, &[], out);
    }
    if aggregate.is_error(part) {
        return gather::error_of(aggregate, part, cx, out);
    }
    match step(aggregate.bytes(part), part, cx, nodes) {
        Some((cursor, count, keys)) => write(cursor, count, &keys, out),
        None => encode::error(out, "ERR the node's SCAN cursor has more than 54 bits; scan that node directly"),
    }
}

fn step(reply: &[u8], part: &Part, cx: &Context<'_>, nodes: usize) -> Option<(u64, usize, Vec<u8>)> {
    let mut elements = Elements::of(reply)?;
    let cursor = std::str::from_utf8(gather::bulk(elements.next()?)?).ok()?.parse().ok()?;
    let mut keys = Vec::new();
    let count = gather::owned_keys(elements.next()?, part, cx, &mut keys);
    Some((next(part.node, cursor, nodes)?, count, keys))
}

fn write(cursor: u64, count: usize, keys: &[u8], out: &mut Vec<u8>) {
    encode::array_header(out, 2);
    encode::bulk(out, itoa::Buffer::new().format(cursor).as_bytes());
    encode::array_header(out, count);
    out.extend_from_slice(keys);
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, fixture};
    use super::*;

    #[test]
    fn a_cursor_walks_all_nodes_and_ends_at_zero() {
        assert_eq!(position(0, 3), (NodeId(0), 0));
        assert_eq!(next(NodeId(0), 0, 3), Some(1));
        let middle = next(NodeId(1), 96, 3).unwrap();
        assert_eq!(position(middle, 3), (NodeId(1), 96));
        assert_eq!(next(NodeId(2), 0, 3), Some(0));
        assert_eq!(next(NodeId(1), 1 << 54, 3), None);
        let largest = next(NodeId(1), (1 << 54) - 1, 3).unwrap();
        assert_eq!(position(largest, 3), (NodeId(1), (1 << 54) - 1));
    }

    #[test]
    fn a_cursor_of_no_node_starts_over() {
        assert_eq!(position(7 << NODE_BITS | 9, 3), (NodeId(0), 0));
    }

    #[test]
    fn one_step_answers_the_next_cursor_and_the_keys_of_the_node() {
        let topology = fixture::topology(&["a", "b", "c"]);
        let key = (0..).map(|n| format!("k{n}")).find(|key| topology.owner(key.as_bytes()) == NodeId(0)).unwrap();
        let reply = format!("*2\r\n$1\r\n0\r\n*1\r\n${}\r\n{key}\r\n", key.len());
        let whole = fixture::aggregate(Kind::Scan, &[], &[Ok(&reply)]);
        let expected = format!("*2\r\n$1\r\n1\r\n*1\r\n${}\r\n{key}\r\n", key.len());
        assert_eq!(fixture::finished(&whole, PartialReads::Error), expected);
    }

    #[test]
    fn a_silent_node_is_an_error_or_left_out() {
        let scan = fixture::aggregate(Kind::Scan, &[], &[Err("-NODEDOWN node a\r\n")]);
        assert_eq!(fixture::finished(&scan, PartialReads::Error), "-NODEDOWN node a\r\n");
        assert_eq!(fixture::finished(&scan, PartialReads::Nil), "*2\r\n$1\r\n1\r\n*0\r\n");
    }
}
