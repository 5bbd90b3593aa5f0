//! What is understood, and that nothing else is.

use bytes::Bytes;

use super::*;

fn ran(text: &str, args: &[&str], held: Option<&str>) -> Option<Ran> {
    let program = Program::parse(text.as_bytes()).ok()?;
    let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
    let held = held.map(|value| Held { value: Bytes::copy_from_slice(value.as_bytes()), holds: None, pttl: Some(900) });
    run(&program, &World { keys: &[b"k", b"other"], args: &args, lock: b"k", held }).ok()
}

fn returned(text: &str) -> Option<Value> {
    ran(text, &["a", "7"], Some("a")).map(|ran| ran.returned)
}

fn number(number: f64) -> Option<Value> {
    Some(Value::Number(number))
}

#[test]
fn what_lua_computes_is_computed() {
    let text = |text: &'static str| Some(Value::Text(Bytes::from_static(text.as_bytes())));
    for (script, value) in [
        ("return 1 + 2 * 3", number(7.0)),
        ("return (1 + 2) * 3 - 4 / 2", number(7.0)),
        ("return -2 + 5", number(3.0)),
        ("return '1' .. 2 .. \"3\"", text("123")),
        ("return ARGV[2] + 1", number(8.0)),
        ("return #KEYS + #ARGV", number(4.0)),
        ("return tonumber('12') == 12 and 'yes' or 'no'", text("yes")),
        ("return tonumber('x')", Some(Value::Nil)),
        ("return not nil == true", Some(Value::Bool(true))),
        ("return 1 < 2 and 2 <= 2 and 3 > 2 and 3 >= 3 and 1 ~= 2", Some(Value::Bool(true))),
        ("local x, y = 1; x = x + 1; return x", number(2.0)),
        ("local x = 1 do local x = 2 end return x", number(1.0)),
        ("local n = 0 for i = 1, 4 do n = n + i end return n", number(10.0)),
        ("local n = 0 for i = 1, 9, 3 do n = n + 1 end return n", number(3.0)),
        ("for i, key in ipairs(KEYS) do if key == 'other' then return i end end", number(2.0)),
        ("local l = {} table.insert(l, 5) table.insert(l, 6) return #l", number(2.0)),
        ("#!lua flags=no-writes\nreturn 1", number(1.0)),
        ("--[[ a\nb ]] -- c\nreturn 1;;", number(1.0)),
        ("if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 else return 2 end", number(1.0)),
        ("return redis.pcall('pttl', KEYS[1])", number(900.0)),
        ("return redis.call('exists', KEYS[1])", number(1.0)),
        ("return", Some(Value::Nil)),
        ("", Some(Value::Nil)),
        ("return redis.status_reply('FINE')", Some(Value::Status("FINE".into()))),
    ] {
        assert_eq!(returned(script), value, "{script}");
    }
}

#[test]
fn what_is_beyond_it_is_not_understood() {
    for script in [
        "return math.random()",
        "return cjson.encode({})",
        "x = 1",
        "return 1 +",
        "while true do end",
        "local function f() end",
        "return redis.call('time')",
        "return redis.call('get', 'other2')",
        "return redis.call('get', KEYS[2])",
        "return redis.call('del', KEYS[2])",
        "redis.call('del', 'undeclared')",
        "redis.call('del', KEYS[1], KEYS[2])",
        "redis.call('lpush', KEYS[1], 1)",
        "redis.call('hset', KEYS[1], 'f', 1)",
        "redis.call('set', KEYS[1], 1, 'KEEPTTL')",
        "return 'a' < 'b'",
        "return nil + 1",
        "for i = 1, 1000000 do end",
        "for i = 5, 1, -1 do end",
        "return {1, 2",
        "return 'a",
        "goto x",
        "return KEYS[1][1]",
    ] {
        assert_eq!(returned(script), None, "{script}");
    }
    let deep = format!("return {}1{}", "(".repeat(500), ")".repeat(500));
    assert_eq!(returned(&deep), None, "nesting is bounded");
    assert_eq!(returned(&" ".repeat(20_000)), None, "length is bounded");
}

#[test]
fn the_lock_is_changed_as_redis_would() {
    let after = |text: &str, held| ran(text, &["a", "7"], held).unwrap().held;
    let held = |value: &str, pttl| Some(Held { value: Bytes::copy_from_slice(value.as_bytes()), holds: None, pttl });
    let set = "redis.call('set', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])";
    assert_eq!(after(set, None), held("a", Some(7)));
    assert_eq!(after(set, Some("b")), held("b", Some(900)));
    assert_eq!(after("redis.call('setex', KEYS[1], ARGV[2], 'x')", None), held("x", Some(7_000)));
    assert_eq!(
        after("redis.call('setnx', KEYS[1], 'x') redis.call('expire', KEYS[1], 2)", None),
        held("x", Some(2_000))
    );
    assert_eq!(after("redis.call('setnx', KEYS[1], 'x')", Some("b")), held("b", Some(900)));
    assert_eq!(after("redis.call('pexpire', KEYS[1], 5)", None), None);
    assert_eq!(after("redis.call('unlink', KEYS[1])", Some("b")), None);
    let hash = after("redis.call('hincrby', KEYS[1], ARGV[1], 2)", None).unwrap();
    assert_eq!((hash.holds, hash.pttl), (Some(2), None));
    let beside = ran("redis.call('lpush', KEYS[2], 1) redis.call('publish', 'c', 'm')", &[], None).unwrap();
    assert_eq!(beside.commands.len(), 2);
}

/// No text may do more than be not understood.
#[test]
fn any_text_is_read_or_not() {
    let words = [
        "if", "then", "else", "elseif", "end", "return", "local", "for", "in", "do", "redis", ".", "call", "(", ")",
        "'get'", "KEYS", "ARGV", "[", "]", "1", "==", "~=", "..", "#", "not", "and", "nil", ",", "=", "x", "ipairs",
        "{", "}", "--", "\n", "\"", "é", "'", "\\",
    ];
    let mut rng = fastrand::Rng::with_seed(11);
    let mut understood = 0;
    for _ in 0..40_000 {
        let text: String = (0..rng.usize(..14)).map(|_| format!("{} ", words[rng.usize(..words.len())])).collect();
        understood += usize::from(ran(&text, &["a"], Some("a")).is_some());
    }
    assert!(understood > 0);
}
