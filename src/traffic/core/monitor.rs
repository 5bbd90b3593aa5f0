//! MONITOR: the commands of all sessions of all workers, as lines.
//!
//! ```text
//!  request taken ─► line ─► batch ─┬► monitors of this worker, as pushes
//!                                  └► workers that have monitors (may be lost when their mailbox is full)
//! ```
//! No monitor anywhere: no cost, see `observe::Watch`. A worker shows at most [`RATE`] commands a second; above it shows every
//! n-th and says in a line of its own how many it left out. As in Redis, commands of administrators are not shown, nor
//! passwords, and a command is shown when it has passed every check; what EXEC runs in front of EXEC.
//! Bounded by the rate, [`MAX_LINE`], and `hard_pushes` per monitor. Pure.

use std::{fmt::Write as _, time::Duration};

use bytes::Bytes;

use super::{
    Core, Message,
    observe::Watch,
    poll::{Ends, Question},
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, Modes, Pause, Record},
    command::{Flags, Route, Row, Session},
    observe::shown::{REDACTED, Secrets},
    refusal::Refusal,
};

/// Commands that a worker shows per second.
const RATE: u64 = 10_000;

/// The rate is kept in steps of this length, µs.
const STEP_US: u64 = 100_000;

/// A line shows arguments until it is this long, bytes.
const MAX_LINE: usize = 1 << 20;

/// Lines are sent on when they are this many bytes, or at the end of what a client sent.
const BATCH: usize = 64 << 10;

/// One worker's monitors, and whom it shows its commands to.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    /// Sessions of this worker that monitor.
    own: Vec<ClientKey>,
    /// Workers with monitors.
    workers: Vec<usize>,
    /// Lines that are not sent on yet.
    batch: Vec<u8>,
    /// When the step began, µs.
    step_us: u64,
    /// Commands of this step, and how many of them were shown.
    seen: u64,
    shown: u64,
    /// Every so many-th command is shown in this step.
    every: u64,
    /// Batches that were lost because a mailbox was full.
    lost: u64,
}

impl Core {
    /// `MONITOR`
    pub(super) fn monitor(&mut self, key: ClientKey) -> Taken {
        let Some(client) = self.client(key) else { return Taken::Yes };
        if client.pause == Pause::Exec {
            self.refuse(key, &Refusal::Redis("ERR MONITOR isn't allowed for DENY BLOCKING client"));
        } else if !client.record.is_marked(Record::MONITOR) {
            self.ask_all(key, &Question::Monitor, Ends::AsMonitor);
        }
        // As in Redis, the second one is not answered.
        Taken::Yes
    }

    /// All workers show their commands here: the session sees them from now on.
    pub(super) fn begin_monitor(&mut self, key: ClientKey) {
        match self.client_mut(key) {
            Some(client) => {
                client.special_mut().listens = true;
                client.modes.set(Modes::MONITOR, true);
                client.record.mark(Record::MONITOR, true);
                self.monitors.own.push(key);
            }
            None => self.none_monitors(),
        }
    }

    /// The session monitors no more: RESET, QUIT, or it is gone.
    pub(super) fn end_monitor(&mut self, key: ClientKey) {
        let Some(at) = self.monitors.own.iter().position(|own| *own == key) else { return };
        self.monitors.own.swap_remove(at);
        if let Some(client) = self.client_mut(key) {
            client.special_mut().listens = false;
            client.modes.set(Modes::MONITOR, false);
            client.record.mark(Record::MONITOR, false);
        }
        self.none_monitors();
    }

    fn none_monitors(&mut self) {
        if self.monitors.own.is_empty() {
            for worker in 0..self.settings.workers {
                self.tell(worker, Message::MonitorsEnded(self.index));
            }
        }
    }

    /// From now on commands are shown to this worker, or no more.
    pub(super) fn show_to(&mut self, worker: usize, on: bool) {
        self.monitors.workers.retain(|known| *known != worker);
        if on {
            self.monitors.workers.push(worker);
        }
        self.watch.set(Watch::MONITORED, !self.monitors.workers.is_empty());
    }

    /// A monitor may not touch keys: Redis takes it for a replica.
    pub(super) fn while_monitoring(&mut self, key: ClientKey, row: &Row) -> Option<Taken> {
        let touches = [Flags::READONLY, Flags::WRITE, Flags::MAY_REPLICATE].iter().any(|flag| row.flags.has(*flag));
        touches.then(|| {
            self.refuse(key, &Refusal::Redis("ERR Replica can't interact with the keyspace"));
            Taken::Refused
        })
    }

    /// Shows a command that was taken, unless it was only queued, or is an EXEC that is shown behind what it runs.
    pub(super) fn show_taken(&mut self, key: ClientKey, request: Request<'_>, row: &Row) {
        let Some(client) = self.client_mut(key) else { return };
        let queued = client.modes.has(Modes::QUEUEING)
            && !matches!(row.route, Route::Session(Session::Multi | Session::Exec | Session::Watch));
        let apart = row.route == Route::Session(Session::Exec)
            && client.special.as_mut().is_some_and(|special| std::mem::take(&mut special.exec_shown_apart));
        let db = client.db;
        if !queued && !apart {
            self.show(key, db, request, row);
        }
    }

