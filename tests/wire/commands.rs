//! What Circlet itself answers about itself and the nodes: PING, TIME, INFO, CONFIG GET, COMMAND.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::{
    Cluster, Redis,
    circlet::Plan,
    cluster::named,
    fake::{Fake, polite},
    resp::Value,
    wait::until_true,
};

#[test]
fn small_talk() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("PING", "+PONG\r\n");
    client.expect("ping hello", "$5\r\nhello\r\n");
    client.expect("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n");
    client.expect("ECHO hello", "$5\r\nhello\r\n");
    client.expect("ECHO", "-ERR wrong number of arguments for 'echo' command\r\n");
    let time = client.value("TIME");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let told: u64 = time.list()[0].text().parse().unwrap();
    assert!(now.abs_diff(told) <= 2, "{told} and {now}");
    assert!(time.list()[1].text().parse::<u32>().unwrap() < 1_000_000);
    assert!(client.value("LOLWUT").text().contains("Redis ver. 7"));
    assert!(client.ask("LOLWUT VERSION 5 1 1 1").contains("Redis ver."));
}

/// `field:value` of an INFO text.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[test]
fn info_is_one_document_over_all_nodes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for number in 0..90 {
        client.ask(&format!("SET k{number} v"));
    }
    let plain = cluster.nodes[0].client().value("INFO").text();
    let merged = client.value("INFO").text();
    let sections =
        |text: &str| text.lines().filter(|line| line.starts_with("# ")).map(str::to_owned).collect::<Vec<_>>();
    let mut expected = sections(&plain);
    expected.push("# Circlet".to_owned());
    let mut got = sections(&merged);
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
    assert_eq!(field(&merged, "redis_version"), field(&plain, "redis_version"));
    assert!(field(&merged, "db0").unwrap().starts_with("keys=90,expires=0"), "{merged}");
    for index in 0..3 {
        let line = field(&merged, &format!("node{index}")).unwrap();
        let address = cluster.nodes[index].address();
        for part in [format!("name=n{},", index + 1), format!("address={address},"), "state=up".to_owned()] {
            assert!(line.contains(&part), "{part} in {line}");
        }
    }
    assert_eq!(field(&merged, "circlet_nodes_up"), Some("3"));
    // Every line has the form that clients parse.
    for line in merged.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(line.contains(':'), "{line:?}");
    }
    let sum: u64 = cluster
        .nodes
        .iter()
        .map(|node| {
            let text = node.client().value("INFO memory").text();
            field(&text, "maxmemory").unwrap().parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(field(&merged, "maxmemory").unwrap().parse::<u64>().unwrap(), sum);
}

#[test]
fn info_sections_and_single_nodes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let text = client.value("INFO keyspace").text();
    assert!(text.starts_with("# Keyspace") && !text.contains("# Server"), "{text}");
    let text = client.value("INFO server memory").text();
    assert!(text.contains("# Server") && text.contains("# Memory") && !text.contains("# CPU"), "{text}");
    for line in ["INFO everything", "INFO all"] {
        let text = client.value(line).text();
        assert!(text.contains("# Commandstats") && text.contains("# Circlet"), "{line}: {text}");
    }
    let text = client.value("INFO circlet").text();
    assert!(text.starts_with("# Circlet") && !text.contains("# Server"), "{text}");
    for (index, node) in cluster.nodes.iter().enumerate() {
        let one = client.value(&format!("INFO n{}", index + 1)).text();
        assert_eq!(field(&one, "tcp_port"), Some(node.port().to_string().as_str()));
        let one = client.value(&format!("INFO n{} server", index + 1)).text();
        assert!(one.starts_with("# Server") && !one.contains("# Memory"), "{one}");
    }
    // RESP3: text as Redis sends it.
    assert!(cluster.client3().ask("INFO").starts_with("=") && cluster.client3().ask("INFO n1").starts_with("="));
}

#[test]
fn settings_are_asked_of_a_node_and_set_on_all() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    client.expect("CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
    client.expect("CONFIG GET databases", "*2\r\n$9\r\ndatabases\r\n$2\r\n16\r\n");
    client.expect("CONFIG GET nosuch", "*0\r\n");
    assert!(client.value("CONFIG GET *").list().len() > 200);
    client.expect("CONFIG RESETSTAT", "+OK\r\n");
    client.expect("CONFIG SET maxmemory-policy allkeys-lru", "+OK\r\n");
    for node in &cluster.nodes {
        node.client().expect("CONFIG GET maxmemory-policy", "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n");
    }
}

#[test]
fn command_names_what_the_nodes_know() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let count = client.value("COMMAND COUNT").number();
    assert_eq!(client.value("COMMAND").list().len(), usize::try_from(count).unwrap());
    let names = |client: &mut crate::support::Client| {
        let mut names: Vec<String> = client.value("COMMAND LIST").list().iter().map(|name| name.text()).collect();
        names.sort();
        names
    };
    let (known, here) = (names(&mut plain.client()), names(&mut client));
    let missing: Vec<&String> = known.iter().filter(|name| here.binary_search(name).is_err()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for line in [
        "COMMAND INFO nosuch",
        "COMMAND INFO get nosuch",
        "COMMAND DOCS nosuch",
        "COMMAND GETKEYS GET a b",
        "COMMAND NOSUCH",
    ] {
        assert_eq!(client.ask(line), plain.client().ask(line), "{line}");
    }
    client.expect("COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    client.expect("COMMAND GETKEYS PING", "-ERR The command has no key arguments\r\n");
    assert!(client.value("COMMAND DOCS GET").get("get").is_some());
    let mut expected = plain.client();
    let mut wrong = Vec::new();
    // Newer versions take more or fewer words here.
    let changed = ["command|getkeys", "command|getkeysandflags", "zrank", "zrevrank"];
    for name in known.iter().filter(|name| !changed.contains(&name.as_str())) {
        let line = format!("COMMAND INFO {name}");
        let (redis, circlet) = (told(&expected.value(&line)), told(&client.value(&line)));
        if redis != circlet {
            wrong.push(format!("{name}\n   Redis: {redis:?}\n Circlet: {circlet:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} commands are told differently:\n{}", wrong.len(), wrong.join("\n"));
}

/// What clients go by in COMMAND INFO: name, arity, and where the keys are. Flags and tips are those of newer versions.
fn told(reply: &Value) -> Vec<Value> {
    let parts: Vec<Value> = reply.list()[0].list().into_iter().cloned().collect();
    [&parts[..2], &parts[3..6]].concat()
}

#[test]
fn a_command_that_only_the_nodes_know_is_passed_on() {
    // A staged node stands for one with a module, or of a newer version.
    let node = Fake::start(|words| {
        Some(match words[0].as_str() {
            "command" => b"*1\r\n*6\r\n$6\r\nmy.set\r\n:3\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n".to_vec(),
            "my.set" => format!("+{} is {}\r\n", words[1], words[2]).into_bytes(),
            _ => polite(words),
        })
    });
    let circlet = Plan::default().node(named(0, &node.address())).start();
    let mut client = circlet.client();
    // The nodes are asked in the background.
    until_true("the node's command to be known", || client.ask("MY.SET k v") == "+k is v\r\n");
    client.expect("MY.SET k", "-ERR wrong number of arguments for 'my.set' command\r\n");
    client.expect("my.get k", "-ERR unknown command 'my.get', with args beginning with: 'k' \r\n");
    assert!(client.ask("COMMAND INFO my.set").contains("my.set"));
}
