//! Circlet in place of a real nutcracker: the same file, the same nodes, and every key where it was.

use crate::support::{
    Client, Redis,
    circlet::{Circlet, Plan},
    dir::Dir,
    nutcracker::Nutcracker,
    port::Port,
    resp,
};

/// Keys of many kinds: short, long, binary, with hash tags of every shape.
pub(crate) fn keys() -> Vec<Vec<u8>> {
    let mut keys: Vec<Vec<u8>> = (0..120).map(|number| format!("user:{number}:profile").into_bytes()).collect();
    keys.extend((0..60).map(|number| format!("cart{{{}}}:{number}", number % 9).into_bytes()));
    keys.extend((0..60).map(|number| format!("a$tag{}$b{number}", number % 7).into_bytes()));
    keys.extend((0..60_u8).map(|number| vec![number.wrapping_mul(37), 0xFF - number, b'\r', b'\n', number]));
    keys.extend((1..60).map(|length| "x".repeat(length * 3).into_bytes()));
    keys
}

fn requests(keys: &[Vec<u8>], args: impl Fn(usize, &[u8]) -> Vec<Vec<u8>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        resp::request(&mut bytes, &args(number, key));
    }
    bytes
}

pub(crate) fn write(client: &mut Client, keys: &[Vec<u8>], who: &str) {
    let set = |number, key: &[u8]| vec![b"SET".to_vec(), key.to_vec(), format!("{who}{number}").into_bytes()];
    let replies = client.pipeline(&requests(keys, set), keys.len());
    assert!(replies.iter().all(|reply| reply == b"+OK\r\n"), "{:?}", replies[0]);
}

/// All of what [`write`] wrote is there.
pub(crate) fn read(client: &mut Client, keys: &[Vec<u8>], who: &str, what: &str) {
    let replies = client.pipeline(&requests(keys, |_, key| vec![b"GET".to_vec(), key.to_vec()]), keys.len());
    for (number, (key, reply)) in keys.iter().zip(replies).enumerate() {
        let value = format!("{who}{number}");
        let expected = format!("${}\r\n{value}\r\n", value.len());
        assert_eq!(String::from_utf8_lossy(&reply), expected, "{what}: key {}", key.escape_ascii());
    }
}

/// A pool of nutcracker.yml.
pub(crate) fn pool(name: &str, listen: &str, more: &str, servers: &[String]) -> String {
    let servers: String = servers.iter().map(|server| format!("   - {server}\n")).collect();
    format!("{name}:\n  listen: {listen}\n  redis: true\n  timeout: 5000\n{more}  servers:\n{servers}")
}

fn served(file: &str, pool: &str, nodes: usize) -> Circlet {
    let plan = Plan::default().wait_for(nodes);
    plan.argument("--twemproxy-config").argument(file).argument("--pool").argument(pool).start()
}

#[test]
fn what_nutcracker_wrote_circlet_reads_and_the_other_way_round() {
    let Some(program) = Nutcracker::program() else { return };
    let nodes = Redis::several(3);
    let plain: Vec<String> = nodes.iter().map(|node| format!("{}:1", node.address())).collect();
    let named: Vec<String> = nodes
        .iter()
        .zip(["zz:3", "b:1", "long-name:2"])
        .map(|(node, text)| {
            let (name, weight) = text.split_once(':').unwrap();
            format!("{}:{weight} {name}", node.address())
        })
        .collect();
    let ports: Vec<Port> = (0..7).map(|_| Port::lease()).collect();
    let listens: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{}", port.number())).collect();
    let pools = [
        ("default", "", &plain),
        ("ketama", "  hash: murmur\n  distribution: ketama\n  hash_tag: \"{}\"\n", &named),
        ("dollars", "  hash: one_at_a_time\n  distribution: ketama\n  hash_tag: \"$$\"\n", &plain),
        ("modula", "  hash: hsieh\n  distribution: modula\n", &named),
        ("short", "  hash: crc16\n  distribution: modula\n  hash_tag: \"{}\"\n", &plain),
        ("jenkins", "  hash: jenkins\n  auto_eject_hosts: true\n", &named),
        ("md5", "  hash: md5\n  distribution: modula\n", &plain),
    ];
    let file: String =
        pools.iter().zip(&listens).map(|((name, more, servers), listen)| pool(name, listen, more, servers)).collect();
    let _nutcracker = Nutcracker::start(&program, &file, &listens);
    let dir = Dir::new();
    let file = dir.write("nutcracker.yml", &file).display().to_string();
    let keys = keys();
    for ((name, ..), listen) in pools.iter().zip(&listens) {
        for node in &nodes {
            node.client().expect("FLUSHALL", "+OK\r\n");
        }
        let mut old = Client::connect(listen);
        let circlet = served(&file, name, 3);
        let mut new = circlet.client();
        write(&mut old, &keys, "nutcracker");
        read(&mut new, &keys, "nutcracker", name);
        // No key of nutcracker's is anywhere but where Circlet looks for it, so both count the same.
        assert_eq!(new.value("DBSIZE").number(), keys.len() as i64, "{name}");
        assert_eq!(new.value("KEYS *").list().len(), keys.len(), "{name}");
        write(&mut new, &keys, "circlet");
        read(&mut old, &keys, "circlet", name);
        assert_eq!(new.value("DBSIZE").number(), keys.len() as i64, "{name}: a key lies twice");
        let ejects = circlet.output().contains("auto_eject_hosts has no equivalent");
        assert_eq!(ejects, *name == "jenkins", "{}", circlet.output());
    }
}

