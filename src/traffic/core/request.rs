//! A session's bytes: cut into requests, each handed to [`super::dispatch`].
//!
//! The bytes are scanned where the read left them; only an unfinished tail is copied to the session. A session that
//! owes too much, or needs a full pipe, is paused: the rest of its bytes waits in `partial`, its socket is not read.

use std::sync::Arc;

use bytes::Bytes;

use super::{Core, Todo};
use crate::traffic::{
    client::{Client, ClientKey, NO_COMMAND, Partial, Pause},
    command::{Found, Local, Reason, Route, Row, Session, Table},
    counters::Closed,
    observe::tally::NO_ROW,
    pipe::PipeId,
    refusal::Refusal,
    resp::{
        inline,
        request::{self, Arg, ProtocolError, Scan, Scanner},
    },
    route::{Hashed, NodeId, Ring},
};

/// A request at least this long goes to its pipe by reference.
const BLOB_FROM: usize = 32 << 10;

/// Bytes of later requests that are kept of a blocked session; past it its socket is not read, nor its end seen.
const BLOCKED_INPUT: usize = 1 << 20;

/// One request, as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// All its bytes.
    pub(super) bytes: &'a [u8],
    /// Its arguments, the command's name first; at least one.
    pub(super) args: &'a [Arg],
    /// The same bytes as a reference, when they are many.
    pub(super) blob: Option<&'a Bytes>,
}

impl<'a> Request<'a> {
    /// Argument `index`; empty if there is none.
    pub(super) fn arg(&self, index: usize) -> &'a [u8] {
        self.args.get(index).map_or(&[], |arg| arg.of(self.bytes))
    }
}

/// The key of the next request, looked up in part while this one is taken: that one does not have to wait for memory then.
#[derive(Debug)]
pub(super) struct Foreseen {
    /// Where its bytes lie, which must not change as long as this is kept.
    address: usize,
    len: usize,
    hashed: Hashed,
}

impl Foreseen {
    fn of(key: &[u8], ring: &Ring) -> Self {
        Self { address: key.as_ptr().addr(), len: key.len(), hashed: ring.begin(key) }
    }

    /// Whether these bytes are the key.
    fn is(&self, key: &[u8]) -> bool {
        self.address == key.as_ptr().addr() && self.len == key.len()
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It has its slot.
    Yes,
    /// It was refused before it was looked at closer.
    Refused,
    /// Nothing was done: this pipe is full.
    Full(PipeId),
    /// Nothing was done: the replies before it must come first.
    Later,
    /// Nothing was done: it is held (CLIENT PAUSE).
    Held,
}

impl Core {
    /// Takes bytes that a session's client sent.
    pub fn feed_client(&mut self, key: ClientKey, bytes: &[u8]) {
        self.counters.client_in += bytes.len() as u64;
        let Some(client) = self.client_mut(key) else { return };
        if client.pause != Pause::No {
            // It is blocked, and read only so that its end is seen.
            let partial = client.partial.get_or_insert_default();
            return partial.input.extend_from_slice(bytes);
        }
        match client.partial.take() {
            None => {
                let mut scanner = std::mem::take(&mut self.scratch.scanner);
                let used = self.take_requests(key, bytes, None, &mut scanner);
                if used < bytes.len() {
                    let mut partial = self.idle_partials.pop().unwrap_or_default();
                    partial.input.extend_from_slice(&bytes[used..]);
                    std::mem::swap(&mut partial.scanner, &mut scanner);
                    self.keep_partial(key, partial);
                }
                scanner.reset();
                self.scratch.scanner = scanner;
            }
            Some(mut partial) => {
                partial.input.extend_from_slice(bytes);
                self.continue_partial(key, partial);
            }
        }
        let now_us = self.now_us;
        if let Some(client) = self.client(key) {
            client.record.touched(now_us, client.last_command);
        }
        if self.watch.any() {
            self.send_lines();
        }
    }

