//! Circlet as a Redis Cluster of one member, beside a real one, and as a plain Redis that is none.

use std::{collections::BTreeSet, net::TcpListener};

use circlet::traffic::route::slot_of;

use crate::support::{Client, Cluster, Redis, dir::Dir, port::Port, wait::until_true};

/// Everything about clusters that a client may send; `{id}` stands for the id of whom it is sent to.
const ASKED: &[&str] = &[
    "CLUSTER SLOTS",
    "CLUSTER SHARDS",
    "CLUSTER NODES",
    "CLUSTER INFO",
    "CLUSTER LINKS",
    "CLUSTER MYID",
    "CLUSTER KEYSLOT foo",
    "CLUSTER KEYSLOT a{b}c",
    "CLUSTER KEYSLOT {}{b}",
    "CLUSTER KEYSLOT",
    "CLUSTER KEYSLOT a b",
    "CLUSTER COUNTKEYSINSLOT 5",
    "CLUSTER COUNTKEYSINSLOT 16383",
    "CLUSTER COUNTKEYSINSLOT 16384",
    "CLUSTER COUNTKEYSINSLOT -1",
    "CLUSTER COUNTKEYSINSLOT x",
    "CLUSTER COUNTKEYSINSLOT",
    "CLUSTER GETKEYSINSLOT 5 1",
    "CLUSTER GETKEYSINSLOT 5 0",
    "CLUSTER GETKEYSINSLOT 5 -1",
    "CLUSTER GETKEYSINSLOT 5 x",
    "CLUSTER GETKEYSINSLOT x 5",
    "CLUSTER GETKEYSINSLOT 99999 1",
    "CLUSTER GETKEYSINSLOT 5",
    "CLUSTER REPLICAS x",
    "CLUSTER REPLICAS {id}",
    "CLUSTER SLAVES {id}",
    "CLUSTER COUNT-FAILURE-REPORTS x",
    "CLUSTER COUNT-FAILURE-REPORTS {id}",
    "CLUSTER NOSUCH",
    "CLUSTER",
    "INFO cluster",
    "CONFIG GET cluster-enabled",
    "READONLY",
    "READONLY x",
    "READWRITE",
    "ASKING",
];

/// What would change a cluster.
const CHANGING: &[&str] = &[
    "CLUSTER MEET 127.0.0.1 7000",
    "CLUSTER ADDSLOTS 1",
    "CLUSTER ADDSLOTSRANGE 1 2",
    "CLUSTER DELSLOTS 1",
    "CLUSTER DELSLOTSRANGE 1 2",
    "CLUSTER FLUSHSLOTS",
    "CLUSTER SETSLOT 1 STABLE",
    "CLUSTER FORGET x",
    "CLUSTER REPLICATE x",
    "CLUSTER FAILOVER",
    "CLUSTER FAILOVER FORCE",
    "CLUSTER RESET HARD",
    "CLUSTER BUMPEPOCH",
    "CLUSTER SET-CONFIG-EPOCH 5",
    "CLUSTER SAVECONFIG",
];

fn facade() -> Cluster {
    Cluster::with(|plan| plan.set("cluster_facade=on"))
}

/// A real cluster of one node, which knows its address; its second port is leased while it lives.
fn real() -> (Redis, Port) {
    let bus = Port::lease();
    let options = ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--cluster-port"];
    let real = Redis::with(&[&options[..], &[&bus.number().to_string()]].concat());
    real.client().expect("CLUSTER ADDSLOTSRANGE 0 16383", "+OK\r\n");
    until_true("the cluster to be up", || real.client().ask("CLUSTER INFO").contains("cluster_state:ok"));
    (real, bus)
}

fn id_of(client: &mut Client) -> String {
    client.value("CLUSTER MYID").text()
}

/// The first member of CLUSTER SLOTS: host and port.
fn told(client: &mut Client) -> (String, i64) {
    let slots = client.value("CLUSTER SLOTS");
    let member = slots.list()[0].list()[2].list();
    (member[0].text(), member[1].number())
}

