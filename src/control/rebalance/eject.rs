//! Who is left out of a cache since it is down, and who comes back.
//!
//! ```text
//!            judged down, and enough others are left
//!    in ───────────────────────────────────────────────► out
//!     ▲                                                    │
//!     └── judged up, and purged of everything it had ◄─────┘
//! ```
//! Without haste: the verdict is the failure detector's, with its hysteresis. Never are fewer than half of the nodes left, and
//! never none: when most of them are out of reach it is more likely Circlet that is cut off, and the rest could not bear the
//! load. Who is out stays out until it has proved itself. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::seats::Cast;
use crate::traffic::observe::census::Standing;

/// What is known of a node when it is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What is thought of it; `None`: nothing yet.
    pub standing: Option<Standing>,
    /// Whether all that it had is deleted, since it was left out.
    pub clean: bool,
}

/// What is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Who is to be left out, by name, in the order of the nodes.
    pub out: Vec<String>,
    /// Who is down and stays all the same: without it too few would be left.
    pub spared: Vec<String>,
}

/// Decides who is to be left out next, of nodes of which some are now; `may_eject`: whether others may follow them.
#[must_use]
pub fn decide(now: Cast<'_>, may_eject: bool, known: impl Fn(usize) -> Known) -> Decision {
    let all = now.members.len();
    let returns = |at: usize| known(at) == Known { standing: Some(Standing::Up), clean: true };
    let mut out: Vec<bool> = (0..all).map(|at| now.is_out(&now.members[at]) && !returns(at)).collect();
    let mut decision = Decision::default();
    for at in 0..all {
        let falls = may_eject && !now.is_out(&now.members[at]) && known(at).standing == Some(Standing::Down);
        let left = out.iter().filter(|out| !**out).count() - usize::from(!out[at]);
        if !falls {
            continue;
        }
        if left > 0 && left * 2 >= all {
            out[at] = true;
        } else {
            decision.spared.push(now.members[at].name.clone());
        }
    }
    let named = now.members.iter().zip(&out).filter(|(_, out)| **out);
    decision.out = named.map(|(member, _)| member.name.clone()).collect();
    decision
}

/// What a change of who is left out is called, by who leaves and who returns.
#[must_use]
pub fn text(before: &[String], after: &[String]) -> String {
    let eject = after.iter().filter(|name| !before.contains(name)).map(|name| format!("EJECT {name}"));
    let readmit = before.iter().filter(|name| !after.contains(name)).map(|name| format!("READMIT {name}"));
    eject.chain(readmit).collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Credentials, control::rebalance::members::Member, traffic::route::Address};

    fn members(count: u16) -> Vec<Member> {
        let at = |port| Address::Tcp { host: "h".to_owned(), port };
        (1..=count).map(|number| Member::new(&format!("n{number}"), at(number), 1.0, Credentials::default())).collect()
    }

    const STANDINGS: [Option<Standing>; 4] = [None, Some(Standing::Up), Some(Standing::Suspect), Some(Standing::Down)];

    /// Every state of up to four nodes.
    #[test]
    fn whatever_happens_half_of_the_nodes_stay_and_nobody_returns_unproved() {
        for count in 1..=4_u16 {
            let members = members(count);
            let all = usize::from(count);
            // Of each node: its standing, whether it is clean, whether it is out.
            for state in 0..16_usize.pow(u32::from(count)) {
                let of = |at: usize| state / 16_usize.pow(at as u32) % 16;
                let known = |at: usize| Known { standing: STANDINGS[of(at) % 4], clean: of(at) & 4 > 0 };
                let out: Vec<String> = members
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| of(*at) & 8 > 0)
                    .map(|(_, one)| one.name.clone())
                    .collect();
                let now = Cast { members: &members, out: &out };
                if out.len() == all {
                    continue;
                }
                for may_eject in [false, true] {
                    let Decision { out: next, spared } = decide(now, may_eject, known);
                    let told = format!("{state}: {out:?} -> {next:?}, {spared:?}");
                    assert!(next.len() < all, "{told}");
                    for (at, member) in members.iter().enumerate() {
                        let (was, is) = (out.contains(&member.name), next.contains(&member.name));
                        let known = known(at);
                        if was && !is {
                            assert!(known.standing == Some(Standing::Up) && known.clean, "{told}");
                        }
                        if !was && is {
                            assert!(may_eject && known.standing == Some(Standing::Down), "{told}");
                            assert!((all - next.len()) * 2 >= all, "{told}");
                        }
                        let stays = may_eject && !was && !is && known.standing == Some(Standing::Down);
                        assert_eq!(spared.contains(&member.name), stays, "{told}");
                        if stays {
                            assert!(all - next.len() < 2 || (all - next.len() - 1) * 2 < all, "{told}");
                        }
                    }
                    // Once it is carried out, nothing else is wanted.
                    let then = Cast { members: &members, out: &next };
                    let again = decide(then, may_eject, known);
                    assert_eq!(again.out, next, "{told}");
                }
            }
        }
    }

    #[test]
    fn a_change_says_who_leaves_and_who_returns() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(text(&names(&["a", "b"]), &names(&["b", "c"])), "EJECT c AND READMIT a");
        assert_eq!(text(&[], &names(&["a"])), "EJECT a");
    }
}
