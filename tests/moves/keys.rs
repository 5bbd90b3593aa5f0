//! What the clients work on: which objects there are, their keys, and values that say whose they are.
//!
//! Few objects, so that clients meet; in two dbs. An object whose operations had several unknown outcomes is left alone and
//! gives way to its next generation, else looking for an order would take too long. After data was lost, all give way to
//! those of the next era.

/// What an object is, to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A string: GET, SET, SETNX, GETSET, GETDEL, DEL, and MSET and MGET with others.
    Register,
    /// A string of digits.
    Counter,
    /// A set that empties and fills again.
    Set,
    /// A list: RPUSH, LPOP, BLPOP.
    Queue,
    /// Two strings of one hash tag, always written together: MULTI, WATCH, EVAL, MSET.
    Pair,
    /// A string with an end.
    Expiring,
    /// A field of a large hash.
    Field,
}

impl Class {
    pub const ALL: [Self; 7] =
        [Self::Register, Self::Counter, Self::Set, Self::Queue, Self::Pair, Self::Expiring, Self::Field];

    fn word(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Counter => "counter",
            Self::Set => "set",
            Self::Queue => "queue",
            Self::Pair => "pair",
            Self::Expiring => "expiring",
            Self::Field => "field",
        }
    }
}

/// The dbs that are used.
pub const DBS: [u8; 2] = [0, 3];

/// Objects of each class and db.
pub const NUMBERS: u8 = 12;

/// One object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object {
    pub class: Class,
    pub db: u8,
    pub number: u8,
    pub era: u16,
    pub generation: u16,
}

impl Object {
    /// Its own name; a field's too.
    pub fn name(&self) -> String {
        format!("{}:{}:{}:{}", self.class.word(), self.number, self.era, self.generation)
    }

    /// The key it lies under; the first of two.
    pub fn key(&self) -> String {
        match self.class {
            Class::Pair => format!("{{{}}}:a", self.name()),
            Class::Field => large(self.era),
            _ => self.name(),
        }
    }

    /// The second key of a pair.
    pub fn second(&self) -> String {
        format!("{{{}}}:b", self.name())
    }
}

/// The key of the large hash.
pub fn large(era: u16) -> String {
    format!("large:{era}")
}

/// The value of number `id`: some are long, one in a hundred is very long.
pub fn value(id: u64) -> Vec<u8> {
    let length = match id % 100 {
        0 => 60_000,
        at if at % 9 == 0 => 500,
        _ => 0,
    };
    let mut bytes = format!("{id}:").into_bytes();
    let from = bytes.len();
    // A shifted or torn copy differs everywhere.
    bytes.extend((from..length).map(|at| b'a' + u8::try_from((id as usize + at) % 23).unwrap()));
    bytes
}

/// The number of a value, if it is one, and whole.
pub fn id_of(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.iter().position(|&byte| byte == b':')?;
    let id = std::str::from_utf8(&bytes[..digits]).ok()?.parse().ok()?;
    (value(id) == bytes).then_some(id)
}
