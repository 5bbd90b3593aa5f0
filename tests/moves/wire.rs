//! Calls as requests, and replies as what a client was told.

use super::{
    keys::{Class, Object, id_of, value},
    linear::{Call, Reply},
};
use crate::support::{
    client::shown,
    resp::{self, Value},
};

/// Requests that belong together, and the calls that they are.
#[derive(Debug)]
pub struct Ask {
    pub parts: Vec<(Object, Call)>,
    /// Whether it is one request for several objects: MSET or MGET.
    several: bool,
    pub bytes: Vec<u8>,
    /// Replies to read.
    pub replies: usize,
    /// Whether it may wait at the node.
    pub blocks: bool,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was executed, and this is the answer.
    Reply(Reply),
    /// Nothing was done.
    Nothing,
    /// It may have been executed, or may be later.
    Unknown,
}

/// Lua that writes both keys of a pair, and gives what the first held.
const SWAP: &str = "local old = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1]) \
                    redis.call('SET', KEYS[2], ARGV[1]) return old";

type Words = Vec<Vec<u8>>;

/// The words of a request, texts and bytes.
macro_rules! words {
    ($($word:expr),+) => { vec![$(Vec::from($word)),+] };
}

impl Ask {
    /// One call. `variant` chooses between the ways to make it; `end` gives an absolute time of expiry in ms.
    pub fn one(object: Object, call: Call, variant: u8, end: u64) -> Self {
        let requests = match object.class {
            Class::Pair => pair(&object, &call, variant),
            Class::Field => vec![field(&object, &call)],
            _ => vec![single(&object.key(), &call, variant, end)],
        };
        let blocks = requests[0][0] == b"BLPOP";
        Self { replies: requests.len(), bytes: encode(&requests), parts: vec![(object, call)], several: false, blocks }
    }

    /// MSET or MGET over several registers.
    pub fn several(parts: Vec<(Object, Call)>) -> Self {
        let mut request = words![if parts[0].1 == Call::Get { "MGET" } else { "MSET" }];
        for (object, call) in &parts {
            request.push(object.key().into());
            if let Call::Set(id) = call {
                request.push(value(*id));
            }
        }
        Self { parts, several: true, bytes: encode(&[request]), replies: 1, blocks: false }
    }

    /// What each part was told.
    pub fn told(&self, replies: &[Value]) -> Vec<Told> {
        // The last one tells: of a transaction that is EXEC.
        let (last, before) = replies.split_last().expect("there is a reply");
        if let Some(odd) = before.iter().find(|reply| !expected_before_exec(reply)) {
            return vec![nonsense(odd)];
        }
        match (&self.parts[..], last) {
            (parts, Value::Error(text)) => {
                let told = excuse(text, self.several);
                parts.iter().map(|_| told.clone()).collect()
            }
            (parts, Value::List(_, items)) if self.several && items.len() == parts.len() => {
                parts.iter().zip(items).map(|((object, call), item)| decode(object, call, item)).collect()
            }
            (parts, reply) => parts.iter().map(|(object, call)| decode(object, call, reply)).collect(),
        }
    }
}

fn encode(requests: &[Words]) -> Vec<u8> {
    let mut bytes = Vec::new();
    requests.iter().for_each(|request| resp::request(&mut bytes, request));
    bytes
}

fn single(key: &str, call: &Call, variant: u8, end: u64) -> Words {
    let member = |member: &u8| format!("m{member}");
    match call {
        Call::Get => words!["GET", key],
        Call::Set(id) => words!["SET", key, value(*id)],
        Call::SetNx(id) => words!["SETNX", key, value(*id)],
        Call::Swap(id) if variant.is_multiple_of(2) => words!["GETSET", key, value(*id)],
        Call::Swap(id) => words!["SET", key, value(*id), "GET"],
        Call::Take => words!["GETDEL", key],
        Call::Exists => words!["EXISTS", key],
        Call::Del if variant.is_multiple_of(2) => words!["DEL", key],
        Call::Del => words!["UNLINK", key],
        Call::Add(1) => words!["INCR", key],
        Call::Add(number) => words!["INCRBY", key, number.to_string()],
        Call::SAdd(at) => words!["SADD", key, member(at)],
        Call::SRem(at) => words!["SREM", key, member(at)],
        Call::IsMember(at) => words!["SISMEMBER", key, member(at)],
        Call::Members => words!["SMEMBERS", key],
        Call::Push(ids) => {
            let mut request = words!["RPUSH", key];
            request.extend(ids.iter().map(|id| value(*id)));
            request
        }
        Call::Pop if variant.is_multiple_of(2) => words!["LPOP", key],
        Call::Pop => words!["BLPOP", key, format!("0.{:02}", 1 + variant % 60)],
        Call::Len => words!["LLEN", key],
        Call::Items => words!["LRANGE", key, "0", "-1"],
        Call::SetUntil(id, _) => words!["SET", key, value(*id), "PXAT", end.to_string()],
        Call::ExpireAt(_) => words!["PEXPIREAT", key, end.to_string()],
        Call::Cas { .. } | Call::Wipe => unreachable!("not of one key"),
    }
}

