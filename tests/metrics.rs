//! The admin address: what Prometheus scrapes, and health.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::support::{Cluster, http, wait::until_true};

#[test]
fn health_is_told() {
    let cluster = Cluster::start();
    let admin = cluster.circlet.admin();
    assert_eq!(http::get(&admin, "/healthz"), Some((200, "ok\n".to_owned())));
    assert_eq!(http::get(&admin, "/readyz"), Some((200, "ready, 3 of 3 nodes up\n".to_owned())));
    assert_eq!(http::get(&admin, "/nosuch").unwrap().0, 404);
    assert_eq!(http::get(&admin, "/").unwrap().0, 404);
}

#[test]
fn readiness_ends_with_the_last_node() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=200ms"));
    cluster.nodes[0].kill();
    cluster.circlet.wait_nodes_up(2);
    cluster.nodes[1].kill();
    cluster.nodes[2].kill();
    cluster.circlet.wait_nodes_up(0);
    let (status, body) = http::get(&cluster.circlet.admin(), "/readyz").unwrap();
    assert_eq!(status, 503, "{body}");
    assert_eq!(http::get(&cluster.circlet.admin(), "/healthz").unwrap().0, 200);
    cluster.nodes[1].start_again();
    cluster.circlet.wait_nodes_up(1);
}

#[test]
fn numbers_move_with_what_happens() {
    let cluster = Cluster::start();
    let circlet = &cluster.circlet;
    let value = |name: &str| circlet.metric(name).unwrap_or_else(|| panic!("there is no {name}"));
    let mut client = cluster.client();
    let key = cluster.key_on(1, 0);
    let (requests, sent) = (value("circlet_requests_total"), value("circlet_node_requests_total{node=\"n2\"}"));
    let latencies = value("circlet_node_latency_seconds_count{node=\"n2\"}");
    for _ in 0..500 {
        client.expect(&format!("SET {key} v"), "+OK\r\n");
    }
    client.ask("nosuch");
    client.ask(&format!("LPUSH {key} v"));
    client.ask(&format!("RENAME {key} {}", cluster.key_on(0, 0)));
    // Workers publish from time to time.
    until_true("requests to be counted", || value("circlet_requests_total") >= requests + 503.0);
    until_true("the node's requests", || value("circlet_node_requests_total{node=\"n2\"}") >= sent + 501.0);
    until_true("latencies", || value("circlet_node_latency_seconds_count{node=\"n2\"}") >= latencies + 400.0);
    until_true("unknown commands", || value("circlet_errors_total{kind=\"command\"}") >= 1.0);
    until_true("keys on several nodes", || value("circlet_errors_total{kind=\"crossslot\"}") >= 1.0);
    until_true("errors of nodes", || value("circlet_errors_total{kind=\"node\"}") >= 1.0);
    assert_eq!(value("circlet_sessions"), 1.0);
    assert_eq!(value("circlet_workers"), 2.0);
    let shares: f64 = (1..=3).map(|node| value(&format!("circlet_node_share{{node=\"n{node}\"}}"))).sum();
    assert!((shares - 1.0).abs() < 0.001, "{shares}");
    assert!(value("circlet_client_bytes_total{direction=\"in\"}") > 10_000.0);
    assert!(value("circlet_client_bytes_total{direction=\"out\"}") > 2_500.0);
    assert!(value("circlet_node_bytes_total{node=\"n2\",direction=\"in\"}") > 2_500.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    let opened = value("circlet_sessions_opened_total");
    drop(client);
    drop(cluster.client());
    until_true("sessions to be counted", || {
        value("circlet_sessions") == 0.0 && value("circlet_sessions_opened_total") >= opened + 1.0
    });
}

#[test]
fn each_command_has_its_numbers() {
    let cluster = Cluster::start();
    let circlet = &cluster.circlet;
    let value =
        |name: &str, labels: &str| circlet.metric(&format!("circlet_command_{name}{{{labels}}}")).unwrap_or(0.0);
    let mut client = cluster.client();
    let (one, other) = (cluster.key_on(0, 0), cluster.key_on(1, 0));
    client.expect(&format!("SET {one} v"), "+OK\r\n");
    for _ in 0..10 {
        client.ask(&format!("GET {one}"));
        client.ask(&format!("MGET {one} {other}"));
    }
    client.ask(&format!("LPUSH {one} v"));
    client.ask("GET");
    client.ask("CLIENT GETNAME");
    client.ask("nosuch");
    until_true("calls", || value("calls_total", "command=\"client|getname\"") == 1.0);
    assert_eq!(value("calls_total", "command=\"get\""), 11.0);
    assert_eq!(value("errors_total", "command=\"get\",kind=\"command\""), 1.0);
    assert_eq!(value("errors_total", "command=\"lpush\",kind=\"node\""), 1.0);
    assert_eq!(value("duration_seconds_count", "command=\"get\""), 10.0);
    // What was split counts once.
    assert_eq!(value("duration_seconds_count", "command=\"mget\""), 10.0);
    assert_eq!(value("own_seconds_count", "command=\"mget\""), 10.0);
    assert!(value("duration_seconds_sum", "command=\"set\"") > 0.0);
    assert!(value("own_seconds_sum", "command=\"get\"") > 0.0);
    assert_eq!(circlet.metric("circlet_command_duration_seconds_count{command=\"client|getname\"}"), None);
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let cluster = Cluster::start();
    cluster.client().expect("SET k v", "+OK\r\n");
    let (status, text) = http::get(&cluster.circlet.admin(), "/metrics").unwrap();
    assert_eq!(status, 200);
    let mut described = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# ") {
            described.insert(rest.split(' ').nth(1).unwrap().to_owned());
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(described.contains(family) || described.contains(name), "{name} is not described");
    }
    assert!(described.len() > 15, "{described:?}");
    // With promtool at hand, its word counts.
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        eprintln!("promtool is not installed: only the form was checked");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn strange_http_does_no_harm() {
    let cluster = Cluster::start();
    let admin = cluster.circlet.admin();
    for request in [
        &b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"[..],
        b"GET /metrics\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(&admin).unwrap();
        stream.set_read_timeout(Some(crate::support::wait::LONG)).unwrap();
        stream.write_all(request).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(http::get(&admin, "/healthz").unwrap().0, 200);
    cluster.client().expect("PING", "+PONG\r\n");
}
