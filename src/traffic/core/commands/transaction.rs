//! MULTI, DISCARD, and what is done with commands between them: checked, answered QUEUED, kept.
//!
//! ```text
//!  command ─ checked as Redis checks it ─┬─ refused: told at once, and EXEC answers EXECABORT
//!                                        ├─ for a node: goes with the block
//!                                        ├─ a message: goes with the block if its channel lies there
//!                                        └─ Circlet's own (CLIENT …, SUBSCRIBE …): carried out behind EXEC
//! ```
//! A transaction runs on the node of its first key, watched ones included; [`Core::home_of`] is the one place that says
//! so; without keys on that of its first message. Own commands do not touch keys, so that their place behind the node's
//! can be seen in what the session is sent only: a subscription begins and ends behind the node's part. What concerns
//! the keys of every node (DBSIZE, FLUSHALL, SWAPDB …) would have to be run between the others, and is refused unless
//! there is one node only. Bounded by `max_queued` and `max_queued_bytes`. Pure.

use std::sync::atomic::Ordering::Relaxed;

use crate::traffic::{
    client::{
        ClientKey, Modes, Record,
        registry::NOT_QUEUEING,
        transaction::{Home, Share, Transaction},
    },
    command::{Flags, KeysError, Local, Lock, Reason, Route, Row, Script, Session, Stepwise},
    core::{
        Core,
        dispatch::own_among,
        request::{Request, Taken},
    },
    pubsub::Kind,
    refusal::Refusal,
    resp::encode,
};

/// Two keys of different nodes; the second stands in the request.
pub(super) type Apart<'a> = (Box<[u8]>, &'a [u8]);

impl Core {
    /// `MULTI`
    pub(super) fn multi(&mut self, key: ClientKey) {
        let Some(client) = self.client_mut(key) else { return };
        if client.modes.has(Modes::QUEUEING) {
            return self.refuse(key, &Refusal::Redis("ERR MULTI calls can not be nested"));
        }
        client.modes.set(Modes::QUEUEING, true);
        client.record.mark(Record::MULTI, true);
        client.record.queued.store(0, Relaxed);
        client.special_mut().transaction = Some(Box::default());
        self.ok(key);
    }

    /// `DISCARD`
    pub(super) fn discard(&mut self, key: ClientKey) {
        if self.end_transaction(key).is_none() {
            return self.refuse(key, &Refusal::Redis("ERR DISCARD without MULTI"));
        }
        self.forget_watch(key);
        self.ok(key);
    }

    /// The session queues no more; what it has queued, if it did.
    pub(in crate::traffic::core) fn end_transaction(&mut self, key: ClientKey) -> Option<Box<Transaction>> {
        let client = self.client_mut(key)?;
        let transaction = client.special.as_mut()?.transaction.take()?;
        client.modes.set(Modes::QUEUEING, false);
        client.record.mark(Record::MULTI, false);
        client.record.queued.store(NOT_QUEUEING, Relaxed);
        Some(transaction)
    }

    /// A command was refused: EXEC must not run the others.
    pub(in crate::traffic::core) fn abort_transaction(&mut self, key: ClientKey) {
        if let Some(transaction) = self.queueing(key) {
            transaction.abort();
        }
    }

    fn queueing(&mut self, key: ClientKey) -> Option<&mut Box<Transaction>> {
        self.client_mut(key)?.special.as_mut()?.transaction.as_mut()
    }

    /// A command between MULTI and EXEC; `None`: it is one that acts at once.
    pub(in crate::traffic::core) fn while_queueing(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        row: &Row,
    ) -> Option<Taken> {
        let at_once = matches!(
            row.route,
            Route::Session(Session::Multi | Session::Exec | Session::Discard | Session::Watch)
                | Route::Local(Local::Quit | Local::Reset)
        );
        if at_once {
            return None;
        }
        if row.flags.has(Flags::NO_MULTI) {
            return Some(self.reject(key, row, &Refusal::Redis("ERR Command not allowed inside a transaction")));
        }
        self.note_digest(key, request, row);
        match self.share(key, request, row) {
            Some(share) if self.has_room(key, request) => self.queue(key, request, row, share),
            _ => self.abort_transaction(key),
        }
        Some(Taken::Yes)
    }

    fn queue(&mut self, key: ClientKey, request: Request<'_>, row: &Row, share: Share) {
        let Some(transaction) = self.queueing(key).filter(|transaction| !transaction.aborted) else {
            // As in Redis: the client is not told again.
            return self.answer(key, |out| encode::simple(out, "QUEUED"));
        };
        transaction.writes |= share != Share::Own && !row.is_read();
        transaction.may_write |= row.flags.has(Flags::WRITE) || row.flags.has(Flags::MAY_REPLICATE);
        // Also how messages are written.
        transaction.changes_ears |= matches!(
            row.route,
            Route::Session(Session::Subscribe(_) | Session::Unsubscribe(_)) | Route::Local(Local::Hello)
        );
        transaction.changes_connection |= matches!((share, row.route), (Share::Both, Route::Local(_)));
        match (share, row.route) {
            // What else it says is for Circlet.
            (Share::Both, Route::Local(Local::Hello)) => {
                let mut part = Vec::new();
                encode::array_header(&mut part, 2);
                (0..2).for_each(|at| encode::bulk(&mut part, request.arg(at)));
                transaction.queue_both(request.bytes, &part);
            }
            (Share::Both, _) => transaction.queue_both(request.bytes, request.bytes),
            _ => transaction.queue(share, request.bytes, request.blob, matches!(row.route, Route::Script(_))),
        }
        let queued = transaction.len();
        if let Some(client) = self.client(key) {
            client.record.queued.store(queued as u32, Relaxed);
        }
        self.answer(key, |out| encode::simple(out, "QUEUED"));
    }

