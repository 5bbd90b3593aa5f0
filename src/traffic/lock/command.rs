//! What a plain command means for a key under `lock.prefix`.
//!
//! | command | is |
//! |---|---|
//! | `SET k v NX PX\|EX\|PXAT\|EXAT ttl [GET]` | an acquire with the value v |
//! | `SET k v IFEQ v PX\|EX\|PXAT\|EXAT ttl` | an extension by who has the value v |
//! | `DELEX k IFEQ v`, `DELIFEQ k v` | a release by who has the value v |
//! | `DEL k`, `UNLINK k`, `DELEX k` | a release of anybody's lock |
//! | `GET k`, `PTTL k`, `TTL k`, `EXISTS k`, `HEXISTS k v`, `HGET k v` | a look at what a majority has |
//!
//! Everything else is refused with the cure. Arguments are checked as Redis checks them, with its texts. The absolute times
//! of PXAT and EXAT are read by the wall clock of Circlet's machine once, when they come. Pure.

use bytes::Bytes;

use super::{Form, Proof, Want};

/// Redis's text for arguments that make no sense.
const SYNTAX: &str = "ERR syntax error";

/// A wish, or why it is none: the error line.
type Wish = Result<(Want, Form), String>;

/// What is wrong with a command on a lock, or what would be right.
#[derive(Debug)]
pub struct Rules<'a> {
    /// The command's name, as in the table.
    pub command: &'a str,
    /// The words of the request, the command's name first.
    pub words: &'a [&'a [u8]],
    /// The one that is the lock.
    pub lock: &'a [u8],
    /// The wall clock: ms since 1970.
    pub unix_ms: i64,
    /// Longest time that a lock may be asked for, ms.
    pub max_ttl_ms: u64,
}

/// Reads a time as Redis does: decimal, no blanks, no plus sign, no leading zeros.
fn integer(text: &[u8]) -> Result<i64, String> {
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    let exact = value.filter(|value| value.to_string().as_bytes() == text);
    exact.ok_or_else(|| "ERR value is not an integer or out of range".to_owned())
}

/// A time to live that was read, if a lock may have it; `command` is in lower case, as Redis prints it.
///
/// # Errors
/// The error line.
pub fn within(ttl_ms: i64, command: &str, max_ttl_ms: u64) -> Result<u64, String> {
    match u64::try_from(ttl_ms) {
        Ok(0) | Err(_) => Err(format!("ERR invalid expire time in '{command}' command")),
        Ok(ttl_ms) if ttl_ms > max_ttl_ms => Err(format!(
            "ERR a ttl of {ttl_ms} ms is more than lock.max_ttl allows ({max_ttl_ms} ms); take less and extend the lock while \
             you need it, or raise lock.max_ttl in Circlet's configuration"
        )),
        Ok(ttl_ms) => Ok(ttl_ms),
    }
}

