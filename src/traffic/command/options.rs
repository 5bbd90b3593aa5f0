//! Keys of the commands whose key positions depend on options: `GEORADIUS`, `MIGRATE`, `SORT`, `XREAD`, `XREADGROUP`.
//!
//! Each function walks the options once and calls `key` for what it finds. An option that is not known is taken for a
//! single word and skipped: the node knows better. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    KeysError, Patterns, Row,
    keys::{Words, each, one, span},
    spec::Access,
};

/// `GEORADIUS key …`: options begin at argument 5; the last `STORE` or `STOREDIST` counts.
pub(super) fn radius(
    row: &Row,
    words: &(impl Words + ?Sized),
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    let argc = words.count();
    let mut store = None;
    let mut at = 5;
    while at + 1 < argc {
        let word = words.word(at);
        if word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist") {
            store = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    let access = |at: usize| row.specs.get(at).map(|spec| spec.access).unwrap_or_default();
    one(argc, 1, access(0), key)?;
    store.map_or(Ok(()), |store| one(argc, store, access(1), key))
}

/// `MIGRATE host port key|"" db timeout … [KEYS key …]`.
pub(super) fn migrate(
    words: &(impl Words + ?Sized),
    access: Access,
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    let argc = words.count();
    let mut at = 6;
    while at < argc {
        let word = words.word(at);
        if word.eq_ignore_ascii_case(b"keys") && words.word(3).is_empty() {
            let (first, last) = span(argc, at + 1, -1)?;
            return each(first, last, 1, access, key);
        }
        at += match word.len() {
            4 if word.eq_ignore_ascii_case(b"auth") => 2,
            5 if word.eq_ignore_ascii_case(b"auth2") => 3,
            _ => 1,
        };
    }
    one(argc, 3, access, key)
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC|DESC] [ALPHA] [STORE key]`.
pub(super) fn sort(
    row: &Row,
    words: &(impl Words + ?Sized),
    patterns: Option<Patterns>,
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    let argc = words.count();
    let access = |at: usize| row.specs.get(at).map(|spec| spec.access).unwrap_or_default();
    one(argc, 1, access(0), key)?;
    let mut store = None;
    let mut at = 2;
    while at < argc {
        let word = words.word(at);
        if word.eq_ignore_ascii_case(b"limit") {
            at += 2;
        } else if word.eq_ignore_ascii_case(b"by") || word.eq_ignore_ascii_case(b"get") {
            at += 1;
            if let (Some(patterns), true) = (patterns, at < argc)
                && names_a_key(words.word(at), patterns)?
            {
                one(argc, at, access(1), key)?;
            }
        } else if word.eq_ignore_ascii_case(b"store") && at + 1 < argc {
            at += 1;
            store = Some(at);
        }
        at += 1;
    }
    store.map_or(Ok(()), |store| one(argc, store, access(2), key))
}

/// Whether a `SORT` pattern must count as a key: without a `*` it makes up no names (`GET #`, `BY nosort`), and where
/// there is one node all are there.
fn names_a_key(pattern: &[u8], patterns: Patterns) -> Result<bool, KeysError> {
    let Some(star) = pattern.iter().position(|byte| *byte == b'*') else {
        return Ok(false);
    };
    match patterns {
        Patterns::Together => Ok(false),
        // What `*` stands for comes behind the tag and does not change it.
        Patterns::Tagged(tag) if tag.of(&pattern[..star]).len() < star => Ok(true),
        Patterns::Tagged(_) | Patterns::Anywhere => Err(KeysError::ForeignPattern),
    }
}

/// The options of `XREAD` and `XREADGROUP`: where `STREAMS` stands, and whether `BLOCK` comes before it.
fn stream_options(words: &(impl Words + ?Sized)) -> (Option<usize>, bool) {
    let mut block = false;
    let mut at = 1;
    while at < words.count() {
        let word = words.word(at);
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"streams") {
            return (Some(at), block);
        }
        block |= is(b"block");
        at += match () {
            () if is(b"block") || is(b"count") || is(b"claim") => 2,
            () if is(b"group") => 3,
            () => 1,
        };
    }
    (None, block)
}

/// `XREAD … STREAMS key … id …`.
pub(super) fn streams(
    words: &(impl Words + ?Sized),
    access: Access,
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    let at = stream_options(words).0.ok_or(KeysError::Malformed)?;
    let left = words.count() - at - 1;
    if left == 0 || !left.is_multiple_of(2) {
        return Err(KeysError::Malformed);
    }
    each(at + 1, at + left / 2, 1, access, key)
}

/// Whether `XREAD` or `XREADGROUP` has the option `BLOCK`.
pub(super) fn has_block(words: &(impl Words + ?Sized)) -> bool {
    stream_options(words).1
}
