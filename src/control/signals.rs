//! Signals that end Circlet: SIGTERM and SIGINT, and for `circlet dev` the closed terminal (SIGHUP).
//!
//! Listened to from the first moment on, so that a signal during start-up is not lost. Io.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end Circlet.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// Starts to listen; `terminal`: whether a closed terminal ends it too.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn listen(terminal: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: if terminal { Some(signal(SignalKind::hangup())?) } else { None },
        })
    }

    /// The next signal's name. Cancel-safe: a signal that came is given to the next call.
    pub async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }
}