impl Rules<'_> {
    /// What the command wants of the lock that is its only key.
    ///
    /// # Errors
    /// The error line.
    pub fn wish(&self) -> Wish {
        let read = |form| Ok((Want::Read, form));
        let release = |proof| Ok((Want::Release { proof, once: false }, Form::Number));
        match (self.command, self.words) {
            ("get", [_, _]) => read(Form::Value),
            ("pttl", [_, _]) => read(Form::Pttl),
            ("ttl", [_, _]) => read(Form::Ttl),
            ("exists", [_, _]) => read(Form::Number),
            ("hexists", [_, _, field]) => read(Form::Is(Bytes::copy_from_slice(field))),
            ("hget", [_, _, field]) => read(Form::HeldBy(Bytes::copy_from_slice(field))),
            ("del" | "unlink" | "delex", [_, _]) => release(None),
            ("delifeq", [_, _, value]) => release(Some(value_of(value))),
            ("delex", [_, _, word, value]) if word.eq_ignore_ascii_case(b"IFEQ") => release(Some(value_of(value))),
            ("set", [_, _, value, options @ ..]) => self.set(value, options),
            ("setnx", _) => Err(self.refusal("SETNX sets no time, and EXPIRE behind it comes too late if you crash")),
            ("setex" | "psetex" | "getset", _) => Err(self.refusal("it takes a lock without asking who has it")),
            ("expire" | "pexpire" | "expireat" | "pexpireat" | "persist" | "getex", _) => {
                Err(self.refusal("only who holds a lock may change its time, and says by the value that it does"))
            }
            _ => Err(self.refusal("it is none of the commands that work on one")),
        }
    }

    /// Why this is nothing for a lock, and what is.
    #[must_use]
    pub fn refusal(&self, why: &str) -> String {
        refusal(self.command, self.lock, why)
    }

    fn set(&self, value: &[u8], options: &[&[u8]]) -> Wish {
        let (mut absent, mut get, mut equal, mut time) = (false, false, None, None);
        let mut options = options.iter();
        while let Some(option) = options.next() {
            let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
            if is(b"NX") && equal.is_none() {
                absent = true;
            } else if is(b"GET") {
                get = true;
            } else if is(b"IFEQ") && !absent && equal.is_none() {
                equal = Some(*options.next().ok_or(SYNTAX)?);
            } else if let Some(unit) = Unit::of(option).filter(|_| time.is_none()) {
                time = Some((unit, *options.next().ok_or(SYNTAX)?));
            } else if is(b"XX") || is(b"KEEPTTL") || is(b"IFNE") || is(b"IFDEQ") || is(b"IFDNE") {
                return Err(self.refusal("it would change a lock without saying whose it is, or for how long"));
            } else {
                return Err(SYNTAX.to_owned());
            }
        }
        let ttl_ms = time.map(|(unit, time)| self.ttl(unit, time)).transpose()?;
        match (absent, equal, ttl_ms) {
            (_, _, None) => Err(self.refusal("a lock without a time to live stays when you crash")),
            (true, _, Some(ttl_ms)) => {
                let value = Bytes::copy_from_slice(value);
                let want = Want::Acquire { ttl_ms, wait_ms: 0, value, session: false, again: false };
                Ok((want, if get { Form::SetGet } else { Form::Set }))
            }
            (false, Some(equal), Some(ttl_ms)) if equal == value && !get => {
                Ok((Want::Extend { proof: value_of(value), ttl_ms, more: false }, Form::Set))
            }
            (false, Some(_), _) => Err(self.refusal("with IFEQ it extends a lock, and the value must stay the same")),
            (false, None, _) => Err(self.refusal("without NX it takes a lock that somebody may have")),
        }
    }

    fn ttl(&self, unit: Unit, time: &[u8]) -> Result<u64, String> {
        let time = integer(time)?;
        let invalid = || "ERR invalid expire time in 'set' command".to_owned();
        if time <= 0 {
            return Err(invalid());
        }
        let ms = if unit.seconds { time.checked_mul(1_000).ok_or_else(invalid)? } else { time };
        if unit.absolute && ms <= self.unix_ms {
            return Err(
                "ERR the time that the lock is to end at is over already; send PX with the milliseconds that it is \
                        needed, or compare the clocks"
                    .to_owned(),
            );
        }
        within(if unit.absolute { ms - self.unix_ms } else { ms }, "set", self.max_ttl_ms)
    }
}

/// In what a time is given.
#[derive(Clone, Copy)]
struct Unit {
    seconds: bool,
    /// Since 1970, and not from now.
    absolute: bool,
}

impl Unit {
    fn of(option: &[u8]) -> Option<Self> {
        Some(match option.to_ascii_uppercase().as_slice() {
            b"PX" => Self { seconds: false, absolute: false },
            b"EX" => Self { seconds: true, absolute: false },
            b"PXAT" => Self { seconds: false, absolute: true },
            b"EXAT" => Self { seconds: true, absolute: true },
            _ => return None,
        })
    }
}

fn value_of(value: &[u8]) -> Proof {
    Proof::Value(Bytes::copy_from_slice(value))
}

