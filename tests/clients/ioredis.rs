//! ioredis; the scenarios are in ioredis.js.

use std::process::Command;

use super::{node, play, play_reconnect, play_restarted};

fn script() -> Command {
    node("ioredis.js")
}

#[test]
fn it_gets_ready_and_commands_of_every_type_work() {
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
fn an_error_in_a_pipeline_takes_its_own_place_only() {
    play(script, "errorsInAPipeline");
}

#[test]
fn auto_pipelined_requests_get_their_own_replies() {
    play(script, "autoPipelining");
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
fn a_scan_stream_gives_each_key_once() {
    play(script, "scan");
}

#[test]
fn defined_commands_run_and_are_loaded_again() {
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
fn it_listens_again_after_a_restart() {
    play_restarted(script, "subscriptionsAfterARestart");
}

#[test]
fn it_connects_again_after_a_restart() {
    play_reconnect(script);
}
