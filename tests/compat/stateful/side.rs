//! A server of a play, with its connections: the plain one, which tells what is right, or a Circlet.

use std::time::{Duration, Instant};

use super::{connection::Connection, step::Step};
use crate::support::{
    Client, Redis,
    resp::{Value, words},
    wait::until_true,
};

/// Ids of connections begin behind it, so that they look like no other number of a play.
const IDS_FROM: i64 = 1_000;

/// One side.
#[derive(Debug)]
pub struct Side {
    pub name: String,
    address: String,
    is_plain: bool,
    pub connections: Vec<Connection>,
    /// Ids of those that have left, in the order in which they did.
    pub former: Vec<String>,
    /// Asks the server itself; takes no part.
    control: Client,
    /// Ask what keeps the data.
    nodes: Vec<Client>,
    /// Bytes that have gone to the server and come from it since it started.
    sent: u64,
    received: u64,
}

/// What a plain server says about one connection.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub tracking: Option<Tracked>,
    pub blocked: bool,
    pub queueing: bool,
    pub subscribed: bool,
    pub proto: u8,
}

/// CLIENT TRACKING of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    pub bcast: bool,
    /// The connection that is told, if it is another one; `usize::MAX`: one that is gone.
    pub told: Option<usize>,
}

impl Side {
    /// The side of the server at `address`, which keeps its data at `nodes`.
    pub fn new(name: &str, address: &str, nodes: &[Redis]) -> Self {
        while Client::connect(address).value("CLIENT ID").number() < IDS_FROM {}
        let control = Client::connect(address);
        let is_plain = nodes.len() == 1 && nodes[0].address() == address;
        let nodes = nodes.iter().map(Redis::client).collect();
        let (name, address) = (name.to_owned(), address.to_owned());
        Self {
            name,
            address,
            is_plain,
            connections: Vec::new(),
            former: Vec::new(),
            control,
            nodes,
            sent: 0,
            received: 0,
        }
    }

