//! SCAN over all nodes behind one cursor, and cursors that outlive a node's restart and a change of the nodes.
//!
//! ```text
//!  SCAN, 64 bits:          | position at the node (36) | run (18) | node (10) |   0 = start at the first node, and the end
//!  HSCAN, SSCAN, ZSCAN:    | position at the node (46)            | run (18) |   0 = start, and the end
//! ```
//! One call asks one node. When that node is through (its own cursor is 0) the next call begins at the next one: nodes that have left are
//! passed over, and a cursor at one that has left starts over, since its keys are elsewhere now. Keys
//! are named only by their owner, so a left-over copy on another node is never seen.
//!
//! A position is a bucket of a hash table whose seed a Redis draws anew at each start, so it means nothing to the next
//! process of the same node: going on there would miss keys that were there all the time. Behind a proxy nobody sees a
//! node restart, so the cursor itself carries the `run`: 18 bits of a hash of the node's `run_id`, which every connection
//! learns when it is made ([`run_tag`]). Where the run is another one, the scan of that node starts over; keys may then
//! come twice, as Redis allows, and none is missed. Another worker, another Circlet or this one restarted understand the
//! cursor as well. Two runs have the same tag once in 262,143 restarts. A node that does not tell its `run_id` (no right to
//! INFO) has tag 0, and its positions are believed.
//!
//! When keys have moved to a node that the scan has passed, going on would miss them. So SCAN mixes the layout, which node
//! owns what, into the run ([`Topology::layout`](crate::traffic::route::Topology)); where that is another one, the whole scan
//! starts over, and so it does after a node's restart, which looks the same. While keys move both of their nodes show them, so
//! only a part's arrival is such a change. Over the nodes' boundaries the layout alone stands in the place of the run.
//!
//! 36 bits are more buckets than a node has bytes of memory, and a cursor stays below 2^53, which some clients need,
//! up to 33 million buckets. A cursor of no node starts over, as Redis's does. Pure.

use super::{Aggregate, Context, Part, State, gather};
use crate::traffic::{
    pipe::PipeId,
    resp::{encode, reply::Elements},
    route::NodeId,
    settings::PartialReads,
};

/// Bits of a cursor that name the node.
const NODE_BITS: u32 = 10;

/// Bits of a cursor that name the run of the node.
const RUN_BITS: u32 = 18;

/// Most nodes that a cursor can name.
pub const MAX_NODES: usize = 1 << NODE_BITS;

/// What a cursor keeps of a node's `run_id`; never 0, which stands for "not known".
#[must_use]
pub fn run_tag(run_id: &[u8]) -> u32 {
    let hash = xxhash_rust::xxh3::xxh3_64(run_id);
    // The remainder is below 2^18 - 1, so it fits.
    (hash % ((1 << RUN_BITS) - 1)) as u32 + 1
}

/// What is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The keys of all nodes.
    Keyspace,
    /// The elements of one key.
    Key,
}

/// One step of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is scanned.
    pub of: Of,
    /// The run whose position was sent; `None`: the node was asked from its beginning.
    pub sent: Option<u32>,
    /// The pipe over which it went, whose run is that of the answer.
    pub pipe: Option<PipeId>,
    /// Who owned what when it was sent.
    pub layout: u32,
}

/// A client's cursor, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The node it is at.
    pub node: NodeId,
    /// The run of that node that gave the position; 0: not known.
    pub run: u32,
    /// The node's own cursor; 0: from the beginning.
    pub position: u64,
}

impl Cursor {
    /// Reads a cursor of SCAN over `nodes`, ascending; one at a node that is not among them starts over: where its keys are
    /// now may have been passed already.
    #[must_use]
    pub fn of_keyspace(cursor: u64, nodes: &[NodeId], layout: u32) -> Self {
        let node = NodeId((cursor & (MAX_NODES as u64 - 1)) as u16);
        let cursor = Self::of_key(cursor >> NODE_BITS, node);
        let begins = cursor.position == 0;
        if !nodes.contains(&node) || begins && ![0, mixed(0, layout)].contains(&cursor.run) {
            return Self::start(nodes);
        }
        cursor
    }

    /// From the beginning, over `nodes`.
    #[must_use]
    pub fn start(nodes: &[NodeId]) -> Self {
        Self { node: nodes.first().copied().unwrap_or(NodeId(0)), run: 0, position: 0 }
    }

    /// Reads a cursor of HSCAN, SSCAN or ZSCAN of a key of `node`.
    #[must_use]
    pub fn of_key(cursor: u64, node: NodeId) -> Self {
        Self { node, run: (cursor & ((1 << RUN_BITS) - 1)) as u32, position: cursor >> RUN_BITS }
    }

