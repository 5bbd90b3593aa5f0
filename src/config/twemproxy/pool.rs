//! A pool of nutcracker.yml: directives to values, by nutcracker's own rules.
//!
//! One row per directive. What nutcracker itself would refuse is a mistake here too, for every pool of the file; what only
//! Circlet cannot do is the business of `translate.rs`, and told for the pool that is to be served. Pure.

use std::collections::BTreeMap;

use super::{
    server::{self, Server},
    yaml::{Directive, Section, Value},
};
use crate::{
    config::{Distribution, nearest, value},
    traffic::route::{Address, KeyHash, hash_tag::Tag},
};

/// What a directive may hold.
#[derive(Clone, Copy)]
enum Kind {
    Listen,
    Hash,
    Distribution,
    Tag,
    /// A number of `int`'s range, from 0.
    Number,
    /// `true` or `false`, nothing else.
    Flag,
    /// Any text; it is a password, and never shown.
    Secret,
    Servers,
}

/// Every directive of nutcracker 0.5.0, and `reuseport` of those after it.
const DIRECTIVES: [(&str, Kind); 18] = [
    ("listen", Kind::Listen),
    ("hash", Kind::Hash),
    ("hash_tag", Kind::Tag),
    ("distribution", Kind::Distribution),
    ("timeout", Kind::Number),
    ("backlog", Kind::Number),
    ("client_connections", Kind::Number),
    ("tcpkeepalive", Kind::Flag),
    ("reuseport", Kind::Flag),
    ("redis", Kind::Flag),
    ("redis_auth", Kind::Secret),
    ("redis_db", Kind::Number),
    ("preconnect", Kind::Flag),
    ("auto_eject_hosts", Kind::Flag),
    ("server_connections", Kind::Number),
    ("server_retry_timeout", Kind::Number),
    ("server_failure_limit", Kind::Number),
    ("servers", Kind::Servers),
];

/// nutcracker's distributions.
const DISTRIBUTIONS: [(&str, Distribution); 3] =
    [("ketama", Distribution::Ketama), ("modula", Distribution::Modula), ("random", Distribution::Random)];

/// Where a pool listens.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listen {
    pub(super) address: Address,
    /// Permission bits of a unix socket, if they are given.
    pub(super) mode: Option<u32>,
}

/// What a directive says.
#[derive(Clone, Debug, PartialEq)]
enum Setting {
    Listen(Listen),
    Hash(KeyHash),
    Distribution(Distribution),
    Tag(Tag),
    Number(u32),
    Flag(bool),
    Secret(String),
    /// Each with its line.
    Servers(Vec<(Server, usize)>),
}

/// A pool, read.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) line: usize,
    /// Line and value of each directive that was written rightly.
    settings: BTreeMap<&'static str, (usize, Setting)>,
    /// Some directive was written wrongly: what seems to be missing may be just that one.
    pub(super) broken: bool,
}

impl Pool {
    /// Reads a section; faults, each with its line, go to `faults`.
    pub(super) fn read(section: &Section, faults: &mut Vec<(usize, String)>) -> Self {
        let (name, line) = (section.name.text.clone(), section.name.line);
        let mut pool = Self { name, line, settings: BTreeMap::new(), broken: false };
        for directive in &section.directives {
            let told = faults.len();
            pool.take(directive, faults);
            pool.broken |= faults.len() > told;
        }
        pool
    }

    fn take(&mut self, Directive { key, value }: &Directive, faults: &mut Vec<(usize, String)>) {
        let Some((name, kind)) = DIRECTIVES.iter().find(|(name, _)| *name == key.text) else {
            let known = DIRECTIVES.iter().map(|(name, _)| *name);
            let advice = match nearest::among(known, &key.text) {
                Some(near) => format!("did you mean {near}?"),
                None => "remove it".to_owned(),
            };
            faults.push((key.line, format!("{} is no directive of nutcracker; {advice}", key.text)));
            return;
        };
        if let Some((first, _)) = self.settings.get(name) {
            faults.push((key.line, format!("{name} stands in line {first} already; remove one of the two")));
            return;
        }
        if let Some(setting) = setting(name, *kind, value, key.line, faults) {
            self.settings.insert(name, (key.line, setting));
        }
    }

    /// The line of a directive that is there.
    pub(super) fn line_of(&self, name: &str) -> Option<usize> {
        self.settings.get(name).map(|(line, _)| *line)
    }

    pub(super) fn listen(&self) -> Option<&Listen> {
        match self.settings.get("listen") {
            Some((_, Setting::Listen(listen))) => Some(listen),
            _ => None,
        }
    }

    pub(super) fn hash(&self) -> KeyHash {
        match self.settings.get("hash") {
            Some((_, Setting::Hash(hash))) => *hash,
            _ => KeyHash::Fnv1a64,
        }
    }

