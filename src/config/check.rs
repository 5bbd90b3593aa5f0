//! Contradictions between options: what each row allows by itself, but not together.
//!
//! One row per rule. A rule is silent when one of its options was written wrongly, and it is reported where the
//! operator wrote something, not at a default. Pure.

use super::{Config, Distribution, OnNodeDown, Profile, draft::Draft, mistake::Place, nodes, option};
use crate::traffic::{
    route::{Address, Node},
    settings::Facade,
};

/// The first option may not be above the second.
const ORDERED: [(&str, &str); 7] = [
    ("session.soft_output", "session.hard_output"), // reading must stop before the session is closed
    ("session.hard_output", "limits.max_buffered"), // one session may not be owed more than all together
    ("pipe.backoff_min", "pipe.backoff_max"),       // pauses grow from the first to the second
    ("limits.max_bulk", "limits.max_request"),      // an argument is a part of a request
    ("limits.max_inline", "limits.max_request"),    // an inline command is a request
    ("limits.max_request", "limits.max_buffered"),  // a request is held until it is whole
    ("lock.node_timeout", "lock.max_ttl"),          // else no lock is ever taken in time
];

/// Reports every contradiction in the draft.
pub(super) fn apply(draft: &mut Draft) {
    order(draft);
    facade(draft);
    locks(draft);
    if let Some(admin) = draft.config.admin.clone()
        && draft.config.listen.contains(&admin)
    {
        let place = draft.place("admin").or(draft.place("listen")).cloned().unwrap_or(Place::Nowhere);
        draft.mistake(place, format!("admin and listen are both {admin}; give them different ports"));
    }
    admin_token(draft);
    ejection(draft);
    spreading(draft);
    nodes::check(draft);
}

/// Fewest characters of a token: more than anybody guesses over a network.
const MIN_TOKEN: usize = 16;

/// Where other machines reach the admin address, it wants a token; and one that can stand in a header.
fn admin_token(draft: &mut Draft) {
    let place =
        |draft: &Draft, keys: &[&str]| keys.iter().find_map(|key| draft.place(key)).cloned().unwrap_or(Place::Nowhere);
    if ["admin", "admin_token", "admin_token_file"].iter().any(|key| draft.is_broken(key)) {
        return;
    }
    match &draft.config.admin_token {
        Some(token) if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            let text = format!(
                "admin_token is too short, or has other characters than letters, digits and punctuation; use at least \
                 {MIN_TOKEN}, such as `openssl rand -hex 16` gives"
            );
            draft.mistake(place(draft, &["admin_token", "admin_token_file"]), text);
        }
        None => {
            if let Some(admin) = draft.config.admin.clone().filter(|admin| !admin.is_local()) {
                let text = format!(
                    "admin is {admin}, which other machines reach; set admin_token_file to a file with a token that they must \
                     give, or listen on 127.0.0.1"
                );
                draft.mistake(place(draft, &["admin"]), text);
            }
        }
        Some(_) => {}
    }
}

/// Nodes may be left out of a cache only, of one whose keys have owners, and that must outlive a restart.
pub(super) fn ejection(draft: &mut Draft) {
    if draft.config.on_node_down != OnNodeDown::Eject {
        return;
    }
    let place = draft.place("on_node_down").cloned().unwrap_or(Place::Nowhere);
    let config = &draft.config;
    let reasons = [
        (
            "profile",
            config.profile != Profile::Cache,
            "profile is \"store\": the keys of a node that is left out would be missing, and what is written meanwhile lost; set \
             profile = \"cache\" if the nodes have copies only, or on_node_down = \"error\"",
        ),
        (
            "state",
            config.state.is_none(),
            "there is no state directory: a restart must know who is left out, or old values would be served; start with --state \
             DIR (or state = \"DIR\")",
        ),
        (
            "ring.distribution",
            config.distribution == Distribution::Random,
            "ring.distribution is \"random\": no node owns a key, so none can take over another's; set on_node_down = \"error\"",
        ),
    ];
    let wrong: Vec<_> =
        reasons.into_iter().filter(|(key, wrong, _)| *wrong && !draft.is_broken(key)).map(|(_, _, why)| why).collect();
    for why in wrong {
        draft.mistake(place.clone(), format!("on_node_down is \"eject\", but {why}"));
    }
    let nodes = &draft.config.nodes;
    let twin = |(at, node): (usize, &Node)| {
        let other = nodes.iter().take(at).find(|other| other.address == node.address)?;
        Some(format!(
            "on_node_down is \"eject\", but nodes {} and {} are one server, {}; give it one name, or set on_node_down = \"error\"",
            other.name, node.name, node.address
        ))
    };
    if let Some(text) = nodes.iter().enumerate().find_map(twin) {
        draft.mistake(place, text);
    }
}

