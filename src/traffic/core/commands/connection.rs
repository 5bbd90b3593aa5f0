//! What a connection is asked about itself: PING, ECHO, TIME, HELLO, AUTH, SELECT, QUIT, RESET.
//!
//! Arguments are checked as Redis checks them, with its texts, for there is no node behind these commands that could.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use super::{NOT_AN_INTEGER, SYNTAX, client::is_name, integer};
use crate::traffic::{
    client::{ClientKey, Modes, ReplyMode},
    command::{Local, Row},
    core::{Core, request::Request},
    refusal::Refusal,
    resp::{Proto, encode},
};

impl Core {
    pub(super) fn ping(&mut self, key: ClientKey, request: Request<'_>, row: &Row) {
        // What a subscriber with RESP2 can tell from a message, and from nothing else.
        let as_array = self.client(key).is_some_and(|client| client.modes.has(Modes::SUBSCRIBED));
        match request.args.len() {
            1 | 2 if as_array => self.answer(key, |out| {
                encode::array_header(out, 2);
                encode::bulk(out, b"pong");
                encode::bulk(out, request.arg(1));
            }),
            1 => self.answer(key, |out| encode::simple(out, "PONG")),
            2 => self.answer(key, |out| encode::bulk(out, request.arg(1))),
            _ => self.refuse(key, &Refusal::Arity(&row.name)),
        }
    }

    pub(super) fn time(&mut self, key: ClientKey) {
        let since = self.zero + Duration::from_micros(self.now_us);
        self.answer(key, |out| {
            encode::array_header(out, 2);
            encode::bulk(out, since.as_secs().to_string().as_bytes());
            encode::bulk(out, since.subsec_micros().to_string().as_bytes());
        });
    }

    pub(super) fn select(&mut self, key: ClientKey, request: Request<'_>) {
        let refusal = match integer(request.arg(1)) {
            None => Refusal::Redis(NOT_AN_INTEGER),
            Some(db) if i32::try_from(db).is_err() => {
                Refusal::Redis("ERR value is out of range, value must between -2147483648 and 2147483647")
            }
            Some(db) if !(0..i64::from(self.snapshot.facts.databases)).contains(&db) => {
                Refusal::Redis("ERR DB index is out of range")
            }
            Some(db) => {
                if let Some(client) = self.client_mut(key) {
                    client.select(db as u32);
                }
                return self.answer(key, |out| encode::simple(out, "OK"));
            }
        };
        self.refuse(key, &refusal);
    }

    pub(super) fn auth(&mut self, key: ClientKey, request: Request<'_>, row: &Row) {
        let (user, password) = match request.args.len() {
            2 => (&b"default"[..], request.arg(1)),
            3 => (request.arg(1), request.arg(2)),
            _ => return self.refuse(key, &Refusal::Redis(SYNTAX)),
        };
        if request.args.len() == 2 && self.settings.requirepass.is_none() {
            return self.refuse(
                key,
                &Refusal::Redis(
                    "ERR AUTH <password> called without any password configured for the default user. \
                     Are you sure your configuration is correct?",
                ),
            );
        }
        debug_assert_eq!(row.name, "auth");
        if self.authenticate(key, user, password) {
            self.answer(key, |out| encode::simple(out, "OK"));
        } else {
            self.refuse(key, &Refusal::WrongPass);
        }
    }

    /// Whether this user may enter with this password; if so, the session has.
    fn authenticate(&mut self, key: ClientKey, user: &[u8], password: &[u8]) -> bool {
        let enters = self.may_enter(user, password);
        if enters && let Some(client) = self.client_mut(key) {
            client.authenticated = true;
        }
        enters
    }

    fn may_enter(&self, user: &[u8], password: &[u8]) -> bool {
        let right = self.settings.requirepass.as_ref().is_none_or(|known| same_bytes(known.as_bytes(), password));
        right && user == b"default"
    }

    /// Whether this HELLO names a protocol and would succeed.
    pub(super) fn would_greet(&self, key: ClientKey, request: Request<'_>) -> bool {
        let mut authenticated = self.client(key).is_some_and(|client| client.authenticated);
        let mut at = 2;
        while at < request.args.len() {
            let (option, left) = (request.arg(at), request.args.len() - at - 1);
            if option.eq_ignore_ascii_case(b"AUTH") && left >= 2 {
                if !self.may_enter(request.arg(at + 1), request.arg(at + 2)) {
                    return false;
                }
                authenticated = true;
                at += 3;
            } else if option.eq_ignore_ascii_case(b"SETNAME") && left >= 1 && is_name(request.arg(at + 1)) {
                at += 2;
            } else {
                return false;
            }
        }
        authenticated && matches!(request.arg(1), b"2" | b"3")
    }

