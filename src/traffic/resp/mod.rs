//! RESP bytes: where requests and replies begin and end, and how Circlet writes its own.
//!
//! Reading order: `limits` (what a peer may send), `request` (the clients' side), `inline` (requests typed by hand),
//! `head`, `reply` and `elements` (the nodes' side), `encode` (what Circlet answers itself); `length` is the number
//! in a header, for both sides. `frames` keeps replies until they are whole, for control connections and the operator's
//! subcommands: no request passes it.
//!
//! ```text
//! client --bytes--> request::Scanner --Arg ranges--> command, route --same bytes--> node
//! client <--same bytes, or encode-- merge <--frame ends-- reply::ReplyScanner <--bytes-- node
//! ```
//! Invariants: no scanner copies or keeps a payload, recurses, or goes twice over a byte because a read ended early;
//! what they find does not depend on how the bytes were cut into reads. Bounds: `Limits`. Pure: no io, no clock. It
//! does not turn replies into values; where a whole value is wanted, redis-protocol does that. Source: the RESP2 and
//! RESP3 specifications and the behaviour of Redis 7.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod elements;
pub mod encode;
mod fields;
mod frames;
pub mod fuzz;
mod head;
pub mod inline;
mod length;
pub mod limits;
pub mod reply;
pub mod request;

pub use elements::Elements;
pub use fields::Fields;
pub use frames::{Frames, NoReply};
pub use head::FramingError;
pub use limits::Limits;
pub use reply::ReplyScanner;
pub use request::{Arg, ProtocolError, Scan, Scanner};

/// The version of the protocol that a connection speaks; every connection begins with RESP2 and may change by HELLO.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Proto {
    /// Five types; null is a bulk or an array of length -1.
    Resp2,
    /// Adds maps, sets, pushes, doubles, booleans, a single null and more.
    Resp3,
}
