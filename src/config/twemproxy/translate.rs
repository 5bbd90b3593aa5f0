//! A pool of nutcracker.yml as Circlet's options, and what is not the same here.
//!
//! Every directive ends in one of three ways: an option that does the same; a [`Note`], where Circlet behaves otherwise and
//! serves all the same; or a mistake, where serving would be wrong. The placement of keys is never among the notes: it is
//! identical, or the pool is not served. Pure.

use std::time::Duration;

use super::{pool::Pool, server::Server};
use crate::{
    config::{
        Distribution, Note, OnNodeDown,
        draft::{Draft, Raw},
        mistake::Place,
        option, secret,
    },
    traffic::route::{Node, hash_tag::Tag},
};

/// Lays `pool` over the draft and gives what has no equivalent. `file` is the path as given.
pub(super) fn apply(draft: &mut Draft, pool: &Pool, file: &str) -> Vec<Note> {
    let mut translation = Translation { draft, pool, file, notes: Vec::new() };
    translation.protocol();
    translation.doors();
    translation.ring();
    translation.servers();
    translation.times();
    translation.connections();
    translation.notes
}

/// What becomes of servers that are down, which hangs on what the flags say; to be called behind them.
pub(super) fn ejection(draft: &mut Draft, pool: &Pool, file: &str) -> Vec<Note> {
    let mut translation = Translation { draft, pool, file, notes: Vec::new() };
    translation.ejection();
    translation.notes
}

struct Translation<'a> {
    draft: &'a mut Draft,
    pool: &'a Pool,
    file: &'a str,
    notes: Vec<Note>,
}

