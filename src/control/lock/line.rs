//! A voter's line: one pipelined connection to a node, opened anew whenever it breaks.
//!
//! ```text
//!  closed ─connect, AUTH─► INFO ─► CLIENT ID ─► CLIENT KILL ID (the one before) ─► names, scripts, marker ─► Met ─► open
//!    ▲                                                                                                              │
//!    └── Lost ◄── any trouble: it breaks, an answer takes longer than pipe.request_timeout, what comes is no RESP ──┘
//! ```
//! What was queued on a connection that broke may still run at the node, later than what is sent over the next one: a lock
//! would be taken behind its own release. So the first command that could change anything is the end of the connection before,
//! by its id, if the same process of the node answers (of another one nothing is left). Only when the node has said that it is
//! dead does the keeper hear of the new line. Until then the id is kept, however many tries it takes.
//!
//! Answers come in order, each to the request at the head of the [`Wire`]. A slow answer breaks nothing; the keeper has
//! stopped waiting for it long before. Every second the node is asked how it is. Io.

use std::{cell::RefCell, collections::HashMap, convert::Infallible, rc::Rc, sync::Arc, time::Duration};

use redis_protocol::resp2::types::BytesFrame;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Front, clock,
    keeper::{Facts, Input, LineNo, Member, Now, Voter},
    script,
    wire::{Flight, What, Wire},
};
use crate::{
    control::{
        live::Live,
        probe::{
            backoff::Backoff,
            conversation::{Conversation, Socket, Trouble, decode},
            known::field,
        },
    },
    traffic::{resp::Frames, route::Node},
};

/// Pauses between tries to reach a node.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How often a node is asked how it is.
const LOOK: Duration = Duration::from_secs(1);
/// Longest reply: INFO of a node with many modules and dbs is a tenth of it.
const MAX_REPLY: usize = 16 << 20;
/// Deepest reply: those of the scripts have one level.
const MAX_NESTING: usize = 4;
/// What the connection is called at the node.
const NAME: &str = "circlet-lock";
/// The first version that tells a connection its id; on an older one no lock is ever taken.
const TELLS_ID: u32 = 5;

/// Where nodes are, and what they are told, as far as it was said.
pub(super) type Book = Rc<RefCell<HashMap<Member, Node>>>;

/// What the lines of all voters share.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) front: Front,
    pub(super) live: Arc<Live>,
    pub(super) book: Book,
    /// The last connection to each node over which anything was asked that may still run. A node that leaves and comes back is
    /// the same node.
    pub(super) left: Rc<RefCell<HashMap<Member, Left>>>,
    /// The number of the next line.
    pub(super) numbers: Rc<RefCell<u64>>,
    /// For tests that must fail.
    pub(super) kills: bool,
}

impl Common {
    /// The node of `member`; one that nobody has said anything of is tried without a password.
    pub(super) fn node(&self, member: &Member) -> Result<Node, Trouble> {
        if let Some(node) = self.book.borrow().get(member) {
            return Ok(node.clone());
        }
        let address = member.address.parse().map_err(|_| Trouble::Unresolved(member.address.clone()))?;
        Ok(Node::new(&member.name, address))
    }
}

/// A voter's line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) common: Common,
    pub(super) voter: Voter,
    pub(super) member: Member,
    pub(super) wire: Rc<Wire>,
}

/// A connection that may not be dead at its node.
#[derive(Debug)]
pub(super) struct Left {
    run_id: String,
    id: u64,
}

impl Line {
    pub(super) fn new(common: Common, voter: Voter, member: Member, wire: Rc<Wire>) -> Self {
        Self { common, voter, member, wire }
    }