    /// Goes on with a session that was paused.
    pub fn resume_client(&mut self, key: ClientKey) {
        if self.client(key).is_some_and(|client| client.pause == Pause::Exec) {
            return self.go_on_unfolding(key);
        }
        if let Some(client) = self.client_mut(key)
            && client.pause == Pause::No
            && let Some(partial) = client.partial.take()
        {
            let since_us = std::mem::take(&mut client.held_since_us);
            self.watch_held(since_us);
            self.continue_partial(key, partial);
            self.watch_held(0);
            self.send_lines();
        }
    }

    /// Whether a session's socket is to be read: it is not while it is paused or about to end.
    #[must_use]
    pub fn wants_input(&self, key: ClientKey) -> bool {
        self.client(key).is_some_and(|client| match client.pause {
            Pause::No => client.closing.is_none(),
            Pause::Blocked => client.partial.as_ref().is_none_or(|partial| partial.input.len() < BLOCKED_INPUT),
            Pause::Replies | Pause::Pipe | Pause::Order | Pause::Exec | Pause::Held | Pause::Gate => false,
        })
    }

    /// The client has closed its side: what it asked is still answered, unless it may wait for ever, which ends as in
    /// Redis.
    pub fn client_ended(&mut self, key: ClientKey) {
        if self.client(key).is_some_and(|client| client.pause == Pause::Blocked) {
            self.drop_client(key, Closed::ByClient);
        } else {
            self.close_when_done(key, Closed::ByClient);
        }
    }

    fn continue_partial(&mut self, key: ClientKey, mut partial: Box<Partial>) {
        let used = if partial.input.len() < BLOB_FROM {
            let input = std::mem::take(&mut partial.input);
            let used = self.take_requests(key, &input, None, &mut partial.scanner);
            partial.input = input;
            partial.input.drain(..used);
            used
        } else {
            // Large requests leave by reference. Taken back unchanged when none was complete: no byte is copied then.
            let whole = Bytes::from(std::mem::take(&mut partial.input));
            let used = self.take_requests(key, &whole, Some(&whole), &mut partial.scanner);
            partial.input = if used == 0 { Vec::from(whole) } else { whole[used..].to_vec() };
            used
        };
        if used > 0 {
            partial.scanner.shrink();
        }
        if partial.input.is_empty() {
            if partial.input.capacity() <= 16 << 10 && self.idle_partials.len() < 64 {
                partial.scanner.reset();
                self.idle_partials.push(partial);
            }
        } else {
            self.keep_partial(key, partial);
        }
    }

    fn keep_partial(&mut self, key: ClientKey, partial: Box<Partial>) {
        if let Some(client) = self.client_mut(key)
            && client.closing.is_none()
        {
            client.partial = Some(partial);
        }
    }

    /// Takes the complete requests at the front of `buf`; returns how many bytes they are.
    fn take_requests(&mut self, key: ClientKey, buf: &[u8], whole: Option<&Bytes>, scanner: &mut Scanner) -> usize {
        let used = self.take_each(key, buf, whole, scanner);
        // It lies in these bytes.
        self.foreseen = None;
        self.close_batch(key);
        used
    }

