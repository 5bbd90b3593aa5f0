//! `circlet ring`: what it says of a key is where the key is.

use super::{complaint, run};
use crate::support::{Cluster, dir::Dir};

#[test]
fn a_key_is_where_circlet_ring_says() {
    let cluster = Cluster::start();
    let nodes: Vec<String> =
        (1..).zip(&cluster.nodes).map(|(n, node)| format!("--node=n{n}={}", node.address())).collect();
    let mut args = vec!["ring", "--json"];
    args.extend(nodes.iter().map(String::as_str));
    let keys = ["user:1", "cart:{user:1}", "user:2", "user:3", "x"];
    args.extend(keys);
    let output = run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut client = cluster.client();
    for (index, key) in keys.iter().enumerate() {
        client.expect(&format!("SET {key} v"), "+OK\r\n");
        let name = told["keys"][index]["node"].as_str().unwrap();
        let node = &cluster.nodes[name[1..].parse::<usize>().unwrap() - 1];
        assert_eq!(node.client().value(&format!("EXISTS {key}")).number(), 1, "{key} on {name}");
    }
    assert_eq!(told["keys"][0]["node"], told["keys"][1]["node"], "one hash tag, one node");
}

#[test]
fn a_plan_says_who_gives_what_to_whom_and_wrong_ones_are_told() {
    let nodes = ["ring", "--node", "a=127.0.0.1:7001", "--node", "b=127.0.0.1:7002"];
    let with = |more: &[&str]| run(&[&nodes[..], more].concat());
    let output = with(&["--plan", "add c=127.0.0.1:7003"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    for part in ["a -> c", "b -> c", "% of the keys change hands", "  c  127.0.0.1:7003"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let output = with(&["--plan", "remove z"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("there is no node z; use one of a, b"), "{}", complaint(&output));
    assert_eq!(run(&["ring"]).status.code(), Some(2), "no node at all");
}

#[test]
fn twemproxys_file_has_a_ring_too() {
    let dir = Dir::new();
    let yaml = "a:\n  listen: 127.0.0.1:1\n  redis: true\n  distribution: modula\n  hash: md5\n  servers:\n   - 127.0.0.1:2:1\n   - 127.0.0.1:3:2\n";
    let path = dir.write("n.yml", yaml).display().to_string();
    let output = run(&["ring", "--twemproxy-config", &path, "k"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["modula over md5, as twemproxy", "  slot    ", "the remainder by 3"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn a_running_circlet_tells_the_same_as_its_configuration() {
    let cluster = Cluster::with(|plan| plan.set("requirepass=hush"));
    let at = cluster.circlet.address();
    let dir = Dir::new();
    let password = dir.write("password", "hush\n").display().to_string();
    let nodes: Vec<String> =
        (1..).zip(&cluster.nodes).map(|(n, node)| format!("--node=n{n}={}", node.address())).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    for rest in [
        &["user:1", "cart:{user:1}", ""][..],
        &["--json", "x"],
        &["--plan", "add n4=127.0.0.1:9,remove n1"],
        &["--json", "--plan", "remove n2", "k"],
    ] {
        let live = run(&[&["ring", "--at", &at, "--password-file", &password], rest].concat());
        assert_eq!(live.status.code(), Some(0), "{}", complaint(&live));
        let configured = run(&[&["ring"], &nodes[..], rest].concat());
        assert_eq!(String::from_utf8_lossy(&live.stdout), String::from_utf8_lossy(&configured.stdout), "{rest:?}");
    }
    let keys: Vec<String> = (0..1_200).map(|number| format!("k{number}")).collect();
    let many: Vec<&str> = keys.iter().map(String::as_str).collect();
    let live = run(&[&["ring", "--at", &at, "--password-file", &password, "--json"], &many[..]].concat());
    let told: serde_json::Value = serde_json::from_slice(&live.stdout).unwrap();
    assert_eq!(told["keys"].as_array().unwrap().len(), 1_200);
}

#[test]
fn who_cannot_be_asked_is_told_with_the_cure() {
    let cluster = Cluster::with(|plan| plan.set("requirepass=hush"));
    let (at, node) = (cluster.circlet.address(), cluster.nodes[0].address());
    for (args, code, cure) in [
        (&["--at", &at][..], 1, "(give --password-file, or set REDISCLI_AUTH)"),
        (&["--at", &node], 1, "a Redis, or an older Circlet, serves there"),
        (&["--at", "127.0.0.1:1"], 1, "does a Circlet serve there?"),
        (&["--at", "nowhere"], 1, "write host:port"),
        (&["--at", &at, "--password-file", "/nosuch"], 1, "/nosuch cannot be read"),
        (&["--at", &at, "--node", "a=127.0.0.1:1"], 2, "cannot be used with"),
        (&["--password-file", "x"], 2, "--at <ADDRESS>"),
    ] {
        let output = run(&[&["ring"], args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert!(complaint(&output).contains(cure), "{args:?}: {}", complaint(&output));
    }
}