    /// Keeps it open until the task is ended.
    pub(super) async fn keep(self) {
        let fresh = || Backoff::new(PAUSES[0], PAUSES[1]);
        let (mut pauses, mut told) = (fresh(), None);
        loop {
            let line = self.number();
            let mut was_there = false;
            let Err(trouble) = self.visit(line, &mut was_there).await;
            self.wire.close();
            let why = trouble.to_string();
            if was_there {
                (pauses, told) = (fresh(), None);
            }
            // One log line per change, not per try.
            if told.as_ref() != Some(&why) {
                tracing::warn!(node = %self.member.name, address = %self.member.address, %why, "no connection for locks");
                told = Some(why.clone());
            }
            self.common.front.input(Input::Lost { voter: self.voter, line, why });
            sleep(pauses.pause(fastrand::f64())).await;
        }
    }

    fn number(&self) -> LineNo {
        let mut next = self.common.numbers.borrow_mut();
        *next += 1;
        LineNo(*next)
    }

    /// One connection, from its opening to its end.
    async fn visit(&self, line: LineNo, was_there: &mut bool) -> Result<Infallible, Trouble> {
        let node = self.common.node(&self.member)?;
        let pipe = self.common.live.pipe();
        let mut talk = Conversation::open(&node, pipe.connect_timeout, pipe.request_timeout).await?;
        let sent = clock::now();
        let facts = self.greet(&mut talk).await?;
        let (read, write) = split(talk.into_socket());
        *was_there = true;
        self.wire.open(line);
        tracing::debug!(node = %self.member.name, line = line.0, "connected for locks");
        self.common.front.input(Input::Met { voter: self.voter, line, facts, sent });
        let frames = frames();
        let carrier = Carrier { line: self, no: line, frames, info: None, limit: pipe.request_timeout };
        carrier.carry(read, write).await
    }

    /// Everything that comes before the first request; gives what the node says of itself.
    async fn greet(&self, talk: &mut Conversation) -> Result<Facts, Trouble> {
        let info = said(talk, &["INFO"], "INFO").await?;
        let mut facts = facts(&info);
        if major(&facts.version) >= TELLS_ID {
            let id = said(talk, &["CLIENT", "ID"], "CLIENT ID").await?.parse().map_err(|_| Trouble::Garbage)?;
            // Of another process of the node nothing is left.
            let before = self
                .common
                .left
                .borrow()
                .get(&self.member)
                .filter(|left| left.run_id == facts.run_id)
                .map(|left| left.id);
            if let Some(before) = before.filter(|_| self.common.kills) {
                said(talk, &["CLIENT", "KILL", "ID", &before.to_string()], "CLIENT KILL").await?;
            }
            let left = Left { run_id: facts.run_id.clone(), id };
            self.common.left.borrow_mut().insert(self.member.clone(), left);
        }
        // Not every version has them, and none is needed.
        for wish in [&["CLIENT", "SETNAME", NAME][..], &["CLIENT", "NO-EVICT", "ON"], &["CLIENT", "NO-TOUCH", "ON"]] {
            let _ = talk.text_of(wish, 0).await?;
        }
        for text in script::texts() {
            said(talk, &["SCRIPT", "LOAD", text], "SCRIPT LOAD").await?;
        }
        facts.admit = marker(said(talk, &["GET", script::ADMIT], "GET").await?);
        Ok(facts)
    }
}

/// The text of an answer; what the node refuses, it names.
async fn said(talk: &mut Conversation, words: &[&str], what: &str) -> Result<String, Trouble> {
    let answer = talk.text_of(words, 0).await?;
    answer.map_err(|line| Trouble::Refused(format!("{line} (to {what})")))
}

fn marker(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

/// What an INFO tells; the marker is asked for apart.
fn facts(info: &str) -> Facts {
    let of = |name| field(info, name).unwrap_or_default();
    let bounded = of("maxmemory").parse::<u64>().is_ok_and(|most| most > 0);
    let policy = of("maxmemory_policy");
    Facts {
        run_id: of("run_id"),
        version: of("redis_version"),
        primary: of("role") == "master",
        evicts: (bounded && policy != "noeviction").then_some(policy),
        evicted: of("evicted_keys").parse().unwrap_or(0),
        admit: None,
        clock_us: of("server_time_usec").parse().ok(),
    }
}

/// An open line at work.
struct Carrier<'l> {
    line: &'l Line,
    no: LineNo,
    frames: Frames,
    /// What INFO said, until the marker is known too.
    info: Option<Facts>,
    /// How long an answer may take.
    limit: Duration,
}

