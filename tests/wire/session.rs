//! What belongs to one connection: protocol, name, db, password.

use crate::support::{Cluster, Redis, circlet::Plan, resp::Value, wait::until_true};

#[test]
fn hello_tells_what_redis_tells() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let version = |value: Value| value.get("version").unwrap().text();
    // The nodes are asked in the background; before that, an old version is told.
    until_true("the nodes' version to be known", || {
        version(cluster.client().value("HELLO")) == version(plain.client().value("HELLO"))
    });
    for line in ["HELLO", "HELLO 2", "HELLO 3", "HELLO 3 SETNAME me", "HELLO 2 SETNAME me"] {
        let (expected, got) = (plain.client().value(line), cluster.client().value(line));
        let without_id = |value: &Value| {
            value
                .list()
                .chunks(2)
                .filter(|pair| pair[0].text() != "id")
                .map(|pair| (pair[0].clone(), pair[1].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(without_id(&got), without_id(&expected), "{line}");
    }
    for line in [
        "HELLO 1",
        "HELLO 4",
        "HELLO x",
        "HELLO 3 x",
        "HELLO 3 AUTH",
        "HELLO 3 AUTH default",
        "HELLO 3 SETNAME",
        "HELLO 3 AUTH nobody x",
        "HELLO 3 SETNAME a\nb",
    ] {
        let (expected, got) = (plain.client().ask(line), cluster.client().ask(line));
        assert_eq!(got, expected, "{line}");
    }
}

#[test]
fn the_protocol_may_be_changed_at_any_time() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("HSET h f v", ":1\r\n");
    client.expect("GET none", "$-1\r\n");
    client.expect("HGETALL h", "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    assert!(client.ask("HELLO 3").starts_with("%7\r\n"));
    client.expect("GET none", "_\r\n");
    client.expect("HGETALL h", "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    client.expect("MGET none h2", "*2\r\n_\r\n_\r\n");
    client.expect("CONFIG GET maxmemory", "%1\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n");
    assert!(client.ask("HELLO 2").starts_with("*14\r\n"));
    client.expect("HGETALL h", "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    // In one pipeline: the protocol of each request counts, not that of the moment when its reply comes.
    client.send(b"HGETALL h\r\nHELLO 3\r\nHGETALL h\r\nHELLO 2\r\nHGETALL h\r\n");
    let kinds: Vec<u8> = (0..5).map(|_| client.frame()[0]).collect();
    assert_eq!(kinds, b"*%%**");
}

#[test]
fn a_name_is_kept_until_reset() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("CLIENT GETNAME", "$-1\r\n");
    client.expect("CLIENT SETNAME me", "+OK\r\n");
    client.expect("CLIENT GETNAME", "$2\r\nme\r\n");
    client.expect("CLIENT SETINFO LIB-NAME lib", "+OK\r\n");
    client.expect("CLIENT SETINFO lib-ver 1.2", "+OK\r\n");
    let info = client.value("CLIENT INFO").text();
    for part in ["name=me ", "lib-name=lib", "lib-ver=1.2", "cmd=client|info", "db=0"] {
        assert!(info.contains(part), "{part} in {info}");
    }
    client.expect("RESET", "+RESET\r\n");
    client.expect("CLIENT GETNAME", "$-1\r\n");
}

#[test]
fn clients_see_and_end_each_other_on_all_workers() {
    let cluster = Cluster::start();
    let mut clients: Vec<_> = (0..8).map(|_| cluster.client()).collect();
    let ids: Vec<i64> = clients.iter_mut().map(|client| client.value("CLIENT ID").number()).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 8, "{ids:?}");
    clients[3].expect("CLIENT SETNAME third", "+OK\r\n");
    let list = clients[0].value("CLIENT LIST").text();
    assert_eq!(list.lines().count(), 8, "{list}");
    assert!(list.contains("name=third "), "{list}");
    assert!(list.lines().all(|line| line.starts_with("id=") && line.contains(" addr=127.0.0.1:")), "{list}");
    let two = clients[0].value(&format!("CLIENT LIST ID {} {}", ids[5], ids[6])).text();
    assert_eq!(two.lines().count(), 2, "{two}");

    clients[0].expect(&format!("CLIENT KILL ID {}", ids[7]), ":1\r\n");
    assert_eq!(clients[7].rest(), b"");
    let address = clients[6].local_address();
    clients[0].expect(&format!("CLIENT KILL {address}"), "+OK\r\n");
    assert_eq!(clients[6].rest(), b"");
    clients[0].expect(&format!("CLIENT KILL {address}"), "-ERR No such client\r\n");
    clients[0].expect("CLIENT KILL ID 999999", ":0\r\n");
    // Whoever ends itself still gets the answer.
    let me = clients[5].local_address();
    clients[5].expect(&format!("CLIENT KILL ADDR {me} SKIPME no"), ":1\r\n");
    assert_eq!(clients[5].rest(), b"");
    clients[0].expect("CLIENT KILL TYPE normal", ":4\r\n");
    until_true("one client to be left", || clients[0].value("CLIENT LIST").text().lines().count() == 1);
}

#[test]
fn replies_can_be_switched_off() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client
        .send(b"CLIENT REPLY OFF\r\nSET k 1\r\nINCR k\r\nMGET k a b\r\nPING\r\nnosuch\r\nCLIENT REPLY ON\r\nGET k\r\n");
    assert_eq!(client.frame(), b"+OK\r\n");
    assert_eq!(client.frame(), b"$1\r\n2\r\n");
    client.send(b"CLIENT REPLY SKIP\r\nINCR k\r\nGET k\r\nCLIENT REPLY SKIP\r\nPING\r\nECHO x\r\n");
    assert_eq!(client.frame(), b"$1\r\n3\r\n");
    assert_eq!(client.frame(), b"$1\r\nx\r\n");
}

#[test]
fn quit_and_reset_do_as_in_redis() {
    let cluster = Cluster::start();
    let mut client = cluster.client3();
    client.expect("SELECT 3", "+OK\r\n");
    client.expect("RESET", "+RESET\r\n");
    client.expect("GET none", "$-1\r\n");
    assert!(client.value("CLIENT INFO").text().contains(" db=0 "));
    client.send(b"PING\r\nQUIT\r\nPING\r\n");
    assert_eq!(String::from_utf8_lossy(&client.rest()), "+PONG\r\n+OK\r\n");
}

#[test]
fn each_db_is_a_key_space_of_its_own() {
    let cluster = Cluster::start();
    let mut one = cluster.client();
    let mut two = cluster.client();
    two.expect("SELECT 1", "+OK\r\n");
    for number in 0..30 {
        one.expect(&format!("SET k{number} zero"), "+OK\r\n");
        two.expect(&format!("SET k{number} one"), "+OK\r\n");
    }
    for number in 0..30 {
        one.expect(&format!("GET k{number}"), "$4\r\nzero\r\n");
        two.expect(&format!("GET k{number}"), "$3\r\none\r\n");
    }
    one.expect("DBSIZE", ":30\r\n");
    two.expect("FLUSHDB", "+OK\r\n");
    two.expect("DBSIZE", ":0\r\n");
    one.expect("DBSIZE", ":30\r\n");
    // Within one pipeline, and back.
    one.send(b"SELECT 2\r\nSET p x\r\nSELECT 0\r\nGET p\r\nSELECT 2\r\nGET p\r\n");
    let replies: Vec<String> = (0..6).map(|_| String::from_utf8(one.frame()).unwrap()).collect();
    assert_eq!(replies.concat(), "+OK\r\n+OK\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\nx\r\n");
    let plain = Redis::start();
    for line in ["SELECT 15", "SELECT 16", "SELECT -1", "SELECT x", "SELECT 99999999999", "SELECT 1 2", "SELECT 01"] {
        let (expected, got) = (plain.client().ask(line), cluster.client().ask(line));
        assert_eq!(got, expected, "{line}");
    }
}

#[test]
fn the_number_of_dbs_is_that_of_the_nodes() {
    let nodes = [Redis::with(&["--databases", "4"]), Redis::with(&["--databases", "20"])];
    let circlet = nodes
        .iter()
        .enumerate()
        .fold(Plan::default(), |plan, (at, node)| plan.node(format!("n{at}={}", node.address())))
        .start();
    let mut client = circlet.client();
    until_true("the nodes to be asked", || client.ask("SELECT 4").starts_with("-ERR DB index is out of range"));
    client.expect("SELECT 3", "+OK\r\n");
}

#[test]
fn a_password_is_asked_for() {
    let cluster = Cluster::with(|plan| plan.set("requirepass=s3cret"));
    let mut client = cluster.client();
    client.expect("GET k", "-NOAUTH Authentication required.\r\n");
    client.expect("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    client.expect("AUTH default s3cret", "+OK\r\n");
    client.expect("SET k v", "+OK\r\n");
    client.expect("RESET", "+RESET\r\n");
    client.expect("GET k", "-NOAUTH Authentication required.\r\n");
    client.expect("AUTH s3cret", "+OK\r\n");
    client.expect("GET k", "$1\r\nv\r\n");
    let mut other = cluster.client();
    assert!(other.ask("HELLO 3 AUTH default s3cret SETNAME n").starts_with('%'));
    other.expect("CLIENT GETNAME", "$1\r\nn\r\n");
    other.expect("ACL WHOAMI", "$7\r\ndefault\r\n");
}

#[test]
fn without_a_password_auth_says_what_redis_says() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    for line in ["AUTH x", "AUTH default x", "AUTH nobody x", "AUTH"] {
        let (expected, got) = (plain.client().ask(line), cluster.client().ask(line));
        assert_eq!(got, expected, "{line}");
    }
}

#[test]
fn one_client_too_many_is_told_so() {
    let cluster = Cluster::with(|plan| plan.set("session.max_sessions=3"));
    let mut clients: Vec<_> = (0..3).map(|_| cluster.client()).collect();
    for client in &mut clients {
        client.expect("PING", "+PONG\r\n");
    }
    assert_eq!(cluster.client().rest(), b"-ERR max number of clients reached\r\n");
    drop(clients.pop());
    until_true("a place to be free", || {
        let mut client = cluster.client();
        client.try_send(b"PING\r\n").is_ok()
            && client.try_frame(crate::support::wait::LONG).is_ok_and(|reply| reply == b"+PONG\r\n")
    });
}

#[test]
fn an_idle_client_is_disconnected_if_wanted() {
    let cluster = Cluster::with(|plan| plan.set("session.idle_timeout=1s"));
    let mut idle = cluster.client();
    idle.expect("PING", "+PONG\r\n");
    assert_eq!(idle.rest(), b"");
}
