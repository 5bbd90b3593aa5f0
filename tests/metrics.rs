//! The admin address: what Prometheus scrapes, and health.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Cluster, http, wait::until_true};

#[test]
fn health_is_told() {
    let cluster = Cluster::start();
    let admin = cluster.circlet.admin();
    assert_eq!(http::get(&admin, "/healthz"), Some((200, "ok\n".to_owned())));
    assert_eq!(http::get(&admin, "/readyz"), Some((200, "ready, 3 of 3 nodes up\n".to_owned())));
    assert_eq!(http::get(&admin, "/nosuch").unwrap().0, 404);
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
    for metric in ["duration", "node", "own"] {
        assert_eq!(value(&format!("{metric}_seconds_count"), "command=\"mget\""), 10.0);
        assert!(value(&format!("{metric}_seconds_sum"), "command=\"get\"") > 0.0);
    }
    let parts = value("node_seconds_sum", "command=\"get\"") + value("own_seconds_sum", "command=\"get\"");
    assert!((value("duration_seconds_sum", "command=\"get\"") - parts).abs() < 1e-5, "the whole is its parts");
    assert_eq!(circlet.metric("circlet_command_duration_seconds_count{command=\"client|getname\"}"), None);
}

#[test]
fn sessions_are_told_by_kind_and_by_why_they_are_refused() {
    let cluster = Cluster::with(|plan| plan.set("session.max_sessions=6"));
    let circlet = &cluster.circlet;
    let value = |name: &str| circlet.metric(name).unwrap_or_else(|| panic!("there is no {name}"));
    let kind = |kind: &str, count: f64| {
        let name = format!("circlet_sessions_by_kind{{kind=\"{kind}\"}}");
        until_true(&name, || value(&name) == count);
    };
    let mut clients: Vec<_> = (0..6).map(|_| cluster.client()).collect();
    clients[0].send(b"BLPOP nothing-here 0\r\n");
    clients[1].expect("MULTI", "+OK\r\n");
    clients[2].ask("SUBSCRIBE news");
    clients[3].expect("MONITOR", "+OK\r\n");
    clients[4].ask("HELLO 3");
    clients[4].expect("CLIENT TRACKING ON", "+OK\r\n");
    for doing in ["blocked", "transaction", "pubsub", "monitor", "tracking", "normal"] {
        kind(doing, 1.0);
    }
    let refused = "circlet_sessions_refused_total{reason=\"max_sessions\"}";
    let before = value(refused);
    let mut seventh = cluster.client();
    assert!(seventh.rest().starts_with(b"-ERR max number of clients reached"));
    assert_eq!(value(refused), before + 1.0);
    assert_eq!((value("circlet_sessions"), value("circlet_sessions_limit")), (6.0, 6.0));
    drop(clients);
    kind("normal", 0.0);
}

#[test]
fn nodes_are_told_by_state_and_errors_by_their_code() {
    let mut cluster = Cluster::with(|plan| plan.set("pipe.backoff_max=200ms"));
    let key = cluster.key_on(0, 0);
    let mut client = cluster.client();
    client.expect(&format!("SET {key} v"), "+OK\r\n");
    client.ask(&format!("LPUSH {key} v"));
    let value = |cluster: &Cluster, name: &str| cluster.circlet.metric(name).unwrap_or_default();
    let wrong_type = "circlet_node_errors_total{node=\"n1\",code=\"wrongtype\"}";
    until_true("the error", || value(&cluster, wrong_type) == 1.0);
    let state = |state: &str| format!("circlet_node_state{{node=\"n1\",state=\"{state}\"}}");
    until_true("both workers", || value(&cluster, &state("up")) == 2.0);
    let opened = value(&cluster, "circlet_node_connections_opened_total{node=\"n1\"}");
    assert!(opened >= 2.0);
    cluster.nodes[0].kill();
    until_true("down", || value(&cluster, &state("down")) == 2.0 && value(&cluster, &state("up")) == 0.0);
    assert_eq!(value(&cluster, "circlet_node_up{node=\"n1\"}"), 0.0);
    cluster.nodes[0].start_again();
    until_true("up", || value(&cluster, &state("up")) == 2.0);
    until_true("reconnects", || value(&cluster, "circlet_node_reconnects_total{node=\"n1\"}") >= 2.0);
}

#[test]
fn workers_tell_how_busy_they_are() {
    let cluster = Cluster::start();
    let value = |name: &str| cluster.circlet.metric(name).unwrap_or_else(|| panic!("there is no {name}"));
    let mut client = cluster.client();
    let gets = b"GET k\r\n".repeat(1_000);
    let sum = |name: &str| (0..2).map(|worker| value(&format!("{name}{{worker=\"{worker}\"}}"))).sum::<f64>();
    let (cpu, busy) = (sum("circlet_worker_cpu_seconds_total"), sum("circlet_worker_busy_seconds_total"));
    until_true("work to show", || {
        client.pipeline(&gets, 1_000);
        sum("circlet_worker_cpu_seconds_total") > cpu + 0.02 && sum("circlet_worker_busy_seconds_total") > busy + 0.02
    });
    assert!(sum("circlet_worker_wait_seconds_total") >= 0.0);
    assert!(sum("circlet_worker_cpu_seconds_total") <= value("process_cpu_seconds_total") + 0.1);
    until_true("sessions", || sum("circlet_worker_sessions") == 1.0);
    assert!(sum("circlet_worker_requests_total") >= 1_000.0);
}

