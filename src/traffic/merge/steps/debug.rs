//! `DEBUG`, where every node allows it (`enable-debug-command`). A client of another machine is no local one, although the
//! connection that its command comes over may be. Pure.

use super::{Next, Question, error, error_of, first_failed, pairs, request};
use crate::traffic::{
    command::Gather,
    merge::{Aggregate, Context, Kind, finish_as},
    route::NodeId,
};

/// `DEBUG` under way.
#[derive(Debug)]
pub struct Debug {
    /// What is to be asked once it is allowed; taken then.
    questions: Vec<Question>,
    /// How the replies are put together.
    how: Gather,
    /// The client is on this machine.
    local: bool,
}

impl Debug {
    /// The first round, at `nodes`; `request` goes to `targets` if they allow it.
    #[must_use]
    pub fn begin(
        debug: &[u8],
        targets: &[NodeId],
        how: Gather,
        local: bool,
        nodes: impl Iterator<Item = NodeId>,
    ) -> (Self, Vec<Question>) {
        let may = request(&[b"CONFIG", b"GET", b"enable-debug-command"]);
        let questions = targets.iter().map(|node| Question { node: *node, request: debug.to_vec() }).collect();
        (Self { questions, how, local }, nodes.map(|node| Question { node, request: may.clone() }).collect())
    }

    pub(super) fn only_reads(&self) -> bool {
        !self.questions.is_empty()
    }

    pub(super) fn next(&mut self, round: &Aggregate, cx: &Context<'_>) -> Next {
        if self.questions.is_empty() {
            let mut out = Vec::new();
            finish_as(round, Kind::All(self.how), cx, &mut out);
            return Next::Answer(out);
        }
        if let Some(part) = first_failed(round) {
            return Next::Answer(error_of(round, part, cx, ""));
        }
        for part in &round.parts {
            // A node before Redis 7 has no such parameter and allows it.
            let allowed = pairs(round.bytes(part)).iter().all(|(_, value)| match *value {
                b"yes" => true,
                b"local" => self.local,
                _ => false,
            });
            if !allowed {
                return Next::Answer(error(&format!(
                    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run \
                     it from a local connection, otherwise you need to set this option in the configuration file, and \
                     then restart the server. (node {})",
                    cx.topology.node(part.node).name
                )));
            }
        }
        Next::Ask(std::mem::take(&mut self.questions))
    }
}