    /// Whether one more command may be queued; if not, the client is told.
    fn has_room(&mut self, key: ClientKey, request: Request<'_>) -> bool {
        let session = &self.settings.session;
        let (most, most_bytes) = (session.max_queued, session.max_queued_bytes);
        let Some(transaction) = self.queueing(key) else { return true };
        let refusal = if transaction.len() >= most {
            Refusal::TooMuchQueued("session.max_queued", format!("{most} commands"))
        } else if transaction.bytes() + request.bytes.len() > most_bytes {
            Refusal::TooMuchQueued("session.max_queued_bytes", format!("{most_bytes} bytes"))
        } else {
            return true;
        };
        self.refuse(key, &refusal);
        false
    }

    /// Who carries this command out; `None`: it is refused, and the client told so.
    fn share(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Option<Share> {
        match row.route {
            Route::Keys | Route::Split(_) | Route::Script(Script::Eval | Script::EvalSha) => {
                self.share_of_keys(key, request, row)
            }
            // A node knows nothing of the cursors that Circlet gives; the first step of a scan needs none.
            Route::ScanKey if request.arg(2) == b"0" => self.share_of_keys(key, request, row),
            Route::Any | Route::Session(Session::Wait | Session::Waitaof | Session::Unwatch) => Some(Share::Node),
            // Whoever listens is no key, and known behind SUBSCRIBE.
            Route::All(_) if row.name.starts_with("pubsub|") => Some(Share::Own),
            Route::All(_) | Route::Script(_) | Route::Steps(Stepwise::SwapDb) if self.nodes().len() == 1 => {
                Some(Share::Node)
            }
            Route::All(_) | Route::Script(_) | Route::Steps(Stepwise::SwapDb) => {
                self.refuse(key, &Refusal::InTransaction(&row.name));
                None
            }
            Route::Local(Local::Select) => Some(Share::Both),
            // So that the node's replies behind it are in that protocol.
            Route::Local(Local::Hello) if self.would_greet(key, request) => Some(Share::Both),
            // So that the commands behind it are, or are not, tracked.
            Route::Session(Session::Caching) if self.may_cache(key, request.arg(2)) => Some(Share::Both),
            Route::Session(Session::Publish(kind)) => Some(self.share_of_message(key, request, kind)),
            // SCAN promises nothing about keys that change meanwhile, so behind the others is as good as between them.
            Route::Local(_)
            | Route::Session(_)
            | Route::Scan
            | Route::ScanKey
            | Route::Steps(_)
            | Route::Info
            | Route::Refuse(Reason::Cluster | Reason::SlotStats) => Some(Share::Own),
            Route::Refuse(reason) => {
                self.refuse_for(key, row, reason);
                None
            }
            Route::Lock(Lock::Help) => Some(Share::Own),
            Route::Lock(_) => {
                self.refuse(key, &Refusal::LockInTransaction(&row.name));
                None
            }
        }
    }

    /// A message goes where its channel lies, unless who hears it changes before it.
    fn share_of_message(&mut self, key: ClientKey, request: Request<'_>, kind: Kind) -> Share {
        let late = self.queueing(key).is_some_and(|transaction| transaction.changes_ears);
        match request.args.get(1) {
            Some(channel) if !late => Share::Message(kind, channel.start, channel.end),
            _ => Share::Own,
        }
    }

    fn share_of_keys(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Option<Share> {
        let mut keys = std::mem::take(&mut self.scratch.keys);
        keys.clear();
        let share = match row.find_keys(request.args, request.bytes, self.patterns(), &mut keys) {
            Ok(()) if let Some(own) = own_among(request, row, &keys) => {
                self.refuse(key, &Refusal::OwnKey(own));
                None
            }
            Ok(()) => match self.home_of(key, request, &keys) {
                Ok(home) => {
                    if let (Some(home), Some(transaction)) = (home, self.queueing(key)) {
                        transaction.home = Some(home);
                    }
                    Some(Share::Node)
                }
                Err((one, other)) => {
                    self.refuse_crossslot(key, &one, other);
                    None
                }
            },
            // The node says what is wrong with it, in its place of EXEC's reply.
            Err(KeysError::Malformed) => Some(Share::Node),
            Err(KeysError::ForeignPattern) => {
                self.refuse(key, &Refusal::ForeignPattern(&row.name));
                None
            }
        };
        if keys.capacity() > 16 << 10 {
            keys = Vec::new();
        }
        self.scratch.keys = keys;
        share
    }

    /// Decides where a transaction with these keys (argument indices) runs: where it was bound to before, else at the
    /// node of the first; given if that is news. All others must lie there too, or two keys are told that lie apart.
    pub(super) fn home_of<'a>(
        &self,
        key: ClientKey,
        request: Request<'a>,
        keys: &[u32],
    ) -> Result<Option<Home>, Apart<'a>> {
        let topology = &self.snapshot.topology;
        let special = self.client(key).and_then(|client| client.special.as_deref());
        let bound = special.and_then(|special| special.home());
        let mut first: Option<Home> = None;
        for index in keys {
            let word = request.arg(*index as usize);
            match bound.or(first.as_ref()) {
                None => first = Some(Home { node: topology.owner(word), key: word.into() }),
                Some(home) if !topology.may_own(home.node, word) => return Err((home.key.clone(), word)),
                Some(_) => {}
            }
        }
        Ok(first)
    }
}