#[test]
fn without_the_option_it_is_a_plain_redis() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let (mut expected, mut got) = (plain.client(), cluster.client());
    for line in ASKED.iter().chain(CHANGING).chain(&["CLUSTER HELP"]) {
        assert_eq!(got.ask(line), expected.ask(line), "{line}");
    }
    got.expect("CLUSTER MYSHARDID", "-ERR This instance has cluster support disabled\r\n");
    got.expect("CLUSTER SLOT-STATS SLOTSRANGE 0 1", "-ERR This instance has cluster support disabled\r\n");
    assert_eq!(got.value("HELLO").get("mode").unwrap().text(), "standalone");
    assert!(got.value("INFO server").text().contains("redis_mode:standalone\r\n"));
}

#[test]
fn it_answers_byte_by_byte_as_a_real_cluster_of_one_node() {
    let (real, _bus) = real();
    let cluster = facade();
    for greeting in ["HELLO 2", "HELLO 3"] {
        let (mut expected, mut got) = (real.client(), cluster.client());
        let (real_id, own_id) = (id_of(&mut expected), id_of(&mut got));
        assert!(
            own_id.len() == 40 && own_id.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
        );
        // Who, where, and since which epoch; a node's line in NODES is looked at below.
        let alike = |reply: String, id: &str, port: u16| {
            let reply = reply.replace(id, "ID").replace(&format!(":{port}\r\n"), ":PORT\r\n");
            reply.replace("epoch:1\r\n", "epoch:0\r\n")
        };
        expected.ask(greeting);
        got.ask(greeting);
        for line in ASKED.iter().filter(|line| **line != "CLUSTER NODES") {
            let redis = alike(expected.ask(&line.replace("{id}", &real_id)), &real_id, real.port());
            let circlet = alike(got.ask(&line.replace("{id}", &own_id)), &own_id, cluster.circlet.port());
            assert_eq!(circlet, redis, "{line}");
        }
        let line = |text: String| {
            let kind = text.chars().next();
            let fields: Vec<String> = text.split(' ').skip(1).map(str::to_owned).collect();
            (kind, fields[0].split(['@', ':']).next().unwrap().to_owned(), fields[1..5].to_vec(), fields[6..].to_vec())
        };
        assert_eq!(line(got.ask("CLUSTER NODES")), line(expected.ask("CLUSTER NODES")));
        let (port, bus) = (cluster.circlet.port(), u32::from(cluster.circlet.port()) + 10_000);
        let nodes = format!("{own_id} 127.0.0.1:{port}@{bus} myself,master - 0 0 1 connected 0-16383\n");
        assert_eq!(got.value("CLUSTER NODES").text().trim_start_matches("txt:"), nodes);
    }
}

#[test]
fn it_says_cluster_wherever_it_is_asked() {
    let cluster = facade();
    let mut client = cluster.client();
    for greeting in ["HELLO", "HELLO 3"] {
        assert_eq!(client.value(greeting).get("mode").unwrap().text(), "cluster");
    }
    for info in ["INFO", "INFO everything", "INFO server cluster"] {
        let text = client.value(info).text();
        assert!(text.contains("redis_mode:cluster\r\n") && text.contains("cluster_enabled:1\r\n"), "{text}");
    }
    assert!(client.value("INFO n1").text().contains("cluster_enabled:0\r\n"), "a node is asked about itself");
    assert_eq!(client.value("CONFIG GET cluster-en*").get("cluster-enabled").unwrap().text(), "yes");
}

#[test]
fn its_help_is_that_of_redis_without_what_changes_a_cluster() {
    let (real, _bus) = real();
    let cluster = facade();
    let lines =
        |client: &mut Client| client.value("CLUSTER HELP").list().iter().map(|line| line.text()).collect::<Vec<_>>();
    let (redis, circlet) = (lines(&mut real.client()), lines(&mut cluster.client()));
    let newer = ["MYSHARDID", "    Return the node's shard id."];
    for line in circlet.iter().filter(|line| !newer.contains(&line.as_str())) {
        assert!(redis.contains(line), "{line}");
    }
    let (first, last) = (circlet.first(), circlet.last());
    assert_eq!((first, last), (redis.first(), redis.last()));
    assert!(!circlet.iter().any(|line| line.starts_with("MEET")));
}

#[test]
fn what_would_change_it_is_refused_with_the_cure() {
    let cluster = facade();
    let mut client = cluster.client();
    for line in CHANGING {
        let name = line.split(' ').take(2).collect::<Vec<_>>().join("|").to_lowercase();
        let reply = client.ask(line);
        let told = reply.starts_with(&format!("-ERR '{name}' is refused")) && reply.contains("Circlet's configuration");
        assert!(told, "{line}: {reply}");
    }
    let reply = client.ask("CLUSTER SLOT-STATS SLOTSRANGE 0 1");
    assert!(reply.starts_with("-ERR 'cluster|slot-stats' is refused") && reply.contains("COUNTKEYSINSLOT"), "{reply}");
    client.expect("PING", "+PONG\r\n");
    for node in &cluster.nodes {
        assert!(node.client().value("INFO replication").text().contains("role:master"));
    }
}

