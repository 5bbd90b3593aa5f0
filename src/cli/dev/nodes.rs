//! All redis-server processes of `circlet dev` together.
//!
//! Each process is entered here the moment it exists, so that [`Nodes::stop`] ends every one of them whatever happened
//! in between. Io.

use std::{convert::Infallible, net::TcpListener, path::PathBuf, time::Duration};

use tokio::time::{sleep, timeout};

use super::{data::Data, node::Node};
use crate::control::Signals;

/// Ports to choose from: unprivileged, and below those that systems give to outgoing connections, which could take one
/// in the moment between its choice and its use.
const PORTS: std::ops::Range<u16> = 17_000..32_000;

/// Ports tried per node before giving up.
const TRIES: usize = 200;

/// Time for a node to write what it keeps and end.
const STOP_TIME: Duration = Duration::from_secs(10);

/// How often ended nodes are looked for.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// The nodes that were started.
#[derive(Debug)]
pub(super) struct Nodes {
    program: PathBuf,
    running: Vec<Node>,
}

impl Nodes {
    /// None yet; they will be processes of `program`.
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program, running: Vec::new() }
    }

    /// Starts one node per port and waits until all answer; `Err` is for the person who started them.
    pub(super) async fn start(&mut self, data: &Data, ports: &[u16]) -> Result<(), String> {
        for (index, port) in ports.iter().enumerate() {
            let node = Node::start(&self.program, index, *port, data.node(index), data.kept().is_some())
                .map_err(|error| format!("{} cannot be started: {error}", self.program.display()))?;
            self.running.push(node);
        }
        for node in &mut self.running {
            node.answers().await?;
        }
        Ok(())
    }

    /// Tells when a node ends. Cancel-safe.
    pub(super) async fn watch(&mut self) -> Infallible {
        loop {
            sleep(WATCH_EVERY).await;
            self.running.iter_mut().for_each(Node::tell_end);
        }
    }

    /// Ends all nodes: asks them to, and after [`STOP_TIME`] or another signal insists.
    pub(super) async fn stop(&mut self, signals: &mut Signals) {
        self.running.iter().for_each(Node::terminate);
        let all = async {
            for node in &mut self.running {
                // Only fails if the process was waited for already.
                let _ = node.ended().await;
            }
        };
        // Cancel-safe: waiting for an end takes nothing from who waits again.
        let ended = tokio::select! {
            ended = timeout(STOP_TIME, all) => ended.is_ok(),
            _ = signals.next() => false,
        };
        if !ended {
            for node in &mut self.running {
                node.kill().await;
            }
        }
        self.running.clear();
    }
}

/// Free ports on 127.0.0.1, all different.
pub(super) fn free_ports(count: u16) -> Result<Vec<u16>, String> {
    // All are held until the last is found.
    let mut held = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let found = (0..TRIES).find_map(|_| TcpListener::bind(("127.0.0.1", fastrand::u16(PORTS))).ok());
        held.push(found.ok_or_else(|| format!("no free port for a node between {} and {}", PORTS.start, PORTS.end))?);
    }
    held.iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()
        .map_err(|error| format!("no free port for a node: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn free_ports_are_different_and_free() {
        let ports = free_ports(20).unwrap();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 20);
        assert!(ports.iter().all(|port| PORTS.contains(port)));
        // Another test may have taken one meanwhile, but not all.
        assert!(ports.iter().any(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()));
    }

    /// Starts real nodes of a program that runs nothing; `stop` must end what there is.
    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_name() {
        let mut data = Data::open(None, Some(2)).unwrap();
        data.make().unwrap();
        let mut nodes = Nodes::new("/bin/false".into());
        let error = nodes.start(&data, &free_ports(2).unwrap()).await.unwrap_err();
        assert!(error.starts_with("node-1 on port ") && error.contains("did not start (exit status: 1)"), "{error}");
        nodes.stop(&mut Signals::listen(false).unwrap()).await;
        let mut nodes = Nodes::new("/nonexistent/redis-server".into());
        let error = nodes.start(&data, &free_ports(2).unwrap()).await.unwrap_err();
        assert!(error.starts_with("/nonexistent/redis-server cannot be started: "), "{error}");
    }
}
