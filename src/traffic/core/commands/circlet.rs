//! CIRCLET: what Circlet says of itself that no Redis could be asked: the ring, the nodes, and where a key lies.
//!
//! Every reply is a map, or a list of maps, of short texts and numbers, flat enough to be read in redis-cli; programs go by
//! the names of the fields and pass over those that they do not know. `circlet ring --at` is such a program. Pure.

use crate::traffic::{
    client::ClientKey,
    command::Local,
    core::{Core, request::Request},
    refusal::Refusal,
    resp::{Proto, encode},
    route::{Scheme, Way, ring::Hashing, way::Step},
};

/// Keys that may be asked for at once.
const MAX_KEYS: usize = 1_000;
/// Bytes that these may have together: the reply shows them twice.
const MAX_KEY_BYTES: usize = 1 << 20;

/// What CIRCLET HELP answers, in the form of Redis's HELP.
const HELP: &[&str] = &[
    "CIRCLET <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "HELP",
    "    Print this help.",
    "NODES",
    "    The nodes: name, address, weight, share of the keys, state, and why it is down.",
    "RING",
    "    How keys are spread over the nodes, and the nodes with their shares.",
    "WHERE <key> [<key> ...]",
    "    For each key its hash tag, hash and point, the node that it lies on, and why.",
];

impl Core {
    pub(super) fn local_circlet(&mut self, key: ClientKey, request: Request<'_>, which: Local) {
        match which {
            Local::CircletRing => self.circlet_ring(key),
            Local::CircletNodes => self.circlet_nodes(key),
            Local::CircletWhere => self.circlet_where(key, request),
            _ => self.answer(key, |out| {
                encode::array_header(out, HELP.len());
                HELP.iter().for_each(|line| encode::simple(out, line));
            }),
        }
    }

    /// `CIRCLET RING`
    fn circlet_ring(&mut self, key: ClientKey) {
        let (topology, proto) = (std::sync::Arc::clone(&self.snapshot.topology), self.proto(key));
        let mut ring = Fields::new(proto);
        ring.number("epoch", topology.epoch.0);
        ring.text("distribution", topology.ring.scheme().name());
        match topology.ring.scheme() {
            Scheme::Xxh3 { points_per_weight } => {
                ring.number("points", u64::from(*points_per_weight));
                ring.text("hash", "xxh3");
                ring.text("hash_tag", "{}");
            }
            Scheme::Ketama(Hashing { hash, tag }) | Scheme::Modula(Hashing { hash, tag }) => {
                ring.text("hash", hash.name());
                ring.bulk("hash_tag", &tag.map_or_else(Vec::new, |tag| vec![tag.open, tag.close]));
            }
            Scheme::Random => {}
        }
        let shares = topology.ring.shares();
        ring.list("nodes", topology.nodes.len(), |out| {
            for (node, share) in topology.nodes.iter().zip(shares) {
                let mut fields = Fields::new(proto);
                fields.text("name", &node.name);
                fields.text("address", &node.address.to_string());
                fields.double("weight", node.weight);
                fields.double("share", *share);
                fields.end(out);
            }
        });
        self.answer(key, |out| ring.end(out));
    }

    /// `CIRCLET NODES`
    fn circlet_nodes(&mut self, key: ClientKey) {
        let (topology, proto) = (std::sync::Arc::clone(&self.snapshot.topology), self.proto(key));
        let mut nodes = Vec::new();
        for (index, (node, share)) in topology.nodes.iter().zip(topology.ring.shares()).enumerate() {
            let (state, why) = self.node_state(index);
            let mut fields = Fields::new(proto);
            fields.text("name", &node.name);
            fields.text("address", &node.address.to_string());
            fields.double("weight", node.weight);
            fields.double("share", *share);
            fields.text("state", state);
            fields.text("why", why);
            fields.end(&mut nodes);
        }
        self.answer(key, |out| {
            encode::array_header(out, topology.nodes.len());
            out.extend_from_slice(&nodes);
        });
    }

    /// `CIRCLET WHERE key [key …]`
    fn circlet_where(&mut self, key: ClientKey, request: Request<'_>) {
        let keys = &request.args[2..];
        let bytes: usize = keys.iter().map(|key| key.of(request.bytes).len()).sum();
        if keys.len() > MAX_KEYS || bytes > MAX_KEY_BYTES {
            let text = format!(
                "ERR CIRCLET WHERE takes at most {MAX_KEYS} keys, of {} MB together; ask for them in parts",
                MAX_KEY_BYTES >> 20
            );
            return self.refuse(key, &Refusal::Redis(&text));
        }
        let (topology, proto) = (std::sync::Arc::clone(&self.snapshot.topology), self.proto(key));
        self.answer(key, |out| {
            encode::array_header(out, keys.len());
            for key in keys {
                way(&Way::of(&topology.ring, &topology.nodes, key.of(request.bytes)), out, proto);
            }
        });
    }
}

/// One key's way.
fn way(way: &Way, out: &mut Vec<u8>, proto: Proto) {
    let mut fields = Fields::new(proto);
    fields.bulk("key", &way.key);
    match way.tag() {
        Some(tag) => fields.bulk("hash_tag", tag),
        None => fields.null("hash_tag"),
    }
    match way.step {
        Step::Point { at, first, last } => {
            fields.text("hash", &way.hash);
            fields.text("point", &format!("0x{at:08x}"));
            fields.text("arc", &format!("0x{first:08x}-0x{last:08x}"));
        }
        Step::Slot { slot, of } => {
            fields.text("hash", &way.hash);
            fields.text("slot", &format!("{slot} of {of}"));
        }
        Step::Any => {}
    }
    match &way.node {
        Some((name, address)) => {
            fields.text("node", name);
            fields.text("address", address);
        }
        None => {
            fields.null("node");
            fields.null("address");
        }
    }
    fields.text("why", &way.why());
    fields.end(out);
}

/// A map that is being written.
struct Fields {
    proto: Proto,
    count: usize,
    body: Vec<u8>,
}

impl Fields {
    fn new(proto: Proto) -> Self {
        Self { proto, count: 0, body: Vec::new() }
    }

    fn name(&mut self, name: &str) {
        self.count += 1;
        encode::bulk(&mut self.body, name.as_bytes());
    }

    fn bulk(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        encode::bulk(&mut self.body, value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.bulk(name, value.as_bytes());
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        encode::integer(&mut self.body, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn double(&mut self, name: &str, value: f64) {
        self.name(name);
        encode::double(&mut self.body, value, self.proto);
    }

    fn null(&mut self, name: &str) {
        self.name(name);
        encode::null(&mut self.body, self.proto);
    }

    /// A list of `len` values, which `write` writes.
    fn list(&mut self, name: &str, len: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.name(name);
        encode::array_header(&mut self.body, len);
        write(&mut self.body);
    }

    fn end(self, out: &mut Vec<u8>) {
        encode::map_header(out, self.count, self.proto);
        out.extend_from_slice(&self.body);
    }
}
