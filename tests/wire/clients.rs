//! CLIENT over two workers: lists, kills, pauses, and replies switched off.

use crate::support::{Client, Cluster, Redis, resp, seed, wait::until_true};

/// A field of a line of CLIENT LIST.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let found = line.split(' ').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {line}"))
}

fn id(client: &mut Client) -> String {
    client.value("CLIENT ID").number().to_string()
}

/// The ids that CLIENT LIST with these filters shows, as sorted text.
fn listed(client: &mut Client, filters: &str) -> Vec<String> {
    let list = client.value(format!("CLIENT LIST {filters}").trim_end()).text();
    let mut ids: Vec<String> = list.lines().map(|line| field(line, "id").to_owned()).collect();
    assert!(ids.is_sorted_by_key(|id| id.parse::<u64>().unwrap()), "{list}");
    ids.sort();
    ids
}

#[test]
fn a_line_has_the_fields_of_redis_with_real_values() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut clients: Vec<Client> = (0..4).map(|_| cluster.client()).collect();
    clients[1].expect("CLIENT SETNAME the-name", "+OK\r\n");
    clients[1].expect("SELECT 3", "+OK\r\n");
    clients[1].ask("GET k");
    clients[2].send(b"*2\r\n$4\r\nECHO\r\n$100\r\nhalf of a request");
    let address = clients[1].local_address();
    let mut line = String::new();
    until_true("the unfinished request to be read", || {
        let list = clients[0].value("CLIENT LIST").text();
        line = list.lines().find(|line| field(line, "addr") == address).unwrap().to_owned();
        list.lines().any(|line| field(line, "qbuf") == "37")
    });
    let names = |line: &str| line.split(' ').map(|part| part.split('=').next().unwrap().to_owned()).collect::<Vec<_>>();
    let redis = plain.client().value("CLIENT LIST").text();
    let ours = names(&line);
    assert_eq!(ours[..names(redis.trim_end()).len()], names(redis.trim_end()), "Redis's fields first, in its order");
    for (name, value) in [
        ("name", "the-name"),
        ("db", "3"),
        ("cmd", "get"),
        ("flags", "N"),
        ("user", "default"),
        ("resp", "2"),
        ("events", "r"),
        ("multi", "-1"),
        ("laddr", &cluster.circlet.address()),
    ] {
        assert_eq!(field(&line, name), value, "{line}");
    }
    assert!(field(&line, "fd").parse::<u32>().unwrap() > 2 && field(&line, "tot-mem").parse::<u32>().unwrap() > 100);
    let list = clients[0].value("CLIENT LIST").text();
    let workers: std::collections::BTreeSet<&str> = list.lines().map(|line| field(line, "worker")).collect();
    assert_eq!(workers.len(), 2, "{list}");
    assert_eq!(field(clients[3].value("CLIENT INFO").text().trim_end(), "cmd"), "client|info");
}

