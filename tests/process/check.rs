//! `circlet check`: what is wrong, what it comes to, what is risky, and what twemproxy's file becomes.

use super::{complaint, run};
use crate::support::{Redis, circlet::Plan, dir::Dir};

const GOOD: &str =
    "[[nodes]]\nname = \"a\"\naddress = \"127.0.0.1:7001\"\n[[nodes]]\nname = \"b\"\naddress = \"127.0.0.1:7002\"\n";

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_right_configuration_is_shown_with_shares_and_risks() {
    let dir = Dir::new();
    let path = dir.write("circlet.toml", &format!("[limits]\nmax_buffered = \"1GB\"\n{GOOD}")).display().to_string();
    let output = run(&["check", &path]);
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    let text = said(&output);
    for part in ["max_buffered = \"1GB\"", "max_pending = 1024", "\n  a  127.0.0.1:7001  weight 1 ", " %  █"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let risky = run(&["check", &path, "--listen", "0.0.0.0:6380"]);
    assert_eq!(risky.status.code(), Some(0));
    assert!(said(&risky).contains("- listen is 0.0.0.0:6380, and there is no password"), "{}", said(&risky));
    let strict = run(&["check", "--strict", &path, "--listen", "0.0.0.0:6380"]);
    assert_eq!((strict.status.code(), said(&strict)), (Some(4), said(&risky)));
}

#[test]
fn mistakes_are_on_standard_error_all_at_once() {
    let dir = Dir::new();
    let path = dir.write("circlet.toml", &format!("worker = 3\n[ring]\npoints = 0\n{GOOD}")).display().to_string();
    let output = run(&["check", &path, "--set", "pipe.backof_min=1s"]);
    assert_eq!((output.status.code(), said(&output)), (Some(2), String::new()));
    for part in [
        "circlet.toml:1: worker is no option; did you mean workers?",
        "circlet.toml:3: ring.points is 0",
        "pipe.backoff_min",
    ] {
        assert!(complaint(&output).contains(part), "{part} in\n{}", complaint(&output));
    }
    for args in [&["check"][..], &["check", "/nonexistent.toml"], &["check", "--pool", "a", "x"]] {
        assert_eq!(run(args).status.code(), Some(2), "{args:?}");
    }
    assert_eq!(run(&["check", "--node", "127.0.0.1:7001"]).status.code(), Some(0));
}

#[test]
fn twemproxys_file_becomes_a_circlet_toml_that_serves_the_same() {
    let nodes = Redis::several(2);
    let dir = Dir::new();
    let yaml = format!(
        "alpha:\n  listen: 127.0.0.1:22121\n  hash: murmur\n  hash_tag: \"$$\"\n  redis: true\n  auto_eject_hosts: true\n  \
         servers:\n   - {}:1 one\n   - {}:3 two\nbeta:\n  listen: 127.0.0.1:22122\n  servers:\n   - 127.0.0.1:1:1\n",
        nodes[0].address(),
        nodes[1].address()
    );
    let path = dir.write("nutcracker.yml", &yaml).display().to_string();
    let unnamed = run(&["check", "--twemproxy", &path]);
    assert_eq!(unnamed.status.code(), Some(0), "{}", complaint(&unnamed));
    assert!(said(&unnamed).contains("nutcracker.yml:10: pool beta is not served: it speaks"), "{}", said(&unnamed));
    assert_eq!(run(&["check", "--twemproxy", &path, "--pool", "beta"]).status.code(), Some(2));
    let output = run(&["check", "--twemproxy", &path, "--pool", "alpha"]);
    assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
    assert!(!said(&output).contains("beta"), "{}", said(&output));
    assert!(said(&output).contains("nutcracker.yml:6: auto_eject_hosts has no equivalent"), "{}", said(&output));
    assert!(said(&output).lines().all(|line| line.chars().count() <= 120), "{}", said(&output));

    let old = Plan::default()
        .wait_for(2)
        .argument("--twemproxy-config")
        .argument(&path)
        .argument("--pool")
        .argument("alpha")
        .start();
    let new = Plan::default().wait_for(2).config(said(&output)).start();
    for number in 0..200 {
        old.client().expect(&format!("SET key:{number} v{number}"), "+OK\r\n");
    }
    let mut client = new.client();
    for number in 0..200 {
        assert_eq!(client.value(&format!("GET key:{number}")).text(), format!("v{number}"));
    }
}

#[test]
fn several_pools_are_printed_as_files_of_their_own() {
    let dir = Dir::new();
    let pool = |name: &str, port: u16, more: &str| {
        format!(
            "{name}:\n  listen: 127.0.0.1:{port}\n  redis: true\n{more}  servers:\n   - 127.0.0.1:6379:1 {name}-1\n"
        )
    };
    let yaml =
        pool("alpha", 22121, "  distribution: modula\n") + &pool("beta", 22122, "  hash: md5\n  preconnect: true\n");
    let path = dir.write("nutcracker.yml", &yaml).display().to_string();
    let both = run(&["check", "--twemproxy", &path]);
    assert_eq!(both.status.code(), Some(0), "{}", complaint(&both));
    let text = said(&both);
    assert!(text.starts_with("# 2 pools of ") && text.contains("preconnect: true has no option"), "{text}");
    let parts: Vec<&str> = text.split("# ==== pool ").collect();
    assert_eq!(parts.len(), 3, "{text}");
    for (part, name) in parts[1..].iter().zip(["alpha", "beta"]) {
        let part = part.strip_prefix(&format!("{name} ====\n")).unwrap();
        let alone = said(&run(&["check", "--twemproxy", &path, "--pool", name]));
        let toml = |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert_eq!(toml(part).trim(), toml(&alone).trim());
        let own = dir.write("circlet.toml", &alone).display().to_string();
        assert_eq!(run(&["check", &own]).status.code(), Some(0));
    }
    assert_eq!(run(&["check", "--strict", "--twemproxy", &path]).status.code(), Some(4), "there is one node in each");
}

#[test]
fn a_damaged_twemproxy_file_is_told_with_line_and_cure() {
    let dir = Dir::new();
    let path = dir
        .write("nutcracker.yml", "alpha:\n  listen: 127.0.0.1\n  hashh: md5\n  redis: true\n  servers:\n   - a:1\n")
        .display()
        .to_string();
    for args in [&["check", "--twemproxy", &path][..], &["serve", "--twemproxy-config", &path]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2));
        for part in [
            "nutcracker.yml:2: listen is",
            "nutcracker.yml:3: hashh is no directive of nutcracker; did you mean hash?",
            "nutcracker.yml:6: a server is",
        ] {
            assert!(complaint(&output).contains(part), "{part} in\n{}", complaint(&output));
        }
    }
    assert_eq!(run(&["serve", "--twemproxy-config", &path, "--config", &path]).status.code(), Some(2));
}

#[test]
fn an_admin_address_that_others_reach_wants_a_token() {
    let node = ["serve", "--node", "a=127.0.0.1:1", "--admin", "0.0.0.0:9180"];
    let with = |more: &[&str]| complaint(&run(&[&node[..], more].concat()));
    assert!(with(&[]).contains("--admin: admin is 0.0.0.0:9180, which other machines reach; set admin_token_file"));
    assert!(with(&["--set", "admin_token=short"]).contains("admin_token is too short"));
    let both = ["--set", "admin_token=0123456789abcdef", "--set", "admin_token_file=/nosuch"];
    assert!(with(&both).contains("/nosuch cannot be read"));
    assert!(!with(&["--set", "admin_token=hush"]).contains("hush"));
}
