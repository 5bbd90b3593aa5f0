//! The plainest proxy that shares connections to the nodes: a yardstick for `make compare`, of no other use.
//!
//! ```text
//!  wake-up ─► read all who wrote, once each ─► cut requests, each to one node, M… to all ─► one write per node
//!                                            └► cut replies, each to the client that asked ─► one write per client
//! ```
//! Between its system calls it does as little as can be: nothing is checked, nodes are told apart by the last letter of a
//! key, replies come in the order of the nodes and not of the requests, nothing is timed, counted, or survives a failure. A
//! reply waits for the others of its pipeline, as Circlet's do. What this takes beyond a goal is the kernel's, and more work
//! between the calls does not save it; only fewer calls would, and how many there are depends on how much each wake-up finds.
//! Large values are copied, so for these others may take less.
//!
//! `floor PORT NODE_PORT...` serves on loopback until it is killed. It understands what redis-benchmark sends for the cells of
//! the comparison, and the replies to that.
#![allow(clippy::unwrap_used, reason = "whatever fails makes the figures worthless: it ends")]

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    mem::take,
    net::SocketAddr,
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

const LISTENER: Token = Token(usize::MAX);
/// Tokens from here on are those of nodes, below it those of clients.
const NODES: usize = usize::MAX / 2;
/// Bytes read at once: as Circlet's workers.
const READ: usize = 64 * 1024;

/// What both ends have: a socket, the begin of something, what is still to be written.
struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    unwritten: Vec<u8>,
}

struct Client {
    connection: Connection,
    /// Replies that it waits for.
    owed: usize,
    /// Parts of the split request that it waits for, and what is there of it.
    parts: usize,
    gathered: Vec<u8>,
}

struct Node {
    connection: Connection,
    /// Who asked, and whether for a part.
    asked: VecDeque<(usize, bool)>,
}

struct Floor {
    poll: Poll,
    nodes: Vec<Node>,
    /// One for each that ever came, so that no late reply finds another client.
    clients: Vec<Option<Client>>,
    /// Clients with something to write.
    dirty: Vec<usize>,
    /// Where the arguments of the request at hand are: kept, to allocate nothing.
    args: Vec<(usize, usize)>,
}

fn main() -> io::Result<()> {
    let mut ports = std::env::args().skip(1).map(|port| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())));
    let mut listener = TcpListener::bind(ports.next().unwrap())?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor { poll, nodes: Vec::new(), clients: Vec::new(), dirty: Vec::new(), args: Vec::new() };
    for (index, node) in ports.enumerate() {
        let stream = std::net::TcpStream::connect(node)?;
        stream.set_nonblocking(true)?;
        let connection = floor.connect(TcpStream::from_std(stream), NODES + index)?;
        floor.nodes.push(Node { connection, asked: VecDeque::new() });
    }
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; READ]);
    loop {
        match floor.poll.poll(&mut events, None) {
            // Somebody counts its system calls.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener)?,
                Token(node) if node >= NODES => floor.read_node(node - NODES, &mut buffer)?,
                Token(client) => floor.read_client(client, &mut buffer),
            }
        }
        floor.nodes.iter_mut().try_for_each(|node| node.connection.flush())?;
        for client in floor.dirty.drain(..) {
            let Some(there) = &mut floor.clients[client] else { continue };
            if there.connection.flush().is_err() {
                floor.clients[client] = None;
            }
        }
    }
}

