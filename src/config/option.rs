//! Every option, one row each: its key, where its value lives, what it may be.
//!
//! Reading the file, `--set`, the printed configuration and the tests all come from these rows; `conf/circlet.toml`
//! explains them to the operator, and a test compares the two. Rows stand in the order of that file. To add an option:
//! a field, a row, a paragraph there. Pure, except that a `*_file` option reads its file.

use std::{fmt, net::IpAddr, ops::RangeInclusive, path::Path, path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    Config, Distribution, LogFormat, OnNodeDown, Profile, address,
    draft::{Draft, Raw},
    mistake::Place,
    secret, value,
};
use crate::traffic::{
    route::{Address, KeyHash, hash_tag::Tag},
    settings::{Facade, PartialReads, Password},
};

/// One option.
pub(super) struct Row {
    /// `name`, or `section.name`.
    pub(super) key: &'static str,
    kind: Kind,
}

/// Where an option's value lives and what it may be.
enum Kind {
    /// One or more addresses.
    Listen(fn(&mut Config) -> &mut Vec<Address>),
    /// A TCP address or `off`.
    TcpOrOff(fn(&mut Config) -> &mut Option<Address>),
    /// Host names, none or several.
    Hosts(fn(&mut Config) -> &mut Vec<String>),
    /// Permission bits.
    Mode(fn(&mut Config) -> &mut u32),
    /// A path; empty for none.
    Path(fn(&mut Config) -> &mut Option<PathBuf>),
    /// A number of threads or `auto`.
    Threads(fn(&mut Config) -> &mut usize, RangeInclusive<u64>),
    Count(fn(&mut Config) -> &mut usize, RangeInclusive<u64>),
    Count32(fn(&mut Config) -> &mut u32, RangeInclusive<u64>),
    /// Bytes.
    Size(fn(&mut Config) -> &mut usize, RangeInclusive<u64>),
    /// Duration; the range is in milliseconds.
    Time(fn(&mut Config) -> &mut Duration, RangeInclusive<u64>),
    /// Duration or `off`; the range is in milliseconds.
    TimeOrOff(fn(&mut Config) -> &mut Option<Duration>, RangeInclusive<u64>),
    /// Short duration or `off`; the range is in microseconds.
    FineTimeOrOff(fn(&mut Config) -> &mut Option<Duration>, RangeInclusive<u64>),
    /// A password; empty for none. Never shown.
    Secret(fn(&mut Config) -> &mut Option<Password>),
    /// Path of a file with a password; empty for none.
    SecretFile(fn(&mut Config) -> &mut Option<Password>),
    /// `off`, `on` or a TCP address.
    Facade(fn(&mut Config) -> &mut Facade),
    PartialReads(fn(&mut Config) -> &mut PartialReads),
    Profile(fn(&mut Config) -> &mut Profile),
    OnNodeDown(fn(&mut Config) -> &mut OnNodeDown),
    Distribution(fn(&mut Config) -> &mut Distribution),
    KeyHash(fn(&mut Config) -> &mut KeyHash),
    /// Two bytes; empty for none.
    HashTag(fn(&mut Config) -> &mut Option<Tag>),
    LogFilter(fn(&mut Config) -> &mut String),
    /// What names begin with; empty for none.
    Prefix(fn(&mut Config) -> &mut Vec<u8>),
    /// `true` or `false`.
    Switch(fn(&mut Config) -> &mut bool),
    LogFormat(fn(&mut Config) -> &mut LogFormat),
}

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Offsets inside a request are 32 bits wide; the largest whole number of MB below that.
const MAX_REQUEST: u64 = 4_095 * MB;

/// Longest prefix of locks, bytes.
const MAX_PREFIX: usize = 256;

