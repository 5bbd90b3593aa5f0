//! Files of twemproxy, right and wrong; and where their keys lie, compared with a real nutcracker, by the same golden data
//! as the ring, but through everything that reads such a file, and through the circlet.toml that is printed from it. Pure.

use std::collections::HashMap;

use super::*;
use crate::{
    config::{Changes, OnNodeDown, Profile, load as load_toml},
    scratch::Scratch,
};

const GOLDEN: &str = include_str!("../../../tests/data/twemproxy.txt");

/// All of a file that `wanted` means.
fn several(text: &str, wanted: &[&str], overrides: &Overrides) -> Result<Import, String> {
    let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    read("n.yml", text, &wanted, overrides).map_err(|mistakes| mistakes.to_string())
}

/// The only pool, or the one that is wanted.
fn import(text: &str, pool: Option<&str>, overrides: &Overrides) -> Result<Served, String> {
    let import = several(text, pool.as_slice(), overrides)?;
    let [only] = <[Served; 1]>::try_from(import.pools).unwrap();
    Ok(only)
}

fn mistakes(text: &str) -> String {
    several(text, &[], &Overrides::default()).map_or_else(|found| found, |import| panic!("{import:?} has no mistake"))
}

/// A pool with `more` in it.
fn pool(more: &str) -> String {
    format!("a:\n  listen: 127.0.0.1:22121\n  redis: true\n  timeout: 400\n  client_connections: 9\n{more}")
}

const SERVERS: &str = "  servers:\n   - 127.0.0.1:6379:1\n";

/// The bytes of a key of the golden data.
fn unquoted(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// Where `keys` lie, a digit for each: the node's place in the file.
fn owners(config: &Config, keys: &[Vec<u8>]) -> String {
    let ring = config.ring().unwrap();
    keys.iter().map(|key| ring.owner_of(key).0.to_string()).collect()
}

#[test]
fn keys_lie_where_nutcracker_puts_them_also_by_the_printed_circlet_toml() {
    let dir = Scratch::new("golden");
    let mut keys = Vec::new();
    let mut sets: HashMap<&str, String> = HashMap::new();
    let (mut set, mut pools) = ("", 0);
    let mut lines = GOLDEN.lines();
    while let Some(line) = lines.next() {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "key" => keys.push(unquoted(rest)),
            "set" => set = rest,
            "server" => sets.entry(set).or_default().push_str(&format!("   - {rest}\n")),
            "pool" => {
                let [set, hash, distribution, tag] = rest.split(' ').collect::<Vec<_>>().try_into().unwrap();
                let tag = if tag == "-" { String::new() } else { format!("  hash_tag: \"{tag}\"\n") };
                let text =
                    pool(&format!("  hash: {hash}\n  distribution: {distribution}\n{tag}  servers:\n{}", sets[set]));
                let import = import(&text, None, &Overrides::default()).unwrap();
                let expected = lines.next().unwrap();
                assert_eq!(owners(&import.config, &keys), expected, "{line}");
                let toml = dir.write("circlet.toml", &Changes(&import.config).to_string());
                let again = load_toml(Some(&toml), &Overrides::default()).unwrap();
                assert_eq!(owners(&again, &keys), expected, "{line}, printed:\n{}", Changes(&import.config));
                assert_eq!(again.to_string(), import.config.to_string());
                pools += 1;
            }
            _ => assert_eq!(word, "#"),
        }
    }
    assert!(pools >= 200, "{pools} pools");
}

