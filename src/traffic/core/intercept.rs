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
        let modes = self.client(key)?.modes;
        if modes.has(Modes::MONITOR)
            && let Some(taken) = self.while_monitoring(key, row)
        {
            return Some(taken);
        }
        if modes.has(Modes::SUBSCRIBED)
            && let Some(taken) = self.while_subscribed(key, row)
        {
            return Some(taken);
        }
        let taken = if modes.has(Modes::QUEUEING) { self.while_queueing(key, request, row) } else { None };
        if modes.has(Modes::TRACKING) && self.client(key)?.tracking().is_some_and(|tracking| tracking.caching) {
            return Some(self.after_caching(key, request, row, taken));
        }
        taken
    }
}
