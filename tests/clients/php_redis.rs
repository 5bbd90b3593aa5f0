//! php-redis; the scenarios are in php_redis.php.

use std::process::Command;

use super::{here, missing, play_once};

/// PHP with its clients of Redis, and a script of this directory.
pub(super) fn php(script: &str) -> Command {
    let mut found = Command::new("php");
    found.args(["-r", "exit(class_exists('Redis') && function_exists('pcntl_fork') ? 0 : 1);"]);
    if !found.output().is_ok_and(|found| found.status.success()) {
        missing("PHP with its redis and pcntl extensions, Debian's php-cli and php-redis,");
    }
    let mut php = Command::new("php");
    php.arg(here(script));
    php
}

fn play(scenario: &str) {
    play_once(php("php_redis.php"), scenario);
}

#[test]
fn commands_of_every_type_give_their_replies() {
    play("every_type");
}

#[test]
fn connections_have_names_and_databases() {
    play("names_and_databases");
}

#[test]
fn a_pipeline_of_10_000_is_answered_in_order() {
    play("pipeline");
}

#[test]
fn blocked_clients_get_what_others_bring() {
    play("blocking");
}

#[test]
fn transactions_watch_and_try_again() {
    play("transactions");
}

#[test]
fn channels_and_patterns_are_heard() {
    play("pub_sub");
}

#[test]
fn scripts_run_where_their_keys_are() {
    play("scripts");
}

#[test]
fn its_sessions_are_kept_and_locked() {
    play("sessions");
}

#[test]
fn it_connects_again_after_a_restart() {
    play("reconnect");
}
