//! redis-benchmark: no error, no warning, every request answered.

use std::process::Command;

use super::program::Program;
use crate::support::Cluster;

fn benchmark(cluster: &Cluster, words: &str) -> String {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &cluster.circlet.port().to_string()]).args(words.split(' '));
    let output = Program::start(command).finish();
    for bad in ["WARNING", "Error", "error", "ERR", "not supported"] {
        assert!(!output.contains(bad), "{bad} in:\n{output}");
    }
    output
}

#[test]
fn all_its_default_tests_run() {
    let cluster = Cluster::start();
    let output = benchmark(&cluster, "-n 1000 -q");
    for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "SPOP", "ZPOPMIN", "LRANGE_600", "MSET (10 keys)"] {
        assert!(output.contains(test), "{test} in:\n{output}");
    }
}

#[test]
fn pipelined_requests_over_many_keys_and_threads_run() {
    let cluster = Cluster::start();
    let output = benchmark(&cluster, "-t set,get,mset,incr,hset,zadd -P 16 -n 20000 -r 100000 --threads 2 --csv");
    let rows = output.lines().filter(|line| line.starts_with('"') && !line.starts_with("\"test\"")).count();
    assert_eq!(rows, 6, "{output}");
    for node in &cluster.nodes {
        assert!(node.client().value("DBSIZE").number() > 10_000, "each node has its share");
    }
}

#[test]
fn it_runs_with_resp3_and_its_own_command() {
    let cluster = Cluster::start();
    benchmark(&cluster, "-3 -P 16 -n 10000 -r 1000 -q MGET a:__rand_int__ b:__rand_int__ c:__rand_int__");
}

#[test]
fn a_thousand_connections_are_served() {
    let cluster = Cluster::start();
    benchmark(&cluster, "-c 1000 -n 10000 -r 1000 -t get,set -q");
}
