//! The immutable picture of nodes and ring against which every request is planned.
//!
//! The control plane builds a [`Topology`] and publishes it; a worker plans each request against exactly one.
//! A node's place on the ring depends on its name, so its address may change.
//!
//! ```text
//!  slot    0    1    2    3    4        nodes may come and go while Circlet runs: one that comes gets the next slot, one
//!  node    a    b   (c)   d    c        that has left leaves its slot empty, until the process ends. So a NodeId means one
//!  member  ●    ●    ○    ●    ●        node for ever, whatever is kept by it: pipes, counters, what is known of the node.
//! ```
//! A node of a cache that is down may be left out ([`Node::out`]): it is no member then, and still listed.
//! Invariants: at least one member; the names of members are unique; who owns keys is a member. Pure.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr, sync::Arc};

use xxhash_rust::xxh3::Xxh3;

use super::{
    arrived::Arrived,
    change::{Change, Place},
    ring::Ring,
};
use crate::traffic::{observe::keys::SHOWN, settings::Password};

/// Index of a node in its topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The node's index in [`Topology::nodes`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Number of a topology; each published one has a larger epoch than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Where a node or a listener is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Host name or IP address (IPv6 without brackets) and port.
    Tcp {
        /// Host name or IP address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Whether only this machine reaches it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
            }
        }
    }

    /// Whether who listens on the one leaves nothing of the other: they are the same, or one is all addresses of the machine.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (Self::Tcp { host: one, port }, Self::Tcp { host: two, port: other_port }) = (self, other) else {
            return self == other;
        };
        let all = |any: &IpAddr, ip: &IpAddr| any.is_unspecified() && any.is_ipv4() == ip.is_ipv4();
        port == other_port
            && match (one.parse::<IpAddr>(), two.parse::<IpAddr>()) {
                (Ok(one), Ok(two)) => one == two || all(&one, &two) || all(&two, &one),
                _ => one == two,
            }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is not an [`Address`]; its Display names the cure.
#[derive(Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

impl FromStr for Address {
    type Err = AddressError;

    /// Reads `host:port`, `[ipv6]:port`, `unix:PATH` or an absolute path.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(AddressError(format!("'{text}' has no path; write unix:/run/redis.sock")))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(text.into()));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| AddressError(format!("'{text}' has no port; write host:port, [ipv6]:port or unix:/path")))?;
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(AddressError(format!("'{port}' in '{text}' is not a port; use 1 to 65535"))),
        };
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) => inner,
            None if host.contains(':') => {
                return Err(AddressError(format!(
                    "'{text}' is ambiguous; write the IPv6 address in brackets: [{host}]:{port}"
                )));
            }
            None => host,
        };
        if host.is_empty() {
            return Err(AddressError(format!("'{text}' has no host; write 127.0.0.1:{port}")));
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

/// What the names of Circlet's own keys begin with. Clients are never shown them, and may not write them.
pub const OWN: &[u8] = b"circlet:";

/// Whether `key` is one of Circlet's own.
#[must_use]
#[inline]
pub fn is_own(key: &[u8]) -> bool {
    key.starts_with(OWN)
}

/// One backend Redis.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its name; decides its place on the ring. Unique among the members, not empty, no white space.
    pub name: String,
    /// The name that decides its place on the ring, if it is another one: of a node whose name a new server has taken over.
    pub place: Option<String>,
    /// Where it listens.
    pub address: Address,
    /// Its share of the ring relative to the others'; above 0.
    pub weight: f64,
    /// ACL user for `AUTH user password`; `None` with a password: `AUTH password`.
    pub username: Option<String>,
    /// Password of the node.
    pub password: Option<Password>,
    /// Whether it takes part: it has keys by the ring, or by that of a change that is under way. One that does not is never
    /// sent anything.
    pub member: bool,
    /// Whether it is left out for now, since it is down: it takes no part, but keeps its name and its place, and is watched.
    pub out: bool,
}

impl Node {
    /// A node of the usual weight that takes part, without a password.
    #[must_use]
    pub fn new(name: impl Into<String>, address: Address) -> Self {
        let name = name.into();
        Self { name, place: None, address, weight: 1.0, username: None, password: None, member: true, out: false }
    }