    pub(super) fn distribution(&self) -> Distribution {
        match self.settings.get("distribution") {
            Some((_, Setting::Distribution(distribution))) => *distribution,
            _ => Distribution::Ketama,
        }
    }

    pub(super) fn hash_tag(&self) -> Option<Tag> {
        match self.settings.get("hash_tag") {
            Some((_, Setting::Tag(tag))) => Some(*tag),
            _ => None,
        }
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        match self.settings.get(name) {
            Some((_, Setting::Number(number))) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        match self.settings.get(name) {
            Some((_, Setting::Flag(flag))) => Some(*flag),
            _ => None,
        }
    }

    /// Whether it is not for Redis. Where something is written wrongly, it may have been `redis`.
    pub(super) fn is_memcached(&self) -> bool {
        !self.broken && self.flag("redis") != Some(true)
    }

    /// The password of `redis_auth`; empty means none, as for nutcracker.
    pub(super) fn redis_auth(&self) -> Option<&str> {
        match self.settings.get("redis_auth") {
            Some((_, Setting::Secret(text))) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The servers, each with its line.
    pub(super) fn servers(&self) -> &[(Server, usize)] {
        match self.settings.get("servers") {
            Some((_, Setting::Servers(servers))) => servers,
            _ => &[],
        }
    }
}

/// Reads one directive's value; `None` once it is told.
fn setting(name: &str, kind: Kind, value: &Value, line: usize, faults: &mut Vec<(usize, String)>) -> Option<Setting> {
    if let Kind::Servers = kind {
        return servers(value, line, faults);
    }
    let text = match value {
        Value::Text(text) => text.text.as_str(),
        Value::List(_) => {
            faults.push((line, format!("{name} is a list; write one value behind the colon")));
            return None;
        }
    };
    let read = match kind {
        Kind::Listen => listen(text).map(Setting::Listen),
        Kind::Hash => choice(text, &KeyHash::NAMES).map(Setting::Hash),
        Kind::Distribution => choice(text, &DISTRIBUTIONS).map(Setting::Distribution),
        Kind::Tag => match value::hash_tag(text) {
            Ok(Some(tag)) => Ok(Setting::Tag(tag)),
            _ => Err("write two characters in quotes, such as \"{}\"".to_owned()),
        },
        Kind::Number => server::number(text)
            .map(Setting::Number)
            .ok_or_else(|| format!("use a whole number from 0 to {}, in digits only", i32::MAX)),
        Kind::Flag => choice(text, &[("true", true), ("false", false)]).map(Setting::Flag),
        Kind::Secret | Kind::Servers => Ok(Setting::Secret(text.to_owned())),
    };
    read.map_err(|cure| faults.push((line, format!("{name} is \"{}\"; {cure}", text.escape_debug())))).ok()
}

fn choice<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, String> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        match nearest::among(names.iter().copied(), text) {
            Some(near) if names.len() > 3 => format!("did you mean {near}? There are {}", names.join(", ")),
            _ => format!("use {}", names.join(if names.len() > 2 { ", " } else { " or " })),
        }
    })
}

/// Reads `host:port`, or `/path` with permission bits behind it.
fn listen(text: &str) -> Result<Listen, String> {
    if text.starts_with('/') {
        let (path, mode) = text.rsplit_once(' ').map_or((text, None), |(path, mode)| (path, Some(mode)));
        let mode = mode.map(value::mode).transpose()?;
        let address = crate::config::address::one(path, std::path::Path::new(""))?;
        return Ok(Listen { address, mode });
    }
    let (host, port) = text.rsplit_once(':').ok_or("write host:port, or /path of a unix socket")?;
    Ok(Listen { address: server::tcp(host, port)?, mode: None })
}

fn servers(value: &Value, line: usize, faults: &mut Vec<(usize, String)>) -> Option<Setting> {
    let Value::List(items) = value else {
        faults.push((line, "servers is no list; write each server in a line of its own, behind \"- \"".to_owned()));
        return None;
    };
    let mut servers: Vec<(Server, usize)> = Vec::with_capacity(items.len());
    let told = faults.len();
    for item in items {
        match Server::read(&item.text) {
            Ok(server) => match servers.iter().find(|(other, _)| other.name == server.name) {
                Some((_, first)) => {
                    let name = &server.name;
                    faults.push((
                        item.line,
                        format!("two servers are called {name} (the other: line {first}); give each its own name"),
                    ));
                }
                None => servers.push((server, item.line)),
            },
            Err(cure) => faults.push((item.line, format!("a server is \"{}\"; {cure}", item.text.escape_debug()))),
        }
    }
    (faults.len() == told).then_some(Setting::Servers(servers))
}
