//! The text of a scrape, read back.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::*;
use crate::traffic::{
    client::Doing,
    counters::{Closed, Counters, NodeState},
    observe::ErrorCode,
    refusal,
    route::{Address, Epoch, Node, Ring},
};

fn topology(names: &[&str]) -> Topology {
    let weights: Vec<(&str, f64)> = names.iter().map(|name| (*name, 1.0)).collect();
    let nodes = names.iter().map(|name| Node::new(*name, Address::Unix("/run/x".into())));
    Topology::new(nodes.collect(), Ring::build(&weights, 64).unwrap(), Epoch(1))
}

fn worker(fill: impl Fn(&mut Counters)) -> Arc<Published> {
    let mut counters = Counters::new(2);
    fill(&mut counters);
    let published = Published::new(2);
    published.store(&counters);
    Arc::new(published)
}

fn moves() -> Moves {
    let mut totals = Totals { keys: 7, bytes: 700, purged: 5, ..Totals::default() };
    totals.fenced(false, 20);
    totals.ended(crate::control::rebalance::totals::Result::Done);
    Moves { doing: crate::control::rebalance::report::Doing::Moving, keys_left: 3, totals }
}

#[test]
fn a_change_of_the_nodes_is_told() {
    let text = text_of(&[]);
    let samples = samples(&text);
    for (name, value) in [
        ("circlet_rebalance_state{state=\"moving\"}", 1.0),
        ("circlet_rebalance_state{state=\"idle\"}", 0.0),
        ("circlet_rebalance_keys_left", 3.0),
        ("circlet_rebalance_keys_moved_total", 7.0),
        ("circlet_rebalance_bytes_moved_total", 700.0),
        ("circlet_rebalance_keys_purged_total", 5.0),
        ("circlet_rebalance_changes_total{result=\"done\"}", 1.0),
        ("circlet_fence_seconds_bucket{way=\"forth\",le=\"0.000032\"}", 1.0),
        ("circlet_fence_seconds_count{way=\"back\"}", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{text}");
    }
}

fn locks() -> lock::Totals {
    use lock::note::{Note, Why};
    let mut totals = lock::Totals { held: 4, waiters: 2, ..lock::Totals::default() };
    for note in [
        Note::Acquired { waited: Duration::from_micros(20) },
        Note::Released { held: Duration::from_secs(1) },
        Note::Refused(Why::Quorum),
        Note::Quarantined { node: "a".into(), why: String::new(), left: Duration::ZERO },
    ] {
        totals.count(&note);
    }
    totals
}

#[test]
fn locks_are_told() {
    let text = text_of(&[]);
    let samples = samples(&text);
    for (name, value) in [
        ("circlet_lock_acquired_total", 1.0),
        ("circlet_lock_refused_total{reason=\"quorum\"}", 1.0),
        ("circlet_lock_refused_total{reason=\"taken\"}", 0.0),
        ("circlet_lock_lost_total", 0.0),
        ("circlet_lock_held", 4.0),
        ("circlet_lock_waiters", 2.0),
        ("circlet_lock_node_quarantined{node=\"a\"}", 1.0),
        ("circlet_lock_wait_seconds_bucket{le=\"0.000032\"}", 1.0),
        ("circlet_lock_wait_seconds_count", 1.0),
        ("circlet_lock_hold_seconds_sum", 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{text}");
    }
}

/// GET, called three times and answered once; a sub-command, refused once.
fn commands() -> Vec<(String, Tally)> {
    let mut get = Tally { calls: 3, node_errors: 2, ..Tally::default() };
    get.node.observe(20, 1);
    get.own.observe(7, 1);
    get.total.observe(27, 1);
    let mut kill = Tally { calls: 1, ..Tally::default() };
    kill.refusals[refusal::Kind::Command as usize] = 1;
    vec![("get".to_owned(), get), ("client|kill".to_owned(), kill)]
}

#[test]
fn commands_have_their_own_numbers() {
    let text = text_of(&[]);
    let samples = samples(&text);
    for (name, value) in [
        ("circlet_command_calls_total{command=\"get\"}", 3.0),
        ("circlet_command_calls_total{command=\"client|kill\"}", 1.0),
        ("circlet_command_errors_total{command=\"get\",kind=\"node\"}", 2.0),
        ("circlet_command_errors_total{command=\"client|kill\",kind=\"command\"}", 1.0),
        ("circlet_command_duration_seconds_bucket{command=\"get\",le=\"0.000016\"}", 0.0),
        ("circlet_command_duration_seconds_bucket{command=\"get\",le=\"0.000032\"}", 1.0),
        ("circlet_command_duration_seconds_bucket{command=\"get\",le=\"+Inf\"}", 1.0),
        ("circlet_command_duration_seconds_sum{command=\"get\"}", 0.000_027),
        ("circlet_command_node_seconds_bucket{command=\"get\",le=\"0.000032\"}", 1.0),
        ("circlet_command_node_seconds_sum{command=\"get\"}", 0.000_020),
        ("circlet_command_own_seconds_bucket{command=\"get\",le=\"0.000016\"}", 1.0),
        ("circlet_command_own_seconds_sum{command=\"get\"}", 0.000_007),
        ("circlet_command_own_seconds_count{command=\"get\"}", 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{text}");
    }
    assert!(!text.contains("duration_seconds_bucket{command=\"client|kill"), "it has no node's part");
    assert!(!text.contains("circlet_command_errors_total{command=\"get\",kind=\"command\"}"), "only what happened");
}

fn text_of(workers: &[Arc<Published>]) -> String {
    let topology = topology(&["a", "b"]);
    let telemetry = Telemetry::new(UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000));
    telemetry.text(&[view(&topology, workers)], Some(&Process::default()), &THREADS)
}

const THREADS: [Thread; 2] =
    [Thread { number: 0, cpu_us: 2_500_000, wait_us: 7 }, Thread { number: 1, cpu_us: 0, wait_us: 0 }];

fn view<'a>(topology: &'a Topology, workers: &'a [Arc<Published>]) -> View<'a> {
    View {
        moves: moves(),
        locks: locks(),
        pool: None,
        topology,
        standings: vec![Some(Standing::Suspect)],
        workers,
        first_thread: 0,
        commands: commands(),
        sessions: 5,
        refused: [2, 1],
        accept_failures: 4,
        slow: 3,
        keys: KeyCounts::default(),
        limits: Limits { sessions: 10_000, buffered: 1 << 30 },
    }
}

/// `name{labels}` -> value; fails on lines that are neither sample nor comment.
fn samples(text: &str) -> HashMap<String, f64> {
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("no number: {line}")))
    };
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect()
}

