//! A Circlet whose nodes change: its servers, those that are no nodes yet, and how an operator speaks to it.

use super::{
    circlet::{Circlet, Plan},
    client::Client,
    dir::Dir,
    redis::Redis,
    resp::Value,
    wait::until_true,
};

/// Circlet over some servers, with a state directory; more servers that are no nodes yet.
#[derive(Debug)]
pub struct Changing {
    pub circlet: Circlet,
    pub servers: Vec<Redis>,
    _state: Dir,
}

impl Changing {
    /// As `plan` says; the first `nodes` of `servers` are nodes, called n0, n1 ….
    pub fn start(mut plan: Plan, servers: Vec<Redis>, nodes: usize) -> Self {
        let state = Dir::new();
        plan = plan.argument("--state").argument(state.path().display().to_string());
        for (index, server) in servers.iter().take(nodes).enumerate() {
            plan = plan.node(format!("n{index}={}", server.address()));
        }
        Self { circlet: plan.start(), servers, _state: state }
    }

    pub fn client(&self) -> Client {
        self.circlet.client()
    }

    /// A field of CIRCLET REBALANCE STATUS.
    pub fn status(&self, field: &str) -> String {
        let status = texts(&self.client().value("CIRCLET REBALANCE STATUS"));
        let at = status.iter().position(|name| name == field).unwrap_or_else(|| panic!("no {field} in {status:?}"));
        status[at + 1].clone()
    }

    /// Has a change taken on.
    #[track_caller]
    pub fn change(&self, line: &str) {
        let reply = self.client().ask(line);
        assert!(reply.starts_with("+OK change "), "{line}: {reply}");
    }

    /// Waits until nothing is under way.
    #[track_caller]
    pub fn settle(&self) {
        until_true("the change to be over", || self.status("state") == "idle");
        assert_eq!(self.status("last-error"), "");
    }

    /// Number of keys in db 0 of a server, Circlet's own included.
    pub fn keys_on(&self, server: usize) -> usize {
        self.servers[server].client().value("DBSIZE").number() as usize
    }
}

/// The texts of a list.
pub fn texts(value: &Value) -> Vec<String> {
    let Value::List(_, items) = value else { panic!("no list: {value:?}") };
    items
        .iter()
        .map(|item| match item {
            Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}
