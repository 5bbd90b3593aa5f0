//! One command: its facts, and the questions that a plan asks of them.
//!
//! Made from a line of `commands.txt` or from a node's `COMMAND` entry; immutable afterwards. A container (`CLIENT`,
//! `XGROUP`, …) holds its sub-commands. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Acl, Flags, KeysError, Patterns, Route,
    keys::{self, Finder},
    options,
    spec::KeySpec,
};
use crate::traffic::resp::request::Arg;

/// One command or sub-command.
#[derive(Clone, Debug)]
pub struct Row {
    /// Number of the row, unique in its table and in every table that [`super::Table::with_live`] makes of it.
    pub id: u16,
    /// Lower case; sub-commands as `client|list`.
    pub name: String,
    /// Number of arguments with the command's name; negative: at least so many.
    pub arity: i32,
    /// Behaviour flags as `COMMAND` names them.
    pub flags: Flags,
    /// ACL categories, the ones implied by the flags included.
    pub acl: Acl,
    /// What is done with it.
    pub route: Route,
    /// Key specifications as `COMMAND` shows them.
    pub specs: Vec<KeySpec>,
    /// Command tips as `COMMAND` shows them.
    pub tips: Vec<String>,
    /// First version that has it; empty when unknown.
    pub since: String,
    /// Version since which it is deprecated.
    pub deprecated: Option<String>,
    /// Group of the documentation: `string`, `sorted-set` …
    pub group: String,
    /// What it does, in a few words.
    pub summary: String,
    /// Sub-commands, if it is a container.
    pub subs: Vec<Self>,
    /// How the keys are found: follows from `specs`, or a function of its own.
    pub(super) finder: Finder,
}

impl Row {
    /// Whether it has sub-commands. (`COMMAND` also does something without one.)
    #[must_use]
    pub fn is_container(&self) -> bool {
        !self.subs.is_empty()
    }

    /// The sub-command `name`, in any case.
    #[must_use]
    pub fn sub(&self, name: &[u8]) -> Option<&Self> {
        let skip = self.name.len() + 1;
        self.subs.iter().find(|sub| sub.name.as_bytes()[skip..].eq_ignore_ascii_case(name))
    }

    /// Whether it changes nothing, so that it may be sent again when its connection is lost. Scripts that may write
    /// do not count; what any node may answer (`CONFIG GET`, help) does.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.flags.has(Flags::READONLY) || self.route == Route::Any
    }

    /// Whether it may write: everything that does not declare itself read-only and has keys, and what declares `write`.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.flags.has(Flags::WRITE) || (!self.is_read() && !self.specs.is_empty())
    }

    /// Whether `argc` arguments, the name included, satisfy the arity.
    #[must_use]
    pub fn arity_ok(&self, argc: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { argc >= wanted } else { argc == wanted }
    }

    /// The index of its only key, when it always has exactly one, always there.
    #[inline]
    #[must_use]
    pub fn single_key(&self) -> Option<u32> {
        match self.finder {
            Finder::One(index) => Some(index),
            _ => None,
        }
    }

    /// Pushes the argument indices of all keys, in the order of the arguments' specifications.
    ///
    /// # Errors
    /// [`KeysError::Malformed`]: they cannot be found, and the node will say why; send it to any one.
    /// [`KeysError::ForeignPattern`]: it would read keys whose names are not in the request, and `patterns` cannot tell on
    /// which node.
    pub fn find_keys(
        &self,
        args: &[Arg],
        request: &[u8],
        patterns: Patterns,
        out: &mut Vec<u32>,
    ) -> Result<(), KeysError> {
        keys::find(self, &keys::Args { args, request }, patterns, out)
    }

    /// Whether this request may wait for data: a blocking command, except `XREAD` and `XREADGROUP` without `BLOCK`.
    #[must_use]
    pub fn blocks(&self, args: &[Arg], request: &[u8]) -> bool {
        self.flags.has(Flags::BLOCKING)
            && (self.finder != Finder::Streams || options::has_block(&keys::Args { args, request }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Table;

    #[test]
    fn arity_is_exact_or_a_minimum() {
        let table = Table::builtin();
        let get = table.lookup(b"get").unwrap();
        assert!(get.arity_ok(2) && !get.arity_ok(1) && !get.arity_ok(3));
        let del = table.lookup(b"del").unwrap();
        assert!(!del.arity_ok(1) && del.arity_ok(2) && del.arity_ok(1000));
    }

    #[test]
    fn sub_commands_are_found_in_any_case() {
        let table = Table::builtin();
        let client = table.lookup(b"CLIENT").unwrap();
        assert!(client.is_container());
        assert_eq!(client.sub(b"No-Evict").unwrap().name, "client|no-evict");
        assert!(client.sub(b"").is_none() && client.sub(b"lis").is_none() && client.sub(b"client|list").is_none());
    }

    #[test]
    fn scripts_count_as_writes_unless_read_only() {
        let table = Table::builtin();
        assert!(table.lookup(b"eval").unwrap().is_write());
        assert!(!table.lookup(b"eval_ro").unwrap().is_write() && table.lookup(b"eval_ro").unwrap().is_read());
        assert!(table.lookup(b"set").unwrap().is_write() && !table.lookup(b"get").unwrap().is_write());
    }
}