/// All options.
pub(super) static ROWS: &[Row] = &[
    Row { key: "listen", kind: Kind::Listen(|c| &mut c.listen) },
    Row { key: "socket_mode", kind: Kind::Mode(|c| &mut c.socket_mode) },
    Row { key: "admin", kind: Kind::TcpOrOff(|c| &mut c.admin) },
    Row { key: "admin_token", kind: Kind::Secret(|c| &mut c.admin_token) },
    Row { key: "admin_token_file", kind: Kind::SecretFile(|c| &mut c.admin_token) },
    Row { key: "admin_hosts", kind: Kind::Hosts(|c| &mut c.admin_hosts) },
    Row { key: "workers", kind: Kind::Threads(|c| &mut c.traffic.workers, 1..=1_024) },
    Row { key: "state", kind: Kind::Path(|c| &mut c.state) },
    Row { key: "profile", kind: Kind::Profile(|c| &mut c.profile) },
    Row { key: "on_node_down", kind: Kind::OnNodeDown(|c| &mut c.on_node_down) },
    Row { key: "requirepass", kind: Kind::Secret(|c| &mut c.traffic.requirepass) },
    Row { key: "requirepass_file", kind: Kind::SecretFile(|c| &mut c.traffic.requirepass) },
    Row { key: "partial_reads", kind: Kind::PartialReads(|c| &mut c.traffic.partial_reads) },
    Row { key: "cluster_facade", kind: Kind::Facade(|c| &mut c.traffic.cluster_facade) },
    Row { key: "drain_timeout", kind: Kind::Time(|c| &mut c.drain_timeout, 0..=HOUR) },
    Row { key: "node_info", kind: Kind::TimeOrOff(|c| &mut c.node_info, SECOND..=HOUR) },
    Row { key: "ring.distribution", kind: Kind::Distribution(|c| &mut c.distribution) },
    Row { key: "ring.points", kind: Kind::Count32(|c| &mut c.points_per_weight, 1..=1_048_576) },
    Row { key: "ring.hash", kind: Kind::KeyHash(|c| &mut c.key_hash) },
    Row { key: "ring.hash_tag", kind: Kind::HashTag(|c| &mut c.hash_tag) },
    Row { key: "rebalance.rate", kind: Kind::Count(|c| &mut c.rebalance.rate, 0..=100_000_000) },
    Row { key: "rebalance.bytes_per_second", kind: Kind::Size(|c| &mut c.rebalance.bytes_per_second, 0..=1_024 * GB) },
    Row { key: "rebalance.big_key_bytes", kind: Kind::Size(|c| &mut c.rebalance.big_key_bytes, 64 * KB..=GB) },
    Row { key: "rebalance.part_keys", kind: Kind::Count(|c| &mut c.rebalance.part_keys, 1_000..=100_000_000) },
    Row { key: "lock.nodes", kind: Kind::Count(|c| &mut c.lock.nodes, 0..=5) },
    Row { key: "lock.max_ttl", kind: Kind::Time(|c| &mut c.traffic.locks.max_ttl, SECOND..=24 * HOUR) },
    Row { key: "lock.bootstrap", kind: Kind::Switch(|c| &mut c.lock.bootstrap) },
    Row { key: "lock.prefix", kind: Kind::Prefix(|c| &mut c.traffic.locks.prefix) },
    Row { key: "lock.node_timeout", kind: Kind::Time(|c| &mut c.lock.node_timeout, 10..=MINUTE) },
    Row { key: "lock.max_waiters", kind: Kind::Count(|c| &mut c.lock.max_waiters, 0..=10_000_000) },
    Row { key: "lock.max_held", kind: Kind::Count(|c| &mut c.lock.max_held, 1..=10_000_000) },
    Row { key: "log.filter", kind: Kind::LogFilter(|c| &mut c.log.filter) },
    Row { key: "log.format", kind: Kind::LogFormat(|c| &mut c.log.format) },
    Row { key: "limits.max_bulk", kind: Kind::Size(|c| &mut c.traffic.limits.max_bulk, KB..=MAX_REQUEST) },
    Row { key: "limits.max_args", kind: Kind::Count(|c| &mut c.traffic.limits.max_args, 16..=16_777_216) },
    Row { key: "limits.max_inline", kind: Kind::Size(|c| &mut c.traffic.limits.max_inline, KB..=16 * MB) },
    Row { key: "limits.max_request", kind: Kind::Size(|c| &mut c.traffic.limits.max_request, 16 * KB..=MAX_REQUEST) },
    Row { key: "limits.max_nesting", kind: Kind::Count(|c| &mut c.traffic.limits.max_nesting, 16..=1_024) },
    Row { key: "limits.max_buffered", kind: Kind::Size(|c| &mut c.traffic.max_buffered, 16 * MB..=1_024 * GB) },
    Row { key: "limits.max_scripts", kind: Kind::Size(|c| &mut c.traffic.max_scripts, 0..=GB) },
    Row { key: "session.max_sessions", kind: Kind::Count(|c| &mut c.traffic.session.max_sessions, 1..=1_000_000) },
    Row { key: "session.database", kind: Kind::Count32(|c| &mut c.traffic.session.database, 0..=65_535) },
    Row { key: "session.max_pending", kind: Kind::Count(|c| &mut c.traffic.session.max_pending, 1..=100_000) },
    Row { key: "session.soft_output", kind: Kind::Size(|c| &mut c.traffic.session.soft_output, 4 * KB..=GB) },
    Row { key: "session.hard_output", kind: Kind::Size(|c| &mut c.traffic.session.hard_output, 4 * KB..=1_024 * GB) },
    Row { key: "session.linger", kind: Kind::TimeOrOff(|c| &mut c.traffic.session.linger, 1..=1_000) },
    Row { key: "session.max_leases", kind: Kind::Count(|c| &mut c.traffic.session.max_leases, 1..=100_000) },
    Row { key: "session.max_queued", kind: Kind::Count(|c| &mut c.traffic.session.max_queued, 1..=10_000_000) },
    Row {
        key: "session.max_queued_bytes",
        kind: Kind::Size(|c| &mut c.traffic.session.max_queued_bytes, 4 * KB..=1_024 * GB),
    },
    Row { key: "session.hard_pushes", kind: Kind::Size(|c| &mut c.traffic.session.hard_pushes, 4 * KB..=1_024 * GB) },
    Row {
        key: "session.max_subscriptions",
        kind: Kind::Count(|c| &mut c.traffic.session.max_subscriptions, 1..=10_000_000),
    },
    Row {
        key: "session.max_subscription_bytes",
        kind: Kind::Size(|c| &mut c.traffic.session.max_subscription_bytes, 4 * KB..=4 * GB),
    },
    Row {
        key: "session.idle_timeout",
        kind: Kind::TimeOrOff(|c| &mut c.traffic.session.idle_timeout, SECOND..=1_000 * HOUR),
    },
    Row { key: "pipe.max_in_flight", kind: Kind::Count(|c| &mut c.traffic.pipe.max_in_flight, 1..=1_000_000) },
    Row { key: "pipe.max_unsent", kind: Kind::Size(|c| &mut c.traffic.pipe.max_unsent, 64 * KB..=GB) },
    Row { key: "pipe.max_leased", kind: Kind::Count(|c| &mut c.traffic.pipe.max_leased, 1..=100_000) },
    Row { key: "pipe.connect_timeout", kind: Kind::Time(|c| &mut c.traffic.pipe.connect_timeout, 10..=HOUR) },
    Row { key: "pipe.request_timeout", kind: Kind::Time(|c| &mut c.traffic.pipe.request_timeout, 10..=30 * MINUTE) },
    Row { key: "pipe.backoff_min", kind: Kind::Time(|c| &mut c.traffic.pipe.backoff_min, 1..=HOUR) },
    Row { key: "pipe.backoff_max", kind: Kind::Time(|c| &mut c.traffic.pipe.backoff_max, 1..=HOUR) },
    Row {
        key: "pipe.idle_timeout",
        kind: Kind::TimeOrOff(|c| &mut c.traffic.pipe.idle_timeout, SECOND..=1_000 * HOUR),
    },
    Row {
        key: "slowlog.slower_than",
        kind: Kind::FineTimeOrOff(|c| &mut c.traffic.slow.slower_than, 0..=HOUR * 1_000),
    },
    Row { key: "slowlog.max_len", kind: Kind::Count(|c| &mut c.traffic.slow.max_len, 0..=1_000_000) },
    Row {
        key: "latency.monitor_threshold",
        kind: Kind::TimeOrOff(|c| &mut c.traffic.slow.monitor_threshold, 1..=HOUR),
    },
    Row { key: "keys.samples", kind: Kind::Count(|c| &mut c.traffic.keys.samples, 0..=100_000) },
    Row { key: "keys.big", kind: Kind::Size(|c| &mut c.traffic.keys.big, 64 * KB..=1_024 * GB) },
];

