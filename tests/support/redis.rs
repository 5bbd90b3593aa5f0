//! A real redis-server, as a node or to compare with.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use super::{
    client::Client,
    dir::Dir,
    port::Port,
    process::Process,
    wait::{LONG, until_true},
};

/// A redis-server that keeps nothing on disk. Stopped when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: Port,
    dir: Dir,
    options: Vec<String>,
    /// Where its clock's lead is told, if it has a clock of its own.
    clock: Option<PathBuf>,
}

/// What a clock of one's own is made with: faketime, and before jemalloc the C library's own allocator, since jemalloc looks
/// at the clock before faketime is ready.
const FAKETIME: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1 libc.so.6";

impl Redis {
    /// Starts one with default options.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with further `--option value` words.
    pub fn with(options: &[&str]) -> Self {
        Self::on(Port::lease(), options)
    }

    /// Starts one on a port that was leased before.
    pub fn on(port: Port, options: &[&str]) -> Self {
        Self::launched(port, Dir::new(), options, None)
    }

    /// Starts one whose clock may be set; needs faketime.
    pub fn with_clock(options: &[&str]) -> Self {
        let dir = Dir::new();
        let clock = dir.write("clock", "+0\n");
        Self::launched(Port::lease(), dir, options, Some(clock))
    }

    fn launched(port: Port, dir: Dir, options: &[&str], clock: Option<PathBuf>) -> Self {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let process = launch(&port, &dir, &options, clock.as_deref());
        let mut redis = Self { process, port, dir, options, clock };
        redis.wait_ready();
        redis
    }

    /// Lets its clock go ahead of the machine's by so many seconds, or behind it.
    pub fn set_clock(&self, ahead: f64) {
        let clock = self.clock.as_ref().expect("it was started with a clock");
        // At once for whoever reads it.
        let next = self.dir.write("clock.next", &format!("{ahead:+}\n"));
        std::fs::rename(next, clock).unwrap();
    }

    /// Whether a clock can be set: faketime is installed.
    pub fn has_clocks() -> bool {
        Command::new("faketime").arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Starts several, side by side.
    pub fn several(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::start()).collect()
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// A connection to it, past Circlet.
    pub fn client(&self) -> Client {
        Client::connect(&self.address())
    }

    /// Lets it hang: it keeps its connections and answers nothing.
    pub fn pause(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// Ends it at once; its port stays leased.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        self.process.kill();
        self.process = launch(&self.port, &self.dir, &self.options, self.clock.as_deref());
        self.wait_ready();
    }

    fn wait_ready(&mut self) {
        let address = self.address();
        until_true("redis-server to answer", || {
            if let Some(status) = self.process.ended() {
                panic!("redis-server ended ({status}): {}", self.process.output());
            }
            Client::try_connect(&address, Duration::from_millis(500)).is_ok_and(|mut client| {
                client.try_send(b"PING\r\n").is_ok()
                    && client.try_frame(LONG).is_ok_and(|reply| matches!(reply.first(), Some(b'+' | b'-')))
            })
        });
    }
}

fn launch(port: &Port, dir: &Dir, options: &[String], clock: Option<&Path>) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.number().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--enable-debug-command", "yes", "--daemonize", "no"]);
    command.arg("--dir").arg(dir.path()).args(options);
    if let Some(clock) = clock {
        command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", clock);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    Process::start(command, dir.file("log"))
}
