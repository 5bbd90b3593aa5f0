//! What `circlet dev` says when it serves: where, over which nodes, and how to try it. Pure.

use std::{fmt::Write as _, net::SocketAddr, path::Path};

use crate::{
    config::Config,
    traffic::route::{Address, Topology},
};

/// The banner; `kept` is the directory that outlives the nodes.
pub(super) fn text(config: &Config, topology: &Topology, admin: Option<SocketAddr>, kept: Option<&Path>) -> String {
    let mut text = String::new();
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{arguments}");
    };
    let listen: Vec<String> = config.listen.iter().map(Address::to_string).collect();
    line(format_args!("\nCirclet {} serves on {}", env!("CARGO_PKG_VERSION"), listen.join(", ")));
    line(format_args!(""));
    let width = topology.nodes.iter().map(|node| node.name.len()).max().unwrap_or(0).max("admin".len());
    for (node, share) in topology.nodes.iter().zip(topology.ring.shares()) {
        line(format_args!("  {:width$}  {}  {:.1} % of the keys", node.name, node.address, share * 100.0));
    }
    match admin {
        Some(admin) => line(format_args!("  {:width$}  http://{admin}/  (/metrics, /healthz, /readyz)", "admin")),
        None => line(format_args!("  {:width$}  off", "admin")),
    }
    match kept {
        Some(dir) => line(format_args!("  {:width$}  kept in {}", "data", dir.display())),
        None => line(format_args!("  {:width$}  in memory, gone at the end (keep it with --persist DIR)", "data")),
    }
    line(format_args!(""));
    line(format_args!("Try it:  {}", config.listen.first().map_or_else(String::new, client)));
    line(format_args!("Stop it: Ctrl-C"));
    text
}

/// The command that connects to `address`.
fn client(address: &Address) -> String {
    match address {
        Address::Tcp { host, port } if host == "127.0.0.1" => format!("redis-cli -p {port}"),
        Address::Tcp { host, port } => format!("redis-cli -h {host} -p {port}"),
        Address::Unix(path) => format!("redis-cli -s {}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::route::{Epoch, Node, Ring};

    #[test]
    fn the_banner_tells_everything_needed_to_try_it() {
        let node = |name: &str, port| Node::new(name, Address::Tcp { host: "127.0.0.1".to_owned(), port });
        let nodes = vec![node("node-1", 20_001), node("node-2", 20_002)];
        let ring = Ring::build(&[("node-1", 1.0), ("node-2", 1.0)], 64).unwrap();
        let topology = Topology::new(nodes, ring, Epoch(1));
        let admin = Some("127.0.0.1:9180".parse().unwrap());
        let text = text(&Config::default(), &topology, admin, None);
        for part in [
            "serves on 127.0.0.1:6380\n",
            "  node-1  127.0.0.1:20001  ",
            "  node-2  127.0.0.1:20002  ",
            " % of the keys\n",
            "  admin   http://127.0.0.1:9180/  (/metrics",
            "--persist DIR",
            "redis-cli -p 6380\n",
            "Ctrl-C\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
