//! One redis-server process of `circlet dev`: found, started, asked, stopped.
//!
//! It has a process group of its own, so that the terminal's Ctrl-C reaches Circlet alone, which first answers what is in
//! flight. Its files are in its working directory. Io.

use std::{
    env, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// Programs that serve, the first found in PATH is taken.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// What the node says about itself, in its directory.
const LOG: &str = "redis.log";

/// Time to answer the first time; time spent on loading data is not counted.
const START_TIME: Duration = Duration::from_secs(30);
/// Pause between two questions whether it answers.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Time for one such question.
const ASK_TIME: Duration = Duration::from_secs(1);

/// The name of the node `index`; it decides the node's place on the ring.
pub(super) fn name(index: usize) -> String {
    format!("node-{}", index + 1)
}

/// The server's program; `Err` says how to get it.
pub(super) fn find_program() -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Absolute, because a node starts in a directory of its own.
    let dirs: Vec<PathBuf> = env::split_paths(&path).collect();
    find_in(&dirs).and_then(|found| std::path::absolute(found).ok()).ok_or_else(|| {
        "redis-server is not in PATH; install it (Debian, Ubuntu: apt-get install redis-server redis-tools; Fedora: dnf \
         install redis; Alpine: apk add redis; macOS: brew install redis), or let `make run` do it"
            .to_owned()
    })
}

fn find_in(dirs: &[PathBuf]) -> Option<PathBuf> {
    let runs =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    PROGRAMS.iter().find_map(|program| dirs.iter().map(|dir| dir.join(program)).find(runs))
}

/// A running node.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    port: u16,
    dir: PathBuf,
    child: Child,
    /// Its end was told already.
    told: bool,
}

impl Node {
    /// Starts `program` as the node `index` on `port`, with its files in `dir`; `kept`: with an append-only file.
    pub(super) fn start(program: &Path, index: usize, port: u16, dir: PathBuf, kept: bool) -> io::Result<Self> {
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--protected-mode", "yes"])
            // Relative to the working directory: the server would split a path at its spaces.
            .args(["--dir", ".", "--logfile", LOG, "--daemonize", "no"])
            .args(["--save", "", "--appendonly", if kept { "yes" } else { "no" }])
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            // If Circlet's own end is not an orderly one.
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { name: name(index), port, dir, child, told: false })
    }

    /// Waits until it answers; `Err` is for the person who started it.
    pub(super) async fn answers(&mut self) -> Result<(), String> {
        let mut deadline = Instant::now() + START_TIME;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!(
                    "{} on port {} did not start ({status}){}",
                    self.name,
                    self.port,
                    self.last_words()
                ));
            }
            match timeout(ASK_TIME, ask(self.port)).await {
                Ok(Ok(answer)) if answer.starts_with(b"+PONG") => return Ok(()),
                Ok(Ok(answer)) if answer.starts_with(b"-LOADING") => deadline = Instant::now() + START_TIME,
                _ if Instant::now() > deadline => {
                    let words = self.last_words();
                    return Err(format!("{} on port {} does not answer{words}", self.name, self.port));
                }
                _ => {}
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// The end of its log, to be put behind a message.
    fn last_words(&self) -> String {
        let log = fs::read(self.dir.join(LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        last.iter().rev().fold(String::new(), |text, line| text + "\n  " + line)
    }

    /// Says once that it has ended, if it has.
    pub(super) fn tell_end(&mut self) {
        if !self.told
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.told = true;
            tracing::warn!("{} on port {} has ended ({status}){}", self.name, self.port, self.last_words());
        }
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        // No id: it has ended and was waited for, so the number may be another process's.
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::TERM)) {
            tracing::debug!("{}: {error}", self.name);
        }
    }

    /// Waits for its end. Cancel-safe.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it at once.
    pub(super) async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            super::complain(format_args!("{} on port {} cannot be ended: {error}", self.name, self.port));
        }
    }
}

/// The first bytes of the answer to PING.
async fn ask(port: u16) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut answer = Vec::with_capacity(64);
    stream.read_buf(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_program_must_be_a_file_that_runs() {
        let scratch = Scratch::new("path");
        let dir = scratch.path().to_owned();
        let (plain, good) = (dir.join("plain"), dir.join("good"));
        for dir in [&plain, &good] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::create_dir_all(dir.join("redis-server")).unwrap();
        fs::write(plain.join("redis-server"), "").unwrap();
        fs::write(good.join("valkey-server"), "").unwrap();
        fs::set_permissions(good.join("valkey-server"), fs::Permissions::from_mode(0o755)).unwrap();
        let found = find_in(&[dir, plain, good.clone()]);
        assert_eq!(found, Some(good.join("valkey-server")));
    }

    #[test]
    fn names_count_from_one() {
        assert_eq!((name(0).as_str(), name(9).as_str()), ("node-1", "node-10"));
    }
}
