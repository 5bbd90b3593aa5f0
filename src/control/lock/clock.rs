//! The time by which locks are reckoned: what has passed since the machine was started, time asleep included. Io.
//!
//! CLOCK_MONOTONIC stops while the machine is suspended and the nodes' clocks go on: a lock would be believed to be held that
//! the nodes have dropped long since. So CLOCK_BOOTTIME is read, which costs no system call.

use std::{fs, time::Duration};

use rustix::time::{ClockId, clock_gettime};

use super::keeper::Now;

/// Linux has its own clock for it; elsewhere the monotonic one goes on in sleep.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// The present.
pub(super) fn now() -> Now {
    let time = clock_gettime(CLOCK);
    // Neither is ever negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Which run of the machine this is, and which of its clocks: a container may have another one. Times of another are of no
/// use. Where it cannot be known, it is another one each time.
pub(super) fn boot() -> String {
    let Ok(boot) = fs::read_to_string("/proc/sys/kernel/random/boot_id") else {
        return format!("unknown-{:016x}", fastrand::u64(..));
    };
    // A time namespace shifts the clock; its name is an inode.
    let clock = fs::read_link("/proc/self/ns/time").map(|link| link.display().to_string());
    format!("{} {}", boot.trim(), clock.unwrap_or_default()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_forward_and_the_boot_stays_the_same() {
        let (one, two) = (now(), now());
        assert!(one <= two && one > Duration::ZERO);
        if fs::exists("/proc/sys/kernel/random/boot_id").unwrap() {
            assert_eq!(boot(), boot());
            assert!(boot().len() >= 36);
        }
    }
}
