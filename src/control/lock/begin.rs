//! With what state locks begin: what a process before has left, as far as its options were the same. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::time::Duration;

use super::{
    keeper::{Now, Rules},
    state::State,
    store::{Basis, Found},
};

/// What counts from now on.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) state: Option<State>,
    /// What is written with each state.
    pub(super) basis: Basis,
    /// From when on no lock of longer ttl can be held any more: then the options alone are the basis.
    pub(super) until: Now,
    /// What an operator should know.
    pub(super) news: Vec<String>,
}

/// What begins at `now`, on the boot `boot`, with these options, behind what was `found`.
///
/// Where locks lay on another number of nodes, or could be held for longer, no node counts until all of those are over: two
/// majorities need have no node in common otherwise, and a node's quarantine would be too short for them.
pub(super) fn begin(found: Option<Found>, rules: &Rules, boot: &str, now: Now) -> Begin {
    let options = Basis { nodes: rules.nodes, max_ttl_ms: rules.max_ttl_ms() };
    let Some(Found { basis: before, mut state }) = found else {
        return Begin { state: None, basis: options, until: now, news: Vec::new() };
    };
    let longest = before.max_ttl_ms.max(options.max_ttl_ms);
    let wait = Duration::from_millis(longest + longest / 100) + Duration::from_millis(500);
    let until = now + wait;
    let mut news = Vec::new();
    let mut why = Vec::new();
    if before.nodes != options.nodes {
        why.push(format!("after lock.nodes was changed from {} to {}", before.nodes, options.nodes));
    }
    if before.max_ttl_ms > options.max_ttl_ms {
        let seconds = |ms: u64| format!("{} s", ms as f64 / 1_000.0);
        why.push(format!(
            "after lock.max_ttl was lowered from {} to {}",
            seconds(before.max_ttl_ms),
            seconds(options.max_ttl_ms)
        ));
    }
    if !why.is_empty() && !state.nodes.is_empty() {
        let why = why.join(" and ");
        news.push(format!("no lock can be taken for {:.1} s: all nodes are in quarantine {why}", wait.as_secs_f64()));
        // Times of another boot begin anew with it, by the keeper: shorter than these. So they become this boot's.
        let same_boot = state.boot == boot;
        state.boot = boot.to_owned();
        if let Some(window) = state.window.as_mut().filter(|_| !same_boot) {
            window.until_ms = u64::MAX;
        }
        let until_ms = u64::try_from(until.as_millis()).unwrap_or(u64::MAX) + 1;
        state.nodes.iter_mut().for_each(|known| known.quarantine = Some((until_ms, why.clone())));
    }
    Begin { state: Some(state), basis: Basis { max_ttl_ms: longest, ..options }, until, news }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::lock::{
        keeper::{Limits, Member, Safety},
        state::Known,
    };

    fn rules(nodes: usize, max_ttl: u64) -> Rules {
        Rules {
            nodes,
            max_ttl: Duration::from_millis(max_ttl),
            bootstrap: false,
            limits: Limits { node_time: Duration::from_millis(250), max_waiters: 10, max_held: 10 },
            safety: Safety::default(),
        }
    }

    fn found(nodes: usize, max_ttl_ms: u64) -> Found {
        let member = Member { name: "a".into(), place: "a".into(), address: "a:1".into() };
        let known = Known { member: member.clone(), run_id: "r".into(), quarantine: None, marked: true, evicted: 0 };
        let state = State { boot: "b".into(), epoch: 9, set: vec![member], window: None, nodes: vec![known] };
        Found { basis: Basis { nodes, max_ttl_ms }, state }
    }

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn with_the_same_options_it_goes_on_as_it_was() {
        let begin = begin(Some(found(3, 60_000)), &rules(3, 60_000), "b", NOW);
        assert_eq!(begin.state, Some(found(3, 60_000).state));
        assert_eq!((begin.basis, begin.news.len()), (Basis { nodes: 3, max_ttl_ms: 60_000 }, 0));
    }

    #[test]
    fn a_longer_ttl_is_no_danger() {
        let begin = begin(Some(found(3, 1_000)), &rules(3, 60_000), "b", NOW);
        assert_eq!(begin.state.unwrap().nodes[0].quarantine, None);
        assert_eq!(begin.basis.max_ttl_ms, 60_000);
    }

    #[test]
    fn a_shorter_one_and_another_number_of_nodes_wait_for_what_may_be_held() {
        for (nodes, max_ttl, word) in [(3, 1_000, "lowered from 60 s to 1 s"), (5, 60_000, "changed from 3 to 5")] {
            for boot in ["b", "another"] {
                let begin = begin(Some(found(3, 60_000)), &rules(nodes, max_ttl), boot, NOW);
                let state = begin.state.unwrap();
                let (until_ms, why) = state.nodes[0].quarantine.clone().unwrap();
                assert_eq!(until_ms, 100_000 + 60_000 + 600 + 500 + 1);
                assert!(why.contains(word) && begin.news[0].contains(word), "{why}");
                assert_eq!((state.epoch, state.boot.as_str()), (9, boot));
                // Written so until they are over: a restart in between waits anew.
                assert_eq!((begin.basis.max_ttl_ms, begin.until), (60_000, Duration::from_millis(161_100)));
            }
        }
    }

    #[test]
    fn where_nothing_was_there_is_nothing_to_wait_for() {
        let begin = begin(None, &rules(3, 60_000), "b", NOW);
        assert_eq!((begin.state, begin.basis.max_ttl_ms, begin.until), (None, 60_000, NOW));
    }
}
