//! CLIENT: what a session says of itself, and what it may see of and do to others.
//!
//! Sessions of other workers are seen through the registry and ended through their worker's mailbox.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{NOT_AN_INTEGER, SYNTAX, integer};
use crate::traffic::{
    client::{ClientKey, Record, ReplyMode},
    command::{Local, Table},
    core::{Core, Message, request::Request},
    counters::Closed,
    refusal::Refusal,
    resp::encode,
};

/// Longest name that a client may give itself, bytes.
const MAX_NAME: usize = 1024;

/// Which sessions CLIENT KILL or LIST means.
#[derive(Debug, Default)]
struct Filter {
    ids: Option<Vec<i64>>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    max_age_s: Option<i64>,
    /// A type or user that no session has.
    nobody: bool,
    skip_me: bool,
}

impl Filter {
    fn matches(&self, record: &Record, me: u64, now_us: u64) -> bool {
        let age_s = (now_us.saturating_sub(record.born_us) / 1_000_000) as i64;
        let excluded = self.nobody || self.skip_me && record.id == me;
        !excluded
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&(record.id as i64)))
            && self.addr.as_ref().is_none_or(|addr| record.addr.as_bytes() == addr)
            && self.laddr.as_ref().is_none_or(|laddr| record.laddr.as_bytes() == laddr)
            && self.max_age_s.is_none_or(|age| age_s >= age)
    }
}

impl Core {
    pub(super) fn local_client(&mut self, key: ClientKey, request: Request<'_>, which: Local, table: &Table) {
        let Some(client) = self.client(key) else { return };
        let record = Arc::clone(&client.record);
        record.touched(self.now_us, client.last_command);
        match which {
            Local::ClientId => self.answer(key, |out| encode::integer(out, record.id as i64)),
            Local::ClientGetName => {
                let (name, proto) = (record.names().name.clone(), self.proto(key));
                self.answer(key, |out| {
                    if name.is_empty() { encode::null(out, proto) } else { encode::bulk(out, name.as_bytes()) }
                });
            }
            Local::ClientSetName => {
                if self.set_name(key, request.arg(2)) {
                    self.ok(key);
                }
            }
            Local::ClientSetInfo => self.set_info(key, request, &record),
            Local::ClientInfo => {
                let text = lines(std::slice::from_ref(&record), table, self.now_us);
                let proto = self.proto(key);
                self.answer(key, |out| encode::verbatim_text(out, &text, proto));
            }
            Local::ClientList => self.client_list(key, request, table),
            Local::ClientKill => self.client_kill(key, request),
            Local::ClientNoEvict => self.switch(key, request.arg(2), |on| record.no_evict.store(on, Relaxed)),
            Local::ClientNoTouch => self.switch(key, request.arg(2), |on| record.no_touch.store(on, Relaxed)),
            Local::ClientUnblock => self.client_unblock(key, request),
            Local::ClientReply => self.client_reply(key, request.arg(2)),
            // CLIENT CAPA of Valkey: capabilities that are not known are ignored.
            _ => self.ok(key),
        }
    }

    fn switch(&mut self, key: ClientKey, word: &[u8], set: impl FnOnce(bool)) {
        if word.eq_ignore_ascii_case(b"on") {
            set(true);
        } else if word.eq_ignore_ascii_case(b"off") {
            set(false);
        } else {
            return self.refuse(key, &Refusal::Redis(SYNTAX));
        }
        self.ok(key);
    }

    /// Names a session; false: the name was refused, and the client told so.
    pub(super) fn set_name(&mut self, key: ClientKey, name: &[u8]) -> bool {
        let Some(name) = printable(name) else {
            let text = if name.len() > MAX_NAME {
                "ERR Client names cannot be longer than 1024 bytes."
            } else {
                "ERR Client names cannot contain spaces, newlines or special characters."
            };
            self.refuse(key, &Refusal::Redis(text));
            return false;
        };
        if let Some(client) = self.client(key) {
            client.record.names().name = name;
        }
        true
    }

