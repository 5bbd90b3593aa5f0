//! Addresses as the configuration allows them: what [`Address`] reads, and what the system can bind.
//!
//! An `Err` is the cure. Pure.

use std::path::Path;

use super::draft::Raw;
use crate::traffic::route::Address;

/// Reads a TCP address.
pub(super) fn tcp(text: &str) -> Result<Address, String> {
    match text.parse::<Address>() {
        Ok(Address::Unix(_)) => Err("use a TCP address such as \"127.0.0.1:9180\"".to_owned()),
        Ok(address) => Ok(address),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads one address or a list of them; at least one, each different.
pub(super) fn addresses(raw: &Raw, base: &Path) -> Result<Vec<Address>, String> {
    let items = match raw {
        Raw::List(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    if items.is_empty() {
        return Err("give at least one address, such as \"127.0.0.1:6380\"".to_owned());
    }
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        let Raw::Scalar { text, quoted: true } = item else {
            return Err("use addresses in quotes, such as [\"127.0.0.1:6380\", \"unix:/run/circlet.sock\"]".to_owned());
        };
        let address = one(text, base)?;
        if read.contains(&address) {
            return Err(format!("remove one of the two {address}"));
        }
        read.push(address);
    }
    Ok(read)
}

/// Reads host names, one or a list, `*` for any of them; in lower case.
pub(super) fn hosts(raw: &Raw) -> Result<Vec<String>, String> {
    let items = match raw {
        Raw::List(items) => items.as_slice(),
        other if other.is_empty() => &[],
        other => std::slice::from_ref(other),
    };
    let host = |item: &Raw| match item {
        Raw::Scalar { text, quoted: true } if is_host(text) => Ok(text.to_ascii_lowercase()),
        Raw::Scalar { .. } | Raw::List(_) | Raw::Table => {
            Err("use host names in quotes, without a port, such as [\"circlet-1.example\"], or [\"*\"] for any"
                .to_owned())
        }
    };
    items.iter().map(host).collect()
}

fn is_host(text: &str) -> bool {
    let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    text == "*" || !text.is_empty() && text.len() <= 253 && letters(text)
}

/// Reads an address; a relative path of a unix socket starts from `base`.
pub(super) fn one(text: &str, base: &Path) -> Result<Address, String> {
    /// Bytes of `sun_path`, less its final NUL.
    const MAX_UNIX_PATH: usize = 107;
    match text.parse::<Address>().map_err(|error| error.to_string())? {
        Address::Unix(path) => {
            let path = base.join(path);
            if path.as_os_str().len() > MAX_UNIX_PATH {
                return Err(format!("use a path of at most {MAX_UNIX_PATH} bytes; the system allows no longer one"));
            }
            Ok(Address::Unix(path))
        }
        tcp @ Address::Tcp { .. } => Ok(tcp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_addresses_are_read() {
        let read = |toml: &str| addresses(&Raw::parse(toml).unwrap(), Path::new("/etc"));
        let texts = |toml: &str| read(toml).unwrap().iter().map(Address::to_string).collect::<Vec<_>>();
        assert_eq!(texts("\"a:1\""), ["a:1"]);
        assert_eq!(texts("[\"[::1]:1\", \"unix:c.sock\", \"/run/c\"]"), ["[::1]:1", "unix:/etc/c.sock", "unix:/run/c"]);
        for (toml, cure) in [
            ("[]", "at least one"),
            ("6380", "in quotes"),
            ("[6380]", "in quotes"),
            ("[[\"a:1\"]]", "in quotes"),
            ("{ port = 6380 }", "in quotes"),
            ("[\"a:1\", \"a\"]", "'a' has no port"),
            ("[\"a:1\", \"a:1\"]", "remove one of the two a:1"),
        ] {
            assert!(read(toml).unwrap_err().contains(cure), "{toml}");
        }
    }

    #[test]
    fn a_unix_path_fits_into_what_the_system_can_bind() {
        let path = |len: usize| format!("/{}", "x".repeat(len - 1));
        assert!(one(&path(107), Path::new("")).is_ok());
        assert!(one(&path(108), Path::new("")).unwrap_err().contains("107"));
        assert!(one("unix:x", Path::new(&path(106))).unwrap_err().contains("107"));
    }

    #[test]
    fn host_names_are_read_without_ports() {
        let read = |toml: &str| hosts(&Raw::parse(toml).unwrap());
        assert_eq!(read("[\"A.example\", \"b\"]").unwrap(), ["a.example", "b"]);
        assert_eq!(read("\"*\"").unwrap(), ["*"]);
        assert!(read("[]").unwrap().is_empty() && read("\"\"").unwrap().is_empty());
        for toml in ["[\"a:9180\"]", "[\"http://a\"]", "[\"\"]", "[\"*.a\"]", "7", "[[\"a\"]]", "[\"a b\"]"] {
            assert!(read(toml).unwrap_err().contains("without a port"), "{toml}");
        }
    }

    #[test]
    fn http_is_served_over_tcp_only() {
        assert!(tcp("[::1]:9180").is_ok());
        assert!(tcp("unix:/run/c").unwrap_err().contains("TCP"));
    }
}
