//! Scripts of lock libraries that are known by their digests before anybody has sent their texts.
//!
//! EVALSHA needs a text to find a meaning in. Most libraries send theirs when they are told NOSCRIPT; with those of the
//! widest used ones that round trip is saved, and one that never sends it (because a node knew it before Circlet came)
//! works as well. The texts here are not the libraries': they only do the same to a lock. Pure.

use bytes::Bytes;

/// Frees one's own; 1 or 0.
const RELEASE: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0";

/// Prolongs one's own by set time; 1 or 0.
const EXTEND: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end \
                      return redis.call('pexpire', KEYS[1], ARGV[2])";

/// Prolongs one's own from now, or beyond what is left if the third argument is 0.
const EXTEND_BY: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end local ms = ARGV[2] \
                         if ARGV[3] == '0' then ms = ms + redis.call('pttl', KEYS[1]) end \
                         return redis.call('pexpire', KEYS[1], ms)";

/// Takes it if it is free; 1 or 0.
const ACQUIRE: &str = "if redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return 1 end return 0";

/// Frees one's own and wakes who waits; 0 or 1.
const RELEASE_AND_SIGNAL: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 1 end redis.call('del', KEYS[2]) \
                                  redis.call('lpush', KEYS[2], 1) redis.call('pexpire', KEYS[2], ARGV[2]) \
                                  redis.call('del', KEYS[1]) return 0";

/// Prolongs one's own, in seconds; 0 or 1.
const EXTEND_SECONDS: &str = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 1 end \
                              redis.call('expire', KEYS[1], ARGV[2]) return 0";

/// The digest of a library's text, and a text that does the same.
const KNOWN: &[(&str, &str)] = &[
    // redis-py: release, extend, reacquire.
    ("c3f8721cbb97f72bc19e972846bd7aaf91901658", RELEASE),
    ("a4e8783852e6b949f9ef3a97212805108459a890", EXTEND_BY),
    ("1cac51482acf5858da00f6d685d68f886cd6b6b2", EXTEND),
    // node-redlock 5, with one key: acquire, extend, release.
    ("96da70f7716f27d278a5218544df37fd8b0a5e4c", ACQUIRE),
    ("aed6f382e410db8ba7926d4e5e9aab410bf2a78a", EXTEND),
    ("e4612211c9f8f51c257e26e056b0a654b3187242", RELEASE),
    // python-redis-lock 4: unlock, extend.
    ("90da91872223f85eb1376a17e3c4df21ace8c54b", RELEASE_AND_SIGNAL),
    ("fed16109024d968d9496e4140fe1355bac05ebff", EXTEND_SECONDS),
];

/// A text that does what the script with this digest does; its digits in any case, as EVALSHA takes them.
#[must_use]
pub fn text(digest: &[u8]) -> Option<Bytes> {
    let known = KNOWN.iter().find(|(known, _)| digest.eq_ignore_ascii_case(known.as_bytes()));
    known.map(|(_, text)| Bytes::from_static(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{
        lock::{Program, script},
        resp::Proto,
    };

    #[test]
    fn each_has_a_meaning_and_is_found_in_any_case() {
        for (digest, _) in KNOWN {
            let text = text(digest.to_ascii_uppercase().as_bytes()).unwrap();
            let program = Program::parse(&text).unwrap();
            let args: [&[u8]; 3] = [b"5", b"7", b"0"];
            let meaning = script::meaning(&program, &[b"lock", b"signal"], &args, b"lock", Proto::Resp2);
            assert!(meaning.is_ok(), "{digest}");
        }
        assert_eq!(text(&[b'0'; 40]), None);
    }
}
