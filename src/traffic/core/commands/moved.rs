//! Blocking commands whose keys move to another node.
//!
//! ```text
//!  fence ─► CLIENT UNBLOCK at the old node ─┬─ it was given something ─► the client's
//!                                           └─ nil ─► … keys brought ─► given at the new node, with the rest of its time
//! ```
//! An XREAD that waits for what comes behind `$` is told that its time is over instead: what `$` meant at the old node
//! cannot be said at the new one, and whoever uses it asks again. Pure.

use std::sync::Arc;

use crate::traffic::{
    client::{Blocked, ClientKey, Reply},
    command::{Found, Row},
    core::{Core, dispatch::apart, request::Request},
    pipe::{Entry, Owner, PipeId},
    resp::{Scan, encode, request::Scanner},
    route::Place,
};

/// What is left of a blocking command's time.
#[derive(Debug, PartialEq)]
enum Rest {
    /// All: it waits for ever.
    All,
    /// It cannot be given again: `$` would mean another moment.
    None,
    /// The request with the rest.
    Some(Vec<u8>),
}

impl Core {
    /// Tells the nodes of all blocking commands whose keys are fenced to unblock them; gives how many.
    pub(in crate::traffic::core) fn unblock_moving(&mut self) -> usize {
        let waits = |key: &ClientKey| self.blocked_of(*key).is_some_and(|blocked| blocked.whole && !blocked.moves);
        let keys: Vec<ClientKey> = self.client_keys().into_iter().filter(waits).collect();
        let mut told = 0;
        for key in keys {
            let Some(request) = self.blocked_of(key).map(|blocked| blocked.request.clone()) else { continue };
            let fenced = self.with_request(&request, |core, request, row| core.has_fenced_key(request, row));
            if fenced != Some(true) {
                continue;
            }
            let Some(blocked) = self.client_mut(key).and_then(|client| client.special_mut().blocked.as_mut()) else {
                continue;
            };
            blocked.moves = true;
            let pipes = blocked.pipes.clone();
            if pipes.iter().all(|id| self.unblock_quietly(*id)) && !pipes.is_empty() {
                told += 1;
            } else {
                // The node does not know of it yet, or cannot be told: it is taken away.
                pipes.into_iter().for_each(|id| self.take_back(id));
                self.waits_between(key);
            }
        }
        told
    }

    fn blocked_of(&self, key: ClientKey) -> Option<&Blocked> {
        self.client(key)?.special.as_deref()?.blocked.as_ref()
    }

    /// Nobody is sent what this leased connection would still answer.
    fn take_back(&mut self, id: PipeId) {
        self.pipes[id.index()].inflight.iter_mut().for_each(|entry| entry.owner = Owner::Nobody);
        self.close_lease(id);
    }

    /// The session's command waits at no node, until its keys are at their new one.
    fn waits_between(&mut self, key: ClientKey) {
        if let Some(blocked) = self.client_mut(key).and_then(|client| client.special_mut().blocked.as_mut()) {
            blocked.pipes.clear();
            self.gate.unblocked.push(key);
        }
    }

