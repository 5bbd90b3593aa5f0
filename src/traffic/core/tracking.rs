//! CLIENT TRACKING at work: a session's own connections to nodes, and what comes over them.
//!
//! ```text
//!                 commands             ┌──► data ──► node a        data: says CLIENT TRACKING ON in its handshake
//!  session ──────────────► one link ───┤      │ RESP3: invalidations
//!     ▲  pushes            per node    └··· ear ◄─── node a        ear: RESP3, only where data speaks RESP2
//!     └────────────────────────────────────┴─► another session (REDIRECT, of any worker)
//! ```
//! All commands of a tracking session go over its own connections, on which the node tracks exactly what it would track
//! for a client of its own: modes, CACHING and NOLOOP are Redis's. A link is opened at the first command for its node;
//! with BCAST all of them at once, and CLIENT TRACKING is answered when they are there.
//!
//! Invariants: a value never leaves over a connection that does not track it: a node that refuses CLIENT TRACKING has
//! refused the connection. A link that is lost takes what was tracked on it with it, so whoever listens is told to
//! forget everything; the next command opens a new one, with BCAST the next tick. A link of another db or protocol is
//! opened beside the old one, which goes on to tell about what was read over it: with several, NOLOOP holds within each of
//! them only, and BCAST tells twice. None is ever used by another session. Bounded by the leases. Pure.
//!
//! A connection that only listens would not notice that its node has been started anew and knows nothing of it: whenever
//! the shared connection to a node breaks, the listening ones are asked for a sign of life.
//!
//! A RESP2 session without REDIRECT could not be told anything: it has no link, and is told to forget everything when
//! it switches to RESP3.

use bytes::Bytes;

use super::{Core, Message, dispatch::NoPipe, lease::NoLease};
use crate::traffic::{
    client::{Client, ClientKey, Modes, Pause, Record, Reply, Tracked, Tracking},
    pipe::{Holder, PipeId, State},
    refusal::Refusal,
    resp::{Elements, Proto, encode},
    route::NodeId,
};

/// The name under which a connection that cannot be had is refused.
const NAME: &str = "client|tracking";

impl Core {
    /// The pipe for a command of a session with [`Modes::TRACKING`].
    pub(super) fn tracked_pipe(&mut self, key: ClientKey, node: NodeId) -> Result<PipeId, NoPipe> {
        let id = match self.tracked_link(key, node) {
            Ok(Some(id)) => id,
            Ok(None) => {
                let (db, proto) = self.client(key).map_or((0, Proto::Resp2), |client| (client.db, client.proto));
                return self.pipe_for(node, db, proto);
            }
            Err(NoLease::Down(why)) => return Err(NoPipe::Down(why)),
            Err(limit) => return Err(NoPipe::NoLease(limit)),
        };
        let pipe = &self.pipes[id.index()];
        let limits = &self.settings.pipe;
        let full = pipe.inflight.len() >= limits.max_in_flight || pipe.out.len() >= limits.max_unsent;
        if full { Err(NoPipe::Full(id)) } else { Ok(id) }
    }

    /// The session's own connection to `node`, opened if need be; `None`: it needs none.
    pub(super) fn tracked_link(&mut self, key: ClientKey, node: NodeId) -> Result<Option<PipeId>, NoLease> {
        self.link_to(key, node, true)
    }

    /// As [`Core::tracked_link`]; `late`: what BCAST has missed if it has to be opened must be made good.
    fn link_to(&mut self, key: ClientKey, node: NodeId, late: bool) -> Result<Option<PipeId>, NoLease> {
        let Some(client) = self.client(key) else { return Ok(None) };
        let Some(tracking) = client.tracking().filter(|tracking| tracking.is_heard(client.proto)) else {
            return Ok(None);
        };
        if let Some(link) = tracking.link(node, client.db, client.proto) {
            return Ok(Some(link.data));
        }
        if let Some(refused) = tracking.refused.iter().find(|refused| refused.node == node)
            && self.now_us < refused.until_us
        {
            return Err(NoLease::Down(refused.why.clone()));
        }
        let late = late && tracking.mode.bcast && tracking.links.iter().all(|link| link.node != node);
        self.open_link(key, node, late).map(Some)
    }

