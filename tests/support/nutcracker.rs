//! A real nutcracker (twemproxy), to be compared with.

use std::{env, path::PathBuf, process::Command};

use super::{
    client::Client,
    dir::Dir,
    port::Port,
    process::Process,
    wait::{LONG, until_true},
};

/// A running nutcracker. Stopped when dropped.
#[derive(Debug)]
pub struct Nutcracker {
    _process: Process,
    _stats: Port,
    _dir: Dir,
}

impl Nutcracker {
    /// Where the program is; Debian puts it where only root looks. `None`, with a word about it: it is not installed.
    pub fn program() -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let found = env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
            .map(|dir| dir.join("nutcracker"))
            .find(|path| path.is_file());
        if found.is_none() {
            eprintln!("nutcracker is not installed (tests/setup.sh does it): only the golden data was compared");
        }
        found
    }

    /// Starts it with this configuration and waits until it listens on all of `addresses`.
    pub fn start(program: &PathBuf, config: &str, addresses: &[String]) -> Self {
        let (dir, stats) = (Dir::new(), Port::lease());
        let config = dir.write("nutcracker.yml", config);
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(config)
            .args(["-a", "127.0.0.1", "-s", &stats.number().to_string()])
            .current_dir(dir.path());
        let mut process = Process::start(command, dir.file("log"));
        for address in addresses {
            until_true("nutcracker to listen", || {
                if let Some(status) = process.ended() {
                    panic!("nutcracker ended ({status}): {}", process.output());
                }
                Client::try_connect(address, LONG).is_ok()
            });
        }
        Self { _process: process, _stats: stats, _dir: dir }
    }
}
