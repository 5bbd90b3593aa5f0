//! What a script means for a lock: which wish it is, and what it answers at each outcome.
//!
//! ```text
//!            ┌ free          ─► Took v for 30 s, returned 1 ┐
//!  Program ──┼ somebody's    ─► nothing,         returned 0 ├─► Acquire v, 30 s; done 1, other 0
//!            └ v's           ─► nothing,         returned 0 ┘
//! ```
//! Scripts are not recognised by their texts, which differ from library to library, but by what they do: each is run with
//! its real arguments in every world that matters ([`super::lua`]): the lock is free, is held by each value that the script
//! compares the holder's with, is held by another one; as a text or, if it does not work on texts, as the field of a hash (Redisson); for a
//! short and for a long time yet. What it does in these worlds is a wish of locks or it is refused; nothing is guessed:
//! - takes it if it is free: acquire; if it also prolongs its own: acquire once more;
//! - prolongs its own, by a time or beyond what is left: extend;
//! - frees its own: release; a hold of several: release once;
//! - frees anybody's: release; changes nothing: read.
//!
//! What it returned in each world is what the client is told at the outcome that is that world. "Not its own any more" is
//! told as if the lock were free, which it may be. What it does beside the lock (messages, signal keys) is done when the
//! answer says that it worked. Bounded by [`MAX_ARGS`]. Pure.

use bytes::Bytes;

use super::{
    Proof, Want,
    lua::{Held, NotUnderstood, Program, Ran, Value, World, run},
};
use crate::traffic::resp::{Proto, encode};

/// Arguments that a script about a lock may have.
const MAX_ARGS: usize = 16;

/// What is left of a held lock's time in two worlds, ms: whoever looks at it must do the same in both.
const TIMES: [i64; 2] = [11, 9_000_000_011];

/// A holder that no argument names.
const SOMEBODY: &[u8] = b"\0somebody";

/// What a script says at an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// These bytes.
    Text(Bytes),
    /// ms that are left.
    Pttl,
    /// Seconds that are left.
    Ttl,
    /// Who holds it.
    Value,
}

/// What a script says at each outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What it wanted is done, or the lock is its own.
    pub done: Word,
    /// It holds the lock once more; or, when it let one hold go, it still holds it.
    pub again: Word,
    /// Somebody else has the lock.
    pub other: Word,
    /// The lock is free, or not its own any more.
    pub gone: Word,
    /// Whose it would have to be to be its own.
    pub value: Bytes,
}

/// What a script means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// What it wants.
    pub want: Want,
    /// What it says.
    pub words: Words,
    /// What it does beside the lock when it has what it wants.
    pub commands: Vec<Vec<Bytes>>,
}

/// What a script does with a lock's key in one world.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Deed {
    Nothing,
    /// It holds it now: value, ms.
    Took(Bytes, i64),
    /// Its time is longer, or began anew: ms from now, or beyond what was left. In a hash: by how many holds it changed.
    Timed {
        ms: i64,
        more: bool,
        holds: i64,
    },
    /// Its holds changed and its time did not.
    Held(i64),
    Freed,
}

/// A deed, what was said of it, and what was done beside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Act {
    deed: Deed,
    word: Word,
    commands: Vec<Vec<Bytes>>,
}

/// A script with its arguments.
struct Call<'a> {
    program: &'a Program,
    keys: &'a [&'a [u8]],
    args: &'a [&'a [u8]],
    lock: &'a [u8],
    proto: Proto,
}

/// What `program` means for the key `lock`, which is one of `keys`.
///
/// # Errors
/// If that is no wish that a lock could fulfil.
pub fn meaning(
    program: &Program,
    keys: &[&[u8]],
    args: &[&[u8]],
    lock: &[u8],
    proto: Proto,
) -> Result<Meaning, NotUnderstood> {
    if args.len() > MAX_ARGS {
        return Err(NotUnderstood);
    }
    let call = Call { program, keys, args, lock, proto };
    let free = call.act(None, None)?;
    // Those that work on a hash make errors of a text.
    let hash = call.act(Some(SOMEBODY), None).is_err();
    let holds = hash.then_some(1);
    let other = call.act(Some(SOMEBODY), holds)?;
    match call.owner(&other, holds)? {
        None => nobody_s(&free, &other),
        Some((value, mine)) => {
            let twice = if hash { Some(call.act(Some(&value), Some(2))?) } else { None };
            somebody_s(&value, mine, twice, &free, &other)
        }
    }
}

