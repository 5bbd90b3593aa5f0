//! How each field of INFO is merged: one row per family of fields.
//!
//! The first row whose pattern fits a field's name decides; `*` stands for any text. The rows cover Redis 7.0 to 8 and
//! Valkey. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{borrow::Cow, collections::BTreeMap};

use super::{
    decimal::Decimal,
    pairs::{self, quotient},
};

/// What becomes of the nodes' values of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Added up.
    Sum,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The lowest version.
    Lowest,
    /// Added up, but 0 (no limit) of any node is 0 of all.
    Limit,
    /// The first that is not `ok`.
    Worst,
    /// A list `a=1,b=2` with a rule for each key.
    Pairs,
    /// The field of the same name without `_human`, for people.
    Human,
    /// One merged field divided by another.
    Ratio(&'static str, &'static str),
    /// One merged field in per cent of another.
    Percent(&'static str, &'static str),
    /// What a node holds beside its empty state: in per cent of `used_memory` less `used_memory_startup`.
    Dataset,
    /// The first node's.
    First,
}

use Rule::{Dataset, First, Human, Limit, Lowest, Max, Min, Pairs, Percent, Ratio, Sum, Worst};

/// The rows.
#[rustfmt::skip]
const RULES: &[(&str, Rule)] = &[
    // Everywhere
    ("*_human",                     Human),
    // Server
    ("*_version",                   Lowest),  // what a client may count on at every node; lines of modules as well
    ("uptime_in_*",                 Min),     // since when all of them run
    ("io_threads_active",           Max),
    // Clients: of what is about clients the most is Circlet's own, see core/commands/info.rs
    ("cluster_connections",         Sum),
    ("maxclients",                  Sum),
    ("client_recent_max_*",         Max),
    ("*_clients",                   Sum),     // connected, blocked, tracking, watching, evicted …
    ("clients_in_timeout_table",    Sum),
    // Memory
    ("used_memory_peak_perc",       Percent("used_memory", "used_memory_peak")),
    ("used_memory_dataset_perc",    Dataset),
    ("used_memory_peak_time",       First),
    ("used_memory*",                Sum),     // the sum of the peaks is the bound of all nodes' common peak
    ("total_system_memory",         Sum),     // counts a machine once for each of its nodes
    ("maxmemory",                   Limit),
    ("allocator_frag_ratio",        Ratio("allocator_active", "allocator_allocated")),
    ("allocator_rss_ratio",         Ratio("allocator_resident", "allocator_active")),
    ("rss_overhead_ratio",          Ratio("used_memory_rss", "allocator_resident")),
    ("mem_fragmentation_ratio",     Ratio("used_memory_rss", "used_memory")),
    ("mem_allocator",               First),
    ("mem_*",                       Sum),
    ("allocator_*",                 Sum),
    ("rss_overhead_bytes",          Sum),
    ("number_of_*",                 Max),     // scripts and functions: every node has the same ones
    ("active_defrag_running",       Max),
    ("lazyfree*",                   Sum),
    // Persistence
    ("loading_start_time",          Min),
    ("loading_loaded_perc",         Min),
    ("loading_eta_seconds",         Max),
    ("loading_*_bytes",             Sum),
    ("*loading",                    Max),     // loading, async_loading: whether any of them is
    ("current_save_keys_*",         Sum),
    ("*_status",                    Worst),   // rdb_last_bgsave_status, aof_last_write_status …
    ("*_in_progress",               Max),
    ("*_scheduled",                 Max),
    ("*cow_size",                   Sum),
    ("current_cow_peak",            Sum),
    ("current_cow_size_age",        Max),
    ("current_fork_perc",           Max),
    ("rdb_last_save_time",          Min),     // since when nothing newer is safe everywhere
    ("*_time_sec",                  Max),
    ("rdb_*",                       Sum),     // changes since the last save, saves, keys loaded and expired
    ("aof_enabled",                 Min),     // whether all of them have one
    ("aof_pending_rewrite",         Max),
    ("aof_rewrites_consecutive_*",  Max),
    ("aof_*",                       Sum),     // sizes, rewrites, delayed writes
    // Stats
    ("instantaneous_*_duration_*",  Max),
    ("instantaneous_*",             Sum),
    ("total_*",                     Sum),     // connections, commands, bytes, errors, forks …
    ("rejected_*",                  Sum),
    ("sync_*",                      Sum),
    ("expired_stale_perc",          Max),
    ("expire*",                     Sum),     // expired_keys, expired_subkeys, expire_cycle_cpu_milliseconds …
    ("evicted_*",                   Sum),
    ("current_*_time",              Max),
    ("keyspace_*",                  Sum),     // hits and misses
    ("pubsub_patterns",             Max),     // every node has the pattern of a subscriber, but one the channel
    ("pubsub*",                     Sum),
    ("latest_fork_usec",            Max),
    ("migrate_cached_sockets",      Sum),
    ("*_tracked_keys",              Sum),
    ("active_defrag_*",             Sum),
    ("tracking_*",                  Sum),
    ("unexpected_error_replies",    Sum),
    ("dump_payload_sanitizations",  Sum),
    ("io_threaded_*",               Sum),
    ("reply_buffer_*",              Sum),
    ("client_*_disconnections",     Sum),
    ("acl_access_denied_*",         Sum),
    ("eventloop_*",                 Sum),
    // Replication: how the first node is replicated tells nothing of the others; only what counts is merged
    ("connected_slaves",            Sum),
    ("repl_backlog_active",         Max),
    // CPU
    ("used_cpu_*",                  Sum),
    // Commandstats, Errorstats, Latencystats, Keyspace, Keysizes
    ("cmdstat_*",                   Pairs),
    ("errorstat_*",                 Pairs),
    ("latency_percentiles_usec_*",  Pairs),
    ("db*",                         Pairs),
    // Whatever else names one node or one build: run_id, process_id, tcp_port, role, master_replid, os …
    ("*",                           First),
];