    fn set_info(&mut self, key: ClientKey, request: Request<'_>, record: &Record) {
        let option = request.arg(2);
        let (is_name, is_version) = (option.eq_ignore_ascii_case(b"LIB-NAME"), option.eq_ignore_ascii_case(b"LIB-VER"));
        if !is_name && !is_version {
            let text = format!("ERR Unrecognized option '{}'", String::from_utf8_lossy(option));
            return self.refuse(key, &Refusal::Redis(&text));
        }
        let Some(value) = printable(request.arg(3)) else {
            let what = if is_name { "lib-name" } else { "lib-ver" };
            let text = format!("ERR {what} cannot contain spaces, newlines or special characters.");
            return self.refuse(key, &Refusal::Redis(&text));
        };
        let mut names = record.names();
        if is_name {
            names.lib_name = value;
        } else {
            names.lib_ver = value;
        }
        drop(names);
        self.ok(key);
    }

    fn client_reply(&mut self, key: ClientKey, word: &[u8]) {
        let mode = if word.eq_ignore_ascii_case(b"on") {
            ReplyMode::On
        } else if word.eq_ignore_ascii_case(b"off") {
            ReplyMode::Off
        } else if word.eq_ignore_ascii_case(b"skip") {
            ReplyMode::SkipNext
        } else {
            return self.refuse(key, &Refusal::Redis(SYNTAX));
        };
        let Some(client) = self.client_mut(key) else { return };
        // As in Redis: SKIP within OFF changes nothing, and only ON is answered.
        if !(mode == ReplyMode::SkipNext && client.reply_mode == ReplyMode::Off) {
            client.reply_mode = mode;
        }
        if mode == ReplyMode::On {
            self.ok(key);
        }
    }

    /// `CLIENT LIST [TYPE type] [ID id …]`
    fn client_list(&mut self, key: ClientKey, request: Request<'_>, table: &Table) {
        let mut filter = Filter::default();
        match (request.args.len(), request.arg(2)) {
            (2, _) => {}
            (4, option) if option.eq_ignore_ascii_case(b"TYPE") => match known_type(request.arg(3)) {
                Some(normal) => filter.nobody = !normal,
                None => return self.refuse_type(key, request.arg(3)),
            },
            (4.., option) if option.eq_ignore_ascii_case(b"ID") => {
                let ids: Option<Vec<i64>> = (3..request.args.len()).map(|at| integer(request.arg(at))).collect();
                match ids {
                    Some(ids) => filter.ids = Some(ids),
                    None => return self.refuse(key, &Refusal::Redis("ERR Invalid client ID")),
                }
            }
            _ => return self.refuse(key, &Refusal::Redis(SYNTAX)),
        }
        let now_us = self.now_us;
        let mut records = self.registry.all();
        records.retain(|record| filter.matches(record, 0, now_us));
        let (text, proto) = (lines(&records, table, now_us), self.proto(key));
        self.answer(key, |out| encode::verbatim_text(out, &text, proto));
    }

    fn refuse_type(&mut self, key: ClientKey, name: &[u8]) {
        let text = format!("ERR Unknown client type '{}'", String::from_utf8_lossy(name));
        self.refuse(key, &Refusal::Redis(&text));
    }

