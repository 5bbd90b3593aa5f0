//! What is right in a configuration, and risky all the same: a line each, with the value and the cure. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    config::{Config, Distribution, OnNodeDown},
    traffic::{
        route::{Address, Ring, hash_tag::Tag},
        settings::Facade,
    },
};

/// What of the machine matters here.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// What is wrong with its limit of open files, if anything.
    pub(super) open_files: Option<String>,
    /// Its memory in bytes, if it is known.
    pub(super) memory: Option<u64>,
}

/// How far a share may lie from what the weight asks for.
const UNEVEN: f64 = 0.25;

/// Everything that is risky in `config`, whose ring is `ring`.
pub(super) fn risks(config: &Config, ring: &Ring, machine: &Machine) -> Vec<String> {
    let mut risks = Vec::new();
    doors(config, &mut risks);
    nodes(config, &mut risks);
    spread(config, ring, &mut risks);
    if config.lock.bootstrap && config.lock.nodes > 0 {
        risks.push(
            "lock.bootstrap is true: should the state directory ever be lost, nodes that have forgotten locks count at once; set it to \
             false, and start with --lock-bootstrap when the nodes are new"
                .to_owned(),
        );
    }
    risks.extend(machine.open_files.clone());
    let allowed = config.traffic.max_buffered as u64;
    if let Some(memory) = machine.memory.filter(|memory| *memory < allowed) {
        risks.push(format!(
            "limits.max_buffered is {} MB, but this machine has {} MB of memory; lower it, or clients can drive Circlet out of it",
            allowed >> 20,
            memory >> 20
        ));
    }
    risks
}

/// Who may come in.
fn doors(config: &Config, risks: &mut Vec<String>) {
    let open = config.traffic.requirepass.is_none();
    for address in config.listen.iter().filter(|address| open && !address.is_local()) {
        risks.push(format!(
            "listen is {address}, and there is no password: everybody who reaches it may read and write; set requirepass_file, or \
             listen on 127.0.0.1"
        ));
    }
    let unix = config.listen.iter().any(|address| matches!(address, Address::Unix(_)));
    if open && unix && config.socket_mode & 0o002 != 0 {
        let mode = config.socket_mode;
        risks.push(format!(
            "socket_mode is {mode:o}, and there is no password: everybody on this machine may connect; use 660, or set \
             requirepass_file"
        ));
    }
    if let Some(admin) = config.admin.as_ref().filter(|admin| !admin.is_local()) {
        risks.push(format!(
            "admin is {admin}, without encryption: whoever listens on the network reads the token, metrics, names and addresses; keep \
             others off that port, or listen on 127.0.0.1"
        ));
    }
    if config.admin_token.is_none() && config.admin.is_some() && config.admin_hosts.iter().any(|host| host == "*") {
        risks.push(
            "admin_hosts is \"*\", and there is no admin_token: any web page that a browser on this machine shows may read the admin \
             address (DNS rebinding); name the hosts, or set admin_token_file"
                .to_owned(),
        );
    }
}

/// Who they are.
fn nodes(config: &Config, risks: &mut Vec<String>) {
    if let [node] = config.nodes.as_slice() {
        risks.push(format!("there is one node, {}: when it is down, everything is; add a second one", node.name));
    }
    if config.on_node_down == OnNodeDown::Eject && config.nodes.len() < 3 {
        risks.push(format!(
            "on_node_down is \"eject\", and there are {} nodes: of one none is ever left out, of two the one that is left must bear all \
             of the load; have at least three",
            config.nodes.len()
        ));
    }
    for node in config.nodes.iter().filter(|node| node.password.is_none()) {
        if let Address::Tcp { host, .. } = &node.address
            && host.parse::<IpAddr>().is_ok_and(is_public)
        {
            risks.push(format!(
                "node {} at {} is on a public address, and has no password; set requirepass there and password_file here",
                node.name, node.address
            ));
        }
    }
    let mut by_address: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for node in &config.nodes {
        by_address.entry(node.address.to_string()).or_default().push(&node.name);
        if crate::config::is_info_section(&node.name) {
            risks.push(format!(
                "a node is called {}: INFO {} shows a section of that name, not the node; rename it if its keys may move",
                node.name, node.name
            ));
        }
    }
    for (address, names) in by_address.into_iter().filter(|(_, names)| names.len() > 1) {
        let names = names.join(" and ");
        risks.push(format!(
            "{names} are one server, {address}: DBSIZE, INFO and SCAN count what is on it once for each name"
        ));
    }
}

/// Whether an address can be reached from anywhere.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64; // RFC 6598
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_unspecified() || shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