#[test]
fn big_and_slow_requests_are_counted() {
    let cluster = Cluster::with(|plan| plan.set("slowlog.slower_than=1ms"));
    let mut client = cluster.client();
    assert_eq!(client.call(&["SET", "k", &"x".repeat(300_000)]), b"+OK\r\n");
    client.call(&["GET", "k"]);
    client.call(&["EVAL", "for i=1,5e6 do end return 1", "1", "k"]);
    let value = |name: &str| cluster.circlet.metric(name).unwrap_or_default();
    until_true("the big reply", || value("circlet_big_replies_total") == 1.0);
    assert!(value("circlet_slow_requests_total") >= 1.0);
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

/// The document at `path`.
fn document(circlet: &crate::support::circlet::Circlet, path: &str) -> Value {
    let (status, text) = http::get(&circlet.admin(), path).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn documents_tell_of_circlet_the_ring_and_the_nodes() {
    let mut cluster = Cluster::with(|plan| plan.set("node_info=1s").set("pipe.backoff_max=200ms"));
    let mut client = cluster.client();
    let key = cluster.key_on(1, 0);
    client.expect(&format!("SET {key} v"), "+OK\r\n");
    client.ask("nosuch");
    let ring = document(&cluster.circlet, "/api/ring");
    assert_eq!((ring["api"].as_u64(), ring["distribution"].as_str()), (Some(1), Some("xxh3")));
    let shares: f64 = ring["nodes"].as_array().unwrap().iter().map(|node| node["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 0.001 && ring["slices"].as_array().unwrap().len() == 360, "{ring}");
    until_true("the nodes' own words", || {
        let nodes = document(&cluster.circlet, "/api/nodes");
        nodes["nodes"].as_array().unwrap().iter().all(|node| {
            node["state"] == "up" && node["info"]["memory"].as_u64() > Some(100_000) && node["answer_us"].is_u64()
        }) && nodes["nodes"][1]["info"]["keys"] == 1
    });
    until_true("lines and commands", || {
        client.ask(&format!("GET {key}"));
        let status = document(&cluster.circlet, "/api/status");
        let frequent = status["commands"]["frequent"].as_array().unwrap();
        status["history"]["requests_per_s"].as_array().unwrap().iter().any(|rate| rate.as_f64() > Some(0.0))
            && status["errors"]["by_kind"]["command"] == 1
            && frequent.iter().any(|command| command["name"] == "get" && command["node_p99_us"].is_f64())
            && status["sessions"]["now"] == 1
            && status["moving"]["state"] == "idle"
    });
    cluster.nodes[1].kill();
    until_true("a node that is down, and its event", || {
        let node = &document(&cluster.circlet, "/api/nodes")["nodes"][1];
        let events = document(&cluster.circlet, "/api/status")["events"].clone();
        let told = |event: &Value| event["kind"] == "node-down" && event["node"] == "n2";
        node["state"] == "down" && node["why"] != "" && events.as_array().unwrap().iter().any(told)
    });
    assert_eq!(document(&cluster.circlet, "/api/status")["nodes"]["up"], 2);
    let told = client.value("CIRCLET EVENTS");
    assert_eq!(told.list()[0].get("event").unwrap().text(), "node-down");
    client.expect("CONFIG SET circlet.session.max_sessions 1", "+OK\r\n");
    drop(cluster.circlet.client().rest());
    until_true("what clients suffered", || {
        let events = document(&cluster.circlet, "/api/status")["events"].clone();
        let told = |kind: &str| events.as_array().unwrap().iter().any(|event| event["kind"] == kind);
        told("option") && told("refused") && told("started")
    });
}

#[test]
fn a_token_is_wanted_and_foreign_names_are_refused() {
    let token = "0123456789abcdef0123456789abcdef";
    let cluster = Cluster::with(|plan| plan.set(&format!("admin_token={token}")));
    let admin = cluster.circlet.admin();
    let ask = |path: &str, headers: &str| http::ask(&admin, path, headers).unwrap().0;
    let own = format!("Host: {admin}\r\n");
    let bearer = format!("{own}Authorization: Bearer {token}\r\n");
    for path in ["/", "/page.js", "/metrics", "/api/status", "/api/ring", "/api/nodes"] {
        assert_eq!(ask(path, &own), 401, "{path}");
        assert_eq!(ask(path, &format!("{own}Authorization: Bearer x{token}\r\n")), 401, "{path}");
        assert_eq!(ask(path, &bearer), 200, "{path}");
        assert_eq!(ask(path, &bearer.replace(&admin, "evil.example")), 421, "{path}");
    }
    assert_eq!(ask("/readyz", "Host: evil.example\r\n"), 200);
    let mut client = cluster.client();
    let events = client.ask("CIRCLET EVENTS");
    assert!(events.contains("wrong token") && events.contains("by a name that is not its own"), "{events}");
    assert!(!events.contains(token) && !cluster.circlet.output().contains(token));
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
        b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n\r\n",
        b"GET http://evil.example/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
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
