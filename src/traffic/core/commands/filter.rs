//! Which sessions CLIENT LIST or CLIENT KILL means: the filters of Redis 7 and 8 and of Valkey 8 and 9, NOT-forms too.
//!
//! A filter is read once, from the request, and then looked at by every worker for its own sessions. All conditions must
//! hold. Texts of mistakes are Redis's. Pure.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{NOT_AN_INTEGER, SYNTAX, integer};
use crate::traffic::client::Record;

/// Letters that the field `flags` may have.
const FLAGS: &[u8] = b"OPxbtRBdcuAUreTSMN";

/// Every condition has one of these names, or one of them behind `NOT-`.
const NAMES: [&str; 12] =
    ["ID", "TYPE", "USER", "ADDR", "LADDR", "NAME", "LIB-NAME", "LIB-VER", "FLAGS", "DB", "CAPA", "IP"];

/// What a session must be, or not be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// One of these numbers.
    Ids(Vec<i64>),
    /// Of the type `pubsub` (true) or `normal` (false); `None`: of a type that no session here has.
    Type(Option<bool>),
    /// Entered as this user.
    User(Vec<u8>),
    Addr(Vec<u8>),
    Laddr(Vec<u8>),
    Ip(Vec<u8>),
    Name(Vec<u8>),
    LibName(Vec<u8>),
    LibVer(Vec<u8>),
    /// Has all of these letters among its flags.
    Flags(Vec<u8>),
    Db(i64),
    /// Has said that it is capable of this (CLIENT CAPA).
    Capa,
}

/// The sessions that a command means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Conditions, and whether each must hold or must not.
    conditions: Vec<(bool, Condition)>,
    /// Connected for at least so many seconds.
    max_age_s: Option<i64>,
    /// Silent for at least so many seconds.
    idle_s: Option<i64>,
    /// Not this one, which asks.
    not_me: Option<u64>,
}

/// The command whose filter is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    List,
    Kill,
}

impl Filter {
    /// The session with this address, as the old form of CLIENT KILL means it.
    pub(super) fn address(addr: &[u8]) -> Self {
        Self { conditions: vec![(true, Condition::Addr(addr.to_vec()))], ..Self::default() }
    }

    /// Reads `args`, everything behind the sub-command. `me` is the session that asks.
    ///
    /// # Errors
    /// Redis's text for what is wrong with them.
    pub(super) fn read(args: &[&[u8]], of: Of, me: u64) -> Result<Self, String> {
        let mut filter = Self::default();
        let mut skip_me = of == Of::Kill;
        let mut at = 0;
        while at < args.len() {
            let value = args.get(at + 1).copied().ok_or(SYNTAX)?;
            let is = |name: &str| args[at].eq_ignore_ascii_case(name.as_bytes());
            if is("SKIPME") {
                skip_me = yes_or_no(value).ok_or(SYNTAX)?;
            } else if is("MAXAGE") {
                filter.max_age_s = Some(positive(value, "maxage")?);
            } else if is("IDLE") {
                filter.idle_s = Some(positive(value, "idle time")?);
            } else {
                let (holds, name) = condition_name(args[at]).ok_or(SYNTAX)?;
                let (condition, used) = condition(name, &args[at + 1..], of)?;
                filter.conditions.push((holds, condition));
                at += used + 1;
                continue;
            }
            at += 2;
        }
        filter.not_me = skip_me.then_some(me);
        Ok(filter)
    }

    /// Whether it means this session; `flags` is what CLIENT LIST shows.
    pub(in crate::traffic::core) fn matches(&self, record: &Arc<Record>, flags: &str, now_us: u64) -> bool {
        let seconds = |since_us: u64| (now_us.saturating_sub(since_us) / 1_000_000) as i64;
        self.not_me != Some(record.id)
            && self.max_age_s.is_none_or(|age| seconds(record.born_us) >= age)
            && self.idle_s.is_none_or(|idle| seconds(record.active_us.load(Relaxed)) >= idle)
            && self.conditions.iter().all(|(holds, condition)| condition.is_met(record, flags) == *holds)
    }
}

