//! What Linux says about this process in `/proc/self`; nothing elsewhere. Io.
//!
//! The names are those that every Prometheus client library uses. No crate for it: what there is counts processor time in
//! whole seconds, or knows nothing of single threads, which [`super::threads`] reads in the same way.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// This process's use of the machine.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Process {
    /// User and system time.
    pub(super) cpu_seconds: f64,
    /// Resident memory, bytes.
    pub(super) memory: u64,
    /// Address space, bytes.
    pub(super) virtual_memory: u64,
    /// Threads.
    pub(super) threads: u64,
    /// Open descriptors.
    pub(super) files: u64,
    /// Descriptors that it may open; `None`: as many as it likes.
    pub(super) max_files: Option<u64>,
}

impl Process {
    /// Reads the current values; `None` where there is no `/proc`.
    pub(super) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let files = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size() as u64;
        let max_files = getrlimit(Resource::Nofile).current;
        // One of the descriptors is the directory being read.
        parse(&stat, ticks, page).map(|process| Self { files: files.saturating_sub(1), max_files, ..process })
    }
}

/// Reads `/proc/self/stat` (proc_pid_stat(5)): utime and stime are fields 14 and 15, num_threads is 20, vsize 23, rss 24.
/// The second field is the command's name in parentheses and may hold anything, so fields count from the last parenthesis.
fn parse(stat: &str, ticks_per_second: u64, page_size: u64) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(") ")?;
    // The first of these is field 3.
    let field = |number: usize| rest.split(' ').nth(number - 3)?.trim().parse::<u64>().ok();
    let ticks = field(14)? + field(15)?;
    Some(Process {
        cpu_seconds: ticks as f64 / ticks_per_second as f64,
        threads: field(20)?,
        virtual_memory: field(23)?,
        memory: field(24)? * page_size,
        ..Process::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_count_from_the_last_parenthesis() {
        let stat = "71 (a ) b) S 1 71 71 0 -1 4194560 1 2 3 4 250 50 5 6 20 0 3 0 9 1000 77 18446744073709551615 1\n";
        let expected =
            Process { cpu_seconds: 3.0, memory: 77 * 4_096, virtual_memory: 1_000, threads: 3, ..Process::default() };
        assert_eq!(parse(stat, 100, 4_096), Some(expected));
        assert_eq!(parse("garbage", 100, 4_096), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_read() {
        let process = Process::read().unwrap();
        assert!(process.memory > 1 << 20 && process.files >= 3 && process.threads >= 1, "{process:?}");
        assert!(process.virtual_memory > process.memory, "{process:?}");
        assert!(process.max_files.is_none_or(|most| most >= process.files), "{process:?}");
    }
}
