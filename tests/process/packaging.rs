//! What packages bring: completions, manual pages, the systemd unit, and what Circlet tells systemd.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Output},
};

use rustix::process::Signal;

use super::run;
use crate::support::{Redis, circlet::BINARY, dir::Dir, port::Port, process::Process, wait::LONG};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a program of the system says; `None`: it is not there, which is told.
fn asked(program: &str, args: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(args).output();
    if output.is_err() {
        eprintln!("{program} is not installed: less was checked");
    }
    output.ok()
}

#[test]
fn a_shell_completes_subcommands_flags_and_values() {
    let dir = Dir::new();
    let script = run(&["completions", "bash"]);
    assert_eq!(script.status.code(), Some(0));
    let file = dir.write("circlet.bash", &text(&script.stdout)).display().to_string();
    let completed = |words: &[&str]| {
        let (before, last) = (words[words.len() - 2], words[words.len() - 1]);
        let program = format!(
            "source {file}; COMP_WORDS=({}); COMP_CWORD={}; _circlet circlet '{last}' '{before}'; echo \"${{COMPREPLY[*]}}\"",
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["--norc", "-c", &program]).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    };
    assert_eq!(completed(&["circlet", "se"]), "serve");
    assert_eq!(completed(&["circlet", "serve", "--twem"]), "--twemproxy-config");
    assert_eq!(completed(&["circlet", "completions", "fi"]), "fish");
}

#[test]
fn every_shell_takes_its_script() {
    let dir = Dir::new();
    for (shell, check) in [("bash", &["-n"][..]), ("zsh", &["-n"]), ("fish", &["--no-execute"])] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        let script = text(&output.stdout);
        assert!(script.contains("twemproxy-config") && script.contains("completions"), "{shell}: {script}");
        let file = dir.write(shell, &script).display().to_string();
        if let Some(output) = asked(shell, &[check, &[&file]].concat()) {
            assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {}", text(&output.stderr));
        }
    }
    assert_eq!(run(&["completions", "nosuch"]).status.code(), Some(2));
}

#[test]
fn manual_pages_are_written_and_read() {
    let dir = Dir::new();
    let pages = dir.file("man1");
    let output = run(&["man", "--dir", &pages.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for page in ["circlet", "circlet-serve", "circlet-check", "circlet-ring", "circlet-dev", "circlet-man"] {
        let file = pages.join(format!("{page}.1"));
        let source = fs::read_to_string(&file).unwrap();
        assert!(source.contains(&format!(".TH {page} 1")), "{source}");
        let file = file.display().to_string();
        if let Some(output) = asked("man", &["--warnings", "-E", "UTF-8", "-l", &file]) {
            assert!(output.status.success() && output.stderr.is_empty(), "{page}: {}", text(&output.stderr));
            // A machine without the pages of others may have a `man` that shows none.
            let shown = text(&output.stdout);
            assert!(shown.contains("SYNOPSIS") || shown.contains("minimized"), "{shown}");
        }
    }
    let one = run(&["man", "serve"]);
    assert_eq!(text(&one.stdout), fs::read_to_string(pages.join("circlet-serve.1")).unwrap());
    let none = run(&["man", "nosuch"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(text(&none.stderr).contains("there are pages of the subcommands serve, check"), "{}", text(&none.stderr));
    let refused = run(&["man", "--dir", "/proc/nosuch"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
}

#[test]
fn a_service_manager_is_told_when_it_serves_reloads_and_stops() {
    let (dir, port, nodes) = (Dir::new(), Port::lease(), Redis::several(1));
    let socket = UnixDatagram::bind(dir.file("notify")).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let heard = || {
        let mut buffer = [0; 1_024];
        let len = socket.recv(&mut buffer).unwrap();
        text(&buffer[..len])
    };
    let address = format!("127.0.0.1:{}", port.number());
    let mut command = Command::new(BINARY);
    command.args(["serve", "--admin", "off", "--workers", "1", "--listen", &address, "--node", &nodes[0].address()]);
    command.env("NOTIFY_SOCKET", dir.file("notify"));
    let mut circlet = Process::start(command, dir.file("log"));
    assert_eq!(heard(), "READY=1\nSTATUS=serving 1 nodes with 1 workers\n");
    let mut client = crate::support::Client::connect(&address);
    client.expect("PING", "+PONG\r\n");
    circlet.signal(Signal::HUP);
    let reloading = heard();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(|rest| rest.trim_end().parse::<u64>());
    assert!(matches!(since, Some(Ok(_))), "{reloading}");
    let status = "serving 1 nodes with 1 workers; the configuration was not read again, see the log";
    assert_eq!(heard(), format!("READY=1\nSTATUS={status}\n"));
    circlet.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1\nSTATUS=draining 1 clients\nEXTEND_TIMEOUT_USEC=15000000\n");
    assert_eq!(circlet.exit_code(LONG), 0);
}

#[test]
fn a_service_manager_that_does_not_listen_is_no_reason_not_to_serve() {
    let (dir, port) = (Dir::new(), Port::lease());
    let address = format!("127.0.0.1:{}", port.number());
    let mut command = Command::new(BINARY);
    command.args(["serve", "--admin", "off", "--listen", &address, "--node", "127.0.0.1:1"]);
    command.env("NOTIFY_SOCKET", dir.file("nobody"));
    let circlet = Process::start(command, dir.file("log"));
    crate::support::wait::until_true("the warning", || circlet.output().contains("NOTIFY_SOCKET"));
    crate::support::wait::until_true("a client", || crate::support::Client::try_connect(&address, LONG).is_ok());
}

#[test]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    let unit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/circlet.service")).unwrap();
    // What the unit starts is what the binary takes.
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/circlet.toml").display().to_string();
    for line in unit.lines() {
        let Some(start) = line.strip_prefix("ExecStartPre=") else { continue };
        let words: Vec<&str> = start.split(' ').skip(1).collect();
        let words: Vec<&str> = words.iter().map(|word| if word.ends_with(".toml") { &*config } else { word }).collect();
        let output = run(&words);
        assert_ne!(output.status.code(), None, "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("Usage:"), "{}", text(&output.stderr));
    }
    let dir = Dir::new();
    let file = dir.write("circlet.service", &unit.replace("/usr/local/bin/circlet", BINARY)).display().to_string();
    if let Some(output) = asked("systemd-analyze", &["verify", "--man=no", &file]) {
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    }
    // 0 is nothing exposed, 10 all; the threshold is in tenths.
    if let Some(output) = asked("systemd-analyze", &["security", "--offline=true", "--threshold=20", &file]) {
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}
