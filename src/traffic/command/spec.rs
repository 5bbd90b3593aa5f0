//! Key specifications: where a command's keys are, in Redis's own terms, and their short form in `commands.txt`.
//!
//! | short form | meaning |
//! |---|---|
//! | `1` | the argument 1 |
//! | `1..-1`, `1..-2` | from argument 1 to the last, to the last but one |
//! | `1..+1` | argument 1 and the one after it |
//! | `1..-1/2` | every second one |
//! | `2#` | argument 2 is the number of keys, which follow it |
//! | `1#/2` | the same, with something after each key |
//! | `STORE@5` | the argument after the first word STORE from argument 5 on |
//! | `STREAMS@1..-1%2` | the first half of what follows the word |
//! | `KEYS@-2..-1` | what follows the last word KEYS, searched backwards |
//! | `?` | not expressible; the row has its own way to find them |
//!
//! `:rw+access+update` after it says what happens to the keys. See "Key specifications" in the Redis documentation.
//! Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// One key specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the search begins.
    pub begin: Begin,
    /// Which arguments from there on are keys.
    pub find: Find,
    /// What happens to them.
    pub access: Access,
}

/// Where the search for keys begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument.
    Index(u32),
    /// After the first occurrence of a word.
    Keyword {
        /// The word, compared in any case.
        word: String,
        /// Argument at which the search for it begins; negative: from the end, backwards.
        from: i32,
    },
    /// Not expressible.
    Unknown,
}

/// Which arguments are keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Find {
    /// A run of arguments.
    Range {
        /// The last key, relative to the first; negative: relative to the number of arguments.
        last: i32,
        /// Distance of the keys.
        step: u32,
        /// With `last` -1: only this part (2: half) of the arguments that are left; 0: all.
        limit: u32,
    },
    /// A number of keys and then the keys.
    Count {
        /// Where the number stands, relative to the begin.
        at: u32,
        /// The first key, relative to the begin.
        first: u32,
        /// Distance of the keys.
        step: u32,
    },
    /// Not expressible.
    Unknown,
}

/// What happens to a key: a set of Redis's key flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access(u16);

/// Key flags in Redis's order and spelling; the position is the bit.
const ACCESS: &[&str] =
    &["RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags"];

impl Access {
    /// It is no key, but routed like one (channels of sharded publish/subscribe).
    pub const NOT_KEY: Self = Self(1 << 8);
    /// The specification may miss keys.
    pub const INCOMPLETE: Self = Self(1 << 9);

    /// Reads names joined by `+`, in any case.
    #[must_use]
    pub fn parse(names: &str) -> Option<Self> {
        names.split('+').try_fold(Self::default(), |set, name| Some(set.with(Self::named(name)?)))
    }

    /// The flag called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ACCESS.iter().position(|known| known.eq_ignore_ascii_case(name)).map(|at| Self(1 << at))
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

    /// The names, in Redis's order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        ACCESS.iter().enumerate().filter(move |(at, _)| self.0 & (1 << at) != 0).map(|(_, name)| *name)
    }
}

impl KeySpec {
    /// Reads the short form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (place, access) = text.split_once(':')?;
        let access = Access::parse(access)?;
        if place == "?" {
            return Some(Self { begin: Begin::Unknown, find: Find::Unknown, access });
        }
        let (word, place) = match place.split_once('@') {
            Some((word, place)) => (Some(word), place),
            None => (None, place),
        };
        let end = place.char_indices().skip(1).find(|(_, c)| !c.is_ascii_digit()).map_or(place.len(), |(at, _)| at);
        let (begin, find) = place.split_at(end);
        let begin = match word {
            Some(word) => Begin::Keyword { word: word.to_owned(), from: begin.parse().ok()? },
            None => Begin::Index(begin.parse().ok()?),
        };
        Some(Self { begin, find: Find::parse(find)?, access })
    }

    /// The first key and the distance between keys, if it begins at a fixed argument and goes on to a fixed one,
    /// counted from the front or from the end: `(first, last, step)` as `COMMAND` shows them.
    #[must_use]
    pub fn fixed(&self) -> Option<(u32, i32, u32)> {
        match (&self.begin, &self.find) {
            (Begin::Index(first), Find::Range { last, step, limit: 0 | 1 }) => {
                let last = if *last < 0 { *last } else { last.checked_add(i32::try_from(*first).ok()?)? };
                Some((*first, last, *step))
            }
            _ => None,
        }
    }
}

impl Find {
    /// Reads what follows the begin in the short form.
    fn parse(text: &str) -> Option<Self> {
        let (text, step) = match text.split_once('/') {
            Some((text, step)) => (text, step.parse().ok()?),
            None => (text, 1),
        };
        if text == "#" {
            return Some(Self::Count { at: 0, first: 1, step });
        }
        let (text, limit) = match text.split_once('%') {
            Some((text, limit)) => (text, limit.parse().ok()?),
            None => (text, 0),
        };
        let last = if text.is_empty() { 0 } else { text.strip_prefix("..")?.parse().ok()? };
        Some(Self::Range { last, step, limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_read() {
        let keyword = |word: &str, from| Begin::Keyword { word: word.to_owned(), from };
        for (text, begin, find) in [
            ("1", Begin::Index(1), Find::Range { last: 0, step: 1, limit: 0 }),
            ("12..-2", Begin::Index(12), Find::Range { last: -2, step: 1, limit: 0 }),
            ("1..+1", Begin::Index(1), Find::Range { last: 1, step: 1, limit: 0 }),
            ("1..-1/2", Begin::Index(1), Find::Range { last: -1, step: 2, limit: 0 }),
            ("2#", Begin::Index(2), Find::Count { at: 0, first: 1, step: 1 }),
            ("1#/2", Begin::Index(1), Find::Count { at: 0, first: 1, step: 2 }),
            ("STORE@6", keyword("STORE", 6), Find::Range { last: 0, step: 1, limit: 0 }),
            ("STREAMS@1..-1%2", keyword("STREAMS", 1), Find::Range { last: -1, step: 1, limit: 2 }),
            ("KEYS@-2..-1", keyword("KEYS", -2), Find::Range { last: -1, step: 1, limit: 0 }),
            ("?", Begin::Unknown, Find::Unknown),
        ] {
            let spec = KeySpec::parse(&format!("{text}:rw+insert")).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((spec.begin, spec.find), (begin, find), "{text}");
            assert_eq!(spec.access.names().collect::<Vec<_>>(), ["RW", "insert"]);
        }
        for text in ["", "1", ":ro", "x:ro", "1:", "1:rx", "1..:ro", "1../2:ro", "1#%:ro", "@:ro", "1-:ro"] {
            assert_eq!(KeySpec::parse(text), None, "{text}");
        }
    }

    #[test]
    fn fixed_positions_are_known_without_arguments() {
        let fixed = |text: &str| KeySpec::parse(text).and_then(|spec| spec.fixed());
        assert_eq!(fixed("1..+1:ro"), Some((1, 2, 1)));
        assert_eq!(fixed("2..-1/2:ro"), Some((2, -1, 2)));
        assert_eq!(fixed("2#:ro"), None);
        assert_eq!(fixed("STORE@6:ro"), None);
    }
}
