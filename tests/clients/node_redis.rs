//! node-redis; the scenarios are in node_redis.js.

use std::process::Command;

use super::{node, play, play_reconnect, play_restarted};

fn script() -> Command {
    node("node_redis.js")
}

#[test]
fn it_connects_without_an_error_and_commands_of_every_type_work() {
    play(script, "everyType");
}

#[test]
fn connections_have_names_and_databases() {
    play(script, "namesAndDatabases");
}

#[test]
fn a_pipeline_of_10_000_is_answered_in_order() {
    play(script, "pipelineOf10000");
}

#[test]
fn a_batch_without_a_transaction_is_answered_in_order() {
    play(script, "batchWithoutTransaction");
}

#[test]
fn keys_and_values_may_hold_any_byte() {
    play(script, "binary");
}

#[test]
fn a_value_of_100_megabytes_comes_back() {
    play(script, "valueOf100Mb");
}

#[test]
fn a_scan_iterator_gives_each_key_once() {
    play(script, "scan");
}

#[test]
fn a_pool_of_clients_works() {
    play(script, "pool");
}

#[test]
fn defined_scripts_run_and_are_loaded_again() {
    play(script, "scripts");
}

#[test]
fn blocked_clients_get_what_others_bring() {
    play(script, "blocking");
}

#[test]
fn transactions_watch_and_try_again() {
    play(script, "transactions");
}

#[test]
fn channels_and_patterns_are_heard() {
    play(script, "pubSub");
}

#[test]
fn a_monitor_sees_what_others_do() {
    play(script, "monitor");
}

#[test]
fn its_own_cache_is_invalidated() {
    play(script, "clientSideCache");
}

#[test]
fn functions_run_where_their_keys_are() {
    play(script, "functions");
}

#[test]
fn it_listens_again_after_a_restart() {
    play_restarted(script, "subscriptionsAfterARestart");
}

#[test]
fn it_connects_again_after_a_restart() {
    play_reconnect(script);
}
