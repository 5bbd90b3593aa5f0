//! The command table: one row per command, and everything that can be told about a command from its row.
//!
//! A request's first word goes in, its [`Row`] comes out; from the row follow where the request goes ([`Route`]), which
//! arguments are keys ([`keys`]), and what `COMMAND` answers about it ([`describe`]):
//!
//! ```text
//!                  commands.txt ──parsed once──►  Table  ◄── with_live: what the nodes' own COMMAND adds
//!                                                   │ lookup(name) / find(name, sub-command)
//!  resp::request ──first word──────────────────────►▼
//!                                                  Row ──► Route           which kind of plan
//!                                                   │ └──► find_keys       which arguments to hash
//!                                                   └────► describe        COMMAND INFO, LIST, DOCS, GETKEYS …
//! ```
//!
//! The facts stand in `commands.txt` and nowhere else; its header explains the columns. Bounded by the number of
//! commands ([`table::MAX_ROWS`]). Pure. It checks no arguments that a node checks itself: a node's own error is
//! better.

pub mod describe;
pub mod flags;
pub mod glob;
pub mod keys;
mod live;
mod names;
mod options;
mod parse;
pub mod route;
pub mod row;
pub mod spec;
pub mod table;

pub use flags::{Acl, Flags};
pub use keys::{KeysError, Patterns};
pub use route::{Gather, Local, Lock, Reason, Route, Script, Session, Split, Stepwise};
pub use row::Row;
pub use table::{Found, Table};
