//! The nodes of locks, as Circlet keeps them: when one counts, when not, and what is remembered of them.
//!
//! ```text
//!  scripts  each script of the protocol against a real node
//!  line     what a broken connection had queued never runs late
//!  trust    restarts, flushes, set clocks, replicas, eviction; restarts of Circlet; nodes that join and leave
//! ```

mod line;
mod scripts;
mod trust;

use crate::support::{
    Circlet, Client, Redis, circlet::Plan, dir::Dir, resp::Value, voters::wait_all_count, wait::until_true,
};

/// Circlet over nodes for locks; the longest lock is held for two seconds, so that quarantines are short.
#[derive(Debug)]
struct Scene {
    circlet: Circlet,
    nodes: Vec<Redis>,
    state: Dir,
}

/// A plan of a Circlet with a state directory.
fn plan(state: &Dir) -> Plan {
    Plan::default().argument("--state").argument(state.path().display().to_string())
}

/// Nobody has used the nodes for locks, and quarantines are short.
fn young(plan: Plan) -> Plan {
    plan.set("lock.max_ttl=2s").argument("--lock-bootstrap")
}

impl Scene {
    /// Over `nodes`, which nobody has used for locks before.
    fn over(nodes: Vec<Redis>) -> Self {
        Self::with(nodes, young)
    }

    /// Over `nodes`, with these options.
    fn with(nodes: Vec<Redis>, more: impl FnOnce(Plan) -> Plan) -> Self {
        let addresses: Vec<String> = nodes.iter().map(Redis::address).collect();
        Self::behind(nodes, &addresses, more)
    }

    /// Over `nodes`, which are reached at `addresses`.
    fn behind(nodes: Vec<Redis>, addresses: &[String], more: impl FnOnce(Plan) -> Plan) -> Self {
        let state = Dir::new();
        let mut plan = more(plan(&state));
        for (index, address) in addresses.iter().enumerate() {
            plan = plan.node(format!("n{index}={address}"));
        }
        Self { circlet: plan.start(), nodes, state }
    }

    fn client(&self) -> Client {
        self.circlet.client()
    }

    /// Waits until every node counts: a lock that is taken then lies on all of them.
    #[track_caller]
    fn wait_all_in(&self) {
        wait_all_count(&mut self.client());
    }

    /// Takes a lock for a second; gives its fence.
    #[track_caller]
    fn take(&self, name: &str) -> i64 {
        let reply = self.client().value(&format!("LOCK.ACQUIRE {name} 1000 WAIT 20000"));
        let Value::List(_, items) = &reply else { panic!("{name}: {reply:?}") };
        items[1].number()
    }

    /// What LOCK.INFO says of a node.
    fn node(&self, node: &str, field: &str) -> String {
        let info = self.client().value("LOCK.INFO any");
        let nodes = info.get("nodes").expect("nodes").list().into_iter().cloned().collect::<Vec<_>>();
        let of = nodes.iter().find(|of| of.get("name").is_some_and(|name| name.text() == node));
        of.and_then(|of| of.get(field)).map_or_else(String::new, Value::text)
    }

    /// Whether it has been said that the node does not count, for this reason. The log keeps it, also if the quarantine is over
    /// before somebody looks.
    fn was_out(&self, node: &str, why: &str) -> bool {
        let (node, log) = (format!("node={node} "), self.circlet.output());
        log.lines().any(|line| line.contains("count for locks") && line.contains(&node) && line.contains(why))
    }

    /// Waits until the node does not count, or did not, for this reason.
    #[track_caller]
    fn wait_out(&self, node: &str, why: &str) {
        until_true(&format!("{node} out: {why}"), || self.was_out(node, why));
    }

    /// Waits until the node counts.
    #[track_caller]
    fn wait_in(&self, node: &str) {
        until_true(&format!("{node} counts"), || self.node(node, "state") == "free");
    }
}
