//! `CONFIG SET` on all nodes and of Circlet's own options: all of it, or an error and everything as it was.
//!
//! ```text
//!  Reading ─► Change (Circlet's own) ─► Setting ─► all did ─► Answer
//!                                         │
//!                                         └─ some did ─► PuttingBack ─► Change (as it was) ─► Answer (an error)
//! ```
//! Circlet's own come first: they can surely be put back, and a lower `slowlog-log-slower-than` logs, as in Redis, already
//! the command that sets it.
//! A node sets several parameters together or none, so what is put back is a node's whole set. A node that did not answer
//! may have set them: it is put back too, if it can be reached. Pure.

use super::{Next, Question, all_refuse_alike, error, error_of, first_failed, ok, pairs, request, undone};
use crate::traffic::{
    merge::{Aggregate, Context, State},
    route::NodeId,
};

/// Parameters that Redis lets be changed, where it is configured so, by clients on the same machine only.
const PROTECTED: [&str; 2] = ["dir", "dbfilename"];

/// The parameter that says so.
const PROTECTION: &[u8] = b"enable-protected-configs";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Reading,
    Setting,
    PuttingBack,
}

/// A name and a value.
type Pair = (Vec<u8>, Vec<u8>);

/// Options of Circlet and their values.
type Options = Vec<(String, String)>;

/// `CONFIG SET` under way.
#[derive(Debug)]
pub struct ConfigSet {
    phase: Phase,
    /// What the nodes are to set.
    pairs: Vec<Pair>,
    /// What Circlet itself is to set; what is to be put back once it is set.
    own: Options,
    /// What Circlet itself had before.
    old_own: Options,
    /// The client is on this machine.
    local: bool,
    /// What each node had before.
    old: Vec<(NodeId, Vec<Pair>)>,
    /// Who failed, and its error line without its end.
    failed: Option<(NodeId, Vec<u8>)>,
    /// The reply, once it only waits for Circlet's own options.
    answer: Option<Vec<u8>>,
}

impl ConfigSet {
    /// The first round, at `nodes`; at least one of `pairs`. Circlet's own options come with the values they had before.
    #[must_use]
    pub fn begin(
        pairs: Vec<Pair>,
        (own, old_own): (Options, Options),
        local: bool,
        nodes: impl Iterator<Item = NodeId>,
    ) -> (Self, Vec<Question>) {
        // A name with a pattern's characters is no parameter; the node will say so.
        let plain = |name: &&[u8]| !name.iter().any(|byte| b"*?[\\".contains(byte));
        let mut words: Vec<&[u8]> = vec![b"CONFIG", b"GET"];
        words.extend(pairs.iter().map(|(name, _)| name.as_slice()).filter(plain));
        let protected = |(name, _): &Pair| PROTECTED.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()));
        if pairs.iter().any(protected) || words.len() == 2 {
            words.push(PROTECTION);
        }
        let read = request(&words);
        let questions = nodes.map(|node| Question { node, request: read.clone() }).collect();
        let old = Vec::new();
        (Self { phase: Phase::Reading, pairs, own, old_own, local, old, failed: None, answer: None }, questions)
    }

    pub(super) fn sets(&self) -> bool {
        self.phase == Phase::Setting
    }

    pub(super) fn only_reads(&self) -> bool {
        self.phase == Phase::Reading
    }

    pub(super) fn next(&mut self, round: &Aggregate, cx: &Context<'_>) -> Next {
        match self.phase {
            Phase::Reading => self.read(round, cx),
            Phase::Setting => self.set(round, cx),
            Phase::PuttingBack => self.put_back(round, cx),
        }
    }

    fn read(&mut self, round: &Aggregate, cx: &Context<'_>) -> Next {
        if let Some(part) = first_failed(round) {
            return Next::Answer(error_of(round, part, cx, "; nothing was set"));
        }
        for part in &round.parts {
            let values = pairs(round.bytes(part));
            let guarded = values.iter().any(|(name, value)| *name == PROTECTION && *value == b"local");
            let wanted = PROTECTED.iter().find(|word| self.names(word));
            if let (true, false, Some(name)) = (guarded, self.local, wanted) {
                return Next::Answer(error(&format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set protected config"
                )));
            }
            let old = values.iter().filter(|(name, _)| *name != PROTECTION);
            self.old.push((part.node, old.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()));
        }
        if self.own.is_empty() { self.ask_all() } else { Next::Change(self.own.clone()) }
    }

    /// Asks every node to set it.
    fn ask_all(&mut self) -> Next {
        self.phase = Phase::Setting;
        let set = set_request(&self.pairs);
        Next::Ask(self.old.iter().map(|(node, _)| Question { node: *node, request: set.clone() }).collect())
    }

    fn names(&self, word: &str) -> bool {
        self.pairs.iter().any(|(name, _)| name.eq_ignore_ascii_case(word.as_bytes()))
    }

    fn set(&mut self, round: &Aggregate, cx: &Context<'_>) -> Next {
        let Some(failed) = first_failed(round) else {
            return Next::Answer(ok());
        };
        if all_refuse_alike(round) {
            return self.give_up(round.bytes(failed).to_vec());
        }
        self.failed = Some((failed.node, error_of(round, failed, cx, "").trim_ascii_end().to_vec()));
        let refused = |node: NodeId| {
            round.parts.iter().any(|part| part.node == node && part.state == State::Replied && round.is_error(part))
        };
        self.ask_back(refused)
    }

    /// Asks every node for its old values, except where `unchanged`.
    fn ask_back(&mut self, unchanged: impl Fn(NodeId) -> bool) -> Next {
        self.phase = Phase::PuttingBack;
        let back = self.old.iter().filter(|(node, old)| !unchanged(*node) && !old.is_empty());
        let questions: Vec<Question> =
            back.map(|(node, old)| Question { node: *node, request: set_request(old) }).collect();
        if questions.is_empty() { self.give_up(self.refusal("; nothing was set")) } else { Next::Ask(questions) }
    }

    /// Circlet's own options were changed, or could not be; or they are as they were.
    pub(super) fn changed(&mut self, result: Result<(), String>) -> Next {
        match (self.answer.take(), result) {
            (Some(answer), _) => Next::Answer(answer),
            (None, Ok(())) => self.ask_all(),
            (None, Err(text)) => Next::Answer(error(&text)),
        }
    }

    fn put_back(&mut self, round: &Aggregate, cx: &Context<'_>) -> Next {
        let culprit = self.failed.as_ref().map_or(NodeId(u16::MAX), |(node, _)| *node);
        self.give_up(self.refusal(&undone(round, cx, culprit, "put back")))
    }

    /// Answers with an error, once Circlet's own options are as they were.
    fn give_up(&mut self, answer: Vec<u8>) -> Next {
        if self.old_own.is_empty() {
            return Next::Answer(answer);
        }
        self.answer = Some(answer);
        Next::Change(std::mem::take(&mut self.old_own))
    }

    fn refusal(&self, more: &str) -> Vec<u8> {
        let mut line = self.failed.as_ref().map_or_else(Vec::new, |(_, line)| line.clone());
        line.extend_from_slice(more.as_bytes());
        line.extend_from_slice(b"\r\n");
        line
    }
}

fn set_request(pairs: &[Pair]) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![b"CONFIG", b"SET"];
    words.extend(pairs.iter().flat_map(|(name, value)| [name.as_slice(), value]));
    request(&words)
}
