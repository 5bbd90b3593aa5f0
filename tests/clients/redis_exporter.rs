//! prometheus-redis-exporter (Debian's package) against Circlet's port.

use std::process::Command;

use super::program::Program;
use crate::support::{Cluster, http, port::Port, wait::until};

const EXPORTER: &str = "prometheus-redis-exporter";

#[test]
fn it_scrapes_circlet_without_an_error() {
    if Command::new(EXPORTER).arg("-version").output().is_err() {
        eprintln!(
            "{EXPORTER} IS NOT INSTALLED AND THIS TEST CHECKED NOTHING; tests/setup.sh installs it where it can be had"
        );
        return;
    }
    let cluster = Cluster::with(|plan| plan.set("slowlog.slower_than=0us").set("latency.monitor_threshold=1ms"));
    let mut client = cluster.client();
    client.expect("CLIENT SETNAME the-application", "+OK\r\n");
    client.expect("SET k v", "+OK\r\n");
    assert_eq!(client.call(&["EVAL", "for i=1,5e6 do end return 1", "1", "k"]), b":1\r\n");
    let port = Port::lease();
    let address = format!("127.0.0.1:{}", port.number());
    let mut command = Command::new(EXPORTER);
    command.args(["-redis.addr", &format!("redis://{}", cluster.circlet.address())]);
    command.args(["-web.listen-address", &address, "-export-client-list"]);
    let _exporter = Program::start(command);
    let text = until("the exporter's metrics", crate::support::wait::LONG, || {
        http::get(&address, "/metrics").filter(|(status, _)| *status == 200).map(|(_, text)| text)
    });
    let has = |line: &str| assert!(text.lines().any(|known| known.starts_with(line)), "no {line} in\n{text}");
    has("redis_up 1");
    has("redis_exporter_last_scrape_error{err=\"\"} 0");
    has("redis_slowlog_length ");
    has("redis_last_slow_execution_duration_seconds ");
    has("redis_latency_spike_last{event_name=\"command\"}");
    has("redis_connected_clients ");
    has("redis_db_keys{db=\"db0\"} 1");
    assert!(text.contains("name=\"the-application\""), "{text}");
}
