//! WATCH and UNWATCH: a connection of its own, as long as the session watches keys.
//!
//! ```text
//!  WATCH ─ earlier replies first ─► lease ─► +OK ─► (the session goes on, over the shared pipes) ─► EXEC, on the lease
//!                                     │                                                       └► UNWATCH, DISCARD, RESET
//!                                     └ lost: EXEC runs nothing and says so
//! ```
//! What a session sends behind WATCH is sent when WATCH is answered, so a value that it reads is not older than the
//! watch. The lease follows the session's db and protocol for as long as one write takes. A session that tracks keys has a
//! connection of its own already, over which it watches, too. Pure.

use crate::traffic::{
    client::{
        ClientKey, Modes, Pause,
        transaction::{Home, Watch},
    },
    command::Row,
    core::{
        Core,
        request::{Request, Taken},
    },
    merge::{Kind, State as PartState},
    pipe::{Entry, Owner, PipeId},
    refusal::Refusal,
    resp::Proto,
};

impl Core {
    /// `WATCH key …`
    pub(super) fn watch(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        let Some(client) = self.client(key) else { return Taken::Yes };
        if client.modes.has(Modes::QUEUEING) {
            self.refuse(key, &Refusal::Redis("ERR WATCH inside MULTI is not allowed"));
            return Taken::Yes;
        }
        if self.awaits_replies(key) {
            return Taken::Later;
        }
        let mut keys = Vec::new();
        if row.find_keys(request.args, request.bytes, self.patterns(), &mut keys).is_err() {
            return self.any(key, request, row);
        }
        let home = match self.home_of(key, request, &keys) {
            Ok(home) => home,
            Err((one, other)) => {
                self.refuse_crossslot(key, &one, other);
                return Taken::Yes;
            }
        };
        if let Some(pipe) = self.watching(key, home, row) {
            self.send_watch(key, request, pipe);
        }
        Taken::Yes
    }

    /// The connection on which this session watches keys, leased if need be; `None`: it was refused.
    fn watching(&mut self, key: ClientKey, home: Option<Home>, row: &Row) -> Option<PipeId> {
        if let Some(watch) = self.client(key)?.special.as_ref().and_then(|special| special.watch.as_ref()) {
            let (lost, node, pipe) = (watch.lost, watch.home.node, watch.pipe);
            if lost {
                let topology = std::sync::Arc::clone(&self.snapshot.topology);
                self.refuse(key, &Refusal::WatchLost(topology.node(node)));
                return None;
            }
            return Some(pipe);
        }
        let home = home?;
        match self.lease(key, home.node) {
            Ok(pipe) => {
                let watch = Watch { pipe, home, holds: false, lost: false, moved: false };
                self.client_mut(key)?.special_mut().watch = Some(watch);
                Some(pipe)
            }
            Err(why) => {
                self.refuse_lease(key, home.node, &row.name, &why);
                None
            }
        }
    }

    fn send_watch(&mut self, key: ClientKey, request: Request<'_>, pipe: PipeId) {
        self.tune(key, pipe, true);
        let (sent_us, node) = (self.now_us as u32, self.pipes[pipe.index()].node);
        let Some(client) = self.client_mut(key) else { return };
        client.pause = Pause::Order;
        let (seq, proto, row) = (client.open_slot(), client.proto, client.command_row());
        let (aggregate, generation) = self.new_aggregate(key, seq, Kind::Watch, proto, true);
        let part = self.aggregates[aggregate].add_part(node);
        let entry = Entry {
            index: aggregate as u32,
            generation,
            seq: part,
            row,
            owner: Owner::Part,
            reads: true,
            ..Entry::unwanted(sent_us)
        };
        self.put(pipe, entry, request);
        self.tune(key, pipe, false);
    }

    /// Lets a session's own connection follow it to another db or protocol, or, not `there`, brings it back to what it was made for.
    pub(super) fn tune(&mut self, key: ClientKey, id: PipeId, there: bool) {
        let Some(client) = self.client(key) else { return };
        let pipe = &self.pipes[id.index()];
        let (db, proto) = if there { (client.db, client.proto) } else { (pipe.db, pipe.proto) };
        let (other_db, other_proto) = (client.db != pipe.db, client.proto != pipe.proto);
        if other_proto {
            let version: &[u8] = if proto == Proto::Resp3 { b"3" } else { b"2" };
            self.send_unwanted(id, &[b"HELLO", version]);
        }
        if other_db {
            self.send_unwanted(id, &[b"SELECT", itoa::Buffer::new().format(db).as_bytes()]);
        }
    }

    /// WATCH is answered, or will never be.
    pub(in crate::traffic::core) fn watch_answered(&mut self, key: ClientKey, state: Option<PartState>, reply: &[u8]) {
        let Some(special) = self.client_mut(key).and_then(|client| client.special.as_deref_mut()) else { return };
        let Some(watch) = &mut special.watch else { return };
        if state == Some(PartState::Replied) && reply.first() != Some(&b'-') {
            watch.holds = true;
        } else if !watch.holds {
            // Nothing is watched. A connection that is lost is not ours any more.
            let pipe = watch.pipe;
            special.watch = None;
            if state == Some(PartState::Replied) {
                self.end_lease(pipe);
            }
        }
    }

    /// `UNWATCH`
    pub(super) fn unwatch(&mut self, key: ClientKey) {
        self.forget_watch(key);
        self.ok(key);
    }

    /// The session watches nothing any more; its connection is given back.
    pub(in crate::traffic::core) fn forget_watch(&mut self, key: ClientKey) {
        let special = self.client_mut(key).and_then(|client| client.special.as_deref_mut());
        let Some(watch) = special.and_then(|special| special.watch.take()) else { return };
        if !watch.lost {
            self.send_unwanted(watch.pipe, &[b"UNWATCH"]);
            let pipe = &mut self.pipes[watch.pipe.index()];
            pipe.ends = !pipe.tracks;
        }
    }

    /// A session's own connection is gone: if it watched keys there, it cannot be told whether they have changed.
    pub(in crate::traffic::core) fn lost_watch(&mut self, key: ClientKey, pipe: PipeId) {
        let Some(special) = self.client_mut(key).and_then(|client| client.special.as_deref_mut()) else { return };
        match &mut special.watch {
            Some(watch) if watch.pipe == pipe && watch.holds => watch.lost = true,
            // The client is told that WATCH failed.
            Some(watch) if watch.pipe == pipe => special.watch = None,
            _ => {}
        }
    }
}