    fn take_each(&mut self, key: ClientKey, buf: &[u8], whole: Option<&Bytes>, scanner: &mut Scanner) -> usize {
        let settings = Arc::clone(&self.settings);
        let table = Arc::clone(&self.snapshot.table);
        let mut at = 0;
        while at < buf.len() {
            let Some(client) = self.client_mut(key) else { return buf.len() };
            if client.closing.is_some() {
                return buf.len();
            }
            if client.pause != Pause::No {
                break;
            }
            if client.slots.len() >= settings.session.max_pending || client.owed() > settings.session.soft_output {
                client.pause = Pause::Replies;
                // What is owed may have been written already when this is called from the flush.
                self.mark_client(key);
                break;
            }
            let authenticated = client.authenticated;
            let (len, taken) = match scanner.scan(&buf[at..], &settings.limits, authenticated) {
                Ok(Scan::Incomplete) => break,
                Ok(Scan::Command { len }) => {
                    let next = request::peek_second(&buf[at + len..]);
                    let next = next.map(|key| Foreseen::of(key, &self.snapshot.topology.ring));
                    let bytes = &buf[at..at + len];
                    let blob = whole.filter(|_| len >= BLOB_FROM).map(|whole| whole.slice(at..at + len));
                    let request = Request { bytes, args: scanner.args(), blob: blob.as_ref() };
                    let taken = if request.args.is_empty() { Taken::Yes } else { self.request(key, request, &table) };
                    self.foreseen = next;
                    if self.counters.requests >= self.keys.next && taken == Taken::Yes {
                        self.look_at_keys(request, &table);
                    }
                    if blob.is_some() && taken == Taken::Yes {
                        self.look_at_large_request(request, &table);
                    }
                    (len, taken)
                }
                Ok(Scan::Inline { len, line }) => (len, self.inline_request(key, &buf[at..][line], &table)),
                Err(error) => {
                    self.refuse_protocol(key, &error);
                    return buf.len();
                }
            };
            match taken {
                Taken::Yes | Taken::Refused => {
                    at += len;
                    self.counters.requests += 1;
                }
                Taken::Full(pipe) => {
                    scanner.reset();
                    self.wait_for(key, pipe);
                    break;
                }
                Taken::Held => {
                    scanner.reset();
                    break;
                }
                Taken::Later => {
                    scanner.reset();
                    if let Some(client) = self.client_mut(key) {
                        client.pause = Pause::Order;
                    }
                    break;
                }
            }
        }
        at
    }

    /// The node that owns `key`.
    #[inline]
    pub(super) fn owner(&self, key: &[u8]) -> NodeId {
        let topology = &self.snapshot.topology;
        match &self.foreseen {
            Some(foreseen) if foreseen.is(key) && topology.change.is_none() => topology.ring.finish(foreseen.hashed),
            _ => topology.owner(key),
        }
    }

    /// What a session sends is no RESP: it is told so, as Redis does, and ends.
    fn refuse_protocol(&mut self, key: ClientKey, error: &ProtocolError) -> Taken {
        self.refuse(key, &Refusal::Protocol(&error.to_string()));
        self.close_when_done(key, Closed::Protocol);
        Taken::Yes
    }

    /// Whether requests of this session are in flight.
    pub(super) fn awaits_replies(&self, key: ClientKey) -> bool {
        self.client(key).is_some_and(|client| !client.slots.is_empty())
    }

    /// A request typed as a line: rewritten as an array, then like any other.
    fn inline_request(&mut self, key: ClientKey, line: &[u8], table: &Table) -> Taken {
        let mut text = std::mem::take(&mut self.scratch.inline);
        let mut scanner = std::mem::take(&mut self.scratch.inline_scanner);
        let taken = match inline::split(line, &mut text) {
            Ok(0) => Taken::Yes,
            Ok(_) => {
                scanner.reset();
                match scanner.scan(&text, &self.settings.limits, true) {
                    Ok(Scan::Command { len }) => {
                        let request = Request { bytes: &text[..len], args: scanner.args(), blob: None };
                        self.request(key, request, table)
                    }
                    Ok(_) => Taken::Yes,
                    Err(error) => self.refuse_protocol(key, &error),
                }
            }
            Err(error) => self.refuse_protocol(key, &error),
        };
        self.scratch.inline = text;
        self.scratch.inline_scanner = scanner;
        taken
    }