    /// Whether the position means something to what [`tag`] says of the node as it is now.
    #[must_use]
    pub fn holds_in(self, tag: u32) -> bool {
        tag == 0 || tag == self.run
    }

    /// As one number. `None`: the position does not fit.
    fn number(self, of: Of) -> Option<u64> {
        let (shift, low) = match of {
            Of::Keyspace => (NODE_BITS + RUN_BITS, u64::from(self.run) << NODE_BITS | u64::from(self.node.0)),
            Of::Key => (RUN_BITS, u64::from(self.run)),
        };
        (self.position >> (64 - shift) == 0).then(|| self.position << shift | low)
    }
}

/// What a cursor says of the run that gave its position; of a scan of all keys also of the layout, and never 0.
#[must_use]
pub fn tag(of: Of, run: u32, layout: u32) -> u32 {
    match of {
        Of::Key => run,
        Of::Keyspace => mixed(run, layout),
    }
}

fn mixed(run: u32, layout: u32) -> u32 {
    let both = u64::from(run) << 32 | u64::from(layout);
    (xxhash_rust::xxh3::xxh3_64(&both.to_le_bytes()) % ((1 << RUN_BITS) - 1)) as u32 + 1
}

impl Step {
    /// The client's cursor after the run `run` of `node` answered `cursor`, while `layout` holds. `None`: the node's cursor
    /// does not fit.
    fn next(self, node: NodeId, run: u32, cursor: u64, nodes: &[NodeId], layout: u32) -> Option<u64> {
        let following = nodes.partition_point(|other| *other <= node);
        let (all, blank) = (self.of == Of::Keyspace, mixed(0, layout));
        let run = tag(self.of, run, layout);
        let again = || Cursor { run: blank, ..Cursor::start(nodes) }.number(self.of);
        match self.sent {
            // Keys have moved since it was asked.
            _ if all && (self.layout != layout || !nodes.contains(&node)) => again(),
            // Its connection was lost and it was asked again, of another process: start over.
            Some(sent) if all && run != sent => again(),
            Some(sent) if run != 0 && run != sent => Cursor { node, run, position: 0 }.number(self.of),
            _ if cursor == 0 && all => match nodes.get(following) {
                Some(next) => Cursor { node: *next, run: blank, position: 0 }.number(self.of),
                None => Some(0),
            },
            _ if cursor == 0 => Some(0),
            // Where the run is not known, it is still the one that the cursor says.
            sent => Cursor { node, run: sent.unwrap_or(run), position: cursor }.number(self.of),
        }
    }
}

/// Appends the reply of one step: the client's next cursor and what was found.
pub(super) fn finish(aggregate: &Aggregate, step: Step, cx: &Context<'_>, out: &mut Vec<u8>) {
    let Some(part) = aggregate.parts.first() else { return };
    let nodes = cx.topology.members();
    if part.state == State::Failed && cx.partial_reads == PartialReads::Nil && step.of == Of::Keyspace {
        // The silent node's keys are left out, as for the other reads.
        let following = Step { sent: None, ..step }.next(part.node, 0, 0, nodes, cx.topology.layout());
        return write(following.unwrap_or(0), b"*0\r\n", out);
    }
    if aggregate.is_error(part) {
        return gather::error_of(aggregate, part, cx, out);
    }
    match read(aggregate.bytes(part), part, step.of, cx) {
        Some((cursor, found)) => match step.next(part.node, cx.run, cursor, nodes, cx.topology.layout()) {
            Some(next) => write(next, &found, out),
            None => {
                encode::error(out, "ERR the node's cursor has more bits than Circlet's can hold; scan at that node")
            }
        },
        None => encode::error(out, "ERR the node's reply is none of a scan"),
    }
}

/// The node's cursor, and what it found as a frame.
fn read(reply: &[u8], part: &Part, of: Of, cx: &Context<'_>) -> Option<(u64, Vec<u8>)> {
    let mut elements = Elements::of(reply)?;
    let cursor = std::str::from_utf8(gather::bulk(elements.next()?)?).ok()?.parse().ok()?;
    let found = elements.next()?;
    if of == Of::Key {
        return Some((cursor, found.to_vec()));
    }
    let (mut keys, mut frame) = (Vec::new(), Vec::new());
    encode::array_header(&mut frame, gather::owned_keys(found, part, cx, &mut keys));
    frame.extend_from_slice(&keys);
    Some((cursor, frame))
}

