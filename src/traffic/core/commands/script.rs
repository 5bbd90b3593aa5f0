//! EVAL, EVALSHA, SCRIPT LOAD, EXISTS, FLUSH: a script that one node has seen is known at all of them.
//!
//! ```text
//!  EVALSHA ─► its text is remembered?
//!               no:  passed on; NOSCRIPT is the honest answer
//!               yes: SCRIPT LOAD in front of it, once per connection ─► reply
//!                      └ NOSCRIPT all the same (somebody flushed the node itself): SCRIPT LOAD, EVALSHA, once more
//! ```
//! A node that restarts loses its connections, and with them what was told over them, so that it is told anew in front of
//! the next EVALSHA and nothing is overtaken. Only the second try may be overtaken by what its session has sent
//! meanwhile. In a transaction the texts stand in front of MULTI. Bounded by `max_scripts`; a request is kept for the
//! second try if it is short. Pure.

use std::sync::Arc;

use bytes::Bytes;

use crate::traffic::{
    client::{ClientKey, Modes, Reply},
    command::{Gather, Route, Row, Script},
    core::{
        Core,
        dispatch::NoPipe,
        request::{Request, Taken},
    },
    merge::{Aggregate, Kind, State as PartState},
    pipe::{Entry, Owner, PipeId},
    refusal::Refusal,
    resp::Scan,
    route::NodeId,
    scripts::{Scripts, Sha, Shown},
};

/// An EVALSHA from this size on is not kept for a second try.
const RETRY_BELOW: usize = 64 << 10;

/// What a node answers to a script that it does not know: the code word.
const NOSCRIPT: &[u8] = b"-NOSCRIPT ";

impl Core {
    /// Remembers texts of scripts in `scripts`, which all workers share.
    pub fn remember_in(&mut self, scripts: Arc<Scripts>) {
        self.scripts = scripts;
    }

    /// A command about scripts.
    pub(in crate::traffic::core) fn script(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        row: &Row,
        which: Script,
    ) -> Taken {
        match which {
            Script::Eval => {
                self.seen.show(request.arg(1), Shown::Run, &self.scripts);
                self.by_keys(key, request, row)
            }
            Script::EvalSha => self.evalsha(key, request, row),
            Script::Load => {
                self.seen.show(request.arg(2), Shown::Loaded, &self.scripts);
                self.all(key, request, row, Gather::First)
            }
            Script::Exists => self.script_exists(key, request),
            Script::Flush => {
                let taken = self.all(key, request, row, Gather::Ok);
                if taken == Taken::Yes {
                    self.forget_scripts(request);
                }
                taken
            }
        }
    }

    /// `SCRIPT FLUSH [ASYNC | SYNC]`: with another word it is an error at every node.
    fn forget_scripts(&mut self, request: Request<'_>) {
        let way = request.arg(2);
        let known = way.eq_ignore_ascii_case(b"sync") || way.eq_ignore_ascii_case(b"async");
        if request.args.len() == 2 || request.args.len() == 3 && known {
            self.scripts.flush();
        }
    }

    fn evalsha(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        let sha = Sha::parse(request.arg(1));
        let Some((sha, text)) = sha.and_then(|sha| Some((sha, self.scripts.text(sha)?))) else {
            return self.by_keys(key, request, row);
        };
        let Some(node) = self.node_of(key, request, row) else { return Taken::Yes };
        let pipe = match self.pipe_of(key, node) {
            Ok(pipe) => pipe,
            Err(taken) => return taken,
        };
        if self.pipes[pipe.index()].scripts.insert(sha, &self.scripts) {
            self.load(pipe, &text);
        }
        if request.bytes.len() < RETRY_BELOW {
            self.send_repeatable(key, request, row, pipe);
        } else {
            self.send_on(pipe, key, request, row);
        }
        Taken::Yes
    }

    /// Sends an EVALSHA that is kept until its reply shows that the node knew the script.
    fn send_repeatable(&mut self, key: ClientKey, request: Request<'_>, row: &Row, pipe: PipeId) {
        self.caching_first(key, pipe);
        let (sent_us, node) = (self.stamp(), self.pipes[pipe.index()].node);
        let Some(client) = self.client_mut(key) else { return };
        let (seq, proto, tracks) = (client.open_slot(), client.proto, client.modes.has(Modes::TRACKING));
        let (aggregate, generation) = self.new_aggregate(key, seq, Kind::Script, proto, row.is_read());
        self.aggregates[aggregate].request.extend_from_slice(request.bytes);
        let part = self.aggregates[aggregate].add_part(node);
        let entry = Entry {
            index: aggregate as u32,
            generation,
            seq: part,
            row: row.id,
            owner: Owner::Part,
            reads: row.is_read(),
            retried: tracks,
            ..Entry::unwanted(sent_us)
        };
        self.put(pipe, entry, request);
    }

    /// Tells a node the text of a script.
    fn load(&mut self, pipe: PipeId, text: &Bytes) {
        self.counters.script_loads += 1;
        self.send_unwanted(pipe, &[b"SCRIPT", b"LOAD", text]);
    }