/// A script that treats all holders alike.
fn nobody_s(free: &Act, other: &Act) -> Result<Meaning, NotUnderstood> {
    let words = Words {
        done: other.word.clone(),
        again: other.word.clone(),
        other: other.word.clone(),
        gone: free.word.clone(),
        value: Bytes::from_static(SOMEBODY),
    };
    match (&free.deed, &other.deed) {
        (Deed::Nothing, Deed::Nothing) if other.commands.is_empty() && free.commands.is_empty() => {
            Ok(Meaning { want: Want::Read, words, commands: Vec::new() })
        }
        (Deed::Nothing, Deed::Freed) => {
            let want = Want::Release { proof: None, once: false };
            Ok(Meaning { want, words, commands: other.commands.clone() })
        }
        (Deed::Took(value, ms), Deed::Nothing) if other.commands.is_empty() => {
            let want = take(value, *ms, false)?;
            let done = free.word.clone();
            let gone = other.word.clone();
            let words = Words { again: done.clone(), done, gone, value: value.clone(), ..words };
            Ok(Meaning { want, words, commands: free.commands.clone() })
        }
        _ => Err(NotUnderstood),
    }
}

/// A script that knows its own lock by `value`, with which it did `mine`, and `twice` if it was held twice.
fn somebody_s(value: &[u8], mine: Act, twice: Option<Act>, free: &Act, other: &Act) -> Result<Meaning, NotUnderstood> {
    if other.deed != Deed::Nothing {
        return Err(NotUnderstood);
    }
    let value = Bytes::copy_from_slice(value);
    let proof = Some(Proof::Value(value.clone()));
    let words = Words {
        again: twice.as_ref().map_or_else(|| mine.word.clone(), |twice| twice.word.clone()),
        done: mine.word,
        other: other.word.clone(),
        gone: free.word.clone(),
        value: value.clone(),
    };
    let ms = |ms: i64| u64::try_from(ms).map_err(|_| NotUnderstood);
    let takes = matches!(free.deed, Deed::Took(..));
    let frees = mine.deed == Deed::Freed;
    // What is done beside a lock that was not had would be left out; who frees one that is free only wakes who waits.
    if !frees && !(other.commands.is_empty() && (takes || free.commands.is_empty())) {
        return Err(NotUnderstood);
    }
    let (want, commands) = match (&mine.deed, &free.deed) {
        (Deed::Nothing, Deed::Nothing) if mine.commands.is_empty() => (Want::Read, Vec::new()),
        (Deed::Freed, Deed::Nothing) => {
            let once = twice.is_some_and(|twice| matches!(twice.deed, Deed::Held(-1) | Deed::Timed { holds: -1, .. }));
            (Want::Release { proof, once }, mine.commands)
        }
        (Deed::Timed { ms: time, more, holds: 0 }, Deed::Nothing) => {
            let proof = Proof::Value(value);
            (Want::Extend { proof, ttl_ms: ms(*time)?, more: *more }, mine.commands)
        }
        (Deed::Timed { ms: time, more: false, holds: 0 | 1 }, Deed::Took(taken, ttl_ms))
            if *taken == value && time == ttl_ms && mine.commands == free.commands =>
        {
            let words = Words { again: words.done, done: free.word.clone(), gone: other.word.clone(), ..words };
            return Ok(Meaning { want: take(taken, *ttl_ms, true)?, words, commands: free.commands.clone() });
        }
        _ => return Err(NotUnderstood),
    };
    Ok(Meaning { want, words, commands })
}

fn take(value: &Bytes, ms: i64, again: bool) -> Result<Want, NotUnderstood> {
    let ttl_ms = u64::try_from(ms).map_err(|_| NotUnderstood)?;
    Ok(Want::Acquire { ttl_ms, wait_ms: 0, value: value.clone(), session: false, again })
}

