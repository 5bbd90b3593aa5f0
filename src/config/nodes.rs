//! The Redis nodes: `[[nodes]]` of the file or `--node` flags to checked [`Node`]s.
//!
//! A node written wrongly is reported and left out; then the list counts as broken, and nothing is said about what
//! only follows from that. A `--node` list replaces the file's. Io only through password files.

use std::{collections::HashMap, fmt, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Distribution, address,
    draft::{Draft, Raw},
    file::Source,
    mistake::Place,
    option, secret,
};
use crate::traffic::{
    merge::scan::MAX_NODES,
    route::{
        Address, Node,
        ring::{MAX_POINTS, MAX_WEIGHT, RingError},
    },
    settings::Password,
};

/// What a `[[nodes]]` table may hold.
const FIELDS: [&str; 6] = ["name", "address", "weight", "username", "password", "password_file"];

/// Longest name, in bytes; names stand in error replies, in metrics and in the log.
const MAX_NAME: usize = 255;

/// Reads the `[[nodes]]` of the file.
pub(super) fn read(draft: &mut Draft, source: &Source<'_>, place: Place, value: &Spanned<DeValue<'_>>) {
    let DeValue::Array(items) = value.get_ref() else {
        let cure = "write [[nodes]], in double brackets, above each node";
        draft.broken("nodes", place, format!("nodes is {}; {cure}", Raw::of(value.get_ref()).shown()));
        return;
    };
    for item in items {
        let place = source.place(item.span().start);
        match item.get_ref() {
            DeValue::Table(table) => {
                if let Some(node) = table_node(draft, source, &place, table) {
                    draft.config.nodes.push(node);
                    draft.node_places.push(place);
                }
            }
            other => {
                let cure = "write [[nodes]] with an address below it";
                draft.broken("nodes", place, format!("a node is {}; {cure}", Raw::of(other).shown()));
            }
        }
    }
}

/// One `[[nodes]]` table; `None` once something in it was reported.
fn table_node(draft: &mut Draft, source: &Source<'_>, place: &Place, table: &DeTable<'_>) -> Option<Node> {
    let mut fields = Fields::default();
    let mut good = true;
    for (key, value) in table {
        let at = source.place(key.span().start);
        let raw = Raw::of(value.get_ref());
        if let Err(text) = fields.set(key.get_ref(), &raw, source.base) {
            draft.broken("nodes", at, text);
            good = false;
        }
    }
    match fields.node() {
        Ok(node) if good => Some(node),
        Ok(_) => None,
        // With a wrong field, what is missing may be just that one.
        Err(_) if !good => None,
        Err(text) => {
            draft.broken("nodes", place.clone(), text);
            None
        }
    }
}

/// The fields of one node while they are read.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    address: Option<Address>,
    weight: Option<f64>,
    username: Option<String>,
    password: Option<Password>,
    password_file: Option<Password>,
}

impl Fields {
    /// Sets one field; an `Err` is the whole message, without the value of a password.
    fn set(&mut self, key: &str, raw: &Raw, base: &Path) -> Result<(), String> {
        let wrong = |cure: String| match key {
            "password" => format!("nodes.password: {cure}"),
            _ => format!("nodes.{key} is {}; {cure}", raw.shown()),
        };
        if !FIELDS.contains(&key) {
            return Err(format!("nodes.{key} is no option; use {}", FIELDS.join(", ")));
        }
        let Raw::Scalar { text, quoted } = raw else {
            return Err(wrong("use a single value".to_owned()));
        };
        if !quoted && key != "weight" {
            return Err(wrong("write it in quotes".to_owned()));
        }
        match key {
            "name" => self.name = Some(name(text).map_err(wrong)?),
            "address" => self.address = Some(address::one(text, base).map_err(wrong)?),
            "weight" => self.weight = Some(weight(text).map_err(wrong)?),
            "username" => self.username = Some(text.to_owned()).filter(|user| !user.is_empty()),
            "password" => self.password = secret::inline(text).map_err(wrong)?,
            _ => self.password_file = secret::from_file(text, base).map_err(wrong)?,
        }
        Ok(())
    }

    /// The node, if its fields fit together.
    fn node(self) -> Result<Node, String> {
        let Some(address) = self.address else {
            return Err("this node has no address; add address = \"host:port\"".to_owned());
        };
        if self.password.is_some() && self.password_file.is_some() {
            return Err("password and password_file are both given; remove one of them".to_owned());
        }
        let password = self.password.or(self.password_file);
        if self.username.is_some() && password.is_none() {
            return Err("username is given without a password; add password or password_file".to_owned());
        }
        let name = match self.name {
            Some(name) => name,
            None => name(&address.to_string())
                .map_err(|_| "this node's address is no name; add name = \"cache-a\"".to_owned())?,
        };
        let weight = self.weight.unwrap_or(1.0);
        Ok(Node { weight, username: self.username, password, ..Node::new(name, address) })
    }
}