#[test]
fn workers_are_added_up() {
    let text = text_of(&[
        worker(|c| {
            c.requests = 10;
            c.refusals[refusal::Kind::CrossSlot as usize] = 1;
            c.closed[Closed::Idle as usize] = 3;
            c.nodes[0].up = true;
            c.nodes[0].state = NodeState::Up;
            c.nodes[0].requests = 4;
            c.nodes[0].errors[ErrorCode::Oom as usize] = 8;
            c.doing[Doing::Blocked as usize] = 2;
            c.big_replies = 1;
            c.lingered_whole = 40;
        }),
        worker(|c| {
            c.requests = 20;
            c.node_errors = 7;
            c.lingered_whole = 2;
            c.lingered_late = 1;
            c.big_replies = 1;
            c.doing[Doing::Blocked as usize] = 1;
            c.doing[Doing::Normal as usize] = 1;
            c.nodes[0].state = NodeState::Down;
            c.nodes[0].reconnects = 3;
            c.nodes[0].unsent = 12;
            c.nodes[0].requests = 5;
            c.nodes[1].in_flight = 6;
        }),
    ]);
    let samples = samples(&text);
    for (name, value) in [
        ("circlet_requests_total", 30.0),
        ("circlet_errors_total{kind=\"crossslot\"}", 1.0),
        ("circlet_errors_total{kind=\"node\"}", 7.0),
        ("circlet_errors_total{kind=\"timeout\"}", 0.0),
        ("circlet_sessions", 5.0),
        ("circlet_sessions_closed_total{reason=\"idle\"}", 3.0),
        ("circlet_sessions_limit", 10_000.0),
        ("circlet_sessions_by_kind{kind=\"blocked\"}", 3.0),
        ("circlet_sessions_by_kind{kind=\"monitor\"}", 0.0),
        ("circlet_sessions_refused_total{reason=\"max_sessions\"}", 2.0),
        ("circlet_sessions_refused_total{reason=\"busy\"}", 1.0),
        ("circlet_accept_failures_total", 4.0),
        ("circlet_slow_requests_total", 3.0),
        ("circlet_big_replies_total", 2.0),
        ("circlet_replies_lingered_total{end=\"whole\"}", 42.0),
        ("circlet_replies_lingered_total{end=\"late\"}", 1.0),
        ("circlet_buffered_bytes_limit", 1_073_741_824.0),
        ("circlet_topology_epoch", 1.0),
        ("circlet_worker_sessions{worker=\"1\"}", 2.0),
        ("circlet_worker_requests_total{worker=\"0\"}", 10.0),
        ("circlet_worker_cpu_seconds_total{worker=\"0\"}", 2.5),
        ("circlet_worker_wait_seconds_total{worker=\"0\"}", 0.000_007),
        ("circlet_worker_busy_seconds_total{worker=\"1\"}", 0.0),
        ("circlet_node_info{node=\"a\",address=\"unix:/run/x\",weight=\"1\"}", 1.0),
        ("circlet_node_state{node=\"a\",state=\"up\"}", 1.0),
        ("circlet_node_state{node=\"a\",state=\"down\"}", 1.0),
        ("circlet_node_state{node=\"b\",state=\"connecting\"}", 2.0),
        ("circlet_node_judged{node=\"a\",state=\"up\"}", 0.0),
        ("circlet_node_judged{node=\"a\",state=\"suspect\"}", 1.0),
        ("circlet_node_judged{node=\"b\",state=\"down\"}", 0.0),
        ("circlet_node_errors_total{node=\"a\",code=\"oom\"}", 8.0),
        ("circlet_node_errors_total{node=\"b\",code=\"oom\"}", 0.0),
        ("circlet_node_reconnects_total{node=\"a\"}", 3.0),
        ("circlet_node_unsent_bytes{node=\"a\"}", 12.0),
        ("circlet_node_up{node=\"a\"}", 1.0),
        ("circlet_node_up{node=\"b\"}", 0.0),
        ("circlet_node_requests_total{node=\"a\"}", 9.0),
        ("circlet_node_in_flight{node=\"b\"}", 6.0),
        ("circlet_workers", 2.0),
        ("process_start_time_seconds", 1_700_000_000.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{text}");
    }
    assert!((samples["circlet_node_share{node=\"a\"}"] + samples["circlet_node_share{node=\"b\"}"] - 1.0).abs() < 1e-9);
}

#[test]
fn latency_is_an_exact_cumulative_histogram() {
    let text = text_of(&[
        worker(|c| [10, 20].into_iter().for_each(|us| c.nodes[0].observe(us))),
        worker(|c| [20, u32::MAX].into_iter().for_each(|us| c.nodes[0].observe(us))),
    ]);
    let samples = samples(&text);
    let bucket = |le: &str| samples[&format!("circlet_node_latency_seconds_bucket{{node=\"a\",le=\"{le}\"}}")];
    assert_eq!([bucket("0.000016"), bucket("0.000032"), bucket("8.388608"), bucket("+Inf")], [1.0, 3.0, 3.0, 4.0]);
    assert_eq!(samples["circlet_node_latency_seconds_count{node=\"a\"}"], 4.0);
    assert_eq!(samples["circlet_node_latency_seconds_sum{node=\"a\"}"], 4_294.967_345);
    assert_eq!(samples["circlet_node_latency_seconds_count{node=\"b\"}"], 0.0);
}

#[test]
fn every_family_has_its_row_and_every_row_its_family() {
    let text = text_of(&[worker(|_| {})]);
    let described: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    let typed: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let seen: HashSet<String> = samples(&text)
        .into_keys()
        .map(|name| {
            let family = name.split('{').next().unwrap();
            ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| family.strip_suffix(end).filter(|stem| typed.contains_key(stem)))
                .unwrap_or(family)
                .to_owned()
        })
        .collect();
    for row in rows::ROWS {
        let kind = row.kind.word();
        assert!(described.contains(row.name), "{} has no help", row.name);
        assert_eq!(typed.get(row.name), Some(&kind), "{}", row.name);
        assert!(seen.contains(row.name), "{} is never set", row.name);
        assert_eq!(kind == "counter", row.name.ends_with("_total"), "{}", row.name);
    }
    assert_eq!(seen.len(), typed.len());
    assert_eq!(described.len(), rows::ROWS.len().min(seen.len()));
}

