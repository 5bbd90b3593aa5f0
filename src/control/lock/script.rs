//! What happens on the nodes: the scripts of the protocol, how they are asked for, and what their answers say.
//!
//! ```text
//!  keeper ── Script ──► write ──► EVALSHA … ──► node ──► [letter, seconds, microseconds, …] ──► read ──► Said, its clock
//! ```
//! Everything lies in db 0 of a node, whatever db a lock is of:
//!
//! | key | what |
//! |---|---|
//! | `circlet:lock:NAME`, `circlet:lock@DB:NAME` | hash: `t` token, `v` the client's value, `f` fence once round 2 came, `c` holds; ttl |
//! | `circlet:fences` | hash: the largest fence of each [`slot`] |
//! | `circlet:admit` | the node's run_id: it has forgotten nothing since; no ttl |
//!
//! Each script takes TIME first, so that a jump of the node's clock is seen in the same vote. Those that take or extend
//! refuse without the marker, before they do anything. Numbers above 2^53 are none in Lua, and fences stay below; they travel as
//! text, because Lua would write a large one with an exponent. Every command here is known since Redis 4.0. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;

use super::keeper::{Held, Mine, Said, Script, Token, slot};
use crate::{
    control::lua::Lua,
    traffic::{
        lock::{FREED, LockName},
        resp::encode,
    },
};

/// The marker of an admitted node.
pub(super) const ADMIT: &str = "circlet:admit";
const FENCES: &str = "circlet:fences";

/// Longest time that a key is said to have still, ms: of one that somebody made last for ever.
const FOR_EVER_MS: u64 = u32::MAX as u64;

/// KEYS: lock, fences, marker. ARGV: run_id, slot, token, value, ttl.
static TAKE: Lua = Lua::new(
    "
local now = redis.call('TIME')
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return {'N', now[1], now[2]} end
local fence = redis.call('HGET', KEYS[2], ARGV[2]) or '0'
local left = redis.call('PTTL', KEYS[1])
if left ~= -2 then
  local k = redis.call('HMGET', KEYS[1], 't', 'v', 'f', 'c')
  return {'K', now[1], now[2], 0, fence, left, k[1], k[2], k[3], k[4]}
end
redis.call('HSET', KEYS[1], 't', ARGV[3], 'v', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {'T', now[1], now[2], fence}",
);

/// KEYS: lock, fences, marker. ARGV: run_id, slot, token, fence.
static FENCE: Lua = Lua::new(
    "
local now = redis.call('TIME')
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return {'N', now[1], now[2]} end
local stored = redis.call('HGET', KEYS[2], ARGV[2]) or '0'
if tonumber(ARGV[4]) <= tonumber(stored) then return {'F', now[1], now[2], 0, stored} end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
if redis.call('HGET', KEYS[1], 't') == ARGV[3] then redis.call('HSET', KEYS[1], 'f', ARGV[4]) end
return {'F', now[1], now[2], 1, ARGV[4]}",
);

/// KEYS: lock, fences, marker. ARGV: run_id, slot, 't' or 'v' (what shows that it is one's own), that token or value, ttl, holds
/// or '', '1' if it is taken where there is none, and then value and fence. What is taken so raises the fence as well.
static EXTEND: Lua = Lua::new(
    "
local now = redis.call('TIME')
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return {'N', now[1], now[2]} end
local fence = redis.call('HGET', KEYS[2], ARGV[2]) or '0'
local mine = 0
if redis.call('EXISTS', KEYS[1]) == 1 then
  if redis.call('HGET', KEYS[1], ARGV[3]) == ARGV[4] then mine = 1 end
elseif ARGV[7] == '1' then
  redis.call('HSET', KEYS[1], 't', ARGV[4], 'v', ARGV[8], 'f', ARGV[9])
  if tonumber(ARGV[9]) > tonumber(fence) then
    redis.call('HSET', KEYS[2], ARGV[2], ARGV[9])
    fence = ARGV[9]
  end
  mine = 1
end
if mine == 1 then
  if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'c', ARGV[6]) end
  redis.call('PEXPIRE', KEYS[1], ARGV[5])
end
local left = redis.call('PTTL', KEYS[1])
if left == -2 then return {'K', now[1], now[2], 0, fence} end
local k = redis.call('HMGET', KEYS[1], 't', 'v', 'f', 'c')
return {'K', now[1], now[2], mine, fence, left, k[1], k[2], k[3], k[4]}",
);

