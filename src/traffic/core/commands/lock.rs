//! LOCK.ACQUIRE, LOCK.EXTEND, LOCK.RELEASE, LOCK.INFO, LOCK.LIST: wishes that the control plane fulfils.
//!
//! ```text
//!  LOCK.ACQUIRE ─ earlier replies first ─► Ask::Lock ─► … ─► Message::Answer ─► the session goes on
//!                                            │  the session ends, is killed, RESET: Ask::LockGone, nobody waits for nobody
//!                                            │  CLIENT UNBLOCK: Ask::LockUnblock; nil, or -UNBLOCKED
//! ```
//! What a client did before it asks for a lock has happened when it has it, and what it sends behind waits until it knows:
//! so earlier replies come first, and the session takes no further request until it is answered. One that may wait is read
//! meanwhile, so that its end is seen; the others are answered in bounded time, and one that has closed its side is still
//! answered. Waiting is no work of a node and does not count for SLOWLOG. In a transaction a lock would have to be had before
//! the block runs, by somebody who does not know yet whether it can be had: refused, with the cure.
//!
//! - `LOCK.ACQUIRE name ttl-ms [WAIT ms] [OWNER text] [SESSION]`: `[token, fence, validity-ms, waited-ms]`, or nil if it was
//!   not to be had in time. SESSION: renewed while the connection lives, and freed when it ends or says RESET.
//! - `LOCK.EXTEND name token ttl-ms`: `[fence, validity-ms]`, or `-LOCKLOST`.
//! - `LOCK.RELEASE name token`: 1, or 0 if it was no longer held; `LOCK.RELEASE name FORCE` frees anybody's, for administrators.
//! - `LOCK.INFO name`, `LOCK.LIST [pattern]`: maps for people and programs.
//!
//! Names are any bytes; the options of ACQUIRE stand in any order. Bounded by [`MAX_NAME`] and [`MAX_VALUE`]. Pure.

use bytes::Bytes;

use super::{NOT_AN_INTEGER, SYNTAX, integer};
use crate::traffic::{
    client::{Blocked, ClientKey, LockWait, Pause, Reply},
    command::Lock,
    control::Ask,
    core::{
        Asker, Core,
        request::{Request, Taken},
    },
    lock::{Form, LockAsk, LockName, MAX_NAME, MAX_VALUE, Proof, Want, command::within},
    refusal::Refusal,
    resp::{Proto, encode},
};

/// What LOCK.HELP answers, in the form of Redis's HELP.
const HELP: &[&str] = &[
    "LOCK.<command> <arg> [value] [opt] ... Locks over a majority of several nodes. Commands are:",
    "LOCK.ACQUIRE <name> <ttl-ms> [WAIT <ms>] [OWNER <text>] [SESSION]",
    "    Take a lock for <ttl-ms>: [token, fence, validity-ms, waited-ms], or nil if it is taken (until WAIT is over).",
    "    It is yours until validity-ms + waited-ms after you sent this. Give the fence to the resource that it guards.",
    "    OWNER is shown to people; SESSION renews it while this connection lives, and frees it with it.",
    "LOCK.EXTEND <name> <token> <ttl-ms>",
    "    Keep it for <ttl-ms> from now: [fence, validity-ms], or an error if it is not yours any more.",
    "LOCK.HELP",
    "    Print this help.",
    "LOCK.INFO <name>",
    "    Who holds it, what each node says of it, and why an acquire would fail now.",
    "LOCK.LIST [<pattern>]",
    "    The locks that this Circlet has granted or is waited for at (default: all).",
    "LOCK.RELEASE <name> <token>|FORCE",
    "    Free it: 1, or 0 if it was no longer held. FORCE frees anybody's; only administrators may.",
];

/// Not what LOCK.ACQUIRE gives.
const NO_TOKEN: &str = "ERR the token is what LOCK.ACQUIRE has answered first: 32 hexadecimal digits";