/// Options that can be changed while Circlet runs: what the workers read anew each time, and what is logged. Everything
/// else is built in when it starts.
const LIVE: &[&str] = &[
    "on_node_down",
    "partial_reads",
    "cluster_facade",
    "rebalance.rate",
    "rebalance.bytes_per_second",
    "rebalance.part_keys",
    "lock.node_timeout",
    "lock.max_waiters",
    "lock.max_held",
    "log.filter",
    "limits.max_bulk",
    "limits.max_args",
    "limits.max_inline",
    "limits.max_request",
    "limits.max_nesting",
    "limits.max_buffered",
    "session.max_sessions",
    "session.max_pending",
    "session.soft_output",
    "session.hard_output",
    "session.linger",
    "session.max_leases",
    "session.max_queued",
    "session.max_queued_bytes",
    "session.hard_pushes",
    "session.idle_timeout",
    "pipe.max_in_flight",
    "pipe.max_unsent",
    "pipe.max_leased",
    "pipe.connect_timeout",
    "pipe.request_timeout",
    "pipe.backoff_min",
    "pipe.backoff_max",
    "pipe.idle_timeout",
    "slowlog.slower_than",
    "slowlog.max_len",
    "latency.monitor_threshold",
    "keys.samples",
    "keys.big",
];

