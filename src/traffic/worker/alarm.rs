//! Wakes the flusher when replies have lingered long enough. Io.
//!
//! Set once and left alone until it rings, even if nobody lingers any more by then: a busy worker's replies linger all the
//! time, and to set it anew for each would cost more than to wake once for nothing.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// An alarm; tokio's timers count whole milliseconds, so it rings up to one later than it was set for.
#[derive(Debug)]
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    is_set: bool,
}

impl Alarm {
    /// One that is not set. Must be called in a runtime.
    pub(super) fn new() -> Self {
        Self { sleep: Box::pin(sleep_until(Instant::now())), is_set: false }
    }

    /// Whether its time has come; if it is set and that is still to come, the task is woken then.
    pub(super) fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        let rings = self.is_set && self.sleep.as_mut().poll(cx) == Poll::Ready(());
        self.is_set &= !rings;
        rings
    }

    /// Rings at `at`, unless it is set already. Returns whether that is now.
    pub(super) fn set(&mut self, at: std::time::Instant, cx: &mut Context<'_>) -> bool {
        if self.is_set {
            return false;
        }
        self.sleep.as_mut().reset(at.into());
        self.is_set = true;
        self.rings(cx)
    }
}
