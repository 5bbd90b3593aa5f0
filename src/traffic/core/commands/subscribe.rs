//! SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites: a session begins and ends to listen.
//!
//! ```text
//!  SUBSCRIBE a b ─ earlier replies first ─► a, b become topics ─► every station heard ─► the session joins both,
//!                                             │                                          its slot is filled
//!                                             └ a station cannot be reached, or refuses: one error, it joins none
//! ```
//! All or nothing: a client that is told an error listens to nothing new. Of a topic that is heard already, what was
//! published before comes first (`core/catch_up.rs`), and goes to the others only; so it does before UNSUBSCRIBE, and goes
//! to the session, too. UNSUBSCRIBE and RESET are confirmed when the nodes have confirmed it, so that nobody counts the
//! session from then on. The session takes no more requests meanwhile ([`Pause::Order`]); an
//! ear that does not answer is given up after `request_timeout`, so the wait ends. With `partial_reads = "nil"` what must
//! be heard at all nodes is confirmed when those that can be reached hear it; the others follow when they return.
//!
//! As in Redis, confirmations are no replies but pushes: CLIENT REPLY OFF does not silence them. Bounded by
//! `max_subscriptions` and `max_subscription_bytes` per session. Pure.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use crate::traffic::{
    client::{Awaiting, ClientKey, Modes, Pause, Record, Reply, ReplyMode},
    command::{Local, Route, Row, Session},
    core::{
        Core,
        request::{Request, Taken},
    },
    pubsub::{Hearing, Kind, Name, Subscriptions, Topic},
    refusal::Refusal,
    resp::{Proto, encode},
    route::NodeId,
    settings::PartialReads,
};

