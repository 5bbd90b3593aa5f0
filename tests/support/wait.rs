//! Waiting for a condition, never longer than allowed.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Enough for anything that is expected to happen, on a slow and busy machine too.
pub const LONG: Duration = Duration::from_secs(30);

/// Asks `probe` again and again until it gives a value; fails the test after `limit`.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until `holds`.
pub fn until_true(what: &str, mut holds: impl FnMut() -> bool) {
    until(what, LONG, || holds().then_some(()));
}