#[test]
fn a_second_scrape_repeats_nothing() {
    let topology = topology(&["a", "b"]);
    let workers = [worker(|c| c.requests = 10)];
    let telemetry = Telemetry::new(UNIX_EPOCH);
    let view = [view(&topology, &workers)];
    assert_eq!(samples(&telemetry.render(&view))["circlet_requests_total"], 10.0);
    let again = telemetry.render(&view);
    assert_eq!(samples(&again)["circlet_requests_total"], 10.0);
    assert_eq!(again.matches("# TYPE circlet_node_latency_seconds ").count(), 1);
}

#[test]
fn a_node_that_has_left_is_not_told_any_more() {
    let telemetry = Telemetry::new(UNIX_EPOCH);
    let workers = [worker(|c| c.nodes[1].requests = 7)];
    let render = |topology: &Topology| telemetry.render(&[view(topology, &workers)]);
    let text = render(&topology(&["a", "b"]));
    assert_eq!(samples(&text)["circlet_node_requests_total{node=\"b\"}"], 7.0);
    let mut nodes = topology(&["a", "b", "c"]).nodes;
    nodes[1].member = false;
    let ring = Ring::build(&[("a", 1.0), ("b", 0.0), ("c", 1.0)], 64).unwrap();
    let text = render(&Topology::new(nodes, ring, Epoch(2)));
    assert!(!text.contains("node=\"b\""), "{text}");
    assert_eq!(samples(&text)["circlet_node_requests_total{node=\"c\"}"], 0.0, "no worker has told of it yet");
    assert_eq!(samples(&text)["circlet_node_latency_seconds_count{node=\"c\"}"], 0.0);
}