impl Translation<'_> {
    fn place(&self, directive: &str) -> Place {
        let line = self.pool.line_of(directive).unwrap_or(self.pool.line);
        Place::Line { file: self.file.to_owned(), line }
    }

    fn note(&mut self, directive: &str, text: impl Into<String>) {
        let note = Note { place: self.place(directive), text: text.into() };
        self.notes.push(note);
    }

    /// Sets an option by its row, so that its range holds here too.
    fn set(&mut self, directive: &str, option: &str, value: &str) {
        let place = self.place(directive);
        if let Some(row) = option::row(option) {
            row.set(self.draft, &Raw::text(value), place, std::path::Path::new(""));
        }
    }

    /// `redis`, `redis_db`.
    fn protocol(&mut self) {
        if self.pool.is_memcached() {
            let name = &self.pool.name;
            let text = format!(
                "pool {name} speaks memcached, for redis is not true; Circlet speaks Redis only: leave this pool to nutcracker, or \
                 write redis: true if its servers are Redis"
            );
            self.draft.mistake(self.place("redis"), text);
        }
        if let Some(db) = self.pool.number("redis_db").filter(|db| *db > 0) {
            self.set("redis_db", "session.database", &db.to_string());
            let text = format!(
                "clients begin in database {db} and may SELECT others; nutcracker calls it 0 and has no SELECT"
            );
            self.note("redis_db", text);
        }
    }

    /// `listen`, `backlog`, `reuseport`, `redis_auth`, `client_connections`.
    fn doors(&mut self) {
        if let Some(listen) = self.pool.listen() {
            self.draft.config.listen = vec![listen.address.clone()];
            self.draft.set_at("listen", self.place("listen"));
            if let Some(mode) = listen.mode {
                self.draft.config.socket_mode = mode;
                self.draft.set_at("socket_mode", self.place("listen"));
            } else if matches!(listen.address, crate::traffic::route::Address::Unix(_)) {
                let mode = self.draft.config.socket_mode;
                self.note(
                    "listen",
                    format!("without permissions the socket gets {mode:o} (socket_mode), not what the umask says"),
                );
            }
        } else if !self.pool.broken {
            let text = format!("pool {} has no listen; add listen: 127.0.0.1:22121", self.pool.name);
            self.draft.mistake(self.place(""), text);
        }
        if self.pool.number("backlog").is_some() {
            self.note(
                "backlog",
                "backlog has no option: Circlet asks for 4096, and the system's net.core.somaxconn decides",
            );
        }
        if self.pool.flag("reuseport") == Some(true) {
            self.note(
                "reuseport",
                "reuseport has no option: one Circlet accepts for all its workers, and a second one on the same address is refused",
            );
        }
        if let Some(text) = self.pool.redis_auth() {
            match secret::inline(text) {
                Ok(password) => {
                    self.draft.config.traffic.requirepass = password;
                    self.draft.set_at("requirepass", self.place("redis_auth"));
                }
                Err(cure) => self.draft.mistake(self.place("redis_auth"), format!("redis_auth: {cure}")),
            }
        }
        self.clients();
    }

    fn clients(&mut self) {
        /// What `session.max_sessions` allows.
        const MOST: u32 = 1_000_000;
        let default = self.draft.config.traffic.session.max_sessions;
        match self.pool.number("client_connections") {
            Some(number @ 1..) => {
                self.set("client_connections", "session.max_sessions", &number.min(MOST).to_string());
                let held = format!("Circlet holds clients to client_connections ({})", number.min(MOST));
                self.note(
                    "client_connections",
                    format!("{held}; nutcracker 0.5.0 reads the number and does not act on it"),
                );
            }
            _ => self.note(
                "client_connections",
                format!(
                    "without client_connections there is a limit all the same: {default} clients (session.max_sessions)"
                ),
            ),
        }
    }

    /// `distribution`, `hash`, `hash_tag`.
    fn ring(&mut self) {
        let config = &mut self.draft.config;
        config.distribution = self.pool.distribution();
        if config.distribution == Distribution::Random {
            // What is drawn by lot is not hashed.
            config.hash_tag = Some(Tag::BRACES);
            self.note(
                "distribution",
                "random: as with nutcracker, each key of each request goes to any server, so that what was written is found by \
                 chance only; right for servers that all hold the same",
            );
        } else {
            config.key_hash = self.pool.hash();
            config.hash_tag = self.pool.hash_tag();
        }
        for (directive, option) in
            [("distribution", "ring.distribution"), ("hash", "ring.hash"), ("hash_tag", "ring.hash_tag")]
        {
            self.draft.set_at(option, self.place(directive));
        }
    }

    /// `servers`.
    fn servers(&mut self) {
        let password = self.draft.config.traffic.requirepass.clone();
        for (Server { name, address, weight }, line) in self.pool.servers() {
            let (name, address, weight) = (name.clone(), address.clone(), f64::from(*weight));
            self.draft.config.nodes.push(Node { weight, password: password.clone(), ..Node::new(name, address) });
            self.draft.node_places.push(Place::Line { file: self.file.to_owned(), line: *line });
        }
        if self.pool.servers().is_empty() {
            // Said here, with the pool's line, and not once more by what follows.
            let text =
                format!("pool {} has no servers; add servers: and a line such as - 127.0.0.1:6379:1", self.pool.name);
            let place = self.place("servers");
            if self.pool.broken {
                self.draft.incomplete = true;
            } else {
                self.draft.broken("nodes", place, text);
            }
        }
    }

    /// `timeout`: it holds for connecting and for answering alike.
    fn times(&mut self) {
        const LEAST: u32 = 10;
        const MOST: u32 = 30 * 60 * 1_000;
        let Some(timeout) = self.pool.number("timeout").filter(|timeout| *timeout > 0) else {
            let pipe = &self.draft.config.traffic.pipe;
            let (connect, answer) = (pipe.connect_timeout, pipe.request_timeout);
            let text = format!(
                "without a timeout nutcracker waits for ever; Circlet gives up connecting after {connect:?} (pipe.connect_timeout) \
                 and waiting for an answer after {answer:?} (pipe.request_timeout)"
            );
            self.note("timeout", text);
            return;
        };
        let held = timeout.clamp(LEAST, MOST);
        if held != timeout {
            let held = Duration::from_millis(u64::from(held));
            self.note("timeout", format!("timeout is {timeout} ms; Circlet's range is 10ms to 30m, so it is {held:?}"));
        }
        for option in ["pipe.connect_timeout", "pipe.request_timeout"] {
            self.set("timeout", option, &format!("{held}ms"));
        }
    }

    /// `server_connections`, `preconnect`, `tcpkeepalive`.
    fn connections(&mut self) {
        if self.pool.number("server_connections") == Some(0) {
            self.draft.mistake(self.place("server_connections"), "server_connections is 0; use 1 or more".to_owned());
        } else if self.pool.number("server_connections").is_some() {
            self.note(
                "server_connections",
                "server_connections has no option: each worker has one pipelined connection to each node, for each database and \
                 protocol in use; workers says how many workers there are",
            );
        }
        if let Some(preconnect) = self.pool.flag("preconnect") {
            let text = format!(
                "preconnect: {preconnect} has no option: Circlet connects to every node when it starts, to know whether it is up; \
                 each worker's own connection is opened with its first request"
            );
            self.note("preconnect", text);
        }
        if self.pool.flag("tcpkeepalive") == Some(false) {
            self.note(
                "tcpkeepalive",
                "tcpkeepalive: false has no option: keep-alive is always on, after 300 s of silence",
            );
        }
    }

    /// `auto_eject_hosts`, `server_retry_timeout`, `server_failure_limit`.
    fn ejection(&mut self) {
        let wanted = self.pool.flag("auto_eject_hosts") == Some(true);
        let said = ["profile", "on_node_down"].iter().any(|option| self.draft.place(option).is_some());
        let config = &self.draft.config;
        if wanted && !said {
            if config.distribution == Distribution::Random {
                self.note(
                    "auto_eject_hosts",
                    "auto_eject_hosts has no equivalent with distribution: random; no node is ever ejected",
                );
            } else if config.state.is_none() {
                self.note("auto_eject_hosts", NEEDS_STATE);
            } else {
                self.set("auto_eject_hosts", "profile", "cache");
                self.set("auto_eject_hosts", "on_node_down", "eject");
                self.note("auto_eject_hosts", EJECTS);
            }
        }
        let ejects = self.draft.config.on_node_down == OnNodeDown::Eject;
        if self.pool.number("server_failure_limit").is_some() {
            self.note("server_failure_limit", if ejects { JUDGED } else { FAILURE_LIMIT });
        }
        if self.pool.number("server_retry_timeout").is_some() {
            self.note("server_retry_timeout", if ejects { RETURNS } else { RETRY_TIMEOUT });
        }
    }
}

