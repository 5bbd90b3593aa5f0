//! How long a lock is surely held.
//!
//! ```text
//!  started          decided                 until                 the nodes forget it
//!  ──┼─────────────────┼───────────────────────┼────────────────────────┼──────►
//!    │◄─── elapsed ───►│◄────── validity ─────►│◄ 1 % of ttl + 2 ms ────┤
//!    │◄───────────────────────── ttl ──────────────────────────────────►│   (earlier by drift; later by travel)
//! ```
//! `started` is read before anything is sent, so that every node's count begins later; drift of the nodes' clocks and the
//! grain of their ms are taken off. All rounding is to the holder's disadvantage. Times are of CLOCK_BOOTTIME: a machine
//! that slept has not held its locks for less long. Pure.

use std::time::Duration;

use super::Now;

/// What the grain of a node's clock takes.
const GRAIN: Duration = Duration::from_millis(2);

/// Shorter ones leave nothing.
pub(super) const SHORTEST_TTL_MS: u64 = 4;

/// What drift and grain may take of `ttl_ms`: 1 % and 2 ms.
pub(super) fn drift(ttl_ms: u64) -> Duration {
    Duration::from_micros(ttl_ms.saturating_mul(10)).saturating_add(GRAIN)
}

/// Until when a lock is surely held that was asked for at `started`.
pub(super) fn until(started: Now, ttl_ms: u64) -> Now {
    let ttl = Duration::from_millis(ttl_ms);
    started.saturating_add(ttl.saturating_sub(drift(ttl_ms)))
}

/// What is left at `now`, whole ms, rounded down.
pub(super) fn left_ms(until: Now, now: Now) -> u64 {
    whole_ms(until.saturating_sub(now))
}

/// Whether enough is left to be worth a grant.
pub(super) fn worth(until: Now, now: Now) -> bool {
    left_ms(until, now) >= 1
}

/// Whole ms, rounded down.
pub(super) fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whole ms, rounded up.
pub(super) fn full_ms(time: Duration) -> u64 {
    let ms = whole_ms(time);
    if time > Duration::from_millis(ms) { ms.saturating_add(1) } else { ms }
}
