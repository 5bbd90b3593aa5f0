//! What scripts of the kinds that libraries send mean, and that what means something else is refused.

use super::*;

fn meaning_of(text: &str, args: &[&str]) -> Option<Meaning> {
    let program = Program::parse(text.as_bytes()).ok()?;
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    meaning(&program, &[b"lock", b"beside", b"redisson_unlock_latch:x"], &args, b"lock", Proto::Resp2).ok()
}

fn proof(value: &'static str) -> Proof {
    Proof::Value(Bytes::from_static(value.as_bytes()))
}

fn take(ttl_ms: u64, again: bool) -> Want {
    Want::Acquire { ttl_ms, wait_ms: 0, value: Bytes::from_static(b"me"), session: false, again }
}

fn extend(ttl_ms: u64, more: bool) -> Want {
    Want::Extend { proof: proof("me"), ttl_ms, more }
}

fn release(once: bool) -> Want {
    Want::Release { proof: Some(proof("me")), once }
}

/// The wish, and the words done, again, other, gone.
fn words_of(text: &str, args: &[&str]) -> (Want, String) {
    let meaning = meaning_of(text, args).unwrap_or_else(|| panic!("{text}"));
    let words = [&meaning.words.done, &meaning.words.again, &meaning.words.other, &meaning.words.gone];
    let words = words.map(|word| match word {
        Word::Text(text) => String::from_utf8_lossy(text).trim_end().to_owned(),
        other => format!("{other:?}"),
    });
    (meaning.want, words.join(" "))
}

#[test]
fn compare_and_delete_in_all_its_spellings_is_a_release() {
    for text in [
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end",
        "if redis.call(\"GET\",KEYS[1])==ARGV[1] then\n\treturn redis.call(\"UNLINK\",KEYS[1])\nelse\n\treturn 0\nend",
        "if ARGV[1] == redis.call('get', KEYS[1]) then redis.call('del', KEYS[1]); return 1 end return 0",
        "local token = redis.call('get', KEYS[1]) if not token or token ~= ARGV[1] then return 0 end \
         redis.call('del', KEYS[1]) return 1",
        "local k, v = KEYS[1], ARGV[1]\nlocal now = redis.pcall('GET', k) -- who\nif (now == v) then\n  return \
         redis.pcall('DEL', k)\nend\nreturn 0",
        "local n = 0 for _, key in ipairs(KEYS) do if key == KEYS[1] and redis.call('get', key) == ARGV[1] then \
         redis.call('del', key) n = n + 1 end end return n",
    ] {
        assert_eq!(words_of(text, &["me"]), (release(false), ":1 :1 :0 :0".to_owned()), "{text}");
    }
    let tells_expired = "local v = redis.call('GET', KEYS[1]) if v == ARGV[1] then return redis.call('DEL', KEYS[1]) \
                         elseif v == false then return -1 else return 0 end";
    assert_eq!(words_of(tells_expired, &["me"]).1, ":1 :1 :0 :-1");
}

#[test]
fn compare_and_expire_is_an_extension_from_now_or_beyond_what_is_left() {
    let plain = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end";
    assert_eq!(words_of(plain, &["me", "5000"]), (extend(5_000, false), ":1 :1 :0 :0".to_owned()));
    let seconds = plain.replace("pexpire", "expire");
    assert_eq!(words_of(&seconds, &["me", "5"]).0, extend(5_000, false));
    let by_set = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end redis.call('set', KEYS[1], ARGV[1], 'PX', \
                  ARGV[2]) return #KEYS";
    assert_eq!(words_of(by_set, &["me", "5000"]), (extend(5_000, false), ":3 :3 :0 :0".to_owned()));
    let more = "local t = redis.call('get', KEYS[1]) if not t or t ~= ARGV[1] then return 0 end \
                local left = redis.call('pttl', KEYS[1]) if left < 0 then return 0 end \
                local new = ARGV[2] if ARGV[3] == '0' then new = ARGV[2] + left end \
                redis.call('pexpire', KEYS[1], new) return 1";
    assert_eq!(words_of(more, &["me", "5000", "0"]).0, extend(5_000, true));
    assert_eq!(words_of(more, &["me", "5000", "1"]).0, extend(5_000, false));
    let errors = "if redis.call('get', KEYS[1]) ~= ARGV[2] then return 1 elseif redis.call('ttl', KEYS[1]) < 0 then \
                  return 2 else redis.call('expire', KEYS[1], ARGV[1]) return 0 end";
    assert_eq!(words_of(errors, &["5", "me"]), (extend(5_000, false), ":0 :0 :1 :1".to_owned()));
}