const NEEDS_STATE: &str = "auto_eject_hosts has no equivalent without a state directory: no node is ever ejected, and the keys of a \
                           node that is down are answered -NODEDOWN at once until it is back. With --state DIR they go to the \
                           others, and the node deletes what it had before it comes back, so that none is stale afterwards";

const EJECTS: &str = "auto_eject_hosts: the keys of a node that is down go to the others (profile = \"cache\", on_node_down = \
                      \"eject\"), unless fewer than half of the nodes would be left; before it comes back it deletes what it had, \
                      which nutcracker does not see to";

const FAILURE_LIMIT: &str = "server_failure_limit has no equivalent: a node that is down is tried again with growing pauses, \
                             pipe.backoff_min to pipe.backoff_max";

const RETRY_TIMEOUT: &str = "server_retry_timeout has no equivalent: a node that is down is tried again with growing pauses, \
                             pipe.backoff_min to pipe.backoff_max";

const JUDGED: &str = "server_failure_limit has no option: a node is judged down after three answers missed within 30 s and over at \
                      least one, or when it says that it is loading or a read-only replica; a request that failed is a sign only";

const RETURNS: &str = "server_retry_timeout has no option: a node comes back when it has answered its probe for at least 2 s, longer each \
                       time that it falls again soon (up to 2 m), and has deleted what it had";
