//! A client program of a test: started, talked to, and waited for; ended when dropped.

use std::{
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use crate::support::wait::until;

/// Enough for any scenario, on a slow and busy machine too.
const LIMIT: Duration = Duration::from_secs(60);

/// A running client program.
#[derive(Debug)]
pub struct Program {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    /// What it has written, to standard output and error.
    written: Vec<u8>,
    /// How much of that has been expected already.
    seen: usize,
}

impl Program {
    /// Starts `command`, whose parts `tests/setup.sh` installs.
    pub fn start(mut command: Command) -> Self {
        // No file of the user changes what a client does.
        command.env("HOME", std::env::temp_dir()).env("REDISCLI_HISTFILE", "/dev/null");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => missing(&command.get_program().to_string_lossy()),
            _ => panic!("{command:?}: {error}"),
        });
        let (sender, output) = channel();
        forward(child.stdout.take().unwrap(), sender.clone());
        forward(child.stderr.take().unwrap(), sender);
        let input = child.stdin.take();
        Self { child, input, output, written: Vec::new(), seen: 0 }
    }

    /// Gives it input.
    pub fn write(&mut self, bytes: &[u8]) {
        // One that has ended says why in its output, which `expect` and `finish` show.
        let _ = self.input.as_mut().unwrap().write_all(bytes);
    }

    /// Says that no more input comes.
    pub fn end_input(&mut self) {
        self.input = None;
    }

    /// Waits until it has written `text`, after what was expected before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let end = Instant::now() + LIMIT;
        loop {
            let found = self.written[self.seen..].windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = found {
                self.seen += at + text.len();
                return;
            }
            assert!(self.read_some(end), "the program ended before it wrote {text:?}:\n{}", self.text());
        }
    }

    /// Ends its input and waits for its end, which must be a good one; gives all it has written.
    #[track_caller]
    pub fn finish(mut self) -> String {
        self.end_input();
        let end = Instant::now() + LIMIT;
        while self.read_some(end) {}
        let status = until("the program to end", LIMIT, || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}:\n{}", self.text());
        self.text()
    }

    /// False when nothing more will come.
    fn read_some(&mut self, end: Instant) -> bool {
        match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(chunk) => self.written.extend(chunk),
            Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => panic!("waited in vain; it has written:\n{}", self.text()),
        }
        true
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(mut from: impl Read + Send + 'static, to: Sender<Vec<u8>>) {
    thread::spawn(move || {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            if to.send(chunk[..count].to_vec()).is_err() {
                break;
            }
        }
    });
}

/// The path of a file in this directory.
pub fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Fails the test for a thing that is not installed.
pub fn missing(what: &str) -> ! {
    panic!("{what} is missing; run tests/setup.sh, which installs what the tests need")
}
