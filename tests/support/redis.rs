//! A real redis-server, as a node or to compare with.

use std::{process::Command, time::Duration};

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
}

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
        let dir = Dir::new();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let process = launch(&port, &dir, &options);
        let mut redis = Self { process, port, dir, options };
        redis.wait_ready();
        redis
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
        self.process = launch(&self.port, &self.dir, &self.options);
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

fn launch(port: &Port, dir: &Dir, options: &[String]) -> Process {
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.number().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.args(["--enable-debug-command", "yes", "--daemonize", "no"]);
    command.arg("--dir").arg(dir.path()).args(options);
    Process::start(command, dir.file("log"))
}
