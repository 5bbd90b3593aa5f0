//! Every option is set, and no other changes; every wrong value is told with its cure. Pure.

use super::*;
use crate::config::{Overrides, load};

const SAMPLE: &str = include_str!("../../conf/circlet.toml");

fn show_all(config: &Config) -> Vec<(&'static str, Option<String>)> {
    let mut config = config.clone();
    ROWS.iter().map(|row| (row.key, row.show(&mut config))).collect()
}

fn with(assignment: &str) -> Result<Config, String> {
    with_all(&[assignment])
}

fn with_all(assignments: &[&str]) -> Result<Config, String> {
    let overrides = Overrides {
        nodes: vec!["127.0.0.1:7001".to_owned()],
        set: assignments.iter().filter(|text| !text.is_empty()).map(|&text| text.to_owned()).collect(),
        ..Overrides::default()
    };
    load(None, &overrides).map_err(|mistakes| mistakes.to_string())
}

/// The paragraph of comments above each option of the sample, and its value as written.
fn paragraphs() -> Vec<(String, String, String)> {
    let (mut section, mut comment, mut found) = (String::new(), String::new(), Vec::new());
    for line in SAMPLE.lines() {
        if line == "[[nodes]]" {
            break;
        } else if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
        } else if let Some((name, value)) = line.split_once(" = ") {
            found.push((format!("{section}{name}"), value.to_owned(), std::mem::take(&mut comment)));
        } else {
            comment.clear();
        }
    }
    found
}

#[test]
fn the_sample_file_equals_the_defaults() {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/circlet.toml"));
    let config = load(Some(path), &Overrides::default()).unwrap();
    assert_eq!(show_all(&config), show_all(&Config::default()));
    assert_eq!(config.traffic.requirepass, None);
    assert_eq!(config.nodes.len(), 3);
    // Debug of the data plane's settings holds every field, also one that has no row yet.
    assert_eq!(format!("{:?}", config.traffic), format!("{:?}", Config::default().traffic));
}

#[test]
fn the_sample_file_has_every_option_once_in_the_rows_order_and_explains_it() {
    let keys: Vec<String> = paragraphs().into_iter().map(|(key, _, _)| key).collect();
    assert_eq!(keys, ROWS.iter().map(|row| row.key.to_owned()).collect::<Vec<_>>());
    for ((key, value, comment), row) in paragraphs().into_iter().zip(ROWS) {
        assert!(comment.len() > 20, "{key} is not explained");
        if let Some(range) = row.range() {
            assert!(comment.contains(&range), "{key}: its comment does not say {range}");
        }
        if let Some(shown) = row.show(&mut Config::default())
            && value != "\"auto\""
        {
            assert_eq!(value, shown, "{key}: the sample does not show the default");
        }
    }
}

impl Row {
    /// What the option allows, as its comment says it.
    fn range(&self) -> Option<String> {
        let (range, show): (_, fn(u64) -> String) = match &self.kind {
            Kind::Threads(_, range) | Kind::Count(_, range) | Kind::Count32(_, range) => (range, |n| n.to_string()),
            Kind::Size(_, range) => (range, value::show_size),
            Kind::Time(_, range) | Kind::TimeOrOff(_, range) => {
                (range, |millis| value::show_time(Duration::from_millis(millis)))
            }
            Kind::FineTimeOrOff(_, range) => (range, |micros| value::show_fine_time(Duration::from_micros(micros))),
            _ => return None,
        };
        Some(format!("{} to {}", show(*range.start()), show(*range.end())))
    }
}