    fn with_request<T>(&mut self, bytes: &[u8], look: impl FnOnce(&mut Self, Request<'_>, &Row) -> T) -> Option<T> {
        let (table, settings) = (Arc::clone(&self.snapshot.table), Arc::clone(&self.settings));
        let mut scanner = Scanner::default();
        let Ok(Scan::Command { len }) = scanner.scan(bytes, &settings.limits, true) else { return None };
        let request = Request { bytes: &bytes[..len], args: scanner.args(), blob: None };
        let second = (request.args.len() > 1).then(|| request.arg(1));
        let Found::Row(row) = table.find(request.arg(0), second) else { return None };
        Some(look(self, request, row))
    }

    fn has_fenced_key(&self, request: Request<'_>, row: &Row) -> bool {
        let mut keys = Vec::new();
        let found = row.find_keys(request.args, request.bytes, self.patterns(), &mut keys);
        let place = |index: &u32| self.snapshot.topology.place(request.arg(*index as usize));
        found.is_ok() && keys.iter().any(|index| place(index) == Place::Fenced)
    }

    /// Whether this reply to a blocking command is not for its client, because it is to wait at another node.
    #[cold]
    pub(in crate::traffic::core) fn waits_elsewhere(&mut self, key: ClientKey, reply: &Reply<'_>) -> bool {
        if !self.blocked_of(key).is_some_and(|blocked| blocked.moves && !blocked.pipes.is_empty()) {
            return false;
        }
        let mut text = Vec::new();
        if reply.len() <= 5 {
            reply.copy_to(&mut text);
        }
        if ![&b"*-1\r\n"[..], b"$-1\r\n", b"_\r\n"].contains(&text.as_slice()) {
            return false;
        }
        self.waits_between(key);
        self.no_longer_blocked();
        true
    }

    /// Gives a blocking command at the node where its keys are now, if they are.
    pub(in crate::traffic::core) fn block_anew(&mut self, key: ClientKey) {
        let Some(blocked) = self.blocked_of(key).filter(|blocked| blocked.moves && blocked.pipes.is_empty()) else {
            return;
        };
        let (bytes, seq) = (blocked.request.clone(), blocked.seq);
        let waited_us = self.now_us.saturating_sub(blocked.since_us);
        let given = self.with_request(&bytes, |core, request, row| {
            let Some(ready) = core.keys_are_there(key, request, row) else { return Ok(()) };
            ready?;
            match rest(request, row, waited_us) {
                Rest::None => {
                    let mut text = Vec::new();
                    encode::null_array(&mut text, core.proto(key));
                    Err(text)
                }
                Rest::All => core.block_there(key, seq, request, row, request.bytes),
                Rest::Some(bytes) => core.block_there(key, seq, request, row, &bytes),
            }
        });
        if let Some(Err(text)) = given {
            self.fill(key, seq, Reply::Bytes(&text));
        }
    }

    /// Leases a connection to the keys' node and lets the command wait there; else the error line.
    fn block_there(
        &mut self,
        key: ClientKey,
        seq: u32,
        request: Request<'_>,
        row: &Row,
        bytes: &[u8],
    ) -> Result<(), Vec<u8>> {
        let mut keys = Vec::new();
        let _ = row.find_keys(request.args, request.bytes, self.patterns(), &mut keys);
        let topology = Arc::clone(&self.snapshot.topology);
        let node = match self.owner_of_all(request, &keys) {
            Ok(Some(node)) => node,
            Ok(None) => return Ok(()),
            Err((one, other)) => {
                return Err(apart(&topology, request.arg(one as usize), request.arg(other as usize)).line());
            }
        };
        let id = self.lease(key, node).map_err(|why| why.refusal(&row.name, topology.node(node)).line())?;
        let entry = Entry { retried: true, waits: true, ..Entry::asked(key, seq, row, self.stamp()) };
        self.put(id, entry, Request { bytes, args: &[], blob: None });
        self.pipes[id.index()].ends = true;
        if let Some(blocked) = self.client_mut(key).and_then(|client| client.special_mut().blocked.as_mut()) {
            blocked.pipes.push(id);
            blocked.moves = false;
        }
        Ok(())
    }
}

/// The shortest time that every blocking command understands, µs; 0 would be for ever.
const SHORTEST_US: f64 = 1_000.0;

/// What is left of the time of a blocking command that has waited for so long.
fn rest(request: Request<'_>, row: &Row, waited_us: u64) -> Rest {
    let last = request.args.len() - 1;
    let found = |word: &[u8]| (1..last).find(|index| request.arg(*index).eq_ignore_ascii_case(word));
    // Where the time stands, and how many µs its unit is.
    let (at, unit) = match row.name.as_str() {
        "xread" | "xreadgroup" => {
            if row.name == "xread" && (1..=last).any(|index| request.arg(index) == b"$") {
                return Rest::None;
            }
            let Some(at) = found(b"BLOCK") else { return Rest::All };
            (at + 1, 1e3)
        }
        "blmpop" | "bzmpop" => (1, 1e6),
        _ => (last, 1e6),
    };
    let Some(time) = std::str::from_utf8(request.arg(at)).ok().and_then(|text| text.parse::<f64>().ok()) else {
        return Rest::All;
    };
    if time <= 0.0 {
        return Rest::All;
    }
    // Its time may be over before its node ever looked at the keys (a slow connection, then the fence): one look it has, for
    // it must not be told that there is nothing while there always was something.
    let left_us = (time * unit - waited_us as f64).max(SHORTEST_US);
    let time = if unit > 1e3 { format!("{:.3}", left_us / unit) } else { format!("{:.0}", left_us / unit) };
    let mut out = Vec::with_capacity(request.bytes.len() + 8);
    encode::array_header(&mut out, request.args.len());
    for index in 0..=last {
        encode::bulk(&mut out, if index == at { time.as_bytes() } else { request.arg(index) });
    }
    Rest::Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{command::Table, resp::Limits};

    fn rest_of(words: &[&str], waited_us: u64) -> Option<String> {
        let mut bytes = Vec::new();
        encode::array_header(&mut bytes, words.len());
        words.iter().for_each(|word| encode::bulk(&mut bytes, word.as_bytes()));
        let mut scanner = Scanner::default();
        scanner.scan(&bytes, &Limits::default(), true).unwrap();
        let request = Request { bytes: &bytes, args: scanner.args(), blob: None };
        let table = Table::builtin();
        match rest(request, table.lookup(words[0].as_bytes()).unwrap(), waited_us) {
            Rest::All => Some("all".to_owned()),
            Rest::None => None,
            Rest::Some(bytes) => {
                let text = String::from_utf8(bytes).unwrap();
                let lines = text.split("\r\n").skip(1).filter(|line| !line.starts_with('$') && !line.is_empty());
                Some(lines.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn the_rest_of_the_time_stands_where_the_time_stood() {
        let some = |words: &[&str], waited_us| rest_of(words, waited_us).unwrap();
        assert_eq!(some(&["BLPOP", "a", "b", "2"], 500_000), "BLPOP a b 1.500");
        assert_eq!(some(&["BLMOVE", "a", "b", "LEFT", "RIGHT", "0.5"], 100_000), "BLMOVE a b LEFT RIGHT 0.400");
        assert_eq!(some(&["BLMPOP", "3", "1", "a", "LEFT"], 1_000_000), "BLMPOP 2.000 1 a LEFT");
        assert_eq!(some(&["XREAD", "block", "300", "STREAMS", "s", "0"], 100_000), "XREAD block 200 STREAMS s 0");
        assert_eq!(some(&["BZPOPMIN", "z", "0"], 9_000_000), "all");
        assert_eq!(some(&["BLPOP", "a", "2"], 2_000_000), "BLPOP a 0.001");
        assert_eq!(some(&["BLPOP", "a", "0.01"], 9_000_000), "BLPOP a 0.001");
        assert_eq!(some(&["XREAD", "BLOCK", "5", "STREAMS", "s", "0"], 9_000_000), "XREAD BLOCK 1 STREAMS s 0");
        assert_eq!(rest_of(&["XREAD", "BLOCK", "0", "STREAMS", "s", "$"], 1), None);
    }
}
