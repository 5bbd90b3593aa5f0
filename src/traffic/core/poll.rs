//! What one session asks of the sessions of all workers: CLIENT LIST, KILL, PAUSE, MONITOR.
//!
//! ```text
//!  session ─► slot, Poll ─► Message::Question to every worker (this one too)
//!                 ▲                     │ looks at, or does something to, its own sessions
//!                 └─ Message::Told ◄────┘   last one: the reply goes to the slot
//! ```
//! Each worker knows its own sessions exactly, so nothing of it is shared and nothing costs a usual request anything.
//! Bounded by the slots of the sessions that ask. Pure.

use std::sync::Arc;

use super::{Asker, Core, Message, commands::Filter, pause::Pausing};
use crate::traffic::{
    client::{Client, ClientKey, Load, Reply},
    counters::Closed,
    refusal::Refusal,
    resp::encode,
};

/// What every worker is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The lines of CLIENT LIST of the sessions that this means.
    List(Arc<Filter>),
    /// End the sessions that this means.
    Kill(Arc<Filter>),
    /// CLIENT PAUSE.
    Pause(Pausing),
    /// CLIENT UNPAUSE.
    Unpause,
    /// Show MONITOR's lines to the worker that asks, from now on.
    Monitor,
}

/// What one worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Lines of sessions, with the sessions' numbers.
    Lines(Vec<(u64, String)>),
    /// So many sessions were meant.
    Count(u64),
    /// It is done.
    Done,
}

/// What becomes of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// CLIENT LIST's text.
    WithLines,
    /// CLIENT KILL's number.
    WithCount,
    /// `OK`, or "No such client": the old form of CLIENT KILL.
    WithOkIfAny,
    /// `OK`.
    WithOk,
    /// `OK`, and the session is a monitor.
    AsMonitor,
}

/// A question under way.
#[derive(Debug)]
pub(super) struct Poll {
    asker: Asker,
    ends: Ends,
    /// Workers that have not answered.
    missing: usize,
    lines: Vec<(u64, String)>,
    count: u64,
}

impl Core {
    /// Asks every worker for the session `key`.
    pub(super) fn ask_all(&mut self, key: ClientKey, question: &Question, ends: Ends) {
        let Some(asker) = self.ask(key) else { return };
        let workers = self.settings.workers;
        self.polls.push(Poll { asker, ends, missing: workers, lines: Vec::new(), count: 0 });
        for worker in 0..workers {
            self.tell(worker, Message::Question { question: question.clone(), from: asker });
        }
    }

    /// Another session's question, to be answered for the sessions of this worker.
    pub(super) fn questioned(&mut self, question: Question, from: Asker) {
        let told = match question {
            Question::List(filter) => Told::Lines(self.lines_of(&filter)),
            Question::Kill(filter) => Told::Count(self.kill_those(&filter, from)),
            Question::Pause(pausing) => return self.pause_all(pausing, from),
            Question::Unpause => {
                self.unpause_all();
                Told::Done
            }
            Question::Monitor => {
                self.show_to(from.worker, true);
                Told::Done
            }
        };
        self.tell(from.worker, Message::Told { to: from, told });
    }

    /// A worker has answered.
    pub(super) fn told(&mut self, to: Asker, told: Told) {
        let Some(at) = self.polls.iter().position(|poll| poll.asker == to) else { return };
        let poll = &mut self.polls[at];
        match told {
            Told::Lines(lines) => poll.lines.extend(lines),
            Told::Count(count) => poll.count += count,
            Told::Done => {}
        }
        poll.missing -= 1;
        if poll.missing == 0 {
            let poll = self.polls.swap_remove(at);
            self.finish_poll(poll);
        }
    }

    fn finish_poll(&mut self, mut poll: Poll) {
        let Asker { key, seq, .. } = poll.asker;
        let mut out = Vec::new();
        match poll.ends {
            Ends::WithLines => {
                poll.lines.sort_unstable_by_key(|(id, _)| *id);
                let text: String = poll.lines.into_iter().map(|(_, line)| line).collect();
                encode::verbatim_text(&mut out, &text, self.proto(key));
            }
            Ends::WithCount => encode::integer(&mut out, poll.count as i64),
            Ends::WithOkIfAny if poll.count == 0 => Refusal::Redis("ERR No such client").write(&mut out),
            Ends::WithOkIfAny | Ends::WithOk | Ends::AsMonitor => encode::simple(&mut out, "OK"),
        }
        self.fill(key, seq, Reply::Bytes(&out));
        if poll.ends == Ends::AsMonitor {
            self.begin_monitor(key);
        }
    }

    /// A session's line of CLIENT LIST.
    pub(super) fn line_of(&self, key: ClientKey) -> Option<String> {
        let client = self.client(key)?;
        let load = Load::of(client, self.wants_input(key));
        let id = client.last_command;
        let command = u16::try_from(id).ok().and_then(|id| self.snapshot.table.row(id));
        let command = command.map_or("NULL", |row| row.name.as_str());
        let mut line = String::new();
        client.record.write_line(self.now_us, command, &flags_of(client), &load, &mut line);
        Some(line)
    }

    fn lines_of(&self, filter: &Filter) -> Vec<(u64, String)> {
        let meant = self.meant(filter);
        meant.into_iter().filter_map(|(id, key)| Some((id, self.line_of(key)?))).collect()
    }

    /// The sessions that a filter means.
    fn meant(&self, filter: &Filter) -> Vec<(u64, ClientKey)> {
        let meant = |(index, client): (usize, &Client)| {
            let key = ClientKey { index: index as u32, generation: client.generation };
            filter.matches(&client.record, &flags_of(client), self.now_us).then_some((client.record.id, key))
        };
        self.clients.iter().filter_map(meant).collect()
    }

    fn kill_those(&mut self, filter: &Filter, from: Asker) -> u64 {
        let meant = self.meant(filter);
        let count = meant.len() as u64;
        for (_, key) in meant {
            if from.worker == self.index && from.key == key {
                // Its own reply still leaves.
                self.close_when_done(key, Closed::Killed);
            } else {
                self.drop_client(key, Closed::Killed);
            }
        }
        count
    }
}

/// The letters of a session's field `flags`.
fn flags_of(client: &Client) -> String {
    client.record.flags(client.closing.is_some())
}
