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
        scan::{Cursor, Of, Step, tag},
    },
    pipe::{PipeId, State},
    resp::{Proto, encode},
    route::NodeId,
};

impl Core {
    /// One step of SCAN: the cursor says which node, and where there.
    pub(in crate::traffic::core) fn scan(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
        let topology = std::sync::Arc::clone(&self.snapshot.topology);
        let (nodes, layout) = (topology.members(), topology.layout());
        let asked = number(request.arg(1)).map(|cursor| Cursor::of_keyspace(cursor, nodes, layout));
        let cursor = asked.map(|cursor| {
            // A run that did not give it: the node's, or keys have moved meanwhile; the whole scan starts over.
            let holds = cursor.position == 0
                || self.known_run(key, cursor.node).is_none_or(|run| cursor.holds_in(tag(Of::Keyspace, run, layout)));
            if holds { cursor } else { Cursor::start(nodes) }
        });
        let node = match cursor {
            Some(cursor) => cursor.node,
            // No number: the node's own error.
            None => self.any_live_node().unwrap_or(nodes[0]),
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
        let layout = self.snapshot.topology.layout();
        let Some(cursor) = cursor else {
            let step = Step { of, sent: None, pipe, layout };
            return self.send_to(key, Kind::Scan(step), true, node, |out| out.extend_from_slice(request.bytes));
        };
        // While it is being connected the position is sent on trust: the reply is judged by the run that gives it.
        let known = pipe.and_then(|id| self.run_of_pipe(id));
        let holds = cursor.position > 0 && known.is_none_or(|run| cursor.holds_in(tag(of, run, layout)));
        let (sent, position) = if holds { (Some(cursor.run), cursor.position) } else { (None, 0) };
        self.send_to(key, Kind::Scan(Step { of, sent, pipe, layout }), true, node, |out| {
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

    /// The run of `node` over which the session's next step would go, if that is known by now.
    fn known_run(&mut self, key: ClientKey, node: NodeId) -> Option<u32> {
        let pipe = self.pipe_to(key, node).ok()?;
        self.run_of_pipe(pipe)
    }

    /// The run that a pipe is connected to; `None`: it is not connected.
    fn run_of_pipe(&self, id: PipeId) -> Option<u32> {
        let pipe = &self.pipes[id.index()];
        (pipe.state == State::Ready).then_some(pipe.run)
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