    /// The name that decides its place on the ring.
    #[must_use]
    pub fn ring_name(&self) -> &str {
        self.place.as_deref().unwrap_or(&self.name)
    }
}

/// Nodes and ring of one epoch.
#[derive(Debug)]
pub struct Topology {
    /// Number of this topology.
    pub epoch: Epoch,
    /// All slots, addressed by [`NodeId`]; who only wants those that take part takes [`Topology::members`].
    pub nodes: Vec<Node>,
    /// Which node owns which part of the hash space; while a change is under way, before it.
    pub ring: Arc<Ring>,
    /// The change of the nodes that is under way.
    pub change: Option<Arc<Change>>,
    /// The nodes that take part, ascending.
    members: Box<[NodeId]>,
    layout: u32,
}

impl Topology {
    /// The picture of `nodes`, over which `ring` was made slot for slot.
    #[must_use]
    pub fn new(nodes: Vec<Node>, ring: impl Into<Arc<Ring>>, epoch: Epoch) -> Self {
        let ring = ring.into();
        debug_assert_eq!(nodes.len(), ring.shares().len());
        let members = (0..).zip(&nodes).filter(|(_, node)| node.member).map(|(index, _)| NodeId(index)).collect();
        let mut topology = Self { epoch, nodes, ring, change: None, members, layout: 0 };
        topology.layout = topology.fingerprint();
        topology
    }

    /// The same while `change` is under way.
    #[must_use]
    pub fn changing(self, change: Change) -> Self {
        let mut topology = Self { change: Some(Arc::new(change)), ..self };
        topology.layout = topology.fingerprint();
        topology
    }

    /// The same; what has arrived of its change stands in `arrived`.
    #[must_use]
    pub fn marked_in(mut self, arrived: Arc<Arrived>) -> Self {
        if let Some(change) = &mut self.change {
            Arc::make_mut(change).arrived = arrived;
        }
        self
    }

    /// Tells layouts apart: another number says that another node may own a key.
    #[must_use]
    pub fn layout(&self) -> u32 {
        self.layout
    }

    fn fingerprint(&self) -> u32 {
        let mut hash = Xxh3::new();
        let mut ring = |ring: &Ring| {
            for (node, share) in self.nodes.iter().zip(ring.shares()) {
                hash.update(&share.to_le_bytes());
                // Whoever has no keys decides nothing.
                hash.update(if *share > 0.0 { node.ring_name().as_bytes() } else { b"" });
                hash.update(b"\0");
            }
        };
        ring(&self.ring);
        // As long as nothing has arrived the old owners own everything.
        if let Some(change) = self.change.as_ref().filter(|change| change.done.contains(&true)) {
            ring(&change.next);
            change.done.iter().for_each(|done| hash.update(&[u8::from(*done)]));
        }
        hash.digest() as u32
    }

