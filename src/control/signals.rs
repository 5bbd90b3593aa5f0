//! Signals: SIGTERM and SIGINT end Circlet; SIGHUP has it read its configuration again, and ends `circlet dev`, whose terminal
//! was closed.
//!
//! Listened to from the first moment on, so that a signal during start-up is not lost. Io.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that Circlet knows.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Whether a closed terminal ends it.
    terminal: bool,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The end; the signal's name.
    End(&'static str),
    /// That the configuration is read again.
    Reload,
}

impl Signals {
    /// Starts to listen; `terminal`: a closed terminal ends it, and nothing is read again.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn listen(terminal: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            terminal,
        })
    }

    /// What the next signal asks for. Cancel-safe: a signal that came is given to the next call.
    pub async fn asked(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = self.hangup.recv() => if self.terminal { Asked::End("SIGHUP") } else { Asked::Reload },
        }
    }

    /// The name of the next signal that ends it; what else is asked for is passed over. Cancel-safe, as [`Signals::asked`].
    pub async fn next(&mut self) -> &'static str {
        loop {
            if let Asked::End(name) = self.asked().await {
                return name;
            }
        }
    }
}