#[test]
fn every_directive_becomes_an_option_or_a_note() {
    let text = "\
alpha:
  listen: 127.0.0.1:22121
  hash: murmur
  hash_tag: \"$$\"
  distribution: modula
  timeout: 400
  backlog: 1024
  client_connections: 500
  tcpkeepalive: false
  reuseport: true
  redis: true
  redis_auth: hush
  redis_db: 3
  preconnect: false
  auto_eject_hosts: true
  server_connections: 2
  server_retry_timeout: 2000
  server_failure_limit: 1
  servers:
   - 10.0.0.1:6379:1
   - 10.0.0.2:6379:2 b
";
    let Served { name, config, notes } = import(text, None, &Overrides::default()).unwrap();
    assert_eq!(name, "alpha");
    assert_eq!(config.listen[0].to_string(), "127.0.0.1:22121");
    assert_eq!(
        Changes(&config).to_string(),
        "listen = [\"127.0.0.1:22121\"]\n# requirepass is set (not shown)\n\n[ring]\ndistribution = \"modula\"\nhash = \"murmur\"\n\
         hash_tag = \"$$\"\n\n[session]\nmax_sessions = 500\ndatabase = 3\n\n[pipe]\nconnect_timeout = \"400ms\"\nrequest_timeout = \"400ms\"\n\n\
         [[nodes]]\nname = \"10.0.0.1:6379\"\naddress = \"10.0.0.1:6379\"\nweight = 1\n# password is set (not shown)\n\n[[nodes]]\n\
         name = \"b\"\naddress = \"10.0.0.2:6379\"\nweight = 2\n# password is set (not shown)\n"
    );
    assert_eq!(config.traffic.requirepass.as_deref(), Some("hush"));
    assert!(config.nodes.iter().all(|node| node.password.as_deref() == Some("hush")));
    let told: Vec<String> = notes.iter().map(ToString::to_string).collect();
    let starts = [
        "n.yml:7: backlog has no option",
        "n.yml:8: Circlet holds clients to client_connections (500)",
        "n.yml:9: tcpkeepalive: false has no option",
        "n.yml:10: reuseport has no option",
        "n.yml:13: clients begin in database 3",
        "n.yml:14: preconnect: false has no option",
        "n.yml:15: auto_eject_hosts has no equivalent without a state directory: no node is ever ejected",
        "n.yml:16: server_connections has no option",
        "n.yml:17: server_retry_timeout has no equivalent",
        "n.yml:18: server_failure_limit has no equivalent",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told}");
    }
    assert!(!format!("{notes:?}").contains("hush"));
}

#[test]
fn what_is_not_said_has_nutcrackers_defaults_or_is_noted() {
    let text = "a:\n  listen: /run/n.sock\n  redis: true\n  servers:\n   - 10.0.0.1:6379:1\n";
    let Served { config, notes, .. } = import(text, None, &Overrides::default()).unwrap();
    assert_eq!(
        (config.distribution, config.key_hash.name(), config.hash_tag),
        (crate::config::Distribution::Ketama, "fnv1a_64", None)
    );
    let told: Vec<String> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("nutcracker waits for ever") && told[0].contains("after 5s"), "{told:#?}");
    assert!(told[1].contains("10000 clients (session.max_sessions)"), "{told:#?}");
    assert!(told[2].contains("gets 660 (socket_mode)"), "{told:#?}");
    let text = "a:\n  listen: /run/n.sock 0666\n  redis: true\n  timeout: 3\n  servers:\n   - 10.0.0.1:6379:1\n";
    let Served { config, notes, .. } = import(text, None, &Overrides::default()).unwrap();
    assert_eq!(config.socket_mode, 0o666);
    assert_eq!(config.traffic.pipe.request_timeout, std::time::Duration::from_millis(10));
    assert!(notes.iter().any(|note| note.text.contains("so it is 10ms")), "{notes:?}");
}

#[test]
fn random_is_served_and_said_to_be_chance() {
    let text = pool(&format!("  distribution: random\n  hash: md5\n  hash_tag: \"$$\"\n{SERVERS}"));
    let Served { config, notes, .. } = import(&text, None, &Overrides::default()).unwrap();
    assert_eq!(config.scheme(), crate::traffic::route::Scheme::Random);
    assert!(notes.iter().any(|note| note.text.starts_with("random: ")), "{notes:?}");
}

