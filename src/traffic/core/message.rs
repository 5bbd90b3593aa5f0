//! What workers tell each other.
//!
//! A worker owns its sessions; whoever wants something of a session of another worker sends a [`Message`] and goes on.
//! An answer, if there is one, is a message too ([`Message::Answer`]), and fills a slot that was opened for it. The shell
//! carries them through the mailboxes and loses none, except those that may be lost when the box is full
//! ([`Message::may_be_lost`]). Pure.

use std::sync::Arc;

use bytes::Bytes;

use super::{Core, Question, Todo, Told};
use crate::traffic::{client::ClientKey, resp::Proto, settings::Settings};

/// One worker's word to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Something that all workers are asked.
    Question {
        /// What.
        question: Question,
        /// Who asks.
        from: Asker,
    },
    /// The answer to it.
    Told {
        /// Who asked.
        to: Asker,
        /// What this worker says.
        told: Told,
    },
    /// Lines for the monitors of the worker.
    Monitored(Bytes),
    /// This worker has no monitor any more.
    MonitorsEnded(usize),
    /// CLIENT UNBLOCK of the session with number `id`.
    Unblock {
        /// Who is to be unblocked.
        id: u64,
        /// With an error, instead of as if the time were over.
        error: bool,
        /// Who asks.
        from: Asker,
    },
    /// The reply to what `to` asked.
    Answer {
        /// Who asked.
        to: Asker,
        /// The reply.
        text: Vec<u8>,
    },
    /// Something for the session with number `id`, of RESP3, that is no reply.
    Push {
        /// Whom it is for.
        id: u64,
        /// The whole frame.
        bytes: Bytes,
    },
    /// Keys have changed that the session with number `id` is told of (CLIENT TRACKING … REDIRECT).
    Invalidate {
        /// Whom it is for.
        id: u64,
        /// An array of keys; `None`: all of them.
        keys: Option<Bytes>,
    },
    /// The keys of a ticket were brought to their new nodes.
    Brought {
        /// Who asked.
        ticket: u64,
        /// Whether they were; else the whole error line for the client.
        result: Result<(), String>,
    },
    /// These settings hold from now on.
    Settings(NewSettings),
}

/// Settings that were changed at run time.
#[derive(Clone, Debug)]
pub struct NewSettings(pub Arc<Settings>);

impl PartialEq for NewSettings {
    fn eq(&self, other: &Self) -> bool {
        self.0.revision == other.0.revision
    }
}

impl Eq for NewSettings {}

/// Who waits for an answer from another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Index of its worker.
    pub worker: usize,
    /// Its session.
    pub key: ClientKey,
    /// The slot that waits.
    pub seq: u32,
}

impl Message {
    /// Whether it may be dropped when the other worker's mailbox is full, rather than wait for room.
    #[must_use]
    pub fn may_be_lost(&self) -> bool {
        matches!(self, Self::Monitored(_))
    }
}

impl Core {
    /// Takes what another worker says.
    pub fn receive(&mut self, message: Message) {
        match message {
            Message::Question { question, from } => self.questioned(question, from),
            Message::Told { to, told } => self.told(to, told),
            Message::Monitored(lines) => self.monitored(&lines),
            Message::MonitorsEnded(worker) => self.show_to(worker, false),
            Message::Unblock { id, error, from } => self.unblock_for(id, error, from),
            Message::Brought { ticket, result } => self.were_brought(ticket, result),
            Message::Settings(NewSettings(settings)) => self.set_settings(settings),
            Message::Answer { to, text } => self.answered(to, &text),
            Message::Push { id, bytes } => {
                // One that has gone back to RESP2 meanwhile would take it for a reply.
                if let Some(key) = self.key_of(id).filter(|key| self.proto(*key) == Proto::Resp3) {
                    self.push(key, &bytes);
                }
            }
            Message::Invalidate { id, keys } => {
                if let Some(key) = self.key_of(id) {
                    self.tell_invalidated(key, keys.as_deref());
                }
            }
        }
    }

    /// Tells a worker something; this one too.
    pub(super) fn tell(&mut self, worker: usize, message: Message) {
        if worker == self.index {
            self.receive(message);
        } else {
            self.todo.push(Todo::Tell(worker, message));
        }
    }

    /// Opens a slot of `key` for an answer that comes as a [`Message::Answer`].
    pub(super) fn ask(&mut self, key: ClientKey) -> Option<Asker> {
        let worker = self.index;
        let seq = self.client_mut(key)?.open_slot();
        Some(Asker { worker, key, seq })
    }

    /// This worker's session with number `id`.
    pub(super) fn key_of(&self, id: u64) -> Option<ClientKey> {
        let index = self.registry.get(id).filter(|record| record.worker == self.index)?.place();
        let client = self.clients.get(index as usize).filter(|client| client.record.id == id)?;
        Some(ClientKey { index, generation: client.generation })
    }
}
