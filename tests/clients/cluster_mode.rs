//! Clients of Redis Cluster, against a Circlet that presents itself as one; the scenarios are in cluster_mode.*.

use std::process::Command;

use super::{
    PROTOCOLS, Program, here, node, php_redis::php, play_over, python, restart_when_asked, ruby_redis::ruby, start,
};
use crate::support::{Cluster, Redis};

fn facade() -> Cluster {
    Cluster::with(|plan| plan.set("cluster_facade=on"))
}

fn redis_py() -> Command {
    let mut command = python();
    command.arg(here("cluster_mode.py"));
    command
}

fn javascript() -> Command {
    node("cluster_mode.js")
}

fn play(script: fn() -> Command, scenario: &str) {
    play_over(&facade(), script, scenario);
}

/// Plays a scenario that asks for a restart of Circlet.
fn play_reconnect(script: fn() -> Command, scenario: &str) {
    let mut cluster = facade();
    for protocol in PROTOCOLS {
        let program = start(script(), &cluster, &[scenario, protocol]);
        restart_when_asked(program, &mut cluster);
    }
}

#[test]
fn redis_py_runs_commands_over_all_slots() {
    play(redis_py, "commands");
}

#[test]
fn redis_py_reads_the_state_of_the_cluster() {
    play(redis_py, "administration");
}

#[test]
fn redis_py_pipelines_and_transactions_work() {
    play(redis_py, "pipelines");
}

#[test]
fn redis_py_hears_channels_and_shard_channels() {
    play(redis_py, "pub_sub");
}

#[test]
fn redis_py_asyncio_works() {
    play(redis_py, "asynchronous");
}

#[test]
fn redis_py_goes_on_after_a_restart_without_an_error() {
    play_reconnect(redis_py, "reconnect");
}

#[test]
fn ioredis_runs_commands_over_all_slots() {
    play(javascript, "ioredisCommands");
}

#[test]
fn ioredis_hears_channels_and_patterns() {
    play(javascript, "ioredisPubSub");
}

#[test]
fn ioredis_connects_again_after_a_restart() {
    play_reconnect(javascript, "ioredisReconnect");
}

#[test]
fn node_redis_runs_commands_over_all_slots() {
    play(javascript, "nodeRedisCommands");
}

#[test]
fn node_redis_hears_channels_patterns_and_shard_channels() {
    play(javascript, "nodeRedisPubSub");
}

#[test]
fn node_redis_connects_again_after_a_restart() {
    play_reconnect(javascript, "nodeRedisReconnect");
}

#[test]
fn ruby_redis_runs_commands_over_all_slots() {
    start(ruby("cluster_mode.rb"), &facade(), &[]).finish();
}

#[test]
fn php_redis_runs_commands_over_all_slots() {
    start(php("cluster_mode.php"), &facade(), &[]).finish();
}

#[test]
fn redis_cli_runs_commands_and_finds_nothing_wrong_with_the_cluster() {
    let cluster = facade();
    let run = |words: &[&str]| {
        let mut command = Command::new("redis-cli");
        command.args(words);
        Program::start(command).finish()
    };
    let (port, address) = (cluster.circlet.port().to_string(), cluster.circlet.address());
    let cli = |words: &[&str]| run(&[&["-c", "-p", &port], words].concat());
    assert_eq!(cli(&["SET", "k", "v"]), "OK\n");
    assert_eq!(cli(&["GET", "k"]), "v\n");
    assert_eq!(cli(&["-3", "CLUSTER", "KEYSLOT", "foo"]), "12182\n");
    let info = run(&["--cluster", "info", &address]);
    assert!(info.contains("1 keys in 1 masters") && info.contains("16384 slots"), "{info}");
    for tool in ["check", "fix"] {
        let told = run(&["--cluster", tool, &address]);
        assert!(told.contains("All nodes agree about slots configuration"), "{told}");
        assert!(told.contains("All 16384 slots covered") && !told.contains("ERR"), "{told}");
    }
    assert!(run(&["--cluster", "rebalance", &address]).contains("No rebalancing needed"));
    let called = run(&["--cluster", "call", &address, "DBSIZE"]);
    assert!(called.contains(&format!("{address}: 1")), "{called}");
}

#[test]
fn redis_cli_imports_a_plain_redis() {
    let (cluster, plain) = (facade(), Redis::start());
    let (mut source, mut client) = (plain.client(), cluster.client());
    for number in 0..100 {
        source.expect(&format!("SET k:{number} {number}"), "+OK\r\n");
    }
    source.expect("RPUSH list a b c", ":3\r\n");
    source.expect("SET passing v EX 1000", "+OK\r\n");
    let mut command = Command::new("redis-cli");
    command.args(["--cluster", "import", &cluster.circlet.address()]);
    command.args(["--cluster-from", &plain.address(), "--cluster-copy"]);
    let told = Program::start(command).finish();
    assert!(!told.contains("ERR"), "{told}");
    client.expect("DBSIZE", ":102\r\n");
    for number in 0..100 {
        assert_eq!(client.value(&format!("GET k:{number}")).text(), number.to_string());
    }
    client.expect("LRANGE list 0 -1", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    assert!((1..=1000).contains(&client.value("TTL passing").number()));
}
