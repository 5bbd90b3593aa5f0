//! How clients take locks: by LOCK.*, or by the commands that libraries use on a prefix.

use std::{io, time::Duration};

use crate::support::{
    Client,
    resp::{self, Value},
};

/// Longer than any wait.
const PATIENCE: Duration = Duration::from_secs(40);

/// The script of every library.
const UNLOCK: &str = "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('del',KEYS[1]) else return 0 end";
const EXPIRE: &str =
    "if redis.call('get',KEYS[1]) == ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) else return 0 end";

/// A lock that was granted; times in ms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    pub token: String,
    /// 0: none was told.
    pub fence: u64,
    pub validity: u64,
    pub waited: u64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An error line.
    Refused(String),
    /// The connection is gone.
    Broken,
}

/// What a client is asked for; times in ms.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub name: &'a str,
    pub ttl: u64,
    pub wait: u64,
    pub session: bool,
}

/// Somewhere locks can be had.
pub trait Locks {
    /// `None`: somebody else has it.
    fn acquire(&mut self, wish: Wish<'_>) -> Result<Option<Granted>, Failure>;
    /// The new validity; `None`: it is lost.
    fn extend(&mut self, name: &str, token: &str, ttl: u64) -> Result<Option<u64>, Failure>;
    /// Whether it was held.
    fn release(&mut self, name: &str, token: &str) -> Result<bool, Failure>;
    /// Ends the connection without a word.
    fn vanish(&mut self);
}

/// A connection to Circlet, anew where it broke.
#[derive(Debug)]
struct Line {
    address: String,
    client: Option<Client>,
}

impl Line {
    fn call(&mut self, words: &[&str]) -> Result<Value, Failure> {
        let reply = self.exchange(words).map_err(|_| {
            self.client = None;
            Failure::Broken
        })?;
        match reply {
            Value::Error(line) => Err(Failure::Refused(line)),
            other => Ok(other),
        }
    }

    fn exchange(&mut self, words: &[&str]) -> io::Result<Value> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(Client::try_connect(&self.address, PATIENCE)?),
        };
        let mut request = Vec::new();
        resp::request(&mut request, words);
        client.try_send(&request)?;
        client.try_frame(PATIENCE).map(|frame| Value::of(&frame))
    }
}

/// By LOCK.*.
#[derive(Debug)]
pub struct Commands(Line);

impl Commands {
    pub fn of(address: &str) -> Self {
        Self(Line { address: address.to_owned(), client: None })
    }
}

impl Locks for Commands {
    fn acquire(&mut self, wish: Wish<'_>) -> Result<Option<Granted>, Failure> {
        let (ttl, wait) = (wish.ttl.to_string(), wish.wait.to_string());
        let mut words = vec!["LOCK.ACQUIRE", wish.name, &ttl, "WAIT", &wait];
        words.extend(wish.session.then_some("SESSION"));
        let reply = self.0.call(&words)?;
        let Value::List(_, items) = &reply else { return Ok(None) };
        let number = |at: usize| u64::try_from(items[at].number()).unwrap();
        Ok(Some(Granted { token: items[0].text(), fence: number(1), validity: number(2), waited: number(3) }))
    }

    fn extend(&mut self, name: &str, token: &str, ttl: u64) -> Result<Option<u64>, Failure> {
        match self.0.call(&["LOCK.EXTEND", name, token, &ttl.to_string()]) {
            Ok(reply) => Ok(Some(u64::try_from(reply.list()[1].number()).unwrap())),
            Err(Failure::Refused(line)) if line.starts_with("LOCKLOST") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn release(&mut self, name: &str, token: &str) -> Result<bool, Failure> {
        Ok(self.0.call(&["LOCK.RELEASE", name, token])?.number() == 1)
    }

    fn vanish(&mut self) {
        self.0.client = None;
    }
}

/// As redis-py's Lock does it: it tells no fence, and its validity is what was asked for.
#[derive(Debug)]
pub struct Library {
    line: Line,
    /// Values that differ.
    next: u64,
}

impl Library {
    pub fn of(address: &str) -> Self {
        Self { line: Line { address: address.to_owned(), client: None }, next: fastrand::u64(..) }
    }
}

impl Locks for Library {
    fn acquire(&mut self, wish: Wish<'_>) -> Result<Option<Granted>, Failure> {
        self.next = self.next.wrapping_add(1);
        let token = format!("{:016x}", self.next);
        let reply = self.line.call(&["SET", wish.name, &token, "NX", "PX", &wish.ttl.to_string()])?;
        let ok = matches!(reply, Value::Scalar(b'+', _));
        Ok(ok.then_some(Granted { token, fence: 0, validity: wish.ttl, waited: 0 }))
    }

    fn extend(&mut self, name: &str, token: &str, ttl: u64) -> Result<Option<u64>, Failure> {
        let reply = self.line.call(&["EVAL", EXPIRE, "1", name, token, &ttl.to_string()])?;
        Ok((reply.number() == 1).then_some(ttl))
    }

    fn release(&mut self, name: &str, token: &str) -> Result<bool, Failure> {
        Ok(self.line.call(&["EVAL", UNLOCK, "1", name, token])?.number() == 1)
    }

    fn vanish(&mut self) {
        self.line.client = None;
    }
}