    /// `HELLO [protover [AUTH user password] [SETNAME name]]`
    pub(super) fn hello(&mut self, key: ClientKey, request: Request<'_>) {
        let Some(client) = self.client(key) else { return };
        let mut proto = client.proto;
        let spoke = proto;
        if request.args.len() > 1 {
            proto = match integer(request.arg(1)) {
                Some(2) => Proto::Resp2,
                Some(3) => Proto::Resp3,
                Some(_) => return self.refuse(key, &Refusal::Redis("NOPROTO unsupported protocol version")),
                None => {
                    let text = "ERR Protocol version is not an integer or out of range";
                    return self.refuse(key, &Refusal::Redis(text));
                }
            };
        }
        let mut name = None;
        let mut at = 2;
        while at < request.args.len() {
            let (option, left) = (request.arg(at), request.args.len() - at - 1);
            if option.eq_ignore_ascii_case(b"AUTH") && left >= 2 {
                if !self.authenticate(key, request.arg(at + 1), request.arg(at + 2)) {
                    return self.refuse(key, &Refusal::WrongPass);
                }
                at += 3;
            } else if option.eq_ignore_ascii_case(b"SETNAME") && left >= 1 {
                name = Some(request.arg(at + 1));
                at += 2;
            } else {
                let text = format!("ERR Syntax error in HELLO option '{}'", String::from_utf8_lossy(option));
                return self.refuse(key, &Refusal::Redis(&text));
            }
        }
        if self.client(key).is_some_and(|client| !client.authenticated) {
            let text = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH \
                        <user> <pass> option can be used to authenticate the client and select the RESP protocol version \
                        at the same time";
            return self.refuse(key, &Refusal::Redis(text));
        }
        if let Some(name) = name
            && !self.set_name(key, name)
        {
            return;
        }
        if let Some(client) = self.client_mut(key) {
            client.proto = proto;
            client.record.resp.store(if proto == Proto::Resp3 { 3 } else { 2 }, Relaxed);
        }
        self.note_subscriptions(key);
        self.greet(key, proto);
        if (spoke, proto) == (Proto::Resp2, Proto::Resp3) {
            self.hears_from_now_on(key);
        }
    }

    fn greet(&mut self, key: ClientKey, proto: Proto) {
        let id = self.client(key).map_or(0, |client| client.record.id);
        let version = self.snapshot.facts.version.clone();
        let mode = if self.is_cluster() { "cluster" } else { "standalone" };
        self.answer(key, |out| {
            encode::map_header(out, 7, proto);
            for (name, value) in [("server", "redis"), ("version", version.as_str())] {
                encode::bulk(out, name.as_bytes());
                encode::bulk(out, value.as_bytes());
            }
            encode::bulk(out, b"proto");
            encode::integer(out, if proto == Proto::Resp3 { 3 } else { 2 });
            encode::bulk(out, b"id");
            encode::integer(out, id as i64);
            for (name, value) in [("mode", mode), ("role", "master")] {
                encode::bulk(out, name.as_bytes());
                encode::bulk(out, value.as_bytes());
            }
            encode::bulk(out, b"modules");
            encode::array_header(out, 0);
        });
    }

    /// Whether a request changes how messages are written, or who gets them, while some may still be under way.
    pub(in crate::traffic::core) fn must_catch_up(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        which: Local,
    ) -> bool {
        let changes = match which {
            Local::Reset => true,
            Local::Hello => {
                let spoken = if self.proto(key) == Proto::Resp3 { 3 } else { 2 };
                integer(request.arg(1)).is_some_and(|wanted| wanted != spoken)
            }
            _ => false,
        };
        changes && !self.caught_up_with_all(key)
    }

    pub(super) fn reset(&mut self, key: ClientKey) {
        self.end_monitor(key);
        self.end_transaction(key);
        self.forget_watch(key);
        let (authenticated, db) = (self.settings.requirepass.is_none(), self.settings.session.database);
        self.stop_tracking(key);
        self.leave_locks(key);
        if let Some(client) = self.client_mut(key) {
            client.proto = Proto::Resp2;
            if client.reply_mode == ReplyMode::Off {
                client.reply_mode = ReplyMode::On;
            }
            client.authenticated = authenticated;
            client.record.reset();
            client.select(db);
        }
        self.reset_subscriptions(key, b"+RESET\r\n");
    }
}

/// Compares without telling by its duration where the first difference is.
fn same_bytes(known: &[u8], given: &[u8]) -> bool {
    let differing = known.iter().zip(given).fold(0, |all, (known, given)| all | (known ^ given));
    known.len() == given.len() && differing == 0
}
