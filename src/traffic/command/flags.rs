//! Behaviour flags and ACL categories: sets of named bits, in the order in which Redis lists them.
//!
//! The names are Redis's own. Categories that follow from flags (`@read`, `@slow` …) are derived here as Redis derives
//! them, so `commands.txt` holds only the others. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// Behaviour flags of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

/// ACL categories of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Acl(u32);

/// Flags in Redis's order; the position is the bit.
const FLAGS: &[&str] = &[
    "write",
    "readonly",
    "denyoom",
    "module",
    "admin",
    "pubsub",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_monitor",
    "skip_slowlog",
    "asking",
    "fast",
    "no_auth",
    "may_replicate",
    "no_mandatory_keys",
    "protected",
    "getkeys",
    "no_cluster",
    "no_async_loading",
    "no_multi",
    "movablekeys",
    "allow_busy",
    "touches_arbitrary_keys",
    "experimental",
];

/// Categories in Redis's order; the position is the bit.
const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The bit of `name` in `names`, in any case.
fn bit(names: &[&str], name: &str) -> Option<u32> {
    names.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|at| 1 << at)
}

/// The names of the bits of `set`.
fn named(names: &'static [&'static str], set: u32) -> impl Iterator<Item = &'static str> {
    names.iter().enumerate().filter(move |(at, _)| set & (1 << at) != 0).map(|(_, name)| *name)
}

impl Flags {
    /// May change data.
    pub const WRITE: Self = Self(1);
    /// Changes no data.
    pub const READONLY: Self = Self(1 << 1);
    /// Comes from a module.
    pub const MODULE: Self = Self(1 << 3);
    /// For administrators.
    pub const ADMIN: Self = Self(1 << 4);
    /// Of publish/subscribe.
    pub const PUBSUB: Self = Self(1 << 5);
    /// May wait for data.
    pub const BLOCKING: Self = Self(1 << 7);
    /// Constant or logarithmic time.
    pub const FAST: Self = Self(1 << 13);
    /// MONITOR does not show it.
    pub const SKIP_MONITOR: Self = Self(1 << 10);
    /// It may have to be told to replicas, though it need not write.
    pub const MAY_REPLICATE: Self = Self(1 << 15);
    /// Allowed before authentication.
    pub const NO_AUTH: Self = Self(1 << 14);
    /// May be called without any key.
    pub const NO_MANDATORY_KEYS: Self = Self(1 << 16);
    /// Its module finds the keys by a callback.
    pub const GETKEYS: Self = Self(1 << 18);
    /// Not allowed between MULTI and EXEC.
    pub const NO_MULTI: Self = Self(1 << 21);
    /// The key positions depend on the arguments.
    pub const MOVABLEKEYS: Self = Self(1 << 22);

    /// The flag called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        bit(FLAGS, name).map(Self)
    }

    /// Whether all of `other` are in it.
    #[inline]
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The names, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        named(FLAGS, self.0)
    }
}

impl Acl {
    /// The category called `name`, without the `@`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        bit(CATEGORIES, name).map(Self)
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With the categories that follow from `flags`.
    #[must_use]
    pub fn implied_by(mut self, flags: Flags) -> Self {
        let scripting = bit(CATEGORIES, "scripting").unwrap_or(0) & self.0 != 0;
        let fast = flags.has(Flags::FAST);
        for (follows, names) in [
            (flags.has(Flags::WRITE), &["write"][..]),
            (flags.has(Flags::READONLY) && !scripting, &["read"]),
            (flags.has(Flags::ADMIN), &["admin", "dangerous"]),
            (flags.has(Flags::PUBSUB), &["pubsub"]),
            (fast, &["fast"]),
            (!fast, &["slow"]),
            (flags.has(Flags::BLOCKING), &["blocking"]),
        ] {
            for name in names.iter().filter(|_| follows) {
                self.0 |= bit(CATEGORIES, name).unwrap_or(0);
            }
        }
        self
    }

    /// The names, in Redis's order, without the `@`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        named(CATEGORIES, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_the_bits_they_name() {
        for (flag, name) in [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::MODULE, "module"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::BLOCKING, "blocking"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::GETKEYS, "getkeys"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLEKEYS, "movablekeys"),
        ] {
            assert_eq!(Flags::named(name), Some(flag), "{name}");
            assert_eq!(flag.names().collect::<Vec<_>>(), [name]);
        }
    }

    #[test]
    fn categories_follow_from_flags() {
        let flags = Flags::WRITE.with(Flags::FAST);
        let acl = Acl::named("string").unwrap().implied_by(flags);
        assert_eq!(acl.names().collect::<Vec<_>>(), ["write", "string", "fast"]);
        let scripting = Acl::named("scripting").unwrap().implied_by(Flags::READONLY);
        assert_eq!(scripting.names().collect::<Vec<_>>(), ["slow", "scripting"], "scripts are not in @read");
        let admin = Acl::default().implied_by(Flags::ADMIN);
        assert_eq!(admin.names().collect::<Vec<_>>(), ["admin", "slow", "dangerous"]);
    }
}
