//! CLUSTER: Circlet as a Redis Cluster of one node that owns all 16384 slots, for clients that speak to clusters only.
//!
//! ```text
//!  cluster_facade  off ─► everything here: Redis's own "cluster support disabled"
//!                  on ──► SLOTS SHARDS NODES   one master: id, the address that this client came to | the one announced
//!                         INFO MYID LINKS …    as of a cluster of one
//!                         KEYSLOT              computed;  COUNTKEYSINSLOT GETKEYSINSLOT: all nodes are scanned
//!                         READONLY READWRITE   noted for CLIENT LIST;  ASKING: nothing, for no slot ever moves
//!                         MEET ADDSLOTS …      refused by their rows
//! ```
//! The id is made of the nodes' names and the announced address, so it outlives restarts, and Circlets over the same nodes
//! are the same member; its epoch is the topology's. Slots say nothing about which node has a key: that is the ring's
//! business, and so is CROSSSLOT. Databases other than 0 still work, which a cluster has not: no client of a cluster asks
//! for one. Pure. Redis docs: cluster specification, CLUSTER.

use std::{fmt::Write as _, net::SocketAddr};

use sha2::{Digest as _, Sha256};

use super::{NOT_AN_INTEGER, integer};
use crate::traffic::{
    client::{ClientKey, Record},
    core::{
        Core,
        request::{Request, Taken},
    },
    merge::steps::{SlotKeys, Steps},
    refusal::Refusal,
    resp::{Proto, encode},
    route::{
        Address,
        slot::{SLOTS, slot_of},
    },
    settings::Facade,
};

/// What Redis adds to a port for the cluster's own connections, which nobody opens to Circlet.
const BUS: u16 = 10_000;

/// What CLUSTER HELP says: Redis's lines, for the subcommands that are answered.
const HELP: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNT-FAILURE-REPORTS <node-id>",
    "    Return number of failure reports for <node-id>.",
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "GETKEYSINSLOT <slot> <count>",
    "    Return key names stored by current node in a slot.",
    "INFO",
    "    Return information about the cluster.",
    "KEYSLOT <key>",
    "    Return the hash slot for <key>.",
    "LINKS",
    "    Return information about all network links between this node and its peers.",
    "    Output format is an array where each array element is a map containing attributes of a link",
    "MYID",
    "    Return the node id.",
    "MYSHARDID",
    "    Return the node's shard id.",
    "NODES",
    "    Return cluster configuration seen by node. Output format:",
    "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICAS <node-id>",
    "    Return <node-id> replicas.",
    "SHARDS",
    "    Return information about slot range mappings and the nodes associated with them.",
    "SLOTS",
    "    Return information about slots range mappings. Each range is made of:",
    "    start, end, master and replicas IP addresses, ports and ids",
    "HELP",
    "    Prints this help.",
];

/// The one member of the cluster, as a client is shown it.
struct Member {
    id: String,
    host: String,
    port: u16,
    epoch: u64,
}

impl Core {
    /// Whether Circlet presents itself as a cluster.
    pub(in crate::traffic::core) fn is_cluster(&self) -> bool {
        self.settings.cluster_facade != Facade::Off
    }

    /// `READONLY`, `READWRITE`, `ASKING`: there is but one member, which has everything.
    pub(super) fn cluster_mode(&mut self, key: ClientKey, request: Request<'_>) {
        if !self.is_cluster() {
            return self.refuse(key, &Refusal::NoCluster);
        }
        let word = request.arg(0);
        if let Some(client) = self.client(key).filter(|_| !word.eq_ignore_ascii_case(b"asking")) {
            client.record.mark(Record::READONLY, word.eq_ignore_ascii_case(b"readonly"));
        }
        self.ok(key);
    }

    /// The subcommands that one node which owns everything can answer.
    pub(super) fn cluster(&mut self, key: ClientKey, request: Request<'_>) {
        if !self.is_cluster() {
            return self.refuse(key, &Refusal::NoCluster);
        }
        let (sub, proto) = (request.arg(1).to_ascii_lowercase(), self.proto(key));
        match sub.as_slice() {
            b"slots" | b"shards" | b"nodes" => match self.member(key) {
                Some(member) => self.answer(key, |out| member.write(&sub, proto, out)),
                None => self.refuse(key, &Refusal::NoAnnouncement),
            },
            b"info" => {
                let text = self.cluster_info();
                self.answer(key, |out| encode::verbatim_text(out, &text, proto));
            }
            b"myid" => self.answer_id(key, "node"),
            b"myshardid" => self.answer_id(key, "shard"),
            b"keyslot" => self.answer(key, |out| encode::integer(out, i64::from(slot_of(request.arg(2))))),
            b"links" => self.answer(key, |out| encode::array_header(out, 0)),
            b"replicas" | b"slaves" | b"count-failure-reports" => self.about_member(key, request.arg(2), &sub),
            _ => self.answer(key, |out| {
                encode::array_header(out, HELP.len());
                HELP.iter().for_each(|line| encode::simple(out, line));
            }),
        }
    }