/// How many options are said to be changeable.
#[cfg(test)]
pub(super) fn live_count() -> usize {
    LIVE.len()
}

/// The row of `key`.
pub(super) fn row(key: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.key == key)
}

impl Row {
    /// Sets the option from `raw`, or reports why it cannot be. Relative paths start from `base`.
    pub(super) fn set(&self, draft: &mut Draft, raw: &Raw, place: Place, base: &Path) {
        match self.kind.assign(&mut draft.config, raw, base) {
            Ok(()) if self.is_secret() && raw.is_empty() => {}
            Ok(()) => {
                self.both_passwords(draft, &place);
                draft.set_at(self.key, place);
            }
            Err(cure) if matches!(self.kind, Kind::Secret(_)) => {
                draft.broken(self.key, place, format!("{}: {cure}", self.key));
            }
            Err(cure) => draft.broken(self.key, place, format!("{} is {}; {cure}", self.key, raw.shown())),
        }
    }

    /// Whether it can be changed while Circlet runs.
    pub(super) fn is_live(&self) -> bool {
        LIVE.contains(&self.key)
    }

    /// The value as text, without the quotes of the file; `None` for what is not shown.
    pub(super) fn text(&self, config: &mut Config) -> Option<String> {
        let shown = self.show(config)?;
        match shown.parse::<toml::Value>() {
            Ok(toml::Value::String(text)) => Some(text),
            _ => Some(shown),
        }
    }

    fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(_) | Kind::SecretFile(_))
    }

    /// A password given both ways in one source is a contradiction; a flag replaces the file's either way.
    fn both_passwords(&self, draft: &mut Draft, place: &Place) {
        let other = match self.key {
            "requirepass" => "requirepass_file",
            "requirepass_file" => "requirepass",
            "admin_token" => "admin_token_file",
            "admin_token_file" => "admin_token",
            _ => return,
        };
        let same_source = |other: &Place| matches!(other, Place::Line { .. }) == matches!(place, Place::Line { .. });
        if draft.place(other).is_some_and(same_source) {
            let text = format!("{} and {other} are both given; remove one of them", self.key);
            draft.mistake(place.clone(), text);
        }
    }

    /// The value as the file would say it; `None` for what is not shown or stands elsewhere.
    pub(super) fn show(&self, config: &mut Config) -> Option<String> {
        self.kind.show(config)
    }

    /// The value as a number, to compare options of one unit.
    pub(super) fn number(&self, config: &mut Config) -> Option<u64> {
        match &self.kind {
            Kind::Count(at, _) | Kind::Size(at, _) => u64::try_from(*at(config)).ok(),
            Kind::Time(at, _) => u64::try_from(at(config).as_millis()).ok(),
            _ => None,
        }
    }
}

