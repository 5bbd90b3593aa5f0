//! INFO: of one node by its name, or of all with Circlet's own section.
//!
//! What is about data and work (memory, keys, commands, CPU) is the nodes'. What is about clients is Circlet's, for a
//! client of Circlet asks how many there are like itself: connected, blocked, tracking, subscribed, refused, and how many
//! there may be.

use std::fmt::Write as _;

use crate::traffic::{
    client::{ClientKey, Record},
    command::Row,
    core::{
        Core,
        request::{Request, Taken},
    },
    merge::{Kind, info::Own},
    pipe::State,
    resp::encode,
};

impl Core {
    /// `INFO [node] [section …]`: of one node, or of all with Circlet's own section.
    pub(in crate::traffic::core) fn info(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        if let Some(node) = self.snapshot.topology.by_name(request.arg(1)) {
            let args = &request.args[2..];
            let mut bytes = Vec::new();
            encode::array_header(&mut bytes, 1 + args.len());
            bytes.extend_from_slice(request.args[0].raw(request.bytes));
            for arg in args {
                bytes.extend_from_slice(arg.raw(request.bytes));
            }
            return self.send_one(key, Request { bytes: &bytes, args: &[], blob: None }, row, node);
        }
        let names = |name: &[u8]| (1..request.args.len()).any(|index| request.arg(index).eq_ignore_ascii_case(name));
        if request.args.len() == 2 && names(b"circlet") {
            let (text, proto) = (self.circlet_info(), self.proto(key));
            self.answer(key, |out| encode::verbatim_text(out, &text, proto));
            return Taken::Yes;
        }
        let own = request.args.len() == 1
            || [&b"circlet"[..], b"default", b"all", b"everything"].iter().any(|name| names(name));
        self.send_all(key, Kind::Info { own }, true, |out| out.extend_from_slice(request.bytes))
    }

    /// What Circlet says in INFO; `section`: with its own section.
    pub(in crate::traffic::core) fn own_info(&self, section: bool) -> Own {
        let registry = &self.registry;
        let (accepted, refused) = registry.connections();
        let mut fields = vec![
            ("connected_clients", registry.len().to_string()),
            ("maxclients", self.settings.session.max_sessions.to_string()),
            ("blocked_clients", registry.marked(Record::BLOCKED).to_string()),
            ("tracking_clients", registry.marked(Record::TRACKING).to_string()),
            ("pubsub_clients", registry.marked(Record::PUBSUB).to_string()),
            ("total_connections_received", accepted.to_string()),
            ("rejected_connections", refused.to_string()),
        ];
        if self.is_cluster() {
            fields.extend([("redis_mode", "cluster".to_owned()), ("cluster_enabled", "1".to_owned())]);
        }
        Own { section: if section { self.circlet_info() } else { String::new() }, fields }
    }

    /// The `# Circlet` section of INFO.
    pub(in crate::traffic::core) fn circlet_info(&self) -> String {
        let topology = &self.snapshot.topology;
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# Circlet\r\ncirclet_version:{}\r\ncirclet_workers:{}\r\ncirclet_clients:{}\r\ncirclet_epoch:{}\r\n\
             circlet_nodes:{}\r\ncirclet_nodes_up:{}\r\ncirclet_nodes_out:{}\r\n",
            env!("CARGO_PKG_VERSION"),
            self.settings.workers,
            self.registry.len(),
            topology.epoch.0,
            topology.listed().count(),
            // Those that have left count as down.
            self.links.iter().filter(|link| link.down.is_none()).count(),
            topology.nodes.iter().filter(|node| node.out).count(),
        );
        for id in topology.listed() {
            let (index, node, share) = (id.index(), topology.node(id), topology.ring.shares()[id.index()]);
            let state = match self.node_state(index) {
                ("down", _) if node.out => "out".to_owned(),
                ("down", why) => format!("down,reason={why}"),
                (state, _) => state.to_owned(),
            };
            let _ = write!(
                text,
                "node{index}:name={},address={},weight={},share={:.2}%,state={state}\r\n",
                node.name,
                node.address,
                node.weight,
                share * 100.0
            );
        }
        text
    }

    /// Whether this worker can use the node: `up`, `connecting`, or `down` and why.
    pub(super) fn node_state(&self, index: usize) -> (&'static str, &str) {
        let connected = || self.pipes.iter().any(|pipe| pipe.node.index() == index && pipe.state == State::Ready);
        match self.links.get(index).and_then(|link| link.down.as_ref()) {
            Some((_, why)) => ("down", why),
            None if connected() => ("up", ""),
            None => ("connecting", ""),
        }
    }
}
