//! `SWAPDB` on all nodes: where only some did it, it is done there once more, which undoes it. Pure.

use super::{Next, Question, all_refuse_alike, error_of, first_failed, ok, undone};
use crate::traffic::{
    merge::{Aggregate, Context},
    route::NodeId,
};

/// `SWAPDB` under way.
#[derive(Debug)]
pub struct SwapDb {
    request: Vec<u8>,
    /// Who failed, and its error line without its end, once the others are being undone.
    failed: Option<(NodeId, Vec<u8>)>,
}

impl SwapDb {
    /// The first round, at `nodes`.
    #[must_use]
    pub fn begin(request: &[u8], nodes: impl Iterator<Item = NodeId>) -> (Self, Vec<Question>) {
        let questions = nodes.map(|node| Question { node, request: request.to_vec() }).collect();
        (Self { request: request.to_vec(), failed: None }, questions)
    }

    pub(super) fn swaps(&self) -> bool {
        self.failed.is_none()
    }

    pub(super) fn next(&mut self, round: &Aggregate, cx: &Context<'_>) -> Next {
        if let Some((culprit, line)) = &self.failed {
            let more = undone(round, cx, *culprit, "swapped back");
            return Next::Answer([line, more.as_bytes(), b"\r\n"].concat());
        }
        let Some(failed) = first_failed(round) else { return Next::Answer(ok()) };
        if all_refuse_alike(round) {
            return Next::Answer(round.bytes(failed).to_vec());
        }
        // A node that did not answer may have swapped or not; swapping again would only turn one into the other.
        let swapped = round.parts.iter().filter(|part| !round.is_error(part));
        let questions: Vec<Question> =
            swapped.map(|part| Question { node: part.node, request: self.request.clone() }).collect();
        if questions.is_empty() {
            return Next::Answer(error_of(round, failed, cx, ""));
        }
        self.failed = Some((failed.node, error_of(round, failed, cx, "").trim_ascii_end().to_vec()));
        Next::Ask(questions)
    }
}
