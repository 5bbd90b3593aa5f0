//! The whole way: file and flags to a configuration or to all mistakes.

use super::*;
use crate::scratch::Scratch;

fn flags(assignments: &[&str]) -> Overrides {
    Overrides {
        nodes: vec!["127.0.0.1:7001".to_owned()],
        set: assignments.iter().map(|&text| text.to_owned()).collect(),
        ..Overrides::default()
    }
}

/// Loads `text` from a file; the mistakes without the file's directory.
fn from_file(name: &str, text: &str, overrides: &Overrides) -> Result<Config, String> {
    let dir = Scratch::new(name);
    let path = dir.write("c.toml", text);
    let prefix = format!("{}/", dir.path().display());
    load(Some(&path), overrides).map_err(|mistakes| mistakes.to_string().replace(&prefix, ""))
}

#[test]
fn flags_go_over_the_file_and_the_file_over_the_defaults() {
    let text = "workers = 3\nlisten = [\"127.0.0.1:1000\", \"127.0.0.1:1001\"]\n[session]\nmax_pending = 9\nmax_sessions = 8\n\
                [[nodes]]\nname = \"old\"\naddress = \"127.0.0.1:7000\"\n[[nodes]]\naddress = \"127.0.0.1:7001\"";
    let overrides = Overrides {
        listen: vec!["127.0.0.1:6000".to_owned(), "unix:/run/circlet.sock".to_owned()],
        admin: Some("off".to_owned()),
        state: Some("state".into()),
        nodes: vec!["new=127.0.0.1:7002*2".to_owned()],
        log: Some("debug".to_owned()),
        log_format: Some("json".to_owned()),
        set: vec!["session.max_pending=7".to_owned()],
        ..Overrides::default()
    };
    let config = from_file("precedence", text, &overrides).unwrap();
    assert_eq!(
        config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:6000", "unix:/run/circlet.sock"]
    );
    assert_eq!(config.admin, None);
    assert_eq!(config.state.as_deref(), Some(Path::new("state")));
    assert_eq!(config.traffic.workers, 3);
    assert_eq!(config.traffic.session.max_pending, 7);
    assert_eq!(config.traffic.session.max_sessions, 8);
    assert_eq!(config.log, Log { filter: "debug".to_owned(), format: LogFormat::Json });
    assert_eq!(config.nodes.len(), 1);
    assert_eq!((config.nodes[0].name.as_str(), config.nodes[0].weight), ("new", 2.0));

    let workers = Overrides { workers: Some("5".to_owned()), ..flags(&[]) };
    assert_eq!(from_file("workers", text, &workers).unwrap().traffic.workers, 5);
    assert_eq!(from_file("nodes", text, &Overrides::default()).unwrap().nodes[1].name, "127.0.0.1:7001");
}

#[test]
fn all_mistakes_come_at_once_each_with_line_value_and_cure() {
    let text = "\
workers = 0
state = 7
partial_reads = \"maybe\"
requirepass = 12345

[ring]
points = 0

[limits]
max_bulk = \"64\"
max_args = \"many\"
max_inline = \"64K\"

[session]
max_pendng = 4
idle_timeout = 0

[pipe]
request_timeout = 5
backoff_min = \"1m\"

[[nodes]]
name = \"cache a\"
address = \"127.0.0.1\"

[[nodes]]
name = \"b\"
address = \"127.0.0.1:7002\"
weight = -1
port = 7002
";
    let overrides = Overrides {
        admin: Some("unix:/run/admin".to_owned()),
        log: Some("loud".to_owned()),
        log_format: Some("xml".to_owned()),
        set: vec!["pipe.backoff".to_owned(), "pipe.max_inflight=3".to_owned(), "nodes=x".to_owned()],
        ..Overrides::default()
    };
    let expected = "\
c.toml:1: workers is 0; use 1 to 1024, or \"auto\"
c.toml:2: state is 7; write it in quotes
c.toml:3: partial_reads is \"maybe\"; use \"error\" or \"nil\"
c.toml:4: requirepass: write it in quotes
c.toml:7: ring.points is 0; use 1 to 1048576
c.toml:10: limits.max_bulk is \"64\"; use 1KB to 4095MB
c.toml:11: limits.max_args is \"many\"; use 16 to 16777216
c.toml:12: limits.max_inline is \"64K\"; use bytes or a whole number with KB, MB or GB, such as \"64KB\"
c.toml:15: session.max_pendng is no option; did you mean session.max_pending?
c.toml:16: session.idle_timeout is 0; use a whole number with ms, s, m or h, such as \"250ms\" or \"5s\", or \"off\"
c.toml:19: pipe.request_timeout is 5; use a whole number with ms, s, m or h, such as \"250ms\" or \"5s\"
c.toml:20: pipe.backoff_min is \"1m\", above pipe.backoff_max (\"5s\"); lower it or raise pipe.backoff_max
c.toml:23: nodes.name is \"cache a\"; use a name of 1 to 255 bytes without white space, such as \"cache-a\"
c.toml:24: nodes.address is \"127.0.0.1\"; '127.0.0.1' has no port; write host:port, [ipv6]:port or unix:/path
c.toml:29: nodes.weight is -1; use a number above 0; 1 is a normal node
c.toml:30: nodes.port is no option; use name, address, weight, username, password, password_file
--admin: admin is \"unix:/run/admin\"; use a TCP address such as \"127.0.0.1:9180\", or \"off\"
--log: log.filter is \"loud\"; use one of off, error, warn, info, debug, trace, or directives such as \"info,circlet::control=debug\"
--log-format: log.format is \"xml\"; use \"human\" or \"json\"
--set: \"pipe.backoff\" has no value; write --set KEY=VALUE
--set nodes: nodes is a table of its own; write [[nodes]] in the file or use --node
--set pipe.max_inflight: pipe.max_inflight is no option; did you mean pipe.max_in_flight?";
    assert_eq!(from_file("mistakes", text, &overrides).unwrap_err(), expected);
}

