//! Lock libraries, unchanged, over `lock.prefix`: the scenarios are in locks.py and locks.js. Those that have no package
//! here (Redisson, redsync) are played by scripts that do to a lock what theirs do.

use std::process::Command;

use super::{node, python, start};
use crate::support::{Client, Cluster, circlet::Plan, dir::Dir, voters::wait_all_count};

/// Three nodes, and a Circlet that keeps keys with this prefix as locks. It is usable at once.
fn cluster(prefix: &str) -> (Cluster, Dir) {
    let state = Dir::new();
    let set = |plan: Plan| {
        plan.set(&format!("state={}", state.path().display()))
            .set(&format!("lock.prefix={prefix}"))
            .set("lock.bootstrap=true")
    };
    let cluster = Cluster::with(set);
    wait_all_count(&mut cluster.client());
    (cluster, state)
}

fn play_with_prefix(prefix: &str, script: fn() -> Command, scenario: &str) {
    let (cluster, _state) = cluster(prefix);
    for protocol in super::PROTOCOLS {
        start(script(), &cluster, &[scenario, protocol]).finish();
        // Freed by force, so that the next one begins anew.
        let mut client = cluster.client();
        for name in ["lock:orders", "lock:counter", "redlock:orders"] {
            client.ask(&format!("LOCK.RELEASE {name} FORCE"));
        }
        // Signals beside the locks.
        client.ask("DEL lock-signal:orders orders");
    }
}

fn play(script: fn() -> Command, scenario: &str) {
    play_with_prefix("lock:", script, scenario);
}

fn in_python() -> Command {
    let mut command = python();
    command.arg(super::here("locks.py"));
    command
}

fn in_node() -> Command {
    node("locks.js")
}

#[test]
fn redis_py_s_lock_is_taken_freed_and_owned() {
    play(in_python, "redis_py");
}

#[test]
fn redis_py_s_lock_is_extended_reacquired_and_lost() {
    play(in_python, "redis_py_times");
}

#[test]
fn redis_py_s_lock_waits_and_is_a_context() {
    play(in_python, "redis_py_waiting");
}

#[test]
fn redis_py_s_lock_ends_in_time() {
    play(in_python, "redis_py_ends_in_time");
}

#[test]
fn redis_py_s_lock_excludes_threads() {
    play(in_python, "redis_py_many");
}

#[test]
fn redis_py_s_asynchronous_lock_works() {
    play(in_python, "redis_py_async");
}

#[test]
fn pottery_s_redlock_works_with_one_master() {
    play_with_prefix("redlock:", in_python, "pottery_redlock");
}

#[test]
fn python_redis_lock_works_and_wakes_who_waits() {
    play(in_python, "python_redis_lock");
}

#[test]
fn redlock_py_works_with_one_server() {
    play(in_python, "redlock_py");
}

#[test]
fn what_is_no_lock_is_refused_with_the_cure() {
    play(in_python, "refusals");
}

#[test]
fn node_redlock_takes_extends_and_frees() {
    play(in_node, "acquireExtendRelease");
}

#[test]
fn node_redlock_waits() {
    play(in_node, "waits");
}

#[test]
fn node_redlock_runs_a_routine_under_a_lock_that_it_extends() {
    play(in_node, "using");
}

#[test]
fn node_redlock_excludes_routines() {
    play(in_node, "many");
}

/// EVAL of `script`: keys, then arguments.
fn eval(client: &mut Client, script: &str, keys: &[&str], args: &[&str]) -> String {
    let count = keys.len().to_string();
    let words = [&["EVAL", script, &count], keys, args].concat();
    String::from_utf8(client.call(&words)).unwrap()
}