/// The rule for a field.
pub(super) fn rule_of(field: &[u8]) -> Rule {
    RULES.iter().find(|(pattern, _)| fits(pattern.as_bytes(), field)).map_or(First, |row| row.1)
}

/// Whether `name` fits `pattern`, in which each `*` stands for any text: all pieces occur, in order, at the ends.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let Some(star) = pattern.iter().position(|&byte| byte == b'*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(&pattern[..star]) else { return false };
    (0..=rest.len()).any(|skipped| fits(&pattern[star + 1..], &rest[skipped..]))
}

impl Rule {
    /// The merged value of a field, which has at least one. For a derived one: a stopgap until [`Rule::derive`].
    pub(super) fn merge<'a>(self, values: &[&'a [u8]]) -> Cow<'a, [u8]> {
        let first = values.first().copied().unwrap_or_default();
        if values.len() < 2 {
            return Cow::Borrowed(first);
        }
        match self {
            Sum | Max | Min | Limit => {
                let numbers = Decimal::parse_all(values);
                numbers
                    .and_then(|numbers| self.number(&numbers))
                    .map_or(Cow::Borrowed(first), |number| Cow::Owned(number.to_string().into_bytes()))
            }
            Lowest => Cow::Borrowed(values.iter().copied().min_by_key(|value| version(value)).unwrap_or(first)),
            Worst => Cow::Borrowed(values.iter().copied().find(|value| *value != b"ok").unwrap_or(first)),
            Pairs => pairs::merge(values).map_or(Cow::Borrowed(first), |text| Cow::Owned(text.into_bytes())),
            Human | Ratio(..) | Percent(..) | Dataset | First => Cow::Borrowed(first),
        }
    }

    fn number(self, numbers: &[Decimal]) -> Option<Decimal> {
        match self {
            Max => numbers.iter().copied().max(),
            Min => numbers.iter().copied().min(),
            Limit if numbers.iter().any(|number| number.is_zero()) => numbers.iter().copied().min(),
            _ => Some(Decimal::sum(numbers)),
        }
    }

    /// The value of a field that follows from other `merged` fields of its section; `None` for all others, and when
    /// one of those is missing.
    pub(super) fn derive(self, field: &[u8], merged: &BTreeMap<&[u8], Cow<'_, [u8]>>) -> Option<String> {
        let number = |name: &[u8]| Some(Decimal::parse(merged.get(name)?)?.approximate());
        match self {
            Human => Some(human(number(field.strip_suffix(b"_human")?)?)),
            Ratio(of, by) => Some(format!("{:.2}", quotient(number(of.as_bytes())?, number(by.as_bytes())?))),
            Percent(of, by) => Some(percent(number(of.as_bytes())?, number(by.as_bytes())?)),
            Dataset => {
                let all = number(b"used_memory")? - number(b"used_memory_startup")?;
                Some(percent(number(b"used_memory_dataset")?, all))
            }
            Sum | Max | Min | Lowest | Limit | Worst | Pairs | First => None,
        }
    }
}