#[test]
fn all_mistakes_come_at_once_each_with_line_value_and_cure() {
    let text = "\
alpha:
  listen: 127.0.0.1
  hash: fnv1a64
  hashtag: \"{}\"
  hash_tag: \"{\"
  distribution: ketma
  timeout: soon
  redis: yes
  redis: true
  redis_auth: [hush]
  server_connections: 0
  servers:
   - 127.0.0.1:6379
   - 127.0.0.1:6380:0 b
   - 127.0.0.1:6381:1 c
   - 127.0.0.1:6382:1 c
beta:
  listen: 127.0.0.1:1
  servers: 127.0.0.1:6379:1
gamma:
  listen: 127.0.0.1:1
alpha:
  listen: 127.0.0.1:2
";
    let overrides = Overrides { workers: Some("0".to_owned()), ..Overrides::default() };
    let found = import(text, Some("gama"), &overrides).unwrap_err();
    assert_eq!(
        found,
        "\
n.yml:2: listen is \"127.0.0.1\"; write host:port, or /path of a unix socket
n.yml:3: hash is \"fnv1a64\"; did you mean fnv1a_64? There are one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins
n.yml:4: hashtag is no directive of nutcracker; did you mean hash_tag?
n.yml:5: hash_tag is \"{\"; write two characters in quotes, such as \"{}\"
n.yml:6: distribution is \"ketma\"; use ketama, modula, random
n.yml:7: timeout is \"soon\"; use a whole number from 0 to 2147483647, in digits only
n.yml:8: redis is \"yes\"; use true or false
n.yml:10: redis_auth is a list; write one value behind the colon
n.yml:13: a server is \"127.0.0.1:6379\"; write host:port:weight, or host:port:weight name
n.yml:14: a server is \"127.0.0.1:6380:0 b\"; a weight of 0 is none; use 1 for a normal server
n.yml:16: two servers are called c (the other: line 15); give each its own name
n.yml:19: servers is no list; write each server in a line of its own, behind \"- \"
n.yml:21: pools beta and gamma both listen on 127.0.0.1:1; give each its own address
n.yml:22: two pools are called alpha (the other: line 1); rename one
--pool: n.yml has no pool gama; did you mean gamma?
--workers: workers is \"0\"; use 1 to 1024, or \"auto\""
    );
}

#[test]
fn what_circlet_cannot_serve_is_refused_with_the_reason() {
    for (text, expected) in [
        (
            "a:\n  listen: a:1\n  servers:\n   - a:2:1\n".to_owned(),
            "n.yml:1: pool a speaks memcached, for redis is not true; Circlet speaks Redis only: leave this pool to nutcracker, or \
             write redis: true if its servers are Redis",
        ),
        (
            pool("  servers:\n   - 127.0.0.1:22121:1\n"),
            "n.yml:7: node 127.0.0.1:22121 has Circlet's own address 127.0.0.1:22121; give a Redis server's address",
        ),
        (
            pool("  distribution: modula\n  servers:\n   - a:1:99999999\n"),
            "n.yml:8: the weights add up to 99999999 slots, modula holds 16777216; use smaller weights",
        ),
        (pool(&format!("  redis_db: 70000\n{SERVERS}")), "n.yml:6: session.database is \"70000\"; use 0 to 65535"),
        (pool(""), "n.yml:1: pool a has no servers; add servers: and a line such as - 127.0.0.1:6379:1"),
        (pool("  servers: []\n"), "n.yml:6: pool a has no servers; add servers: and a line such as - 127.0.0.1:6379:1"),
        (
            "a:\n  redis: true\n  servers:\n   - a:2:1\n".to_owned(),
            "n.yml:1: pool a has no listen; add listen: 127.0.0.1:22121",
        ),
        (pool(&format!("  redis_auth: \"a\\nb\"\n{SERVERS}")), "n.yml:6: redis_auth: use a password of one line"),
        (String::new(), "n.yml:1: there is no pool; write a name with a colon, and its directives below"),
        (pool(&format!("  server_connections: 0\n{SERVERS}")), "n.yml:6: server_connections is 0; use 1 or more"),
    ] {
        assert_eq!(mistakes(&text), expected);
    }
}

/// A pool for Redis, one for memcached, another for Redis.
fn three() -> String {
    format!(
        "{}b:\n  listen: 127.0.0.1:22122\n  servers:\n   - a:1:1\nc:\n  listen: 127.0.0.1:22123\n  redis: true\n  \
         hash: md5\n  servers:\n   - a:2:1\n",
        pool(SERVERS)
    )
}

