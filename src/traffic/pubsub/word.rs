//! What a node says on an ear.
//!
//! ```text
//!  *3 message channel payload · *4 pmessage pattern channel payload · *3 smessage channel payload      a message
//!  *3 subscribe channel count · *3 punsubscribe pattern count · …                                       a confirmation
//!  *2 pong ""  ·  +PONG                                                                                 to a PING
//! ```
//! Ears speak RESP2, so each is an array of bulks (Redis, "Pub/Sub": wire protocol). Names are found in place; the
//! payload is not looked at, and may be missing from a frame that was cut for its size. Pure.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::Kind;
use crate::traffic::{lock::FREED, resp::reply::Elements};

/// One frame of an ear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    /// A message for whoever listens to this topic.
    Message(Kind, &'a [u8]),
    /// The node listens for us from now on.
    Listens(Kind, &'a [u8]),
    /// The node listens for us no more.
    Left(Kind, &'a [u8]),
    /// The answer to a PING.
    Pong,
    /// A lock was released; heard by way of a client's pattern, and not for clients.
    Freed,
    /// The command is refused.
    Error,
    /// Nothing that belongs on an ear.
    Nonsense,
}

impl<'a> Word<'a> {
    /// Reads a frame, of which the beginning is enough.
    #[must_use]
    pub fn of(frame: &'a [u8]) -> Self {
        match frame.first() {
            Some(b'-') => return Self::Error,
            Some(b'+') => return Self::Pong,
            _ => {}
        }
        let Some(mut elements) = Elements::of(frame) else { return Self::Nonsense };
        let first = elements.next().and_then(bulk);
        let name = elements.next().and_then(bulk);
        match (first, name) {
            (Some(b"message"), Some(name)) => Self::Message(Kind::Channel, name),
            (Some(b"pmessage"), Some(_))
                if elements.next().and_then(bulk).is_some_and(|channel| channel.starts_with(FREED)) =>
            {
                Self::Freed
            }
            (Some(b"pmessage"), Some(name)) => Self::Message(Kind::Pattern, name),
            (Some(b"smessage"), Some(name)) => Self::Message(Kind::Shard, name),
            (Some(b"pong"), _) => Self::Pong,
            (Some(word), Some(name)) => Self::confirmation(word, name),
            _ => Self::Nonsense,
        }
    }

    fn confirmation(word: &[u8], name: &'a [u8]) -> Self {
        for kind in Kind::ALL {
            if word == kind.subscribe().as_bytes() {
                return Self::Listens(kind, name);
            }
            if word == kind.unsubscribe().as_bytes() {
                return Self::Left(kind, name);
            }
        }
        Self::Nonsense
    }
}

/// The bytes inside a bulk frame.
fn bulk(frame: &[u8]) -> Option<&[u8]> {
    let header = frame.iter().position(|byte| *byte == b'\n')? + 1;
    if frame.first()? == &b'$' { frame.get(header..frame.len().checked_sub(2)?) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_of_the_protocol_is_read() {
        for (frame, word) in [
            ("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n", Word::Message(Kind::Channel, b"a")),
            ("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2000\r\ncut", Word::Message(Kind::Channel, b"a")),
            ("*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$16\r\ncirclet:free:0:a\r\n$0\r\n\r\n", Word::Freed),
            ("*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$2\r\nhi\r\n", Word::Message(Kind::Pattern, b"a*")),
            ("*3\r\n$8\r\nsmessage\r\n$0\r\n\r\n$2\r\nhi\r\n", Word::Message(Kind::Shard, b"")),
            ("*3\r\n$9\r\nsubscribe\r\n$2\r\n\r\n\r\n:1\r\n", Word::Listens(Kind::Channel, b"\r\n")),
            ("*3\r\n$10\r\npsubscribe\r\n$1\r\na\r\n:1\r\n", Word::Listens(Kind::Pattern, b"a")),
            ("*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n", Word::Left(Kind::Shard, b"a")),
            ("*2\r\n$4\r\npong\r\n$0\r\n\r\n", Word::Pong),
            ("+PONG\r\n", Word::Pong),
            ("-NOPERM no\r\n", Word::Error),
            ("*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n", Word::Nonsense),
            ("*3\r\n$5\r\nother\r\n$1\r\na\r\n:1\r\n", Word::Nonsense),
            ("*2\r\n:1\r\n:2\r\n", Word::Nonsense),
            ("*1\r\n$7\r\nmessage\r\n", Word::Nonsense),
            ("$2\r\nhi\r\n", Word::Nonsense),
            ("", Word::Nonsense),
        ] {
            assert_eq!(Word::of(frame.as_bytes()), word, "{frame:?}");
        }
    }
}
