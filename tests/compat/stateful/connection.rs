//! One client connection of a side: what has come is sorted into replies and pushes.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{ErrorKind, Read, Write},
    net::TcpStream,
};

use crate::support::{
    Client,
    resp::{Value, frame_end, words},
};

/// The connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buf: Vec<u8>,
    /// CLIENT ID, as this side counts.
    pub id: String,
    /// Replies, and confirmations of subscriptions, not yet looked at.
    pub replies: VecDeque<Vec<u8>>,
    /// Messages not yet looked at.
    pub pushes: VecDeque<Vec<u8>>,
    /// Keys whose values the client must forget, not yet looked at; `None`: all keys.
    pub invalid: BTreeSet<Option<Vec<u8>>>,
    /// Whether it was told that whoever is told of its keys is gone; not yet looked at.
    pub broken: bool,
    /// Whether the other side has closed it.
    pub closed: bool,
}

impl Connection {
    /// Connects and asks for the id; gives the bytes sent and received so far too.
    pub fn open(address: &str, proto: u8) -> (Self, u64, u64) {
        let mut client = Client::connect(address);
        let hello = format!("HELLO {proto}");
        let (mut sent, mut received) = (0, 0);
        let mut ask = |line: &str| {
            sent += words(line).len() as u64;
            client.send(&words(line));
            let reply = client.frame();
            received += reply.len() as u64;
            reply
        };
        assert!(ask(&hello)[0] != b'-', "{hello}");
        let id = Value::of(&ask("CLIENT ID")).text();
        let stream = client.into_stream();
        stream.set_nonblocking(true).unwrap();
        let connection = Self {
            stream,
            buf: Vec::new(),
            id,
            replies: VecDeque::new(),
            pushes: VecDeque::new(),
            invalid: BTreeSet::new(),
            broken: false,
            closed: false,
        };
        (connection, sent, received)
    }

    /// Writes one piece; the other side may have closed meanwhile.
    pub fn write(&mut self, piece: &[u8]) {
        // So little always fits the socket's buffer.
        self.closed |= self.stream.write_all(piece).is_err();
    }

    /// Takes in what has come, without waiting; gives how much it was.
    pub fn drain(&mut self) -> u64 {
        let mut chunk = [0; 16 << 10];
        let mut received = 0;
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.closed = true,
                Ok(count) => {
                    self.buf.extend_from_slice(&chunk[..count]);
                    received += count as u64;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => self.closed = true,
            }
            break;
        }
        while !self.buf.is_empty() {
            let Some((frame, pushes, end)) = split(&self.buf) else { break };
            self.buf.drain(..end);
            pushes.into_iter().for_each(|push| self.push(push));
            if is_push(&frame) {
                self.push(frame);
            } else {
                self.replies.push_back(frame);
            }
        }
        received
    }

    fn push(&mut self, frame: Vec<u8>) {
        let value = Value::of(&frame);
        let words = value.list();
        if words[0].text() == "tracking-redir-broken" {
            self.broken = true;
            return;
        }
        // The last word has the keys, also where they come as a message.
        if words[0].text() == "tracking-redir-broken" {
            self.broken = true;
            return;
        }
        // The last word has the keys, also where they come as a message.
        if words[0].text() != "invalidate" && words[1].text() != "__redis__:invalidate" {
            return self.pushes.push_back(frame);
        }
        match words[words.len() - 1] {
            Value::List(_, keys) => self.invalid.extend(keys.iter().map(|key| Some(key.text().into_bytes()))),
            _ => drop(self.invalid.insert(None)),
        }
    }

    /// Throws away what has come.
    pub fn forget(&mut self) {
        self.replies.clear();
        self.pushes.clear();
        self.invalid.clear();
        self.broken = false;
    }
}

/// The first frame, the pushes that stand between its elements, and where all of it ends. Redis 7 writes messages that a
/// transaction sends to its own client into the transaction's array; they are no elements of it.
fn split(buf: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>, usize)> {
    let (mut frame, mut pushes) = (Vec::new(), Vec::new());
    let (mut at, mut wanted) = (0, 1_usize);
    while wanted > 0 {
        let line = at + buf[at..].iter().position(|&byte| byte == b'\n')? + 1;
        if at > 0 && matches!(buf[at], b'*' | b'>') {
            let end = frame_end(buf, at)?;
            if is_push(&buf[at..end]) {
                pushes.push(buf[at..end].to_vec());
                at = end;
                continue;
            }
        }
        let count = || std::str::from_utf8(&buf[at + 1..line - 2]).unwrap().parse::<i64>().unwrap().max(0);
        let (elements, end) = match buf[at] {
            b'*' | b'~' | b'>' => (count(), line),
            b'%' => (2 * count(), line),
            _ => (0, frame_end(buf, at)?),
        };
        frame.extend_from_slice(&buf[at..end]);
        at = end;
        wanted = wanted - 1 + usize::try_from(elements).unwrap();
    }
    Some((frame, pushes, at))
}

/// Whether a frame came unasked: in RESP2 by its first word, which no data of the plays has.
fn is_push(frame: &[u8]) -> bool {
    let names: [&[u8]; 5] = [b"message", b"pmessage", b"smessage", b"invalidate", b"tracking-redir-broken"];
    matches!(frame[0], b'*' | b'>')
        && frame
            .split(|&byte| byte == b'\n')
            .nth(2)
            .is_some_and(|word| names.contains(&word.strip_suffix(b"\r").unwrap_or(word)))
}
