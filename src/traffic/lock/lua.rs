//! The Lua of lock libraries: read, and run in a world that holds one lock.
//!
//! ```text
//!  EVAL's text ─► parse ─► Program ─► run(arguments, world) ─► what it returned, how the lock is now, what else it sent
//! ```
//! Circlet has no Lua; it only wants to know what a script would do to a lock, so that it can do the same over a majority
//! of nodes ([`super::script`]). So this is a small part of Lua: locals, `if`, `for`, comparisons, sums, lists,
//! `redis.call` and its kin, `tonumber`, `tostring`, `ipairs`, `table.insert`. Whatever is beyond that is not understood
//! ([`NotUnderstood`]), never guessed. Bounded by [`MAX_TEXT`], [`MAX_DEPTH`] and [`MAX_STEPS`]. Pure.

mod parse;
mod run;

pub use run::{Held, Ran, Value, World, run};

/// Bytes that the text of a script may have.
const MAX_TEXT: usize = 16 << 10;

/// How deep it may be nested.
const MAX_DEPTH: usize = 32;

/// Expressions and statements that one run may look at.
const MAX_STEPS: usize = 10_000;

/// The script does something that is not known here, or is no Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUnderstood;

/// A script that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Program(Vec<Stmt>);

impl Program {
    /// Reads the text of a script.
    ///
    /// # Errors
    /// If it is not in the part of Lua that is known here.
    pub fn parse(text: &[u8]) -> Result<Self, NotUnderstood> {
        let text = std::str::from_utf8(text).map_err(|_| NotUnderstood)?;
        if text.len() > MAX_TEXT {
            return Err(NotUnderstood);
        }
        parse::program(text).map(Self)
    }
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
enum Stmt {
    /// `local a, b = x, y`
    Local(Vec<String>, Vec<Expr>),
    /// `a = x`
    Set(String, Expr),
    /// A call whose result nobody wants.
    Call(Expr),
    /// Conditions with their blocks; `else`.
    If(Vec<(Expr, Vec<Self>)>, Vec<Self>),
    /// `for i = from, to, step do`
    Count(String, [Expr; 3], Vec<Self>),
    /// `for i, v in ipairs(list) do`
    Each(String, String, Expr, Vec<Self>),
    /// `do … end`
    Block(Vec<Self>),
    /// `return x`
    Return(Expr),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
enum Expr {
    Nil,
    Bool(bool),
    Number(f64),
    Text(String),
    /// A variable; of library functions the whole name (`redis.call`).
    Name(String),
    /// `list[x]`
    At(Box<Self>, Box<Self>),
    /// `{x, y}`
    List(Vec<Self>),
    /// `f(x, y)`
    Call(String, Vec<Self>),
    /// `not`, `-`, `#`
    One(One, Box<Self>),
    Two(Two, Box<Self>, Box<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum One {
    Not,
    Minus,
    Length,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Two {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    Greater,
    AtMost,
    AtLeast,
    Join,
    Plus,
    Minus,
    Times,
    By,
}

#[cfg(test)]
mod tests;