#[test]
fn every_sample_has_the_labels_of_its_row() {
    let text = text_of(&[worker(|c| c.nodes[0].observe(20))]);
    for name in samples(&text).into_keys() {
        let (name, labels) = name.strip_suffix('}').map_or((&*name, ""), |name| name.split_once('{').unwrap());
        let ends = ["_bucket", "_sum", "_count"];
        let row = rows::row(name).or_else(|| ends.iter().find_map(|end| rows::row(name.strip_suffix(end)?))).unwrap();
        let seen: Vec<&str> = labels
            .split("\",")
            .filter_map(|label| Some(label.split_once('=')?.0))
            .filter(|label| *label != "le")
            .collect();
        assert_eq!(seen, row.labels, "{name}");
    }
}

#[test]
fn of_several_pools_each_sample_names_its_own() {
    let (topology, workers) = (topology(&["a"]), [worker(|c| c.requests = 10)]);
    let telemetry = Telemetry::new(UNIX_EPOCH);
    let pool = |pool, first_thread| View { pool: Some(pool), first_thread, ..view(&topology, &workers) };
    let text = telemetry.text(&[pool("one", 0), pool("t\"wo", 1)], Some(&Process::default()), &THREADS);
    let samples = samples(&text);
    for (name, value) in [
        ("circlet_requests_total{pool=\"one\"}", 10.0),
        ("circlet_requests_total{pool=\"t\\\"wo\"}", 10.0),
        ("circlet_node_up{node=\"a\",pool=\"one\"}", 0.0),
        ("circlet_node_latency_seconds_count{node=\"a\",pool=\"one\"}", 0.0),
        ("circlet_command_own_seconds_count{command=\"get\",pool=\"t\\\"wo\"}", 1.0),
        ("circlet_worker_cpu_seconds_total{worker=\"0\",pool=\"one\"}", 2.5),
        ("circlet_worker_cpu_seconds_total{worker=\"0\",pool=\"t\\\"wo\"}", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{text}");
    }
    let unnamed: HashSet<&str> =
        samples.keys().filter(|name| !name.contains("pool=\"")).map(|name| name.split('{').next().unwrap()).collect();
    assert!(unnamed.iter().all(|name| name.starts_with("process_") || *name == "circlet_build_info"), "{unnamed:?}");
    assert_eq!(text.matches("# TYPE circlet_node_latency_seconds ").count(), 1);
    assert_eq!(text.matches("# TYPE circlet_requests_total ").count(), 1);
}

#[test]
fn the_manual_shows_every_row() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/metrics.md");
    let manual = std::fs::read_to_string(path).unwrap();
    let (before, _) = manual.split_once("| metric |").unwrap();
    let expected = format!("{before}{}", rows::table());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &expected).unwrap();
    } else {
        assert!(manual == expected, "conf/metrics.md is not as the rows are; UPDATE=1 with this test writes it anew");
    }
}