/// Replaces the nodes by those of `--node` flags.
pub(super) fn replace(draft: &mut Draft, flags: &[String]) {
    draft.config.nodes.clear();
    draft.node_places.clear();
    for text in flags {
        let place = Place::Flag(format!("--node {text}"));
        match flag_node(text) {
            Ok(node) => {
                draft.config.nodes.push(node);
                draft.node_places.push(place);
            }
            Err(cure) => draft.broken("nodes", place, cure),
        }
    }
}

/// Reads `[NAME=]ADDRESS[*WEIGHT]`, as `--node` has it.
///
/// # Errors
/// What is wrong and the cure.
pub fn flag_node(text: &str) -> Result<Node, String> {
    // A path may contain '='.
    let is_path = text.starts_with("unix:") || text.starts_with('/');
    let (named, rest) = match text.split_once('=') {
        Some((named, rest)) if !is_path => (Some(named), rest),
        _ => (None, text),
    };
    let (address, heavy) = match rest.rsplit_once('*') {
        Some((address, heavy)) => (address, Some(heavy)),
        None => (rest, None),
    };
    let quoted = |what: &str, text: &str, cure: String| format!("the {what} is \"{text}\"; {cure}");
    Fields {
        name: named.map(|text| name(text).map_err(|cure| quoted("name", text, cure))).transpose()?,
        address: Some(address::one(address, Path::new(""))?),
        weight: heavy.map(|text| weight(text).map_err(|cure| quoted("weight", text, cure))).transpose()?,
        ..Fields::default()
    }
    .node()
}

/// What `INFO` already means something by, so that `INFO name` would not reach a node of that name.
const INFO_SECTIONS: [&str; 20] = [
    "all",
    "circlet",
    "clients",
    "cluster",
    "commandstats",
    "cpu",
    "debug",
    "default",
    "errorstats",
    "everything",
    "hotkeys",
    "keyspace",
    "keysizes",
    "latencystats",
    "memory",
    "modules",
    "persistence",
    "replication",
    "server",
    "stats",
];

/// What a node is told when Circlet connects to it; by default nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Credentials {
    /// ACL user; `None` with a password: the default user.
    pub username: Option<String>,
    /// Password; never shown.
    pub password: Option<Password>,
}

/// Checks what is told to a node; empty texts count as none.
///
/// # Errors
/// What is wrong, without the password, and the cure.
pub fn credentials(username: Option<&str>, password: Option<&str>) -> Result<Credentials, String> {
    let username = username.filter(|user| !user.is_empty()).map(str::to_owned);
    let password = password.map(secret::inline).transpose()?.flatten();
    if username.is_some() && password.is_none() {
        return Err("a user is given without a password; give both".to_owned());
    }
    Ok(Credentials { username, password })
}

/// Reads a node's address as `--node` has it.
///
/// # Errors
/// What is wrong and the cure.
pub fn address(text: &str) -> Result<Address, String> {
    address::one(text, Path::new(""))
}

/// Checks a name: it stands in error replies, in metrics and in the log.
///
/// # Errors
/// The cure.
pub fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_NAME || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(format!("use a name of 1 to {MAX_NAME} bytes without white space, such as \"cache-a\""));
    }
    Ok(text.to_owned())
}

/// Reads a weight.
///
/// # Errors
/// The cure.
pub fn weight(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(weight) if weight.is_finite() && weight > 0.0 => Ok(weight),
        _ => Err("use a number above 0; 1 is a normal node".to_owned()),
    }
}

/// Whether `INFO name` shows a section of the document instead of the node.
#[must_use]
pub fn is_info_section(name: &str) -> bool {
    INFO_SECTIONS.iter().any(|section| section.eq_ignore_ascii_case(name))
}