    /// An EVALSHA is answered with `reply`. If the node did not know the script and its text is known, it is told and asked
    /// once more; returns whether that is so.
    pub(in crate::traffic::core) fn runs_again(&mut self, aggregate: &Aggregate, reply: &[u8]) -> bool {
        let Some(part) = aggregate.parts.first().filter(|part| part.state == PartState::Replied) else { return false };
        if !reply.starts_with(NOSCRIPT) {
            return false;
        }
        let table = Arc::clone(&self.snapshot.table);
        let mut scanner = std::mem::take(&mut self.scratch.inline_scanner);
        scanner.reset();
        let mut again = false;
        if let Ok(Scan::Command { .. }) = scanner.scan(&aggregate.request, &self.settings.limits, true) {
            let request = Request { bytes: &aggregate.request, args: scanner.args(), blob: None };
            let text = Sha::parse(request.arg(1)).and_then(|sha| self.scripts.text(sha));
            if let (Some(text), Some(row)) = (text, table.lookup(request.arg(0))) {
                self.ask_again(aggregate.client, aggregate.seq, request, row, part.node, &text);
                again = true;
            }
        }
        self.scratch.inline_scanner = scanner;
        again
    }

    fn ask_again(&mut self, key: ClientKey, seq: u32, request: Request<'_>, row: &Row, node: NodeId, text: &Bytes) {
        let Some(client) = self.client(key) else { return };
        let (db, proto, tracks) = (client.db, client.proto, client.modes.has(Modes::TRACKING));
        let pipe = match if tracks { self.tracked_pipe(key, node) } else { self.pipe_for(node, db, proto) } {
            // It was in already, so it may overfill the pipe by one.
            Ok(pipe) | Err(NoPipe::Full(pipe)) => pipe,
            Err(NoPipe::Down(why)) => {
                let topology = Arc::clone(&self.snapshot.topology);
                return self.refuse_at(key, seq, &Refusal::NodeDown(topology.node(node), &why));
            }
            Err(NoPipe::NoLease(_)) => return self.refuse_at(key, seq, &Refusal::NoNode),
        };
        self.load(pipe, text);
        let entry = Entry { retried: true, ..Entry::asked(key, seq, row, self.stamp()) };
        self.put(pipe, entry, request);
        self.fence_again(pipe);
    }

    /// A refusal in the place of the reply to `seq`.
    fn refuse_at(&mut self, key: ClientKey, seq: u32, refusal: &Refusal<'_>) {
        self.counters.refusals[refusal.kind() as usize] += 1;
        let mut text = Vec::new();
        refusal.write(&mut text);
        self.fill(key, seq, Reply::Bytes(&text));
    }

    /// `SCRIPT EXISTS sha …`: what every node has, and what is remembered if any node has it, for that will be told to the
    /// others when they need it.
    fn script_exists(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
        let remembered = |digits: &[u8]| Sha::parse(digits).is_some_and(|sha| self.scripts.text(sha).is_some());
        let marks: Vec<u16> = (2..request.args.len()).map(|at| u16::from(remembered(request.arg(at)))).collect();
        self.send_all_marked(key, Kind::All(Gather::And), false, &marks, |out| out.extend_from_slice(request.bytes))
    }

    /// Notes the script that a queued command calls by its digest.
    pub(super) fn note_digest(&mut self, key: ClientKey, request: Request<'_>, row: &Row) {
        if row.route != Route::Script(Script::EvalSha) {
            return;
        }
        let special = self.client_mut(key).and_then(|client| client.special.as_deref_mut());
        let transaction = special.and_then(|special| special.transaction.as_deref_mut());
        if let (Some(sha), Some(transaction)) = (Sha::parse(request.arg(1)), transaction)
            && !transaction.aborted
            && !transaction.scripts.contains(&sha)
        {
            transaction.scripts.push(sha);
        }
    }

    /// Notes what a command of a block that runs says of scripts.
    pub(super) fn note_script(&mut self, request: Request<'_>, which: Script) {
        match which {
            Script::Eval => self.seen.show(request.arg(1), Shown::Run, &self.scripts),
            // With one node these go with the block.
            Script::Load => self.seen.show(request.arg(2), Shown::Loaded, &self.scripts),
            Script::Flush => self.forget_scripts(request),
            Script::EvalSha | Script::Exists => {}
        }
    }

    /// Tells the node of a block the scripts that the block calls: inside it, NOSCRIPT would come too late.
    pub(super) fn load_first(&mut self, key: ClientKey, pipe: PipeId) {
        let special = self.client_mut(key).and_then(|client| client.special.as_deref_mut());
        let transaction = special.and_then(|special| special.transaction.as_deref_mut());
        let shas = transaction.map(|transaction| std::mem::take(&mut transaction.scripts)).unwrap_or_default();
        for sha in shas {
            if let Some(text) = self.scripts.text(sha) {
                self.pipes[pipe.index()].scripts.insert(sha, &self.scripts);
                self.load(pipe, &text);
            }
        }
    }
}