/// The error line for a command that is nothing for the lock `key`: why, and what to send.
#[must_use]
pub fn refusal(command: &str, key: &[u8], why: &str) -> String {
    let key = String::from_utf8_lossy(&key[..key.len().min(128)]);
    format!(
        "ERR '{key}' is a lock (lock.prefix) and '{command}' is not for one: {why}; take it with SET key value NX PX \
         milliseconds, extend and free it with scripts that compare the value (as lock libraries do), or use LOCK.ACQUIRE, \
         LOCK.EXTEND and LOCK.RELEASE; keys that are no locks need another beginning"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(words: &[&str]) -> Wish {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let command = String::from_utf8_lossy(words[0]).to_lowercase();
        Rules { command: &command, words: &words, lock: words[1], unix_ms: 1_700_000_000_000, max_ttl_ms: 60_000 }
            .wish()
    }

    fn take(ttl_ms: u64) -> Want {
        Want::Acquire { ttl_ms, wait_ms: 0, value: Bytes::from_static(b"me"), session: false, again: false }
    }

    #[test]
    fn set_with_nx_and_a_time_is_an_acquire() {
        for (words, ttl_ms) in [
            (&["SET", "k", "me", "NX", "PX", "5000"][..], 5_000),
            (&["SET", "k", "me", "ex", "5", "nx"], 5_000),
            (&["SET", "k", "me", "NX", "PXAT", "1700000000500"], 500),
            (&["SET", "k", "me", "NX", "EXAT", "1700000060"], 60_000),
        ] {
            assert_eq!(wish(words), Ok((take(ttl_ms), Form::Set)), "{words:?}");
        }
        assert_eq!(wish(&["SET", "k", "me", "NX", "GET", "PX", "1"]), Ok((take(1), Form::SetGet)));
    }

    #[test]
    fn comparing_commands_extend_and_free_and_others_look() {
        let me = || Proof::Value(Bytes::from_static(b"me"));
        let extend = Want::Extend { proof: me(), ttl_ms: 500, more: false };
        assert_eq!(wish(&["SET", "k", "me", "IFEQ", "me", "PX", "500"]), Ok((extend, Form::Set)));
        let release = |proof| Ok((Want::Release { proof, once: false }, Form::Number));
        assert_eq!(wish(&["DELEX", "k", "ifeq", "me"]), release(Some(me())));
        assert_eq!(wish(&["DELIFEQ", "k", "me"]), release(Some(me())));
        for words in [&["DEL", "k"], &["UNLINK", "k"], &["DELEX", "k"]] {
            assert_eq!(wish(words), release(None));
        }
        for (words, form) in [
            (&["GET", "k"][..], Form::Value),
            (&["PTTL", "k"], Form::Pttl),
            (&["TTL", "k"], Form::Ttl),
            (&["EXISTS", "k"], Form::Number),
            (&["HEXISTS", "k", "f"], Form::Is(Bytes::from_static(b"f"))),
            (&["HGET", "k", "f"], Form::HeldBy(Bytes::from_static(b"f"))),
        ] {
            assert_eq!(wish(words), Ok((Want::Read, form)));
        }
    }

    #[test]
    fn what_is_wrong_is_told_as_redis_tells_it_or_with_the_cure() {
        let invalid = "ERR invalid expire time in 'set' command";
        let not_an_integer = "ERR value is not an integer or out of range";
        for (words, expected) in [
            (&["SET", "k", "me", "NX", "PX", "0"][..], invalid),
            (&["SET", "k", "me", "NX", "PX", "-1"], invalid),
            (&["SET", "k", "me", "NX", "EX", "9223372036854775807"], invalid),
            (&["SET", "k", "me", "NX", "PX", "1.5"], not_an_integer),
            (&["SET", "k", "me", "NX", "PX"], SYNTAX),
            (&["SET", "k", "me", "NX", "PX", "1", "EX", "1"], SYNTAX),
            (&["SET", "k", "me", "NX", "IFEQ", "me", "PX", "1"], SYNTAX),
            (&["SET", "k", "me", "NY"], SYNTAX),
        ] {
            assert_eq!(wish(words), Err(expected.to_owned()), "{words:?}");
        }
        for (words, why) in [
            (&["SET", "k", "me"][..], "stays when you crash"),
            (&["SET", "k", "me", "NX"], "stays when you crash"),
            (&["SET", "k", "me", "PX", "500"], "without NX"),
            (&["SET", "k", "me", "XX", "PX", "500"], "without saying whose"),
            (&["SET", "k", "me", "NX", "KEEPTTL"], "without saying whose"),
            (&["SET", "k", "you", "IFEQ", "me", "PX", "500"], "must stay the same"),
            (&["SET", "k", "me", "IFEQ", "me", "GET", "PX", "500"], "must stay the same"),
            (&["SETNX", "k", "me"], "EXPIRE behind it comes too late"),
            (&["PEXPIRE", "k", "5"], "only who holds a lock"),
            (&["INCR", "k"], "none of the commands"),
            (&["DEL", "k", "l"], "none of the commands"),
            (&["DELEX", "k", "IFNE", "me"], "none of the commands"),
        ] {
            let told = wish(words).unwrap_err();
            assert!(told.contains(why) && told.contains("SET key value NX PX"), "{told}");
        }
        let told = wish(&["SET", "k", "me", "NX", "PX", "60001"]).unwrap_err();
        assert!(told.contains("lock.max_ttl allows (60000 ms)"), "{told}");
        let told = wish(&["SET", "k", "me", "NX", "PXAT", "1699999999999"]).unwrap_err();
        assert!(told.contains("is over already"), "{told}");
    }
}