/// Reports every pair of options that is out of order.
pub(super) fn order(draft: &mut Draft) {
    for (low, high) in ORDERED {
        ordered(draft, low, high);
    }
}

/// A cluster's clients come by TCP, to an address that they are told: where there is no such listener, one must be given.
pub(super) fn facade(draft: &mut Draft) {
    let tcp = draft.config.listen.iter().any(|address| matches!(address, Address::Tcp { .. }));
    if tcp || draft.config.traffic.cluster_facade != Facade::On || draft.is_broken("listen") {
        return;
    }
    let place = draft.place("cluster_facade").or(draft.place("listen")).cloned().unwrap_or(Place::Nowhere);
    draft.mistake(
        place,
        "cluster_facade is \"on\", but listen has no TCP address that clients of a cluster could be told; add one, or set \
         cluster_facade to the host:port where they reach Circlet"
            .to_owned(),
    );
}

/// Locks need a majority, and something that remembers.
fn locks(draft: &mut Draft) {
    let place = |draft: &Draft, key| draft.place(key).cloned().unwrap_or(Place::Nowhere);
    let nodes = draft.config.lock.nodes;
    if nodes != 0 && nodes.is_multiple_of(2) && !draft.is_broken("lock.nodes") {
        let text = format!(
            "lock.nodes is {nodes}, and an even number survives no more failures than one less; use 1, 3 or 5, or 0 for no locks"
        );
        draft.mistake(place(draft, "lock.nodes"), text);
    }
    if draft.config.traffic.locks.prefix.is_empty() || draft.is_broken("lock.prefix") {
        return;
    }
    let prefix = option::quoted(&String::from_utf8_lossy(&draft.config.traffic.locks.prefix));
    if nodes == 0 {
        let text = format!("lock.prefix is {prefix}, but lock.nodes is 0; set lock.nodes to 3, or remove lock.prefix");
        draft.mistake(place(draft, "lock.prefix"), text);
    }
    if draft.config.state.is_none() && !draft.is_broken("state") {
        let text = format!(
            "lock.prefix is {prefix}, but there is no state directory, and locks must remember which nodes can be trusted; set \
             state, or remove lock.prefix"
        );
        draft.mistake(place(draft, "lock.prefix"), text);
    }
}

/// What a distribution does not use may not be set, except to its default, as a whole file says it.
fn spreading(draft: &mut Draft) {
    use Distribution::{Ketama, Modula, Xxh3};
    const USERS: [(&str, &[Distribution], &str); 3] = [
        ("ring.points", &[Xxh3], "only xxh3 throws points of that number; remove it"),
        (
            "ring.hash",
            &[Ketama, Modula],
            "only ketama and modula let it be chosen; remove it, or set ring.distribution to one of them",
        ),
        (
            "ring.hash_tag",
            &[Ketama, Modula],
            "xxh3 always uses {} and random none; remove it, or set ring.distribution to ketama or modula",
        ),
    ];
    if draft.is_broken("ring.distribution") {
        return;
    }
    let (mut defaults, distribution) = (Config::default(), draft.config.distribution);
    for (key, users, cure) in USERS {
        let (Some(row), Some(place)) = (option::row(key), draft.place(key).cloned()) else { continue };
        let (is, default) = (row.show(&mut draft.config), row.show(&mut defaults));
        if users.contains(&distribution) || is == default || draft.is_broken(key) {
            continue;
        }
        let is = is.unwrap_or_default();
        draft.mistake(place, format!("{key} is {is}, but {cure}"));
    }
}

fn ordered(draft: &mut Draft, low: &str, high: &str) {
    if draft.is_broken(low) || draft.is_broken(high) {
        return;
    }
    let (Some(low_row), Some(high_row)) = (option::row(low), option::row(high)) else { return };
    let config = &mut draft.config;
    let ordered = low_row.number(config) <= high_row.number(config);
    let (Some(is), Some(bound)) = (low_row.show(config), high_row.show(config)) else { return };
    if ordered {
        return;
    }
    let (place, text) = match (draft.place(low), draft.place(high)) {
        (Some(place), _) => (place.clone(), format!("{low} is {is}, above {high} ({bound}); lower it or raise {high}")),
        (None, Some(place)) => {
            (place.clone(), format!("{high} is {bound}, below {low} ({is}); raise it or lower {low}"))
        }
        (None, None) => (Place::Nowhere, format!("{low} is {is}, above {high} ({bound}); lower it")),
    };
    draft.mistake(place, text);
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn every_rule_names_two_numbers_of_one_unit_and_the_defaults_keep_it() {
        let mut config = Config::default();
        for (low, high) in ORDERED {
            let (low, high) = (option::row(low).unwrap(), option::row(high).unwrap());
            assert!(low.number(&mut config).unwrap() <= high.number(&mut config).unwrap(), "{} {}", low.key, high.key);
        }
    }
}