    fn open_link(&mut self, key: ClientKey, node: NodeId, late: bool) -> Result<PipeId, NoLease> {
        let (db, proto) = self.client(key).map_or((0, Proto::Resp2), |client| (client.db, client.proto));
        let data = self.lease_fresh(key, node, db, proto)?;
        let ear = match proto {
            Proto::Resp3 => None,
            Proto::Resp2 => match self.lease_fresh(key, node, 0, Proto::Resp3) {
                Ok(ear) => Some(ear),
                Err(why) => {
                    self.close_lease(data);
                    return Err(why);
                }
            },
        };
        let Some(tracking) = self.client_mut(key).and_then(|client| client.tracking_mut()) else {
            return Err(NoLease::SessionLimit(0));
        };
        tracking.links.push(Tracked { node, db, proto, data, ear, late });
        match ear {
            Some(ear) => self.connect_lease(ear),
            None => self.connect_tracking(key, data, None),
        }
        Ok(data)
    }

    /// Opens the connection that carries commands; `ear` is the node's number of the one that hears.
    fn connect_tracking(&mut self, key: ClientKey, data: PipeId, ear: Option<u64>) {
        let Some(tracking) = self.client(key).and_then(|client| client.tracking()) else { return };
        let mut request = Vec::new();
        tracking.write_request(ear, &mut request);
        self.pipes[data.index()].opening = Some(Bytes::from(request));
        self.connect_lease(data);
    }

    /// An own connection of a session is there.
    pub(super) fn tracking_connected(&mut self, id: PipeId) {
        let Holder::Session(key) = self.pipes[id.index()].holder else { return };
        let Some(tracking) = self.client_mut(key).and_then(|client| client.tracking_mut()) else { return };
        let Some(link) = tracking.links.iter_mut().find(|link| link.data == id) else { return };
        let (node, late) = (link.node, std::mem::take(&mut link.late));
        tracking.refused.retain(|refused| refused.node != node);
        if late {
            self.invalidate(key, None);
        }
        self.tracking_starts(key);
    }

    /// The ear of a session is there, so that the connection it belongs to can name it.
    pub(super) fn ear_connected(&mut self, id: PipeId) {
        let Holder::Session(key) = self.pipes[id.index()].holder else { return };
        let Some(tracking) = self.client(key).and_then(|client| client.tracking()) else { return };
        let Some(link) = tracking.links.iter().find(|link| link.ear == Some(id)) else { return };
        let (data, ear) = (link.data, self.pipes[id.index()].node_client);
        if ear == 0 {
            let why =
                "it does not tell the number of a connection (CLIENT ID), to which CLIENT TRACKING could redirect";
            return self.lease_refused(data, why);
        }
        self.connect_tracking(key, data, Some(ear));
    }

    /// An own connection of a session could not be made.
    pub(super) fn tracking_failed(&mut self, id: PipeId, why: &str) {
        let Holder::Session(key) = self.pipes[id.index()].holder else { return };
        let Some(tracking) = self.client_mut(key).and_then(|client| client.tracking_mut()) else { return };
        let Some(link) = tracking.take_link(id) else { return };
        let failures = tracking.refuse(link.node, why).failures;
        let until_us = self.now_us + self.pause_us(failures);
        if let Some(tracking) = self.client_mut(key).and_then(|client| client.tracking_mut()) {
            tracking.refused.iter_mut().filter(|refused| refused.node == link.node).for_each(|r| r.until_us = until_us);
        }
        for other in [Some(link.data), link.ear].into_iter().flatten().filter(|other| *other != id) {
            match self.pipes[other.index()].state {
                State::Connecting => self.lease_refused(other, why),
                _ => self.close_lease(other),
            }
        }
        self.tracking_starts(key);
    }

