//! A running Circlet, asked over RESP as any client would ask it: what the operator's subcommands stand on.
//!
//! One connection, one question at a time, RESP2, with time limits; replies are read with redis-protocol. An `Err` is one
//! line for the person at the terminal. Bounded by [`MAX_REPLY`]. Io.

use std::{
    env, fs,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use redis_protocol::resp2::{decode::decode, types::OwnedFrame};

use crate::traffic::{
    resp::{Frames, Limits, NoReply, encode},
    route::Address,
};

/// Time to connect.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Time without a byte in which an answer must come or go.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Longest reply.
const MAX_REPLY: usize = 64 << 20;

/// What is said of bytes that are not RESP.
const NO_REPLY: &str = "what it sends is no reply of a Circlet";

/// A socket of either kind.
trait Socket: Read + Write {
    /// Gives up an answer of which nothing has come for so long.
    fn wait_for(&self, time: Duration) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn wait_for(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

impl Socket for UnixStream {
    fn wait_for(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))
    }
}

/// An open connection.
pub(super) struct Remote {
    address: String,
    socket: Box<dyn Socket>,
    /// Time without a byte in which an answer must come.
    patience: Duration,
}

impl Remote {
    /// Connects to `address` and gives the password: of the file, or of the environment as redis-cli takes it.
    pub(super) fn connect(address: &str, password_file: Option<&Path>) -> Result<Self, String> {
        let place: Address = address.parse().map_err(|error| format!("--at: {error}"))?;
        let password = match password_file {
            Some(path) => Some(password_of(path)?),
            None => env::var("REDISCLI_AUTH").ok().filter(|password| !password.is_empty()),
        };
        let socket = open(&place).map_err(|error| format!("--at {address}: {error}; does a Circlet serve there?"))?;
        let mut remote = Self { address: address.to_owned(), socket, patience: ANSWER_TIME };
        if let Some(password) = password {
            remote.ask(&[b"AUTH", password.as_bytes()])?;
        }
        Ok(remote)
    }

    /// Answers may take so long from now on.
    pub(super) fn wait_for(&mut self, time: Duration) -> Result<(), String> {
        self.patience = time;
        self.socket.wait_for(time).map_err(|error| format!("--at {}: {error}", self.address))
    }

    /// Sends a command and gives its reply; an error reply is an `Err`.
    pub(super) fn ask(&mut self, words: &[&[u8]]) -> Result<OwnedFrame, String> {
        let mut request = Vec::new();
        encode::array_header(&mut request, words.len());
        words.iter().for_each(|word| encode::bulk(&mut request, word));
        let reply = self.exchange(&request).map_err(|error| format!("--at {}: {error}", self.address))?;
        match reply {
            OwnedFrame::Error(line) => Err(format!("--at {}: {line}{}", self.address, cure(&line))),
            frame => Ok(frame),
        }
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<OwnedFrame> {
        self.socket.write_all(request)?;
        let mut frames = Frames::new(Limits::default().max_nesting, MAX_REPLY);
        let mut chunk = vec![0; 64 << 10];
        let reply = loop {
            let count = self.socket.read(&mut chunk).map_err(|error| silent(error, self.patience))?;
            if count == 0 {
                return Err(io::Error::other("it closed the connection"));
            }
            frames.room().extend_from_slice(&chunk[..count]);
            match frames.next_reply() {
                Ok(Some(reply)) => break reply,
                Ok(None) => {}
                Err(NoReply) => return Err(io::Error::other(NO_REPLY)),
            }
        };
        match decode(&reply) {
            Ok(Some((frame, _))) => Ok(frame),
            Ok(None) | Err(_) => Err(io::Error::other(NO_REPLY)),
        }
    }
}

/// What to do about an error reply, as far as that is known.
fn cure(line: &str) -> &'static str {
    if line.starts_with("NOAUTH") {
        " (give --password-file, or set REDISCLI_AUTH)"
    } else if line.starts_with("NOPERM") {
        " (give --token-file with its admin_token, or ask from its own machine)"
    } else if line.starts_with("ERR unknown command") || line.starts_with("ERR unknown subcommand") {
        " (a Redis, or an older Circlet, serves there)"
    } else {
        ""
    }
}

/// The file's first line.
fn password_of(path: &Path) -> Result<String, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("--password-file: {} cannot be read ({error})", path.display()))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("--password-file: {} is empty; write the password into it", path.display())),
    }
}

fn open(place: &Address) -> io::Result<Box<dyn Socket>> {
    let (host, port) = match place {
        Address::Unix(path) => {
            let socket = UnixStream::connect(path)?;
            socket.set_read_timeout(Some(ANSWER_TIME))?;
            socket.set_write_timeout(Some(ANSWER_TIME))?;
            return Ok(Box::new(socket));
        }
        Address::Tcp { host, port } => (host.as_str(), *port),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, CONNECT_TIME) {
            Ok(socket) => {
                socket.set_read_timeout(Some(ANSWER_TIME))?;
                socket.set_write_timeout(Some(ANSWER_TIME))?;
                return Ok(Box::new(socket));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A read that timed out, in words.
fn silent(error: io::Error, patience: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            io::Error::other(format!("no answer within {} s", patience.as_secs()))
        }
        _ => error,
    }
}

/// A map's fields, names and values in turn.
pub(super) struct Fields(Vec<OwnedFrame>);

impl Fields {
    /// The fields of a reply; none if it is no list.
    pub(super) fn of(frame: OwnedFrame) -> Self {
        Self(items(frame))
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&OwnedFrame> {
        let (pairs, _) = self.0.as_chunks::<2>();
        pairs.iter().find(|[key, _]| bytes(key) == Some(name.as_bytes())).map(|[_, value]| value)
    }

    /// The bytes of `name`; `None` also for null.
    pub(super) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.get(name).and_then(bytes)
    }

    /// The text of `name`.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.bytes(name)?).ok()
    }

    /// The number of `name`.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        match self.get(name)? {
            OwnedFrame::Integer(number) => number.to_string().parse().ok(),
            frame => std::str::from_utf8(bytes(frame)?).ok()?.parse().ok(),
        }
    }

    /// The elements of `name`.
    pub(super) fn list(&self, name: &str) -> Vec<OwnedFrame> {
        self.get(name).cloned().map(items).unwrap_or_default()
    }
}

/// The elements of a list; none if it is no list.
pub(super) fn items(frame: OwnedFrame) -> Vec<OwnedFrame> {
    match frame {
        OwnedFrame::Array(items) => items,
        _ => Vec::new(),
    }
}

fn bytes(frame: &OwnedFrame) -> Option<&[u8]> {
    match frame {
        OwnedFrame::BulkString(bytes) | OwnedFrame::SimpleString(bytes) => Some(bytes),
        _ => None,
    }
}
