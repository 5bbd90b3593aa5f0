//! Circlet as a program: flags, configuration, start, signals, exit codes, and `circlet dev`.

mod check;
mod dev;
mod node;
mod packaging;
mod reload;
mod ring;
mod serve;
mod signals;

use std::process::{Command, Output};

use crate::support::circlet::BINARY;

/// Runs the binary to its end; it is expected to end by itself.
fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().unwrap()
}

/// What it said on standard error.
fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