    /// A session has lost its connection `id`: what was tracked on it is not known any more.
    pub(super) fn tracking_lost(&mut self, key: ClientKey, id: PipeId) {
        let Some(tracking) = self.client_mut(key).and_then(|client| client.tracking_mut()) else { return };
        let Some(link) = tracking.take_link(id) else { return };
        for other in [Some(link.data), link.ear].into_iter().flatten().filter(|other| *other != id) {
            self.close_lease(other);
        }
        self.invalidate(key, None);
        self.tracking_starts(key);
    }

    /// Puts what is in force into force; connections that are there go on where they can.
    pub(super) fn track(&mut self, key: ClientKey, mut tracking: Tracking) -> Result<(), (NodeId, NoLease)> {
        let Some(client) = self.client_mut(key) else { return Ok(()) };
        let (proto, record) = (client.proto, std::sync::Arc::clone(&client.record));
        let old = client.special_mut().tracking.take();
        client.modes.set(Modes::TRACKING, true);
        let (mut stale, mut missed) = (Vec::new(), false);
        if let Some(mut old) = old {
            // What was read so far without anybody listening was not tracked.
            missed = !old.is_heard(proto) && tracking.is_heard(proto);
            if old.asks_the_same(&tracking) && old.is_heard(proto) == tracking.is_heard(proto) {
                tracking.links = std::mem::take(&mut old.links);
            } else {
                missed |= !old.links.is_empty();
                stale = old.links;
            }
        } else {
            self.counters.tracking += 1;
        }
        let bcast = tracking.mode.bcast;
        record.track(tracking.redirect as i64, bcast);
        if let Some(client) = self.client_mut(key) {
            client.special_mut().tracking = Some(Box::new(tracking));
        }
        self.close_links(key, &stale);
        if missed {
            self.invalidate(key, None);
        }
        if bcast { self.open_ears(key, false) } else { Ok(()) }
    }

    /// Opens the connections of a BCAST session that are missing.
    fn open_ears(&mut self, key: ClientKey, late: bool) -> Result<(), (NodeId, NoLease)> {
        for node in self.nodes() {
            let has = |tracking: &Tracking| tracking.links.iter().any(|link| link.node == node);
            if self.client(key).and_then(|client| client.tracking()).is_none_or(has) {
                continue;
            }
            match self.link_to(key, node, late) {
                // It is opened when the node is there again.
                Ok(_) | Err(NoLease::Down(_)) => {}
                Err(limit) => return Err((node, limit)),
            }
        }
        Ok(())
    }

    /// The session speaks RESP3 from now on. If it tracked already and nobody heard, nothing of it was tracked.
    pub(super) fn hears_from_now_on(&mut self, key: ClientKey) {
        if self.client(key).and_then(|client| client.tracking()).is_some_and(|tracking| tracking.redirect == 0) {
            self.invalidate(key, None);
        }
    }

    /// If tracking was switched on inside a transaction: Redis would have tracked the commands behind it, which a node has
    /// run already.
    pub(super) fn tracks_too_late(&mut self, key: ClientKey) {
        if self.client(key).is_some_and(|client| client.tracking().is_some()) {
            self.invalidate(key, None);
        }
    }

    /// Whether connections of a session are still being made.
    fn tracking_connects(&self, key: ClientKey) -> bool {
        let links = self.client(key).and_then(|client| client.tracking()).map_or(&[][..], |tracking| &tracking.links);
        links.iter().any(|link| self.pipes[link.data.index()].state == State::Connecting)
    }