#[test]
fn filters_find_and_end_the_sessions_of_all_workers() {
    let cluster = Cluster::start();
    let mut clients: Vec<Client> = (0..6).map(|_| cluster.client()).collect();
    let ids: Vec<String> = clients.iter_mut().map(id).collect();
    clients[1].expect("CLIENT SETNAME one", "+OK\r\n");
    clients[2].expect("SELECT 2", "+OK\r\n");
    clients[3].expect("CLIENT SETINFO LIB-NAME lib", "+OK\r\n");
    clients[4].expect("CLIENT NO-EVICT ON", "+OK\r\n");
    // Two workers give out numbers, not in the order of the connections.
    let of = |numbers: &[usize]| {
        let mut found: Vec<String> = numbers.iter().map(|number| ids[*number].clone()).collect();
        found.sort();
        found
    };
    let address = clients[5].local_address();
    let asker = &mut clients[0];
    for (filters, found) in [
        (format!("ID {} {} 99999", ids[5], ids[1]), of(&[1, 5])),
        (format!("NOT-ID {} {}", ids[5], ids[1]), of(&[0, 2, 3, 4])),
        ("NAME one".into(), of(&[1])),
        ("DB 2".into(), of(&[2])),
        ("LIB-NAME lib".into(), of(&[3])),
        ("FLAGS e".into(), of(&[4])),
        (format!("ADDR {address}"), of(&[5])),
        (format!("LADDR {} NOT-NAME one SKIPME yes", cluster.circlet.address()), of(&[2, 3, 4, 5])),
        ("IP 127.0.0.1 USER default TYPE normal".into(), of(&[0, 1, 2, 3, 4, 5])),
        ("TYPE pubsub".into(), vec![]),
        ("TYPE replica".into(), vec![]),
    ] {
        assert_eq!(listed(asker, &filters), found, "{filters}");
    }
    asker.expect("CLIENT KILL NAME one", ":1\r\n");
    asker.expect(&format!("CLIENT KILL ID {} {} 99999", ids[2], ids[3]), ":2\r\n");
    asker.expect("CLIENT KILL MAXAGE 100000", ":0\r\n");
    asker.expect(&format!("CLIENT KILL ADDR {address} LADDR 1.2.3.4:5"), ":0\r\n");
    asker.expect(&format!("CLIENT KILL {address}"), "+OK\r\n");
    asker.expect(&format!("CLIENT KILL {address}"), "-ERR No such client\r\n");
    assert_eq!(listed(asker, ""), of(&[0, 4]));
    for number in [1, 2, 3, 5] {
        assert!(clients[number].rest().is_empty());
    }
    clients[4].expect("CLIENT KILL SKIPME no TYPE normal", ":2\r\n");
    assert!(clients[4].rest().is_empty() && clients[0].rest().is_empty());
}

#[test]
fn subscribers_of_all_workers_are_of_the_type_pubsub() {
    let cluster = Cluster::start();
    let mut clients: Vec<Client> = (0..4).map(|_| cluster.client()).collect();
    let mut subscribers: Vec<String> = clients[2..].iter_mut().map(id).collect();
    subscribers.sort();
    clients[2].ask("SUBSCRIBE c");
    clients[3].ask("PSUBSCRIBE c*");
    assert_eq!(listed(&mut clients[0], "TYPE pubsub"), subscribers);
    assert_eq!(listed(&mut clients[0], "NOT-TYPE normal FLAGS P"), subscribers);
    let list = clients[0].value("CLIENT LIST TYPE pubsub").text();
    assert!(list.contains(" sub=1 psub=0 ") && list.contains(" sub=0 psub=1 "), "{list}");
    clients[0].expect("CLIENT KILL TYPE pubsub", ":2\r\n");
    assert!(clients[2].rest().is_empty() && clients[3].rest().is_empty());
}

#[test]
fn mistakes_get_the_texts_of_redis() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let (mut expected, mut client) = (plain.client(), cluster.client());
    for line in [
        "CLIENT KILL",
        "CLIENT KILL x",
        "CLIENT KILL ID",
        "CLIENT KILL ID 0",
        "CLIENT KILL ID a",
        "CLIENT KILL ID -1",
        "CLIENT KILL FOO x",
        "CLIENT KILL TYPE x",
        "CLIENT KILL USER x",
        "CLIENT KILL SKIPME maybe",
        "CLIENT KILL TYPE replica",
        "CLIENT LIST TYPE x",
        "CLIENT LIST ID",
        "CLIENT LIST ID a",
        "CLIENT LIST ID 9999",
        "CLIENT LIST FOO",
        "CLIENT LIST TYPE master",
        "CLIENT LIST TYPE slave x",
        "CLIENT PAUSE",
        "CLIENT PAUSE a",
        "CLIENT PAUSE -1",
        "CLIENT PAUSE 10 x",
        "CLIENT PAUSE 10 WRITE x",
        "CLIENT PAUSE 9223372036854775807 WRITE",
        "CLIENT UNPAUSE x",
        "CLIENT UNPAUSE",
        "CLIENT PAUSE 1 all",
        "CLIENT REPLY x",
        "CLIENT NO-EVICT x",
        "CLIENT NO-EVICT on",
        "CLIENT HELP",
        "MONITOR x",
    ] {
        assert_eq!(client.ask(line), expected.ask(line), "{line}");
    }
}