    /// New connections, and nothing left of what was.
    pub fn begin(&mut self, protos: &[u8]) {
        let left: Vec<Connection> = self.connections.drain(..).collect();
        let ids: Vec<String> = left.iter().map(|connection| connection.id.clone()).collect();
        drop(left);
        self.former.clear();
        self.wait_gone(&ids);
        if self.is_plain {
            self.count_anew();
        }
        for line in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH"] {
            let reply = self.ask(line).text();
            assert_eq!(reply, "OK", "{line} at {}", self.name);
        }
        for &proto in protos {
            let connection = self.open(proto);
            self.connections.push(connection);
        }
    }

    /// Closes a connection and opens another in its place.
    pub fn leave(&mut self, at: usize, proto: u8) {
        let fresh = self.open(proto);
        let left = std::mem::replace(&mut self.connections[at], fresh);
        let id = left.id.clone();
        drop(left);
        self.former.push(id.clone());
        self.wait_gone(&[id]);
        if self.is_plain {
            self.count_anew();
        }
    }

    fn open(&mut self, proto: u8) -> Connection {
        let (connection, sent, received) = Connection::open(&self.address, proto);
        self.sent += sent;
        self.received += received;
        connection
    }

    /// Asks the server itself.
    fn ask(&mut self, line: &str) -> Value {
        let request = words(line);
        self.sent += request.len() as u64;
        self.control.send(&request);
        let reply = self.control.frame();
        self.received += reply.len() as u64;
        Value::of(&reply)
    }

    fn ask_nodes(&mut self, line: &str) -> Vec<Value> {
        // What a plain server is asked is counted.
        if self.is_plain { vec![self.ask(line)] } else { self.nodes.iter_mut().map(|node| node.value(line)).collect() }
    }

    fn wait_gone(&mut self, ids: &[String]) {
        let name = self.name.clone();
        until_true(&format!("{name} to notice that a client has left"), || {
            let list = self.ask("CLIENT LIST").text();
            !ids.iter().any(|id| list.lines().any(|line| line.starts_with(&format!("id={id} "))))
        });
    }

    /// Does what the step says.
    pub fn act(&mut self, step: &Step) {
        if let Step::Leave { connection, proto } = step {
            return self.leave(*connection, *proto);
        }
        let ids: Vec<String> = self.connections.iter().map(|connection| connection.id.clone()).collect();
        for piece in step.pieces(&ids) {
            self.sent += piece.len() as u64;
            self.connections[step.connection()].write(&piece);
        }
    }

    /// Takes in what has come.
    pub fn drain(&mut self) {
        for connection in &mut self.connections {
            self.received += connection.drain();
        }
    }

    /// How many clients wait at the nodes.
    pub fn blocked(&mut self) -> i64 {
        let count = |info: &Value| field(&info.text(), "blocked_clients:").cast_signed();
        self.ask_nodes("INFO clients").iter().map(count).sum()
    }

    /// What a plain server says about the connections once it has read and written everything. `brief`: the connection
    /// whose waiting ends soon, and how long that is waited for.
    pub fn settle(&mut self, brief: Option<(usize, Duration)>) -> Vec<State> {
        let mut states = Vec::new();
        let end = Instant::now() + brief.map_or(Duration::ZERO, |(_, patience)| patience);
        let name = self.name.clone();
        until_true(&format!("{name} to settle"), || {
            let before = self.received;
            let info = self.ask("INFO stats").text();
            let sent = self.sent;
            states = self.states();
            // The two answers went out after the figures were taken.
            let answers = self.received - before;
            self.drain();
            if self.connections.iter().any(|connection| connection.closed) {
                self.count_anew();
                return true;
            }
            let waits = brief.is_some_and(|(connection, _)| states[connection].blocked) && Instant::now() < end;
            let read = field(&info, "total_net_input_bytes:");
            let written = field(&info, "total_net_output_bytes:");
            read == sent && written == self.received - answers && !waits
        });
        states
    }

    /// What is lost with a closed connection is in no figure.
    fn count_anew(&mut self) {
        // Some turns of the server's loop, so that nothing is under way.
        for _ in 0..4 {
            self.ask("PING");
            self.drain();
        }
        let info = self.control.value("INFO stats").text();
        self.sent = field(&info, "total_net_input_bytes:");
        self.received = field(&info, "total_net_output_bytes:") + resp_len(&info);
    }

    fn states(&mut self) -> Vec<State> {
        let list = self.ask("CLIENT LIST").text();
        let state = |connection: &Connection| {
            let start = format!("id={} ", connection.id);
            let Some(line) = list.lines().find(|line| line.starts_with(&start)) else { return State::default() };
            let value = |name: &str| line.split(' ').find_map(|part| part.strip_prefix(name)).unwrap_or("0");
            let flags = value("flags=");
            let redirection = value("redir=");
            let is_told = |other: &Connection| other.id == redirection;
            let told = || self.connections.iter().position(is_told).unwrap_or(usize::MAX);
            State {
                tracking: flags
                    .contains('t')
                    .then(|| Tracked { bcast: flags.contains('B'), told: (redirection != "0").then(told) }),
                blocked: flags.contains('b'),
                queueing: value("multi=") != "-1",
                subscribed: ["sub=", "psub=", "ssub="].iter().any(|name| value(name) != "0"),
                proto: value("resp=").parse().unwrap(),
            }
        };
        self.connections.iter().map(state).collect()
    }

    /// Whether the data are those of `plain`. A digest is the exclusive or of all keys' and of the numbers of the dbs that
    /// hold any; all keys lie on one node.
    pub fn same_data(&mut self, plain: &mut Self) -> bool {
        let digest = |side: &mut Self| {
            let mut whole = vec![0; 20];
            for digest in side.ask_nodes("DEBUG DIGEST") {
                let text = digest.text();
                for (at, byte) in whole.iter_mut().enumerate() {
                    *byte ^= u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap();
                }
            }
            whole
        };
        digest(self) == digest(plain)
    }
}

/// How many bytes a text takes as a bulk string.
fn resp_len(text: &str) -> u64 {
    (text.len() + text.len().to_string().len() + 5) as u64
}

fn field(info: &str, name: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {info}"));
    line.trim().parse().unwrap()
}