    /// One request: found in the table, checked as Redis checks it, and sent, answered or refused.
    #[inline]
    fn request(&mut self, key: ClientKey, request: Request<'_>, table: &Table) -> Taken {
        let name = request.arg(0);
        let row = match table.find(name, request.args.get(1).map(|arg| arg.of(request.bytes))) {
            Found::Row(row) => row,
            Found::UnknownSub(container) => return self.unknown_sub(key, request, container),
            Found::Unknown => return self.unknown(key, request),
        };
        let taken = self.known(key, request, row, table);
        if matches!(taken, Taken::Yes | Taken::Refused) {
            self.counters.commands.called(row.id);
        }
        if self.watch.any() && taken == Taken::Yes {
            self.watched(key, request, row);
        }
        taken
    }

    /// One request whose command is known: checked as Redis checks it, and sent, answered or refused.
    #[inline]
    fn known(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        row: &Row,
        table: &crate::traffic::command::Table,
    ) -> Taken {
        let Some(client) = self.client_mut(key) else { return Taken::Yes };
        client.last_command = u32::from(row.id);
        let may_pass = client.authenticated || is_open_to_all(row);
        let modal = !client.modes.is_none();
        // Redis's order: what is no command is told before who may give it.
        if !row.arity_ok(request.args.len()) {
            self.caching_is_over(key, &row.name);
            return self.reject(key, row, &Refusal::Arity(&row.name));
        }
        if !may_pass {
            return self.reject(key, row, &Refusal::NoAuth);
        }
        if self.watch.any() && self.hold(key, row) {
            return Taken::Held;
        }
        if self.watch.guards()
            && let Some(taken) = self.guard(key, request, row)
        {
            return taken;
        }
        if modal && let Some(taken) = self.intercept(key, request, row) {
            return taken;
        }
        self.by_route(key, request, row, table)
    }

    /// A request that may be given, where its row sends it.
    #[inline]
    pub(super) fn by_route(&mut self, key: ClientKey, request: Request<'_>, row: &Row, table: &Table) -> Taken {
        match row.route {
            Route::Keys => self.by_keys(key, request, row),
            Route::Split(how) => self.split(key, request, row, how),
            Route::All(how) => self.all(key, request, row, how),
            Route::Any => self.any(key, request, row),
            Route::Scan => self.scan(key, request),
            Route::ScanKey => self.scan_key(key, request, row),
            Route::Info => self.info(key, request, row),
            Route::Steps(which) => self.stepwise(key, request, row, which),
            // The nodes document arguments too, which redis-cli shows while one types; the table answers without nodes.
            Route::Local(Local::CommandDocs) => self.command_docs(key, request, row, table),
            Route::Script(which) => self.script(key, request, row, which),
            Route::Local(which)
                if which.follows() && (self.awaits_replies(key) || self.must_catch_up(key, request, which)) =>
            {
                Taken::Later
            }
            Route::Local(which) => {
                self.local(key, request, row, which, table);
                Taken::Yes
            }
            Route::Session(which) => self.session(key, request, row, which),
            Route::Lock(which) => self.lock(key, request, which),
            Route::Refuse(reason) => {
                self.refuse_for(key, row, reason);
                Taken::Yes
            }
        }
    }

    pub(super) fn refuse_for(&mut self, key: ClientKey, row: &Row, reason: Reason) {
        let refusal = match reason {
            Reason::Pinned => Refusal::Pinned(&row.name),
            Reason::OneNode => Refusal::OneNode(&row.name),
            Reason::Cluster | Reason::SlotStats if !self.is_cluster() => Refusal::NoCluster,
            Reason::Internal => Refusal::Internal(&row.name),
            reason => Refusal::NotHere(&row.name, reason),
        };
        self.refuse(key, &refusal);
    }

    /// Refuses a command before it is looked at closer. In a transaction it must not be run then, nor the others.
    #[cold]
    pub(super) fn reject(&mut self, key: ClientKey, row: &Row, refusal: &Refusal<'_>) -> Taken {
        if row.route == Route::Session(Session::Exec) {
            self.end_transaction(key);
            self.forget_watch(key);
            let text = refusal.text();
            self.refuse(key, &Refusal::ExecAbort(text.strip_prefix("ERR ").unwrap_or(&text)));
        } else {
            self.abort_transaction(key);
            self.refuse(key, refusal);
        }
        Taken::Refused
    }

