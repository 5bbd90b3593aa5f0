//! Opens a connection to a node: name, socket, handshake.
//!
//! ```text
//!  resolve (anew each time) ─► connect ─► HELLO 3 | AUTH ─► CLIENT SETNAME, ID ─► INFO ─► SELECT
//!     ─► (CLIENT TRACKING) ─► PING ─► ready
//! ```
//! All commands leave in one write. The PING's answer proves that the node is alive and not only its kernel: a stopped
//! process still accepts connections. Who is to blame for a failure is told apart, because a refused db must not make
//! the whole node count as down. Io; the caller sets the time limit.

use std::io;

use redis_protocol::resp3::{
    decode::complete::decode,
    types::{FrameKind, OwnedFrame, Resp3Frame as _},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::traffic::{
    core::Fault,
    merge::scan,
    resp::{Proto, encode},
    route::{Address, Node},
    worker::socket::Socket,
};

/// A handshake's replies are a few hundred bytes; a node that sends more is none.
const MAX_REPLIES: usize = 64 << 10;

/// Why a connection could not be made.
#[derive(Debug)]
pub struct Failure {
    /// What it means for the node.
    pub fault: Fault,
    /// For the error line: `connection refused`.
    pub why: String,
}

impl Failure {
    fn of_node(why: impl Into<String>) -> Self {
        Self { fault: Fault::Node, why: why.into() }
    }
}

/// The steps of a handshake, in the order of their replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Hello,
    Auth,
    SetName,
    ClientId,
    Run,
    Select,
    Tracking,
    Ping,
}

/// What a node says of a connection when it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The number that the node gave the connection (CLIENT ID); 0: it does not tell.
    pub client: u64,
    /// Which run of the node's process this is, see [`scan::run_tag`]; 0: it does not tell.
    pub run: u32,
    /// What came right behind the handshake: pushes, as soon as CLIENT TRACKING is on. Less than one read.
    pub early: Vec<u8>,
}

/// A connection to `node` that speaks `proto`, has `db` selected and was told `opening` (CLIENT TRACKING), if any.
///
/// # Errors
/// The name does not resolve, nobody listens, or the node refuses the handshake.
pub async fn open(node: &Node, db: u32, proto: Proto, opening: Option<&[u8]>) -> Result<(Socket, Greeting), Failure> {
    let mut socket = connect(&node.address).await?;
    let (request, steps) = handshake(node, db, proto, opening);
    socket.write_all(&request).await.map_err(|error| Failure::of_node(describe(&error)))?;
    let greeting = read_replies(&mut socket, &steps).await?;
    Ok((socket, greeting))
}

async fn connect(address: &Address) -> Result<Socket, Failure> {
    match address {
        Address::Tcp { host, port } => {
            let addresses = tokio::net::lookup_host((host.as_str(), *port))
                .await
                .map_err(|error| Failure::of_node(format!("host name '{host}' cannot be resolved: {error}")))?;
            let mut last = Failure::of_node(format!("host name '{host}' has no address"));
            for address in addresses {
                match tokio::net::TcpStream::connect(address).await {
                    Ok(stream) => return Ok(Socket::tcp(stream)),
                    Err(error) => last = Failure::of_node(describe(&error)),
                }
            }
            Err(last)
        }
        Address::Unix(path) => match tokio::net::UnixStream::connect(path).await {
            Ok(stream) => Ok(Socket::Unix(stream)),
            Err(error) => Err(Failure::of_node(describe(&error))),
        },
    }
}

/// An I/O error in the words of the people who read it.
#[must_use]
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the node".to_owned(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "the node closed the connection".to_owned(),
        io::ErrorKind::NotFound => "its socket does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        _ => error.to_string(),
    }
}

fn handshake(node: &Node, db: u32, proto: Proto, opening: Option<&[u8]>) -> (Vec<u8>, Vec<Step>) {
    let mut out = Vec::new();
    let mut steps = Vec::new();
    let mut say = |step, words: &[&str]| {
        encode::array_header(&mut out, words.len());
        words.iter().for_each(|word| encode::bulk(&mut out, word.as_bytes()));
        steps.push(step);
    };
    let user = node.username.as_deref();
    match (proto, node.password.as_deref()) {
        (Proto::Resp3, Some(password)) => {
            say(Step::Hello, &["HELLO", "3", "AUTH", user.unwrap_or("default"), password])
        }
        (Proto::Resp3, None) => say(Step::Hello, &["HELLO", "3"]),
        (Proto::Resp2, Some(password)) => match user {
            Some(user) => say(Step::Auth, &["AUTH", user, password]),
            None => say(Step::Auth, &["AUTH", password]),
        },
        (Proto::Resp2, None) => {}
    }
    say(Step::SetName, &["CLIENT", "SETNAME", "circlet"]);
    say(Step::ClientId, &["CLIENT", "ID"]);
    say(Step::Run, &["INFO", "server"]);
    if db > 0 {
        say(Step::Select, &["SELECT", &db.to_string()]);
    }
    if let Some(opening) = opening {
        out.extend_from_slice(opening);
        steps.push(Step::Tracking);
    }
    encode::array_header(&mut out, 1);
    encode::bulk(&mut out, b"PING");
    steps.push(Step::Ping);
    (out, steps)
}

