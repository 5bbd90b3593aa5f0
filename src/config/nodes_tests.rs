//! Nodes as operators write them, right and wrong. Io: files of its own.

use crate::config::{Config, Overrides, load};

fn flags(nodes: &[&str], set: &[&str]) -> Result<Config, String> {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let overrides = Overrides { nodes: owned(nodes), set: owned(set), ..Overrides::default() };
    load(None, &overrides).map_err(|mistakes| mistakes.to_string())
}

#[test]
fn node_flags_give_name_address_and_weight() {
    for (text, name, address, weight) in [
        ("127.0.0.1:7001", "127.0.0.1:7001", "127.0.0.1:7001", 1.0),
        ("cache-b=127.0.0.1:7002*2", "cache-b", "127.0.0.1:7002", 2.0),
        ("n=[::1]:7003", "n", "[::1]:7003", 1.0),
        ("[::1]:7003*0.5", "[::1]:7003", "[::1]:7003", 0.5),
        ("cache.example:6379", "cache.example:6379", "cache.example:6379", 1.0),
        ("unix:/run/a=b", "unix:/run/a=b", "unix:/run/a=b", 1.0),
        ("/run/a", "unix:/run/a", "unix:/run/a", 1.0),
        ("s=unix:/run/a*3", "s", "unix:/run/a", 3.0),
    ] {
        let config = flags(&[text], &[]).unwrap();
        let node = &config.nodes[0];
        assert_eq!((node.name.as_str(), node.address.to_string().as_str(), node.weight), (name, address, weight));
        assert_eq!((&node.username, &node.password), (&None, &None));
    }
}