#[test]
fn contradictions_are_reported_where_the_operator_wrote_something() {
    for (text, expected) in [
        (
            "[session]\nsoft_output = \"2MB\"\nhard_output = \"1MB\"",
            "c.toml:2: session.soft_output is \"2MB\", above session.hard_output (\"1MB\"); lower it or raise session.hard_output",
        ),
        (
            "[session]\nhard_output = \"64KB\"",
            "c.toml:2: session.hard_output is \"64KB\", below session.soft_output (\"1MB\"); raise it or lower session.soft_output",
        ),
        (
            "[limits]\nmax_buffered = \"512MB\"",
            "c.toml:2: limits.max_buffered is \"512MB\", below limits.max_request (\"1GB\"); raise it or lower limits.max_request",
        ),
        (
            "[limits]\nmax_bulk = \"2GB\"",
            "c.toml:2: limits.max_bulk is \"2GB\", above limits.max_request (\"1GB\"); lower it or raise limits.max_request",
        ),
        (
            "[limits]\nmax_inline = \"1MB\"\nmax_bulk = \"16KB\"\nmax_request = \"16KB\"",
            "c.toml:2: limits.max_inline is \"1MB\", above limits.max_request (\"16KB\"); lower it or raise limits.max_request",
        ),
        (
            "[pipe]\nbackoff_max = \"50ms\"",
            "c.toml:2: pipe.backoff_max is \"50ms\", below pipe.backoff_min (\"100ms\"); raise it or lower pipe.backoff_min",
        ),
        (
            "[session]\nhard_output = \"8GB\"",
            "c.toml:2: session.hard_output is \"8GB\", above limits.max_buffered (\"4GB\"); lower it or raise limits.max_buffered",
        ),
        ("admin = \"127.0.0.1:6380\"", "c.toml:1: admin and listen are both 127.0.0.1:6380; give them different ports"),
        (
            "listen = [\"127.0.0.1:7001\"]",
            "--node 127.0.0.1:7001: node 127.0.0.1:7001 has Circlet's own address 127.0.0.1:7001; give a Redis server's address",
        ),
        (
            "listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
            "c.toml:1: listen is [\"127.0.0.1:1\", \"127.0.0.1:1\"]; remove one of the two 127.0.0.1:1",
        ),
        (
            "cluster_facade = \"on\"\nlisten = \"/run/c.sock\"",
            "c.toml:1: cluster_facade is \"on\", but listen has no TCP address that clients of a cluster could be told; add \
             one, or set cluster_facade to the host:port where they reach Circlet",
        ),
        (
            "on_node_down = \"eject\"\nstate = \"s\"",
            "c.toml:1: on_node_down is \"eject\", but profile is \"store\": the keys of a node that is left out would be missing, and \
             what is written meanwhile lost; set profile = \"cache\" if the nodes have copies only, or on_node_down = \"error\"",
        ),
        (
            "profile = \"cache\"\non_node_down = \"eject\"",
            "c.toml:2: on_node_down is \"eject\", but there is no state directory: a restart must know who is left out, or old values \
             would be served; start with --state DIR (or state = \"DIR\")",
        ),
        (
            "profile = \"cache\"\nstate = \"s\"\non_node_down = \"eject\"\n[ring]\ndistribution = \"random\"",
            "c.toml:3: on_node_down is \"eject\", but ring.distribution is \"random\": no node owns a key, so none can take over \
             another's; set on_node_down = \"error\"",
        ),
        (
            "requirepass = \"a\"\nrequirepass_file = \"c.toml\"",
            "c.toml:2: requirepass_file is \"c.toml\"; use a password of one line",
        ),
    ] {
        assert_eq!(from_file("contradiction", text, &flags(&[])).unwrap_err(), expected);
    }
}

#[test]
fn a_contradiction_with_a_wrong_value_is_not_reported_after_it() {
    let text = "[session]\nsoft_output = \"512MB\"\nhard_output = \"lots\"";
    let found = from_file("broken", text, &flags(&[])).unwrap_err();
    assert!(found.starts_with("c.toml:3: session.hard_output") && !found.contains('\n'), "{found}");
}