#[test]
fn the_password_of_a_pool_is_asked_of_clients_and_given_to_nodes() {
    let nodes: Vec<Redis> = (0..2).map(|_| Redis::with(&["--requirepass", "s3cret"])).collect();
    let servers: Vec<String> = nodes.iter().map(|node| format!("{}:1", node.address())).collect();
    let dir = Dir::new();
    let file = dir.write("n.yml", &pool("a", "127.0.0.1:1", "  redis_auth: s3cret\n", &servers)).display().to_string();
    let circlet = served(&file, "a", 2);
    let mut client = circlet.client();
    client.expect("SET k v", "-NOAUTH Authentication required.\r\n");
    client.expect("AUTH s3cret", "+OK\r\n");
    let keys = keys();
    write(&mut client, &keys, "x");
    read(&mut client, &keys, "x", "with a password");
    assert!(!circlet.output().contains("s3cret"));
}

#[test]
fn clients_begin_in_the_database_of_the_pool() {
    let Some(program) = Nutcracker::program() else { return };
    let nodes = Redis::several(2);
    let servers: Vec<String> = nodes.iter().map(|node| format!("{}:1", node.address())).collect();
    let port = Port::lease();
    let listen = format!("127.0.0.1:{}", port.number());
    let text = pool("a", &listen, "  redis_db: 3\n", &servers);
    let _nutcracker = Nutcracker::start(&program, &text, std::slice::from_ref(&listen));
    let keys = keys();
    write(&mut Client::connect(&listen), &keys, "nutcracker");
    let dir = Dir::new();
    let circlet = served(&dir.write("n.yml", &text).display().to_string(), "a", 2);
    let mut client = circlet.client();
    read(&mut client, &keys, "nutcracker", "database 3");
    assert!(client.value("CLIENT LIST").text().contains(" db=3 "));
    client.expect("SELECT 0", "+OK\r\n");
    assert_eq!(client.value("DBSIZE").number(), 0);
    client.expect("RESET", "+RESET\r\n");
    assert_eq!(client.value("DBSIZE").number(), keys.len() as i64);
}

#[test]
fn random_spreads_over_all_nodes_and_nothing_is_lost_from_view() {
    let nodes = Redis::several(3);
    let servers: Vec<String> = nodes.iter().map(|node| format!("{}:1", node.address())).collect();
    let dir = Dir::new();
    let file =
        dir.write("n.yml", &pool("a", "127.0.0.1:1", "  distribution: random\n", &servers)).display().to_string();
    let circlet = served(&file, "a", 3);
    let mut client = circlet.client();
    let keys = keys();
    write(&mut client, &keys, "x");
    for node in &nodes {
        assert!(node.client().value("DBSIZE").number() > 0);
    }
    assert_eq!(client.value("KEYS *").list().len(), keys.len());
    // Any node may have any key, so keys never lie on different nodes.
    assert!(client.ask("SUNION a b c d e f g h").starts_with("*0"));
}

#[test]
fn two_names_of_one_server_are_two_nodes() {
    let node = Redis::start();
    let servers = [format!("{}:1 shard-1", node.address()), format!("{}:1 shard-2", node.address())];
    let dir = Dir::new();
    let file = dir.write("n.yml", &pool("a", "127.0.0.1:1", "", &servers)).display().to_string();
    let circlet = served(&file, "a", 2);
    let mut client = circlet.client();
    let keys = keys();
    write(&mut client, &keys, "x");
    read(&mut client, &keys, "x", "two names");
    // Each node names what it owns, so that no key is named twice.
    assert_eq!(client.value("KEYS *").list().len(), keys.len());
}