#[test]
fn a_wrong_node_flag_is_named_with_its_cure() {
    let long = format!("unix:/{}", "x".repeat(200));
    for (text, cure) in [
        ("a=127.0.0.1", "'127.0.0.1' has no port"),
        ("127.0.0.1:0", "use 1 to 65535"),
        ("a=127.0.0.1:7001*x", "the weight is \"x\"; use a number above 0"),
        ("a=127.0.0.1:7001*0", "the weight is \"0\"; use a number above 0"),
        ("a=127.0.0.1:7001*-1", "use a number above 0"),
        ("a=127.0.0.1:7001*inf", "use a number above 0"),
        ("a=127.0.0.1:7001*NaN", "use a number above 0"),
        ("=127.0.0.1:7001", "the name is \"\"; use a name of 1 to 255 bytes"),
        ("a b=127.0.0.1:7001", "without white space"),
        ("Memory=127.0.0.1:7001", "a node is called Memory; use another name, INFO has a section"),
        (long.as_str(), "at most 107 bytes"),
    ] {
        let found = flags(&[text], &[]).unwrap_err();
        assert!(found.starts_with(&format!("--node {text}: ")) && found.contains(cure), "{found}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn no_name_and_no_address_stands_twice() {
    assert_eq!(
        flags(&["a=127.0.0.1:7001", "a=127.0.0.1:7002", "b=127.0.0.1:7001"], &[]).unwrap_err(),
        "--node a=127.0.0.1:7002: two nodes are called a (the other: --node a=127.0.0.1:7001); give each its own name\n\
         --node b=127.0.0.1:7001: two nodes have the address 127.0.0.1:7001 (the other: --node a=127.0.0.1:7001); \
         remove one, or use a weight of 2"
    );
}

#[test]
fn the_ring_must_be_able_to_hold_the_nodes() {
    for (weight, set, cure) in [
        (
            "0.1",
            "ring.points=4",
            "weight 0.1 gives node a no point on the ring; use at least 0.25, or raise ring.points (4)",
        ),
        ("3000", "ring.points=8192", "times ring.points (8192) are 24576000 points; the ring holds 16777216"),
        ("1e300", "ring.points=8192", "lower ring.points or the weights"),
    ] {
        let found = flags(&[&format!("a=127.0.0.1:7001*{weight}")], &[set]).unwrap_err();
        assert!(found.contains(cure), "{found}");
    }
    assert!(flags(&["a=127.0.0.1:7001*2048"], &[]).is_ok());
}

#[test]
fn mistakes_in_the_files_nodes_have_their_lines() {
    let dir = crate::scratch::Scratch::new("nodes");
    for (text, expected) in [
        ("nodes = 3", ":1: nodes is 3; write [[nodes]], in double brackets, above each node"),
        ("[nodes]\naddress = \"a:1\"", ":1: nodes is a table; write [[nodes]], in double brackets, above each node"),
        ("nodes = [3]", ":1: a node is 3; write [[nodes]] with an address below it"),
        ("\n[[nodes]]\nname = \"a\"", ":2: this node has no address; add address = \"host:port\""),
        ("[[nodes]]\naddress = 3", ":2: nodes.address is 3; write it in quotes"),
        ("[[nodes]]\naddress = [\"a:1\"]", ":2: nodes.address is [\"a:1\"]; use a single value"),
        ("[[nodes]]\naddress = \"a:1\"\nweight = 0", ":3: nodes.weight is 0; use a number above 0; 1 is a normal node"),
        ("[[nodes]]\naddress = \"a:1\"\npassword = 5", ":3: nodes.password: write it in quotes"),
        (
            "[[nodes]]\naddress = \"a:1\"\nusername = \"me\"",
            ":1: username is given without a password; add password or password_file",
        ),
        (
            "[[nodes]]\naddress = \"a:1\"\npassword = \"x\"\npassword_file = \"c.toml\"",
            ":4: nodes.password_file is \"c.toml\"; use a password of one line",
        ),
        (
            "[[nodes]]\nname = \"x\"\naddress = \"a:1\"\n[[nodes]]\nname = \"x\"\naddress = \"b:1\"",
            ":4: two nodes are called x (the other: c.toml:1); give each its own name",
        ),
    ] {
        let path = dir.write("c.toml", text);
        let found = load(Some(&path), &Overrides::default()).unwrap_err().to_string();
        let found = found.replace(&format!("{}/", dir.path().display()), "");
        assert_eq!(found, format!("c.toml{expected}"), "{text}");
    }
}

#[test]
fn inline_tables_are_nodes_too() {
    let dir = crate::scratch::Scratch::new("inline");
    let text = "nodes = [{ address = \"a:1\" }, { name = \"b\", address = \"b:1\", weight = 1.5, password = \"\" }]";
    let config = load(Some(&dir.write("c.toml", text)), &Overrides::default()).unwrap();
    assert_eq!(config.nodes.len(), 2);
    assert_eq!((config.nodes[0].name.as_str(), config.nodes[1].weight), ("a:1", 1.5));
    assert_eq!(config.nodes[1].password, None);
}

#[test]
fn twemproxys_distributions_want_whole_weights_and_allow_what_twemproxy_allows() {
    for distribution in ["ketama", "modula", "random"] {
        let set = [format!("ring.distribution={distribution}")];
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        // Two names for one server, and a name that INFO has a section of: where keys lie depends on them already.
        assert!(flags(&["a=127.0.0.1:7001", "b=127.0.0.1:7001*3", "memory=127.0.0.1:7002"], &set).is_ok());
        let found = flags(&["a=127.0.0.1:7001*1.5", "a=127.0.0.1:7002"], &set).unwrap_err();
        assert!(found.contains("--node a=127.0.0.1:7001*1.5: weight of node a is 1.5; use a whole number"), "{found}");
        assert!(found.contains("two nodes are called a"), "{found}");
    }
    let heavy = ["a=127.0.0.1:7001*2147483647", "b=127.0.0.1:7002*2147483647", "c=127.0.0.1:7003*2147483647"];
    assert!(flags(&heavy, &["ring.distribution=ketama"]).unwrap_err().contains("smaller ones in the same proportion"));
    assert!(flags(&heavy[..1], &["ring.distribution=modula"]).unwrap_err().contains("modula holds 16777216"));
}

#[test]
fn what_a_distribution_does_not_use_may_not_be_set() {
    let node = ["127.0.0.1:7001"];
    for (set, told) in [
        (&["ring.hash=md5"][..], "--set ring.hash: ring.hash is \"md5\", but only ketama and modula"),
        (&["ring.hash_tag=$$"], "--set ring.hash_tag: ring.hash_tag is \"$$\", but xxh3 always uses {}"),
        (&["ring.distribution=random", "ring.hash_tag=$$"], "random none; remove it"),
        (&["ring.distribution=ketama", "ring.points=100"], "--set ring.points: ring.points is 100, but only xxh3"),
    ] {
        let found = flags(&node, set).unwrap_err();
        assert!(found.contains(told) && !found.contains('\n'), "{found}");
    }
    // A whole file says its defaults too.
    assert!(flags(&node, &["ring.distribution=ketama", "ring.points=8192", "ring.hash_tag="]).is_ok());
    assert!(flags(&node, &["ring.hash=fnv1a_64", "ring.hash_tag={}"]).is_ok());
    let found = flags(&node, &["ring.distribution=ketamma", "ring.hash=md5"]).unwrap_err();
    assert!(found.ends_with("is \"ketamma\"; use \"xxh3\", \"ketama\", \"modula\", \"random\""), "{found}");
}
