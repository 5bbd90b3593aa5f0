//! redis-py; the scenarios are in redis_py.py.

use std::process::Command;

use super::{here, play, play_reconnect, play_with, python};

fn script() -> Command {
    let mut command = python();
    command.arg(here("redis_py.py"));
    command
}

#[test]
fn commands_of_every_type_give_python_values() {
    play(script, "every_type");
}

#[test]
fn connections_have_names_and_databases() {
    play(script, "names_and_databases");
}

#[test]
fn a_pipeline_of_10_000_is_answered_in_order() {
    play(script, "pipeline_of_10000");
}

#[test]
fn an_error_in_a_pipeline_takes_its_own_place_only() {
    play(script, "errors_in_a_pipeline");
}

#[test]
fn keys_and_values_may_hold_any_byte() {
    play(script, "binary");
}

#[test]
fn a_value_of_100_megabytes_comes_back() {
    play(script, "value_of_100_mb");
}

#[test]
fn scan_iterators_give_each_key_once() {
    play(script, "scan");
}

#[test]
fn threads_share_a_pool_of_connections() {
    play(script, "pool_of_threads");
}

#[test]
fn registered_scripts_run_and_are_loaded_again() {
    play(script, "scripts");
}

#[test]
fn its_lock_excludes_others() {
    play(script, "lock");
}

#[test]
fn the_asyncio_client_works() {
    play(script, "asynchronous");
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
fn a_transaction_over_several_nodes_is_refused() {
    play(script, "across_nodes");
}

#[test]
fn channels_and_patterns_are_heard() {
    play(script, "pub_sub");
}

#[test]
fn shard_channels_are_heard() {
    play(script, "sharded_pub_sub");
}

#[test]
fn events_of_keys_come_from_all_nodes() {
    play_with(&["--notify-keyspace-events", "KEA"], script, "keyspace_notifications");
}

#[test]
fn its_own_cache_is_invalidated() {
    play(script, "client_side_caching");
}

#[test]
fn functions_run_where_their_keys_are() {
    play(script, "functions");
}

#[test]
fn registered_scripts_run_in_transactions() {
    play(script, "scripts_in_transactions");
}

#[test]
fn a_monitor_sees_what_others_do() {
    play(script, "monitor");
}

#[test]
fn an_administrators_commands_work() {
    play(script, "administration");
}

#[test]
fn the_asyncio_client_listens_and_waits() {
    play(script, "asynchronous_pub_sub_and_blocking");
}

#[test]
fn it_goes_on_after_a_restart_without_an_error() {
    play_reconnect(script);
}