impl Condition {
    fn is_met(&self, record: &Record, flags: &str) -> bool {
        match self {
            Self::Ids(ids) => ids.contains(&(record.id as i64)),
            Self::Type(pubsub) => *pubsub == Some(record.is_marked(Record::PUBSUB)),
            // The only one, see ACL LIST.
            Self::User(user) => user == b"default",
            Self::Addr(addr) => record.addr.as_bytes() == addr,
            Self::Laddr(laddr) => record.laddr.as_bytes() == laddr,
            Self::Ip(ip) => ip_of(&record.addr).as_bytes() == ip,
            Self::Name(name) => record.names().name.as_bytes() == name,
            Self::LibName(name) => record.names().lib_name.as_bytes() == name,
            Self::LibVer(version) => record.names().lib_ver.as_bytes() == version,
            Self::Flags(letters) => letters.iter().all(|letter| flags.as_bytes().contains(letter)),
            Self::Db(db) => i64::from(record.db.load(Relaxed)) == *db,
            // Capabilities that Circlet makes nothing of are forgotten as soon as they are told.
            Self::Capa => false,
        }
    }
}

/// The host of an address, without the brackets of IPv6.
fn ip_of(addr: &str) -> &str {
    addr.rsplit_once(':').map_or(addr, |(host, _)| host).trim_start_matches('[').trim_end_matches(']')
}

/// Whether a condition must hold, and its name.
fn condition_name(word: &[u8]) -> Option<(bool, &'static str)> {
    let (holds, word) = match word.split_at_checked(4) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(b"NOT-") => (false, rest),
        _ => (true, word),
    };
    let name = NAMES.iter().find(|name| word.eq_ignore_ascii_case(name.as_bytes()))?;
    Some((holds, name))
}

fn is_option(word: &[u8]) -> bool {
    let others = ["SKIPME", "MAXAGE", "IDLE"];
    condition_name(word).is_some() || others.iter().any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
}

/// The condition `name` with the first of `values`; also how many of them it takes.
fn condition(name: &str, values: &[&[u8]], of: Of) -> Result<(Condition, usize), String> {
    let value = values[0].to_vec();
    let condition = match name {
        "ID" => return ids(values, of),
        "TYPE" => Condition::Type(client_type(&value)?),
        "USER" if value != b"default" => return Err(format!("ERR No such user '{}'", String::from_utf8_lossy(&value))),
        "USER" => Condition::User(value),
        "ADDR" => Condition::Addr(value),
        "LADDR" => Condition::Laddr(value),
        "NAME" => Condition::Name(value),
        "LIB-NAME" => Condition::LibName(value),
        "LIB-VER" => Condition::LibVer(value),
        "FLAGS" if value.iter().all(|letter| FLAGS.contains(letter)) => Condition::Flags(value),
        "FLAGS" => {
            let text = String::from_utf8_lossy(&value).into_owned();
            return Err(format!("ERR Unknown flags found in the provided filter: {text}"));
        }
        "DB" => Condition::Db(integer(&value).ok_or(NOT_AN_INTEGER)?),
        "CAPA" => Condition::Capa,
        _ => Condition::Ip(value),
    };
    Ok((condition, 1))
}

/// One or more numbers of sessions, until the next option.
fn ids(values: &[&[u8]], of: Of) -> Result<(Condition, usize), String> {
    let mut ids = Vec::new();
    for value in values {
        match integer(value) {
            Some(id) if id > 0 || of == Of::List => ids.push(id),
            None if !ids.is_empty() && (is_option(value) || of == Of::Kill) => break,
            _ if of == Of::List => return Err("ERR Invalid client ID".to_owned()),
            _ => return Err("ERR client-id should be greater than 0".to_owned()),
        }
    }
    let used = ids.len();
    Ok((Condition::Ids(ids), used))
}

/// The type of a name: `None` for those that no session here has.
fn client_type(name: &[u8]) -> Result<Option<bool>, String> {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if is("normal") || is("pubsub") {
        return Ok(Some(is("pubsub")));
    }
    if ["master", "primary", "replica", "slave"].iter().any(|known| is(known)) {
        return Ok(None);
    }
    Err(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(name)))
}

fn yes_or_no(word: &[u8]) -> Option<bool> {
    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
    (is("yes") || is("no")).then(|| is("yes"))
}

