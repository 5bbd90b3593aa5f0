//! ruby-redis; the scenarios are in ruby_redis.rb.

use std::process::Command;

use super::{here, missing, play_once};

/// Ruby with its client of Redis, and a script of this directory.
pub(super) fn ruby(script: &str) -> Command {
    let found = Command::new("ruby").args(["-e", "require 'redis'"]).output();
    if !found.is_ok_and(|found| found.status.success()) {
        missing("Ruby with its redis gem, Debian's ruby-redis,");
    }
    let mut ruby = Command::new("ruby");
    ruby.arg(here(script));
    ruby
}

fn play(scenario: &str) {
    play_once(ruby("ruby_redis.rb"), scenario);
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
fn a_monitor_sees_what_others_do() {
    play("monitor");
}

#[test]
fn it_connects_again_after_a_restart() {
    play("reconnect");
}
