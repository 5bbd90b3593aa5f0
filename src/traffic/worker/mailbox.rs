//! What other threads may tell a worker. Bounded: a full mailbox refuses, it never makes the sender's memory grow.

use tokio::sync::mpsc;

use crate::traffic::core::Message;

/// Letters that may wait; they wait only while the worker is busy with one wake-up.
const CAPACITY: usize = 4096;

/// A connection on its way to its worker; non-blocking.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// Unix.
    Unix(std::os::unix::net::UnixStream),
}

/// One letter.
#[derive(Debug)]
pub enum Letter {
    /// A new session.
    Client {
        /// Its connection.
        stream: Stream,
        /// The listener's address.
        local: String,
    },
    /// What another worker says.
    Message(Message),
    /// End every session when it is answered.
    Drain,
    /// End the thread.
    Stop,
}

impl Letter {
    pub(super) fn into_stream(self) -> Option<Stream> {
        match self {
            Self::Client { stream, .. } => Some(stream),
            Self::Message(_) | Self::Drain | Self::Stop => None,
        }
    }
}

/// The sender's side.
#[derive(Clone, Debug)]
pub struct Mailbox(mpsc::Sender<Letter>);

/// The worker's side.
pub(super) type Inbox = mpsc::Receiver<Letter>;

pub(super) fn new() -> (Mailbox, Inbox) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (Mailbox(sender), receiver)
}

impl Mailbox {
    /// Puts a letter in.
    ///
    /// # Errors
    /// The letter, when the box is full or its worker is gone.
    pub fn send(&self, letter: Letter) -> Result<(), Letter> {
        self.0.try_send(letter).map_err(|error| match error {
            mpsc::error::TrySendError::Full(letter) | mpsc::error::TrySendError::Closed(letter) => letter,
        })
    }

    /// Puts a letter in, waiting for room. A worker that is gone needs no letter.
    pub async fn send_surely(&self, letter: Letter) {
        drop(self.0.send(letter).await);
    }
}
