//! CLIENT: what a session says of itself, and what it may see of and do to others.
//!
//! What concerns the sessions of other workers is asked of every worker, see `core/poll.rs`.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{
    SYNTAX,
    filter::{Filter, Of},
    integer,
};
use crate::traffic::{
    client::{ClientKey, Record, ReplyMode},
    command::Local,
    core::{Core, Pausing, Question, poll::Ends, request::Request},
    refusal::Refusal,
    resp::encode,
};

/// Longest name that a client may give itself, bytes.
const MAX_NAME: usize = 1024;

impl Core {
    pub(super) fn local_client(&mut self, key: ClientKey, request: Request<'_>, which: Local) {
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
                let (text, proto) = (self.line_of(key).unwrap_or_default(), self.proto(key));
                self.answer(key, |out| encode::verbatim_text(out, &text, proto));
            }
            Local::ClientList => self.client_list(key, request),
            Local::ClientKill => self.client_kill(key, request),
            Local::ClientNoEvict => self.switch(key, request.arg(2), |on| record.no_evict.store(on, Relaxed)),
            Local::ClientNoTouch => self.switch(key, request.arg(2), |on| record.no_touch.store(on, Relaxed)),
            Local::ClientPause => self.client_pause(key, request),
            Local::ClientUnpause => self.ask_all(key, &Question::Unpause, Ends::WithOk),
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

    /// The arguments behind the sub-command as a filter; `None`: they are wrong, and the client was told so.
    fn filter(&mut self, key: ClientKey, request: Request<'_>, of: Of) -> Option<Arc<Filter>> {
        let me = self.client(key)?.record.id;
        let args: Vec<&[u8]> = (2..request.args.len()).map(|index| request.arg(index)).collect();
        match Filter::read(&args, of, me) {
            Ok(filter) => Some(Arc::new(filter)),
            Err(text) => {
                self.refuse(key, &Refusal::Redis(&text));
                None
            }
        }
    }

    /// `CLIENT LIST [filter …]`
    fn client_list(&mut self, key: ClientKey, request: Request<'_>) {
        if let Some(filter) = self.filter(key, request, Of::List) {
            self.ask_all(key, &Question::List(filter), Ends::WithLines);
        }
    }

    /// `CLIENT KILL address`, or `CLIENT KILL filter …`
    fn client_kill(&mut self, key: ClientKey, request: Request<'_>) {
        if request.args.len() == 3 {
            let filter = Arc::new(Filter::address(request.arg(2)));
            return self.ask_all(key, &Question::Kill(filter), Ends::WithOkIfAny);
        }
        if let Some(filter) = self.filter(key, request, Of::Kill) {
            self.ask_all(key, &Question::Kill(filter), Ends::WithCount);
        }
    }

    /// `CLIENT PAUSE ms [WRITE | ALL]`
    fn client_pause(&mut self, key: ClientKey, request: Request<'_>) {
        let mode = request.arg(3);
        let writes_only = match request.args.len() {
            3 => false,
            4 if mode.eq_ignore_ascii_case(b"WRITE") => true,
            4 if mode.eq_ignore_ascii_case(b"ALL") => false,
            4 => return self.refuse(key, &Refusal::Redis("ERR CLIENT PAUSE mode must be WRITE or ALL")),
            _ => return self.refuse(key, &Refusal::SubcommandSyntax(request.arg(1), "CLIENT")),
        };
        let text = match integer(request.arg(2)) {
            None => "ERR timeout is not an integer or out of range",
            Some(ms) if ms < 0 => "ERR timeout is negative",
            Some(ms) => {
                let until_us = self.now_us.saturating_add((ms as u64).saturating_mul(1_000));
                let pausing = Pausing { until_us, writes_only };
                return self.ask_all(key, &Question::Pause(pausing), Ends::WithOk);
            }
        };
        self.refuse(key, &Refusal::Redis(text));
    }
}

/// Whether a client may give itself this name.
pub(super) fn is_name(name: &[u8]) -> bool {
    printable(name).is_some()
}

/// A name as Redis allows it: printable ASCII without spaces; longer ones than this would only fill the memory.
fn printable(name: &[u8]) -> Option<String> {
    (name.len() <= MAX_NAME).then_some(name)?;
    name.iter().all(|byte| (b'!'..=b'~').contains(byte)).then(|| String::from_utf8_lossy(name).into_owned())
}