#[test]
fn every_pool_that_speaks_redis_is_served_and_the_others_are_named() {
    let Import { pools, left_out, .. } = several(&three(), &[], &Overrides::default()).unwrap();
    assert_eq!(pools.iter().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(pools[1].config.listen[0].to_string(), "127.0.0.1:22123");
    assert_eq!((pools[0].config.key_hash.name(), pools[1].config.key_hash.name()), ("fnv1a_64", "md5"));
    assert_eq!(left_out.len(), 1);
    assert!(left_out[0].to_string().starts_with("n.yml:8: pool b is not served: it speaks memcached"), "{left_out:?}");
    let found = mistakes(&three().replace("  redis: true\n", ""));
    assert_eq!(
        found.matches(" speaks memcached, for redis is not true; Circlet speaks Redis only").count(),
        3,
        "{found}"
    );
}

#[test]
fn some_of_several_pools_can_be_chosen() {
    let chosen = |pools: &[&str]| several(&three(), pools, &Overrides::default());
    let names = |import: Import| import.pools.into_iter().map(|pool| pool.name).collect::<Vec<_>>();
    assert_eq!(names(chosen(&["c"]).unwrap()), ["c"]);
    assert_eq!(names(chosen(&["c", "a", "c"]).unwrap()), ["a", "c"], "in the order of the file, each once");
    assert!(chosen(&["b"]).unwrap_err().contains("n.yml:8: pool b speaks memcached"));
    assert_eq!(
        chosen(&["zeta", "a", "omega"]).unwrap_err(),
        "--pool: n.yml has no pool omega; there is a, b (memcached), c\n--pool: n.yml has no pool zeta; there is a, b (memcached), c"
    );
}

#[test]
fn mistakes_of_all_pools_come_at_once_and_those_of_flags_once() {
    let text = three().replace("127.0.0.1:6379:1", "127.0.0.1:22121:1").replace("a:2:1", "127.0.0.1:22123:1");
    let overrides = Overrides { workers: Some("0".to_owned()), ..Overrides::default() };
    assert_eq!(
        several(&text, &[], &overrides).unwrap_err(),
        "n.yml:7: node 127.0.0.1:22121 has Circlet's own address 127.0.0.1:22121; give a Redis server's address\n\
         n.yml:17: node 127.0.0.1:22123 has Circlet's own address 127.0.0.1:22123; give a Redis server's address\n\
         --workers: workers is \"0\"; use 1 to 1024, or \"auto\""
    );
}

#[test]
fn flags_that_are_for_one_pool_are_refused_for_several() {
    let overrides = Overrides {
        listen: vec!["127.0.0.1:7000".to_owned()],
        nodes: vec!["127.0.0.1:7001".to_owned()],
        set: vec!["cluster_facade=h:1".to_owned()],
        ..Overrides::default()
    };
    let found = several(&three(), &[], &overrides).unwrap_err();
    for start in [
        "--listen: 2 pools are served, and cannot all listen there; choose one with --pool",
        "--node: 2 pools are served, each with its own servers",
        "--set cluster_facade: 2 pools are served, and cannot all be reached at h:1; use \"on\"",
    ] {
        assert!(found.lines().any(|line| line.starts_with(start)), "{start} in {found}");
    }
    assert_eq!(found.lines().count(), 3, "{found}");
    assert!(several(&three(), &["a"], &overrides).is_ok());
}

#[test]
fn pools_that_listen_on_parts_of_each_other_are_told() {
    let text = three().replace("listen: 127.0.0.1:22123", "listen: 0.0.0.0:22121");
    assert_eq!(
        mistakes(&text),
        "n.yml:13: pool a listens on 127.0.0.1:22121 and pool c on 0.0.0.0:22121, one is a part of the other; give each its own port"
    );
    assert!(
        several(&three().replace("listen: 127.0.0.1:22123", "listen: 127.0.0.2:22121"), &[], &Overrides::default())
            .is_ok()
    );
}

#[test]
fn cores_are_shared_out_unless_a_flag_says_otherwise() {
    let workers = |set: &[&str], cores: usize| {
        let overrides = Overrides { set: set.iter().map(|set| (*set).to_owned()).collect(), ..Overrides::default() };
        let mut import = several(&three(), &[], &overrides).unwrap();
        if !import.workers_given {
            import.pools.iter_mut().for_each(|pool| pool.config.traffic.workers = cores);
        }
        import.in_one_process().iter().map(|config| config.traffic.workers).collect::<Vec<_>>()
    };
    assert_eq!(workers(&[], 8), [4, 4]);
    assert_eq!(workers(&[], 1), [1, 1]);
    assert_eq!(workers(&["workers=auto"], 3), [2, 2]);
    assert_eq!(workers(&["workers=3"], 8), [3, 3]);
}

#[test]
fn where_one_pool_is_needed_it_must_be_named() {
    let dir = Scratch::new("one");
    let path = dir.write("n.yml", &three());
    let found = load_one(&path, None, &Overrides::default()).unwrap_err().to_string();
    assert!(found.ends_with("has 2 pools (a, c); name one with --pool"), "{found}");
    assert_eq!(load_one(&path, Some("c"), &Overrides::default()).unwrap().name, "c");
}

#[test]
fn flags_go_over_the_file() {
    let overrides = Overrides {
        listen: vec!["127.0.0.1:7000".to_owned()],
        set: vec!["pipe.request_timeout=2s".to_owned()],
        ..Overrides::default()
    };
    let config = import(&pool(SERVERS), None, &overrides).unwrap().config;
    assert_eq!(config.listen[0].to_string(), "127.0.0.1:7000");
    assert_eq!(config.traffic.pipe.request_timeout, std::time::Duration::from_secs(2));
    assert_eq!(config.traffic.pipe.connect_timeout, std::time::Duration::from_millis(400));
}

#[test]
fn what_nutcracker_allows_is_allowed() {
    // One server under two names, a name that INFO has a section of, an IPv6 address.
    let text = pool("  servers:\n   - a:1:1 memory\n   - a:1:1 server\n   - ::1:6379:1\n");
    let config = import(&text, None, &Overrides::default()).unwrap().config;
    assert_eq!(config.nodes[2].address.to_string(), "[::1]:6379");
}

#[test]
fn a_password_is_in_no_message() {
    for text in [
        pool("  redis_auth: hush\n  redis_auth: hush\n"),
        pool("  redis_auth: {hush: hush}\n"),
        pool("  redis_auth: \"hush\n"),
        pool("  redis_auth: *hush\n"),
    ] {
        assert!(!mistakes(&text).contains("hush"), "{}", mistakes(&text));
    }
}

#[test]
fn a_missing_file_is_the_only_mistake() {
    let found = load(Path::new("no/such.yml"), &[], &Overrides::default()).unwrap_err().to_string();
    assert!(found.contains("no/such.yml cannot be read (") && !found.contains('\n'), "{found}");
}

#[test]
fn any_text_at_all_gives_a_pool_or_mistakes() {
    let sample = pool("  hash: md5\n  hash_tag: \"{}\"\n  servers:\n   - 127.0.0.1:6379:1 b\n   - /run/r.sock:2\n");
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..3_000 {
        let mut text: Vec<char> = sample.chars().collect();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..text.len());
            text[at] = *random.choice(&['"', '[', ':', '\n', ' ', '-', 'é', '{', '*', '/', '9', '0']).unwrap();
        }
        let _ = several(&text.into_iter().collect::<String>(), &[], &Overrides::default());
    }
}