fn field(object: &Object, call: &Call) -> Words {
    let (key, field) = (object.key(), object.name());
    match call {
        Call::Set(id) => words!["HSET", key, field, value(*id)],
        Call::SetNx(id) => words!["HSETNX", key, field, value(*id)],
        Call::Del => words!["HDEL", key, field],
        Call::Exists => words!["HEXISTS", key, field],
        _ => words!["HGET", key, field],
    }
}

fn pair(object: &Object, call: &Call, variant: u8) -> Vec<Words> {
    let (a, b) = (object.key(), object.second());
    let exec = |one, other| vec![words!["MULTI"], one, other, words!["EXEC"]];
    match call {
        Call::Set(id) if variant.is_multiple_of(2) => vec![words!["MSET", a, value(*id), b, value(*id)]],
        Call::Set(id) | Call::Cas { new: id, .. } => exec(words!["SET", a, value(*id)], words!["SET", b, value(*id)]),
        Call::Swap(id) => vec![words!["EVAL", SWAP, "2", a, b, value(*id)]],
        Call::Del if variant.is_multiple_of(2) => vec![words!["DEL", a, b]],
        Call::Del => exec(words!["DEL", a], words!["DEL", b]),
        _ if variant.is_multiple_of(2) => vec![words!["MGET", a, b]],
        _ => exec(words!["GET", a], words!["GET", b]),
    }
}

/// Of MULTI and what it queues. A refusal is told again by EXEC, which then does nothing.
fn expected_before_exec(reply: &Value) -> bool {
    match reply {
        Value::Scalar(b'+', text) => text == "OK" || text == "QUEUED",
        Value::Error(text) => excuse(text, false) == Told::Nothing,
        _ => false,
    }
}

/// What an error says. Errors that nobody expects say that something is wrong.
fn excuse(text: &str, several: bool) -> Told {
    match text.split(' ').next() {
        // Other nodes may have done their part.
        Some("NODEDOWN" | "LOADING" | "TRYAGAIN") if several => Told::Unknown,
        Some("NODEDOWN" | "LOADING" | "TRYAGAIN" | "EXECABORT") => Told::Nothing,
        Some("TIMEOUT" | "OUTCOMEUNKNOWN") => Told::Unknown,
        _ => Told::Reply(Reply::Nonsense(text.to_owned())),
    }
}

fn nonsense(reply: &Value) -> Told {
    Told::Reply(Reply::Nonsense(shown(format!("{reply:?}").as_bytes())))
}

fn decode(object: &Object, call: &Call, reply: &Value) -> Told {
    let told = match (object.class, call) {
        // Circlet may give up an EXEC that watches, though nothing changed.
        (_, Call::Cas { .. }) if *reply == Value::Null => return Told::Nothing,
        (_, Call::Cas { .. }) | (Class::Pair, Call::Set(_)) => done(reply),
        (Class::Pair, Call::Get) => both(reply, |items| match items {
            [a, b] if a == b => number_or_value(object, a),
            _ => None,
        }),
        (Class::Pair, Call::Del) => match reply {
            Value::Scalar(b':', _) if reply.number() % 2 == 0 => Some(Reply::Number(reply.number() / 2)),
            _ => both(reply, |items| match items {
                [a, b] if a == b => number_or_value(object, a),
                _ => None,
            }),
        },
        (Class::Field, Call::Set(_)) => matches!(reply, Value::Scalar(b':', _)).then_some(Reply::Done),
        (_, Call::Set(_) | Call::SetUntil(..)) => done(reply),
        (_, Call::Members) => both(reply, members),
        (_, Call::Items) => both(reply, |items| {
            items
                .iter()
                .map(|item| if let Value::Bulk(bytes) = item { id_of(bytes) } else { None })
                .collect::<Option<_>>()
                .map(Reply::Items)
        }),
        (_, Call::Pop) => match reply {
            // BLPOP names the key.
            Value::List(_, items) if items.len() == 2 && items[0].text() == object.key() => {
                number_or_value(object, &items[1])
            }
            _ => number_or_value(object, reply),
        },
        _ => number_or_value(object, reply),
    };
    told.map_or_else(|| nonsense(reply), Told::Reply)
}

/// `+OK`, or a transaction of them.
fn done(reply: &Value) -> Option<Reply> {
    let fine = |reply: &Value| *reply == Value::Scalar(b'+', "OK".to_owned());
    let all = match reply {
        Value::List(_, items) => items.len() == 2 && items.iter().all(fine),
        _ => fine(reply),
    };
    all.then_some(Reply::Done)
}

fn both(reply: &Value, read: impl Fn(&[Value]) -> Option<Reply>) -> Option<Reply> {
    if let Value::List(_, items) = reply { read(items) } else { None }
}

fn members(items: &[Value]) -> Option<Reply> {
    let bit = |item: &Value| Some(1_u64 << item.text().strip_prefix('m')?.parse::<u8>().ok()?);
    items.iter().map(bit).try_fold(0, |all, bit| Some(all | bit?)).map(Reply::Members)
}

fn number_or_value(object: &Object, reply: &Value) -> Option<Reply> {
    match reply {
        Value::Null => Some(Reply::Nil),
        Value::Scalar(b':', text) => text.parse().ok().map(Reply::Number),
        Value::Bulk(bytes) if object.class == Class::Counter => {
            std::str::from_utf8(bytes).ok()?.parse().ok().map(Reply::Number)
        }
        Value::Bulk(bytes) => id_of(bytes).map(Reply::Value),
        _ => None,
    }
}
