//! redigo; the scenarios are in redigo.go, and its own tests come with its package.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use super::{here, missing, play_once, program::Program};
use crate::support::{Redis, cluster::plan_over, dir::Dir};

/// Where Debian puts the sources of Go packages.
const PATH: &str = "/usr/share/gocode";

/// The go command, which takes every package from the system and asks nobody else.
fn go(dir: &Dir, words: &[&str]) -> Command {
    if !Path::new(PATH).join("src/github.com/gomodule/redigo/redis").exists() {
        missing("redigo, Debian's golang-github-gomodule-redigo-dev,");
    }
    let mut go = Command::new("go");
    // What is compiled once is kept beside the tests' own build.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    go.env("GOCACHE", cache).env("GOPATH", PATH).env("GO111MODULE", "off").env("GOFLAGS", "");
    go.args(words).arg("-o").arg(dir.file("program"));
    go
}

fn play(scenario: &str) {
    let dir = Dir::new();
    let mut build = go(&dir, &["build"]);
    build.arg(here("redigo.go"));
    Program::start(build).finish();
    play_once(Command::new(dir.file("program")), scenario);
}

#[test]
fn commands_of_every_type_give_their_replies() {
    play("everyType");
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
    play("pubSub");
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

/// Says that it is ready and waits for its end. Its own handler: a shell cannot have one where SIGINT was ignored before,
/// as it is for what runs in the background.
const SERVER: &str = "#!/usr/bin/env python3
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit())
print('0:M * Ready to accept connections', flush=True)
time.sleep(600)
";

/// They start a server, which is none here: Circlet listens already where it would. Their keys have no tags: one node.
#[test]
fn its_own_tests_pass() {
    let dir = Dir::new();
    let mut build = go(&dir, &["test", "-c"]);
    build.arg("github.com/gomodule/redigo/redis");
    Program::start(build).finish();
    let server = dir.write("redis-server", SERVER);
    fs::set_permissions(&server, Permissions::from_mode(0o755)).unwrap();
    let nodes = Redis::several(1);
    let circlet = plan_over(&nodes).start();
    let run = |words: &[&str]| {
        let mut tests = Command::new(dir.file("program"));
        tests.args(words).args(["-redis-port", &circlet.port().to_string(), "-redis-server"]).arg(&server);
        Program::start(tests).finish()
    };
    let listed = run(&["-test.list", "."]);
    assert!(listed.lines().count() > 70, "{listed}");
    let output = run(&["-test.v"]);
    assert!(output.contains("--- PASS: TestPoolPubSubCleanup") && !output.contains("--- FAIL"), "{output}");
}