/// Checks the nodes together: there are some, none stands twice, the ring can hold them, none is Circlet itself.
///
/// Names and addresses that twemproxy allows are allowed with its distributions, for there they decide where the keys
/// are already; what is awkward about them is a risk, and told as one.
pub(super) fn check(draft: &mut Draft) {
    let nodes = draft.config.nodes.clone();
    let places = draft.node_places.clone();
    if nodes.is_empty() {
        if !draft.incomplete && !draft.is_broken("nodes") {
            let cure = "add [[nodes]] to the file, or --node 127.0.0.1:6379";
            draft.mistake(Place::Nowhere, format!("there is no node; {cure}"));
        }
        return;
    }
    // A distribution that was written wrongly may have meant one of twemproxy's.
    let own_ring = draft.config.distribution == Distribution::Xxh3 && !draft.is_broken("ring.distribution");
    let mut names: HashMap<&str, &Place> = HashMap::new();
    let mut addresses: HashMap<&Address, &Place> = HashMap::new();
    let own: Vec<Address> = draft.config.listen.iter().chain(&draft.config.admin).cloned().collect();
    for (node, place) in nodes.iter().zip(&places) {
        let (name, address) = (&node.name, &node.address);
        let mut wrong = |text: String| draft.mistake(place.clone(), text);
        if let Some(first) = names.insert(name, place) {
            wrong(format!("two nodes are called {name} (the other: {first}); give each its own name"));
        }
        if own_ring && is_info_section(name) {
            wrong(format!("a node is called {name}; use another name, INFO has a section of this one"));
        }
        if let Some(first) = addresses.insert(address, place)
            && own_ring
        {
            wrong(format!(
                "two nodes have the address {address} (the other: {first}); remove one, or use a weight of 2"
            ));
        }
        if own.contains(address) {
            wrong(format!("node {name} has Circlet's own address {address}; give a Redis server's address"));
        }
    }
    if draft.is_broken("ring.distribution") {
        return;
    }
    if own_ring {
        check_points(draft, &nodes, &places);
    } else {
        check_weights(draft, &nodes, &places);
    }
}

/// What twemproxy's distributions want of weights: whole numbers, not too many together.
fn check_weights(draft: &mut Draft, nodes: &[Node], places: &[Place]) {
    let mut whole = true;
    for (node, place) in nodes.iter().zip(places) {
        let (name, weight) = (&node.name, node.weight);
        if weight.fract() != 0.0 || weight > f64::from(MAX_WEIGHT) {
            whole = false;
            let cure = format!("use a whole number from 1 to {MAX_WEIGHT}, as ketama and modula want it");
            draft.mistake(place.clone(), format!("weight of node {name} is {weight}; {cure}"));
        }
    }
    // The ring itself knows what fits; equal names are told already.
    if whole
        && let Err(error @ (RingError::TooHeavy(_) | RingError::TooManySlots(_) | RingError::TooManyNodes(_))) =
            draft.config.ring()
    {
        let place = places.first().cloned().unwrap_or(Place::Nowhere);
        draft.mistake(place, error.to_string());
    }
}

/// Every node needs a point on the ring, and all of them must fit.
fn check_points(draft: &mut Draft, nodes: &[Node], places: &[Place]) {
    if draft.is_broken("ring.points") {
        return;
    }
    let per_weight = draft.config.points_per_weight;
    let points = |node: &Node| (node.weight * f64::from(per_weight)).round();
    for (node, place) in nodes.iter().zip(places) {
        if points(node) < 1.0 {
            let (name, weight) = (&node.name, node.weight);
            let least = 1.0 / f64::from(per_weight);
            let cure = format!("use at least {least}, or raise ring.points ({per_weight})");
            draft.mistake(place.clone(), format!("weight {weight} gives node {name} no point on the ring; {cure}"));
        }
    }
    let place = draft.place("ring.points").or(places.first()).cloned().unwrap_or(Place::Nowhere);
    let total: f64 = nodes.iter().map(points).sum();
    if total > MAX_POINTS as f64 {
        let cure = format!("the ring holds {MAX_POINTS}; lower ring.points or the weights (1 is a normal node)");
        let text = format!("the nodes' weights times ring.points ({per_weight}) are {total} points; {cure}");
        draft.mistake(place.clone(), text);
    }
    if nodes.len() > MAX_NODES {
        draft.mistake(place, format!("{} nodes are too many; use at most {MAX_NODES}", nodes.len()));
    }
}

/// Writes the nodes as TOML, without their passwords.
pub(super) fn print(nodes: &[Node], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for node in nodes {
        let quoted = option::quoted;
        writeln!(f, "\n[[nodes]]\nname = {}\naddress = {}", quoted(&node.name), quoted(&node.address.to_string()))?;
        writeln!(f, "weight = {}", node.weight)?;
        if let Some(username) = &node.username {
            writeln!(f, "username = {}", quoted(username))?;
        }
        if node.password.is_some() {
            writeln!(f, "# password is set (not shown)")?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "nodes_tests.rs"]
mod tests;
