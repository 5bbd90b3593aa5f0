//! What stands between a request and its route, for the few sessions that are in a mode of their own.
//!
//! ```text
//!  request, its row found, arity and password checked ─► intercept ─► route
//!                                                          │ MONITOR: no keys
//!                                                          │ subscribed with RESP2: refused, or allowed
//!                                                          ├ between MULTI and EXEC: queued
//!                                                          └ behind CLIENT CACHING: the word is used up
//! ```
//! In Redis's order (`processCommand`). A session without [`Modes`] never comes here. Pure.

use super::{
    Core,
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, Modes},
    command::Row,
};

impl Core {
    /// Deals with a request because of its session's modes; `None`: it goes its usual way.
    pub(super) fn intercept(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Option<Taken> {
        if let Some(taken) = self.while_hearing(key, row) {
            return Some(taken);
        }
        let modes = self.client(key)?.modes;
        let taken = if modes.has(Modes::QUEUEING) { self.while_queueing(key, request, row) } else { None };
        if modes.has(Modes::TRACKING) && self.client(key)?.tracking().is_some_and(|tracking| tracking.caching) {
            return Some(self.after_caching(key, request, row, taken));
        }
        taken
    }

    /// A monitor, and who is subscribed with RESP2, may give few commands; `None`: this is one of them, or it is no such session.
    pub(super) fn while_hearing(&mut self, key: ClientKey, row: &Row) -> Option<Taken> {
        let modes = self.client(key)?.modes;
        let taken = if modes.has(Modes::MONITOR) { self.while_monitoring(key, row) } else { None };
        if taken.is_none() && modes.has(Modes::SUBSCRIBED) { self.while_subscribed(key, row) } else { taken }
    }
}
