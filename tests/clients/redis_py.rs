//! redis-py; the scenarios are in redis_py.py.

use std::process::Command;

use super::{here, play, play_reconnect, python};

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
fn it_goes_on_after_a_restart_without_an_error() {
    play_reconnect(script);
}