/// KEYS: lock. ARGV: 't', 'v' or '' (whoever's it is), that token or value, the channel. Tells those that wait.
static RELEASE: Lua = Lua::new(
    "
local now = redis.call('TIME')
if ARGV[1] ~= '' and redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return {'R', now[1], now[2], 0} end
local gone = redis.call('DEL', KEYS[1])
if gone == 1 then redis.call('PUBLISH', ARGV[3], '') end
return {'R', now[1], now[2], gone}",
);

/// KEYS: lock, fences, marker. ARGV: run_id, slot.
static READ: Lua = Lua::new(
    "
local now = redis.call('TIME')
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return {'N', now[1], now[2]} end
local fence = redis.call('HGET', KEYS[2], ARGV[2]) or '0'
local left = redis.call('PTTL', KEYS[1])
if left == -2 then return {'K', now[1], now[2], 0, fence} end
local k = redis.call('HMGET', KEYS[1], 't', 'v', 'f', 'c')
return {'K', now[1], now[2], 0, fence, left, k[1], k[2], k[3], k[4]}",
);

/// All of them: what a line loads first.
static ALL: [&Lua; 5] = [&TAKE, &FENCE, &EXTEND, &RELEASE, &READ];

/// Their texts.
pub fn texts() -> impl Iterator<Item = &'static str> {
    ALL.iter().map(|lua| lua.text())
}

/// The key of a lock.
fn key(lock: &LockName) -> Vec<u8> {
    let mut key =
        if lock.db == 0 { b"circlet:lock:".to_vec() } else { format!("circlet:lock@{}:", lock.db).into_bytes() };
    key.extend_from_slice(&lock.name);
    key
}

/// The channel on which a lock's releases are told.
pub(super) fn channel(lock: &LockName) -> Vec<u8> {
    [FREED, itoa::Buffer::new().format(lock.db).as_bytes(), b":", &lock.name].concat()
}

/// The script that asks for this; `None`: a plain command.
pub(super) fn lua(script: &Script) -> Option<&'static Lua> {
    Some(match script {
        Script::Take { .. } => &TAKE,
        Script::Fence { .. } => &FENCE,
        Script::Extend { .. } => &EXTEND,
        Script::Release { .. } => &RELEASE,
        Script::Read { .. } => &READ,
        Script::Admit { .. } => return None,
    })
}

/// The lock it is about.
pub(super) fn lock(script: &Script) -> Option<&LockName> {
    match script {
        Script::Take { lock, .. }
        | Script::Fence { lock, .. }
        | Script::Extend { lock, .. }
        | Script::Release { lock, .. }
        | Script::Read { lock, .. } => Some(lock),
        Script::Admit { .. } => None,
    }
}

/// A request in the making: its words are counted before they are written.
struct Request<'o> {
    out: &'o mut Vec<u8>,
}

impl Request<'_> {
    fn word(&mut self, word: impl AsRef<[u8]>) {
        encode::bulk(self.out, word.as_ref());
    }

    fn number(&mut self, number: u64) {
        self.word(itoa::Buffer::new().format(number));
    }
}

/// An EVALSHA with these keys, behind which `args` more words follow.
fn evalsha<'o>(out: &'o mut Vec<u8>, lua: &Lua, lock: &LockName, keys: usize, args: usize) -> Request<'o> {
    encode::array_header(out, 3 + keys + args);
    let mut request = Request { out };
    request.word("EVALSHA");
    request.word(lua.sha());
    request.number(keys as u64);
    request.word(key(lock));
    if keys == 3 {
        request.word(FENCES);
        request.word(ADMIT);
    }
    request
}

/// What shows that a lock is one's own: its field, and what stands there.
fn proof(mine: &Mine) -> (&'static str, Bytes) {
    match mine {
        Mine::Token(token) => ("t", Bytes::from(token.hex())),
        Mine::Value(value) => ("v", value.clone()),
    }
}