#[test]
fn a_pause_holds_every_worker_and_loses_nothing() {
    let cluster = Cluster::start();
    let mut clients: Vec<Client> = (0..4).map(|_| cluster.client()).collect();
    let mut held: Vec<String> = clients[1..].iter_mut().map(id).collect();
    held.sort();
    clients[0].expect("CLIENT PAUSE 600000 WRITE", "+OK\r\n");
    for (number, client) in clients.iter_mut().enumerate().skip(1) {
        client.expect("GET k", "$-1\r\n");
        let mut batch = Vec::new();
        for value in 0..500 {
            resp::request(&mut batch, &["SET", &format!("k{number}"), &value.to_string()]);
            resp::request(&mut batch, &["GET", &format!("k{number}")]);
        }
        client.send(&batch);
    }
    until_true("all to be held", || listed(&mut clients[0], "FLAGS b") == held);
    for node in &cluster.nodes {
        assert!(!node.client().ask("KEYS *").contains('k'), "something was written");
    }
    clients[0].expect("CLIENT UNPAUSE", "+OK\r\n");
    for client in &mut clients[1..] {
        for value in 0..500_usize {
            assert_eq!(client.frame(), b"+OK\r\n");
            let text = value.to_string();
            assert_eq!(client.frame(), format!("${}\r\n{text}\r\n", text.len()).into_bytes());
        }
    }
    assert!(listed(&mut clients[0], "FLAGS b").is_empty());
}

#[test]
fn a_pause_of_everything_ends_by_itself_and_anybody_can_end_it() {
    let cluster = Cluster::start();
    let (mut one, mut other) = (cluster.client(), cluster.client());
    one.expect("CLIENT PAUSE 200", "+OK\r\n");
    other.expect("PING", "+PONG\r\n");
    one.expect("CLIENT PAUSE 600000 ALL", "+OK\r\n");
    other.send(b"CLIENT UNPAUSE\r\nECHO a\r\n");
    assert_eq!((other.frame(), other.frame()), (b"+OK\r\n".to_vec(), b"$1\r\na\r\n".to_vec()));
    one.expect("PING", "+PONG\r\n");
}

#[test]
fn replies_are_switched_off_and_skipped_as_by_redis_in_every_mix() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut rng = seed::rng("replies_are_switched_off");
    for round in 0..150 {
        let (mut expected, mut client) = (plain.client(), cluster.client());
        let mut lines = Vec::new();
        for _ in 0..rng.usize(1..25) {
            let line = *rng
                .choice(&[
                    "CLIENT REPLY ON",
                    "CLIENT REPLY OFF",
                    "CLIENT REPLY SKIP",
                    "CLIENT REPLY SKIP",
                    "CLIENT REPLY x",
                    "PING",
                    "SET k v",
                    "GET k",
                    "GET",
                    "nosuch",
                    "LPUSH k v",
                    "MGET k other third",
                    "SELECT 1",
                    "SELECT 0",
                    "CLIENT LIST ID 99999",
                    "CLIENT KILL ID 99999",
                    "CLIENT NO-EVICT OFF",
                    "SLOWLOG LEN x",
                    "DBSIZE x",
                    "RESET",
                ])
                .unwrap();
            lines.push(line);
        }
        lines.extend(["CLIENT REPLY ON", "ECHO the-end"]);
        let text = lines.join("\r\n") + "\r\n";
        let replies = |client: &mut Client| {
            client.send(text.as_bytes());
            let mut all: Vec<Vec<u8>> = Vec::new();
            while all.last().is_none_or(|reply| reply != b"$7\r\nthe-end\r\n") {
                all.push(client.frame());
            }
            String::from_utf8(all.concat()).unwrap()
        };
        assert_eq!(replies(&mut client), replies(&mut expected), "round {round}: {lines:?}");
    }
}