#[test]
fn a_flag_cures_the_contradiction_of_the_file() {
    let text = "[session]\nsoft_output = \"512MB\"";
    assert!(from_file("cured", text, &flags(&[])).is_err());
    assert!(from_file("cured", text, &flags(&["session.hard_output=1GB"])).is_ok());
}

#[test]
fn without_nodes_nothing_is_served() {
    let found = load(None, &Overrides::default()).unwrap_err().to_string();
    assert_eq!(found, "configuration: there is no node; add [[nodes]] to the file, or --node 127.0.0.1:6379");
}

#[test]
fn a_missing_file_is_the_only_mistake() {
    let found = load(Some(Path::new("no/such.toml")), &Overrides::default()).unwrap_err().to_string();
    assert!(found.starts_with("--config: no/such.toml cannot be read (") && !found.contains('\n'), "{found}");
}

#[test]
fn a_syntax_error_does_not_also_count_as_a_missing_node() {
    let found = from_file("syntax", "workers = 2\n[[nodes\naddress = \"127.0.0.1:7001\"\n", &Overrides::default());
    let found = found.unwrap_err();
    assert!(found.starts_with("c.toml:2: this line is not TOML") && !found.contains("there is no node"), "{found}");
}

#[test]
fn no_password_is_ever_shown() {
    let dir = Scratch::new("passwords");
    dir.write("pass", "hush-from-file\n");
    let text = "requirepass_file = \"pass\"\n[[nodes]]\nname = \"a\"\naddress = \"127.0.0.1:7001\"\npassword = \"hush-a\"\n\
                [[nodes]]\nname = \"b\"\naddress = \"127.0.0.1:7002\"\nusername = \"me\"\npassword_file = \"pass\"";
    let path = dir.write("c.toml", text);
    let config = load(Some(&path), &Overrides::default()).unwrap();
    assert_eq!(config.traffic.requirepass.as_deref(), Some("hush-from-file"));
    assert_eq!(config.nodes[0].password.as_deref(), Some("hush-a"));
    assert_eq!(config.nodes[1].password.as_deref(), Some("hush-from-file"));
    assert_eq!(config.nodes[1].username.as_deref(), Some("me"));
    assert!(!format!("{config:?}{config:#?}{config}").contains("hush"));

    for text in [
        "requirepass = \"hush\\nhush\"",
        "requirepass = [\"hush\"]",
        "requirepass = { hush = 1 }",
        "requirepass = \"hush\nworkers = 1",
        "requirepass = hush",
        "requirepass = \"hush\"\nrequirepass_file = \"pass\"",
        "[[nodes]]\naddress = \"127.0.0.1:7001\"\npassword = \"hush\\n\"",
        "[[nodes]]\naddress = \"127.0.0.1:7001\"\npassword = \"hush\"\npassword_file = \"pass\"",
        "[[nodes]]\naddress = \"127.0.0.1:7001\"\npassword = [\"hush\"]",
    ] {
        let path = dir.write("c.toml", text);
        let found = load(Some(&path), &flags(&["requirepass=hush\nhush"])).unwrap_err().to_string();
        assert!(!found.contains("hush"), "{text}: {found}");
    }
}

#[test]
fn a_flag_replaces_the_files_password_however_it_is_given() {
    let dir = Scratch::new("replace");
    dir.write("pass", "from-file");
    let path = dir.write("c.toml", "requirepass = \"a\"");
    let overrides = Overrides { requirepass_file: Some(dir.path().join("pass")), ..flags(&[]) };
    assert_eq!(load(Some(&path), &overrides).unwrap().traffic.requirepass.as_deref(), Some("from-file"));
    assert_eq!(load(Some(&path), &flags(&["requirepass="])).unwrap().traffic.requirepass, None);

    let path = dir.write("c.toml", "requirepass = \"a\"\nrequirepass_file = \"pass\"");
    let found = load(Some(&path), &flags(&[])).unwrap_err().to_string();
    assert!(
        found.ends_with("c.toml:2: requirepass_file and requirepass are both given; remove one of them"),
        "{found}"
    );
}

#[test]
fn relative_paths_start_from_the_files_directory() {
    let dir = Scratch::new("relative");
    let path = dir.write("c.toml", "listen = \"unix:c.sock\"\nstate = \"state\"");
    let config = load(Some(&path), &flags(&[])).unwrap();
    assert_eq!(config.listen, [Address::Unix(dir.path().join("c.sock"))]);
    assert_eq!(config.state, Some(dir.path().join("state")));
}

#[test]
fn the_printed_configuration_loads_to_itself() {
    let overrides =
        flags(&["workers=3", "session.idle_timeout=90s", "limits.max_inline=1500", "state=/a \"b\"", "admin=off"]);
    let config = load(None, &overrides).unwrap();
    let again = from_file("printed", &config.to_string(), &Overrides::default()).unwrap();
    assert_eq!(again.to_string(), config.to_string());
}