#[test]
fn set_if_absent_is_an_acquire_once_or_again() {
    let plain = "if redis.call('exists', KEYS[1]) == 1 then return 0 end redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2]) \
                 return 1";
    assert_eq!(words_of(plain, &["me", "5000"]), (take(5_000, false), ":1 :1 :0 :0".to_owned()));
    let direct = "return redis.call('set', KEYS[1], ARGV[1], 'NX', 'EX', 5)";
    assert_eq!(words_of(direct, &["me"]), (take(5_000, false), "+OK +OK $-1 $-1".to_owned()));
    let old = "if redis.call('setnx', KEYS[1], ARGV[1]) == 1 then redis.call('pexpire', KEYS[1], ARGV[2]) return 1 else \
               return 0 end";
    assert_eq!(words_of(old, &["me", "5000"]).0, take(5_000, false));
    let again = "local v = redis.call('GET', KEYS[1]) if v == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return \
                 true elseif not v then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return true end return false";
    assert_eq!(words_of(again, &["me", "5000"]), (take(5_000, true), ":1 :1 $-1 $-1".to_owned()));
    let who = "if redis.call('set', KEYS[1], 'me', 'PX', 5000, 'NX') then return 'mine' end \
               return redis.call('get', KEYS[1])";
    assert_eq!(meaning_of(who, &[]).unwrap().words.other, Word::Value);
}

#[test]
fn a_hash_with_one_field_is_a_lock_that_is_held_several_times() {
    let lock = "if ((redis.call('exists', KEYS[1]) == 0) or (redis.call('hexists', KEYS[1], ARGV[2]) == 1)) then \
                redis.call('hincrby', KEYS[1], ARGV[2], 1); redis.call('pexpire', KEYS[1], ARGV[1]); return nil; end; \
                return redis.call('pttl', KEYS[1]);";
    assert_eq!(words_of(lock, &["5000", "me"]), (take(5_000, true), "$-1 $-1 Pttl Pttl".to_owned()));
    let renew = "if (redis.call('hexists', KEYS[1], ARGV[2]) == 1) then redis.call('pexpire', KEYS[1], ARGV[1]); return 1; \
                 end; return 0;";
    assert_eq!(words_of(renew, &["5000", "me"]), (extend(5_000, false), ":1 :1 :0 :0".to_owned()));
    let unlock = "local done = redis.call('get', KEYS[3]); if done ~= false then return tonumber(done); end; \
                  if (redis.call('hexists', KEYS[1], ARGV[3]) == 0) then return nil; end; \
                  local n = redis.call('hincrby', KEYS[1], ARGV[3], -1); \
                  if (n > 0) then redis.call('pexpire', KEYS[1], ARGV[2]); redis.call('set', KEYS[3], 0, 'px', ARGV[5]); \
                  return 0; else redis.call('del', KEYS[1]); redis.call(ARGV[4], KEYS[2], ARGV[1]); \
                  redis.call('set', KEYS[3], 1, 'px', ARGV[5]); return 1; end;";
    let args = ["0", "5000", "me", "publish", "9000"];
    assert_eq!(words_of(unlock, &args), (release(true), ":1 :0 $-1 $-1".to_owned()));
    let commands = meaning_of(unlock, &args).unwrap().commands;
    assert_eq!(commands[0], ["publish", "beside", "0"]);
    assert_eq!(commands.len(), 2);
    let force =
        "if (redis.call('del', KEYS[1]) == 1) then redis.call('publish', KEYS[2], ARGV[1]); return 1 else return 0 end";
    assert_eq!(words_of(force, &["0"]), (Want::Release { proof: None, once: false }, ":1 :1 :1 :0".to_owned()));
}

