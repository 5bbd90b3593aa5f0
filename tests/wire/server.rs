//! SWAPDB and DEBUG over several nodes.

use crate::support::{Cluster, Redis, cluster::plan_over};

#[test]
fn databases_are_swapped_on_every_node_or_none() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for index in 0..3 {
        client.expect(&format!("SET {} zero", cluster.key_on(index, 0)), "+OK\r\n");
    }
    let plain = Redis::start();
    for line in ["SWAPDB 0 99", "SWAPDB x 1", "SWAPDB 0 x", "SWAPDB 0", "SWAPDB 0 0"] {
        assert_eq!(client.ask(line), plain.client().ask(line), "{line}");
    }
    client.expect("SWAPDB 0 1", "+OK\r\n");
    client.expect("DBSIZE", ":0\r\n");
    client.expect("SELECT 1", "+OK\r\n");
    client.expect("DBSIZE", ":3\r\n");
    client.expect("SWAPDB 0 1", "+OK\r\n");
    client.expect("SELECT 0", "+OK\r\n");
    client.expect("DBSIZE", ":3\r\n");
    cluster.nodes[1].client().expect("ACL SETUSER default -swapdb", "+OK\r\n");
    let refused = client.ask("SWAPDB 0 1");
    assert!(
        refused.starts_with("-NOPERM ") && refused.contains("(node n2); the other nodes were swapped back"),
        "{refused}"
    );
    client.expect("DBSIZE", ":3\r\n");
    // In a pipeline it is done before what stands behind it.
    cluster.nodes[1].client().expect("ACL SETUSER default +swapdb", "+OK\r\n");
    let replies = client.pipeline(b"SWAPDB 0 2\r\nDBSIZE\r\nSWAPDB 0 2\r\nDBSIZE\r\n", 4);
    assert_eq!(replies, [&b"+OK\r\n"[..], b":0\r\n", b"+OK\r\n", b":3\r\n"]);
}

#[test]
fn debug_goes_where_it_makes_sense() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let key = cluster.key_on(2, 0);
    client.expect(&format!("SET {key} v"), "+OK\r\n");
    plain.client().expect(&format!("SET {key} v"), "+OK\r\n");
    let sds = format!("DEBUG SDSLEN {key}");
    assert_eq!(client.ask(&sds), plain.client().ask(&sds));
    assert!(client.ask(&format!("DEBUG OBJECT {key}")).contains("encoding:embstr"));
    client.expect("DEBUG OBJECT nosuch", "-ERR no such key\r\n");
    let digest = format!("DEBUG DIGEST-VALUE {key}");
    assert_eq!(client.ask(&digest), plain.client().ask(&digest));
    let apart = client.ask(&format!("DEBUG DIGEST-VALUE {key} {}", cluster.key_on(0, 0)));
    assert!(apart.starts_with("-CROSSSLOT "), "{apart}");
    for line in [
        "DEBUG SLEEP 0",
        "DEBUG SET-ACTIVE-EXPIRE 1",
        "DEBUG CHANGE-REPL-ID",
        "DEBUG PROTOCOL integer",
        "DEBUG NOSUCH",
        "DEBUG",
    ] {
        assert_eq!(client.ask(line), plain.client().ask(line), "{line}");
    }
    assert!(client.value("DEBUG HTSTATS 0").text().contains("# n3\n"));
    assert!(client.ask("DEBUG DIGEST").contains("acts on one server"));
    assert!(client.ask("DEBUG POPULATE 5").contains("acts on one server"));
    client.expect("DBSIZE", ":1\r\n");
}

#[test]
fn debug_is_refused_unless_every_node_allows_it() {
    let nodes = [Redis::start(), Redis::with(&["--enable-debug-command", "no"]), Redis::start()];
    let circlet = plan_over(&nodes).start();
    let mut client = circlet.client();
    let own = nodes[1].client().ask("DEBUG SLEEP 0");
    assert!(own.starts_with("-ERR DEBUG command not allowed."), "{own}");
    client.expect("DEBUG SLEEP 0", &format!("{} (node n2)\r\n", own.trim_end()));
    // Allowed to this machine only, which this client is on.
    let nodes: Vec<Redis> = (0..2).map(|_| Redis::with(&["--enable-debug-command", "local"])).collect();
    let circlet = plan_over(&nodes).start();
    circlet.client().expect("DEBUG SLEEP 0", "+OK\r\n");
}
