//! Which part of a key decides its node: Redis Cluster's hash tags, or twemproxy's.
//!
//! request's key -> here -> [`ring`](super::ring). If a key contains a `{…}` with something in it, only that
//! something is hashed, so that `user:{42}:name` and `user:{42}:mail` live on one node and can be used together in
//! one command. The rule is that of the Redis Cluster specification, section "Hash tags": the first `{` counts, and
//! the first `}` after it; if either is missing or nothing stands between them, the whole key is hashed. twemproxy's `hash_tag` is the same rule with any two bytes, as [`Tag`]. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// The part of `key` that is hashed: the inside of its hash tag, or all of it.
#[must_use]
#[inline]
pub fn tag(key: &[u8]) -> &[u8] {
    // Nearly every key has no tag.
    if has_brace(key) { Tag::BRACES.of(key) } else { key }
}

/// Whether there is a `{`, eight bytes at a time. Keys are short: vectors of 16 bytes took longer to set up than to use.
#[inline]
fn has_brace(key: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A byte of `word` that is `{` leaves its upper bit in the result, and where none is, there is no bit at all.
    let mark = |word: u64| {
        let zeros = word ^ (ONES * b'{' as u64);
        zeros.wrapping_sub(ONES) & !zeros & (ONES << 7)
    };
    let Some(last) = key.last_chunk::<8>() else { return key.contains(&b'{') };
    let (words, _) = key.as_chunks::<8>();
    let found = words.iter().fold(0, |found, word| found | mark(u64::from_ne_bytes(*word)));
    // The last eight bytes may overlap the words; looking twice does no harm.
    found | mark(u64::from_ne_bytes(*last)) != 0
}

/// Two bytes that enclose what is hashed, as twemproxy's `hash_tag` gives them; they may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The byte in front.
    pub open: u8,
    /// The byte behind.
    pub close: u8,
}

impl Tag {
    /// Redis Cluster's, the one of [`tag`].
    pub const BRACES: Self = Self { open: b'{', close: b'}' };

    /// The part of `key` that is hashed.
    #[must_use]
    pub fn of(self, key: &[u8]) -> &[u8] {
        let Some(open) = key.iter().position(|&byte| byte == self.open) else { return key };
        let rest = &key[open + 1..];
        match rest.iter().position(|&byte| byte == self.close) {
            None | Some(0) => key,
            Some(close) => &rest[..close],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_cluster_specification() {
        for (key, hashed) in [
            ("", ""),
            ("plain", "plain"),
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("a{b}", "b"),
            ("a{b}c{d}", "b"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("{", "{"),
            ("}", "}"),
            ("{}", "{}"),
            ("}{", "}{"),
            ("a}b{c}", "c"),
            ("open{only", "open{only"),
            ("only}close", "only}close"),
            ("a long key before the tag: {x} and after", "x"),
        ] {
            assert_eq!(tag(key.as_bytes()), hashed.as_bytes(), "{key}");
        }
    }

    #[test]
    fn a_tag_may_hold_any_bytes() {
        assert_eq!(tag(b"\0{\xff\r\n}\x01"), b"\xff\r\n");
    }

    #[test]
    fn a_tag_of_two_equal_bytes_ends_at_the_second() {
        let dollars = Tag { open: b'$', close: b'$' };
        for (key, hashed) in [("$a$", "a"), ("a$b$c$d", "b"), ("$$a$", "$$a$"), ("$", "$"), ("{a}$b", "{a}$b")] {
            assert_eq!(dollars.of(key.as_bytes()), hashed.as_bytes(), "{key}");
        }
    }
}
