//! Glob patterns as Redis matches them: `*`, `?`, `[a-z]`, `[^…]`, `\` before a byte that stands for itself.
//!
//! Iterative, with one point to go back to (the last `*`): at most pattern times text steps, no recursion. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// Longer patterns match nothing: names are short, and work must not grow with what a client sends.
const MAX_PATTERN: usize = 1_024;

/// Longer texts match nothing, either.
const MAX_TEXT: usize = 64 << 10;

/// Whether all of `text` matches `pattern`, in any case.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    search(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// Whether all of `text` matches `pattern`, upper and lower case being different.
#[must_use]
pub fn matches_exactly(pattern: &[u8], text: &[u8]) -> bool {
    search(pattern, text, |byte| byte)
}

/// Bytes are the same if `fold` makes them so.
#[inline]
fn search(pattern: &[u8], text: &[u8], fold: impl Fn(u8) -> u8 + Copy) -> bool {
    if pattern.len() > MAX_PATTERN || text.len() > MAX_TEXT {
        return false;
    }
    let (mut at, mut seen) = (0, 0);
    // After the last `*`, and the first byte of the text that it has not swallowed yet.
    let mut back = None;
    loop {
        let step = match (pattern.get(at), text.get(seen)) {
            (Some(b'*'), _) => {
                back = Some((at + 1, seen));
                Some((at + 1, seen))
            }
            (None, None) => return true,
            (Some(_), Some(byte)) => one(&pattern[at..], *byte, fold).map(|len| (at + len, seen + 1)),
            _ => None,
        };
        (at, seen) = match (step, back) {
            (Some(next), _) => next,
            (None, Some((after, swallowed))) if swallowed < text.len() => {
                back = Some((after, swallowed + 1));
                (after, swallowed + 1)
            }
            _ => return false,
        };
    }
}

/// The length of the first element of `pattern`, which is no `*`, if `byte` matches it.
fn one(pattern: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', set @ ..] => {
            let (len, inside) = class(set, byte, fold);
            inside.then_some(1 + len)
        }
        [b'\\', literal, ..] => (fold(*literal) == fold(byte)).then_some(2),
        [literal, ..] => (fold(*literal) == fold(byte)).then_some(1),
        [] => None,
    }
}

/// The length of a set up to and with its `]` (which may be missing at the end), and whether `byte` is in it.
fn class(set: &[u8], byte: u8, fold: impl Fn(u8) -> u8) -> (usize, bool) {
    let byte = fold(byte);
    let negated = set.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut inside = false;
    loop {
        let (len, found) = match &set[at.min(set.len())..] {
            [] => return (at, inside != negated),
            [b']', ..] => return (at + 1, inside != negated),
            [b'\\', literal, ..] => (2, fold(*literal) == byte),
            [from, b'-', to, ..] => {
                let (from, to) = (fold(*from), fold(*to));
                (3, (from.min(to)..=from.max(to)).contains(&byte))
            }
            [literal, ..] => (1, fold(*literal) == byte),
        };
        inside |= found;
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("x*", "xadd", true),
            ("x*", "append", false),
            ("*d", "xadd", true),
            ("*a*d", "xadd", true),
            ("*a*e", "xadd", false),
            ("h?et", "hget", true),
            ("h?t", "hget", false),
            ("h?et", "hgetx", false),
            ("hge?", "hget", true),
            ("HGET", "hget", true),
            ("[hx]get", "hget", true),
            ("[^h]get", "hget", false),
            ("[A-H]get", "hget", true),
            ("[h-a]get", "hget", true),
            ("[hget", "h", true),
            ("client|*", "client|list", true),
            (r"h\get", "hget", true),
            (r"h\*", "hget", false),
            (r"h\", r"h\", true),
            ("[]", "a", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn case_counts_where_it_must() {
        for (pattern, text, expected) in
            [("N*", "news", false), ("n[E]ws", "news", false), (r"\N*", "news", false), ("n[a-f]w?", "news", true)]
        {
            assert_eq!(matches_exactly(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_costs_little() {
        assert!(!matches("*a".repeat(512).as_bytes(), "a".repeat(500).as_bytes()));
        assert!(!matches(&vec![b'*'; MAX_PATTERN + 1], b"get"));
    }
}
