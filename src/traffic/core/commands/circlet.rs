//! CIRCLET: what Circlet says of itself that no Redis could be asked: the ring, the nodes, and where a key lies.
//!
//! Every reply is a map, or a list of maps, of short texts and numbers, flat enough to be read in redis-cli; programs go by
//! the names of the fields and pass over those that they do not know. `circlet ring --at` is such a program. Pure.

use super::{NOT_AN_INTEGER, SYNTAX, integer};
use crate::traffic::{
    client::ClientKey,
    command::Local,
    control::Ask,
    core::{Core, request::Request},
    observe::census::{Report, Standing},
    refusal::Refusal,
    resp::{Fields, Proto, encode},
    route::{Scheme, Way, ring::Hashing, way::Step},
};

/// Events that CIRCLET EVENTS shows if it is not told.
const SHOWN: usize = 20;

/// Keys that may be asked for at once.
const MAX_KEYS: usize = 1_000;
/// Bytes that these may have together: the reply shows them twice.
const MAX_KEY_BYTES: usize = 1 << 20;

/// A token that is not the one of `admin_token`, or there is none.
const WRONG_TOKEN: &str = "WRONGPASS this is not the admin token; it is what admin_token or admin_token_file says in \
                           Circlet's configuration";

/// Only administrators change nodes.
pub(super) const NO_ADMIN: &str = "NOPERM only administrators may do this: connect from Circlet's own machine (loopback or a unix \
                        socket), or give CIRCLET AUTH with the admin token first";

/// What CIRCLET HELP answers, in the form of Redis's HELP.
const HELP: &[&str] = &[
    "CIRCLET <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "AUTH <token>",
    "    Give this session the rights of an administrator, which sessions of this machine have.",
    "BIGKEYS [COUNT <count>]",
    "    The keys with the largest values that have passed (default: 20).",
    "EPOCH",
    "    The number of the topology that holds.",
    "EVENTS [COUNT <count>]",
    "    What has happened lately, newest first (default: 20).",
    "HELP",
    "    Print this help.",
    "HOTKEYS [COUNT <count>]",
    "    The keys that are asked for most, of the last minutes (default: 20).",
    "NODE <change> [AND <change> ...]",
    "    Change the nodes, and move the keys while clients go on. A change is one of:",
    "    ADD <name> <address> [WEIGHT <weight>] [USER <user>] [PASSWORD <password>]",
    "    REMOVE <name>; its keys move to the others first.",
    "    WEIGHT <name> <weight>",
    "    REPLACE <name> <address> [USER <user>] [PASSWORD <password>]; all its keys move there.",
    "    FORGET <name> --lost; it is dead, and its keys are given up.",
    "NODES",
    "    The nodes: name, address, weight, share of the keys, state, why it is down, and what it says of itself.",
    "PLAN <change> [AND <change> ...]",
    "    What a change would move, from where to where, and how long that would take. Nothing is changed.",
    "REBALANCE STATUS | PAUSE | RESUME | RATE <keys per second> | ABORT | VERIFY",
    "    How far a change is; let it wait, go on, be slower or faster (0: as fast as it goes), or take it back; count",
    "    the keys of all nodes, those that lie where they do not belong, and look at samples of those that moved.",
    "RELOAD",
    "    Read the configuration file again: what was changed, what needs a restart, what becomes of the nodes.",
    "RING",
    "    How keys are spread over the nodes, and the nodes with their shares.",
    "WHERE <key> [<key> ...]",
    "    For each key its hash tag, hash and point, the node that it lies on, and why.",
];

impl Core {
    pub(super) fn local_circlet(&mut self, key: ClientKey, request: Request<'_>, which: Local) {
        match which {
            Local::CircletAuth => self.circlet_auth(key, request),
            Local::CircletOrder => self.circlet_order(key, request),
            Local::CircletBigkeys => self.circlet_bigkeys(key, request),
            Local::CircletEvents => self.circlet_events(key, request),
            Local::CircletHotkeys => self.circlet_hotkeys(key, request),
            Local::CircletRing => self.circlet_ring(key),
            Local::CircletNodes => self.circlet_nodes(key),
            Local::CircletWhere => self.circlet_where(key, request),
            _ => self.answer(key, |out| {
                encode::array_header(out, HELP.len());
                HELP.iter().for_each(|line| encode::simple(out, line));
            }),
        }
    }