    /// Answers CLIENT TRACKING, or lets it wait until the connections are there that BCAST needs at once.
    pub(super) fn answer_tracking(&mut self, key: ClientKey) {
        let waits = self.tracking_connects(key)
            && self.client(key).and_then(|client| client.tracking()).is_some_and(|tracking| tracking.mode.bcast);
        let Some(client) = self.client_mut(key) else { return };
        if !waits {
            return self.answer(key, |out| encode::simple(out, "OK"));
        }
        let seq = client.open_slot();
        if client.pause == Pause::No {
            client.pause = Pause::Order;
        }
        if let Some(tracking) = client.tracking_mut() {
            tracking.starting = Some(seq);
        }
    }

    /// A connection of a session has come or failed: if it was the last one, CLIENT TRACKING is answered.
    fn tracking_starts(&mut self, key: ClientKey) {
        let Some(tracking) = self.client(key).and_then(|client| client.tracking()) else { return };
        let Some(seq) = tracking.starting.filter(|_| !self.tracking_connects(key)) else { return };
        // A node that is down has no key that could be read, and is listened to as soon as it is there again.
        let failed = tracking.refused.iter().find(|refused| self.links[refused.node.index()].down.is_none()).cloned();
        let mut text = Vec::new();
        match failed {
            Some(refused) => {
                self.stop_tracking(key);
                let topology = std::sync::Arc::clone(&self.snapshot.topology);
                let refusal = Refusal::NodeDown(topology.node(refused.node), &refused.why);
                self.counters.refusals[refusal.kind() as usize] += 1;
                refusal.write(&mut text);
            }
            None => {
                if let Some(tracking) = self.client_mut(key).and_then(|client| client.tracking_mut()) {
                    tracking.starting = None;
                }
                encode::simple(&mut text, "OK");
            }
        }
        self.fill(key, seq, Reply::Bytes(&text));
    }

    /// Switches tracking off; what was tracked is forgotten without a word, as in Redis.
    pub(super) fn stop_tracking(&mut self, key: ClientKey) {
        let Some(client) = self.client_mut(key) else { return };
        let Some(tracking) = client.special.as_mut().and_then(|special| special.tracking.take()) else { return };
        client.modes.set(Modes::TRACKING, false);
        client.record.track(-1, false);
        self.counters.tracking = self.counters.tracking.saturating_sub(1);
        self.close_links(key, &tracking.links);
    }

    /// Closes connections that track; one over which keys are watched goes on without tracking until they are not any more.
    fn close_links(&mut self, key: ClientKey, links: &[Tracked]) {
        for id in links.iter().flat_map(|link| [Some(link.data), link.ear]).flatten() {
            let special = self.client(key).and_then(|client| client.special.as_deref());
            let watches = special.and_then(|special| special.watch.as_ref()).is_some_and(|watch| watch.pipe == id);
            if watches && self.pipes[id.index()].state == State::Ready {
                self.send_unwanted(id, &[b"CLIENT", b"TRACKING", b"OFF"]);
                let pipe = &mut self.pipes[id.index()];
                (pipe.tracks, pipe.soiled) = (false, true);
            } else {
                self.close_lease(id);
            }
        }
    }

    /// Opens what BCAST sessions have lost. To be called every 100 ms or so.
    pub(super) fn mend_tracking(&mut self) {
        if self.counters.tracking == 0 {
            return;
        }
        let listens = |client: &Client| client.tracking().is_some_and(|tracking| tracking.mode.bcast);
        let key = |(index, client): (usize, &Client)| ClientKey { index: index as u32, generation: client.generation };
        let listeners: Vec<ClientKey> = self.clients.iter().filter(|(_, client)| listens(client)).map(key).collect();
        for key in listeners {
            // Where a limit forbids it now, the next tick tries again.
            drop(self.open_ears(key, true));
        }
    }

    /// The shared connection to a node broke: whether those that track have, too, only a word can tell.
    pub(super) fn ask_tracked(&mut self, node: NodeId) {
        if self.counters.tracking == 0 {
            return;
        }
        for id in (0..self.pipes.len()).map(|index| PipeId(index as u32)) {
            let pipe = &self.pipes[id.index()];
            if pipe.tracks && pipe.node == node && pipe.state == State::Ready && pipe.inflight.is_empty() {
                self.send_unwanted(id, &[b"PING"]);
            }
        }
    }

