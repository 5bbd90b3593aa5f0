//! A server of nutcracker.yml: `host:port:weight [name]` or `/path:weight [name]`.
//!
//! Read from the end, as nutcracker does. The name decides where the keys lie: the one given, or else
//!
//! ```text
//!  10.0.0.1:6379:1        10.0.0.1:6379       host and port as written, without the weight
//!  10.0.0.1:11211:1       10.0.0.1            memcached's own port is left out, as in libmemcached
//!  /run/redis.sock:1      /run/redis.sock:    with the colon: nutcracker counts a port of no digits
//! ```
//! An `Err` is the cure. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::path::Path;

use crate::{
    config::{address, nodes},
    traffic::route::Address,
};

/// A server, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Server {
    /// What nutcracker hashes to place it.
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: Address,
    /// From 1.
    pub(super) weight: u32,
}

/// The port that nutcracker leaves out of a name.
const MEMCACHED: &str = "11211";

/// nutcracker writes "name-number" into a buffer of 86 bytes; past it, what it hashes is what lies behind in memory.
const MAX_NAME: usize = 85 - "-99999".len();

impl Server {
    /// Reads `text`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let shape = || "write host:port:weight, or host:port:weight name".to_owned();
        let (place, given) = text.rsplit_once(' ').map_or((text, None), |(place, name)| (place, Some(name)));
        let (place, weight) = place.rsplit_once(':').ok_or_else(shape)?;
        let weight = match number(weight) {
            Some(0) => return Err("a weight of 0 is none; use 1 for a normal server".to_owned()),
            Some(weight) => weight,
            None => return Err(format!("the weight is \"{weight}\"; {}", shape())),
        };
        let (own_name, address) = if place.starts_with('/') {
            (format!("{place}:"), address::one(place, Path::new(""))?)
        } else {
            let (host, port) = place.rsplit_once(':').ok_or_else(shape)?;
            let own_name = if port == MEMCACHED { host } else { place };
            (own_name.to_owned(), tcp(host, port)?)
        };
        let name = nodes::name(given.unwrap_or(&own_name))?;
        if name.len() > MAX_NAME {
            return Err(format!(
                "the name {name} is longer than the {MAX_NAME} bytes that nutcracker has room for; past them chance decides \
                 there where the keys lie, and no other proxy can find them"
            ));
        }
        Ok(Self { name, address, weight })
    }
}

/// Reads host and port as nutcracker does: everything before the last colon is the host, an IPv6 address too.
pub(super) fn tcp(host: &str, port: &str) -> Result<Address, String> {
    let port = match number(port).map(u16::try_from) {
        Some(Ok(port)) if port > 0 => port,
        _ => return Err(format!("the port is \"{port}\"; use 1 to 65535")),
    };
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(format!("the host is \"{host}\"; give a name or an address, such as 127.0.0.1:{port}"));
    }
    Ok(Address::Tcp { host: host.to_owned(), port })
}

/// A number as nutcracker reads it: digits, and not more than an `int` holds.
pub(super) fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse::<i32>().ok()).flatten().map(i32::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_nutcrackers_names() {
        for (text, name, address, weight) in [
            ("127.0.0.1:6379:1", "127.0.0.1:6379", "127.0.0.1:6379", 1),
            ("127.0.0.1:6379:3 cache-a", "cache-a", "127.0.0.1:6379", 3),
            ("redis.example:06379:1", "redis.example:06379", "redis.example:6379", 1),
            ("10.0.0.1:11211:1", "10.0.0.1", "10.0.0.1:11211", 1),
            ("10.0.0.1:11211:1 m", "m", "10.0.0.1:11211", 1),
            ("::1:6379:1", "::1:6379", "[::1]:6379", 1),
            ("/run/redis.sock:2", "/run/redis.sock:", "unix:/run/redis.sock", 2),
            ("/run/redis.sock:2 s", "s", "unix:/run/redis.sock", 2),
        ] {
            let server = Server::read(text).unwrap();
            assert_eq!(
                (server.name.as_str(), server.address.to_string().as_str(), server.weight),
                (name, address, weight)
            );
        }
    }

    #[test]
    fn a_wrong_server_names_its_cure() {
        let long = format!("127.0.0.1:1:1 {}", "x".repeat(80));
        for (text, cure) in [
            ("", "write host:port:weight"),
            ("127.0.0.1", "write host:port:weight"),
            ("127.0.0.1:6379", "write host:port:weight"),
            ("127.0.0.1:6379:0", "use 1 for a normal server"),
            ("127.0.0.1:6379:x", "the weight is \"x\""),
            ("127.0.0.1:6379:-1", "the weight is \"-1\""),
            ("127.0.0.1:6379:9999999999", "the weight is \"9999999999\""),
            ("127.0.0.1:0:1", "the port is \"0\"; use 1 to 65535"),
            ("127.0.0.1:70000:1", "use 1 to 65535"),
            (":6379:1", "the host is \"\""),
            ("127.0.0.1:6379:1 ", "use a name of 1 to 255 bytes"),
            ("127.0.0.1:6379:1 two names", "the weight is \"1 two\""),
            (long.as_str(), "nutcracker has room for"),
        ] {
            let found = Server::read(text).unwrap_err();
            assert!(found.contains(cure), "{text}: {found}");
        }
    }
}
