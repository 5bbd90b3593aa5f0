//! The real `circlet serve`, in front of the nodes of a test.

use std::{path::PathBuf, process::Command, time::Duration};

use rustix::process::Signal;

use super::{
    client::Client,
    dir::Dir,
    http,
    port::Port,
    process::{Process, processor_time, resident},
    wait::{LONG, until, until_true},
};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_circlet");

/// How a Circlet is to be started.
#[derive(Debug, Default)]
pub struct Plan {
    nodes: Vec<String>,
    arguments: Vec<String>,
    config: Option<String>,
    up: Option<usize>,
    listens_by_file: bool,
}

impl Plan {
    /// Adds a node, as `--node` takes it.
    pub fn node(mut self, node: impl Into<String>) -> Self {
        self.nodes.push(node.into());
        self
    }

    /// Sets an option of the configuration, `key=value`.
    pub fn set(self, assignment: &str) -> Self {
        self.argument("--set").argument(assignment)
    }

    /// Adds a word to the command line.
    pub fn argument(mut self, word: impl Into<String>) -> Self {
        self.arguments.push(word.into());
        self
    }

    /// Gives it a configuration file of this text.
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(text.into());
        self
    }

    /// Listens where its configuration says, and nowhere else.
    pub fn listening_by_its_file(mut self) -> Self {
        self.listens_by_file = true;
        self
    }

    /// How many nodes must be up before the start counts as done; all, unless told.
    pub fn wait_for(mut self, up: usize) -> Self {
        self.up = Some(up);
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Circlet {
        let dir = Dir::new();
        let config = self.config.as_ref().map(|text| dir.write("circlet.toml", text));
        let mut circlet = Circlet {
            process: None,
            port: Port::lease(),
            admin: Port::lease(),
            log: dir.file("log"),
            config,
            dir,
            plan: self,
        };
        circlet.launch();
        circlet
    }
}

/// A running Circlet. Stopped when dropped; what it logged is printed if the test fails.
#[derive(Debug)]
pub struct Circlet {
    process: Option<Process>,
    port: Port,
    admin: Port,
    log: PathBuf,
    config: Option<PathBuf>,
    dir: Dir,
    plan: Plan,
}

impl Circlet {
    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where the admin's HTTP is served.
    pub fn admin(&self) -> String {
        format!("127.0.0.1:{}", self.admin.number())
    }

    /// Its directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// A new client.
    pub fn client(&self) -> Client {
        Client::connect(&self.address())
    }

    /// A new client that speaks RESP3.
    pub fn client3(&self) -> Client {
        let mut client = self.client();
        assert!(client.ask("HELLO 3").starts_with('%'));
        client
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> usize {
        resident(self.process.as_ref().unwrap().id())
    }

    /// Processor time that it has taken so far.
    pub fn processor_time(&self) -> Duration {
        processor_time(self.process.as_ref().unwrap().id())
    }

    /// What it has logged.
    pub fn output(&self) -> String {
        self.process.as_ref().map(Process::output).unwrap_or_default()
    }

    pub fn signal(&mut self, signal: Signal) {
        self.process.as_mut().unwrap().signal(signal);
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().unwrap().ended().is_none()
    }

    /// Waits for its end; gives the exit code.
    pub fn exit_code(&mut self, limit: Duration) -> i32 {
        self.process.as_mut().unwrap().exit_code(limit)
    }

    /// Ends it with SIGTERM and starts it again on the same ports.
    pub fn restart(&mut self) {
        self.signal(Signal::TERM);
        self.exit_code(LONG);
        self.launch();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.as_mut().unwrap().kill();
    }

    /// Starts it again after its end, on the same ports.
    pub fn start_again(&mut self) {
        self.launch();
    }

    /// The same while not all of its nodes are up.
    pub fn start_again_with(&mut self, up: usize) {
        self.plan.up = Some(up);
        self.launch();
    }

    /// The value of a metric, its labels as they are printed; `None` if there is none.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (status, text) = http::get(&self.admin(), "/metrics").expect("the admin address answers");
        assert_eq!(status, 200);
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until exactly `count` nodes are up.
    pub fn wait_nodes_up(&self, count: usize) {
        let wanted = format!("ready, {count} of ");
        let none = "none of ";
        until_true(&format!("{count} nodes up"), || {
            http::get(&self.admin(), "/readyz")
                .is_some_and(|(_, body)| body.starts_with(&wanted) || count == 0 && body.starts_with(none))
        });
    }

    fn launch(&mut self) {
        let binary = std::env::var("CIRCLET").unwrap_or_else(|_| BINARY.to_owned());
        let mut command = Command::new(binary);
        command.arg("serve").args(["--admin", &self.admin()]);
        if !self.plan.listens_by_file {
            command.args(["--listen", &self.address()]);
        }
        command.args(["--workers", "2"]);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        for node in &self.plan.nodes {
            command.args(["--node", node]);
        }
        command.args(&self.plan.arguments);
        let process = Process::start(command, self.log.clone());
        self.process = Some(process);
        let wanted = self.plan.up.unwrap_or(self.plan.nodes.len());
        let address = self.admin();
        until("Circlet to be ready", LONG, || {
            if let Some(status) = self.process.as_mut().unwrap().ended() {
                panic!("circlet ended ({status}): {}", self.output());
            }
            let (_, body) = http::get(&address, "/readyz")?;
            let up = if body.starts_with("none of ") || body.starts_with("pool ") {
                0
            } else {
                body.strip_prefix("ready, ")?.split(' ').next()?.parse::<usize>().ok()?
            };
            (up >= wanted).then_some(())
        });
    }
}

impl Drop for Circlet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let output = self.output();
            let from = output.char_indices().rev().nth(8_000).map_or(0, |(at, _)| at);
            eprintln!("--- what {} logged:\n{}", self.address(), &output[from..]);
        }
        let Some(process) = &mut self.process else { return };
        if process.ended().is_none() {
            process.signal(Signal::TERM);
            // Sessions of the test may still be open; nobody waits for them.
            process.signal(Signal::TERM);
            let end = std::time::Instant::now() + Duration::from_secs(3);
            while process.ended().is_none() && std::time::Instant::now() < end {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}