/// The numbers of a version, for comparing: `7.0.15` is above `7.0.9`.
fn version(text: &[u8]) -> Vec<u64> {
    let digits = |piece: &[u8]| std::str::from_utf8(piece).ok().and_then(|piece| piece.parse().ok()).unwrap_or(0);
    text.split(|byte| !byte.is_ascii_digit()).map(digits).collect()
}

fn percent(of: f64, by: f64) -> String {
    format!("{:.2}%", quotient(of, by) * 100.0)
}

/// Bytes as Redis writes them for people: `200B`, `1015.73K`, `23.54G`.
fn human(bytes: f64) -> String {
    if bytes < 1024.0 {
        return format!("{bytes:.0}B");
    }
    let (mut size, mut unit) = (bytes / 1024.0, 'K');
    for larger in ['M', 'G', 'T', 'P'] {
        if size >= 1024.0 {
            (size, unit) = (size / 1024.0, larger);
        }
    }
    format!("{size:.2}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_reached() {
        for (at, (pattern, _)) in RULES.iter().enumerate() {
            let example = pattern.replace('*', "x");
            let decides = RULES.iter().position(|(other, _)| fits(other.as_bytes(), example.as_bytes()));
            assert_eq!(decides, Some(at), "{pattern} stands behind a row that takes its fields");
        }
    }

    #[test]
    fn fields_find_their_rows() {
        for (field, rule) in [
            ("redis_version", Lowest),
            ("used_memory", Sum),
            ("used_memory_human", Human),
            ("used_memory_peak_perc", Percent("used_memory", "used_memory_peak")),
            ("mem_allocator", First),
            ("mem_clients_normal", Sum),
            ("maxmemory_policy", First),
            ("rdb_last_bgsave_status", Worst),
            ("rdb_last_bgsave_time_sec", Max),
            ("loading", Max),
            ("async_loading", Max),
            ("total_blocking_keys_on_nokey", Sum),
            ("current_eviction_exceeded_time", Max),
            ("total_eviction_exceeded_time", Sum),
            ("master_replid", First),
            ("cluster_enabled", First),
            ("db0", Pairs),
            ("something_new", First),
        ] {
            assert_eq!(rule_of(field.as_bytes()), rule, "{field}");
        }
    }

    #[test]
    fn sizes_read_as_redis_writes_them() {
        for (bytes, text) in [
            (0.0, "0B"),
            (1023.0, "1023B"),
            (1_040_104.0, "1015.73K"),
            (12_451_840.0, "11.88M"),
            (25_276_510_208.0, "23.54G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn versions_compare_by_their_numbers() {
        let lowest = Lowest.merge(&[b"7.2.4", b"7.0.15", b"7.0.9"]);
        assert_eq!(&*lowest, b"7.0.9");
    }

    #[test]
    fn one_unlimited_node_makes_all_unlimited() {
        assert_eq!(&*Limit.merge(&[b"100", b"0"]), b"0");
        assert_eq!(&*Limit.merge(&[b"100", b"50"]), b"150");
    }
}