    /// Shows a command that runs in this db.
    pub(super) fn show(&mut self, key: ClientKey, db: u32, request: Request<'_>, row: &Row) {
        // Scripts are marked as hidden because Redis shows them itself, before what they call.
        let hidden = row.flags.has(Flags::SKIP_MONITOR) && row.group != "scripting";
        if hidden || row.flags.has(Flags::ADMIN) || !self.is_due() {
            return;
        }
        let Some(client) = self.client(key) else { return };
        let args: Vec<&[u8]> = (0..request.args.len()).map(|index| request.arg(index)).collect();
        let source = format!("{db} {}", client.record.addr);
        let line = line(self.wall_clock(), &source, &args);
        self.monitors.batch.extend_from_slice(line.as_bytes());
        if self.monitors.batch.len() >= BATCH {
            self.send_lines();
        }
    }

    /// Whether the next command is shown.
    fn is_due(&mut self) -> bool {
        if self.now_us >= self.monitors.step_us + STEP_US {
            self.begin_step();
        }
        let monitors = &mut self.monitors;
        monitors.seen += 1;
        let due = (monitors.seen - 1).is_multiple_of(monitors.every.max(1)) && monitors.shown < per_step();
        monitors.shown += u64::from(due);
        due
    }

    /// What was left out in the last step is said, and how many are left out in this one follows from it.
    fn begin_step(&mut self) {
        let (now_us, clock) = (self.now_us, self.wall_clock());
        let monitors = &mut self.monitors;
        let left_out = monitors.seen - monitors.shown;
        if left_out > 0 || monitors.lost > 0 {
            let mut said = format!("{left_out} of {} commands left out, more than {RATE} per second", monitors.seen);
            if monitors.lost > 0 {
                let _ = write!(said, "; {} batches of lines lost on their way between workers", monitors.lost);
            }
            let notice = line(clock, "0 circlet:0", &[b"CIRCLET", b"MONITOR", said.as_bytes()]);
            monitors.batch.extend_from_slice(notice.as_bytes());
        }
        monitors.every = monitors.seen.div_ceil(per_step());
        (monitors.step_us, monitors.seen, monitors.shown, monitors.lost) = (now_us, 0, 0, 0);
    }

    /// To be called every 100 ms or so: what was left out is said even if no command follows.
    pub(super) fn end_step(&mut self) {
        if self.watch.has(Watch::MONITORED) && self.now_us >= self.monitors.step_us + STEP_US {
            self.begin_step();
            self.send_lines();
        }
    }

    /// Sends on the lines so far.
    pub(super) fn send_lines(&mut self) {
        if self.monitors.batch.is_empty() {
            return;
        }
        let lines = Bytes::from(std::mem::take(&mut self.monitors.batch));
        for worker in self.monitors.workers.clone() {
            self.tell(worker, Message::Monitored(lines.clone()));
        }
    }

    /// Lines for the monitors of this worker.
    pub(super) fn monitored(&mut self, lines: &Bytes) {
        for key in self.monitors.own.clone() {
            self.push(key, lines);
        }
    }

    /// A message could not be put into another worker's full mailbox.
    pub fn message_lost(&mut self) {
        self.monitors.lost += 1;
    }

    /// Time since 1970.
    fn wall_clock(&self) -> Duration {
        self.zero + Duration::from_micros(self.now_us)
    }
}

fn per_step() -> u64 {
    RATE * STEP_US / 1_000_000
}

/// `+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn line(clock: Duration, source: &str, args: &[&[u8]]) -> String {
    let mut line = format!("+{}.{:06} [{source}]", clock.as_secs(), clock.subsec_micros());
    let secrets = Secrets::of(args);
    for (index, arg) in args.iter().enumerate() {
        let room = MAX_LINE.saturating_sub(line.len());
        if room == 0 {
            let _ = write!(line, " \"... ({} more arguments)\"", args.len() - index);
            break;
        }
        line.push_str(" \"");
        let arg = if secrets.hides(index) { REDACTED } else { arg };
        quote(&arg[..arg.len().min(room)], &mut line);
        if arg.len() > room {
            let _ = write!(line, "... ({} more bytes)", arg.len() - room);
        }
        line.push('"');
    }
    line.push_str("\r\n");
    line
}

/// As `sdscatrepr` of Redis writes a string.
fn quote(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend(['\\', char::from(*byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(*byte)),
            other => {
                let _ = write!(out, "\\x{other:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_redis_writes_it() {
        let clock = Duration::from_micros(1_795_265_000_480_979);
        let args: [&[u8]; 3] = [b"SET", b"a", b"b\"\\x\n\t\xc3\xa9"];
        let expected = "+1795265000.480979 [0 127.0.0.1:55864] \"SET\" \"a\" \"b\\\"\\\\x\\n\\t\\xc3\\xa9\"\r\n";
        assert_eq!(line(clock, "0 127.0.0.1:55864", &args), expected);
        assert!(line(clock, "0 x", &[b"auth", b"secret"]).ends_with("\"auth\" \"(redacted)\"\r\n"));
        let long = vec![b'x'; MAX_LINE + 500];
        let cut = line(clock, "0 x", &[b"SET", &long, b"v"]);
        assert!(cut.len() < MAX_LINE + 100 && cut.ends_with("more bytes)\" \"... (1 more arguments)\"\r\n"));
    }
}
