//! Scripts that run on nodes: their texts, and the digests by which EVALSHA names them. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{fmt::Write as _, sync::OnceLock};

use sha1::{Digest as _, Sha1};

/// A script.
#[derive(Debug)]
pub(in crate::control) struct Lua {
    text: &'static str,
    sha: OnceLock<String>,
}

impl Lua {
    pub(in crate::control) const fn new(text: &'static str) -> Self {
        Self { text, sha: OnceLock::new() }
    }

    pub(in crate::control) fn text(&self) -> &'static str {
        self.text
    }

    pub(in crate::control) fn sha(&self) -> &str {
        self.sha.get_or_init(|| digest(self.text))
    }
}

fn digest(text: &str) -> String {
    Sha1::digest(text.as_bytes()).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_one_redis_computes() {
        assert_eq!(Lua::new("return 1").sha(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }
}
