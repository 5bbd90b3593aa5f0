//! Which arguments of a request are keys.
//!
//! Most rows say it by their key specifications, which are followed here as `getKeysUsingKeySpecs` of Redis does; a few
//! commands need a look at their options (`options`). The rule for doubt: what cannot be understood is
//! [`KeysError::Malformed`] and goes to any node, whose own error the client then gets. That is right only as long as
//! such a request is an error at every node, so this code is never stricter than Redis: an unknown option is skipped.
//! Work is linear in the number of arguments. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{
    Flags, Row, options,
    spec::{Access, Begin, Find, KeySpec},
};
use crate::traffic::{resp::request::Arg, route::hash_tag::Tag};

/// Why the keys of a request cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysError {
    /// Too few arguments, a number of keys that is none, a missing word: a node will refuse it with the right error.
    Malformed,
    /// `SORT … BY pattern` or `GET pattern` reads keys that the request does not name, and [`Patterns`] cannot tell
    /// where they are.
    ForeignPattern,
}

/// Where the keys lie that a pattern of `SORT` makes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patterns {
    /// All on one node, the only one.
    Together,
    /// Where the pattern's hash tag says, if it stands whole before the first `*`: then it is the same in all of them.
    Tagged(Tag),
    /// Nobody knows.
    Anywhere,
}

/// How a row's keys are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finder {
    /// There are none.
    None,
    /// Exactly one, at this argument.
    One(u32),
    /// One specification of fixed positions.
    Range { first: u32, last: i32, step: u32 },
    /// The specifications, one after the other.
    Specs,
    /// `GEORADIUS`: the key and the last `STORE` or `STOREDIST`.
    Radius,
    /// `MIGRATE`: the key, or what follows `KEYS`.
    Migrate,
    /// `SORT`: the key, patterns, and the last `STORE`.
    Sort,
    /// `XREAD`: the first half of what follows `STREAMS`.
    Streams,
}

impl Finder {
    /// The finder for `specs`.
    pub(super) fn of(specs: &[KeySpec]) -> Self {
        match specs {
            [] => Self::None,
            [only] => match only.fixed() {
                Some((first, last, _)) if last == i32::try_from(first).unwrap_or(0) => Self::One(first),
                Some((first, last, step)) => Self::Range { first, last, step: step.max(1) },
                None => Self::Specs,
            },
            _ => Self::Specs,
        }
    }

    /// The finder that the `keys` column names before a `=`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "radius" => Self::Radius,
            "migrate" => Self::Migrate,
            "sort" => Self::Sort,
            "streams" => Self::Streams,
            _ => return None,
        })
    }
}

/// The words of a request, the command's name first.
pub(super) trait Words {
    /// How many.
    fn count(&self) -> usize;
    /// The word at `index`, which is below `count`.
    fn word(&self, index: usize) -> &[u8];
}

/// A scanned request.
pub(super) struct Args<'a> {
    pub(super) args: &'a [Arg],
    pub(super) request: &'a [u8],
}

impl Words for Args<'_> {
    fn count(&self) -> usize {
        self.args.len()
    }

    fn word(&self, index: usize) -> &[u8] {
        self.args[index].of(self.request)
    }
}

impl Words for [&[u8]] {
    fn count(&self) -> usize {
        self.len()
    }

    fn word(&self, index: usize) -> &[u8] {
        self[index]
    }
}

/// Pushes the argument indices of all keys of a request to `row`'s command.
#[inline]
pub(super) fn find(row: &Row, words: &Args<'_>, patterns: Patterns, out: &mut Vec<u32>) -> Result<(), KeysError> {
    match row.finder {
        Finder::None => Ok(()),
        Finder::One(index) if (index as usize) < words.count() => {
            out.push(index);
            Ok(())
        }
        _ => {
            let before = out.len();
            let found = walk(row, words, Some(patterns), &mut |index, _| out.push(index));
            if found.is_err() {
                out.truncate(before);
            }
            found
        }
    }
}

