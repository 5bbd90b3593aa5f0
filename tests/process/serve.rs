//! Flags and configuration of `circlet serve`: what is wrong is told, all of it, with its place and cure.

use std::net::TcpListener;

use super::{complaint, run};
use crate::support::{Redis, circlet::Plan, dir::Dir, port::Port};

#[test]
fn all_mistakes_are_told_together() {
    let dir = Dir::new();
    let text = "workers = 0\n\
                listn = [\"127.0.0.1:1\"]\n\
                [ring]\n\
                points = 0\n\
                [session]\n\
                soft_output = \"500MB\"\n\
                hard_output = \"1MB\"\n\
                [pipe]\n\
                request_timeout = \"5 parsecs\"\n\
                [[nodes]]\n\
                name = \"a\"\n\
                address = \"127.0.0.1\"\n\
                [[nodes]]\n\
                name = \"b\"\n\
                address = \"127.0.0.1:7002\"\n\
                weight = -1\n\
                [[nodes]]\n\
                name = \"c\"\n\
                address = \"127.0.0.1:7003\"\n\
                [[nodes]]\n\
                name = \"c\"\n\
                address = \"127.0.0.1:7004\"\n";
    let path = dir.write("wrong.toml", text).display().to_string();
    let output = run(&["serve", "--config", &path, "--set", "nosuch.option=1"]);
    assert_eq!(output.status.code(), Some(2));
    let said = complaint(&output);
    for (line, what) in [
        (1, "workers"),
        (2, "listen"),
        (4, "ring.points"),
        (9, "request_timeout"),
        (12, "port"),
        (16, "weight"),
        (20, "two nodes are called c"),
    ] {
        let place = format!("wrong.toml:{line}:");
        assert!(said.lines().any(|told| told.contains(&place) && told.contains(what)), "{place} {what} in\n{said}");
    }
    assert!(said.contains("hard_output") && said.contains("nosuch.option"), "{said}");
}

#[test]
fn what_is_missing_is_told() {
    let output = run(&["serve", "--admin", "off"]);
    assert_eq!(output.status.code(), Some(2), "{}", complaint(&output));
    assert!(complaint(&output).contains("node"), "{}", complaint(&output));
    let output = run(&["serve", "--config", "/nonexistent/circlet.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(complaint(&output).contains("/nonexistent/circlet.toml"), "{}", complaint(&output));
    for args in [&["serve", "--nosuch"][..], &["nosuch"], &[]] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn help_and_version() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("circlet {}\n", env!("CARGO_PKG_VERSION")));
    for (args, parts) in [
        (&["--help"][..], &["serve", "dev", "Exit codes"][..]),
        (&["serve", "--help"], &["--config", "--listen", "--node", "--state", "Examples"]),
        (&["dev", "--help"], &["--nodes", "--port", "--persist", "Examples"]),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for part in parts {
            assert!(text.contains(part), "{part} in {args:?}:\n{text}");
        }
    }
}

#[test]
fn a_taken_port_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let free = Port::lease();
    let other = format!("127.0.0.1:{}", free.number());
    for (listen, admin) in [(&address, &other), (&other, &address)] {
        let output = run(&["serve", "--node", "127.0.0.1:1", "--listen", listen, "--admin", admin]);
        assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
        assert!(complaint(&output).contains(&address), "{}", complaint(&output));
    }
}

#[test]
fn a_state_directory_is_for_one_circlet() {
    let node = Redis::start();
    let dir = Dir::new();
    let state = dir.file("state").display().to_string();
    let first = Plan::default().node(node.address()).argument("--state").argument(&state).start();
    let other = Port::lease();
    let listen = format!("127.0.0.1:{}", other.number());
    let output = run(&["serve", "--node", &node.address(), "--listen", &listen, "--admin", "off", "--state", &state]);
    assert_eq!(output.status.code(), Some(1), "{}", complaint(&output));
    assert!(complaint(&output).contains(&state), "{}", complaint(&output));
    first.client().expect("PING", "+PONG\r\n");
    drop(first);
    let second = Plan::default().node(node.address()).argument("--state").argument(&state).start();
    second.client().expect("PING", "+PONG\r\n");
}

#[test]
fn the_configuration_of_the_tree_serves() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/circlet.toml")).unwrap();
    let node = Redis::start();
    // Its example nodes replaced, as it says itself.
    let circlet = Plan::default().config(text).node(node.address()).start();
    circlet.client().expect("SET k v", "+OK\r\n");
}

#[test]
fn weights_decide_how_many_keys_a_node_has() {
    let nodes = Redis::several(2);
    let circlet = Plan::default()
        .node(format!("small={}", nodes[0].address()))
        .node(format!("large={}*3", nodes[1].address()))
        .start();
    let mut client = circlet.client();
    let mut bytes = Vec::new();
    for number in 0..4_000 {
        crate::support::resp::request(&mut bytes, &["SET", &format!("key:{number}"), "v"]);
    }
    client.pipeline(&bytes, 4_000);
    let keys: Vec<i64> = nodes.iter().map(|node| node.client().value("DBSIZE").number()).collect();
    assert_eq!(keys[0] + keys[1], 4_000);
    // A quarter, give or take what chance does with 4,000 keys.
    assert!((850..1_150).contains(&keys[0]), "{keys:?}");
}

#[test]
fn logs_are_lines_of_json_if_wanted() {
    let node = Redis::start();
    let circlet = Plan::default().node(node.address()).argument("--log-format").argument("json").start();
    let mut client = circlet.client();
    let before = circlet.output().lines().count();
    for number in 0..500 {
        client.expect(&format!("SET k{number} v"), "+OK\r\n");
    }
    let text = circlet.output();
    assert!(text.lines().count() > 2 && text.lines().count() < before + 20, "no line per request:\n{text}");
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value.get("timestamp").is_some() && value.get("level").is_some(), "{line}");
    }
}

#[test]
fn a_password_is_never_shown() {
    let dir = Dir::new();
    let secret = "s3cret-of-the-nodes";
    let file = dir.write("password", &format!("{secret}\n")).display().to_string();
    let node = Redis::with(&["--requirepass", secret]);
    let text = format!("[[nodes]]\nname = \"n1\"\naddress = \"{}\"\npassword_file = \"{file}\"\n", node.address());
    let circlet = Plan::default()
        .config(text)
        .wait_for(1)
        .argument("--log")
        .argument("trace")
        .argument("--requirepass-file")
        .argument(&file)
        .start();
    let mut client = circlet.client();
    client.expect("GET k", "-NOAUTH Authentication required.\r\n");
    client.expect(&format!("AUTH {secret}"), "+OK\r\n");
    client.expect("SET k v", "+OK\r\n");
    assert!(!client.value("INFO").text().contains(secret));
    assert!(!circlet.output().contains(secret));
}
