//! One operation of one client on one object: what it asked, when, and what it was told.

use std::fmt;

/// What a client asked. Values are numbers that no two calls share, so that a reply says whose value it shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Get,
    Set(u64),
    SetNx(u64),
    /// Sets and gives what was there.
    Swap(u64),
    /// Removes and gives what was there.
    Take,
    Exists,
    Del,
    /// Sets `new` if it still holds `old`: WATCH and EXEC.
    Cas {
        old: Option<u64>,
        new: u64,
    },
    Add(i64),
    SAdd(u8),
    SRem(u8),
    IsMember(u8),
    Members,
    Push(Vec<u64>),
    /// LPOP, or BLPOP of which the client cannot tell the difference.
    Pop,
    Len,
    Items,
    /// Sets until a time, in the nanoseconds of [`Op::begin`].
    SetUntil(u64, u64),
    /// Gives what is there another end.
    ExpireAt(u64),
    /// FLUSHALL, as this object sees it.
    Wipe,
}

impl Call {
    /// Whether it leaves the object as it is, whatever that is.
    pub fn only_reads(&self) -> bool {
        matches!(self, Self::Get | Self::Exists | Self::IsMember(_) | Self::Members | Self::Len | Self::Items)
    }
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Done,
    Nil,
    Value(u64),
    Number(i64),
    /// One bit for each member.
    Members(u64),
    Items(Vec<u64>),
    /// What no object would ever say: a value of another key, half of a transaction, an error that nobody expects.
    Nonsense(String),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    pub client: u16,
    /// When it was about to be sent, in nanoseconds since the round began.
    pub begin: u64,
    /// When it was known to be over; `None` if that was never known.
    pub end: Option<u64>,
    pub call: Call,
    /// `None` if the outcome is not known.
    pub reply: Option<Reply>,
}

impl Op {
    /// Whether its reply says that it changed nothing, whenever that was.
    pub fn changed_nothing(&self) -> bool {
        let Some(reply) = &self.reply else { return false };
        self.call.only_reads()
            || match self.call {
                Call::SetNx(_) | Call::Del | Call::SAdd(_) | Call::SRem(_) | Call::ExpireAt(_) => {
                    *reply == Reply::Number(0)
                }
                Call::Take | Call::Pop | Call::Cas { .. } => *reply == Reply::Nil,
                _ => false,
            }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get => f.write_str("GET"),
            Self::Set(id) => write!(f, "SET {id}"),
            Self::SetNx(id) => write!(f, "SETNX {id}"),
            Self::Swap(id) => write!(f, "GETSET {id}"),
            Self::Take => f.write_str("GETDEL"),
            Self::Exists => f.write_str("EXISTS"),
            Self::Del => f.write_str("DEL"),
            Self::Cas { old: Some(old), new } => write!(f, "EXEC {old} -> {new}"),
            Self::Cas { old: None, new } => write!(f, "EXEC nil -> {new}"),
            Self::Add(number) => write!(f, "INCRBY {number}"),
            Self::SAdd(member) => write!(f, "SADD m{member}"),
            Self::SRem(member) => write!(f, "SREM m{member}"),
            Self::IsMember(member) => write!(f, "SISMEMBER m{member}"),
            Self::Members => f.write_str("SMEMBERS"),
            Self::Push(ids) => write!(f, "RPUSH {ids:?}"),
            Self::Pop => f.write_str("LPOP"),
            Self::Len => f.write_str("LLEN"),
            Self::Items => f.write_str("LRANGE"),
            Self::SetUntil(id, end) => write!(f, "SET {id} until {:.3}s", seconds(*end)),
            Self::ExpireAt(end) => write!(f, "PEXPIREAT {:.3}s", seconds(*end)),
            Self::Wipe => f.write_str("FLUSHALL"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("OK"),
            Self::Nil => f.write_str("nil"),
            Self::Value(id) => write!(f, "{id}"),
            Self::Number(number) => write!(f, "({number})"),
            Self::Members(bits) => {
                let members: Vec<_> = (0..64).filter(|at| bits >> at & 1 == 1).map(|at| format!("m{at}")).collect();
                write!(f, "{{{}}}", members.join(" "))
            }
            Self::Items(ids) => write!(f, "{ids:?}"),
            Self::Nonsense(text) => write!(f, "!! {text}"),
        }
    }
}

/// For people.
#[expect(clippy::cast_precision_loss, reason = "only shown")]
pub fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
