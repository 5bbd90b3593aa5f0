//! When nodes count for locks.

use super::{Client, resp::Value, wait::until_true};

/// Names whose nodes, together, are all nodes.
const PROBES: usize = 32;

/// Waits until every node counts. A lock is granted as soon as a majority does, and then lies on these alone.
#[track_caller]
pub fn wait_all_count(client: &mut Client) {
    until_true("all nodes to count for locks", || {
        (0..PROBES).all(|number| all_count(client, &format!("probe{number}")))
    });
}

/// Whether the nodes of a lock that nobody has count.
fn all_count(client: &mut Client, name: &str) -> bool {
    let info = client.value(&format!("LOCK.INFO {name}"));
    let free = |node: &&Value| node.get("state").is_some_and(|state| state.text() == "free");
    info.get("nodes").is_some_and(|nodes| !nodes.list().is_empty() && nodes.list().iter().all(free))
}