    /// The nodes that take part, ascending; at least one.
    #[must_use]
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// The nodes that take part and those that are left out for now, ascending.
    pub fn listed(&self) -> impl Iterator<Item = NodeId> + '_ {
        (0..).zip(&self.nodes).filter(|(_, node)| node.member || node.out).map(|(index, _)| NodeId(index))
    }

    /// Whether the node takes part or is left out for now.
    #[must_use]
    pub fn is_listed(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|node| node.member || node.out)
    }

    /// Whether the node takes part.
    #[must_use]
    pub fn is_member(&self, id: NodeId) -> bool {
        self.nodes.get(id.index()).is_some_and(|node| node.member)
    }

    /// The node of `id`.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The node that serves `key`; of a fenced one the old owner, where requests for it must not be sent now.
    #[must_use]
    #[inline]
    pub fn owner(&self, key: &[u8]) -> NodeId {
        let owner = self.ring.owner_of(key);
        match &self.change {
            None => owner,
            Some(change) => match change.place(owner, key) {
                Place::At(node) | Place::Moving(_, node) => node,
                Place::Fenced => owner,
            },
        }
    }

    /// The ring that says who serves `key` now.
    #[must_use]
    pub fn ring_of(&self, key: &[u8]) -> &Ring {
        match &self.change {
            Some(change) if self.owner(key) != self.ring.owner_of(key) => &change.next,
            _ => &self.ring,
        }
    }

    /// Who serves `key`.
    #[must_use]
    pub fn place(&self, key: &[u8]) -> Place {
        let owner = self.ring.owner_of(key);
        self.change.as_ref().map_or(Place::At(owner), |change| change.place(owner, key))
    }

    /// The node that messages to this channel go to.
    #[must_use]
    pub fn speaker(&self, channel: &[u8]) -> NodeId {
        match &self.change {
            Some(change) if change.speaks_anew() => change.next.owner_of(channel),
            _ => self.ring.owner_of(channel),
        }
    }

    /// The name of the node of a key that was seen to pass; `None`: it was cut there, or any node may have it.
    #[must_use]
    pub fn name_of_owner(&self, key: &[u8]) -> Option<&str> {
        let known = key.len() < SHOWN && !self.ring.is_random();
        known.then(|| self.node(self.owner(key)).name.as_str())
    }

    /// Whether a message to this channel may go to `node`.
    #[must_use]
    pub fn may_speak(&self, node: NodeId, channel: &[u8]) -> bool {
        self.ring.is_random() || self.speaker(channel) == node
    }

    /// Whether requests for `key` may go to `node`: it serves it, or keys are spread at random.
    #[must_use]
    pub fn may_own(&self, node: NodeId, key: &[u8]) -> bool {
        if self.change.is_none() { self.ring.may_own(node, key) } else { self.owner(key) == node }
    }

    /// Whether a key that was found on `node` is a client's and counts there: a stray copy and Circlet's own do not. One that
    /// moves counts at both nodes.
    #[must_use]
    pub fn may_show(&self, node: NodeId, key: &[u8]) -> bool {
        if is_own(key) {
            return false;
        }
        match &self.change {
            None => self.ring.may_own(node, key),
            Some(_) => match self.place(key) {
                Place::At(owner) => owner == node,
                Place::Moving(one, other) => node == one || node == other,
                Place::Fenced => self.ring.may_own(node, key),
            },
        }
    }

    /// The member called `name`.
    #[must_use]
    pub fn by_name(&self, name: &[u8]) -> Option<NodeId> {
        self.members.iter().copied().find(|id| self.node(*id).name.as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_keeps_its_slot_and_frees_its_name() {
        let address = |port: u16| Address::Tcp { host: "127.0.0.1".into(), port };
        let gone = Node { member: false, ..Node::new("b", address(2)) };
        let old = Node { place: Some("c".into()), ..Node::new("c.old", address(4)) };
        let nodes = vec![Node::new("a", address(1)), gone, Node::new("b", address(3)), old, Node::new("c", address(5))];
        let weights: Vec<(&str, f64)> =
            nodes.iter().zip([1.0, 0.0, 1.0, 1.0, 0.0]).map(|(node, weight)| (node.ring_name(), weight)).collect();
        let ring = Ring::build(&weights, 64).unwrap();
        let topology = Topology::new(nodes, ring, Epoch(2));
        assert_eq!(topology.members(), [0, 2, 3, 4].map(NodeId));
        assert_eq!(
            [&b"a"[..], b"b", b"c", b"c.old"].map(|name| topology.by_name(name)),
            [0, 2, 4, 3].map(|id| Some(NodeId(id)))
        );
        assert!(!topology.is_member(NodeId(1)) && !topology.is_member(NodeId(9)) && topology.is_member(NodeId(4)));
        assert_eq!(topology.ring.shares()[1], 0.0);
    }

    #[test]
    fn addresses_are_read_and_written_back() {
        for text in ["127.0.0.1:7001", "[::1]:7001", "cache-a.example:6379", "unix:/run/redis.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("/run/r.sock".parse::<Address>().unwrap(), Address::Unix("/run/r.sock".into()));
    }

    #[test]
    fn a_wrong_address_names_its_cure() {
        for (text, cure) in [
            ("localhost", "host:port"),
            ("localhost:0", "1 to 65535"),
            ("localhost:99999", "1 to 65535"),
            ("::1:7001", "in brackets"),
            (":7001", "127.0.0.1:7001"),
            ("unix:", "unix:/run"),
        ] {
            let message = text.parse::<Address>().unwrap_err().to_string();
            assert!(message.contains(cure), "{text}: {message}");
        }
    }
}
