//! How many files and sockets this process may hold open.
//!
//! The soft limit is often 1,024, which `max_sessions` exceeds by far; it is raised to the hard one. Programs started
//! later inherit it, which redis-server wants too. Io.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors that are no client's: listeners, event loops, the admin's clients, logs, and some to spare.
const OWN: u64 = 128;

/// Raises the limit, and warns when the clients and pipes that the pools of this process may have do not fit under it.
pub fn fit(pools: &[Config]) {
    if let Some(text) = shortage(raise(), &Need::of(pools)) {
        tracing::warn!("{text}");
    }
}

/// What is wrong with the system's limit for these pools in one process, if anything; changes nothing.
#[must_use]
pub fn shortage_of(pools: &[Config]) -> Option<String> {
    shortage(getrlimit(Resource::Nofile).maximum, &Need::of(pools))
}

/// What may be open at the same time.
struct Need {
    pools: usize,
    sessions: u64,
    /// One per worker and node is the least; each database and protocol adds as many.
    pipes: u64,
}

impl Need {
    fn of(pools: &[Config]) -> Self {
        let sum = |of: fn(&Config) -> usize| pools.iter().fold(0_u64, |sum, pool| sum.saturating_add(of(pool) as u64));
        Self {
            pools: pools.len(),
            sessions: sum(|pool| pool.traffic.session.max_sessions),
            pipes: sum(|pool| pool.traffic.workers.saturating_mul(pool.nodes.len())),
        }
    }
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

/// What is wrong with `limit`.
fn shortage(limit: Option<u64>, need: &Need) -> Option<String> {
    let limit = limit?;
    let (sessions, others) = (need.sessions, need.pipes.saturating_add(OWN));
    let needed = sessions.saturating_add(others);
    let is = if need.pools > 1 { format!("of the {} pools adds up to", need.pools) } else { "is".to_owned() };
    (needed > limit).then(|| {
        format!(
            "session.max_sessions {is} {sessions}, but the system allows {limit} open files, enough for {} clients; \
             raise the limit (ulimit -Hn {needed}, or LimitNOFILE={needed}) or lower session.max_sessions",
            limit.saturating_sub(others)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_both_cures() {
        let text = shortage(Some(1_024), &Need { pools: 1, sessions: 10_000, pipes: 6 }).unwrap();
        assert!(text.starts_with("session.max_sessions is 10000, but"), "{text}");
        assert!(text.contains("enough for 890 clients"), "{text}");
        assert!(text.contains("LimitNOFILE=10134") && text.contains("lower session.max_sessions"), "{text}");
    }

    #[test]
    fn pools_of_one_process_share_the_limit() {
        let need = Need::of(&[Config::default(), Config::default()]);
        assert_eq!((need.pools, need.sessions), (2, 20_000));
        let text = shortage(Some(16_384), &need).unwrap();
        assert!(text.starts_with("session.max_sessions of the 2 pools adds up to 20000, but"), "{text}");
    }

    #[test]
    fn enough_and_no_limit_are_silent() {
        assert_eq!(shortage(Some(65_536), &Need { pools: 1, sessions: 10_000, pipes: 6 }), None);
        assert_eq!(shortage(None, &Need { pools: 9, sessions: u64::MAX, pipes: u64::MAX }), None);
    }

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        assert_eq!(raise(), getrlimit(Resource::Nofile).maximum);
    }
}
