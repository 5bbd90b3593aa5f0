//! CLIENT TRACKING, CACHING, TRACKINGINFO and GETREDIR: what a session says of the keys that it caches.
//!
//! Checked and answered here as Redis does; `core/tracking.rs` holds the connections. CLIENT TRACKING waits for the
//! replies before it, so that what was asked before it is not tracked and what is asked behind it is.

use super::{NOT_AN_INTEGER, integer};
use crate::traffic::{
    client::{ClientKey, Modes, Tracking, Wish, tracking},
    command::{Row, Session},
    core::{
        Core,
        request::{Request, Taken},
    },
    refusal::Refusal,
    resp::encode,
};

impl Core {
    /// One of the commands of this file.
    pub(super) fn client_tracking(&mut self, key: ClientKey, request: Request<'_>, which: Session) -> Taken {
        match which {
            Session::Tracking if self.awaits_replies(key) => return Taken::Later,
            Session::Tracking => self.set_tracking(key, request),
            Session::Caching => self.set_caching(key, request.arg(2)),
            Session::GetRedir => {
                let redirection = tracking::redirection(self.tracking(key));
                self.answer(key, |out| encode::integer(out, redirection));
            }
            _ => {
                let mut text = Vec::new();
                tracking::write_info(self.tracking(key), self.proto(key), &mut text);
                self.answer(key, |out| out.extend_from_slice(&text));
            }
        }
        Taken::Yes
    }

    fn tracking(&self, key: ClientKey) -> Option<&Tracking> {
        self.client(key)?.tracking()
    }

    /// `CLIENT TRACKING ON | OFF [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]`
    fn set_tracking(&mut self, key: ClientKey, request: Request<'_>) {
        let args: Vec<&[u8]> = (2..request.args.len()).map(|index| request.arg(index)).collect();
        let exists = |id| self.registry.get(id).is_some();
        let wish = Wish::parse(&args, |text| integer(text).ok_or(NOT_AN_INTEGER), exists);
        let wish = match wish.and_then(|wish| match wish.on {
            true => wish.check(self.tracking(key)).map(|()| wish),
            false => Ok(wish),
        }) {
            Ok(wish) => wish,
            Err(text) => return self.refuse(key, &Refusal::Redis(&text)),
        };
        if !wish.on {
            self.stop_tracking(key);
            return self.ok(key);
        }
        let tracking = Tracking::after(wish, self.tracking(key));
        match self.track(key, tracking) {
            Ok(()) => self.answer_tracking(key),
            Err((node, why)) => {
                self.stop_tracking(key);
                self.refuse_tracked(key, node, &why);
            }
        }
    }

    /// Whether CLIENT CACHING with this word would have the node do otherwise with the commands behind it.
    pub(super) fn may_cache(&self, key: ClientKey, word: &[u8]) -> bool {
        let now = self.tracking(key);
        now.is_some_and(|tracking| tracking.is_heard(self.proto(key))) && tracking::check_caching(now, word).is_ok()
    }

    /// `CLIENT CACHING YES | NO`
    fn set_caching(&mut self, key: ClientKey, word: &[u8]) {
        match tracking::check_caching(self.tracking(key), word) {
            Err(text) => self.refuse(key, &Refusal::Redis(&text)),
            Ok(()) => {
                if let Some(tracking) = self.client_mut(key).and_then(|client| client.tracking_mut()) {
                    tracking.caching = true;
                }
                self.ok(key);
            }
        }
    }

    /// Deals with the request behind CLIENT CACHING: `taken` if it was dealt with already. The word holds for one
    /// command, or one whole transaction; other CLIENT commands may stand between.
    pub(in crate::traffic::core) fn after_caching(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        row: &Row,
        taken: Option<Taken>,
    ) -> Taken {
        let table = std::sync::Arc::clone(&self.snapshot.table);
        let taken = taken.unwrap_or_else(|| self.by_route(key, request, row, &table));
        if matches!(taken, Taken::Yes | Taken::Refused) {
            self.caching_is_over(key, &row.name);
        }
        taken
    }

    /// The command `name` behind CLIENT CACHING was given, were it only to be refused.
    pub(in crate::traffic::core) fn caching_is_over(&mut self, key: ClientKey, name: &str) {
        if !name.starts_with("client|")
            && let Some(client) = self.client_mut(key)
            && !client.modes.has(Modes::QUEUEING)
            && let Some(tracking) = client.tracking_mut()
        {
            tracking.caching = false;
        }
    }
}