async fn read_replies(socket: &mut Socket, steps: &[Step]) -> Result<Greeting, Failure> {
    let mut greeting = Greeting::default();
    let mut bytes = Vec::new();
    let mut at = 0;
    let mut complaint: Option<String> = None;
    for step in steps {
        let frame = loop {
            match decode(&bytes[at..]) {
                Ok(Some((frame, used))) => {
                    at += used;
                    if frame.kind() != FrameKind::Push {
                        break frame;
                    }
                    continue;
                }
                Ok(None) if bytes.len() - at < MAX_REPLIES => {}
                Ok(None) | Err(_) => return Err(Failure::of_node("it does not speak RESP")),
            }
            // Only what is unfinished counts: any number of pushes may come with the replies.
            bytes.drain(..at);
            at = 0;
            let mut read = [0; 1024];
            match socket.read(&mut read).await {
                Ok(0) => {
                    return Err(Failure::of_node(complaint.unwrap_or_else(|| "it closed the connection".to_owned())));
                }
                Ok(n) => bytes.extend_from_slice(&read[..n]),
                Err(error) => return Err(Failure::of_node(complaint.unwrap_or_else(|| describe(&error)))),
            }
        };
        if let Some(text) = error_text(&frame) {
            if let Some(failure) = judge(*step, &text) {
                return Err(failure);
            }
            complaint.get_or_insert(text);
        } else if let (Step::ClientId, OwnedFrame::Number { data, .. }) = (step, &frame) {
            greeting.client = u64::try_from(*data).unwrap_or(0);
        } else if *step == Step::Run {
            greeting.run = run_of(&frame);
        }
    }
    greeting.early = bytes.split_off(at);
    Ok(greeting)
}

/// The run that an INFO text tells of.
fn run_of(info: &OwnedFrame) -> u32 {
    let (OwnedFrame::BlobString { data, .. } | OwnedFrame::VerbatimString { data, .. }) = info else { return 0 };
    let mut lines = data.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find_map(|line| line.strip_prefix(b"run_id:")).map_or(0, scan::run_tag)
}

fn error_text(frame: &OwnedFrame) -> Option<String> {
    match frame {
        OwnedFrame::SimpleError { data, .. } => Some(data.to_string()),
        OwnedFrame::BlobError { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
        _ => None,
    }
}

/// What an error reply to a step means; `None`: the connection can be used all the same.
fn judge(step: Step, text: &str) -> Option<Failure> {
    // The first word of an error is its code, the part of it that is protocol.
    let code = text.split(' ').next().unwrap_or_default();
    let denied = matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED");
    match step {
        Step::Hello if !denied => {
            Some(Failure { fault: Fault::Pipe, why: format!("it does not speak RESP3 ({text}); use HELLO 2") })
        }
        Step::Hello | Step::Auth => Some(Failure::of_node(text)),
        Step::Select => Some(Failure { fault: Fault::Pipe, why: format!("its db cannot be selected ({text})") }),
        Step::Tracking => Some(Failure { fault: Fault::Pipe, why: format!("it refuses CLIENT TRACKING ({text})") }),
        // A node that loads its data, or whose master is away, is alive; requests get its own error.
        Step::Ping => denied.then(|| Failure::of_node(text)),
        // A user who may not name itself or ask who answers may still be useful.
        Step::SetName | Step::ClientId | Step::Run => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(username: Option<&str>, password: Option<&str>) -> Node {
        let address = Address::Tcp { host: "127.0.0.1".into(), port: 1 };
        let (username, password) = (username.map(Into::into), password.map(Into::into));
        Node { username, password, ..Node::new("a", address) }
    }

    #[test]
    fn the_handshake_says_what_the_pipe_needs_and_no_more() {
        let steps = |node: &Node, db, proto| handshake(node, db, proto, None).1;
        assert_eq!(steps(&node(None, None), 0, Proto::Resp2), [Step::SetName, Step::ClientId, Step::Run, Step::Ping]);
        assert_eq!(
            steps(&node(None, Some("x")), 3, Proto::Resp2),
            [Step::Auth, Step::SetName, Step::ClientId, Step::Run, Step::Select, Step::Ping]
        );
        let (bytes, steps) = handshake(&node(None, None), 3, Proto::Resp2, Some(b"*1\r\n$1\r\nX\r\n"));
        assert_eq!(steps, [Step::SetName, Step::ClientId, Step::Run, Step::Select, Step::Tracking, Step::Ping]);
        assert!(bytes.ends_with(b"*1\r\n$1\r\nX\r\n*1\r\n$4\r\nPING\r\n"));
        let (bytes, steps) = handshake(&node(Some("u"), Some("p")), 0, Proto::Resp3, None);
        assert_eq!(steps, [Step::Hello, Step::SetName, Step::ClientId, Step::Run, Step::Ping]);
        assert!(bytes.starts_with(b"*5\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n"));
    }

    #[test]
    fn a_wrong_password_is_the_nodes_fault_and_a_refused_db_is_not() {
        assert_eq!(judge(Step::Auth, "WRONGPASS invalid").map(|f| f.fault), Some(Fault::Node));
        assert_eq!(judge(Step::Hello, "NOAUTH HELLO must").map(|f| f.fault), Some(Fault::Node));
        assert_eq!(judge(Step::Hello, "ERR unknown command").map(|f| f.fault), Some(Fault::Pipe));
        assert_eq!(judge(Step::Select, "ERR DB index is out of range").map(|f| f.fault), Some(Fault::Pipe));
        assert_eq!(judge(Step::Tracking, "NOPERM this user").map(|f| f.fault), Some(Fault::Pipe));
        assert!(judge(Step::Ping, "LOADING Redis is loading the dataset in memory").is_none());
        assert!(judge(Step::Ping, "NOAUTH Authentication required.").is_some());
        assert!(judge(Step::SetName, "NOPERM").is_none());
    }
}
