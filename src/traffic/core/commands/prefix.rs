//! Keys under `lock.prefix` are locks: commands and scripts on them are wishes of locks, and never reach a node.
//!
//! ```text
//!  request ─ names no such key ──────────────────────────► gate, modes, route
//!          └ names one ─┬─ a command that works on locks ─┐
//!                       ├─ a script that does (EVAL, SHA) ┴► Ask::Lock ─► … ─► what Redis would have answered
//!                       └─ anything else ─► an error that says what to send instead
//! ```
//! So lock libraries that know one Redis get locks over a majority, unchanged; what each command and script means stands in
//! [`lock::command`] and [`lock::script`]. The name of the lock is the whole key, and LOCK.INFO knows it by that. The proof of
//! a client is the value that it set: whoever knows it may extend and free the lock, and DEL frees anybody's.
//!
//! Invariant: no request with such a key among its keys is sent to a node, whatever the command, in a transaction or not; a
//! test goes over the whole table. (What a script's text names without KEYS nobody sees; it finds no lock there.) Off by
//! default, and then nothing comes here: one bit of [`Watch`], which every request looks at anyway.
//!
//! A script may do something beside its lock: messages (Redisson wakes those that wait so), signal keys. It is done when the
//! answer says that the script has what it wanted; a key that moves to another node at that moment is left out, for nobody
//! may rely on a signal that a crash could swallow as well. Pure.
//!
//! [`lock::command`]: crate::traffic::lock::command
//! [`lock::script`]: crate::traffic::lock::script
//! [`Watch`]: crate::traffic::core::observe

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_128;

use super::lock::is_value;
use crate::traffic::{
    client::{ClientKey, LockWait, Modes, Then},
    command::{Route, Row, Script, spec::Access},
    core::{
        Core,
        dispatch::NoPipe,
        observe::Watch,
        request::{Request, Taken},
    },
    lock::{
        Form, Program, Proof, Want,
        command::{self, Rules, within},
        known,
        script::{self, Meaning},
    },
    refusal::Refusal,
    resp::{Proto, encode},
    route::Place,
    scripts::{Sha, Shown},
};

/// Scripts that a worker has read; past it they are read again.
const PROGRAMS: usize = 1_024;

/// Redis's text for a script that it does not know.
const NOSCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// Scripts that were read, by a hash of their texts; `None`: not understood.
pub(in crate::traffic::core) type Programs = FxHashMap<u128, Option<Arc<Program>>>;

