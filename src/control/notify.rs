//! What a service manager is told: that Circlet serves, what it serves, that it reads its
//! configuration again, and that it stops (sd_notify(3)).
//!
//! Under systemd with `Type=notify` the unit is started when Circlet says so, not when its process is there, and what is
//! ordered behind it finds a Circlet that accepts clients. Elsewhere (no `NOTIFY_SOCKET`) nothing is said. That nobody
//! listens is no reason not to serve: it is logged. Io.

use std::time::Duration;

use sd_notify::NotifyState;

/// What the end takes beside the drain: its last moment, and the threads.
const MARGIN: Duration = Duration::from_secs(5);

/// Clients are accepted; `what` is shown by `systemctl status`.
pub fn ready(what: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(what)]);
}

/// The configuration is read again; [`ready`] says that this is done.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::warn!(why = %error, "the service manager cannot be told of the reload; there is no clock")
        }
    }
}

/// No clients are accepted any more; the end comes within `limit`, which the manager must allow.
pub fn stopping(sessions: usize, limit: Duration) {
    let us = u32::try_from((limit + MARGIN).as_micros()).unwrap_or(u32::MAX);
    let text = format!("draining {sessions} clients");
    tell(&[NotifyState::Stopping, NotifyState::Status(&text), NotifyState::ExtendTimeoutUsec(us)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(why = %error, "the service manager cannot be told; NOTIFY_SOCKET is wrong");
    }
}