#[test]
fn with_a_state_directory_servers_are_ejected() {
    let text = "alpha:\n  listen: 127.0.0.1:22121\n  redis: true\n  distribution: ketama\n  auto_eject_hosts: true\n  \
                server_retry_timeout: 2000\n  server_failure_limit: 1\n  client_connections: 9\n  timeout: 400\n  servers:\n   - \
                10.0.0.1:6379:1\n   - 10.0.0.2:6379:1\n";
    let given = |set: &[&str]| Overrides {
        state: Some("/s".into()),
        set: set.iter().map(|&set| set.to_owned()).collect(),
        ..Overrides::default()
    };
    let Served { config, notes, .. } = import(text, None, &given(&[])).unwrap();
    assert_eq!((config.profile, config.on_node_down), (Profile::Cache, OnNodeDown::Eject));
    let told = notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for start in [
        "n.yml:5: auto_eject_hosts: the keys of a node that is down go to the others",
        "n.yml:6: server_retry_timeout has no option: a node comes back when",
        "n.yml:7: server_failure_limit has no option: a node is judged down",
    ] {
        assert!(told.contains(start), "{told}");
    }
    // Whoever says it himself is not contradicted.
    let own = import(text, None, &given(&["on_node_down=error"])).unwrap();
    assert_eq!((own.config.profile, own.config.on_node_down), (Profile::Store, OnNodeDown::Error));
    assert!(own.notes.iter().all(|note| !note.text.starts_with("auto_eject_hosts")));
    let random = import(&text.replace("ketama", "random"), None, &given(&[])).unwrap();
    assert_eq!(random.config.on_node_down, OnNodeDown::Error);
}