/// As Redisson's lock: a hash of holders with a count, a channel that says that it is free, and a latch.
#[test]
fn a_lock_that_is_a_hash_is_held_again_renewed_and_freed_with_a_message() {
    let lock = "if redis.call('exists', KEYS[1]) == 0 or redis.call('hexists', KEYS[1], ARGV[2]) == 1 then \
                redis.call('hincrby', KEYS[1], ARGV[2], 1) redis.call('pexpire', KEYS[1], ARGV[1]) return nil end \
                return redis.call('pttl', KEYS[1])";
    let renew = "if redis.call('hexists', KEYS[1], ARGV[2]) == 1 then redis.call('pexpire', KEYS[1], ARGV[1]) return 1 end \
                 return 0";
    let unlock = "local done = redis.call('get', KEYS[3]) if done ~= false then return tonumber(done) end \
                  if redis.call('hexists', KEYS[1], ARGV[3]) == 0 then return nil end \
                  local holds = redis.call('hincrby', KEYS[1], ARGV[3], -1) if holds > 0 then \
                  redis.call('pexpire', KEYS[1], ARGV[2]) redis.call('set', KEYS[3], 0, 'px', ARGV[5]) return 0 \
                  else redis.call('del', KEYS[1]) redis.call(ARGV[4], KEYS[2], ARGV[1]) \
                  redis.call('set', KEYS[3], 1, 'px', ARGV[5]) return 1 end";
    let (cluster, _state) = cluster("lock:");
    let (mut one, mut other) = (cluster.client(), cluster.client());
    let mut listener = cluster.client();
    listener.ask("SUBSCRIBE redisson_lock__channel:{lock:orders}");
    let keys = ["lock:orders", "redisson_lock__channel:{lock:orders}", "redisson_unlock_latch:{lock:orders}:1"];
    let take = |client: &mut Client, who: &str| eval(client, lock, &keys[..1], &["20000", who]);
    let free = |client: &mut Client, who: &str| {
        let reply = eval(client, unlock, &keys, &["0", "20000", who, "publish", "9000"]);
        // As the library does, so that the next unlock is not taken for this one.
        client.ask(&format!("DEL {}", keys[2]));
        reply
    };
    assert_eq!(take(&mut one, "a:1"), "$-1\r\n");
    let left: i64 = take(&mut other, "b:1").trim_matches([':', '\r', '\n']).parse().unwrap();
    assert!((10_000..=20_000).contains(&left), "{left}");
    assert_eq!(take(&mut one, "a:1"), "$-1\r\n", "once more");
    assert_eq!(one.ask("HEXISTS lock:orders a:1") + &one.ask("HEXISTS lock:orders b:1"), ":1\r\n:0\r\n");
    assert_eq!(one.ask("HGET lock:orders a:1"), "$1\r\n2\r\n");
    assert_eq!(eval(&mut one, renew, &keys[..1], &["40000", "a:1"]), ":1\r\n");
    assert_eq!(eval(&mut other, renew, &keys[..1], &["40000", "b:1"]), ":0\r\n");
    assert_eq!(free(&mut other, "b:1"), "$-1\r\n");
    assert_eq!(free(&mut one, "a:1"), ":0\r\n", "it holds it still");
    assert_eq!(free(&mut one, "a:1"), ":1\r\n");
    assert!(String::from_utf8(listener.frame()).unwrap().ends_with("$1\r\n0\r\n"), "the message");
    assert_eq!(take(&mut other, "b:1"), "$-1\r\n");
}

/// As redsync's mutex, with its touch that may take the lock anew.
#[test]
fn a_mutex_that_says_whether_its_time_was_over_works() {
    let unlock = "local v = redis.call('GET', KEYS[1]) if v == ARGV[1] then return redis.call('DEL', KEYS[1]) elseif v == \
                  false then return -1 else return 0 end";
    let touch = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) elseif \
                 redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return 1 else return 0 end";
    let (cluster, _state) = cluster("lock:");
    let (mut one, mut other) = (cluster.client(), cluster.client());
    one.expect("SET lock:orders a PX 8000 NX", "+OK\r\n");
    other.expect("SET lock:orders b PX 8000 NX", "$-1\r\n");
    other.expect("SET lock:orders b PX 8000 NX GET", "$1\r\na\r\n");
    assert_eq!(eval(&mut one, touch, &["lock:orders"], &["a", "20000"]), ":1\r\n");
    assert_eq!(eval(&mut other, touch, &["lock:orders"], &["b", "20000"]), ":0\r\n");
    assert_eq!(eval(&mut one, unlock, &["lock:orders"], &["a"]), ":1\r\n");
    assert_eq!(eval(&mut one, unlock, &["lock:orders"], &["a"]), ":-1\r\n");
    assert_eq!(eval(&mut other, touch, &["lock:orders"], &["b", "20000"]), ":1\r\n", "it was free");
    assert_eq!(other.ask("GET lock:orders"), "$1\r\nb\r\n");
}

/// Newer servers compare without a script; Circlet does so whatever the nodes are.
#[test]
fn commands_that_compare_work_on_old_nodes() {
    let (cluster, _state) = cluster("lock:");
    let mut client = cluster.client();
    client.expect("SET lock:orders me NX EX 20", "+OK\r\n");
    client.expect("SET lock:orders me IFEQ me PX 40000", "+OK\r\n");
    client.expect("SET lock:orders you IFEQ you PX 40000", "$-1\r\n");
    client.expect("DELIFEQ lock:orders you", ":0\r\n");
    client.expect("DELEX lock:orders IFEQ me", ":1\r\n");
    client.expect("EXISTS lock:orders", ":0\r\n");
    client.expect("SET lock:orders me NX PX 20000", "+OK\r\n");
    client.expect("UNLINK lock:orders", ":1\r\n");
}
