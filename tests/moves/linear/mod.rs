//! Whether what clients saw of one object can be explained by one machine that does one thing at a time.
//!
//! ```text
//!  client 1  ├─ SET 7 ─┤      ├─ GET = 7 ─┤
//!  client 2        ├─ GET = nil ─┤                  an order of points, one inside each bar, that the object allows:
//!                  ·  ·              ·              linearizable
//!  client 3              ├─ SET 8 ─ ─ ─ ─ ─ ─ ►     outcome unknown: its point lies anywhere behind its begin, or nowhere
//! ```
//! [`history`] says what an operation is, [`object`] what each object would answer alone, [`evidence`] closes what turned
//! out to have happened, [`search`] looks for the order, [`render`] shows where there is none. Pure: times come in with
//! the operations.
//!
//! Wing and Gong, *Testing and Verifying Concurrent Objects*, 1993; Lowe, *Testing for linearizability*, 2017.

pub mod evidence;
pub mod history;
pub mod object;
pub mod render;
pub mod search;
#[cfg(test)]
mod tests;

pub use history::{Call, Op, Reply};
pub use search::{Verdict, check};
