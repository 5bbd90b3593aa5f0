//! What all nodes together are, from what each has said: the facts and the command table. Pure.
//!
//! A node that is gone keeps what it said last: facts do not flicker with a restart, and a node that comes back changed is
//! asked again; only one that has left is forgotten. Commands are only ever added: a node that lost one says so itself.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use crate::traffic::{command::Table, route::NodeId, worker::Facts};

/// What one node has said; `None` where it would not.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    /// `redis_version` of INFO.
    pub version: Option<String>,
    /// `databases` of CONFIG GET.
    pub databases: Option<u32>,
    /// Its whole reply to COMMAND.
    pub commands: Option<Vec<u8>>,
}

/// What all nodes have said.
#[derive(Debug)]
pub struct Known {
    table: Arc<Table>,
    facts: Facts,
    versions: Vec<Option<String>>,
    databases: Vec<Option<u32>>,
}

impl Known {
    /// Before any node has said anything.
    #[must_use]
    pub fn new(table: Arc<Table>) -> Self {
        Self { table, facts: assumed(), versions: Vec::new(), databases: Vec::new() }
    }

    /// The builtin commands and what the nodes have beyond them.
    #[must_use]
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table)
    }

    /// The facts as far as they are known.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// Takes in what `node` said; whether table or facts have changed by it.
    pub fn learn(&mut self, node: NodeId, learned: Learned) -> bool {
        let index = node.index();
        if self.versions.len() <= index {
            self.versions.resize(index + 1, None);
            self.databases.resize(index + 1, None);
        }
        self.versions[index] = learned.version.or(self.versions[index].take());
        self.databases[index] = learned.databases.or(self.databases[index]);
        let added = learned.commands.is_some_and(|commands| self.add(&commands));
        self.sum_up() || added
    }

    /// Forgets what `node` said, since it has left; whether the facts have changed by it.
    pub fn forget(&mut self, node: NodeId) -> bool {
        if let (Some(version), Some(databases)) =
            (self.versions.get_mut(node.index()), self.databases.get_mut(node.index()))
        {
            (*version, *databases) = (None, None);
        }
        self.sum_up()
    }

    fn add(&mut self, commands: &[u8]) -> bool {
        let before = self.table.rows().count();
        match self.table.with_live(commands) {
            Ok(table) if table.rows().count() > before => {
                let more = table.rows().count() - before;
                tracing::info!(more, "a node has commands beyond the known ones; they are served too");
                self.table = Arc::new(table);
                true
            }
            Ok(_) => false,
            Err(why) => {
                tracing::warn!(%why, "a node's COMMAND cannot be used");
                false
            }
        }
    }

    fn sum_up(&mut self) -> bool {
        let assumed = assumed();
        let lowest = self.versions.iter().flatten().min_by_key(|version| numbers(version));
        let facts = Facts {
            version: lowest.cloned().unwrap_or(assumed.version),
            databases: self.databases.iter().flatten().copied().min().unwrap_or(assumed.databases),
        };
        let changed = facts.version != self.facts.version || facts.databases != self.facts.databases;
        self.facts = facts;
        changed
    }
}

/// What holds before anything is known.
fn assumed() -> Facts {
    Facts { version: "7.0.0".to_owned(), databases: 16 }
}

/// A version as numbers, so that 7.10 is above 7.9.
fn numbers(version: &str) -> Vec<u64> {
    version.split(['.', '-']).map(|part| part.parse().unwrap_or(0)).collect()
}

/// The value of `name` in an INFO text.
pub(in crate::control) fn field(info: &str, name: &str) -> Option<String> {
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(value.trim_end().to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(version: &str, databases: u32) -> Learned {
        Learned { version: Some(version.to_owned()), databases: Some(databases), commands: None }
    }

    fn known() -> Known {
        Known::new(Arc::new(Table::builtin()))
    }

    #[test]
    fn the_lowest_version_and_the_fewest_databases_hold() {
        let mut known = known();
        assert_eq!((known.facts().version.as_str(), known.facts().databases), ("7.0.0", 16));
        assert!(known.learn(NodeId(0), said("7.10.1", 32)));
        assert!(known.learn(NodeId(1), said("7.9.5", 64)));
        assert!(!known.learn(NodeId(2), said("8.0.0-rc1", 64)));
        assert_eq!((known.facts().version.as_str(), known.facts().databases), ("7.9.5", 32));
    }

    #[test]
    fn a_node_that_comes_back_newer_raises_the_version() {
        let mut known = known();
        known.learn(NodeId(0), said("7.0.15", 16));
        known.learn(NodeId(1), said("7.2.0", 16));
        assert!(known.learn(NodeId(0), said("7.4.0", 16)));
        assert_eq!(known.facts().version, "7.2.0");
    }

    #[test]
    fn a_node_that_has_left_does_not_count() {
        let mut known = known();
        known.learn(NodeId(1), said("7.0.15", 8));
        known.learn(NodeId(0), said("7.2.0", 16));
        assert!(known.forget(NodeId(1)) && !known.forget(NodeId(7)));
        assert_eq!((known.facts().version.as_str(), known.facts().databases), ("7.2.0", 16));
    }

    #[test]
    fn silence_changes_nothing() {
        let mut known = known();
        assert!(!known.learn(NodeId(0), Learned::default()));
        known.learn(NodeId(0), said("7.0.15", 16));
        assert!(!known.learn(NodeId(0), Learned::default()));
        assert_eq!(known.facts().version, "7.0.15");
    }

    #[test]
    fn a_modules_command_comes_into_the_table_once() {
        let mut known = known();
        let row = b"*1\r\n*6\r\n$8\r\njson.get\r\n:-2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n";
        let learned = || Learned { commands: Some(row.to_vec()), ..Learned::default() };
        assert!(known.learn(NodeId(0), learned()));
        assert!(known.table().lookup(b"JSON.GET").is_some());
        assert!(!known.learn(NodeId(1), learned()));
    }

    #[test]
    fn garbage_leaves_the_table_as_it_is() {
        let mut known = known();
        let garbage = Learned { commands: Some(b"*1\r\n:5\r\n".to_vec()), ..Learned::default() };
        assert!(!known.learn(NodeId(0), garbage));
        assert!(known.table().lookup(b"GET").is_some());
    }

    #[test]
    fn fields_are_read_from_info() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nempty:\r\n";
        assert_eq!(field(info, "redis_version").as_deref(), Some("7.0.15"));
        assert_eq!(field(info, "run_id").as_deref(), Some("abc"));
        assert_eq!(field(info, "run"), None);
        assert_eq!(field(info, "empty"), None);
    }
}
