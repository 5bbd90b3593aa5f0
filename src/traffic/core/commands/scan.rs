//! SCAN over all nodes, and HSCAN, SSCAN, ZSCAN of one key: the cursor says where to go on, and in which run of the node.
//!
//! The meaning of a cursor stands in [`crate::traffic::merge::scan`]. A position is not sent to a run that did not give it,
//! if that is known, and no answer of another run is believed. Pure.

use crate::traffic::{
    client::ClientKey,
    command::Row,
    core::{
        Core,
        dispatch::NoPipe,
        request::{Request, Taken},
    },
    merge::{
        Kind,
        scan::{Cursor, Of, Step},
    },
    pipe::State,
    resp::{Proto, encode},
    route::NodeId,
};

impl Core {
    /// One step of SCAN: the cursor says which node, and where there.
    pub(in crate::traffic::core) fn scan(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
        let cursor = number(request.arg(1)).map(|cursor| Cursor::of_keyspace(cursor, self.snapshot.topology.members()));
        let node = match cursor {
            Some(cursor) => cursor.node,
            // No number: the node's own error.
            None => self.any_live_node().unwrap_or(self.snapshot.topology.members()[0]),
        };
        self.scan_step(key, request, Of::Keyspace, 1, node, cursor)
    }

    /// One step of HSCAN, SSCAN or ZSCAN.
    pub(in crate::traffic::core) fn scan_key(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        if self.snapshot.topology.ring.is_random() {
            // Each step may be at another node, whose run says nothing about the last one.
            return self.by_keys(key, request, row);
        }
        let node = self.snapshot.topology.owner(request.arg(1));
        let cursor = number(request.arg(2)).map(|cursor| Cursor::of_key(cursor, node));
        self.scan_step(key, request, Of::Key, 2, node, cursor)
    }

    /// Sends the request with its argument `at` replaced by the position that `cursor` has at the node as it is now.
    fn scan_step(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        of: Of,
        at: usize,
        node: NodeId,
        cursor: Option<Cursor>,
    ) -> Taken {
        // The pipe over which it will go; whatever is wrong with it is told when it is sent.
        let pipe = match self.pipe_to(key, node) {
            Ok(pipe) => Some(pipe),
            Err(NoPipe::Full(pipe)) => return Taken::Full(pipe),
            Err(NoPipe::Down(_) | NoPipe::NoLease(_)) => None,
        };
        let Some(cursor) = cursor else {
            let step = Step { of, sent: None, pipe };
            return self.send_to(key, Kind::Scan(step), true, node, |out| out.extend_from_slice(request.bytes));
        };
        let run = pipe.map(|id| &self.pipes[id.index()]).filter(|pipe| pipe.state == State::Ready).map(|pipe| pipe.run);
        // While it is being connected the position is sent on trust: the reply is judged by the run that gives it.
        let holds = cursor.position > 0 && run.is_none_or(|run| cursor.holds_in(run));
        let (sent, position) = if holds { (Some(cursor.run), cursor.position) } else { (None, 0) };
        self.send_to(key, Kind::Scan(Step { of, sent, pipe }), true, node, |out| {
            encode::array_header(out, request.args.len());
            for arg in &request.args[..at] {
                out.extend_from_slice(arg.raw(request.bytes));
            }
            encode::bulk(out, itoa::Buffer::new().format(position).as_bytes());
            for arg in &request.args[at + 1..] {
                out.extend_from_slice(arg.raw(request.bytes));
            }
        })
    }

    /// The run that the step's pipe is connected to; 0: not known.
    pub(in crate::traffic::core) fn run_of_step(&self, step: Step) -> u32 {
        step.pipe.map_or(0, |id| self.pipes[id.index()].run)
    }

    /// The run of `node` that the shared pipe for this db and protocol is connected to; 0: not known.
    pub(in crate::traffic::core) fn run_of(&self, node: NodeId, db: u32, proto: Proto) -> u32 {
        self.shared_pipe(node, db, proto).map_or(0, |id| self.pipes[id.index()].run)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