impl Floor {
    fn connect(&self, mut stream: TcpStream, token: usize) -> io::Result<Connection> {
        stream.set_nodelay(true)?;
        self.poll.registry().register(&mut stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection { stream, unread: Vec::new(), unwritten: Vec::new() })
    }

    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        while let Some((stream, _)) = ready(listener.accept())? {
            let connection = self.connect(stream, self.clients.len())?;
            self.clients.push(Some(Client { connection, owed: 0, parts: 0, gathered: Vec::new() }));
        }
        Ok(())
    }

    fn read_client(&mut self, id: usize, buffer: &mut [u8]) {
        let mut more = true;
        while more {
            let Some(client) = &mut self.clients[id] else { return };
            let count = match ready(client.connection.stream.read(buffer)) {
                Ok(None) => break,
                Ok(Some(count)) if count > 0 => count,
                _ => {
                    self.clients[id] = None;
                    return;
                }
            };
            more = count == buffer.len();
            let bytes = joined(take(&mut client.connection.unread), &buffer[..count]);
            let mut rest = bytes.as_ref();
            let mut args = take(&mut self.args);
            while let Some(end) = request(rest, &mut args) {
                self.forward(id, &rest[..end], &args);
                rest = &rest[end..];
            }
            self.args = args;
            if let Some(client) = &mut self.clients[id] {
                client.connection.unread.extend_from_slice(rest);
            }
        }
        // What did not fit may fit now.
        self.dirty.push(id);
    }

    /// Gives a request to its node, one whose name begins with M in parts to all that own keys of it.
    fn forward(&mut self, id: usize, request: &[u8], args: &[(usize, usize)]) {
        let Some(client) = &mut self.clients[id] else { return };
        client.owed += 1;
        let nodes = self.nodes.len();
        let owner = |(_, end): (usize, usize)| request[end - 3] as usize % nodes;
        let (name, keys) = args.split_first().unwrap();
        // "$4\r\nMGET\r\n"
        if !request[name.0 + 4].eq_ignore_ascii_case(&b'm') {
            let node = &mut self.nodes[keys.first().map_or(0, |key| owner(*key))];
            node.connection.unwritten.extend_from_slice(request);
            node.asked.push_back((id, false));
            return;
        }
        assert_eq!(client.parts, 0, "one split request per client at a time");
        let step = if request[name.0 + 5].eq_ignore_ascii_case(&b's') { 2 } else { 1 };
        if step == 1 {
            write!(client.gathered, "*{}\r\n", keys.len()).unwrap();
        }
        for (index, node) in self.nodes.iter_mut().enumerate() {
            let own = || keys.chunks(step).filter(|key| owner(key[0]) == index);
            let count = own().count();
            if count == 0 {
                continue;
            }
            write!(node.connection.unwritten, "*{}\r\n", 1 + count * step).unwrap();
            node.connection.unwritten.extend_from_slice(&request[name.0..name.1]);
            own().for_each(|key| node.connection.unwritten.extend_from_slice(&request[key[0].0..key[step - 1].1]));
            node.asked.push_back((id, true));
            client.parts += 1;
        }
    }

    fn read_node(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<()> {
        let mut more = true;
        while more {
            let node = &mut self.nodes[index];
            let Some(count) = ready(node.connection.stream.read(buffer))? else { break };
            assert_ne!(count, 0, "a node closed the connection");
            more = count == buffer.len();
            let bytes = joined(take(&mut node.connection.unread), &buffer[..count]);
            let mut rest = bytes.as_ref();
            while let Some((body, end)) = reply(rest) {
                let (id, part) = node.asked.pop_front().unwrap();
                if let Some(client) = &mut self.clients[id] {
                    client.give(part, &rest[..end], body);
                    if client.owed == 0 {
                        self.dirty.push(id);
                    }
                }
                rest = &rest[end..];
            }
            node.connection.unread.extend_from_slice(rest);
        }
        Ok(())
    }
}

impl Client {
    /// A reply is here, with its elements from `body` on.
    fn give(&mut self, part: bool, reply: &[u8], body: usize) {
        if part {
            self.parts -= 1;
            match reply[0] {
                b'*' => self.gathered.extend_from_slice(&reply[body..]),
                _ if self.parts == 0 => self.gathered.extend_from_slice(reply),
                _ => {}
            }
            if self.parts > 0 {
                return;
            }
            self.connection.unwritten.append(&mut self.gathered);
        } else {
            self.connection.unwritten.extend_from_slice(reply);
        }
        self.owed -= 1;
    }
}

impl Connection {
    fn flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            let Some(count) = ready(self.stream.write(&self.unwritten))? else { break };
            self.unwritten.drain(..count);
        }
        Ok(())
    }
}

/// What a call gave; `None`: nothing for now.
fn ready<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        other => other.map(Some),
    }
}

/// What was left before, and what came.
fn joined<'b>(mut before: Vec<u8>, came: &'b [u8]) -> std::borrow::Cow<'b, [u8]> {
    if before.is_empty() {
        return came.into();
    }
    before.extend_from_slice(came);
    before.into()
}

/// The end of the whole request that `bytes` begin with; begin and end of each of its arguments, with its header.
fn request(bytes: &[u8], args: &mut Vec<(usize, usize)>) -> Option<usize> {
    args.clear();
    let (count, mut at) = header(bytes, 0)?;
    for _ in 0..count.unwrap() {
        let end = bulk(bytes, at)?;
        args.push((at, end));
        at = end;
    }
    Some(at)
}

/// Where the reply that `bytes` begin with has its elements, and its end; of aggregates it knows arrays of bulk strings.
fn reply(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.first()? {
        b'*' => {
            let (count, body) = header(bytes, 0)?;
            let end = (0..count.unwrap_or(0)).try_fold(body, |at, _| bulk(bytes, at))?;
            Some((body, end))
        }
        b'$' => Some((0, bulk(bytes, 0)?)),
        _ => Some((0, bytes.iter().position(|byte| *byte == b'\n')? + 1)),
    }
}

/// The end of the bulk string at `at`.
fn bulk(bytes: &[u8], at: usize) -> Option<usize> {
    let (len, body) = header(bytes, at)?;
    let end = len.map_or(body, |len| body + len + 2);
    (end <= bytes.len()).then_some(end)
}

/// The number behind the sign at `at`, none if it is negative; and where its line ends.
fn header(bytes: &[u8], at: usize) -> Option<(Option<usize>, usize)> {
    let digits = bytes.get(at + 1..)?;
    let len = digits.iter().position(|byte| *byte == b'\r')?;
    let end = at + 1 + len + 2;
    let number = (digits[0] != b'-')
        .then(|| digits[..len].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')));
    (end <= bytes.len()).then_some((number, end))
}
