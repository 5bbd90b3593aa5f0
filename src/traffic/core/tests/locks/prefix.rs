//! Keys under `lock.prefix`: what becomes of commands and scripts on them, and that none ever reaches a node.

use std::collections::BTreeSet;

use super::*;
use crate::traffic::{
    command::{Local, Row, describe},
    lock::script::Word,
    settings::LockSettings,
};

const RELEASE: &str =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

fn on_prefix() -> Locks {
    let locks = LockSettings { prefix: b"lock:".to_vec(), ..LockSettings::default() };
    Locks::new(Settings { locks, ..settings() })
}

/// A wish that is answered, so that the session goes on.
fn wish_of(locks: &mut Locks, client: ClientKey, words: &[&str]) -> LockAsk {
    locks.say(client, words);
    let ask = locks.wish();
    locks.answer(&ask, ":1\r\n");
    assert_eq!(locks.world.heard(client), ":1\r\n");
    locks.go_on();
    ask
}

fn value(value: &'static str) -> Proof {
    Proof::Value(Bytes::from_static(value.as_bytes()))
}

/// Everything that was sent to nodes since the last call.
fn sent(locks: &mut Locks) -> String {
    let mut text = Vec::new();
    for index in 0..locks.world.core.pipes.len() {
        let (pipe, pool) = locks.world.core.pipe_out(PipeId(index as u32));
        pipe.out.copy_to(&mut text);
        pipe.out.clear(pool);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn without_a_prefix_these_are_keys_as_any_other() {
    let mut locks = Locks::new(settings());
    let client = locks.world.client();
    let set = command(&["SET", "lock:a", "me", "NX", "PX", "5000"]);
    locks.world.say(client, &set);
    assert_eq!((locks.asked(), sent(&mut locks)), (vec![], set));
}

#[test]
fn other_keys_go_their_way() {
    let mut locks = on_prefix();
    let client = locks.world.client();
    for words in
        [&["SET", "lock", "v"][..], &["GET", "xlock:a"], &["MGET", "Lock:a"], &["EVAL", RELEASE, "1", "k", "lock:a"]]
    {
        let request = command(words);
        locks.world.say(client, &request);
        assert_eq!((locks.asked(), sent(&mut locks)), (vec![], request), "{words:?}");
    }
}

#[test]
fn commands_on_the_prefix_are_wishes_and_reach_no_node() {
    let mut locks = on_prefix();
    let client = locks.world.client();
    let ask = wish_of(&mut locks, client, &["SET", "lock:a", "me", "NX", "PX", "5000"]);
    assert_eq!((ask.want, ask.form, ask.lock), (acquire(5_000, 0, "me", false), Form::Set, name(0, "lock:a")));
    let ask = wish_of(&mut locks, client, &["DEL", "lock:a"]);
    assert_eq!((ask.want, ask.form), (Want::Release { proof: None, once: false }, Form::Number));
    let ask = wish_of(&mut locks, client, &["GET", "lock:a"]);
    assert_eq!((ask.want, ask.form), (Want::Read, Form::Value));
    assert_eq!(sent(&mut locks), "");
    locks.world.core.set_wall_clock(Duration::from_secs(1_700_000_000));
    let ask = wish_of(&mut locks, client, &["SET", "lock:a", "me", "NX", "PXAT", "1700000000750"]);
    assert_eq!(ask.want, acquire(750, 0, "me", false));
}

#[test]
fn scripts_are_wishes_by_what_they_do() {
    let mut locks = on_prefix();
    let client = locks.world.client();
    let ask = wish_of(&mut locks, client, &["EVAL", RELEASE, "1", "lock:a", "me"]);
    assert_eq!(ask.want, Want::Release { proof: Some(value("me")), once: false });
    let Form::Script(words) = ask.form else { panic!("{:?}", ask.form) };
    assert_eq!(words.gone, Word::Text(Bytes::from_static(b":0\r\n")));
    // It was shown by EVAL, so EVALSHA finds it, in any case.
    let digest = "8adF0a9Dd3CDaFa7A4a9A4E1a5d0f6b4B6e4f0aa";
    assert!(
        locks.refused(client, &["EVALSHA", digest, "1", "lock:a", "me"]).starts_with("-NOSCRIPT No matching script.")
    );
    let sha: String = {
        use sha1::{Digest as _, Sha1};
        Sha1::digest(RELEASE.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect()
    };
    let ask = wish_of(&mut locks, client, &["EVALSHA", &sha, "1", "lock:a", "me"]);
    assert_eq!(ask.want, Want::Release { proof: Some(value("me")), once: false });
    // redis-py's, of which nobody has sent the text.
    let known = "a4e8783852e6b949f9ef3a97212805108459a890";
    let ask = wish_of(&mut locks, client, &["EVALSHA", known, "1", "lock:a", "me", "5000", "0"]);
    assert_eq!(ask.want, Want::Extend { proof: value("me"), ttl_ms: 5_000, more: true });
    assert_eq!(sent(&mut locks), "");
}

#[test]
fn what_is_nothing_for_a_lock_is_told_with_the_cure() {
    let mut locks = on_prefix();
    let client = locks.world.client();
    let long = "v".repeat(4_097);
    let rows: &[(&[&str], &str)] = &[
        (&["SETNX", "lock:a", "me"], "SETNX sets no time"),
        (&["INCR", "lock:a"], "none of the commands"),
        (&["MGET", "a", "lock:a"], "none of the commands"),
        (&["DEL", "lock:a", "lock:b"], "several locks"),
        (&["SORT", "list", "BY", "lock:*"], "none of the commands"),
        (&["DEBUG", "OBJECT", "lock:a"], "none of the commands"),
        (&["BLPOP", "lock:a", "0"], "none of the commands"),
        (&["WATCH", "lock:a"], "none of the commands"),
        (&["EVAL", "return redis.call('incr', KEYS[1])", "1", "lock:a"], "does not see"),
        (&["EVAL", RELEASE, "2", "lock:a", "lock:b", "me"], "several locks"),
        (&["EVAL_RO", RELEASE, "1", "lock:a", "me"], "does not see"),
        (&["FCALL", "f", "1", "lock:a"], "none of the commands"),
    ];
    for (words, why) in rows {
        let told = locks.refused(client, words);
        assert!(told.starts_with("-ERR 'lock:") && told.contains(why) && told.contains("LOCK.ACQUIRE"), "{told}");
    }
    let told = locks.refused(client, &["SET", "lock:a", &long, "NX", "PX", "5"]);
    assert!(told.contains("the value of a lock may have 4096 bytes"), "{told}");
    let told = locks.refused(client, &["EVAL", RELEASE, "1", "lock:a", &long]);
    assert!(told.contains("the value of a lock may have 4096 bytes"), "{told}");
    assert_eq!(locks.refused(client, &["SET", "lock:a"]), "-ERR wrong number of arguments for 'set' command\r\n");
    assert_eq!(sent(&mut locks), "");
}

#[test]
fn a_transaction_names_no_lock() {
    let mut locks = on_prefix();
    let client = locks.world.client();
    locks.say(client, &["MULTI"]);
    locks.world.heard(client);
    let told = locks.refused(client, &["SET", "lock:a", "me", "NX", "PX", "5"]);
    assert!(told.contains("'set' asks a majority of nodes and cannot be part of a transaction"), "{told}");
    assert!(locks.refused(client, &["EXEC"]).starts_with("-EXECABORT"));
    assert_eq!(sent(&mut locks), "");
}

#[test]
fn what_a_script_does_beside_its_lock_is_done_when_it_worked() {
    let text = "if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end redis.call('del', KEYS[1]) \
                redis.call('publish', KEYS[2], 'free') return 1";
    let mut locks = on_prefix();
    let client = locks.world.client();
    for (answer, message) in [(":0\r\n", String::new()), (":1\r\n", command(&["publish", "channel", "free"]))] {
        locks.say(client, &["EVAL", text, "2", "lock:a", "channel", "me"]);
        let ask = locks.wish();
        assert_eq!(sent(&mut locks), "", "not before the lock is free");
        locks.answer(&ask, answer);
        assert_eq!(sent(&mut locks), message);
        locks.world.heard(client);
        locks.go_on();
    }
}

#[test]
fn who_caches_what_it_reads_is_told_not_to_keep_a_lock() {
    let mut locks = on_prefix();
    let client = locks.world.client();
    locks.say(client, &["HELLO", "3"]);
    locks.say(client, &["CLIENT", "TRACKING", "ON"]);
    locks.world.heard(client);
    locks.say(client, &["GET", "lock:a"]);
    let ask = locks.wish();
    locks.answer(&ask, "$2\r\nme\r\n");
    let invalidation = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nlock:a\r\n";
    assert_eq!(locks.world.heard(client), format!("$2\r\nme\r\n{invalidation}"));
}

/// A request to `row` whose words are all the lock, numbers or keywords, at least as many as it needs.
fn request_to(row: &Row, rng: &mut fastrand::Rng) -> Vec<String> {
    const WORDS: &[&str] = &[
        "lock:a",
        "lock:a",
        "lock:a",
        "lock:a",
        "lock:a",
        "0",
        "1",
        "2",
        "3",
        "STREAMS",
        "STORE",
        "STOREDIST",
        "KEYS",
        "BY",
        "GET",
        "BLOCK",
        "LIMIT",
        "k",
        "LEFT",
        "MATCH",
        "NX",
        "PX",
        "1000",
        "COUNT",
        "OBJECT",
        "(",
    ];
    let mut words: Vec<String> = row.name.split('|').map(str::to_owned).collect();
    let least = row.arity.unsigned_abs() as usize;
    let most = if row.arity < 0 { least + rng.usize(..6) } else { least };
    while words.len() < most {
        words.push(WORDS[rng.usize(..WORDS.len())].to_owned());
    }
    words
}

/// Whether COMMAND GETKEYS tells this lock among the keys of these words.
fn has_lock(table: &Table, words: &[&str]) -> bool {
    let asked: Vec<&[u8]> = ["COMMAND", "GETKEYS"].iter().chain(words).map(|word| word.as_bytes()).collect();
    let mut keys = Vec::new();
    describe::answer(table, Local::CommandGetKeys, &asked, Proto::Resp2, &mut keys);
    String::from_utf8(keys).unwrap().contains("\r\nlock:a\r\n")
}

#[test]
fn no_command_takes_a_lock_to_a_node_as_a_key() {
    let mut rng = fastrand::Rng::with_seed(6);
    let table = Table::builtin();
    let mut commands = BTreeSet::new();
    for row in table.rows().filter(|row| !row.is_container()) {
        let mut locks = on_prefix();
        for _ in 0..30 {
            let client = locks.world.client();
            if rng.u8(..4) == 0 {
                locks.say(client, &["MULTI"]);
            }
            let words = request_to(row, &mut rng);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            locks.say(client, &words);
            locks.say(client, &["EXEC"]);
            locks.world.connect_all();
            let sent = sent(&mut locks);
            if has_lock(&table, &words) {
                commands.insert(&row.name);
                assert!(!sent.contains("lock:a"), "{words:?}: {sent:?}");
            }
            locks.world.core.drop_client(client, Closed::ByClient);
        }
    }
    assert!(commands.len() > 200, "{} commands were tried with a lock among their keys", commands.len());
}
