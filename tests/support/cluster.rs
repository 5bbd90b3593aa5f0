//! Circlet over several real nodes, called n1, n2 …, so that keys lie the same in every run.

use circlet::traffic::route::Ring;

use super::{
    circlet::{Circlet, Plan},
    client::Client,
    redis::Redis,
};

/// Nodes and the Circlet in front of them; Circlet is dropped first.
#[derive(Debug)]
pub struct Cluster {
    pub circlet: Circlet,
    pub nodes: Vec<Redis>,
}

impl Cluster {
    /// Three nodes and default settings.
    pub fn start() -> Self {
        Self::with(|plan| plan)
    }

    /// Three nodes and the settings that `change` makes.
    pub fn with(change: impl FnOnce(Plan) -> Plan) -> Self {
        let nodes = Redis::several(3);
        let circlet = change(plan_over(&nodes)).start();
        Self { circlet, nodes }
    }

    pub fn client(&self) -> Client {
        self.circlet.client()
    }

    /// A client that speaks RESP3.
    pub fn client3(&self) -> Client {
        self.circlet.client3()
    }

    /// A key that lies on node `index`; each `number` another one.
    pub fn key_on(&self, index: usize, number: usize) -> String {
        key_on(self.nodes.len(), index, number)
    }
}

/// The plan that names `nodes` n1, n2 ….
pub fn plan_over(nodes: &[Redis]) -> Plan {
    nodes.iter().enumerate().fold(Plan::default(), |plan, (at, node)| plan.node(named(at, &node.address())))
}

/// `--node` of the node `index`.
pub fn named(index: usize, address: &str) -> String {
    format!("n{}={address}", index + 1)
}

/// The `number`th key that lies on node `index` of `count`.
pub fn key_on(count: usize, index: usize, number: usize) -> String {
    let ring = ring(count);
    (0..)
        .map(|at| format!("key:{at}"))
        .filter(|key| ring.owner_of(key.as_bytes()).index() == index)
        .nth(number)
        .unwrap()
}

/// The ring of nodes n1 to n`count`.
pub fn ring(count: usize) -> Ring {
    let names: Vec<String> = (1..=count).map(|number| format!("n{number}")).collect();
    let nodes: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    Ring::build(&nodes, 8192).unwrap()
}