/// Appends the request that asks for `script`.
pub fn write(script: &Script, out: &mut Vec<u8>) {
    match script {
        Script::Take { lock, run_id, token, value, ttl_ms } => {
            let mut request = evalsha(out, &TAKE, lock, 3, 5);
            request.word(run_id);
            request.number(u64::from(slot(lock)));
            request.word(token.hex());
            request.word(value);
            request.number(*ttl_ms);
        }
        Script::Fence { lock, run_id, token, fence } => {
            let mut request = evalsha(out, &FENCE, lock, 3, 4);
            request.word(run_id);
            request.number(u64::from(slot(lock)));
            request.word(token.hex());
            request.number(*fence);
        }
        Script::Extend { lock, run_id, proof: mine, ttl_ms, or_take, holds } => {
            let mut request = evalsha(out, &EXTEND, lock, 3, 9);
            let (field, shown) = proof(mine);
            // What is taken needs a token.
            let take = or_take.as_ref().filter(|_| matches!(mine, Mine::Token(_)));
            request.word(run_id);
            request.number(u64::from(slot(lock)));
            request.word(field);
            request.word(shown);
            request.number(*ttl_ms);
            match holds {
                Some(holds) => request.number(u64::from(*holds)),
                None => request.word(""),
            }
            request.word(if take.is_some() { "1" } else { "0" });
            request.word(take.map_or(&[][..], |(value, _)| value));
            request.number(take.map_or(0, |(_, fence)| *fence));
        }
        Script::Release { lock, proof: mine } => {
            let mut request = evalsha(out, &RELEASE, lock, 1, 3);
            let (field, shown) = mine.as_ref().map_or(("", Bytes::new()), proof);
            request.word(field);
            request.word(shown);
            request.word(channel(lock));
        }
        Script::Read { lock, run_id } => {
            let mut request = evalsha(out, &READ, lock, 3, 2);
            request.word(run_id);
            request.number(u64::from(slot(lock)));
        }
        Script::Admit { run_id } => words(&["SET", ADMIT, run_id], out),
    }
}

/// Appends a plain command.
pub(super) fn words(words: &[&str], out: &mut Vec<u8>) {
    encode::array_header(out, words.len());
    words.iter().for_each(|word| encode::bulk(out, word.as_bytes()));
}

/// What a node has answered to `script`, and its clock (µs since 1970); `None`: nothing that makes sense.
#[must_use]
pub fn read(script: &Script, frame: BytesFrame) -> Option<(Said, Option<u64>)> {
    let mut items = match (script, frame) {
        (_, BytesFrame::Error(line)) => return Some((Said::Error(line.to_string()), None)),
        (Script::Admit { .. }, BytesFrame::SimpleString(_)) => return Some((Said::Done, None)),
        (_, BytesFrame::Array(items)) => items.into_iter(),
        _ => return None,
    };
    let letter = text(items.next()?)?;
    let clock = count(items.next()?)? * 1_000_000 + count(items.next()?)?;
    let said = match (&letter[..], script) {
        (b"N", _) => Said::NotAdmitted,
        (b"T", Script::Take { token, value, ttl_ms, .. }) => {
            let held = Held { token: *token, value: value.clone(), pttl_ms: *ttl_ms, fence: 0, holds: 1 };
            Said::Key { mine: true, held: Some(held), fence: count(items.next()?)? }
        }
        (b"K", _) => {
            let (mine, fence) = (count(items.next()?)? == 1, count(items.next()?)?);
            match items.next() {
                None => Said::Key { mine, held: None, fence },
                Some(left) => match held(&left, items) {
                    Some(held) => Said::Key { mine, held: Some(held), fence },
                    // Somebody has written what looks like a lock's key.
                    None => Said::Error("its key is not one of Circlet's; delete it there".to_owned()),
                },
            }
        }
        (b"F", _) => Said::Fence { accepted: count(items.next()?)? == 1, stored: count(items.next()?)? },
        (b"R", _) => Said::Released(count(items.next()?)? == 1),
        _ => return None,
    };
    Some((said, Some(clock)))
}

fn held(left: &BytesFrame, mut fields: impl Iterator<Item = BytesFrame>) -> Option<Held> {
    let pttl_ms = match left {
        BytesFrame::Integer(left) => u64::try_from(*left).unwrap_or(FOR_EVER_MS),
        _ => return None,
    };
    let token = Token::from_hex(&text(fields.next()?)?)?;
    let value = text(fields.next()?)?;
    let mut number = |absent| match fields.next() {
        None | Some(BytesFrame::Null) => Some(absent),
        Some(frame) => count(frame),
    };
    let (fence, holds) = (number(0)?, number(1)?);
    Some(Held { token, value, pttl_ms, fence, holds: u32::try_from(holds).ok()? })
}

fn text(frame: BytesFrame) -> Option<Bytes> {
    match frame {
        BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => Some(bytes),
        _ => None,
    }
}

fn count(frame: BytesFrame) -> Option<u64> {
    match frame {
        BytesFrame::Integer(number) => u64::try_from(number).ok(),
        frame => std::str::from_utf8(&text(frame)?).ok()?.parse().ok(),
    }
}