    /// Whether a session may change nodes: it comes from this machine, or has given the admin token.
    pub(super) fn is_admin(&self, key: ClientKey) -> bool {
        let Some(client) = self.client(key) else { return false };
        let local = match client.record.addr.parse::<std::net::SocketAddr>() {
            Ok(addr) => addr.ip().to_canonical().is_loopback(),
            // A unix socket has a path.
            Err(_) => true,
        };
        local || client.special.as_deref().is_some_and(|special| special.admin)
    }

    /// `CIRCLET AUTH token`
    fn circlet_auth(&mut self, key: ClientKey, request: Request<'_>) {
        if !self.options.is_admin_token(request.arg(2)) {
            return self.refuse(key, &Refusal::Redis(WRONG_TOKEN));
        }
        if let Some(client) = self.client_mut(key) {
            client.special_mut().admin = true;
        }
        self.answer(key, |out| encode::simple(out, "OK"));
    }

    /// CIRCLET NODE, PLAN, REBALANCE and their kin: the control plane answers.
    fn circlet_order(&mut self, key: ClientKey, request: Request<'_>) {
        if !self.is_admin(key) {
            return self.refuse(key, &Refusal::Redis(NO_ADMIN));
        }
        let words =
            request.args[1..].iter().map(|word| bytes::Bytes::copy_from_slice(word.of(request.bytes))).collect();
        let resp3 = self.proto(key) == Proto::Resp3;
        if let Some(asker) = self.ask(key) {
            self.control.ask(Ask::Command { words, resp3, asker });
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
        // Those that it was made of, so that whoever makes it once more has the same one.
        let weights = topology.ring.weights().iter().zip(topology.ring.shares());
        let nodes = || topology.nodes.iter().zip(weights.clone()).filter(|(_, (weight, _))| **weight != 0.0);
        ring.list("nodes", nodes().count(), |out| {
            for (node, (weight, share)) in nodes() {
                let mut fields = Fields::new(proto);
                fields.text("name", &node.name);
                if let Some(place) = &node.place {
                    fields.text("place", place);
                }
                fields.text("address", &node.address.to_string());
                fields.double("weight", *weight);
                fields.double("share", *share);
                fields.end(out);
            }
        });
        let left_out: Vec<&str> =
            topology.nodes.iter().filter(|node| node.out).map(|node| node.name.as_str()).collect();
        ring.list("out", left_out.len(), |out| left_out.iter().for_each(|name| encode::bulk(out, name.as_bytes())));
        self.answer(key, |out| ring.end(out));
    }

    /// `CIRCLET NODES`
    fn circlet_nodes(&mut self, key: ClientKey) {
        let (topology, proto) = (std::sync::Arc::clone(&self.snapshot.topology), self.proto(key));
        let mut nodes = Vec::new();
        for id in topology.listed() {
            let (node, share) = (topology.node(id), topology.ring.shares()[id.index()]);
            let report = self.journal.census().of(id);
            let (state, why) = if node.out { told_out(&report) } else { self.told_state(id.index(), &report) };
            let mut fields = Fields::new(proto);
            fields.text("name", &node.name);
            fields.text("address", &node.address.to_string());
            fields.double("weight", node.weight);
            fields.double("share", share);
            fields.text("state", state);
            fields.text("why", &why);
            fields.text("judged", report.standing.map_or("", Standing::label));
            fields.number("since", report.since_ms / 1_000);
            said(&report, &mut fields);
            fields.end(&mut nodes);
        }
        self.answer(key, |out| {
            encode::array_header(out, topology.listed().count());
            out.extend_from_slice(&nodes);
        });
    }

    /// Whether the node can be used, and why not: this worker knows of its own pipes, the probe of its own connection.
    fn told_state(&self, index: usize, report: &Report) -> (&'static str, String) {
        match (self.node_state(index), report.answers) {
            (("up", _), _) | (("connecting", _), Some(true)) => ("up", String::new()),
            (("connecting", _), Some(false)) => ("down", report.why.clone()),
            ((state, why), _) => (state, why.to_owned()),
        }
    }

    /// The count of `[COUNT count]`; `None`: it is wrong, and the client was told so.
    fn count_of(&mut self, key: ClientKey, request: Request<'_>) -> Option<usize> {
        let wrong = match request.args.len() {
            2 => return Some(SHOWN),
            4 if request.arg(2).eq_ignore_ascii_case(b"COUNT") => match integer(request.arg(3)).map(usize::try_from) {
                Some(Ok(count)) => return Some(count),
                Some(Err(_)) => "ERR COUNT should be greater than or equal to 0",
                None => NOT_AN_INTEGER,
            },
            _ => SYNTAX,
        };
        self.refuse(key, &Refusal::Redis(wrong));
        None
    }

    /// `CIRCLET HOTKEYS [COUNT count]`
    fn circlet_hotkeys(&mut self, key: ClientKey, request: Request<'_>) {
        let Some(count) = self.count_of(key, request) else { return };
        self.publish_keys();
        let (seen, proto) = (self.journal.keys(), self.proto(key));
        let topology = std::sync::Arc::clone(&self.snapshot.topology);
        self.answer(key, |out| {
            let hottest = seen.hottest(count);
            encode::array_header(out, hottest.len());
            for hot in hottest {
                let mut fields = Fields::new(proto);
                fields.bulk("key", &hot.key);
                fields.double("per_s", tenths(seen.per_s(hot.count)));
                fields.double("share", (seen.part(hot.count) * 1e4).round() / 1e4);
                fields.double("too_high_by", tenths(seen.per_s(hot.error)));
                fields.maybe("node", topology.name_of_owner(&hot.key));
                fields.end(out);
            }
        });
    }

    /// `CIRCLET BIGKEYS [COUNT count]`
    fn circlet_bigkeys(&mut self, key: ClientKey, request: Request<'_>) {
        let Some(count) = self.count_of(key, request) else { return };
        self.publish_keys();
        let (seen, proto) = (self.journal.keys(), self.proto(key));
        let topology = std::sync::Arc::clone(&self.snapshot.topology);
        self.answer(key, |out| {
            let biggest = seen.biggest(count);
            encode::array_header(out, biggest.len());
            for big in biggest {
                let mut fields = Fields::new(proto);
                fields.bulk("key", &big.key);
                fields.number("bytes", big.bytes);
                fields.text("command", &big.command);
                fields.text("seen", if big.written { "written" } else { "read" });
                fields.number("time", big.at_s);
                fields.maybe("node", topology.name_of_owner(&big.key));
                fields.end(out);
            }
        });
    }

    /// `CIRCLET EVENTS [COUNT count]`
    fn circlet_events(&mut self, key: ClientKey, request: Request<'_>) {
        let Some(count) = self.count_of(key, request) else { return };
        let (journal, proto) = (std::sync::Arc::clone(&self.journal), self.proto(key));
        self.answer(key, |out| {
            let chronicle = journal.chronicle();
            let newest = chronicle.newest(count);
            encode::array_header(out, newest.len());
            for event in newest {
                let mut fields = Fields::new(proto);
                fields.number("id", event.id);
                fields.number("time", event.at_ms / 1_000);
                fields.number("last", event.last_ms / 1_000);
                fields.text("event", event.kind.label());
                fields.text("node", &event.node);
                fields.text("text", &event.text);
                fields.number("count", event.count);
                fields.end(out);
            }
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
                let key = key.of(request.bytes);
                way(&Way::of(topology.ring_of(key), &topology.nodes, key), out, proto);
            }
        });
    }
}

/// What is told of a node that is left out.
fn told_out(report: &Report) -> (&'static str, String) {
    let why = if report.why.is_empty() { "it is up again and must delete what it had" } else { &report.why };
    ("out", why.to_owned())
}

/// Rounded: what is estimated has no more places.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// What a node says of itself, as far as it was asked.
fn said(report: &Report, fields: &mut Fields) {
    let Some(said) = &report.said else { return };
    fields.number("asked", said.at_ms / 1_000);
    fields.text("version", &said.version);
    fields.text("role", &said.role);
    fields.number("uptime", said.uptime_s);
    fields.number("memory", said.memory);
    fields.number("max_memory", said.max_memory);
    fields.number("keys", said.keys);
    fields.number("clients", said.clients);
    fields.number("ops_per_s", said.ops_per_s);
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
