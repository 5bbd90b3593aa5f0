//! All pools of a twemproxy file in one Circlet: each with its own ring, beside a real nutcracker over the same nodes; and what
//! they have in common.

use std::{os::unix::fs::PermissionsExt, process::Command};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    support::{
        Client, Redis,
        circlet::{BINARY, Circlet, Plan},
        dir::Dir,
        http,
        nutcracker::Nutcracker,
        port::Port,
        resp,
        wait::{LONG, until_true},
    },
    twemproxy::{keys, pool, read, write},
};

/// Where pools listen, and the file that says so.
struct File {
    ports: Vec<Port>,
    dir: Dir,
}

impl File {
    fn new(pools: usize) -> Self {
        Self { ports: (0..pools).map(|_| Port::lease()).collect(), dir: Dir::new() }
    }

    fn address(&self, pool: usize) -> String {
        format!("127.0.0.1:{}", self.ports[pool].number())
    }

    fn client(&self, pool: usize) -> Client {
        Client::connect(&self.address(pool))
    }

    /// A file with these pools: name, more directives, servers.
    fn text(&self, pools: &[(&str, &str, Vec<String>)]) -> String {
        let texts = pools.iter().enumerate();
        texts.map(|(index, (name, more, servers))| pool(name, &self.address(index), more, servers)).collect()
    }

    fn serve(&self, text: &str, nodes: usize) -> Circlet {
        let path = self.dir.write("nutcracker.yml", text).display().to_string();
        Plan::default().listening_by_its_file().wait_for(nodes).argument("--twemproxy-config").argument(path).start()
    }
}

fn plain(nodes: &[Redis]) -> Vec<String> {
    nodes.iter().map(|node| format!("{}:1", node.address())).collect()
}

fn named(nodes: &[Redis]) -> Vec<String> {
    let names = ["zz:3", "b:1", "long-name:2"].map(|text| text.split_once(':').unwrap());
    let server = |(node, (name, weight)): (&Redis, (&str, &str))| format!("{}:{weight} {name}", node.address());
    nodes.iter().zip(names).map(server).collect()
}

