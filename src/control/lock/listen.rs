//! A voter's ear: a connection on which a node tells that a lock was released, while somebody waits for one.
//!
//! ```text
//!  nobody waits ──somebody waits──► connect ─► SUBSCRIBE circlet:free:… ─► Freed, Freed … ──nobody waits for 10 s──► closed
//! ```
//! It is a hint and nothing else: the keeper tries again by itself when a lock's time is over. That a subscription has begun is
//! told as well, since the lock may have been released just before. Another connection than the line, which answers requests
//! in order. Io. Bounded by the locks that somebody waits for.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use redis_protocol::resp2::types::BytesFrame;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, split},
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{
    keeper::{Input, Member},
    line::{self, Common},
    script,
};
use crate::{
    control::probe::{
        backoff::Backoff,
        conversation::{Conversation, Trouble, decode},
    },
    traffic::{lock::LockName, resp::encode},
};

/// Pauses between tries to reach a node.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// How often a node that says nothing is asked whether it is there.
const PING: Duration = Duration::from_secs(1);
/// How long an ear stays open that nobody needs.
const IDLE: Duration = Duration::from_secs(10);
/// What the connection is called at the node.
const NAME: &str = "circlet-lock-ear";

/// The locks that somebody waits for, by their channels.
pub(super) type Topics = Rc<RefCell<HashMap<Bytes, LockName>>>;

/// What has changed of them, for one ear.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Channels, and whether they are wanted.
    list: RefCell<Vec<(Bytes, bool)>>,
    /// Whether the ear is open: else it will ask for all that is wanted then.
    open: Cell<bool>,
    bell: Notify,
}

impl Changes {
    /// The channel is wanted from now on, or no longer.
    pub(super) fn put(&self, channel: Bytes, wanted: bool) {
        if self.open.get() {
            self.list.borrow_mut().push((channel, wanted));
        }
        self.bell.notify_one();
    }
}

/// A voter's ear.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) common: Common,
    pub(super) member: Member,
    pub(super) topics: Topics,
    pub(super) changes: Rc<Changes>,
}

impl Ear {
    /// Hears until the task is ended.
    pub(super) async fn keep(self) {
        let fresh = || Backoff::new(PAUSES[0], PAUSES[1]);
        let mut pauses = fresh();
        loop {
            while self.topics.borrow().is_empty() {
                self.changes.bell.notified().await;
            }
            let mut was_there = false;
            let heard = self.listen(&mut was_there).await;
            self.changes.open.set(false);
            self.changes.list.borrow_mut().clear();
            if let Err(trouble) = heard {
                // Its line says what is wrong with the node.
                tracing::debug!(node = %self.member.name, why = %trouble, "no ear for released locks");
                if was_there {
                    pauses = fresh();
                }
                sleep(pauses.pause(fastrand::f64())).await;
            }
        }
    }

    /// One connection; `Ok`: nobody needs it any more.
    async fn listen(&self, was_there: &mut bool) -> Result<(), Trouble> {
        let pipe = self.common.live.pipe();
        let node = self.common.node(&self.member)?;
        let mut talk = Conversation::open(&node, pipe.connect_timeout, pipe.request_timeout).await?;
        let _ = talk.text_of(&["CLIENT", "SETNAME", NAME], 0).await?;
        let (mut read, mut write) = split(talk.into_socket());
        *was_there = true;
        // All that is wanted now; what comes later is in the list.
        self.changes.open.set(true);
        let mut sending = request("SUBSCRIBE", &self.topics.borrow().keys().cloned().collect::<Vec<_>>());
        let (mut frames, mut heard, mut needed) = (line::frames(), Instant::now(), Instant::now());
        let mut ping = Instant::now() + PING;
        loop {
            if sending.is_empty() {
                sending = self.changed();
            }
            // Cancel-safe, all of them, as in a line.
            tokio::select! {
                count = read.read_buf(frames.room()) => {
                    if count.map_err(Trouble::Io)? == 0 {
                        return Err(Trouble::Closed);
                    }
                    heard = Instant::now();
                    while let Some(reply) = frames.next_reply()? {
                        self.hear(decode(&reply)?)?;
                    }
                }
                count = write.write(&sending), if !sending.is_empty() => sending.advance(count.map_err(Trouble::Io)?),
                () = self.changes.bell.notified(), if sending.is_empty() => {}
                () = sleep_until(ping), if sending.is_empty() => {
                    ping = Instant::now() + PING;
                    sending = request("PING", &[]);
                }
            }
            if heard.elapsed() > pipe.request_timeout.max(PING * 2) {
                return Err(Trouble::Timeout(pipe.request_timeout));
            }
            if !self.topics.borrow().is_empty() {
                needed = Instant::now();
            } else if needed.elapsed() > IDLE {
                return Ok(());
            }
        }
    }

    /// Requests for what has changed; of a channel only the last word counts.
    fn changed(&self) -> Bytes {
        let list = std::mem::take(&mut *self.changes.list.borrow_mut());
        if list.is_empty() {
            return Bytes::new();
        }
        let last: HashMap<Bytes, bool> = list.into_iter().collect();
        let (wanted, others): (Vec<_>, Vec<_>) = last.into_iter().partition(|(_, wanted)| *wanted);
        let names = |list: Vec<(Bytes, bool)>| list.into_iter().map(|(channel, _)| channel).collect::<Vec<_>>();
        let mut out = Vec::new();
        for (verb, channels) in [("SUBSCRIBE", names(wanted)), ("UNSUBSCRIBE", names(others))] {
            if !channels.is_empty() {
                out.extend_from_slice(&request(verb, &channels));
            }
        }
        out.into()
    }

    fn hear(&self, frame: BytesFrame) -> Result<(), Trouble> {
        let items = match frame {
            BytesFrame::Array(items) => items,
            BytesFrame::Error(line) => return Err(Trouble::Refused(line.to_string())),
            _ => return Ok(()),
        };
        if let [BytesFrame::BulkString(kind), BytesFrame::BulkString(channel), ..] = items.as_slice()
            && matches!(&kind[..], b"message" | b"subscribe")
            && let Some(lock) = self.topics.borrow().get(channel)
        {
            self.common.front.input(Input::Freed { lock: lock.clone() });
        }
        Ok(())
    }
}

fn request(verb: &str, channels: &[Bytes]) -> Bytes {
    if channels.is_empty() && verb == "SUBSCRIBE" {
        return Bytes::new();
    }
    let mut out = Vec::new();
    encode::array_header(&mut out, 1 + channels.len());
    encode::bulk(&mut out, verb.as_bytes());
    channels.iter().for_each(|channel| encode::bulk(&mut out, channel));
    out.into()
}

/// The channel of a lock.
pub(super) fn channel(lock: &LockName) -> Bytes {
    script::channel(lock).into()
}
