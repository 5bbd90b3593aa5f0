//! The alert rules: read by promtool, each tried on made-up numbers (data/alerts.yml), and known to their tests.

use std::{collections::BTreeSet, path::Path, process::Command};

use super::server::{conf, is_installed};

/// Runs promtool in the repository.
fn promtool(args: &[&str]) {
    let output = Command::new("promtool").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{args:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_files_are_what_prometheus_takes_and_each_alert_fires_when_it_should() {
    if is_installed("promtool") {
        promtool(&["check", "config", "conf/prometheus.yml"]);
        promtool(&["check", "rules", "conf/circlet-alerts.yml"]);
        promtool(&["test", "rules", "tests/data/alerts.yml"]);
    }
}

#[test]
fn every_alert_has_a_test() {
    let tests = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/alerts.yml")).unwrap();
    let rules = conf("circlet-alerts.yml");
    let alerts: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("{{alertname=\"{alert}\"")), "{alert} is never tried in tests/data/alerts.yml");
    }
}