#[test]
fn every_option_can_be_set_and_changes_itself_only() {
    let cases = [
        ("listen", "[\"[::1]:1\", \"unix:/run/c\"]", "[\"[::1]:1\", \"unix:/run/c\"]"),
        ("socket_mode", "0777", "\"777\""),
        ("admin", "off", "\"off\""),
        ("admin_hosts", "[\"A.example\", \"*\"]", "[\"a.example\", \"*\"]"),
        ("workers", "7", "7"),
        ("state", "/var/lib/circlet", "\"/var/lib/circlet\""),
        ("profile", "cache", "\"cache\""),
        ("on_node_down", "eject", "\"eject\""),
        ("partial_reads", "nil", "\"nil\""),
        ("cluster_facade", "[::1]:7", "\"[::1]:7\""),
        ("drain_timeout", "0s", "\"0s\""),
        ("node_info", "off", "\"off\""),
        ("ring.distribution", "ketama", "\"ketama\""),
        ("ring.points", "100", "100"),
        ("ring.hash", "md5", "\"md5\""),
        ("ring.hash_tag", "$$", "\"$$\""),
        ("rebalance.rate", "0", "0"),
        ("rebalance.bytes_per_second", "1GB", "\"1GB\""),
        ("rebalance.big_key_bytes", "64KB", "\"64KB\""),
        ("rebalance.part_keys", "5000", "5000"),
        ("lock.nodes", "5", "5"),
        ("lock.max_ttl", "24h", "\"24h\""),
        ("lock.bootstrap", "true", "true"),
        ("lock.prefix", "lock:", "\"lock:\""),
        ("lock.node_timeout", "1m", "\"1m\""),
        ("lock.max_waiters", "0", "0"),
        ("lock.max_held", "1", "1"),
        ("log.filter", "warn,circlet=trace", "\"warn,circlet=trace\""),
        ("log.format", "json", "\"json\""),
        ("limits.max_bulk", "1KB", "\"1KB\""),
        ("limits.max_args", "16", "16"),
        ("limits.max_inline", "2048", "\"2KB\""),
        ("limits.max_request", "4095MB", "\"4095MB\""),
        ("limits.max_nesting", "16", "16"),
        ("limits.max_buffered", "1024GB", "\"1024GB\""),
        ("limits.max_scripts", "1MB", "\"1MB\""),
        ("session.max_sessions", "1", "1"),
        ("session.database", "3", "3"),
        ("session.max_pending", "1", "1"),
        ("session.soft_output", "4KB", "\"4KB\""),
        ("session.hard_output", "2MB", "\"2MB\""),
        ("session.linger", "off", "\"off\""),
        ("session.max_leases", "1", "1"),
        ("session.max_queued", "7", "7"),
        ("session.max_queued_bytes", "4KB", "\"4KB\""),
        ("session.hard_pushes", "4KB", "\"4KB\""),
        ("session.max_subscriptions", "1", "1"),
        ("session.max_subscription_bytes", "4KB", "\"4KB\""),
        ("session.idle_timeout", "300s", "\"5m\""),
        ("pipe.max_in_flight", "1", "1"),
        ("pipe.max_unsent", "1MB", "\"1MB\""),
        ("pipe.max_leased", "1", "1"),
        ("pipe.connect_timeout", "10ms", "\"10ms\""),
        ("pipe.request_timeout", "1m", "\"1m\""),
        ("pipe.backoff_min", "1ms", "\"1ms\""),
        ("pipe.backoff_max", "1h", "\"1h\""),
        ("pipe.idle_timeout", "off", "\"off\""),
        ("slowlog.slower_than", "500us", "\"500us\""),
        ("slowlog.max_len", "0", "0"),
        ("latency.monitor_threshold", "100ms", "\"100ms\""),
        ("keys.samples", "0", "0"),
        ("keys.big", "64KB", "\"64KB\""),
    ];
    // The two ways to give the password are shown by no row; tests of the whole configuration look at them.
    let keys: Vec<&str> = ROWS.iter().filter(|row| !row.is_secret()).map(|row| row.key).collect();
    assert_eq!(cases.iter().map(|case| case.0).collect::<Vec<_>>(), keys);
    let defaults = show_all(&Config::default());
    for (key, value, shown) in cases {
        // Some are refused without others: two mean nothing to Circlet's own ring, nodes are left out of a cache only.
        let needs: &[&str] = match key {
            "ring.hash" | "ring.hash_tag" => &["ring.distribution=ketama"],
            "on_node_down" => &["profile=cache", "state=/s"],
            "lock.prefix" => &["state=/s"],
            _ => &[],
        };
        let config = with_all(&[needs, &[&format!("{key}={value}")]].concat()).unwrap();
        for ((row, is), (_, default)) in show_all(&config).into_iter().zip(&defaults) {
            if row == key {
                assert_eq!(is.as_deref(), Some(shown));
                assert_ne!(is, *default, "{key}: the test sets the default");
            } else if !needs.iter().any(|need| need.split('=').next() == Some(row)) {
                assert_eq!(is, *default, "{key} changes {row}");
            }
        }
    }
    assert_eq!(with("requirepass=p=w").unwrap().traffic.requirepass.as_deref(), Some("p=w"));
}