/// How the keys lie.
fn spread(config: &Config, ring: &Ring, risks: &mut Vec<String>) {
    match config.distribution {
        Distribution::Random => risks.push(
            "ring.distribution is random: a key that was written is found on another node by chance only; right for nodes that all \
             hold the same"
                .to_owned(),
        ),
        Distribution::Modula if config.nodes.len() > 1 => risks.push(
            "ring.distribution is modula: a node that joins or leaves moves nearly every key; xxh3 moves only what must move"
                .to_owned(),
        ),
        Distribution::Modula | Distribution::Ketama | Distribution::Xxh3 => {}
    }
    let tagged = config.distribution == Distribution::Xxh3 || config.hash_tag == Some(Tag::BRACES);
    if config.traffic.cluster_facade != Facade::Off && !tagged && config.nodes.len() > 1 {
        risks.push(
            "cluster_facade is on, and keys have no hash tag {}: clients of a cluster send keys with the same {tag} together, \
             and are answered CROSSSLOT where these lie on several nodes; set ring.hash_tag to \"{}\" if keys may move"
                .to_owned(),
        );
    }
    if config.distribution == Distribution::Random {
        return;
    }
    let total: f64 = config.nodes.iter().map(|node| node.weight).sum();
    for (node, share) in config.nodes.iter().zip(ring.shares()) {
        let due = node.weight / total;
        let (name, share, due, off) = (&node.name, share * 100.0, due * 100.0, share / due - 1.0);
        if share == 0.0 {
            risks
                .push(format!("node {name} gets no keys at all, {due:.2} % would be its due; {}", uneven_cure(config)));
        } else if off.abs() > UNEVEN {
            risks.push(format!(
                "node {name} gets {share:.1} % of the keys, {due:.1} % would be its due; {}",
                uneven_cure(config)
            ));
        }
    }
}

/// What to do about uneven shares.
fn uneven_cure(config: &Config) -> String {
    match config.distribution {
        Distribution::Xxh3 => format!("raise ring.points ({})", config.points_per_weight),
        Distribution::Ketama | Distribution::Modula | Distribution::Random => format!(
            "so it is with {} and nutcracker too; another hash, or xxh3, spreads them better, but moves the keys",
            config.key_hash.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    fn told(nodes: &[&str], set: &[&str], machine: &Machine) -> String {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let overrides = Overrides { nodes: owned(nodes), set: owned(set), ..Overrides::default() };
        let config = load(None, &overrides).unwrap();
        risks(&config, &config.ring().unwrap(), machine).join("\n")
    }

    const TWO: [&str; 2] = ["a=127.0.0.1:1", "b=10.0.0.2:2"];

    #[test]
    fn a_usual_configuration_has_no_risk() {
        assert_eq!(told(&TWO, &[], &Machine { open_files: None, memory: Some(8 << 30) }), "");
        assert_eq!(
            told(
                &TWO,
                &["listen=[\"127.0.0.1:9\", \"[::1]:1\", \"localhost:2\", \"unix:/run/c\"]"],
                &Machine::default()
            ),
            ""
        );
    }

    #[test]
    fn each_risk_is_told_with_its_value_and_cure() {
        for (nodes, set, expected) in [
            (&["a=127.0.0.1:1"][..], &[][..], "there is one node, a: when it is down, everything is"),
            (&TWO, &["lock.bootstrap=true"], "lock.bootstrap is true: should the state directory ever be lost"),
            (&TWO, &["listen=0.0.0.0:6380"], "listen is 0.0.0.0:6380, and there is no password"),
            (&TWO, &["listen=[::]:6380"], "listen is [::]:6380, and there is no password"),
            (&TWO, &["listen=unix:/run/c", "socket_mode=666"], "socket_mode is 666, and there is no password"),
            (
                &TWO,
                &["admin=0.0.0.0:9180", "admin_token=0123456789abcdef"],
                "admin is 0.0.0.0:9180, without encryption",
            ),
            (&TWO, &["admin_hosts=*"], "admin_hosts is \"*\", and there is no admin_token"),
            (&["a=127.0.0.1:1", "b=8.8.8.8:2"], &[], "node b at 8.8.8.8:2 is on a public address"),
            (
                &["a=127.0.0.1:1", "b=127.0.0.1:2", "c=127.0.0.1:3", "d=127.0.0.1:4"],
                &["ring.points=1"],
                "raise ring.points (1)",
            ),
            (&TWO, &["ring.distribution=random"], "found on another node by chance only"),
            (&TWO, &["ring.distribution=modula"], "moves nearly every key"),
            (
                &TWO,
                &["ring.distribution=ketama", "ring.hash=crc32"],
                "gets no keys at all, 50.00 % would be its due; so it is with crc32",
            ),
            (
                &TWO,
                &["ring.distribution=ketama", "ring.hash_tag=", "cluster_facade=on"],
                "cluster_facade is on, and keys have no hash tag {}",
            ),
            (&["a=127.0.0.1:1", "memory=127.0.0.1:2"], &["ring.distribution=ketama"], "INFO memory shows a section"),
            (&["a=127.0.0.1:1", "b=127.0.0.1:1"], &["ring.distribution=ketama"], "a and b are one server, 127.0.0.1:1"),
            (
                &TWO,
                &["profile=cache", "on_node_down=eject", "state=/s"],
                "on_node_down is \"eject\", and there are 2 nodes",
            ),
            (&TWO, &["limits.max_buffered=1024GB"], "limits.max_buffered is 1048576 MB, but this machine has 2048 MB"),
        ] {
            let told = told(nodes, set, &Machine { open_files: None, memory: Some(2 << 30) });
            assert!(told.contains(expected), "{set:?}: {told}");
        }
        let machine = Machine { open_files: Some("too few".to_owned()), memory: None };
        assert_eq!(told(&TWO, &[], &machine), "too few");
        let secured = ["listen=0.0.0.0:6380", "requirepass=x", "socket_mode=666"];
        assert_eq!(told(&TWO, &secured, &Machine::default()), "");
    }
}