fn positive(value: &[u8], what: &str) -> Result<i64, String> {
    match integer(value) {
        Some(number) if number > 0 => Ok(number),
        Some(_) => Err(format!("ERR {what} should be greater than 0")),
        None => Err(NOT_AN_INTEGER.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, of: Of) -> Result<Filter, String> {
        let words: Vec<&[u8]> = line.split_ascii_whitespace().map(str::as_bytes).collect();
        Filter::read(&words, of, 1)
    }

    /// Sessions 1 to 3: a plain one, a subscriber with a name, one on another address in db 2.
    fn matched(line: &str, of: Of) -> Vec<u64> {
        let filter = read(line, of).unwrap();
        let session = |id: u64, addr: &str| Arc::new(Record::new(id, addr.into(), "127.0.0.1:6380".into(), 0, 0));
        let sessions = [session(1, "127.0.0.1:1"), session(2, "127.0.0.1:2"), session(3, "[::1]:3")];
        sessions[1].names().name = "listener".into();
        sessions[1].names().lib_name = "redis-py".into();
        sessions[1].mark(Record::PUBSUB, true);
        sessions[2].db.store(2, Relaxed);
        sessions[2].active_us.store(9_000_000, Relaxed);
        let flags = ["N", "P", "bt"];
        let all = sessions.iter().zip(flags);
        all.filter(|(record, flags)| filter.matches(record, flags, 10_000_000)).map(|(record, _)| record.id).collect()
    }

    #[test]
    fn every_condition_and_its_opposite_find_their_sessions() {
        for (line, found) in [
            ("", &[1, 2, 3][..]),
            ("ID 2 3", &[2, 3]),
            ("not-id 2 3", &[1]),
            ("ID 1 2 TYPE pubsub", &[2]),
            ("TYPE normal", &[1, 3]),
            ("NOT-TYPE normal", &[2]),
            ("TYPE replica", &[]),
            ("NOT-TYPE replica", &[1, 2, 3]),
            ("USER default", &[1, 2, 3]),
            ("NOT-USER default", &[]),
            ("ADDR 127.0.0.1:2", &[2]),
            ("NOT-ADDR 127.0.0.1:2", &[1, 3]),
            ("LADDR 127.0.0.1:6380", &[1, 2, 3]),
            ("IP ::1", &[3]),
            ("NOT-IP ::1", &[1, 2]),
            ("NAME listener", &[2]),
            ("NOT-NAME listener", &[1, 3]),
            ("LIB-NAME redis-py", &[2]),
            ("LIB-VER 5", &[]),
            ("FLAGS b", &[3]),
            ("FLAGS bt", &[3]),
            ("NOT-FLAGS b", &[1, 2]),
            ("DB 2", &[3]),
            ("NOT-DB 2", &[1, 2]),
            ("CAPA redirect", &[]),
            ("NOT-CAPA redirect", &[1, 2, 3]),
            ("SKIPME yes", &[2, 3]),
            ("MAXAGE 10", &[1, 2, 3]),
            ("MAXAGE 11", &[]),
            ("IDLE 5", &[1, 2]),
            ("IDLE 1 ID 1 3", &[1, 3]),
        ] {
            assert_eq!(matched(line, Of::List), found, "{line}");
        }
        assert_eq!(matched("TYPE normal", Of::Kill), [3], "KILL skips who asks, unless told otherwise");
        assert_eq!(matched("TYPE normal SKIPME no", Of::Kill), [1, 3]);
    }

    #[test]
    fn mistakes_get_the_texts_of_redis() {
        for (line, text) in [
            ("ID", SYNTAX),
            ("FOO x", SYNTAX),
            ("TYPE slave x", SYNTAX),
            ("ID a", "ERR Invalid client ID"),
            ("ID 1 a", "ERR Invalid client ID"),
            ("TYPE x", "ERR Unknown client type 'x'"),
            ("USER x", "ERR No such user 'x'"),
            ("SKIPME maybe", SYNTAX),
            ("MAXAGE 0", "ERR maxage should be greater than 0"),
            ("MAXAGE x", NOT_AN_INTEGER),
            ("FLAGS z", "ERR Unknown flags found in the provided filter: z"),
            ("DB x", NOT_AN_INTEGER),
        ] {
            assert_eq!(read(line, Of::List).unwrap_err(), text, "{line}");
        }
        for line in ["ID 0", "ID a", "ID -1", "ID 1 0"] {
            assert_eq!(read(line, Of::Kill).unwrap_err(), "ERR client-id should be greater than 0", "{line}");
        }
        assert_eq!(read("ID 1 a", Of::Kill).unwrap_err(), SYNTAX);
    }
}
