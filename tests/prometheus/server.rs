//! A Prometheus of one test, with conf/prometheus.yml and conf/circlet-alerts.yml, that scrapes one Circlet often.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::support::{
    dir::Dir,
    http,
    port::Port,
    process::Process,
    wait::{LONG, until},
};

/// How often it scrapes and evaluates, and over how much time a rate is taken.
const INTERVAL: &str = "300ms";
pub(super) const RATE: &str = "3s";

/// A running Prometheus; ended when dropped.
#[derive(Debug)]
pub(super) struct Prometheus {
    _process: Process,
    port: Port,
    _dir: Dir,
}

/// The text of a file in conf/.
pub(super) fn conf(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name)).unwrap()
}

/// Whether a program of Debian's package is there; says so if not.
pub(super) fn is_installed(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        eprintln!(
            "{program} IS NOT INSTALLED AND THIS TEST CHECKED NOTHING; tests/setup.sh installs it where it can be had"
        );
    }
    there
}

impl Prometheus {
    /// Scrapes the admin address `circlet`; `None`: it is not installed.
    pub(super) fn over(circlet: &str) -> Option<Self> {
        if !is_installed("prometheus") {
            return None;
        }
        let (dir, port) = (Dir::new(), Port::lease());
        let config = conf("prometheus.yml");
        assert!(config.contains("127.0.0.1:9180") && config.contains("interval: 15s"), "{config}");
        let config =
            config.replace("127.0.0.1:9180", circlet).replace("interval: 15s", &format!("interval: {INTERVAL}"));
        let file = dir.write("prometheus.yml", &config);
        dir.write("circlet-alerts.yml", &conf("circlet-alerts.yml"));
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.file("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{}", port.number())).arg("--log.level=warn");
        let process = Process::start(command, dir.file("prometheus.log"));
        let prometheus = Self { _process: process, port, _dir: dir };
        until("Prometheus", LONG, || http::get(&prometheus.address(), "/-/ready").filter(|(status, _)| *status == 200));
        Some(prometheus)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// `data` of its HTTP API at `path`.
    #[track_caller]
    pub(super) fn api(&self, path: &str) -> Value {
        let (status, body) = http::get(&self.address(), &format!("/api/v1/{path}")).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()["data"].take()
    }

    /// What `query` gives now: the values that are numbers.
    #[track_caller]
    pub(super) fn query(&self, query: &str) -> Vec<f64> {
        let data = self.api(&format!("query?query={}", encoded(query)));
        let value = |sample: &Value| sample["value"][1].as_str()?.parse::<f64>().ok().filter(|value| value.is_finite());
        data["result"].as_array().unwrap().iter().filter_map(value).collect()
    }
}

/// `text` as a part of an address.
fn encoded(text: &str) -> String {
    let letter = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(letter).collect()
}
