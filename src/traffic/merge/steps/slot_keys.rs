//! `CLUSTER COUNTKEYSINSLOT` and `GETKEYSINSLOT`: plain nodes keep no list of a slot's keys, so all keys are looked at,
//! by SCAN, a thousand at a time and at all nodes side by side. Nothing is held but the keys found, once each, which count as
//! held for the client that asked. Pure.

use std::collections::BTreeSet;

use super::{Next, Question, error, error_of, first_failed, request};
use crate::traffic::{
    merge::{Aggregate, Context, gather},
    resp::{encode, reply::Elements},
    route::{NodeId, slot_of},
};

/// Keys that a node looks at per question.
const COUNT: &[u8] = b"1000";

/// How far the scan of one node is.
#[derive(Debug)]
struct Place {
    node: NodeId,
    cursor: u64,
    /// The run that gave the cursor; another one begins anew, see [`crate::traffic::merge::scan`].
    run: u32,
    /// It has no more keys.
    through: bool,
}

/// `CLUSTER COUNTKEYSINSLOT` or `GETKEYSINSLOT` under way.
#[derive(Debug)]
pub struct SlotKeys {
    slot: u16,
    /// Give so many keys; `None`: count them.
    wanted: Option<usize>,
    /// Nodes that are not through.
    places: Vec<Place>,
    /// A scan may name a key twice.
    keys: BTreeSet<Vec<u8>>,
    /// Bytes of memory that they take, about.
    held: usize,
}

/// What a key takes in the set besides its bytes.
const ENTRY: usize = 64;

impl SlotKeys {
    /// The first round, at `nodes`.
    #[must_use]
    pub fn begin(slot: u16, wanted: Option<usize>, nodes: impl Iterator<Item = NodeId>) -> (Self, Vec<Question>) {
        let places = nodes.map(|node| Place { node, cursor: 0, run: 0, through: false }).collect();
        let steps = Self { slot, wanted, places, keys: BTreeSet::new(), held: 0 };
        let questions = steps.questions();
        (steps, questions)
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    fn questions(&self) -> Vec<Question> {
        let ask = |place: &Place| {
            let cursor = place.cursor.to_string();
            Question { node: place.node, request: request(&[b"SCAN", cursor.as_bytes(), b"COUNT", COUNT]) }
        };
        self.places.iter().map(ask).collect()
    }

    pub(super) fn next(&mut self, round: &Aggregate, cx: &Context<'_>, run: &dyn Fn(NodeId) -> u32) -> Next {
        if let Some(part) = first_failed(round) {
            return Next::Answer(error_of(round, part, cx, ""));
        }
        for (part, place) in round.parts.iter().zip(&mut self.places) {
            let Some((cursor, keys)) = step(round.bytes(part)) else {
                return Next::Answer(error("ERR the node's reply is none of a scan"));
            };
            for key in keys {
                let mine = slot_of(key) == self.slot && cx.topology.may_show(place.node, key);
                if mine && self.keys.insert(key.to_vec()) {
                    self.held += key.len() + ENTRY;
                }
            }
            let now = run(place.node);
            let went_on = place.cursor == 0 || place.run == now;
            place.cursor = if went_on { cursor } else { 0 };
            place.run = now;
            place.through = went_on && cursor == 0;
        }
        self.places.retain(|place| !place.through);
        if self.places.is_empty() || self.wanted.is_some_and(|wanted| self.keys.len() >= wanted) {
            return Next::Answer(self.answer());
        }
        Next::Ask(self.questions())
    }

    fn answer(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self.wanted {
            None => encode::integer(&mut out, self.keys.len() as i64),
            Some(wanted) => {
                encode::array_header(&mut out, self.keys.len().min(wanted));
                self.keys.iter().take(wanted).for_each(|key| encode::bulk(&mut out, key));
            }
        }
        out
    }
}

/// The cursor and the keys of a SCAN reply.
fn step(reply: &[u8]) -> Option<(u64, Vec<&[u8]>)> {
    let mut elements = Elements::of(reply)?;
    let cursor = std::str::from_utf8(gather::bulk(elements.next()?)?).ok()?.parse().ok()?;
    Some((cursor, Elements::of(elements.next()?)?.filter_map(gather::bulk).collect()))
}
