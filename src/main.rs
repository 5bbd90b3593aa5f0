//! The program: flags -> config -> start -> signal -> exit code. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    circlet::cli::run(std::env::args_os()).into()
}
