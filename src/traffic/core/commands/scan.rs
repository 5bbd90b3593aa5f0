//! SCAN over all nodes, and HSCAN, SSCAN, ZSCAN of one key: the cursor says where to go on, and in which run of the node.
//!
//! The meaning of a cursor stands in [`crate::traffic::merge::scan`]. A position is sent only over a connection to the
//! run that gave it, so while the connection is being made the session waits. Pure.

use crate::traffic::{
    client::ClientKey,
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
        let cursor = number(request.arg(1)).map(|cursor| Cursor::of_keyspace(cursor, self.links.len()));
        let node = match cursor {
            Some(cursor) => cursor.node,
            // No number: the node's own error.
            None => self.any_live_node().unwrap_or(NodeId(0)),
        };
        self.scan_step(key, request, Of::Keyspace, 1, node, cursor)
    }

    /// One step of HSCAN, SSCAN or ZSCAN.
    pub(in crate::traffic::core) fn scan_key(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
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
        let Some(cursor) = cursor else {
            let step = Step { of, sent: None };
            return self.send_to(key, Kind::Scan(step), true, node, |out| out.extend_from_slice(request.bytes));
        };
        let mut sent = None;
        if cursor.position > 0 {
            let Some(client) = self.client(key) else { return Taken::Yes };
            if let Ok(pipe) | Err(NoPipe::Full(pipe)) = self.pipe_for(node, client.db, client.proto) {
                let pipe_is = &self.pipes[pipe.index()];
                if pipe_is.state == State::Connecting {
                    return Taken::Full(pipe);
                }
                sent = cursor.position_in(pipe_is.run).map(|_| cursor.run);
            }
        }
        let position = if sent.is_some() { cursor.position } else { 0 };
        self.send_to(key, Kind::Scan(Step { of, sent }), true, node, |out| {
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

    /// The run of `node` that the shared pipe for this db and protocol is connected to; 0: not known.
    pub(in crate::traffic::core) fn run_of(&self, node: NodeId, db: u32, proto: Proto) -> u32 {
        self.shared_pipe(node, db, proto).map_or(0, |id| self.pipes[id.index()].run)
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
