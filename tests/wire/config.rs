//! CONFIG over several nodes and of Circlet's own options.

use crate::support::{Client, Cluster, Redis, resp::Value, wait::until_true};

/// What each node says a parameter is.
fn of_nodes(cluster: &Cluster, name: &str) -> Vec<String> {
    let get = |node: &Redis| node.client().value(&format!("CONFIG GET {name}")).list()[1].text();
    cluster.nodes.iter().map(get).collect()
}

fn of_circlet(client: &mut Client, name: &str) -> Option<String> {
    let reply = client.value(&format!("CONFIG GET {name}"));
    reply.list().get(1).map(|value| value.text())
}

#[test]
fn parameters_of_the_nodes_and_options_of_circlet_are_one_list() {
    let plain = Redis::start();
    let cluster = Cluster::with(|plan| plan.set("session.max_pending=77").set("requirepass=geheim"));
    let mut client = cluster.client();
    client.expect("AUTH geheim", "+OK\r\n");
    for line in ["CONFIG GET maxmemory", "CONFIG GET MAXMEMORY", "CONFIG GET nosuch", "CONFIG GET", "CONFIG GET save"] {
        assert_eq!(client.ask(line), plain.client().ask(line), "{line}");
    }
    assert_eq!(of_circlet(&mut client, "circlet.session.max_pending").as_deref(), Some("77"));
    assert_eq!(of_circlet(&mut client, "CIRCLET.SESSION.MAX_PENDING").as_deref(), Some("77"));
    client.expect("CONFIG GET circlet.nosuch", "*0\r\n");
    let names = |reply: &Value| reply.list().iter().step_by(2).map(|name| name.text()).collect::<Vec<_>>();
    let both = names(&client.value("CONFIG GET max* *.max_pending *.workers maxmemory"));
    assert!(both.contains(&"maxmemory".to_owned()) && both.contains(&"circlet.workers".to_owned()), "{both:?}");
    let everything = client.value("CONFIG GET *");
    let all = names(&everything);
    assert!(all.len() > 230 && all.iter().filter(|name| name.starts_with("circlet.")).count() > 25, "{}", all.len());
    assert!(!format!("{everything:?}").contains("geheim"), "no password is shown");
    let mut client3 = cluster.client();
    assert!(client3.ask("HELLO 3 AUTH default geheim").starts_with('%'));
    client3.expect("CONFIG GET maxmemory", "%1\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n");
    assert!(client3.ask("CONFIG GET circlet.session.*").starts_with('%'));
    assert!(client3.value("CONFIG GET *").get("circlet.session.max_pending").is_some());
}

#[test]
fn a_node_password_is_not_shown() {
    let node = Redis::with(&["--requirepass", "geheim", "--masterauth", "geheim2"]);
    let config = format!("[[nodes]]\nname = \"n1\"\naddress = \"{}\"\npassword = \"geheim\"\n", node.address());
    let circlet = crate::support::circlet::Plan::default().config(config).wait_for(1).start();
    let mut client = circlet.client();
    client.expect("CONFIG GET requirepass", "*2\r\n$11\r\nrequirepass\r\n$0\r\n\r\n");
    assert!(!client.ask("CONFIG GET *").contains("geheim"));
    let refused = client.ask("CONFIG SET requirepass x");
    assert!(refused.contains("possibly related to argument 'requirepass'") && refused.contains("logs in"), "{refused}");
    assert!(client.ask("CONFIG SET port 7").contains("each node has its own"));
}

#[test]
fn a_parameter_is_set_on_every_node_or_none() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for (node, value) in cluster.nodes.iter().zip(["1mb", "2mb", "3mb"]) {
        node.client().expect(&format!("CONFIG SET maxmemory {value}"), "+OK\r\n");
    }
    let before = of_nodes(&cluster, "maxmemory");
    // What no node takes is told as Redis tells it.
    let mut node = cluster.nodes[0].client();
    for line in [
        "CONFIG SET nosuch 1",
        "CONFIG SET maxmemory x",
        "CONFIG SET maxmemory 5mb nosuch 2",
        "CONFIG SET maxmemory 5mb databases 5",
        "CONFIG SET maxmemory 5mb maxmemory 6mb",
        "CONFIG SET maxmemory",
        "CONFIG SET maxmemory 1 a",
        "CONFIG SET max* 5",
        "CONFIG NOSUCH",
    ] {
        assert_eq!(client.ask(line), node.ask(line), "{line}");
    }
    assert_eq!(of_nodes(&cluster, "maxmemory"), before);
    // One node that refuses: all others are put back.
    cluster.nodes[1].client().expect("ACL SETUSER default -config|set", "+OK\r\n");
    let refused = client.ask("CONFIG SET maxmemory 9mb maxmemory-policy allkeys-lru");
    assert!(
        refused.starts_with("-NOPERM") && refused.contains("(node n2); the other nodes were put back"),
        "{refused}"
    );
    assert_eq!(of_nodes(&cluster, "maxmemory"), before);
    assert_eq!(of_nodes(&cluster, "maxmemory-policy"), ["noeviction"; 3]);
    cluster.nodes[1].client().expect("ACL SETUSER default +@all", "+OK\r\n");
    client.expect("CONFIG SET maxmemory 9mb maxmemory-policy allkeys-lru", "+OK\r\n");
    assert_eq!(of_nodes(&cluster, "maxmemory"), [(9 << 20).to_string(), (9 << 20).to_string(), (9 << 20).to_string()]);
    assert_eq!(of_nodes(&cluster, "maxmemory-policy"), ["allkeys-lru"; 3]);
}