    /// A subcommand that neither the table nor a node has.
    fn unknown_sub(&mut self, key: ClientKey, request: Request<'_>, container: &Row) -> Taken {
        self.forget_command(key);
        let command = container.name.to_ascii_uppercase();
        self.caching_is_over(key, "");
        self.abort_transaction(key);
        self.refuse(key, &Refusal::UnknownSubcommand(request.arg(1), &command));
        Taken::Yes
    }

    /// A command that neither the table nor a node has.
    fn unknown(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
        self.forget_command(key);
        self.caching_is_over(key, "");
        // Redis prints arguments until about 128 bytes are used up.
        let mut shown = String::new();
        for index in 1..request.args.len() {
            if shown.len() >= 128 {
                break;
            }
            let arg = request.arg(index);
            let arg = &arg[..arg.len().min(128 - shown.len())];
            shown.push_str(&format!("'{}' ", String::from_utf8_lossy(arg)));
        }
        self.abort_transaction(key);
        self.refuse(key, &Refusal::UnknownCommand(request.arg(0), &shown));
        Taken::Yes
    }

    /// As in Redis, what is no command is no last command either.
    fn forget_command(&mut self, key: ClientKey) {
        if let Some(client) = self.client_mut(key) {
            client.last_command = NO_COMMAND;
        }
    }

    /// Answers the session's next request with what `write` appends.
    pub(super) fn answer(&mut self, key: ClientKey, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = std::mem::take(&mut self.scratch.text);
        text.clear();
        write(&mut text);
        if let Some((client, pool)) = self.client_out(key)
            && client.takes_reply()
        {
            client.reply_now(&text, pool);
            self.mark_client(key);
        }
        if text.capacity() > 64 << 10 {
            text = Vec::new();
        }
        self.scratch.text = text;
    }

    /// Answers the session's next request with a refusal.
    pub(super) fn refuse(&mut self, key: ClientKey, refusal: &Refusal<'_>) {
        self.counters.refusals[refusal.kind() as usize] += 1;
        let row = self.client(key).map_or(NO_ROW, Client::command_row);
        self.counters.commands.refused(row, refusal.kind());
        self.answer(key, |out| refusal.write(out));
    }

    /// The session goes on when this pipe has room.
    pub(super) fn wait_for(&mut self, key: ClientKey, pipe: PipeId) {
        let since_us = self.now_us - self.held_us();
        if let Some(client) = self.client_mut(key) {
            client.pause = Pause::Pipe;
            client.held_since_us = since_us;
            self.pipes[pipe.index()].waiting.push(key);
        }
    }

    /// Lets sessions go on that waited for this pipe, once it is half empty.
    #[inline]
    pub(super) fn wake_waiting(&mut self, id: PipeId) {
        let limits = &self.settings.pipe;
        let pipe = &self.pipes[id.index()];
        if pipe.waiting.is_empty()
            || pipe.inflight.len() > limits.max_in_flight / 2
            || pipe.out.len() > limits.max_unsent / 2
        {
            return;
        }
        self.release_waiting(id);
    }

    /// Lets sessions go on that waited for this pipe: it has room, or it is gone and they are refused or find another.
    pub(super) fn release_waiting(&mut self, id: PipeId) {
        for key in std::mem::take(&mut self.pipes[id.index()].waiting) {
            if let Some(client) = self.client_mut(key)
                && client.pause == Pause::Pipe
            {
                client.pause = if client.unfolds() { Pause::Exec } else { Pause::No };
                self.todo.push(Todo::Resume(key));
            }
        }
    }
}

/// What a client may say before it has given the password.
fn is_open_to_all(row: &Row) -> bool {
    matches!(row.route, Route::Local(Local::Auth | Local::Hello | Local::Quit | Local::Reset))
}