    /// `CLIENT KILL address`, or `[ID id] [ADDR a] [LADDR a] [TYPE t] [USER u] [SKIPME yes/no] [MAXAGE s]`
    fn client_kill(&mut self, key: ClientKey, request: Request<'_>) {
        let Some(me) = self.client(key).map(|client| client.record.id) else { return };
        let by_address = request.args.len() == 3;
        let filter = if by_address {
            Filter { addr: Some(request.arg(2).to_vec()), ..Filter::default() }
        } else {
            match self.kill_filter(key, request) {
                Some(filter) => filter,
                None => return,
            }
        };
        let now_us = self.now_us;
        let mut records = self.registry.all();
        records.retain(|record| filter.matches(record, me, now_us));
        if by_address && records.is_empty() {
            return self.refuse(key, &Refusal::Redis("ERR No such client"));
        }
        if by_address {
            self.ok(key);
        } else {
            self.answer(key, |out| encode::integer(out, records.len() as i64));
        }
        for worker in 0..self.settings.workers {
            let ids: Vec<u64> =
                records.iter().filter(|record| record.worker == worker && record.id != me).map(|r| r.id).collect();
            if !ids.is_empty() {
                self.tell(worker, Message::Kill(ids));
            }
        }
        if records.iter().any(|record| record.id == me) {
            // Its own reply still leaves.
            self.close_when_done(key, Closed::Killed);
        }
    }

    /// The filter that CLIENT KILL's options make; `None`: they were refused, and the client told so.
    fn kill_filter(&mut self, key: ClientKey, request: Request<'_>) -> Option<Filter> {
        let mut filter = Filter { skip_me: true, ..Filter::default() };
        if request.args.len().is_multiple_of(2) {
            for at in (2..request.args.len()).step_by(2) {
                let (option, value) = (request.arg(at), request.arg(at + 1));
                let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
                if is("ID") {
                    match integer(value) {
                        Some(id) if id > 0 => filter.ids = Some(vec![id]),
                        _ => return self.refuse_option(key, "ERR client-id should be greater than 0"),
                    }
                } else if is("ADDR") {
                    filter.addr = Some(value.to_vec());
                } else if is("LADDR") {
                    filter.laddr = Some(value.to_vec());
                } else if is("TYPE") {
                    match known_type(value) {
                        Some(normal) => filter.nobody |= !normal,
                        None => {
                            self.refuse_type(key, value);
                            return None;
                        }
                    }
                } else if is("USER") {
                    if value != b"default" {
                        let text = format!("ERR No such user '{}'", String::from_utf8_lossy(value));
                        return self.refuse_option(key, &text);
                    }
                } else if is("SKIPME") && (value.eq_ignore_ascii_case(b"yes") || value.eq_ignore_ascii_case(b"no")) {
                    filter.skip_me = value.eq_ignore_ascii_case(b"yes");
                } else if is("MAXAGE") {
                    match integer(value) {
                        Some(age) if age > 0 => filter.max_age_s = Some(age),
                        Some(_) => return self.refuse_option(key, "ERR maxage should be greater than 0"),
                        None => return self.refuse_option(key, NOT_AN_INTEGER),
                    }
                } else {
                    return self.refuse_option(key, SYNTAX);
                }
            }
            return Some(filter);
        }
        self.refuse_option(key, SYNTAX)
    }

    fn refuse_option(&mut self, key: ClientKey, text: &str) -> Option<Filter> {
        self.refuse(key, &Refusal::Redis(text));
        None
    }
}

/// Whether sessions of this client type exist here; `None`: Redis knows no such type.
fn known_type(name: &[u8]) -> Option<bool> {
    if name.eq_ignore_ascii_case(b"normal") {
        return Some(true);
    }
    let other = [&b"master"[..], b"primary", b"replica", b"slave", b"pubsub"];
    other.iter().any(|known| name.eq_ignore_ascii_case(known)).then_some(false)
}

/// A name as Redis allows it: printable ASCII without spaces; longer ones than this would only fill the memory.
fn printable(name: &[u8]) -> Option<String> {
    (name.len() <= MAX_NAME).then_some(name)?;
    name.iter().all(|byte| (b'!'..=b'~').contains(byte)).then(|| String::from_utf8_lossy(name).into_owned())
}

/// The lines of CLIENT LIST.
fn lines(records: &[Arc<Record>], table: &Table, now_us: u64) -> String {
    let name = |id: u32| table.rows().find(|row| u32::from(row.id) == id).map_or("NULL".into(), |row| row.name.clone());
    let mut text = String::new();
    for record in records {
        record.write_line(now_us, name, &mut text);
    }
    text
}