impl Kind {
    /// Reads `raw` into the configuration; an `Err` is the cure.
    fn assign(&self, config: &mut Config, raw: &Raw, base: &Path) -> Result<(), String> {
        if let Self::Listen(at) = self {
            *at(config) = address::addresses(raw, base)?;
            return Ok(());
        }
        if let Self::Hosts(at) = self {
            *at(config) = address::hosts(raw)?;
            return Ok(());
        }
        let Raw::Scalar { text, quoted } = raw else {
            return Err("use a single value".to_owned());
        };
        let string = || if *quoted { Ok(text.as_str()) } else { Err("write it in quotes".to_owned()) };
        match self {
            Self::Listen(_) | Self::Hosts(_) => {}
            Self::TcpOrOff(at) => *at(config) = or_off(string()?, address::tcp)?,
            Self::Mode(at) => *at(config) = value::mode(text)?,
            Self::Path(at) => *at(config) = Some(string()?).filter(|path| !path.is_empty()).map(|path| base.join(path)),
            Self::Threads(at, _) if text == "auto" => *at(config) = Config::default().traffic.workers,
            Self::Threads(at, range) => {
                *at(config) = index(value::count(text, range).map_err(|cure| format!("{cure}, or \"auto\""))?)?;
            }
            Self::Count(at, range) => *at(config) = index(value::count(text, range)?)?,
            Self::Count32(at, range) => {
                *at(config) =
                    u32::try_from(value::count(text, range)?).map_err(|_| "use a smaller number".to_owned())?;
            }
            Self::Size(at, range) => *at(config) = index(value::size(text, range)?)?,
            Self::Time(at, range) => *at(config) = value::time(text, range)?,
            Self::TimeOrOff(at, range) => *at(config) = or_off(text, |text| value::time(text, range))?,
            Self::FineTimeOrOff(at, range) => *at(config) = or_off(text, |text| value::fine_time(text, range))?,
            Self::Secret(at) => *at(config) = secret::inline(string()?)?,
            Self::SecretFile(at) => {
                // An empty path names no file and takes nothing back.
                if let Some(password) = secret::from_file(string()?, base)? {
                    *at(config) = Some(password);
                }
            }
            Self::Facade(at) => *at(config) = facade(string()?)?,
            Self::PartialReads(at) => {
                *at(config) = choice(text, &[("error", PartialReads::Error), ("nil", PartialReads::Nil)])?;
            }
            Self::Profile(at) => *at(config) = choice(text, &PROFILES)?,
            Self::OnNodeDown(at) => *at(config) = choice(text, &ON_NODE_DOWN)?,
            Self::Distribution(at) => *at(config) = choice(text, &DISTRIBUTIONS)?,
            Self::KeyHash(at) => *at(config) = choice(text, &KeyHash::NAMES)?,
            Self::HashTag(at) => *at(config) = value::hash_tag(string()?)?,
            Self::LogFilter(at) => *at(config) = filter(string()?)?,
            Self::Prefix(at) => *at(config) = prefix(string()?)?,
            Self::Switch(at) => *at(config) = choice(text, &[("true", true), ("false", false)])?,
            Self::LogFormat(at) => {
                *at(config) = choice(text, &[("human", LogFormat::Human), ("json", LogFormat::Json)])?;
            }
        }
        Ok(())
    }

    fn show(&self, config: &mut Config) -> Option<String> {
        let size = |bytes: &usize| value::show_size(u64::try_from(*bytes).unwrap_or(u64::MAX));
        Some(match self {
            Self::Listen(at) => {
                let all: Vec<String> = at(config).iter().map(|address| quoted(&address.to_string())).collect();
                format!("[{}]", all.join(", "))
            }
            Self::Hosts(at) => {
                let all: Vec<String> = at(config).iter().map(|host| quoted(host)).collect();
                format!("[{}]", all.join(", "))
            }
            Self::TcpOrOff(at) => quoted(&at(config).as_ref().map_or_else(|| "off".to_owned(), Address::to_string)),
            Self::Mode(at) => quoted(&format!("{:o}", at(config))),
            Self::Path(at) => quoted(&at(config).as_ref().map_or_else(String::new, |path| path.display().to_string())),
            Self::Threads(at, _) | Self::Count(at, _) => at(config).to_string(),
            Self::Count32(at, _) => at(config).to_string(),
            Self::Size(at, _) => quoted(&size(at(config))),
            Self::Time(at, _) => quoted(&value::show_time(*at(config))),
            Self::TimeOrOff(at, _) => quoted(&at(config).map_or_else(|| "off".to_owned(), value::show_time)),
            Self::FineTimeOrOff(at, _) => quoted(&at(config).map_or_else(|| "off".to_owned(), value::show_fine_time)),
            Self::Secret(_) | Self::SecretFile(_) => return None,
            Self::Facade(at) => quoted(&at(config).to_string()),
            Self::PartialReads(at) => quoted(match at(config) {
                PartialReads::Error => "error",
                PartialReads::Nil => "nil",
            }),
            Self::Profile(at) => quoted(name_of(*at(config), &PROFILES)),
            Self::OnNodeDown(at) => quoted(name_of(*at(config), &ON_NODE_DOWN)),
            Self::Distribution(at) => quoted(name_of(*at(config), &DISTRIBUTIONS)),
            Self::KeyHash(at) => quoted(at(config).name()),
            Self::HashTag(at) => quoted(&value::show_hash_tag(*at(config))),
            Self::LogFilter(at) => quoted(at(config)),
            Self::Prefix(at) => quoted(&String::from_utf8_lossy(at(config))),
            Self::Switch(at) => at(config).to_string(),
            Self::LogFormat(at) => quoted(match at(config) {
                LogFormat::Human => "human",
                LogFormat::Json => "json",
            }),
        })
    }
}