impl Core {
    /// A command about locks.
    pub(in crate::traffic::core) fn lock(&mut self, key: ClientKey, request: Request<'_>, which: Lock) -> Taken {
        if which == Lock::Help {
            self.answer(key, |out| {
                encode::array_header(out, HELP.len());
                HELP.iter().for_each(|line| encode::simple(out, line));
            });
            return Taken::Yes;
        }
        let force = which == Lock::Release && request.arg(2).eq_ignore_ascii_case(b"FORCE");
        if force && !self.is_admin(key) {
            self.refuse(key, &Refusal::Redis(super::circlet::NO_ADMIN));
            return Taken::Yes;
        }
        let max_ttl_ms = self.max_ttl_ms();
        match wish(request, which, max_ttl_ms) {
            Ok((name, want)) => self.ask_for_lock(key, name, want, Form::Lock, LockWait::default()),
            Err(text) => {
                self.refuse(key, &Refusal::Redis(&text));
                Taken::Yes
            }
        }
    }

    /// The longest time that a lock may be asked for, ms.
    pub(super) fn max_ttl_ms(&self) -> u64 {
        u64::try_from(self.settings.locks.max_ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// Asks the control plane; the session goes on when it has answered. `then` is what is done at the answer.
    pub(super) fn ask_for_lock(
        &mut self,
        key: ClientKey,
        name: &[u8],
        want: Want,
        form: Form,
        then: LockWait,
    ) -> Taken {
        if self.awaits_replies(key) {
            return Taken::Later;
        }
        let Some(asker) = self.ask(key) else { return Taken::Yes };
        let waits = matches!(want, Want::Acquire { wait_ms: 1.., .. });
        let acquires = matches!(want, Want::Acquire { .. });
        let since_us = self.now_us;
        self.counters.blocked += u64::from(waits);
        let Some(client) = self.client_mut(key) else { return Taken::Yes };
        client.pause = if waits { Pause::Blocked } else { Pause::Order };
        let (db, session, resp3) = (client.db, client.record.id, client.proto == Proto::Resp3);
        if waits {
            client.record.mark(crate::traffic::client::Record::BLOCKED, true);
        }
        let special = client.special_mut();
        special.locks |= acquires;
        special.lock = Some(LockWait { seq: asker.seq, waits, ..then });
        if waits {
            let (pipes, request) = (Vec::new(), Vec::new());
            special.blocked = Some(Blocked { pipes, seq: asker.seq, whole: false, request, since_us, moves: false });
        }
        let lock = LockName { db, name: Bytes::copy_from_slice(name) };
        self.control.ask(Ask::Lock(LockAsk { lock, want, form, resp3, session, asker }));
        Taken::Yes
    }

    /// The control plane, or another worker, has answered.
    pub(in crate::traffic::core) fn answered(&mut self, to: Asker, text: &[u8]) {
        let special = self.client_mut(to.key).and_then(|client| client.special.as_deref_mut());
        let done = special.and_then(|special| special.lock.take_if(|lock| lock.seq == to.seq));
        self.fill(to.key, to.seq, Reply::Bytes(text));
        if let Some(done) = done {
            self.after_lock(to.key, &done, text);
        }
    }

    /// CLIENT UNBLOCK of a session that may wait for a lock; false: it does not.
    pub(in crate::traffic::core) fn unblock_lock(&mut self, key: ClientKey, error: bool) -> bool {
        let Some(client) = self.client(key) else { return false };
        if !client.special.as_ref().is_some_and(|special| special.lock.as_ref().is_some_and(|lock| lock.waits)) {
            return false;
        }
        self.control.ask(Ask::LockUnblock { session: client.record.id, error });
        true
    }

    /// The session waits for no lock any more, and those that end with it are free.
    pub(in crate::traffic::core) fn leave_locks(&mut self, key: ClientKey) {
        let Some(client) = self.client_mut(key) else { return };
        let id = client.record.id;
        let Some(special) = client.special.as_mut() else { return };
        special.lock = None;
        if std::mem::take(&mut special.locks) {
            self.control.ask(Ask::LockGone(id));
        }
    }
}

/// What a LOCK command wants, of which lock; else the error line.
fn wish<'a>(request: Request<'a>, which: Lock, max_ttl_ms: u64) -> Result<(&'a [u8], Want), String> {
    let name = request.arg(1);
    if which == Lock::List {
        return match request.args.len() {
            1 => Ok((b"", Want::List { pattern: Bytes::from_static(b"*") })),
            2 if name.len() <= MAX_NAME => Ok((b"", Want::List { pattern: Bytes::copy_from_slice(name) })),
            _ => Err(SYNTAX.to_owned()),
        };
    }
    is_name(name)?;
    let want = match which {
        Lock::Acquire => acquire(request, max_ttl_ms)?,
        Lock::Extend => {
            let proof = token(request.arg(2))?;
            Want::Extend { proof, ttl_ms: ttl(request.arg(3), "lock.extend", max_ttl_ms)?, more: false }
        }
        Lock::Release if request.arg(2).eq_ignore_ascii_case(b"FORCE") => Want::Release { proof: None, once: false },
        Lock::Release => Want::Release { proof: Some(token(request.arg(2))?), once: false },
        Lock::Info | Lock::List | Lock::Help => Want::Info,
    };
    Ok((name, want))
}

/// `LOCK.ACQUIRE name ttl-ms [WAIT ms] [OWNER text] [SESSION]`
fn acquire(request: Request<'_>, max_ttl_ms: u64) -> Result<Want, String> {
    let ttl_ms = ttl(request.arg(2), "lock.acquire", max_ttl_ms)?;
    let (mut wait_ms, mut owner, mut session) = (None, None, false);
    let mut at = 3;
    while at < request.args.len() {
        let (option, value) = (request.arg(at), request.args.get(at + 1).map(|arg| arg.of(request.bytes)));
        match value {
            Some(value) if option.eq_ignore_ascii_case(b"WAIT") && wait_ms.is_none() => wait_ms = Some(wait(value)?),
            Some(value) if option.eq_ignore_ascii_case(b"OWNER") && owner.is_none() => owner = Some(is_value(value)?),
            _ if option.eq_ignore_ascii_case(b"SESSION") && !session => {
                session = true;
                at += 1;
                continue;
            }
            _ => return Err(SYNTAX.to_owned()),
        }
        at += 2;
    }
    let value = Bytes::copy_from_slice(owner.unwrap_or_default());
    Ok(Want::Acquire { ttl_ms, wait_ms: wait_ms.unwrap_or(0), value, session, again: false })
}

/// How long somebody waits, as BLPOP and its kin read it, but in ms.
fn wait(text: &[u8]) -> Result<u64, String> {
    match integer(text).map(u64::try_from) {
        Some(Ok(wait_ms)) => Ok(wait_ms),
        Some(Err(_)) => Err("ERR timeout is negative".to_owned()),
        None => Err("ERR timeout is not an integer or out of range".to_owned()),
    }
}

/// A time to live in ms; `command` is in lower case, as Redis prints it.
fn ttl(text: &[u8], command: &str, max_ttl_ms: u64) -> Result<u64, String> {
    let ttl_ms = integer(text).ok_or_else(|| NOT_AN_INTEGER.to_owned())?;
    within(ttl_ms, command, max_ttl_ms)
}

/// Whether a lock may be called so.
fn is_name(name: &[u8]) -> Result<(), String> {
    match name.len() {
        0 => Err("ERR a lock needs a name that is not empty".to_owned()),
        1..=MAX_NAME => Ok(()),
        len => Err(format!("ERR the name of a lock may have {MAX_NAME} bytes, and this one has {len}")),
    }
}

/// An owner's text, or a value, if it is not too long.
pub(super) fn is_value(value: &[u8]) -> Result<&[u8], String> {
    match value.len() {
        0..=MAX_VALUE => Ok(value),
        len => Err(format!("ERR the value of a lock may have {MAX_VALUE} bytes, and this one has {len}")),
    }
}

fn token(text: &[u8]) -> Result<Proof, String> {
    let is_token = text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit);
    is_token.then(|| Proof::Token(Bytes::copy_from_slice(text))).ok_or_else(|| NO_TOKEN.to_owned())
}
