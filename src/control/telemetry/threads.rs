//! The workers' processor time, as the kernel counts it for their threads; nothing where there is no `/proc`. Io.
//!
//! Asked for at a scrape, so that it costs the workers nothing, and in nanoseconds: the scheduler's own accounts
//! (`schedstat`), which also tell how long a thread was ready to run while others had the processor.

use std::fs;

use crate::traffic::worker::THREAD;

/// One worker's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    /// Its number among those of this process.
    pub(super) number: usize,
    /// Time on a processor, µs.
    pub(super) cpu_us: u64,
    /// Time ready to run without a processor, µs.
    pub(super) wait_us: u64,
}

/// The workers' threads, by index.
pub(super) fn read() -> Vec<Thread> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut threads: Vec<Thread> = tasks.flatten().filter_map(|task| thread(&task.path())).collect();
    threads.sort_unstable_by_key(|thread| thread.number);
    // A process can have several fleets (tests): one of each name is shown.
    threads.dedup_by_key(|thread| thread.number);
    threads
}

fn thread(task: &std::path::Path) -> Option<Thread> {
    let name = fs::read_to_string(task.join("comm")).ok()?;
    let number = name.trim_end().strip_prefix(THREAD)?.parse().ok()?;
    let (cpu_us, wait_us) = parse(&fs::read_to_string(task.join("schedstat")).ok()?)?;
    Some(Thread { number, cpu_us, wait_us })
}

/// Reads `schedstat` (the kernel's sched-stats.rst): ns on the processor, ns waiting for it, slices of time.
fn parse(schedstat: &str) -> Option<(u64, u64)> {
    let mut fields = schedstat.split_ascii_whitespace().map(|field| field.parse::<u64>().ok().map(|ns| ns / 1_000));
    Some((fields.next()??, fields.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_become_microseconds() {
        assert_eq!(parse("339367 12000 2\n"), Some((339, 12)));
        assert_eq!(parse("339367"), None);
        assert_eq!(parse("x y z"), None);
    }
}