/// Calls `key` with the index and the access of every key. With `patterns` it is for routing: a `SORT` pattern that names
/// its node counts as a key, and what certainly is an error is one. Without, the keys are those that Redis's
/// `COMMAND GETKEYS` tells.
pub(super) fn walk(
    row: &Row,
    words: &(impl Words + ?Sized),
    patterns: Option<Patterns>,
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    let access = row.specs.first().map(|spec| spec.access).unwrap_or_default();
    let argc = words.count();
    match row.finder {
        Finder::None => Ok(()),
        Finder::One(index) => one(argc, index as usize, access, key),
        Finder::Range { first, last, step } => {
            let step = step as usize;
            let (first, last) = span(argc, first as usize, i64::from(last))?;
            // A last group that is cut short (`MSET k v k`) is an error at the node.
            if patterns.is_some()
                && step > 1
                && row.arity < 0
                && last + 1 == argc
                && !(argc - first).is_multiple_of(step)
            {
                return Err(KeysError::Malformed);
            }
            each(first, last, step, access, key)
        }
        Finder::Specs => row.specs.iter().try_for_each(|spec| by_spec(row, spec, words, key)),
        Finder::Radius => options::radius(row, words, key),
        Finder::Migrate => options::migrate(words, access, key),
        Finder::Sort => options::sort(row, words, patterns, key),
        Finder::Streams => options::streams(words, access, key),
    }
}

/// Pushes one key that must be there.
pub(super) fn one(
    argc: usize,
    index: usize,
    access: Access,
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    if index < argc { each(index, index, 1, access, key) } else { Err(KeysError::Malformed) }
}

/// Pushes `first..=last` in steps.
pub(super) fn each(
    first: usize,
    last: usize,
    step: usize,
    access: Access,
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    for index in (first..=last).step_by(step.max(1)) {
        key(u32::try_from(index).map_err(|_| KeysError::Malformed)?, access);
    }
    Ok(())
}

/// First and last as argument indices; a negative last counts from the end.
pub(super) fn span(argc: usize, first: usize, last: i64) -> Result<(usize, usize), KeysError> {
    let from_end = if last < 0 { i64::try_from(argc).unwrap_or(i64::MAX) } else { 0 };
    let last = usize::try_from(last + from_end).map_err(|_| KeysError::Malformed)?;
    if first <= last && last < argc { Ok((first, last)) } else { Err(KeysError::Malformed) }
}

/// Follows one specification.
fn by_spec(
    row: &Row,
    spec: &KeySpec,
    words: &(impl Words + ?Sized),
    key: &mut impl FnMut(u32, Access),
) -> Result<(), KeysError> {
    let argc = words.count();
    let begin = match &spec.begin {
        Begin::Index(index) => *index as usize,
        Begin::Keyword { word, from } => after_word(words, word.as_bytes(), *from).ok_or(KeysError::Malformed)?,
        Begin::Unknown => return Err(KeysError::Malformed),
    };
    let (first, last, step) = match spec.find {
        Find::Range { last, step, limit } if limit > 1 && last == -1 => {
            let half = argc.saturating_sub(begin) / limit as usize;
            (begin, i64::try_from(begin + half).unwrap_or(i64::MAX) - 1, step)
        }
        Find::Range { last, step, .. } => {
            let base = if last < 0 { 0 } else { i64::try_from(begin).unwrap_or(i64::MAX / 2) };
            (begin, base + i64::from(last), step)
        }
        Find::Count { at, first, step } => {
            let at = begin + at as usize;
            let count = (at < argc).then(|| integer(words.word(at))).flatten().ok_or(KeysError::Malformed)?;
            if count == 0 && row.flags.has(Flags::NO_MANDATORY_KEYS) {
                return Ok(());
            }
            let first = begin + first as usize;
            if count == 0 || count > argc as u64 {
                return Err(KeysError::Malformed);
            }
            (first, (first as u64 + (count - 1) * u64::from(step)).cast_signed(), step)
        }
        Find::Unknown => return Err(KeysError::Malformed),
    };
    let (first, last) = span(argc, first, last)?;
    each(first, last, step as usize, spec.access, key)
}

/// The index after `word`, searched from `from` on, or backwards from the end for a negative one.
fn after_word(words: &(impl Words + ?Sized), word: &[u8], from: i32) -> Option<usize> {
    let is_it = |index: &usize| words.word(*index).eq_ignore_ascii_case(word);
    let argc = words.count();
    let distance = from.unsigned_abs() as usize;
    let found = if from >= 0 {
        (distance..argc).find(is_it)
    } else {
        (1..=argc.checked_sub(distance)?).rev().find(|index| *index < argc && is_it(index))
    };
    found.map(|index| index + 1)
}

/// A number of keys as Redis reads it: decimal digits, no sign, no leading zero.
fn integer(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests;