#[test]
fn in_a_transaction_they_are_queued_and_answered_by_exec() {
    let (real, _bus) = real();
    let facade = facade();
    for client in [&mut real.client(), &mut facade.client()] {
        client.expect("MULTI", "+OK\r\n");
        let lines =
            ["CLUSTER KEYSLOT foo", "READONLY", "SET k v", "ASKING", "CLUSTER COUNTKEYSINSLOT 7629", "READWRITE"];
        for line in lines {
            client.expect(line, "+QUEUED\r\n");
        }
        client.expect("EXEC", "*6\r\n:12182\r\n+OK\r\n+OK\r\n+OK\r\n:1\r\n+OK\r\n");
        client.expect("MULTI", "+OK\r\n");
        client.expect("CLUSTER REPLICATE x", "+QUEUED\r\n");
        assert!(client.ask("EXEC").starts_with("*1\r\n-ERR "));
        client.expect("MULTI", "+OK\r\n");
        assert!(client.ask("CLUSTER NOSUCH").starts_with("-ERR unknown subcommand"));
        client.expect("EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    }
    let (plain, cluster) = (Redis::start(), Cluster::start());
    for client in [&mut plain.client(), &mut cluster.client()] {
        client.expect("MULTI", "+OK\r\n");
        client.expect("CLUSTER MEET 127.0.0.1 1", "+QUEUED\r\n");
        client.expect("READONLY", "+QUEUED\r\n");
        let disabled = "-ERR This instance has cluster support disabled\r\n";
        client.expect("EXEC", &format!("*2\r\n{disabled}{disabled}"));
    }
}

#[test]
fn readonly_shows_in_the_list_of_clients_until_it_is_taken_back() {
    let (real, _bus) = real();
    let cluster = facade();
    for client in [&mut real.client(), &mut cluster.client()] {
        let mut flags = |line: &str| {
            client.ask(line);
            let info = client.value("CLIENT INFO").text();
            info.split(' ').find_map(|field| field.strip_prefix("flags=")).unwrap().to_owned()
        };
        assert_eq!(["READONLY", "ASKING", "READWRITE", "READONLY", "RESET"].map(&mut flags), ["r", "r", "N", "r", "N"]);
    }
}

#[test]
fn its_id_and_announced_address_stay_and_keys_may_lie_anywhere() {
    let mut cluster = Cluster::with(|plan| plan.set("cluster_facade=redis.example:7777"));
    let mut client = cluster.client();
    let id = id_of(&mut client);
    assert_eq!(told(&mut client), ("redis.example".to_owned(), 7777));
    assert!(client.value("CLUSTER NODES").text().starts_with(&format!("{id} redis.example:7777@17777 myself,master ")));
    // Keys of several slots and nodes are still split, databases are still there.
    client.expect("MSET a 1 b 2 c 3", "+OK\r\n");
    client.expect("MGET a b c", "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n");
    client.expect("SELECT 3", "+OK\r\n");
    drop(client);
    cluster.circlet.restart();
    assert_eq!(id_of(&mut cluster.client()), id);
}

#[test]
fn each_client_is_told_the_address_that_it_came_to() {
    let six = TcpListener::bind("[::1]:0").is_ok();
    let (dir, any, any6) = (Dir::new(), Port::lease(), Port::lease());
    let path = format!("unix:{}", dir.file("c.sock").display());
    let listen = |plan: crate::support::circlet::Plan, address: &str| plan.argument("--listen").argument(address);
    let cluster = Cluster::with(|plan| {
        let plan = plan.set("cluster_facade=on");
        let plan = listen(listen(plan, &path), &format!("0.0.0.0:{}", any.number()));
        if six { listen(plan, &format!("[::]:{}", any6.number())) } else { plan }
    });
    let at = |host: &str, port: &Port| (host.to_owned(), i64::from(port.number()));
    for host in ["127.0.0.1", "127.0.0.2"] {
        let mut client = Client::connect(&format!("{host}:{}", any.number()));
        assert_eq!(told(&mut client), at(host, &any), "not the address that Circlet listens on");
    }
    if six {
        let (mut client, port) = (Client::connect(&format!("[::1]:{}", any6.number())), any6.number());
        assert_eq!(told(&mut client), at("::1", &any6));
        let line = client.value("CLUSTER NODES").text();
        assert!(line.contains(&format!(" ::1:{port}@{} myself", u32::from(port) + 10_000)), "{line}");
    } else {
        eprintln!("this machine has no IPv6");
    }
    let mut near = Client::connect(&path);
    for line in ["CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES"] {
        let reply = near.ask(line);
        assert!(reply.starts_with("-ERR Circlet does not know") && reply.contains("cluster_facade"), "{reply}");
    }
    near.expect("CLUSTER KEYSLOT foo", ":12182\r\n");
    near.expect("CONFIG SET circlet.cluster_facade [fd00::1]:7000", "+OK\r\n");
    until_true("all workers to know", || told(&mut cluster.client()) == ("fd00::1".to_owned(), 7000));
    assert_eq!(told(&mut near), ("fd00::1".to_owned(), 7000));
}

#[test]
fn it_is_switched_while_it_runs() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("CONFIG SET circlet.cluster_facade on", "+OK\r\n");
    client.expect("READONLY", "+OK\r\n");
    until_true("all workers to know", || cluster.client().ask("READONLY").starts_with('+'));
    let reply = client.ask("CONFIG SET circlet.cluster_facade maybe");
    assert!(reply.contains("where clients reach Circlet"), "{reply}");
    client.expect("CONFIG SET circlet.cluster_facade off", "+OK\r\n");
    client.expect("READONLY", "-ERR This instance has cluster support disabled\r\n");
}

#[test]
fn its_state_is_that_of_the_nodes_together() {
    let mut cluster = Cluster::with(|plan| plan.set("cluster_facade=on").set("pipe.backoff_max=100ms"));
    let mut client = cluster.client();
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    cluster.circlet.wait_nodes_up(1);
    assert!(client.value("CLUSTER INFO").text().contains("cluster_state:ok\r\n"), "one node answers for its keys");
    let reply = client.ask("CLUSTER COUNTKEYSINSLOT 1");
    assert!(reply.starts_with("-NODEDOWN node n"), "a count without the others would be wrong: {reply}");
    cluster.nodes[2].kill();
    until_true("the state to fail", || client.value("CLUSTER INFO").text().contains("cluster_state:fail\r\n"));
    assert!(client.value("CLUSTER INFO").text().contains("cluster_slots_fail:16384\r\n"));
    cluster.nodes[2].start_again();
    until_true("the state to be well", || client.value("CLUSTER INFO").text().contains("cluster_state:ok\r\n"));
}

#[test]
fn keys_of_a_slot_are_found_on_all_nodes() {
    let cluster = facade();
    let mut client = cluster.client();
    let slot = client.value("CLUSTER KEYSLOT {x}").number();
    // Those of one tag lie on one node, and some of the others are of the same slot.
    let mut keys: Vec<String> = (0..120).map(|number| format!("{{x}}:{number}")).collect();
    keys.extend(
        (0..).map(|number| format!("other:{number}")).filter(|key| i64::from(slot_of(key.as_bytes())) == slot).take(8),
    );
    let mine: BTreeSet<String> = keys.iter().cloned().collect();
    keys.extend(
        (0..3_000).map(|number| format!("many:{number}")).filter(|key| i64::from(slot_of(key.as_bytes())) != slot),
    );
    for chunk in keys.chunks(500) {
        let words: Vec<&str> = ["MSET"].into_iter().chain(chunk.iter().flat_map(|key| [key.as_str(), "v"])).collect();
        assert_eq!(client.call(&words), b"+OK\r\n");
    }
    client.expect(&format!("CLUSTER COUNTKEYSINSLOT {slot}"), &format!(":{}\r\n", mine.len()));
    let found = client.value(&format!("CLUSTER GETKEYSINSLOT {slot} 1000"));
    assert_eq!(found.list().iter().map(|key| key.text()).collect::<BTreeSet<_>>(), mine);
    let seven = client.value(&format!("CLUSTER GETKEYSINSLOT {slot} 7"));
    assert_eq!(seven.list().len(), 7);
    assert!(seven.list().iter().all(|key| mine.contains(&key.text())));
}
