//! What Circlet answers itself: PING, ECHO, TIME, HELLO, AUTH, SELECT, QUIT, RESET, COMMAND, and INFO's own section.
//!
//! Arguments are checked as Redis checks them, with its texts, for there is no node behind these commands that could.
//! CLIENT stands in [`super::local_client`].

use std::{fmt::Write as _, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{
    Core,
    request::{Request, Taken},
};
use crate::traffic::{
    client::{ClientKey, ReplyMode},
    command::{Local, Row, Table, describe},
    counters::Closed,
    merge::Kind,
    pipe::State,
    refusal::Refusal,
    resp::{Proto, encode},
};

/// Redis's text for a number that is none.
pub(super) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";

/// Redis's text for arguments that make no sense.
pub(super) const SYNTAX: &str = "ERR syntax error";

impl Core {
    /// Answers a command that needs no node.
    pub(super) fn local(&mut self, key: ClientKey, request: Request<'_>, row: &Row, which: Local, table: &Table) {
        match which {
            Local::Ping => self.ping(key, request, row),
            Local::Echo => self.answer(key, |out| encode::bulk(out, request.arg(1))),
            Local::Time => self.time(key),
            Local::Hello => self.hello(key, request),
            Local::Auth => self.auth(key, request, row),
            Local::Select => self.select(key, request),
            Local::Quit => {
                self.answer(key, |out| encode::simple(out, "OK"));
                self.close_when_done(key, Closed::ByClient);
            }
            Local::Reset => self.reset(key),
            Local::AclWhoAmI => self.answer(key, |out| encode::bulk(out, b"default")),
            Local::Command
            | Local::CommandCount
            | Local::CommandDocs
            | Local::CommandGetKeys
            | Local::CommandGetKeysAndFlags
            | Local::CommandHelp
            | Local::CommandInfo
            | Local::CommandList => {
                let proto = self.proto(key);
                let args: Vec<&[u8]> = (0..request.args.len()).map(|index| request.arg(index)).collect();
                self.answer(key, |out| describe::answer(table, which, &args, proto, out));
            }
            Local::ClientCapa
            | Local::ClientGetName
            | Local::ClientId
            | Local::ClientInfo
            | Local::ClientKill
            | Local::ClientList
            | Local::ClientNoEvict
            | Local::ClientNoTouch
            | Local::ClientReply
            | Local::ClientSetInfo
            | Local::ClientSetName => self.local_client(key, request, which, table),
        }
    }

    pub(super) fn proto(&self, key: ClientKey) -> Proto {
        self.client(key).map_or(Proto::Resp2, |client| client.proto)
    }

    fn ping(&mut self, key: ClientKey, request: Request<'_>, row: &Row) {
        match request.args.len() {
            1 => self.answer(key, |out| encode::simple(out, "PONG")),
            2 => self.answer(key, |out| encode::bulk(out, request.arg(1))),
            _ => self.refuse(key, &Refusal::Arity(&row.name)),
        }
    }

    fn time(&mut self, key: ClientKey) {
        let since = self.zero + Duration::from_micros(self.now_us);
        self.answer(key, |out| {
            encode::array_header(out, 2);
            encode::bulk(out, since.as_secs().to_string().as_bytes());
            encode::bulk(out, since.subsec_micros().to_string().as_bytes());
        });
    }

    fn select(&mut self, key: ClientKey, request: Request<'_>) {
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
                    client.db = db as u32;
                    client.record.db.store(db as u32, Relaxed);
                }
                return self.answer(key, |out| encode::simple(out, "OK"));
            }
        };
        self.refuse(key, &refusal);
    }

    fn auth(&mut self, key: ClientKey, request: Request<'_>, row: &Row) {
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
        let right = self.settings.requirepass.as_ref().is_none_or(|known| same_bytes(known.as_bytes(), password));
        let enters = right && user == b"default";
        if enters && let Some(client) = self.client_mut(key) {
            client.authenticated = true;
        }
        enters
    }

    /// `HELLO [protover [AUTH user password] [SETNAME name]]`
    fn hello(&mut self, key: ClientKey, request: Request<'_>) {
        let Some(client) = self.client(key) else { return };
        let mut proto = client.proto;
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
        self.greet(key, proto);
    }

    fn greet(&mut self, key: ClientKey, proto: Proto) {
        let id = self.client(key).map_or(0, |client| client.record.id);
        let version = self.snapshot.facts.version.clone();
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
            for (name, value) in [("mode", "standalone"), ("role", "master")] {
                encode::bulk(out, name.as_bytes());
                encode::bulk(out, value.as_bytes());
            }
            encode::bulk(out, b"modules");
            encode::array_header(out, 0);
        });
    }

    fn reset(&mut self, key: ClientKey) {
        let authenticated = self.settings.requirepass.is_none();
        if let Some(client) = self.client_mut(key) {
            client.db = 0;
            client.proto = Proto::Resp2;
            client.reply_mode = ReplyMode::On;
            client.authenticated = authenticated;
            client.record.reset();
        }
        self.answer(key, |out| encode::simple(out, "RESET"));
    }

    /// `INFO [node] [section …]`: of one node, or of all with Circlet's own section.
    pub(super) fn info(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        if let Some(node) = self.snapshot.topology.by_name(request.arg(1)) {
            let args = &request.args[2..];
            let mut bytes = Vec::new();
            encode::array_header(&mut bytes, 1 + args.len());
            bytes.extend_from_slice(request.args[0].raw(request.bytes));
            for arg in args {
                bytes.extend_from_slice(arg.raw(request.bytes));
            }
            return self.send_one(key, Request { bytes: &bytes, args: &[], blob: None }, row, node);
        }
        let names = |name: &[u8]| (1..request.args.len()).any(|index| request.arg(index).eq_ignore_ascii_case(name));
        if request.args.len() == 2 && names(b"circlet") {
            let (text, proto) = (self.circlet_info(), self.proto(key));
            self.answer(key, |out| encode::verbatim_text(out, &text, proto));
            return Taken::Yes;
        }
        let own = request.args.len() == 1
            || [&b"circlet"[..], b"default", b"all", b"everything"].iter().any(|name| names(name));
        self.send_all(key, Kind::Info { own }, true, |out| out.extend_from_slice(request.bytes))
    }

    /// The `# Circlet` section of INFO.
    pub(super) fn circlet_info(&self) -> String {
        let topology = &self.snapshot.topology;
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "# Circlet\r\ncirclet_version:{}\r\ncirclet_workers:{}\r\ncirclet_clients:{}\r\ncirclet_epoch:{}\r\n\
             circlet_nodes:{}\r\ncirclet_nodes_up:{}\r\n",
            env!("CARGO_PKG_VERSION"),
            self.settings.workers,
            self.registry.len(),
            topology.epoch.0,
            topology.nodes.len(),
            self.links.iter().filter(|link| link.down.is_none()).count(),
        );
        for ((index, node), share) in topology.nodes.iter().enumerate().zip(topology.ring.shares()) {
            let connected = self.pipes.iter().any(|pipe| pipe.node.index() == index && pipe.state == State::Ready);
            let state = match &self.links[index].down {
                Some((_, why)) => format!("down,reason={why}"),
                None if connected => "up".to_owned(),
                None => "connecting".to_owned(),
            };
            let _ = write!(
                text,
                "node{index}:name={},address={},weight={},share={:.2}%,state={state}\r\n",
                node.name,
                node.address,
                node.weight,
                share * 100.0
            );
        }
        text
    }
}

/// An integer as Redis reads it: decimal, no blanks, no plus sign, no leading zeros.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let value: i64 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

/// Compares without telling by its duration where the first difference is.
fn same_bytes(known: &[u8], given: &[u8]) -> bool {
    let differing = known.iter().zip(given).fold(0, |all, (known, given)| all | (known ^ given));
    known.len() == given.len() && differing == 0
}
