//! How many files and sockets this process may hold open.
//!
//! The soft limit is often 1,024, which `max_sessions` exceeds by far; it is raised to the hard one. Programs started
//! later inherit it, which redis-server wants too. Io.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors that are no client's: listeners, event loops, the admin's clients, logs, and some to spare.
const OWN: u64 = 128;

/// Raises the limit, and warns when the clients and pipes that `config` allows do not fit under it.
pub fn fit(config: &Config) {
    let settings = &config.traffic;
    let limit = raise();
    if let Some(text) = shortage(limit, settings.session.max_sessions, settings.workers, config.nodes.len()) {
        tracing::warn!("{text}");
    }
}

/// What is wrong with the system's limit for `config`, if anything; changes nothing.
#[must_use]
pub fn shortage_of(config: &Config) -> Option<String> {
    let settings = &config.traffic;
    let limit = getrlimit(Resource::Nofile).maximum;
    shortage(limit, settings.session.max_sessions, settings.workers, config.nodes.len())
}

/// Raises the soft limit to the hard one and gives what holds now; `None`: no limit.
fn raise() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(limit = limit.current, why = %error, "the limit of open files cannot be raised");
            limit.current
        }
    }
}

/// What is wrong with `limit`. One pipe per worker and node is the least; each database and protocol adds as many.
fn shortage(limit: Option<u64>, sessions: usize, workers: usize, nodes: usize) -> Option<String> {
    let limit = limit?;
    let pipes = (workers.saturating_mul(nodes) as u64).saturating_add(OWN);
    let needed = (sessions as u64).saturating_add(pipes);
    (needed > limit).then(|| {
        format!(
            "session.max_sessions is {sessions}, but the system allows {limit} open files, enough for {} clients; \
             raise the limit (ulimit -Hn {needed}, or LimitNOFILE={needed}) or lower session.max_sessions",
            limit.saturating_sub(pipes)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_both_cures() {
        let text = shortage(Some(1_024), 10_000, 2, 3).unwrap();
        assert!(text.contains("enough for 890 clients"), "{text}");
        assert!(text.contains("LimitNOFILE=10134") && text.contains("lower session.max_sessions"), "{text}");
    }

    #[test]
    fn enough_and_no_limit_are_silent() {
        assert_eq!(shortage(Some(65_536), 10_000, 2, 3), None);
        assert_eq!(shortage(None, usize::MAX, usize::MAX, usize::MAX), None);
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        assert_eq!(raise(), getrlimit(Resource::Nofile).maximum);
    }
}
