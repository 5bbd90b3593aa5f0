//! prometheus-redis-exporter (Debian's package) against Circlet's port.

use std::process::Command;

use super::program::Program;
use crate::support::{
    Cluster, http,
    port::Port,
    wait::{LONG, until},
};

const EXPORTER: &str = "prometheus-redis-exporter";

/// What the exporter says of Circlet, a line per value; `None`: it is not installed.
fn scraped(cluster: &Cluster, options: &[&str]) -> Option<String> {
    if Command::new(EXPORTER).arg("-version").output().is_err() {
        eprintln!(
            "{EXPORTER} IS NOT INSTALLED AND THIS TEST CHECKED NOTHING; tests/setup.sh installs it where it can be had"
        );
        return None;
    }
    let port = Port::lease();
    let address = format!("127.0.0.1:{}", port.number());
    let mut command = Command::new(EXPORTER);
    command.args(["-redis.addr", &format!("redis://{}", cluster.circlet.address())]);
    command.args(["-web.listen-address", &address]).args(options);
    let _exporter = Program::start(command);
    let metrics = || http::get(&address, "/metrics").filter(|(status, _)| *status == 200).map(|(_, text)| text);
    Some(until("the exporter's metrics", LONG, metrics))
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|known| known.starts_with(line)), "no {line} in\n{text}");
}

#[test]
fn it_scrapes_circlet_without_an_error() {
    let cluster = Cluster::with(|plan| plan.set("slowlog.slower_than=0us").set("latency.monitor_threshold=1ms"));
    let mut client = cluster.client();
    client.expect("CLIENT SETNAME the-application", "+OK\r\n");
    client.expect("SET k v", "+OK\r\n");
    assert_eq!(client.call(&["EVAL", "for i=1,5e6 do end return 1", "1", "k"]), b":1\r\n");
    let Some(text) = scraped(&cluster, &["-export-client-list"]) else { return };
    has(&text, "redis_up 1");
    has(&text, "redis_exporter_last_scrape_error{err=\"\"} 0");
    has(&text, "redis_slowlog_length ");
    has(&text, "redis_last_slow_execution_duration_seconds ");
    has(&text, "redis_latency_spike_last{event_name=\"command\"}");
    has(&text, "redis_connected_clients ");
    has(&text, "redis_db_keys{db=\"db0\"} 1");
    assert!(text.contains("name=\"the-application\""), "{text}");
    // Sums over the nodes where they are sums, Circlet's own where clients are meant.
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("no {name}"));
        line.parse::<f64>().unwrap()
    };
    assert_eq!(value("redis_connected_clients"), 2.0, "the application and the exporter");
    let used = value("redis_memory_used_bytes");
    assert!((2e6..1e8).contains(&used), "of three nodes: {used}");
    assert!(value("redis_commands_total{cmd=\"set\"}") >= 1.0 && value("redis_uptime_in_seconds") < 3_600.0);
}

#[test]
fn it_scrapes_circlet_as_a_cluster() {
    let cluster = Cluster::with(|plan| plan.set("cluster_facade=on"));
    cluster.client().expect("SET k value", "+OK\r\n");
    let Some(text) = scraped(&cluster, &["-is-cluster", "-check-single-keys", "db0=k"]) else { return };
    has(&text, "redis_up 1");
    has(&text, "redis_exporter_last_scrape_error{err=\"\"} 0");
    has(&text, "redis_cluster_enabled 1");
    has(&text, "redis_cluster_state 1");
    has(&text, "redis_cluster_slots_ok 16384");
    has(&text, "redis_key_size{db=\"db0\",key=\"k\"} 5");
}
