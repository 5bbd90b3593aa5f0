//! The status page in a real Chromium, over real nodes: drawn, live, usable without a mouse, in the dark and on a phone, and
//! complaining of nothing.
//!
//! `page.js` plays the scenarios and asks for what only this side can do (KILL, START, STOP). `tests/setup.sh` installs
//! Chromium; a test that finds none fails and says so. The picture in the README is made anew by
//! `SHOT=$PWD/conf/status-page.webp AFTER=40 cargo nextest run page::it_is_drawn`.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use rustix::process::Signal;

use crate::{
    clients::program::{Program, missing},
    support::{
        Client, Cluster, Redis,
        circlet::{Circlet, Plan},
        wait::LONG,
    },
};

/// What names a node may have; a page that made markup of it would run it.
const NASTY: &str = "<script>alert(1)</script>";

fn chromium() -> &'static str {
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).exists()))
    });
    found.unwrap_or_else(|| missing("chromium"))
}

pub(crate) fn open(circlet: &Circlet, scenario: &str, more: &[&str]) -> Program {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let own = tests.join(".venv/bin/node");
    let mut command = if own.exists() { Command::new(own) } else { Command::new("node") };
    command.arg(tests.join("page/page.js")).args([chromium(), &format!("http://{}", circlet.admin()), scenario]);
    command.args(more);
    Program::start(command)
}

/// Three nodes, the second one with a name that wants to be markup; for the picture with names and weights as usual.
fn cluster(change: impl FnOnce(Plan) -> Plan) -> Cluster {
    let nodes = Redis::several(3);
    let names = match std::env::var_os("SHOT") {
        None => [("cache-a", ""), (NASTY, ""), ("cache-c", "")],
        Some(_) => [("cache-a", ""), ("cache-b", ""), ("cache-c", "*2")],
    };
    let plan = names
        .iter()
        .zip(&nodes)
        .fold(Plan::default(), |plan, ((name, weight), node)| plan.node(format!("{name}={}{weight}", node.address())));
    let circlet = change(plan.set("node_info=1s").set("pipe.backoff_max=200ms")).start();
    Cluster { circlet, nodes }
}

/// Clients that ask until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn on(circlet: &Circlet) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..2).map(|number| {
            let (address, stop) = (circlet.address(), Arc::clone(&stop));
            thread::spawn(move || ask(&mut Client::connect(&address), number, &stop))
        });
        Self { threads: clients.collect(), stop }
    }
}

fn ask(client: &mut Client, number: u32, stop: &AtomicBool) {
    for round in (0_u32..).take_while(|_| !stop.load(Relaxed)) {
        let key = round.wrapping_mul(7_919).wrapping_add(number) % 5_000;
        client.ask(&format!("SET user:{key} {}", "x".repeat(100)));
        client.ask(&format!("GET user:{key}"));
        client.ask("GET user:hot");
        if round % 50 == 0 {
            client.ask("DBSIZE");
            client.ask(&format!("LPUSH user:{key} v"));
        }
        thread::sleep(std::time::Duration::from_millis(u64::from(round % 3)));
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn it_is_drawn_lives_and_shows_a_node_that_dies() {
    let mut cluster = cluster(|plan| plan);
    let load = Load::on(&cluster.circlet);
    let mut page = open(&cluster.circlet, "lives", &[]);
    page.expect("KILL\n");
    cluster.nodes[1].kill();
    page.write(b"done\n");
    page.expect("START\n");
    cluster.nodes[1].start_again();
    page.write(b"done\n");
    page.finish();
    drop(load);
}

#[test]
fn it_is_usable_without_a_mouse_in_the_dark_and_on_a_phone() {
    let cluster = cluster(|plan| plan);
    open(&cluster.circlet, "usable", &[]).finish();
}

#[test]
fn a_browser_asks_for_the_token() {
    let token = "0123456789abcdef0123456789abcdef";
    let cluster = cluster(|plan| plan.set(&format!("admin_token={token}")));
    open(&cluster.circlet, "token", &[token]).finish();
    assert!(!cluster.circlet.output().contains(token));
}

#[test]
fn it_says_that_circlet_is_gone_and_goes_on_when_it_is_back() {
    let mut cluster = cluster(|plan| plan);
    let mut page = open(&cluster.circlet, "survives", &[]);
    page.expect("STOP\n");
    cluster.circlet.signal(Signal::TERM);
    cluster.circlet.exit_code(LONG);
    page.write(b"done\n");
    page.expect("START\n");
    cluster.circlet.start_again();
    page.write(b"done\n");
    page.finish();
}