fn write(cursor: u64, found: &[u8], out: &mut Vec<u8>) {
    encode::array_header(out, 2);
    encode::bulk(out, itoa::Buffer::new().format(cursor).as_bytes());
    out.extend_from_slice(found);
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, fixture};
    use super::*;

    const START: Step = Step { of: Of::Keyspace, sent: None, pipe: None, layout: 5 };

    fn node(index: u16) -> NodeId {
        NodeId(index)
    }

    fn nodes(count: u16) -> Vec<NodeId> {
        (0..count).map(NodeId).collect()
    }

    /// The cursor at the beginning of a node, in layout 5.
    fn begin_of(index: u16) -> Option<u64> {
        Cursor { node: node(index), run: mixed(0, 5), position: 0 }.number(Of::Keyspace)
    }

    #[test]
    fn a_cursor_walks_all_nodes_and_ends_at_zero() {
        let three = nodes(3);
        assert_eq!(Cursor::of_keyspace(0, &three, 5), Cursor { node: node(0), run: 0, position: 0 });
        assert_eq!(START.next(node(0), 7, 0, &three, 5), begin_of(1));
        let middle = START.next(node(1), 7, 96, &three, 5).unwrap();
        assert_eq!(Cursor::of_keyspace(middle, &three, 5), Cursor { node: node(1), run: mixed(7, 5), position: 96 });
        assert_eq!(START.next(node(2), 7, 0, &three, 5), Some(0));
        assert_eq!(START.next(node(1), 7, 1 << 36, &three, 5), None);
    }

    #[test]
    fn a_cursor_passes_empty_slots_and_starts_over_where_its_node_has_left() {
        let slots = [node(1), node(4), node(5)];
        let begin = Cursor { node: node(1), run: 0, position: 0 };
        assert_eq!(Cursor::of_keyspace(0, &slots, 5), begin);
        assert_eq!(START.next(node(1), 7, 0, &slots, 5), begin_of(4));
        assert_eq!(START.next(node(4), 7, 0, &slots, 5), begin_of(5));
        assert_eq!(START.next(node(5), 7, 0, &slots, 5), Some(0));
        let left = Cursor { node: node(2), run: 7, position: 96 }.number(Of::Keyspace).unwrap();
        assert_eq!(Cursor::of_keyspace(left, &slots, 5), begin);
        // It was asked while it was there.
        for cursor in [0, 96] {
            let over = START.next(node(0), 7, cursor, &nodes(3)[1..], 5).unwrap();
            assert_ne!(over, 0, "that would be the end");
            assert_eq!(Cursor { run: 0, ..Cursor::of_keyspace(over, &slots, 5) }, begin);
        }
        let over = START.next(node(3), 7, 0, &nodes(3), 5).unwrap();
        assert_ne!(over, 0, "that would be the end");
        assert_eq!(Cursor::of_keyspace(over, &nodes(3), 5).node, node(0));
        let of_key = Step { of: Of::Key, sent: None, pipe: None, layout: 5 };
        assert_eq!(of_key.next(node(3), 7, 0, &nodes(3), 5), Some(0), "the elements of one key");
    }

    #[test]
    fn a_scan_starts_over_when_keys_have_moved() {
        let three = nodes(3);
        let (middle, edge) = (START.next(node(1), 7, 96, &three, 5).unwrap(), begin_of(2).unwrap());
        // Between two nodes the cursor itself tells, in the middle of one the tag does.
        assert_eq!(Cursor::of_keyspace(edge, &three, 6), Cursor::start(&three));
        assert_eq!(Cursor::of_keyspace(edge, &three, 5).node, node(2));
        let cursor = Cursor::of_keyspace(middle, &three, 6);
        assert!(!cursor.holds_in(tag(Of::Keyspace, 7, 6)) && cursor.holds_in(tag(Of::Keyspace, 7, 5)));
        // And when they move while a step is under way, also its last one.
        for position in [0, 96] {
            let over = START.next(node(2), 7, position, &three, 6).unwrap();
            assert_ne!(over, 0, "that would be the end");
            let cursor = Cursor::of_keyspace(over, &three, 6);
            assert_eq!((cursor.node, cursor.position), (node(0), 0));
        }
        let of_key = Step { of: Of::Key, ..START };
        assert_eq!(of_key.next(node(2), 7, 96, &three, 6), of_key.next(node(2), 7, 96, &three, 5));
    }

    #[test]
    fn the_largest_cursor_comes_back_whole() {
        let run = (1 << RUN_BITS) - 1;
        let largest = Cursor { node: node(1023), run, position: (1 << 36) - 1 };
        assert_eq!(largest.number(Of::Keyspace), Some(u64::MAX));
        assert_eq!(Cursor::of_keyspace(u64::MAX, &nodes(1024), 5), largest);
        let of_key = Step { of: Of::Key, ..START };
        let of_key = of_key.next(node(1023), run, (1 << 46) - 1, &nodes(1024), 5).unwrap();
        assert_eq!(Cursor::of_key(of_key, node(5)), Cursor { node: node(5), run, position: (1 << 46) - 1 });
        // A table of 33 million buckets, and any run: exact in a 64-bit float too.
        assert!(START.next(node(1023), run, (1 << 25) - 1, &nodes(1024), 5).unwrap() < 1 << 53);
    }

    #[test]
    fn a_cursor_of_no_node_starts_over() {
        let unknown = Cursor { node: node(9), run: 7, position: 7 }.number(Of::Keyspace).unwrap();
        assert_eq!(Cursor::of_keyspace(unknown, &nodes(3), 5), Cursor { node: node(0), run: 0, position: 0 });
    }

    #[test]
    fn a_position_holds_in_its_own_run_only() {
        let cursor = Cursor { node: node(0), run: 7, position: 96 };
        assert!(cursor.holds_in(7));
        assert!(!cursor.holds_in(8));
        assert!(cursor.holds_in(0), "a node that does not tell is believed");
        assert!(!Cursor { run: 0, ..cursor }.holds_in(8));
    }

    #[test]
    fn an_answer_of_another_run_than_the_one_that_was_asked_starts_over() {
        let asked = Step { of: Of::Key, sent: Some(7), ..START };
        let over = asked.next(node(2), 8, 96, &nodes(3), 5).unwrap();
        assert_eq!(Cursor::of_key(over, node(2)), Cursor { node: node(2), run: 8, position: 0 });
        // Also when the other run is through: it was not asked from its beginning.
        assert_eq!(asked.next(node(2), 8, 0, &nodes(3), 5), Some(over));
        let same = asked.next(node(2), 7, 96, &nodes(3), 5);
        assert_eq!(asked.next(node(2), 0, 96, &nodes(3), 5), same, "not known: taken for the same");
        let asked = Step { sent: Some(mixed(7, 5)), ..START };
        for cursor in [0, 96] {
            assert_eq!(asked.next(node(2), 8, cursor, &nodes(3), 5), begin_of(0));
        }
        assert_eq!(asked.next(node(2), 7, 0, &nodes(3), 5), Some(0));
    }

    #[test]
    fn tags_differ_and_none_is_the_unknown_one() {
        let tags: std::collections::BTreeSet<u32> =
            (0..1_000).map(|n| run_tag(format!("{n:040x}").as_bytes())).collect();
        assert!(tags.len() > 990, "{}", tags.len());
        assert!(tags.iter().all(|tag| (1..1 << RUN_BITS).contains(tag)));
    }

    #[test]
    fn one_step_answers_the_next_cursor_and_the_keys_of_the_node() {
        let topology = fixture::topology(&["a", "b", "c"]);
        let key = (0..).map(|n| format!("k{n}")).find(|key| topology.owner(key.as_bytes()) == NodeId(0)).unwrap();
        let reply = format!("*2\r\n$1\r\n0\r\n*1\r\n${}\r\n{key}\r\n", key.len());
        let layout = topology.layout();
        let whole = fixture::aggregate(Kind::Scan(Step { layout, ..START }), &[], &[Ok(&reply)]);
        let next =
            Cursor { node: node(1), run: mixed(0, layout), position: 0 }.number(Of::Keyspace).unwrap().to_string();
        let expected = format!("*2\r\n${}\r\n{next}\r\n*1\r\n${}\r\n{key}\r\n", next.len(), key.len());
        assert_eq!(fixture::finished(&whole, PartialReads::Error), expected);
    }

    #[test]
    fn elements_of_a_key_are_passed_on_as_they_came() {
        let step = Step { of: Of::Key, sent: None, pipe: None, layout: 5 };
        let whole = fixture::aggregate(Kind::Scan(step), &[], &[Ok("*2\r\n$1\r\n3\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n")]);
        let cursor = (3_u64 << RUN_BITS | 7).to_string();
        let expected = format!("*2\r\n${}\r\n{cursor}\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n", cursor.len());
        assert_eq!(fixture::finished_in_run(&whole, PartialReads::Error, 7), expected);
        let down = fixture::aggregate(Kind::Scan(step), &[], &[Err("-NODEDOWN node a\r\n")]);
        assert_eq!(fixture::finished(&down, PartialReads::Nil), "-NODEDOWN node a\r\n");
    }

    #[test]
    fn a_silent_node_is_an_error_or_left_out() {
        let layout = fixture::topology(&["a", "b", "c"]).layout();
        let step = Step { layout, ..START };
        let scan = fixture::aggregate(Kind::Scan(step), &[], &[Err("-NODEDOWN node a\r\n")]);
        assert_eq!(fixture::finished(&scan, PartialReads::Error), "-NODEDOWN node a\r\n");
        let next =
            Cursor { node: node(1), run: mixed(0, layout), position: 0 }.number(Of::Keyspace).unwrap().to_string();
        let left_out = format!("*2\r\n${}\r\n{next}\r\n*0\r\n", next.len());
        assert_eq!(fixture::finished(&scan, PartialReads::Nil), left_out);
    }
}
