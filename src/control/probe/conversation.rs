//! A control connection to a node: one question, one answer.
//!
//! RESP2, because every node speaks it. A reply is cut out by [`Frames`], which bounds depth and size; only then does
//! redis-protocol make values of it. Every step has a time limit; after any trouble the connection is
//! not used again. Io.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use redis_protocol::resp2::{decode::decode_bytes, types::BytesFrame};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream, lookup_host},
    time::{error::Elapsed, timeout},
};

use crate::traffic::{
    resp::{Frames, NoReply, encode},
    route::{Address, Node},
};

/// Longest reply: COMMAND of a node with very many modules is a tenth of it.
const MAX_REPLY: usize = 16 << 20;
/// Deepest reply: COMMAND of Redis 7 needs 7.
const MAX_NESTING: usize = 16;

/// Why a conversation ended. Its Display is the reason in a node's log line.
#[derive(Debug)]
pub(in crate::control) enum Trouble {
    /// The host name has no address.
    Unresolved(String),
    /// No connection, or it broke.
    Io(io::Error),
    /// It took longer than this.
    Timeout(Duration),
    /// The node closed the connection.
    Closed,
    /// What it sent is no reply.
    Garbage,
    /// It will not talk to us; its own words.
    Refused(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(host) => write!(f, "the name {host} does not resolve"),
            Self::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => f.write_str("connection refused"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Timeout(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Self::Closed => f.write_str("it closed the connection"),
            Self::Garbage => f.write_str("what it sends is not RESP"),
            Self::Refused(words) => write!(f, "it says: {words}"),
        }
    }
}

impl From<NoReply> for Trouble {
    fn from(_: NoReply) -> Self {
        Self::Garbage
    }
}

/// The value of one whole reply.
///
/// # Errors
/// It is none.
pub(in crate::control) fn decode(reply: &Bytes) -> Result<BytesFrame, Trouble> {
    match decode_bytes(reply) {
        Ok(Some((frame, _))) => Ok(frame),
        Ok(None) | Err(_) => Err(Trouble::Garbage),
    }
}

/// A socket of either kind.
pub(in crate::control) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// An open, authenticated control connection.
pub(in crate::control) struct Conversation {
    socket: Box<dyn Socket>,
    answer_time: Duration,
}

impl Conversation {
    /// Resolves the node's name anew, connects within `connect_time` and authenticates; each answer has `answer_time`.
    pub(in crate::control) async fn open(
        node: &Node,
        connect_time: Duration,
        answer_time: Duration,
    ) -> Result<Self, Trouble> {
        let socket = timeout(connect_time, connect(&node.address)).await;
        let socket = socket.map_err(|_: Elapsed| Trouble::Timeout(connect_time))??;
        let mut conversation = Self { socket, answer_time };
        conversation.authenticate(node).await?;
        Ok(conversation)
    }

    async fn authenticate(&mut self, node: &Node) -> Result<(), Trouble> {
        let answer = match (&node.username, &node.password) {
            (Some(user), Some(password)) => self.text_of(&["AUTH", user, password], 0).await?,
            (None, Some(password)) => self.text_of(&["AUTH", password], 0).await?,
            (_, None) => return Ok(()),
        };
        answer.map(drop).map_err(Trouble::Refused)
    }

    /// Sends `words` and gives the node's whole reply.
    pub(in crate::control) async fn ask(&mut self, words: &[&str]) -> Result<Bytes, Trouble> {
        let limit = self.answer_time;
        timeout(limit, self.exchange(words)).await.map_err(|_: Elapsed| Trouble::Timeout(limit))?
    }

    /// Asks and gives the reply's text, or of a list its element `index`; the inner `Err` is the node's error line.
    pub(in crate::control) async fn text_of(
        &mut self,
        words: &[&str],
        index: usize,
    ) -> Result<Result<String, String>, Trouble> {
        let reply = self.ask(words).await?;
        Ok(match decode(&reply)? {
            BytesFrame::Array(mut items) if index < items.len() => text(items.swap_remove(index)),
            frame => text(frame),
        })
    }

    /// The connection, for whoever talks otherwise from now on: no answer is under way.
    pub(in crate::control) fn into_socket(self) -> Box<dyn Socket> {
        self.socket
    }

    /// Waits for `pause`, or until the node closes the connection or says something unasked.
    ///
    /// Cancel-safe: a read that did not happen took nothing.
    pub(in crate::control) async fn rest(&mut self, pause: Duration) -> Result<(), Trouble> {
        let mut byte = [0];
        match timeout(pause, self.socket.read(&mut byte)).await {
            Err(_elapsed) => Ok(()),
            Ok(Ok(0)) => Err(Trouble::Closed),
            Ok(Ok(_)) => Err(Trouble::Garbage),
            Ok(Err(error)) => Err(Trouble::Io(error)),
        }
    }

    async fn exchange(&mut self, words: &[&str]) -> Result<Bytes, Trouble> {
        let mut request = Vec::new();
        encode::array_header(&mut request, words.len());
        for word in words {
            encode::bulk(&mut request, word.as_bytes());
        }
        self.socket.write_all(&request).await.map_err(Trouble::Io)?;
        let mut frames = Frames::new(MAX_NESTING, MAX_REPLY);
        let reply = read_reply(&mut self.socket, &mut frames).await?;
        // Nobody asked for what comes behind it.
        if frames.is_empty() { Ok(reply) } else { Err(Trouble::Garbage) }
    }
}

/// The next whole reply; what comes behind it stays in `frames`.
pub(in crate::control) async fn read_reply(
    socket: &mut (impl AsyncRead + Unpin),
    frames: &mut Frames,
) -> Result<Bytes, Trouble> {
    loop {
        if let Some(reply) = frames.next_reply()? {
            return Ok(reply);
        }
        if socket.read_buf(frames.room()).await.map_err(Trouble::Io)? == 0 {
            return Err(Trouble::Closed);
        }
    }
}

/// The first address that can be connected to, like every Redis client.
pub(in crate::control) async fn connect(address: &Address) -> Result<Box<dyn Socket>, Trouble> {
    let (host, port) = match address {
        Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await.map_err(Trouble::Io)?)),
        Address::Tcp { host, port } => (host, *port),
    };
    let resolved = lookup_host((host.as_str(), port)).await.map_err(|_| Trouble::Unresolved(host.clone()))?;
    let mut last = Trouble::Unresolved(host.clone());
    for candidate in resolved {
        match TcpStream::connect(candidate).await {
            Ok(stream) => {
                // Several small requests may be under way at once.
                stream.set_nodelay(true).map_err(Trouble::Io)?;
                return Ok(Box::new(stream));
            }
            Err(error) => last = Trouble::Io(error),
        }
    }
    Err(last)
}

/// A frame as text, an error frame as `Err`.
fn text(frame: BytesFrame) -> Result<String, String> {
    match frame {
        BytesFrame::SimpleString(bytes) | BytesFrame::BulkString(bytes) => {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        BytesFrame::Integer(number) => Ok(number.to_string()),
        BytesFrame::Error(line) => Err(line.to_string()),
        BytesFrame::Array(_) | BytesFrame::Null => Ok(String::new()),
    }
}
