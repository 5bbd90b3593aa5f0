//! hiredis; the scenarios are in hiredis.c.

use std::process::{Command, Stdio};

use super::{here, missing, program::Program, restart_when_asked, start};
use crate::support::{Cluster, dir::Dir};

/// Compiles the program into `dir`; its command line is complete but for port and scenario.
fn compiled(dir: &Dir) -> Command {
    let source = "#include <hiredis/hiredis.h>\n";
    let header = dir.write("header.c", source);
    let found = Command::new("cc").arg("-E").arg(header).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match found {
        Err(_) => missing("cc, a C compiler,"),
        Ok(status) if !status.success() => missing("hiredis/hiredis.h, Debian's libhiredis-dev,"),
        Ok(_) => {}
    }
    let program = dir.file("hiredis");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-Wall", "-Wextra", "-o"]).arg(&program).arg(here("hiredis.c")).arg("-lhiredis");
    Program::start(compiler).finish();
    Command::new(program)
}

fn play(scenario: &str) {
    let dir = Dir::new();
    let cluster = Cluster::start();
    start(compiled(&dir), &cluster, &[scenario]).finish();
}

#[test]
fn commands_of_every_type_give_their_replies() {
    play("every_type");
}

#[test]
fn a_pipeline_of_10_000_is_answered_in_order() {
    play("pipeline");
}

#[test]
fn keys_and_values_may_hold_any_byte() {
    play("binary");
}

#[test]
fn a_value_of_100_megabytes_comes_back() {
    play("large");
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
fn invalidations_come_on_another_connection() {
    play("tracking");
}

#[test]
fn it_connects_again_after_a_restart() {
    let dir = Dir::new();
    let mut cluster = Cluster::start();
    let program = start(compiled(&dir), &cluster, &["reconnect"]);
    restart_when_asked(program, &mut cluster);
}