impl Carrier<'_> {
    async fn carry(
        mut self,
        mut read: ReadHalf<Box<dyn Socket>>,
        mut write: WriteHalf<Box<dyn Socket>>,
    ) -> Result<Infallible, Trouble> {
        let wire = Rc::clone(&self.line.wire);
        let (mut sending, mut sent) = (Vec::new(), 0);
        let mut look = Instant::now() + LOOK;
        loop {
            if sent == sending.len() {
                sending.clear();
                sent = 0;
                wire.take(&mut sending);
            }
            let all_sent = sending.is_empty();
            let deadline = self.deadline(&wire)?.min(look);
            // Cancel-safe, all of them: what was read is in the buffer, what was written is counted in `sent`.
            tokio::select! {
                count = read.read_buf(self.frames.room()) => {
                    if count.map_err(Trouble::Io)? == 0 {
                        return Err(Trouble::Closed);
                    }
                    self.answers(&wire)?;
                }
                count = write.write(&sending[sent..]), if !all_sent => sent += count.map_err(Trouble::Io)?,
                () = wire.rung(), if all_sent => {}
                () = sleep_until(deadline) => {
                    if Instant::now() >= look {
                        wire.look(clock::now());
                        look = Instant::now() + LOOK;
                    }
                }
            }
        }
    }

    /// When the oldest answer is too late.
    fn deadline(&self, wire: &Wire) -> Result<Instant, Trouble> {
        let Some(oldest) = wire.oldest() else { return Ok(Instant::now() + LOOK) };
        match (oldest + self.limit).checked_sub(clock::now()) {
            None | Some(Duration::ZERO) => Err(Trouble::Timeout(self.limit)),
            Some(left) => Ok(Instant::now() + left),
        }
    }

    /// Gives every whole answer to whom it belongs.
    fn answers(&mut self, wire: &Wire) -> Result<(), Trouble> {
        while let Some(reply) = self.frames.next_reply()? {
            let frame = decode(&reply)?;
            let Some(Flight { what, sent }) = wire.next() else { return Err(Trouble::Garbage) };
            match what {
                What::Script { ticket, script, again } => {
                    let script =
                        if is_unknown(&frame) { wire.again(ticket, script, again, clock::now()) } else { Some(script) };
                    let Some(script) = script else { continue };
                    let (said, clock_us) = script::read(&script, frame).ok_or(Trouble::Garbage)?;
                    self.tell(Input::Answered { voter: self.line.voter, line: self.no, ticket, said, clock_us, sent });
                }
                What::Load => {}
                What::Info => self.info = Some(facts(&text(frame)?)),
                What::Marker => {
                    let facts = self.info.take().ok_or(Trouble::Garbage)?;
                    let facts = Facts { admit: marker(text(frame)?), ..facts };
                    self.tell(Input::Looked { voter: self.line.voter, line: self.no, facts, sent });
                }
            }
        }
        Ok(())
    }

    fn tell(&self, input: Input) {
        self.line.common.front.input(input);
    }
}

/// The node has forgotten the script (SCRIPT FLUSH): nothing was done.
fn is_unknown(frame: &BytesFrame) -> bool {
    matches!(frame, BytesFrame::Error(line) if line.starts_with("NOSCRIPT"))
}

fn text(frame: BytesFrame) -> Result<String, Trouble> {
    match frame {
        BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => {
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        }
        BytesFrame::Null => Ok(String::new()),
        BytesFrame::Error(line) => Err(Trouble::Refused(line.to_string())),
        BytesFrame::Integer(_) | BytesFrame::Array(_) => Err(Trouble::Garbage),
    }
}

/// What cuts the bytes of a node.
pub(super) fn frames() -> Frames {
    Frames::new(MAX_NESTING, MAX_REPLY)
}

/// A time in our own clock from now on, as the runtime's.
pub(super) fn instant(at: Now) -> Instant {
    Instant::now() + at.saturating_sub(clock::now())
}
