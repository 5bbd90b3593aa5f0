//! All rows, found by name.
//!
//! The names are packed into integers and put into an open-addressed index, so that a look-up is a few instructions
//! and one cache line; names of sub-commands are searched in their container. Immutable: what the nodes add makes a
//! new table. Bounded by [`MAX_ROWS`]. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Row, live, names::Names, parse};

/// Most rows of a table, sub-commands included; a node that names more is not believed.
pub const MAX_ROWS: usize = 16_384;

/// Every known command.
#[derive(Clone, Debug)]
pub struct Table {
    /// Commands without the sub-commands, which stand in their containers.
    pub(super) rows: Vec<Row>,
    /// Name -> index into `rows`.
    names: Names,
}

/// What a request's first two words name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// A command, a sub-command, or a container alone (whose arity then fails, except for `COMMAND`).
    Row(&'a Row),
    /// A container with a sub-command that it does not have.
    UnknownSub(&'a Row),
    /// No command of this name.
    Unknown,
}

impl Table {
    /// The commands of `commands.txt`.
    ///
    /// # Panics
    /// If `commands.txt` is malformed, which a test excludes.
    #[must_use]
    pub fn builtin() -> Self {
        match parse::rows(parse::COMMANDS) {
            Ok(rows) => Self::of(rows),
            Err(mistake) => panic!("commands.txt: {mistake}"),
        }
    }

    /// A table of `rows`, whose ids are already unique.
    pub(super) fn of(rows: Vec<Row>) -> Self {
        let names = Names::of(rows.iter().map(|row| row.name.as_bytes()));
        Self { rows, names }
    }

    /// The command `name`, in any case.
    #[inline]
    #[must_use]
    pub fn lookup(&self, name: &[u8]) -> Option<&Row> {
        let index = self.names.index_of(name, |index| self.rows[index].name.as_bytes())?;
        self.rows.get(index)
    }

    /// The command `name`, or its sub-command if it is a container. `second` is the request's second word.
    #[inline]
    #[must_use]
    pub fn find(&self, name: &[u8], second: Option<&[u8]>) -> Found<'_> {
        match (self.lookup(name), second) {
            (None, _) => Found::Unknown,
            (Some(row), Some(second)) if row.is_container() => {
                row.sub(second).map_or(Found::UnknownSub(row), Found::Row)
            }
            (Some(row), _) => Found::Row(row),
        }
    }

    /// The row with number `id`.
    #[must_use]
    pub fn row(&self, id: u16) -> Option<&Row> {
        self.rows().find(|row| row.id == id)
    }

    /// Every row, each container followed by its sub-commands.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().flat_map(|row| std::iter::once(row).chain(&row.subs))
    }

    /// The commands without the sub-commands.
    #[must_use]
    pub fn commands(&self) -> &[Row] {
        &self.rows
    }

    /// This table and what `command_reply`, a node's complete reply to `COMMAND` in RESP2 or RESP3, has beyond it.
    /// Rows that are here already stay as they are, except that they accept the numbers of arguments that the node
    /// accepts.
    ///
    /// # Errors
    /// Says what in the reply is not as Redis 7 and later shape it.
    pub fn with_live(&self, command_reply: &[u8]) -> Result<Self, String> {
        live::add(self, command_reply)
    }
}

#[cfg(test)]
mod tests;
