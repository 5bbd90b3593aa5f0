//! What is under way on a voter's line, between the shell, which puts requests in, and the line, which carries them.
//!
//! ```text
//!  shell ─ send ─► out (bytes of many requests) ─── taken by the line ──► node
//!                  flights, in their order ◄─ next ─ the line ◄────────── its answers
//! ```
//! Requests are written into one buffer until the line takes it: under load many go with one system call. Closed, it
//! takes nothing: what the keeper sends over a line that is gone is dropped, and the keeper is told that it is gone. Pure, but for
//! the bell. Bounded by the keeper, which asks no node for more than so much.

use std::{cell::RefCell, collections::VecDeque};

use tokio::sync::Notify;

use super::{
    keeper::{LineNo, Now, Script, Ticket},
    script,
};

/// A request under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) what: What,
    /// When it was put in: it was sent later.
    pub(super) sent: Now,
}

/// What a request asks.
#[derive(Debug)]
pub(super) enum What {
    /// Something of the keeper's.
    Script {
        /// Whose answer it is.
        ticket: Ticket,
        /// What.
        script: Script,
        /// It is sent for the second time: the node did not know the script.
        again: bool,
    },
    /// The script is made known; nobody waits for the answer.
    Load,
    /// INFO: a look begins.
    Info,
    /// The marker: a look ends.
    Marker,
}

/// One voter's requests.
#[derive(Debug, Default)]
pub(super) struct Wire {
    state: RefCell<State>,
    bell: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: Option<LineNo>,
    out: Vec<u8>,
    flights: VecDeque<Flight>,
    /// Something was put in that the line was not told of.
    rung: bool,
}

impl Wire {
    /// A line is there.
    pub(super) fn open(&self, line: LineNo) {
        *self.state.borrow_mut() = State { open: Some(line), ..State::default() };
    }

    /// It is gone, with all that was under way.
    pub(super) fn close(&self) {
        *self.state.borrow_mut() = State::default();
    }

    /// Sends a request of the keeper's over this line, if it is still there. The line is told by [`Wire::ring`].
    pub(super) fn send(&self, line: LineNo, ticket: Ticket, script: Script, now: Now) {
        let mut state = self.state.borrow_mut();
        if state.open == Some(line) {
            script::write(&script, &mut state.out);
            state.flights.push_back(Flight { what: What::Script { ticket, script, again: false }, sent: now });
            state.rung = true;
        }
    }

    /// Tells the line of what was put in.
    pub(super) fn ring(&self) {
        if std::mem::take(&mut self.state.borrow_mut().rung) {
            self.bell.notify_one();
        }
    }

    /// Waits for the bell. Cancel-safe.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Asks how the node is.
    pub(super) fn look(&self, now: Now) {
        let mut state = self.state.borrow_mut();
        for (what, words) in [(What::Info, &["INFO"][..]), (What::Marker, &["GET", script::ADMIT][..])] {
            script::words(words, &mut state.out);
            state.flights.push_back(Flight { what, sent: now });
        }
    }

    /// Puts the bytes that are to be written now into `sending`, which is empty; its room is used for those that follow.
    pub(super) fn take(&self, sending: &mut Vec<u8>) {
        std::mem::swap(sending, &mut self.state.borrow_mut().out);
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        state.out.is_empty() && state.flights.is_empty()
    }

    /// Whose the next answer is.
    pub(super) fn next(&self) -> Option<Flight> {
        self.state.borrow_mut().flights.pop_front()
    }

    /// When the oldest request under way was put in.
    pub(super) fn oldest(&self) -> Option<Now> {
        self.state.borrow().flights.front().map(|flight| flight.sent)
    }

    /// The node did not know the script. It is made known and asked for again, unless it was already, or something else of
    /// the same lock is under way: the order in which a lock's requests run is never changed. Then the script comes back.
    pub(super) fn again(&self, ticket: Ticket, script: Script, again: bool, now: Now) -> Option<Script> {
        let mut state = self.state.borrow_mut();
        let lock = script::lock(&script);
        let same =
            |flight: &Flight| matches!(&flight.what, What::Script { script, .. } if script::lock(script) == lock);
        let Some(lua) = script::lua(&script).filter(|_| !again && !state.flights.iter().any(same)) else {
            return Some(script);
        };
        script::words(&["SCRIPT", "LOAD", lua.text()], &mut state.out);
        state.flights.push_back(Flight { what: What::Load, sent: now });
        script::write(&script, &mut state.out);
        state.flights.push_back(Flight { what: What::Script { ticket, script, again: true }, sent: now });
        None
    }
}
