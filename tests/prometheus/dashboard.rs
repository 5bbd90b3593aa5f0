//! The Grafana dashboard: each panel's queries give data, each metric in it exists, and the panels lie side by side.

use std::collections::BTreeSet;

use circlet::control::telemetry::rows;

use super::server::{Prometheus, RATE, conf};
use crate::support::{
    Client, Cluster,
    dir::Dir,
    resp::Value,
    wait::{LONG, until},
};

fn dashboard() -> serde_json::Value {
    serde_json::from_str(&conf("grafana-dashboard.json")).unwrap()
}

/// Title and query of every panel.
fn queries(dashboard: &serde_json::Value) -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((panel["title"].as_str().unwrap().to_owned(), filled(target["expr"].as_str().unwrap())));
        }
    }
    queries
}

/// A query as Grafana sends it.
fn filled(query: &str) -> String {
    let query = query.replace("$__rate_interval", RATE).replace("$job", "circlet");
    let query = query.replace("$instance", ".*").replace("$pool", ".*");
    assert!(!query.contains('$'), "{query}");
    query
}

/// Clients that do a little of everything.
struct Traffic {
    key: String,
    other: String,
    client: Client,
    _others: Vec<Client>,
}

impl Traffic {
    fn new(cluster: &Cluster) -> Self {
        let mut others: Vec<Client> = (0..3).map(|_| cluster.client()).collect();
        others[0].send(b"BLPOP nothing-here 0\r\n");
        others[1].ask("SUBSCRIBE news");
        others[2].expect("MULTI", "+OK\r\n");
        let mut client = cluster.client();
        let key = cluster.key_on(0, 0);
        assert_eq!(client.call(&["SET", "big", &"x".repeat(300_000)]), b"+OK\r\n");
        client.expect(&format!("SET {key} v"), "+OK\r\n");
        Self { key, other: cluster.key_on(1, 0), client, _others: others }
    }

    /// A moment of it.
    fn flow(&mut self) {
        let Self { key, other, client, .. } = self;
        for index in 0..20 {
            client.ask(&format!("SET key:{index} v"));
            client.ask(&format!("GET key:{index}"));
        }
        client.ask(&format!("MGET {key} {other}"));
        client.ask(&format!("LPUSH {key} v"));
        client.ask(&format!("RENAME {key} {other}"));
        client.ask("PUBLISH news hello");
        client.call(&["GET", "big"]);
        let granted = client.value("LOCK.ACQUIRE panel 1000 WAIT 1000");
        if let Value::List(_, items) = granted {
            client.ask(&format!("LOCK.RELEASE panel {}", items[0].text()));
        }
    }
}

#[test]
fn every_panel_shows_something() {
    let state = Dir::new();
    let path = state.path().to_str().unwrap();
    let cluster = Cluster::with(|plan| plan.argument("--state").argument(path).argument("--lock-bootstrap"));
    let Some(prometheus) = Prometheus::over(&cluster.circlet.admin()) else { return };
    let mut traffic = Traffic::new(&cluster);
    let mut missing = queries(&dashboard());
    assert!(missing.len() > 50, "{}", missing.len());
    let mut told = Vec::new();
    until("data for every panel", LONG, || {
        traffic.flow();
        missing.retain(|(_, query)| prometheus.query(query).is_empty());
        if missing != told {
            told.clone_from(&missing);
            eprintln!("without data: {missing:#?}");
        }
        missing.is_empty().then_some(())
    });
    // Marks on the time axis: rarely any, but queries that are understood.
    for mark in dashboard()["annotations"]["list"].as_array().unwrap() {
        prometheus.query(&filled(mark["expr"].as_str().unwrap()));
    }
}

#[test]
fn every_metric_in_the_dashboard_and_the_alerts_exists() {
    for file in ["grafana-dashboard.json", "circlet-alerts.yml"] {
        let text = conf(file);
        let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("circlet_") || word.starts_with("process_")).collect();
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(rows::row(name).or_else(|| rows::row(family)).is_some(), "{file}: there is no {name}");
        }
    }
}

#[test]
fn panels_have_titles_descriptions_and_places_of_their_own() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title} has the id of another panel");
        let place = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is too wide");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies over another panel");
            }
        }
        if panel["type"] != "row" {
            assert!(
                panel["description"].as_str().is_some_and(|text| text.ends_with('.')),
                "{title} has no description"
            );
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        }
    }
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert_eq!(variables, ["datasource", "job", "instance", "pool"]);
}
