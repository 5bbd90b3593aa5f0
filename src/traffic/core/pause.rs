//! CLIENT PAUSE: the requests of all sessions wait, or only those that write.
//!
//! ```text
//!  CLIENT PAUSE ─► every worker: from now on requests are held ─► what is in flight of their kind is answered ─► OK
//!  time over, or CLIENT UNPAUSE ─► the sessions that were held go on where they stopped
//! ```
//! A held session is not read any more: what it sent is kept, the rest waits in its socket, so nothing is lost and nothing
//! grows. CLIENT PAUSE is answered only when no node runs a request any more that it would have held: from then on nothing
//! that it pauses happens anywhere. As in Redis the longer time and the stronger mode win. Unlike in Redis, CLIENT UNPAUSE
//! and CLIENT PAUSE pass while all is paused, so that anybody can end it. Over within a tick of its time. Pure.

use super::{Asker, Core, Message, Todo, observe::Watch, poll::Told};
use crate::traffic::{
    client::{ClientKey, Pause, Record},
    command::{Flags, Local, Route, Row, Session},
    pipe::{Entry, Owner},
};

/// What is paused, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pausing {
    /// µs of the process's clock.
    pub until_us: u64,
    /// Only what may write.
    pub writes_only: bool,
}

/// A worker's part in it.
#[derive(Debug, Default)]
pub(super) struct Paused {
    now: Option<Pausing>,
    /// Sessions that are held.
    held: Vec<ClientKey>,
    /// Who waits until nothing is in flight any more.
    askers: Vec<Asker>,
}

impl Core {
    /// From now on sessions are held.
    pub(super) fn pause_all(&mut self, pausing: Pausing, from: Asker) {
        let known = self.paused.now.unwrap_or(pausing);
        self.paused.now = Some(Pausing {
            until_us: known.until_us.max(pausing.until_us),
            writes_only: known.writes_only && pausing.writes_only,
        });
        self.watch.set(Watch::PAUSED, true);
        self.paused.askers.push(from);
        self.tell_quiet();
    }

    /// Lets every held session go on.
    pub(super) fn unpause_all(&mut self) {
        self.paused.now = None;
        self.tell_quiet();
        self.watch.set(Watch::PAUSED, false);
        for key in std::mem::take(&mut self.paused.held) {
            if let Some(client) = self.client_mut(key)
                && client.pause == Pause::Held
            {
                client.pause = Pause::No;
                client.record.mark(Record::BLOCKED, false);
                self.todo.push(Todo::Resume(key));
            }
        }
    }

    /// Ends the pause when its time is over. To be called every 100 ms or so.
    pub(super) fn end_pause_in_time(&mut self) {
        if self.paused.now.is_some_and(|pausing| pausing.until_us <= self.now_us) {
            self.unpause_all();
        }
        self.tell_quiet();
    }

    /// Holds a session whose request must wait; false: it need not.
    pub(super) fn hold(&mut self, key: ClientKey, row: &Row) -> bool {
        let Some(pausing) = self.paused.now.filter(|pausing| pausing.until_us > self.now_us) else { return false };
        let ends_it = matches!(row.route, Route::Local(Local::ClientPause | Local::ClientUnpause));
        if ends_it || pausing.writes_only && !self.may_write(key, row) {
            return false;
        }
        let Some(client) = self.client_mut(key).filter(|client| !client.record.is_marked(Record::MONITOR)) else {
            return false;
        };
        client.pause = Pause::Held;
        client.record.mark(Record::BLOCKED, true);
        self.paused.held.push(key);
        true
    }

    /// Whether a command may write, as CLIENT PAUSE … WRITE sees it: PUBLISH and scripts too; EXEC if it runs any of these.
    fn may_write(&self, key: ClientKey, row: &Row) -> bool {
        if row.route == Route::Session(Session::Exec) {
            let special = self.client(key).and_then(|client| client.special.as_deref());
            let transaction = special.and_then(|special| special.transaction.as_deref());
            return transaction.is_some_and(|transaction| transaction.may_write);
        }
        row.flags.has(Flags::WRITE) || row.flags.has(Flags::MAY_REPLICATE)
    }

    /// Answers CLIENT PAUSE when nothing is in flight any more that it pauses.
    pub(super) fn tell_quiet(&mut self) {
        if self.paused.askers.is_empty() {
            return;
        }
        if let Some(pausing) = self.paused.now {
            let runs = |entry: &Entry| {
                let asked = matches!(entry.owner, Owner::Client | Owner::Part);
                asked && !entry.waits && !(pausing.writes_only && entry.reads)
            };
            if self.pipes.iter().any(|pipe| pipe.inflight.iter().any(runs)) {
                return;
            }
        }
        for asker in std::mem::take(&mut self.paused.askers) {
            self.tell(asker.worker, Message::Told { to: asker, told: Told::Done });
        }
    }
}