    /// CLIENT CACHING stands in front of the command on whichever connection the command takes.
    pub(super) fn caching_first(&mut self, key: ClientKey, id: PipeId) {
        let tracking = self.client(key).and_then(|client| client.tracking());
        if self.pipes[id.index()].tracks
            && let Some(word) = tracking.and_then(Tracking::caching_word)
        {
            self.send_unwanted(id, &[b"CLIENT", b"CACHING", word]);
        }
    }

    /// A node has sent something beside replies on a connection that is heard.
    pub(super) fn pushed(&mut self, id: PipeId, frame: &[u8]) {
        let Holder::Session(key) = self.pipes[id.index()].holder else { return };
        let mut elements = Elements::of(frame).into_iter().flatten();
        if let (Some(b"$10\r\ninvalidate\r\n"), Some(keys)) = (elements.next(), elements.next()) {
            let keys = keys.starts_with(b"*").then_some(keys).filter(|keys| !keys.starts_with(b"*-"));
            self.invalidate(key, keys);
        }
    }

    /// Whoever listens for the session `key` must forget these keys, an array; `None`: everything.
    pub(super) fn invalidate(&mut self, key: ClientKey, keys: Option<&[u8]>) {
        let Some(client) = self.client(key) else { return };
        let Some(tracking) = client.tracking() else { return };
        let (redirect, proto) = (tracking.redirect, client.proto);
        let keys = keys.map(Bytes::copy_from_slice);
        if redirect == 0 {
            self.tell_invalidated(key, keys.as_deref());
        } else if let Some(record) = self.registry.get(redirect) {
            self.tell(record.worker, Message::Invalidate { id: redirect, keys });
        } else {
            self.redirection_broken(key, redirect, proto);
        }
    }

    /// Tells the session `key` that these keys have changed, in the way that it can hear.
    pub(super) fn tell_invalidated(&mut self, key: ClientKey, keys: Option<&[u8]>) {
        let Some(client) = self.client(key) else { return };
        let mut frame = Vec::new();
        match client.proto {
            Proto::Resp3 => {
                encode::push_header(&mut frame, 2, Proto::Resp3);
                encode::bulk(&mut frame, b"invalidate");
            }
            Proto::Resp2 if client.record.is_marked(Record::PUBSUB) => {
                encode::array_header(&mut frame, 3);
                encode::bulk(&mut frame, b"message");
                encode::bulk(&mut frame, b"__redis__:invalidate");
            }
            // RESP2 knows messages only between SUBSCRIBE and UNSUBSCRIBE.
            Proto::Resp2 => return,
        }
        match keys {
            Some(keys) => frame.extend_from_slice(keys),
            None => encode::null(&mut frame, client.proto),
        }
        self.counters.invalidations += 1;
        self.push(key, &Bytes::from(frame));
    }

    /// The session that was to be told is gone: the one that tracks is told so, each time, as in Redis.
    fn redirection_broken(&mut self, key: ClientKey, redirect: u64, proto: Proto) {
        let Some(client) = self.client_mut(key) else { return };
        client.record.mark(Record::BROKEN_REDIRECT, true);
        if let Some(tracking) = client.tracking_mut() {
            tracking.broken = true;
        }
        if proto == Proto::Resp3 {
            let mut frame = Vec::new();
            encode::push_header(&mut frame, 2, proto);
            encode::bulk(&mut frame, b"tracking-redir-broken");
            encode::integer(&mut frame, redirect as i64);
            self.push(key, &Bytes::from(frame));
        }
    }

    /// Refuses a command because a session's own connection cannot be had.
    pub(super) fn refuse_tracked(&mut self, key: ClientKey, node: NodeId, why: &NoLease) {
        self.refuse_lease(key, node, NAME, why);
    }
}
