//! What Prometheus makes of a live Circlet: every metric with its type and help, and a node that goes down as an alert.

use std::collections::HashMap;

use circlet::control::telemetry::rows::ROWS;

use super::server::Prometheus;
use crate::support::{Cluster, wait::until_true};

#[test]
fn it_reads_every_metric_and_alerts_when_a_node_is_down() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=200ms"));
    let Some(prometheus) = Prometheus::over(&cluster.circlet.admin()) else { return };
    let mut client = cluster.client();
    for index in 0..3 {
        client.expect(&format!("SET {} v", cluster.key_on(index, 0)), "+OK\r\n");
        client.expect(&format!("GET {}", cluster.key_on(index, 0)), "$1\r\nv\r\n");
        client.ask(&format!("LPUSH {} v", cluster.key_on(index, 0)));
    }
    until_true("a scrape", || prometheus.query("up{job=\"circlet\"}") == [1.0]);
    until_true("commands", || prometheus.query("circlet_command_calls_total{command=\"get\"}") == [3.0]);
    assert_eq!(prometheus.query("sum(circlet_node_share)").len(), 1);
    metadata(&prometheus);
    let target = &prometheus.api("targets")["activeTargets"][0];
    assert_eq!((target["health"].as_str(), target["lastError"].as_str()), (Some("up"), Some("")), "{target}");

    let alert = "ALERTS{alertname=\"CircletNodeDown\",node=\"n1\"}";
    assert!(prometheus.query(alert).is_empty());
    cluster.nodes[0].kill();
    until_true("the node to be down", || prometheus.query("circlet_node_up{node=\"n1\"}") == [0.0]);
    until_true("the alert", || prometheus.query(alert) == [1.0]);
    let rules = prometheus.api("rules");
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    cluster.nodes[0].start_again();
    until_true("the end of the alert", || prometheus.query(alert).is_empty());
}

/// Each row with the type and the help that Prometheus has read.
fn metadata(prometheus: &Prometheus) {
    let known = prometheus.api("targets/metadata");
    let known: HashMap<&str, (&str, &str)> = known
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |field: &str| entry[field].as_str().unwrap();
            (text("metric"), (text("type"), text("help")))
        })
        .collect();
    for row in ROWS {
        assert_eq!(known.get(row.name), Some(&(row.kind.word(), row.help)), "{}", row.name);
    }
}