#[test]
fn just_outside_its_range_every_option_names_the_range() {
    for row in ROWS {
        let Some(range) = row.range() else { continue };
        let (low, high, unit) = match &row.kind {
            Kind::Time(_, range) | Kind::TimeOrOff(_, range) => (*range.start(), *range.end(), "ms"),
            Kind::FineTimeOrOff(_, range) => (*range.start(), *range.end(), "us"),
            Kind::Threads(_, range) | Kind::Count(_, range) | Kind::Count32(_, range) | Kind::Size(_, range) => {
                (*range.start(), *range.end(), "")
            }
            _ => continue,
        };
        let outside = [low.checked_sub(1), Some(high + 1), Some(u64::MAX)];
        for number in outside.into_iter().flatten() {
            let found = with(&format!("{}={number}{unit}", row.key)).unwrap_err();
            let plain = found.replace('"', "");
            assert!(plain.contains(&format!("{} is {number}{unit}; use {range}", row.key)), "{found}");
        }
        for text in ["", "-1", "1.5", "x", "१"] {
            let found = with(&format!("{}={text}", row.key)).unwrap_err();
            assert!(found.contains(&format!("{} is \"{text}\"; use ", row.key)), "{found}");
        }
    }
}

#[test]
fn a_facade_is_off_on_or_an_address_that_clients_can_be_told() {
    for good in ["off", "on", "redis.example:6380", "10.0.0.1:7000", "[fd00::1]:7000"] {
        assert_eq!(with(&format!("cluster_facade={good}")).unwrap().traffic.cluster_facade.to_string(), good);
    }
    let wrong =
        ["", "yes", "On", "host", "host:0", "::1:7000", "unix:/run/c", "0.0.0.0:6380", "[::]:6380", "a b:1", "a,b:1"];
    for wrong in wrong {
        let found = with(&format!("cluster_facade={wrong}")).unwrap_err();
        let cure = "use \"off\", \"on\" or the address where clients reach Circlet, such as \"redis.example:6380\"";
        assert!(found.contains(&format!("cluster_facade is \"{wrong}\"; {cure}")), "{found}");
    }
}

#[test]
fn a_log_filter_is_a_level_or_directives() {
    for good in ["off", "INFO", "info,circlet::control=debug", "circlet[session{id=1}]=trace"] {
        assert!(filter(good).is_ok(), "{good}");
    }
    for wrong in ["", "loud", "infoo", "info,", "circlet", "circlet=loud", "circlet[=info"] {
        assert!(filter(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn locks_have_an_odd_number_of_nodes_and_a_prefix_that_is_nobody_elses() {
    for nodes in ["2", "4"] {
        let found = with(&format!("lock.nodes={nodes}")).unwrap_err();
        assert!(found.contains(&format!("lock.nodes is {nodes}, ")) && found.contains("use 1, 3 or 5"), "{found}");
    }
    let prefix = |prefix: &str, more: &str| with_all(&[more, &format!("lock.prefix={prefix}")]);
    let state = "state=/var/lib/circlet";
    let found = prefix("circlet:lock:", state).unwrap_err();
    assert!(
        found.contains("lock.prefix is \"circlet:lock:\"; names that begin with circlet: are Circlet's own"),
        "{found}"
    );
    assert!(prefix(&"l".repeat(257), state).unwrap_err().contains("at most 256 bytes"));
    assert!(prefix("lock:", "").unwrap_err().contains("there is no state directory"));
    let found = with_all(&[state, "lock.nodes=0", "lock.prefix=lock:"]).unwrap_err();
    assert!(found.contains("but lock.nodes is 0"), "{found}");
    assert_eq!(prefix("lock:", state).unwrap().traffic.locks.prefix, b"lock:");
    assert!(with("lock.bootstrap=yes").unwrap_err().contains("use \"true\" or \"false\""));
    let found = with_all(&["lock.max_ttl=1s", "lock.node_timeout=2s"]).unwrap_err();
    assert!(found.contains("lock.node_timeout is \"2s\", above lock.max_ttl (\"1s\")"), "{found}");
}