#[test]
fn a_node_that_is_down_keeps_the_others_as_they_are() {
    let mut cluster = Cluster::start();
    let mut client = cluster.client();
    cluster.nodes[2].kill();
    cluster.circlet.wait_nodes_up(2);
    let refused = client.ask("CONFIG SET maxmemory 9mb");
    assert!(refused.starts_with("-NODEDOWN node n3") && refused.ends_with("; nothing was set\r\n"), "{refused}");
    assert_eq!(cluster.nodes[0].client().value("CONFIG GET maxmemory").list()[1].text(), "0");
    // Circlet's own options need no node.
    client.expect("CONFIG SET circlet.session.max_pending 12", "+OK\r\n");
}

#[test]
fn a_pipeline_sees_the_parameters_it_has_set() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let key = cluster.key_on(0, 0);
    let lines = format!(
        "CONFIG SET maxmemory 1 maxmemory-policy noeviction\r\nSET {key} v\r\nCONFIG SET maxmemory 0\r\nSET {key} v\r\n"
    );
    let replies = client.pipeline(lines.as_bytes(), 4);
    assert_eq!(replies[0], b"+OK\r\n");
    assert!(replies[1].starts_with(b"-OOM "), "{}", String::from_utf8_lossy(&replies[1]));
    assert_eq!((replies[2].as_slice(), replies[3].as_slice()), (&b"+OK\r\n"[..], &b"+OK\r\n"[..]));
}

#[test]
fn own_options_change_while_circlet_runs() {
    let cluster = Cluster::start();
    let (mut client, mut other) = (cluster.client(), cluster.client());
    client.expect("CONFIG SET circlet.session.max_sessions 3 circlet.pipe.request_timeout 700ms", "+OK\r\n");
    assert_eq!(of_circlet(&mut other, "circlet.session.max_sessions").as_deref(), Some("3"));
    assert_eq!(of_circlet(&mut other, "circlet.pipe.request_timeout").as_deref(), Some("700ms"));
    // They hold at every worker.
    let mut third = cluster.client();
    third.expect("PING", "+PONG\r\n");
    until_true("a fourth client to be refused", || {
        cluster.client().rest() == b"-ERR max number of clients reached\r\n"
    });
    client.expect("CONFIG SET circlet.session.max_sessions 100", "+OK\r\n");
    let key = cluster.key_on(1, 0);
    for asking in [&mut client, &mut other, &mut third] {
        let mut sleeper = cluster.nodes[1].client();
        sleeper.send(b"DEBUG SLEEP 3\r\n");
        until_true("the node to sleep", || asking.ask(&format!("GET {key}")).starts_with("-TIMEOUT node n2"));
        assert_eq!(sleeper.frame(), b"+OK\r\n");
        cluster.circlet.wait_nodes_up(3);
        until_true("the node to be back", || asking.ask(&format!("GET {key}")) == "$-1\r\n");
    }
}

#[test]
fn own_options_that_cannot_be_changed_say_why() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for (line, told) in [
        (
            "CONFIG SET circlet.workers 3",
            "argument 'circlet.workers') - can't set immutable config: it needs a restart",
        ),
        ("CONFIG SET circlet.requirepass x", "it needs a restart"),
        ("CONFIG SET circlet.nosuch 3", "Unknown option or number of arguments for CONFIG SET - 'circlet.nosuch'"),
        ("CONFIG SET circlet.session.max_pending 0", "session.max_pending is \"0\"; use 1 to 100000"),
        ("CONFIG SET circlet.session.soft_output 300MB", "above session.hard_output"),
        ("CONFIG SET circlet.log.filter loud", "use one of off, error, warn"),
        ("CONFIG SET circlet.session.max_pending 3 circlet.session.max_pending 4", "duplicate parameter"),
    ] {
        let refused = client.ask(line);
        assert!(refused.starts_with("-ERR ") && refused.contains(told), "{line}: {refused}");
    }
    // Node and own together: all or none, whichever of them is wrong.
    client.ask("CONFIG SET maxmemory 5mb circlet.session.max_pending 0");
    client.ask("CONFIG SET maxmemory 5mb circlet.workers 7");
    client.ask("CONFIG SET nosuch 5mb circlet.session.max_pending 33");
    assert_eq!(of_nodes(&cluster, "maxmemory"), ["0"; 3]);
    assert_eq!(of_circlet(&mut client, "circlet.session.max_pending").as_deref(), Some("1024"));
    client.expect("CONFIG SET maxmemory 5mb circlet.session.max_pending 33", "+OK\r\n");
    assert_eq!(of_nodes(&cluster, "maxmemory"), [(5 << 20).to_string(), (5 << 20).to_string(), (5 << 20).to_string()]);
    assert_eq!(of_circlet(&mut client, "circlet.session.max_pending").as_deref(), Some("33"));
}

#[test]
fn the_log_listens_to_its_filter() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("CONFIG SET circlet.log.filter debug", "+OK\r\n");
    client.send(b"*1\r\n$x\r\n");
    until_true("a line of debug", || cluster.circlet.output().contains("DEBUG"));
}

#[test]
fn statistics_begin_anew_and_files_are_the_nodes_business() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("GET k", "$-1\r\n");
    let field = |client: &mut Client, name: &str| {
        let text = client.value("INFO stats").text();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::to_owned).unwrap()
    };
    assert_eq!(
        (field(&mut client, "keyspace_misses"), field(&mut client, "total_connections_received")),
        ("1".into(), "1".into())
    );
    client.expect("CONFIG RESETSTAT", "+OK\r\n");
    assert_eq!(
        (field(&mut client, "keyspace_misses"), field(&mut client, "total_connections_received")),
        ("0".into(), "0".into())
    );
    client.expect("CONFIG REWRITE", "-ERR The server is running without a config file\r\n");
}