    /// `CLUSTER COUNTKEYSINSLOT slot`, `CLUSTER GETKEYSINSLOT slot count`
    pub(super) fn cluster_keys_in_slot(&mut self, key: ClientKey, request: Request<'_>, get: bool) -> Taken {
        let wanted = if get { integer(request.arg(3)) } else { Some(0) };
        let refusal = match (integer(request.arg(2)), wanted) {
            _ if !self.is_cluster() => Refusal::NoCluster,
            (None, _) | (_, None) => Refusal::Redis(NOT_AN_INTEGER),
            (Some(slot), Some(wanted)) if (0..i64::from(SLOTS)).contains(&slot) && wanted >= 0 => {
                let wanted = get.then_some(usize::try_from(wanted).unwrap_or(usize::MAX));
                let (steps, questions) = SlotKeys::begin(slot as u16, wanted, self.nodes());
                return self.begin_steps(key, (Steps::SlotKeys(steps), questions), false);
            }
            _ if get => Refusal::Redis("ERR Invalid slot or number of keys"),
            _ => Refusal::Redis("ERR Invalid slot"),
        };
        self.refuse(key, &refusal);
        Taken::Yes
    }

    /// What is asked about a member by its id: it has no replicas, and nobody who could report it.
    fn about_member(&mut self, key: ClientKey, id: &[u8], sub: &[u8]) {
        if id != self.cluster_id("node").as_bytes() {
            let text = format!("ERR Unknown node {}", String::from_utf8_lossy(id));
            return self.refuse(key, &Refusal::Redis(&text));
        }
        match sub {
            b"count-failure-reports" => self.answer(key, |out| encode::integer(out, 0)),
            _ => self.answer(key, |out| encode::array_header(out, 0)),
        }
    }

    fn answer_id(&mut self, key: ClientKey, of: &str) {
        let id = self.cluster_id(of);
        self.answer(key, |out| encode::bulk(out, id.as_bytes()));
    }

    /// Circlet as this client is to find it; `None`: it came through a unix socket and no address is announced.
    fn member(&self, key: ClientKey) -> Option<Member> {
        let (host, port) = match &self.settings.cluster_facade {
            Facade::At(Address::Tcp { host, port }) => (host.clone(), *port),
            _ => {
                let came_to: SocketAddr = self.client(key)?.record.laddr.parse().ok()?;
                (came_to.ip().to_canonical().to_string(), came_to.port())
            }
        };
        Some(Member { id: self.cluster_id("node"), host, port, epoch: self.snapshot.topology.epoch.0 })
    }

    /// 40 hexadecimal digits that stay the same as long as the nodes' names and the announced address do.
    fn cluster_id(&self, of: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(of);
        let topology = &self.snapshot.topology;
        for node in topology.members() {
            // No name holds white space.
            digest.update(b" ");
            digest.update(&topology.node(*node).name);
        }
        if let Facade::At(address) = &self.settings.cluster_facade {
            digest.update(b" at ");
            digest.update(address.to_string());
        }
        let mut id = String::with_capacity(40);
        for byte in digest.finalize().iter().take(20) {
            // Writing to a String cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        id
    }

    /// As of a cluster that need not cover all slots: it is there as long as one of the nodes is.
    fn cluster_info(&self) -> String {
        let epoch = self.snapshot.topology.epoch.0;
        let (state, up, failing) = if self.any_live_node().is_some() { ("ok", SLOTS, 0) } else { ("fail", 0, SLOTS) };
        format!(
            "cluster_state:{state}\r\ncluster_slots_assigned:{SLOTS}\r\ncluster_slots_ok:{up}\r\n\
             cluster_slots_pfail:0\r\ncluster_slots_fail:{failing}\r\ncluster_known_nodes:1\r\ncluster_size:1\r\n\
             cluster_current_epoch:{epoch}\r\ncluster_my_epoch:{epoch}\r\ncluster_stats_messages_sent:0\r\n\
             cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n"
        )
    }
}

impl Member {
    /// The reply to `CLUSTER SLOTS`, `SHARDS` or `NODES`.
    fn write(&self, sub: &[u8], proto: Proto, out: &mut Vec<u8>) {
        match sub {
            b"slots" => self.slots(proto, out),
            b"shards" => self.shards(proto, out),
            _ => encode::verbatim_text(out, &self.line(), proto),
        }
    }

    /// Its line of CLUSTER NODES; an IPv6 address has no brackets there.
    fn line(&self) -> String {
        let Self { id, host, port, epoch } = self;
        let bus = port.saturating_add(BUS);
        format!("{id} {host}:{port}@{bus} myself,master - 0 0 {epoch} connected 0-{}\n", SLOTS - 1)
    }

    fn slots(&self, proto: Proto, out: &mut Vec<u8>) {
        encode::array_header(out, 1);
        encode::array_header(out, 3);
        encode::integer(out, 0);
        encode::integer(out, i64::from(SLOTS) - 1);
        encode::array_header(out, 4);
        encode::bulk(out, self.host.as_bytes());
        encode::integer(out, i64::from(self.port));
        encode::bulk(out, self.id.as_bytes());
        encode::map_header(out, 0, proto);
    }

    fn shards(&self, proto: Proto, out: &mut Vec<u8>) {
        encode::array_header(out, 1);
        encode::map_header(out, 2, proto);
        encode::bulk(out, b"slots");
        encode::array_header(out, 2);
        encode::integer(out, 0);
        encode::integer(out, i64::from(SLOTS) - 1);
        encode::bulk(out, b"nodes");
        encode::array_header(out, 1);
        encode::map_header(out, 7, proto);
        encode::bulk(out, b"id");
        encode::bulk(out, self.id.as_bytes());
        encode::bulk(out, b"port");
        encode::integer(out, i64::from(self.port));
        for (name, value) in [("ip", self.host.as_str()), ("endpoint", &self.host), ("role", "master")] {
            encode::bulk(out, name.as_bytes());
            encode::bulk(out, value.as_bytes());
        }
        encode::bulk(out, b"replication-offset");
        encode::integer(out, 0);
        encode::bulk(out, b"health");
        encode::bulk(out, b"online");
    }
}
