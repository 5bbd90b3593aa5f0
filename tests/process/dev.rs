//! `circlet dev`: it serves over nodes of its own, and nothing of them is left behind.

use std::{fs, net::TcpListener, path::Path, process::Command};

use rustix::process::Signal;

use crate::support::{
    Client,
    circlet::BINARY,
    dir::Dir,
    port::Port,
    process::Process,
    wait::{LONG, until_true},
};

/// A `circlet dev` whose temporary files go to a directory of its own.
struct Dev {
    process: Process,
    port: Port,
    temp: Dir,
    _log: Dir,
}

impl Dev {
    fn start(args: &[&str]) -> Self {
        let dev = Self::launch(Port::lease(), args);
        let address = dev.address();
        let mut dev = dev;
        until_true("circlet dev to serve", || {
            if let Some(status) = dev.process.ended() {
                panic!("circlet dev ended ({status}): {}", dev.process.output());
            }
            dev.process.output().contains("Stop it:") && Client::try_connect(&address, LONG).is_ok()
        });
        dev
    }

    fn launch(port: Port, args: &[&str]) -> Self {
        let (temp, log) = (Dir::new(), Dir::new());
        let mut command = Command::new(BINARY);
        command.args(["dev", "--port", &port.number().to_string()]).args(args).env("TMPDIR", temp.path());
        let process = Process::start(command, log.file("log"));
        Self { process, port, temp, _log: log }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    fn client(&self) -> Client {
        Client::connect(&self.address())
    }

    /// Process ids of its nodes.
    fn nodes(&self, count: usize) -> Vec<u32> {
        let mut client = self.client();
        let id = |number: usize| {
            let text = client.value(&format!("INFO node-{number} server")).text();
            text.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap().parse().unwrap()
        };
        (1..=count).map(id).collect()
    }

    fn stop(&mut self, signal: Signal) -> i32 {
        self.process.signal(signal);
        self.process.exit_code(LONG)
    }
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn it_serves_and_leaves_nothing_behind() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut dev = Dev::start(&[]);
        let banner = dev.process.output();
        for part in [
            &format!("serves on {}", dev.address()),
            "node-1",
            "node-3",
            "% of the keys",
            "/metrics",
            &format!("redis-cli -p {}", dev.port.number()),
        ] {
            assert!(banner.contains(part), "{part} in {banner}");
        }
        let mut client = dev.client();
        for number in 0..50 {
            client.expect(&format!("SET k{number} v"), "+OK\r\n");
        }
        client.expect("DBSIZE", ":50\r\n");
        let nodes = dev.nodes(3);
        assert!(nodes.iter().all(|&pid| lives(pid)));
        assert_eq!(dev.stop(signal), 0, "{}", dev.process.output());
        assert!(nodes.iter().all(|&pid| !lives(pid)), "{nodes:?}");
        let left: Vec<_> = fs::read_dir(dev.temp.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn the_number_of_nodes_can_be_chosen() {
    let mut dev = Dev::start(&["--nodes", "5"]);
    assert_eq!(dev.nodes(5).len(), 5);
    assert_eq!(dev.stop(Signal::INT), 0);
}

#[test]
fn a_taken_port_is_told_before_anything_is_started() {
    let port = Port::lease();
    let _taken = TcpListener::bind(("127.0.0.1", port.number())).unwrap();
    let number = port.number();
    let mut dev = Dev::launch(port, &[]);
    assert_eq!(dev.process.exit_code(LONG), 1);
    let said = dev.process.output();
    assert!(said.contains(&format!("port {number} is taken")) && said.contains("--port"), "{said}");
    assert_eq!(fs::read_dir(dev.temp.path()).unwrap().count(), 0);
}

#[test]
fn kept_data_is_there_the_next_time() {
    let data = Dir::new();
    let dir = data.file("kept").display().to_string();
    for round in 0..3 {
        let mut dev = Dev::start(&["--persist", &dir]);
        let mut client = dev.client();
        for number in 0..60 {
            let expected = if round == 0 { "$-1\r\n".to_owned() } else { format!("$1\r\n{}\r\n", round - 1) };
            client.expect(&format!("GET k{number}"), &expected);
            client.expect(&format!("SET k{number} {round}"), "+OK\r\n");
        }
        assert_eq!(dev.stop(Signal::INT), 0, "{}", dev.process.output());
    }
}

#[test]
fn locks_can_be_had_at_once_each_time_and_fences_grow() {
    let kept = Dir::new();
    let dir = kept.file("data").display().to_string();
    let mut last = 0;
    for _ in 0..2 {
        let mut dev = Dev::start(&["--persist", &dir]);
        let granted = dev.client().value("LOCK.ACQUIRE orders 30000");
        let fence = granted.list()[1].number();
        assert!(fence > last, "{fence} after {last}");
        last = fence;
        let token = granted.list()[0].text();
        assert_eq!(dev.client().ask(&format!("LOCK.RELEASE orders {token}")), ":1\r\n");
        dev.stop(Signal::INT);
    }
}

#[test]
fn without_redis_server_it_says_what_to_do() {
    let (port, empty, log) = (Port::lease(), Dir::new(), Dir::new());
    let mut command = Command::new(BINARY);
    command.args(["dev", "--port", &port.number().to_string()]).env("PATH", empty.path());
    let mut process = Process::start(command, log.file("log"));
    assert_eq!(process.exit_code(LONG), 1);
    let said = process.output();
    assert!(said.contains("redis-server"), "{said}");
}