impl Call<'_> {
    /// The value by which the script knows its own lock, and what it does then. Every value is tried that it compares the
    /// holder's with, in whatever world.
    fn owner(&self, other: &Act, holds: Option<i64>) -> Result<Option<(Bytes, Act)>, NotUnderstood> {
        let mut values = self.run(Some(SOMEBODY), holds, TIMES[0])?.compared;
        let mut owner: Option<(Bytes, Act)> = None;
        let mut at = 0;
        while let Some(value) = values.get(at).cloned() {
            at += 1;
            if values[..at - 1].contains(&value) {
                continue;
            }
            if at > 4 * MAX_ARGS {
                return Err(NotUnderstood);
            }
            values.extend(self.run(Some(&value), holds, TIMES[0])?.compared);
            let act = self.act(Some(&value), holds)?;
            // Two values could be the holder's.
            if act != *other && owner.replace((value, act)).is_some() {
                return Err(NotUnderstood);
            }
        }
        Ok(owner)
    }

    /// What the script does if the lock is held with this value, or is free.
    fn act(&self, value: Option<&[u8]>, holds: Option<i64>) -> Result<Act, NotUnderstood> {
        let [first, second] = TIMES.map(|pttl| self.run(value, holds, pttl));
        let (first, second) = (first?, second?);
        if first.commands != second.commands {
            return Err(NotUnderstood);
        }
        let word = word(&first.returned, &second.returned, self.proto)?;
        let deed = self.deed(value, holds, &first, &second)?;
        Ok(Act { deed, word, commands: first.commands })
    }

    fn run(&self, value: Option<&[u8]>, holds: Option<i64>, pttl: i64) -> Result<Ran, NotUnderstood> {
        let held = value.map(|value| Held { value: Bytes::copy_from_slice(value), holds, pttl: Some(pttl) });
        run(self.program, &World { keys: self.keys, args: self.args, lock: self.lock, held })
    }

    fn deed(&self, value: Option<&[u8]>, holds: Option<i64>, first: &Ran, second: &Ran) -> Result<Deed, NotUnderstood> {
        let (a, b) = match (&first.held, &second.held) {
            (None, None) if value.is_none() => return Ok(Deed::Nothing),
            (None, None) => return Ok(Deed::Freed),
            (Some(a), Some(b)) if a.value == b.value && a.holds == b.holds && first.timed == second.timed => (a, b),
            _ => return Err(NotUnderstood),
        };
        // What is held for ever is never free again.
        let (Some(a_ms), Some(b_ms)) = (a.pttl, b.pttl) else { return Err(NotUnderstood) };
        let Some(value) = value else {
            let once = a.holds.is_none_or(|holds| holds == 1);
            return if once && a_ms == b_ms { Ok(Deed::Took(a.value.clone(), a_ms)) } else { Err(NotUnderstood) };
        };
        if a.value != value {
            // Another holder without a release.
            return Err(NotUnderstood);
        }
        let by = a.holds.unwrap_or(0) - holds.unwrap_or(0);
        match (first.timed, by) {
            (false, 0) => Ok(Deed::Nothing),
            (false, by) => Ok(Deed::Held(by)),
            (true, holds) if a_ms == b_ms => Ok(Deed::Timed { ms: a_ms, more: false, holds }),
            (true, holds) if b_ms - a_ms == TIMES[1] - TIMES[0] => {
                Ok(Deed::Timed { ms: a_ms - TIMES[0], more: true, holds })
            }
            _ => Err(NotUnderstood),
        }
    }
}

/// What is said, from what was returned while little and while much time was left.
fn word(first: &Value, second: &Value, proto: Proto) -> Result<Word, NotUnderstood> {
    if let (Value::Number(first), Value::Number(second)) = (first, second)
        && first != second
    {
        let are = |of: fn(i64) -> i64| [*first, *second] == TIMES.map(|time| of(time) as f64);
        return if are(|ms| ms) {
            Ok(Word::Pttl)
        } else if are(|ms| (ms + 500) / 1_000) {
            Ok(Word::Ttl)
        } else {
            Err(NotUnderstood)
        };
    }
    if first != second {
        return Err(NotUnderstood);
    }
    if let Value::Holder(_) = first {
        return Ok(Word::Value);
    }
    let mut out = Vec::new();
    write(first, proto, &mut out)?;
    Ok(Word::Text(Bytes::from(out)))
}

/// What Redis makes of a script's value.
fn write(value: &Value, proto: Proto, out: &mut Vec<u8>) -> Result<(), NotUnderstood> {
    match value {
        Value::Nil | Value::Bool(false) => encode::null(out, proto),
        Value::Bool(true) => encode::integer(out, 1),
        Value::Number(number) if number.is_finite() => encode::integer(out, number.trunc() as i64),
        // In a list it would have to be filled in later.
        Value::Number(_) | Value::Holder(_) => return Err(NotUnderstood),
        Value::Text(text) => encode::bulk(out, text),
        Value::List(items) => {
            let items = items.borrow();
            // As in Redis, nil ends a list.
            let until = items.iter().position(|item| *item == Value::Nil).unwrap_or(items.len());
            encode::array_header(out, until);
            for item in items.iter().take(until) {
                write(item, proto, out)?;
            }
        }
        Value::Status(text) => encode::simple(out, text),
        Value::Error(text) => encode::error(out, text),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