/// `path` of the admin address as JSON.
fn json(circlet: &Circlet, path: &str) -> Value {
    let (status, text) = http::get(&circlet.admin(), path).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn every_pool_has_its_keys_where_nutcracker_has_them() {
    let Some(program) = Nutcracker::program() else { return };
    let nodes: Vec<Vec<Redis>> = (0..3).map(|_| Redis::several(3)).collect();
    let (old, new) = (File::new(3), File::new(3));
    let pools = [
        ("sessions", "  hash: murmur\n  hash_tag: \"{}\"\n", named(&nodes[0])),
        ("carts", "  hash: hsieh\n  distribution: modula\n  hash_tag: \"$$\"\n", plain(&nodes[1])),
        ("pages", "  hash: one_at_a_time\n  redis_db: 2\n", named(&nodes[2])),
    ];
    let memcached = format!("old:\n  listen: 127.0.0.1:{}\n  servers:\n   - 127.0.0.1:1:1\n", Port::lease().number());
    let addresses: Vec<String> = (0..3).map(|pool| old.address(pool)).collect();
    let _nutcracker = Nutcracker::start(&program, &old.text(&pools), &addresses);
    let circlet = new.serve(&(memcached + &new.text(&pools)), 9);
    let keys = keys();
    for (pool, (name, ..)) in pools.iter().enumerate() {
        let (mut through_old, mut through_new) = (old.client(pool), new.client(pool));
        write(&mut through_old, &keys, name);
        read(&mut through_new, &keys, name, name);
        assert_eq!(through_new.value("DBSIZE").number(), keys.len() as i64, "{name}");
    }
    for (pool, (name, ..)) in pools.iter().enumerate() {
        let (mut through_old, mut through_new) = (old.client(pool), new.client(pool));
        read(&mut through_new, &keys, name, "the other pools wrote elsewhere");
        let who = format!("circlet {name}");
        write(&mut through_new, &keys, &who);
        read(&mut through_old, &keys, &who, name);
        assert_eq!(through_new.value("DBSIZE").number(), keys.len() as i64, "{name}: a key lies twice");
        // CIRCLET tells of the pool whose client asks.
        let told = through_new.ask("CIRCLET NODES");
        assert!(nodes.iter().enumerate().all(|(other, nodes)| told.contains(&nodes[0].address()) == (other == pool)));
    }
    let log = circlet.output();
    assert!(log.contains("pool old is not served: it speaks memcached"), "{log}");
    assert!(log.contains("pool{name=carts}"), "{log}");
}

#[test]
fn pools_follow_another_file_each_by_itself() {
    let nodes: Vec<Vec<Redis>> = (0..2).map(|_| Redis::several(1)).collect();
    let file = File::new(2);
    let pools = |more: &'static str| [("one", "", plain(&nodes[0])), ("two", more, plain(&nodes[1]))];
    let mut circlet = file.serve(&file.text(&pools("")), 2);
    let mut clients = [file.client(0), file.client(1)];
    file.dir.write("nutcracker.yml", &file.text(&pools("  client_connections: 500\n")));
    circlet.signal(Signal::HUP);
    let done = "changed: pool two: session.max_sessions = 500";
    until_true(done, || circlet.output().contains(done));
    let limits = clients.each_mut().map(|client| client.ask("CONFIG GET circlet.session.max_sessions"));
    assert!(limits[0].contains("\r\n10000\r\n") && limits[1].contains("\r\n500\r\n"), "{limits:?}");
    // Which pools there are is settled at the start.
    file.dir.write(
        "nutcracker.yml",
        &file.text(&pools("  client_connections: 500\n").map(|(name, more, servers)| match name {
            "one" => ("first", more, servers),
            _ => (name, more, servers),
        })),
    );
    circlet.signal(Signal::HUP);
    let done = "need a restart: pool first is new, pool one is not there any more";
    until_true(done, || circlet.output().contains(done));
    clients.iter_mut().for_each(|client| client.expect("PING", "+PONG\r\n"));
}

#[test]
fn pools_have_their_own_numbers_and_documents() {
    let nodes: Vec<Vec<Redis>> = (0..2).map(|_| Redis::several(2)).collect();
    let file = File::new(2);
    let circlet =
        file.serve(&file.text(&[("one", "", plain(&nodes[0])), ("two", "  hash: md5\n", plain(&nodes[1]))]), 4);
    let mut client = file.client(1);
    (0..7).for_each(|number| client.expect(&format!("SET k{number} v"), "+OK\r\n"));
    let calls = |pool: &str| circlet.metric(&format!("circlet_command_calls_total{{command=\"set\",pool=\"{pool}\"}}"));
    until_true("the calls to be counted", || calls("two") == Some(7.0));
    assert_eq!(calls("one"), None);
    assert_eq!(circlet.metric("circlet_sessions{pool=\"one\"}"), Some(0.0));
    assert_eq!(circlet.metric("circlet_sessions{pool=\"two\"}"), Some(1.0));
    assert!(circlet.metric("circlet_worker_cpu_seconds_total{worker=\"1\",pool=\"two\"}").is_some());
    assert_eq!(circlet.metric("process_threads").is_some(), cfg!(target_os = "linux"));

    assert_eq!(json(&circlet, "/api/ring")["hash"], "fnv1a_64");
    assert_eq!(json(&circlet, "/api/ring?pool=two")["hash"], "md5");
    let status = json(&circlet, "/api/status?pool=two");
    assert_eq!((&status["pool"], &status["pools"]), (&"two".into(), &serde_json::json!(["one", "two"])));
    assert_eq!(status["listen"], serde_json::json!([file.address(1)]));
    assert_eq!(json(&circlet, "/api/status")["pool"], "one");
    let (code, text) = http::get(&circlet.admin(), "/api/nodes?pool=twoo").unwrap();
    assert_eq!((code, text.as_str()), (404, "there is no pool twoo; did you mean two?\n"));
    client.expect("CONFIG SET circlet.session.max_pending 77", "+OK\r\n");
    assert_eq!(client.value("CONFIG GET circlet.session.max_pending").list()[1].text(), "77");
    assert_eq!(file.client(0).value("CONFIG GET circlet.session.max_pending").list()[1].text(), "1024");
}

#[test]
fn the_page_shows_the_pool_that_is_chosen() {
    let nodes = Redis::several(2);
    let file = File::new(2);
    let server = |index: usize, name: &str| vec![format!("{}:1 {name}-node", nodes[index].address())];
    let circlet = file.serve(&file.text(&[("one", "", server(0, "one")), ("two", "", server(1, "two"))]), 2);
    crate::page::open(&circlet, "pools", &[]).finish();
}

#[test]
fn a_pool_whose_nodes_are_down_does_not_touch_the_other() {
    let (up, mut down) = (Redis::several(2), Redis::several(2));
    let file = File::new(2);
    let circlet = file.serve(&file.text(&[("up", "", plain(&up)), ("down", "", plain(&down))]), 4);
    let ready = |path: &str| http::get(&circlet.admin(), path).unwrap();
    assert_eq!(ready("/readyz"), (200, "ready, 4 of 4 nodes up in 2 pools\n".to_owned()));
    let mut lost = file.client(1);
    lost.expect("SET k v", "+OK\r\n");
    down.iter_mut().for_each(Redis::kill);
    until_true("the pool to be down", || lost.ask("SET k v").starts_with("-NODEDOWN"));
    until_true("the pool to be unready", || ready("/readyz") == (503, "pool down: none of 2 nodes is up\n".to_owned()));
    assert_eq!(ready("/readyz?pool=up"), (200, "ready, 2 of 2 nodes up\n".to_owned()));
    assert_eq!(ready("/readyz?pool=down").0, 503);
    assert_eq!(ready("/healthz").0, 200);
    let (mut client, keys) = (file.client(0), keys());
    write(&mut client, &keys, "x");
    read(&mut client, &keys, "x", "beside a pool that is down");
}

#[test]
fn unix_sockets_on_both_sides_have_the_permissions_of_the_file() {
    let (file, sockets) = (File::new(1), Dir::new());
    let (near, far) = (sockets.file("pool.sock"), sockets.file("node.sock"));
    let nodes = [Redis::with(&["--unixsocket", &far.display().to_string()]), Redis::start()];
    let unix = pool("local", &format!("{} 0600", near.display()), "", &[format!("{}:1 shard", far.display())]);
    let circlet = file.serve(&(file.text(&[("tcp", "", plain(&nodes[1..]))]) + &unix), 2);
    Client::connect(&format!("unix:{}", near.display())).expect("SET k v", "+OK\r\n");
    nodes[0].client().expect("GET k", "$1\r\nv\r\n");
    assert_eq!(file.client(0).value("DBSIZE").number(), 0);
    let mode = std::fs::metadata(&near).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    drop(circlet);
    assert!(!near.exists(), "the socket file is removed");
}

#[test]
fn a_signal_drains_every_pool() {
    let nodes: Vec<Vec<Redis>> = (0..2).map(|_| Redis::several(1)).collect();
    let file = File::new(2);
    let mut circlet = file.serve(&file.text(&[("one", "", plain(&nodes[0])), ("two", "", plain(&nodes[1]))]), 2);
    let script = "local t=redis.call('TIME') local e=t[1]*1000000+t[2]+700000 \
                  repeat t=redis.call('TIME') until t[1]*1000000+t[2]>=e return 'slow'";
    let mut bytes = Vec::new();
    resp::request(&mut bytes, &["EVAL", script, "1", "k"]);
    let mut clients = [file.client(0), file.client(1)];
    for (client, pool) in clients.iter_mut().zip(["one", "two"]) {
        client.send(&bytes);
        let node = nodes[usize::from(pool == "two")][0].address();
        let metric = format!("circlet_node_in_flight{{node=\"{node}\",pool=\"{pool}\"}}");
        until_true("the request to be in flight", || circlet.metric(&metric).is_some_and(|count| count > 0.0));
    }
    circlet.signal(Signal::TERM);
    for (pool, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.frame(), b"$4\r\nslow\r\n");
        assert_eq!(client.rest(), b"");
        assert!(Client::try_connect(&file.address(pool), LONG).is_err());
    }
    assert_eq!(circlet.exit_code(LONG), 0);
    assert!(circlet.output().contains("stopped: every request was answered"), "{}", circlet.output());
}

#[test]
fn every_taken_port_is_told_with_its_pool() {
    let file = File::new(3);
    let taken = [0, 2].map(|pool| std::net::TcpListener::bind(file.address(pool)).unwrap());
    let server = || vec!["127.0.0.1:1:1".to_owned()];
    let text = file.text(&[("one", "", server()), ("two", "", server()), ("three", "", server())]);
    let path = file.dir.write("nutcracker.yml", &text);
    let output =
        Command::new(BINARY).args(["serve", "--admin", "off", "--twemproxy-config"]).arg(path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for (name, pool) in [("one", 0), ("three", 2)] {
        let start = format!("circlet: pool {name}: listen: cannot listen on {}: it is taken", file.address(pool));
        assert!(said.contains(&start), "{start} in {said}");
    }
    assert!(!said.contains("pool two: listen"), "{said}");
    drop(taken);
}
