//! A pipelined control connection to a node, in one db: many questions under way, answers in order.
//!
//! ```text
//!  ask ──Question──► writer task ──bytes──► node
//!   ▲                    └─whose turn─► reader task ◄──bytes──┘
//!   └────────── answer ──────────────────┘
//! ```
//! RESP2. After any trouble (also one answer too late) the line is broken for good: nobody could say whose the next reply
//! is. Whoever stops waiting for an answer leaves the order as it is. Bounded: [`DEPTH`] questions, [`MAX_REPLY`]. Io.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use redis_protocol::resp2::types::BytesFrame;
use tokio::{
    io::{AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{error::Elapsed, timeout},
};

use super::request::command;
use crate::{
    control::probe::conversation::{Socket, Trouble, connect, decode, read_reply},
    traffic::{resp::Frames, route::Node},
};

/// Questions under way on one line.
const DEPTH: usize = 64;
/// Longest reply: one element or module value may be as long as Redis lets it be (512 MB).
const MAX_REPLY: usize = 1 << 30;
/// Deepest reply: XINFO and XRANGE need 4.
const MAX_NESTING: usize = 16;

/// How long a node may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// To accept a connection.
    pub connect: Duration,
    /// To answer a question.
    pub answer: Duration,
}

struct Question {
    request: Bytes,
    answer: oneshot::Sender<Bytes>,
}

/// An open, authenticated line.
#[derive(Debug)]
pub(super) struct Line {
    questions: mpsc::Sender<Question>,
    tasks: [AbortHandle; 2],
    broken: AtomicBool,
    times: Times,
    /// The `run_id` of the node's process; empty if it will not say.
    run: String,
}

impl Line {
    /// Connects, authenticates, asks who it is and selects `db`.
    pub(super) async fn open(node: &Node, db: u32, times: Times) -> Result<Self, Trouble> {
        let socket = timeout(times.connect, connect(&node.address)).await;
        let socket = socket.map_err(|_: Elapsed| Trouble::Timeout(times.connect))??;
        let (read, write) = split(socket);
        let (questions, asked) = mpsc::channel(DEPTH);
        let (turns, waiting) = mpsc::channel(DEPTH);
        let writer = tokio::spawn(say(write, asked, turns)).abort_handle();
        let reader = tokio::spawn(listen(read, waiting)).abort_handle();
        let broken = AtomicBool::new(false);
        let mut line = Self { questions, tasks: [writer, reader], broken, times, run: String::new() };
        line.introduce(node, db).await?;
        Ok(line)
    }

    async fn introduce(&mut self, node: &Node, db: u32) -> Result<(), Trouble> {
        match (&node.username, &node.password) {
            (Some(user), Some(password)) => self.must(&["AUTH", user, password]).await?,
            (None, Some(password)) => self.must(&["AUTH", password]).await?,
            (_, None) => {}
        }
        match self.ask(command(&["INFO", "server"])).await? {
            BytesFrame::BulkString(info) => self.run = field(&info, "run_id").unwrap_or_default(),
            BytesFrame::Error(line) if line.starts_with("NOAUTH") => return Err(Trouble::Refused(line.to_string())),
            _ => {}
        }
        if db != 0 { self.must(&["SELECT", &db.to_string()]).await } else { Ok(()) }
    }

    async fn must(&self, words: &[&str]) -> Result<(), Trouble> {
        match self.ask(command(words)).await? {
            BytesFrame::Error(line) => Err(Trouble::Refused(line.to_string())),
            _ => Ok(()),
        }
    }

    /// The `run_id` of the process at the other end.
    pub(super) fn run(&self) -> &str {
        &self.run
    }

    /// Whether it can be asked no more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed) || self.questions.is_closed()
    }

    /// Sends a request and gives the reply; an error line is a reply.
    ///
    /// Cancel-safe for the line; whether the node has run the request is then unknown.
    pub(super) async fn ask(&self, request: Bytes) -> Result<BytesFrame, Trouble> {
        let (answer, answered) = oneshot::channel();
        let whole = async {
            self.questions.send(Question { request, answer }).await.map_err(|_| Trouble::Closed)?;
            answered.await.map_err(|_| Trouble::Closed)
        };
        let reply = timeout(self.times.answer, whole).await;
        let reply = reply.unwrap_or_else(|_: Elapsed| Err(Trouble::Timeout(self.times.answer)));
        let frame = reply.and_then(|bytes| decode(&bytes));
        if frame.is_err() {
            self.broken.store(true, Relaxed);
            self.tasks.iter().for_each(AbortHandle::abort);
        }
        frame
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn say(
    mut socket: WriteHalf<Box<dyn Socket>>,
    mut asked: mpsc::Receiver<Question>,
    turns: mpsc::Sender<oneshot::Sender<Bytes>>,
) {
    while let Some(Question { request, answer }) = asked.recv().await {
        if turns.send(answer).await.is_err() || socket.write_all(&request).await.is_err() {
            return;
        }
    }
}

/// Ends, and by that breaks the line, when the node closes it or sends what is no reply.
async fn listen(mut socket: ReadHalf<Box<dyn Socket>>, mut waiting: mpsc::Receiver<oneshot::Sender<Bytes>>) {
    let mut frames = Frames::new(MAX_NESTING, MAX_REPLY);
    while let Some(answer) = waiting.recv().await {
        let Ok(reply) = read_reply(&mut socket, &mut frames).await else { return };
        // Fails if nobody waits for it any more.
        let _ = answer.send(reply);
    }
}

/// The value of `name` in an INFO text.
pub(super) fn field(info: &[u8], name: &str) -> Option<String> {
    let value =
        info.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
    Some(String::from_utf8_lossy(value.trim_ascii()).into_owned())
}