/// What the nodes are.
const PROFILES: [(&str, Profile); 2] = [("store", Profile::Store), ("cache", Profile::Cache)];

/// What becomes of the keys of a node that is down.
const ON_NODE_DOWN: [(&str, OnNodeDown); 2] = [("error", OnNodeDown::Error), ("eject", OnNodeDown::Eject)];

/// The ways to spread keys.
const DISTRIBUTIONS: [(&str, Distribution); 4] = [
    ("xxh3", Distribution::Xxh3),
    ("ketama", Distribution::Ketama),
    ("modula", Distribution::Modula),
    ("random", Distribution::Random),
];

/// The name of a choice.
fn name_of<T: Copy + PartialEq>(value: T, choices: &[(&'static str, T)]) -> &'static str {
    choices.iter().find(|(_, choice)| *choice == value).map_or("", |(name, _)| name)
}

/// Text as a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn index(number: u64) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| "use a smaller number; this machine cannot address it".to_owned())
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("use {}", names.join(if names.len() > 2 { ", " } else { " or " }))
    })
}

/// Reads `off`, `on` or a TCP address.
fn facade(text: &str) -> Result<Facade, String> {
    match text {
        "off" => Ok(Facade::Off),
        "on" => Ok(Facade::On),
        text => match text.parse() {
            Ok(Address::Tcp { host, port }) if can_be_told(&host) => Ok(Facade::At(Address::Tcp { host, port })),
            _ => {
                Err("use \"off\", \"on\" or the address where clients reach Circlet, such as \"redis.example:6380\""
                    .into())
            }
        },
    }
}

/// Whether clients can be told this host: it means one machine, and parts nothing in a line of CLUSTER NODES.
fn can_be_told(host: &str) -> bool {
    let parts = |letter: char| letter.is_whitespace() || letter.is_control() || "@,".contains(letter);
    !host.contains(parts) && !host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

fn or_off<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text == "off" {
        return Ok(None);
    }
    read(text).map(Some).map_err(|cure| format!("{cure}, or \"off\""))
}

/// Checks a log filter. A bare word that is no level would silently be taken as a target, so it needs its `=`.
fn filter(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let cure = || format!("use one of {}, or directives such as \"info,circlet::control=debug\"", LEVELS.join(", "));
    let known = |part: &str| part.contains('=') || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part.trim()));
    if !text.split(',').all(known) || EnvFilter::builder().parse(text).is_err() {
        return Err(cure());
    }
    Ok(text.to_owned())
}

/// Checks what the names of locks begin with.
fn prefix(text: &str) -> Result<Vec<u8>, String> {
    const OURS: &str = "circlet:";
    if text.starts_with(OURS) {
        return Err(format!("names that begin with {OURS} are Circlet's own; use another one, such as \"lock:\""));
    }
    if text.len() > MAX_PREFIX {
        return Err(format!("use at most {MAX_PREFIX} bytes"));
    }
    Ok(text.into())
}

/// Whether an option is written down though it has its default: where the keys lie shall not hang on what is not said.
fn decides_placement(config: &Config, row: &Row) -> bool {
    let hashed = matches!(config.distribution, Distribution::Ketama | Distribution::Modula);
    hashed && ["ring.hash", "ring.hash_tag"].contains(&row.key)
}

/// Writes options as TOML, in the rows' order: every one, or those that differ from their default or decide placement.
pub(super) fn print(config: &Config, changed_only: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut copy, mut defaults) = (config.clone(), Config::default());
    let mut section = "";
    for row in ROWS {
        let (of, name) = row.key.split_once('.').unwrap_or(("", row.key));
        let line = match (row.show(&mut copy), &row.kind) {
            (is, _)
                if changed_only && is.is_some() && is == row.show(&mut defaults) && !decides_placement(config, row) =>
            {
                continue;
            }
            (Some(value), _) => format!("{name} = {value}"),
            (None, Kind::Secret(at)) if at(&mut copy).is_some() => format!("# {name} is set (not shown)"),
            (None, _) => continue,
        };
        if of != section {
            writeln!(f, "\n[{of}]")?;
            section = of;
        }
        writeln!(f, "{line}")?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "option_tests.rs"]
mod tests;