impl Core {
    /// `SUBSCRIBE name …`
    pub(super) fn subscribe(&mut self, key: ClientKey, request: Request<'_>, row: &Row, kind: Kind) -> Taken {
        if self.awaits_replies(key) {
            return Taken::Later;
        }
        if kind == Kind::Shard && self.client(key).is_some_and(|client| client.pause == Pause::Exec) {
            self.refuse(key, &Refusal::Redis("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
            return Taken::Yes;
        }
        let names: Vec<Name> = (1..request.args.len()).map(|at| Name::copy_from_slice(request.arg(at))).collect();
        if let Some((option, limit)) = self.too_many(key, kind, &names) {
            self.refuse(key, &Refusal::SubscriptionLimit(&row.name, option, limit));
            return Taken::Yes;
        }
        if !self.caught_up(key, names.iter().map(|name| (kind, name))) {
            return Taken::Later;
        }
        let mut left = 0;
        for (at, name) in names.iter().enumerate() {
            match self.await_topic(key, kind, name) {
                Ok(due) => left += usize::from(due),
                Err(line) => {
                    self.release_topics(key, kind, &names[..at]);
                    self.counters.refusals[crate::traffic::refusal::Kind::NodeDown as usize] += 1;
                    self.answer(key, |out| out.extend_from_slice(&line));
                    return Taken::Yes;
                }
            }
        }
        if left == 0 {
            let text = self.join(key, kind, &names);
            self.confirm(key, &text);
        } else {
            self.wait_for_nodes(key, left, Some((kind, names)), Vec::new());
        }
        Taken::Yes
    }

    /// The option that these names would go beyond, and its value.
    fn too_many(&self, key: ClientKey, kind: Kind, names: &[Name]) -> Option<(&'static str, usize)> {
        let session = &self.settings.session;
        let has = self.client(key).and_then(|client| client.special.as_ref()).map(|special| &special.subscriptions);
        let fresh: HashSet<&Name> = names.iter().filter(|name| has.is_none_or(|has| !has.has(kind, name))).collect();
        let (count, bytes) = has.map_or((0, 0), |has| (has.len(), has.bytes()));
        if count + fresh.len() > session.max_subscriptions {
            return Some(("session.max_subscriptions", session.max_subscriptions));
        }
        let over = bytes + Subscriptions::would_add(fresh) > session.max_subscription_bytes;
        over.then_some(("session.max_subscription_bytes", session.max_subscription_bytes))
    }

    /// Keeps a topic for a session whose SUBSCRIBE is unanswered; true: it must wait for the topic to be heard.
    fn await_topic(&mut self, key: ClientKey, kind: Kind, name: &Name) -> Result<bool, Vec<u8>> {
        if let Some(line) = self.hopeless(kind, name) {
            return Err(line);
        }
        if self.topics.get(kind, name).is_none() {
            let nodes = self.listens_at(kind, name);
            self.topics.insert(kind, name, nodes.iter().copied());
            nodes.into_iter().for_each(|node| self.open_ear(node));
        }
        self.ask_stations(kind, name);
        let heard = self.topics.get(kind, name).is_some_and(|topic| self.is_heard(topic));
        let Some(topic) = self.topics.get_mut(kind, name) else { return Ok(false) };
        let due = !heard && !topic.waiting.contains_key(&key);
        topic.waiting.entry(key).or_insert(due);
        Ok(due)
    }

    /// Asks those nodes for a topic that have not been asked, or have refused it, as far as their ears are open.
    pub(in crate::traffic::core) fn ask_stations(&mut self, kind: Kind, name: &Name) {
        let Some(topic) = self.topics.get(kind, name) else { return };
        let id = topic.id;
        let unasked = topic.stations.iter().filter(|at| matches!(at.hearing, Hearing::Deaf | Hearing::Refused));
        let nodes: Vec<NodeId> = unasked.map(|station| station.node).filter(|node| self.ear_is_open(*node)).collect();
        for node in nodes {
            if let Some(station) = self.topics.get_mut(kind, name).and_then(|topic| topic.station(node)) {
                station.hearing = Hearing::Asked;
            }
            self.order_listen(node, kind, name, id);
        }
    }

    /// Whether a topic of so many stations may be heard at some of them only.
    fn is_tolerant(&self, stations: usize) -> bool {
        stations > 1 && self.settings.partial_reads == PartialReads::Nil
    }

    /// Why this topic cannot be heard at the moment, as an error line.
    fn hopeless(&self, kind: Kind, name: &[u8]) -> Option<Vec<u8>> {
        let nodes = self.listens_at(kind, name);
        let deaf = nodes.iter().copied().find(|node| self.deaf_because(*node).is_some())?;
        let all = || nodes.iter().all(|node| self.deaf_because(*node).is_some());
        (!self.is_tolerant(nodes.len()) || all()).then(|| self.deafness(deaf))
    }

    /// Whether a topic is heard wherever it must be.
    fn is_heard(&self, topic: &Topic) -> bool {
        let heard = |hearing: Hearing| hearing == Hearing::Heard;
        if !self.is_tolerant(topic.stations.len()) {
            return topic.stations.iter().all(|station| heard(station.hearing));
        }
        topic.stations.iter().any(|station| heard(station.hearing))
            && topic.stations.iter().all(|at| heard(at.hearing) || self.deaf_because(at.node).is_some())
    }

    /// Something has changed about a topic that sessions wait for.
    pub(in crate::traffic::core) fn settle_topic(&mut self, kind: Kind, name: &Name) {
        let refused = self.hopeless(kind, name);
        let heard = self.topics.get(kind, name).is_some_and(|topic| self.is_heard(topic));
        if refused.is_none() && !heard {
            return;
        }
        let waiting = self.topics.get_mut(kind, name).map(Topic::take_awaiting).unwrap_or_default();
        for key in waiting {
            match &refused {
                Some(line) => {
                    self.counters.refusals[crate::traffic::refusal::Kind::NodeDown as usize] += 1;
                    self.refuse_awaiting(key, line);
                }
                None => self.one_less_awaited(key),
            }
        }
    }

    /// The session's command is answered when so many nodes have confirmed what it needs.
    fn wait_for_nodes(&mut self, key: ClientKey, left: usize, joins: Option<(Kind, Vec<Name>)>, text: Vec<u8>) {
        let Some(client) = self.client_mut(key) else { return };
        let muted = !client.takes_reply();
        let seq = client.slots.open(false);
        if client.pause == Pause::No {
            client.pause = Pause::Order;
        }
        client.special_mut().awaiting = Some(Awaiting { seq, muted, joins, text, left });
    }

    /// One of the confirmations that a session waits for has come.
    pub(in crate::traffic::core) fn one_less_awaited(&mut self, key: ClientKey) {
        let Some(special) = self.client_mut(key).and_then(|client| client.special.as_deref_mut()) else { return };
        let Some(awaiting) = &mut special.awaiting else { return };
        awaiting.left = awaiting.left.saturating_sub(1);
        if awaiting.left > 0 {
            return;
        }
        let Some(Awaiting { seq, joins, mut text, .. }) = special.awaiting.take() else { return };
        if let Some((kind, names)) = joins {
            text = self.join(key, kind, &names);
        }
        self.fill(key, seq, Reply::Bytes(&text));
        if self.client(key).is_some_and(|client| client.closing.is_some()) {
            self.forget_subscriptions(key);
        }
    }

    /// A SUBSCRIBE that waits for nodes is answered with this error.
    pub(in crate::traffic::core) fn refuse_awaiting(&mut self, key: ClientKey, line: &[u8]) {
        let special = self.client_mut(key).and_then(|client| client.special.as_deref_mut());
        let Some(Awaiting { seq, muted, joins, .. }) = special.and_then(|special| special.awaiting.take()) else {
            return;
        };
        if let Some((kind, names)) = joins {
            self.release_topics(key, kind, &names);
        }
        self.fill(key, seq, Reply::Bytes(if muted { &[] } else { line }));
    }

    /// The session listens to these from now on; gives the confirmations.
    fn join(&mut self, key: ClientKey, kind: Kind, names: &[Name]) -> Vec<u8> {
        let mut text = Vec::new();
        let index = key.index as usize;
        let Some(client) = self.clients.get_mut(index).filter(|c| c.generation == key.generation) else { return text };
        let proto = client.proto;
        for name in names {
            let Some(topic) = self.topics.get_mut(kind, name) else { continue };
            topic.waiting.remove(&key);
            topic.members.insert(key);
            let subscriptions = &mut client.special_mut().subscriptions;
            if subscriptions.add(kind, name) {
                self.registry.audience.count_session(kind, name, self.index, 1);
            }
            confirmation(&mut text, kind.subscribe(), Some(name), subscriptions.told(kind), proto);
        }
        self.note_subscriptions(key);
        text
    }

    /// The session's unanswered SUBSCRIBE needs these topics no more.
    fn release_topics(&mut self, key: ClientKey, kind: Kind, names: &[Name]) {
        for name in names {
            if let Some(topic) = self.topics.get_mut(kind, name) {
                topic.waiting.remove(&key);
            }
            self.drop_idle_topic(kind, name, None);
        }
    }

    /// Removes a topic that nobody is interested in; returns how many nodes will confirm that to `waiter`.
    fn drop_idle_topic(&mut self, kind: Kind, name: &Name, waiter: Option<ClientKey>) -> usize {
        if !self.topics.get(kind, name).is_some_and(Topic::is_idle) {
            return 0;
        }
        let Some(topic) = self.topics.remove(kind, name) else { return 0 };
        topic.stations.into_iter().map(|station| self.leave_station(kind, name, station, waiter)).sum()
    }

    /// `UNSUBSCRIBE [name …]`
    pub(super) fn unsubscribe(&mut self, key: ClientKey, request: Request<'_>, kind: Kind) -> Taken {
        if self.awaits_replies(key) {
            return Taken::Later;
        }
        let Some(client) = self.client_mut(key) else { return Taken::Yes };
        let (proto, subscriptions) = (client.proto, &client.special_mut().subscriptions);
        let told = subscriptions.told(kind);
        let names: Vec<Name> = match request.args.len() {
            1 => subscriptions.all(kind),
            count => (1..count).map(|at| Name::copy_from_slice(request.arg(at))).collect(),
        };
        let left_behind: Vec<&Name> = names.iter().filter(|name| subscriptions.has(kind, name)).collect();
        if !self.caught_up(key, left_behind.into_iter().map(|name| (kind, name))) {
            return Taken::Later;
        }
        let mut text = Vec::new();
        if names.is_empty() {
            confirmation(&mut text, kind.unsubscribe(), None, told, proto);
        }
        let mut left = 0;
        for name in &names {
            left += self.quit_topic(key, kind, name, Some(key));
            let Some(client) = self.client_mut(key) else { return Taken::Yes };
            let told = client.special_mut().subscriptions.told(kind);
            confirmation(&mut text, kind.unsubscribe(), Some(name), told, proto);
        }
        self.note_subscriptions(key);
        if left == 0 {
            self.confirm(key, &text);
        } else {
            self.wait_for_nodes(key, left, None, text);
        }
        Taken::Yes
    }

    /// The session listens to this no more; returns how many nodes will confirm that to `waiter`.
    fn quit_topic(&mut self, key: ClientKey, kind: Kind, name: &Name, waiter: Option<ClientKey>) -> usize {
        let special = self.client_mut(key).and_then(|client| client.special.as_deref_mut());
        if !special.is_some_and(|special| special.subscriptions.remove(kind, name)) {
            return 0;
        }
        self.registry.audience.count_session(kind, name, self.index, -1);
        if let Some(topic) = self.topics.get_mut(kind, name) {
            topic.members.remove(&key);
        }
        self.drop_idle_topic(kind, name, waiter)
    }

    /// Ends all subscriptions of a session without a word: its end.
    pub(in crate::traffic::core) fn forget_subscriptions(&mut self, key: ClientKey) {
        self.quit_all(key, None);
    }

    /// `RESET`: ends all subscriptions of a session, and answers with `text` when nobody counts it any more.
    pub(super) fn reset_subscriptions(&mut self, key: ClientKey, text: &[u8]) {
        match self.quit_all(key, Some(key)) {
            0 => self.answer(key, |out| out.extend_from_slice(text)),
            left => {
                let wanted = self.client(key).is_some_and(|client| client.reply_mode == ReplyMode::On);
                self.wait_for_nodes(key, left, None, if wanted { text.to_vec() } else { Vec::new() });
            }
        }
    }

    /// Ends all subscriptions of a session; returns how many nodes will confirm that to `waiter`.
    fn quit_all(&mut self, key: ClientKey, waiter: Option<ClientKey>) -> usize {
        let mut left = 0;
        for kind in Kind::ALL {
            let special = self.client(key).and_then(|client| client.special.as_ref());
            for name in special.map(|special| special.subscriptions.all(kind)).unwrap_or_default() {
                left += self.quit_topic(key, kind, &name, waiter);
            }
        }
        self.note_subscriptions(key);
        left
    }

    /// The session is gone: also what it waits for is needed no more.
    pub(in crate::traffic::core) fn awaits_no_more(&mut self, key: ClientKey) {
        let special = self.client_mut(key).and_then(|client| client.special.as_deref_mut());
        if let Some(Awaiting { joins: Some((kind, names)), .. }) = special.and_then(|special| special.awaiting.take()) {
            self.release_topics(key, kind, &names);
        }
    }

    /// Notes wherever it counts whether, and to how much, a session listens; also after a change of its protocol.
    pub(in crate::traffic::core) fn note_subscriptions(&mut self, key: ClientKey) {
        let Some(client) = self.client_mut(key) else { return };
        let Some(special) = &client.special else { return };
        let listens = !special.subscriptions.is_empty();
        for kind in Kind::ALL {
            client.record.subscribed[kind as usize].store(special.subscriptions.count(kind) as u32, Relaxed);
        }
        client.modes.set(Modes::SUBSCRIBED, listens && client.proto == Proto::Resp2);
        let listened = client.record.is_marked(Record::PUBSUB);
        client.record.mark(Record::PUBSUB, listens);
        match (listened, listens) {
            (false, true) => self.counters.subscribers += 1,
            (true, false) => self.counters.subscribers = self.counters.subscribers.saturating_sub(1),
            _ => {}
        }
    }

    /// Sends a session confirmations at once, whatever CLIENT REPLY says.
    fn confirm(&mut self, key: ClientKey, text: &[u8]) {
        if let Some((client, pool)) = self.client_out(key) {
            client.takes_reply();
            client.reply_now(text, pool);
            self.mark_client(key);
        }
    }

    /// Redis lets a client that listens with RESP2 say only what cannot be mistaken for a message.
    pub(in crate::traffic::core) fn while_subscribed(&mut self, key: ClientKey, row: &Row) -> Option<Taken> {
        match row.route {
            Route::Local(Local::Ping | Local::Quit | Local::Reset)
            | Route::Session(Session::Subscribe(_) | Session::Unsubscribe(_)) => None,
            _ => {
                let text = format!(
                    "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                     this context",
                    row.name
                );
                Some(self.reject(key, row, &Refusal::Redis(&text)))
            }
        }
    }
}

/// One confirmation: what was done, to which name, and how many the session has now.
fn confirmation(out: &mut Vec<u8>, word: &str, name: Option<&Name>, count: usize, proto: Proto) {
    encode::push_header(out, 3, proto);
    encode::bulk(out, word.as_bytes());
    match name {
        Some(name) => encode::bulk(out, name),
        None => encode::null(out, proto),
    }
    encode::integer(out, count as i64);
}