#[test]
fn looking_is_reading() {
    let left = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pttl', KEYS[1]) else return -3 end";
    assert_eq!(words_of(left, &["me"]), (Want::Read, "Pttl Pttl :-3 :-3".to_owned()));
    let held = "return redis.call('exists', KEYS[1])";
    assert_eq!(words_of(held, &[]), (Want::Read, ":1 :1 :1 :0".to_owned()));
    assert_eq!(words_of("return redis.call('ttl', KEYS[1])", &[]).1, "Ttl Ttl Ttl :-2");
}

#[test]
fn signals_beside_the_lock_are_kept_for_its_release() {
    let unlock = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 1 else redis.call('del', KEYS[2]) \
                  redis.call('lpush', KEYS[2], 1) redis.call('del', KEYS[1]) return 0 end";
    let meaning = meaning_of(unlock, &["me"]).unwrap();
    assert_eq!(meaning.want, release(false));
    assert_eq!(meaning.commands, [vec!["del", "beside"], vec!["lpush", "beside", "1"]]);
}

#[test]
fn one_s_own_is_what_the_holder_is_compared_with_wherever_that_comes_from() {
    let by = |what: &str| format!("if redis.call('get', KEYS[1]) == {what} then return redis.call('del', KEYS[1]) end");
    let release = |value: &'static str| Want::Release { proof: Some(proof(value)), once: false };
    assert_eq!(words_of(&by("'fixed'"), &[]).0, release("fixed"));
    assert_eq!(words_of(&by("ARGV[1] .. ':' .. ARGV[2]"), &["me", "7"]).0, release("me:7"));
    let twice = "local v = redis.call('get', KEYS[1]) \
                 if v == ARGV[1] and v ~= ARGV[2] then return redis.call('del', KEYS[1]) end";
    assert_eq!(words_of(twice, &["me", "you"]).0, release("me"));
    for by_more in ["#redis.call('get', KEYS[1]) == 2", "tonumber(redis.call('get', KEYS[1])) == 7"] {
        let text = format!("if {by_more} then return redis.call('del', KEYS[1]) end");
        assert_eq!(meaning_of(&text, &["me"]), None, "{text}");
    }
}

#[test]
fn what_no_lock_could_do_is_refused() {
    for (text, args) in [
        // For ever.
        ("return redis.call('setnx', KEYS[1], ARGV[1])", &["me"][..]),
        ("return redis.call('set', KEYS[1], ARGV[1])", &["me"]),
        // Somebody else's.
        ("return redis.call('set', KEYS[1], ARGV[1], 'PX', 5)", &["me"]),
        ("return redis.call('pexpire', KEYS[1], 5000)", &[]),
        // To somebody else.
        (
            "if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('set', KEYS[1], ARGV[2], 'PX', 5) return 1 end return 0",
            &["me", "you"],
        ),
        // Two proofs.
        (
            "local v = redis.call('get', KEYS[1]) if v == ARGV[1] or v == ARGV[2] then return redis.call('del', KEYS[1]) end",
            &["me", "you"],
        ),
        // Only while little is left.
        (
            "if redis.call('get', KEYS[1]) == ARGV[1] and redis.call('pttl', KEYS[1]) < 100 then return \
             redis.call('pexpire', KEYS[1], 5000) end",
            &["me"],
        ),
        // Beside a lock that it does not change, or does not get.
        ("if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('publish', 'c', 'm') end", &["me"]),
        (
            "if not redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', 5) then redis.call('rpush', KEYS[2], ARGV[1]) end",
            &["me"],
        ),
        // By what another key says.
        ("if redis.call('get', KEYS[2]) then return redis.call('del', KEYS[1]) end", &[]),
        ("return redis.call('incr', KEYS[1])", &[]),
    ] {
        assert_eq!(meaning_of(text, args), None, "{text}");
    }
    let many = ["x"; 17];
    assert_eq!(meaning_of("return redis.call('exists', KEYS[1])", &many), None);
}