impl Core {
    /// What stands between a request and its route while nodes change, or while keys may be locks.
    #[cold]
    pub(in crate::traffic::core) fn guard(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Option<Taken> {
        if self.watch.has(Watch::PREFIX)
            && let Some(taken) = self.on_prefix(key, request, row)
        {
            return Some(taken);
        }
        if self.watch.has(Watch::MOVING) { self.gate(key, request, row) } else { None }
    }

    /// A request that names a lock; `None`: it names none.
    fn on_prefix(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Option<Taken> {
        let (first, several) = self.lock_among(request, row)?;
        if let Some(taken) = self.while_hearing(key, row) {
            return Some(taken);
        }
        let modes = self.client(key)?.modes;
        if modes.has(Modes::QUEUEING) {
            return Some(self.reject(key, row, &Refusal::LockInTransaction(&row.name)));
        }
        self.caching_is_over(key, &row.name);
        let name = request.arg(first as usize);
        let wish = if several {
            Err(command::refusal(&row.name, name, "it names several locks, and each is asked for on its own"))
        } else if let Route::Script(which @ (Script::Eval | Script::EvalSha)) = row.route {
            self.scripted(key, request, row, which, name)
        } else {
            self.plain(request, row, name)
        };
        Some(match wish {
            Ok((want, form, then)) => {
                let uncached = modes.has(Modes::TRACKING).then(|| Bytes::copy_from_slice(name));
                self.ask_for_lock(key, name, want, form, LockWait { then, uncached, ..LockWait::default() })
            }
            Err(text) => self.reject(key, row, &Refusal::Redis(&text)),
        })
    }

    /// The argument that is the first lock among a request's keys, and whether there are others.
    fn lock_among(&mut self, request: Request<'_>, row: &Row) -> Option<(u32, bool)> {
        let settings = Arc::clone(&self.settings);
        let is_lock = |index: u32| request.arg(index as usize).starts_with(&settings.locks.prefix);
        if let Some(index) = row.single_key() {
            return is_lock(index).then_some((index, false));
        }
        let mut keys = std::mem::take(&mut self.scratch.keys);
        keys.clear();
        named_apart(request, row, &mut keys);
        // Channels are no keys.
        if !row.specs.iter().all(|spec| spec.access.has(Access::NOT_KEY)) {
            let found = row.find_keys(request.args, request.bytes, self.patterns(), &mut keys);
            if found.is_err() {
                // An error at every node; but what they make of it need not be relied on.
                keys.extend(1..u32::try_from(request.args.len()).unwrap_or(u32::MAX));
            }
        }
        let mut locks = keys.iter().copied().filter(|index| is_lock(*index));
        let found = locks.next().map(|first| {
            let name = request.arg(first as usize);
            (first, locks.any(|other| request.arg(other as usize) != name))
        });
        self.scratch.keys = keys;
        found
    }

    /// What a plain command wants of the lock that it names.
    fn plain(&self, request: Request<'_>, row: &Row, lock: &[u8]) -> Result<Wish, String> {
        let words: Vec<&[u8]> = (0..request.args.len().min(16)).map(|index| request.arg(index)).collect();
        let unix_ms = (self.zero + std::time::Duration::from_micros(self.now_us)).as_millis() as i64;
        let rules = Rules { command: &row.name, words: &words, lock, unix_ms, max_ttl_ms: self.max_ttl_ms() };
        let (want, form) = rules.wish()?;
        checked(&want)?;
        Ok((want, form, None))
    }

    /// What a script wants of the lock that it names.
    fn scripted(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        row: &Row,
        which: Script,
        name: &[u8],
    ) -> Result<Wish, String> {
        let text = if which == Script::Eval {
            self.seen.show(request.arg(1), Shown::Run, &self.scripts);
            Bytes::copy_from_slice(request.arg(1))
        } else {
            let sha = Sha::parse(request.arg(1));
            let text = sha.and_then(|sha| self.scripts.text(sha).or_else(|| known::text(request.arg(1))));
            text.ok_or_else(|| NOSCRIPT.to_owned())?
        };
        // There is a key, so this number is one.
        let count = super::integer(request.arg(2)).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let words: Vec<&[u8]> = (3..request.args.len()).map(|index| request.arg(index)).collect();
        let (keys, args) = words.split_at_checked(count).unwrap_or_default();
        let proto = self.proto(key);
        let program = self.program(&text);
        let meaning = program.and_then(|program| script::meaning(&program, keys, args, name, proto).ok());
        let meaning = meaning.filter(|meaning| !row.is_read() || meaning.want == Want::Read);
        let why = "Circlet does not see that this script only takes, extends, frees or looks at it";
        let Meaning { mut want, words, commands } = meaning.ok_or_else(|| command::refusal(&row.name, name, why))?;
        checked(&want)?;
        if let Want::Acquire { ttl_ms, .. } | Want::Extend { ttl_ms, .. } = &mut want {
            let asked = i64::try_from(*ttl_ms).unwrap_or(i64::MAX);
            *ttl_ms = within(asked, &row.name, self.max_ttl_ms())?;
        }
        let then = match &words.done {
            script::Word::Text(at) if !commands.is_empty() => Some(Box::new(Then { at: at.to_vec(), commands })),
            _ => None,
        };
        Ok((want, Form::Script(Box::new(words)), then))
    }

    /// A script that was read, now or before.
    fn program(&mut self, text: &[u8]) -> Option<Arc<Program>> {
        let hash = xxh3_128(text);
        if let Some(known) = self.programs.get(&hash) {
            return known.clone();
        }
        if self.programs.len() >= PROGRAMS {
            self.programs.clear();
        }
        let program = Program::parse(text).ok().map(Arc::new);
        self.programs.insert(hash, program.clone());
        program
    }

    /// What follows an answer about a lock.
    pub(super) fn after_lock(&mut self, key: ClientKey, done: &LockWait, text: &[u8]) {
        if let Some(name) = &done.uncached {
            // The nodes know nothing of this key, so that nobody would tell the client when it changes.
            let mut keys = Vec::new();
            encode::array_header(&mut keys, 1);
            encode::bulk(&mut keys, name);
            self.invalidate(key, Some(&keys));
        }
        if let Some(then) = done.then.as_ref().filter(|then| then.at == text) {
            then.commands.iter().for_each(|words| self.send_beside(key, words));
        }
    }

    /// Sends what a script does beside its lock; nobody waits for it.
    fn send_beside(&mut self, key: ClientKey, words: &[Bytes]) {
        let (Some(client), [name, about, ..]) = (self.client(key), words) else { return };
        let topology = Arc::clone(&self.snapshot.topology);
        let is_message = name.eq_ignore_ascii_case(b"publish") || name.eq_ignore_ascii_case(b"spublish");
        let node = match topology.place(about) {
            _ if is_message => topology.speaker(about),
            Place::At(node) => node,
            Place::Fenced | Place::Moving(..) => return,
        };
        let db = client.db;
        if let Ok(pipe) | Err(NoPipe::Full(pipe)) = self.pipe_for(node, db, Proto::Resp2) {
            let words: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
            self.send_unwanted(pipe, &words);
        }
    }
}

/// A wish, the shape of its answer, and what is done when it is fulfilled.
type Wish = (Want, Form, Option<Box<Then>>);

/// Whether no value is longer than a lock may keep.
fn checked(want: &Want) -> Result<(), String> {
    match want {
        Want::Acquire { value, .. }
        | Want::Extend { proof: Proof::Value(value), .. }
        | Want::Release { proof: Some(Proof::Value(value)), .. } => is_value(value).map(|_| ()),
        _ => Ok(()),
    }
}

/// Pushes arguments that name keys, though the row does not say so: patterns of SORT, keys of DEBUG.
fn named_apart(request: Request<'_>, row: &Row, keys: &mut Vec<u32>) {
    let count = u32::try_from(request.args.len()).unwrap_or(u32::MAX);
    match row.name.as_str() {
        "debug" => keys.extend(2..count),
        "sort" | "sort_ro" => keys.extend((3..count).filter(|index| {
            let before = request.arg(*index as usize - 1);
            before.eq_ignore_ascii_case(b"BY") || before.eq_ignore_ascii_case(b"GET")
        })),
        _ => {}
    }
}
