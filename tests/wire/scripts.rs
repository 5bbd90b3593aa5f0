//! EVAL, SCRIPT, FUNCTION and FCALL: run where their keys are, known on every node.

use crate::support::{Cluster, Redis, cluster::plan_over, resp, resp::Value, wait::until_true};

#[test]
fn a_script_runs_where_its_keys_are() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    for number in 0..30 {
        let key = format!("k{number}");
        let reply = client.call(&["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", &key, "v"]);
        assert_eq!(reply, b"+OK\r\n");
        client.expect(&format!("GET {key}"), "$1\r\nv\r\n");
        assert_eq!(client.call(&["EVAL_RO", "return redis.call('GET', KEYS[1])", "1", &key]), b"$1\r\nv\r\n");
    }
    assert_eq!(client.call(&["EVAL", "return ARGV[1]", "0", "x"]), b"$1\r\nx\r\n");
    assert_eq!(client.call(&["EVAL", "return {1,2,{3,'x'}}", "0"]), b"*3\r\n:1\r\n:2\r\n*2\r\n:3\r\n$1\r\nx\r\n");
}

#[test]
fn a_loaded_script_is_known_on_every_node() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let script = "return {KEYS[1],ARGV[1]}";
    let sha = Value::of(&client.call(&["SCRIPT", "LOAD", script])).text();
    assert_eq!(sha.len(), 40);
    for node in &cluster.nodes {
        node.client().expect(&format!("SCRIPT EXISTS {sha}"), "*1\r\n:1\r\n");
    }
    for number in 0..20 {
        let reply = client.value(&format!("EVALSHA {sha} 1 k{number} a"));
        assert_eq!(reply.list()[0].text(), format!("k{number}"));
    }
    // Known to some only is not known.
    let other = Value::of(&cluster.nodes[0].client().call(&["SCRIPT", "LOAD", "return 7"])).text();
    client.expect(&format!("SCRIPT EXISTS {sha} {other} {}", "0".repeat(40)), "*3\r\n:1\r\n:0\r\n:0\r\n");
    client.expect("SCRIPT FLUSH", "+OK\r\n");
    client.expect(&format!("SCRIPT EXISTS {sha}"), "*1\r\n:0\r\n");
    assert!(client.ask(&format!("EVALSHA {sha} 1 k a")).starts_with("-NOSCRIPT "));
    assert!(client.ask("SCRIPT KILL").starts_with("-NOTBUSY "));
    assert!(client.ask("SCRIPT FLUSH NOSUCH").starts_with("-ERR SCRIPT FLUSH only support SYNC|ASYNC option"));
    assert!(client.ask("SCRIPT NOSUCH").starts_with("-ERR unknown subcommand 'NOSUCH'. Try SCRIPT HELP."));
}

#[test]
fn a_script_that_does_not_compile_is_the_nodes_error() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let plain = String::from_utf8(cluster.nodes[0].client().call(&["EVAL", "retur 1", "1", "k"])).unwrap();
    assert!(plain.starts_with("-ERR Error compiling script"), "{plain}");
    assert_eq!(String::from_utf8(client.call(&["EVAL", "retur 1", "1", "k"])).unwrap(), plain);
    let loaded = String::from_utf8(client.call(&["SCRIPT", "LOAD", "retur 1"])).unwrap();
    assert!(loaded.starts_with(plain.trim_end()), "{loaded}");
}

const LIBRARY: &str = "#!lua name=lib\n\
    redis.register_function('put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)\n\
    redis.register_function{function_name='got', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}";

#[test]
fn a_function_is_loaded_on_every_node_and_called_where_its_keys_are() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]), b"$3\r\nlib\r\n");
    let again = String::from_utf8(client.call(&["FUNCTION", "LOAD", LIBRARY])).unwrap();
    assert!(again.starts_with("-ERR Library 'lib' already exists"), "{again}");
    assert_eq!(client.call(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]), b"$3\r\nlib\r\n");
    for number in 0..20 {
        client.expect(&format!("FCALL put 1 k{number} v"), "+OK\r\n");
        client.expect(&format!("FCALL_RO got 1 k{number}"), "$1\r\nv\r\n");
    }
    client.expect("DBSIZE", ":20\r\n");
    assert!(client.ask("FUNCTION LIST").contains("lib"));
    let dump = client.call(&["FUNCTION", "DUMP"]);
    let Value::Bulk(dump) = Value::of(&dump) else { panic!("no bulk: {dump:?}") };
    client.expect("FUNCTION DELETE lib", "+OK\r\n");
    for node in &cluster.nodes {
        node.client().expect("FUNCTION LIST", "*0\r\n");
    }
    assert_eq!(client.call(&[&b"FUNCTION"[..], b"RESTORE", &dump]), b"+OK\r\n");
    for node in &cluster.nodes {
        assert!(node.client().ask("FUNCTION LIST").contains("lib"));
    }
    client.expect("FUNCTION FLUSH", "+OK\r\n");
    client.expect("FUNCTION LIST", "*0\r\n");
    assert!(client.ask("FCALL put 1 k v").starts_with("-ERR Function not found"));
    assert!(client.ask("FUNCTION KILL").starts_with("-NOTBUSY "));
    assert!(client.ask("FUNCTION STATS").contains("running_script"));
}

#[test]
fn a_running_script_is_found_and_killed_from_another_connection() {
    let nodes: Vec<Redis> = (0..3).map(|_| Redis::with(&["--busy-reply-threshold", "50"])).collect();
    let circlet = plan_over(&nodes).set("pipe.request_timeout=60s").set("workers=1").start();
    let mut client = circlet.client();
    let library = "#!lua name=spin\nredis.register_function('spin', function() while true do end end)";
    assert_eq!(client.call(&["FUNCTION", "LOAD", library]), b"$4\r\nspin\r\n");
    for (start, kill) in
        [(&["EVAL", "while true do end", "1", "k"][..], "SCRIPT KILL"), (&["FCALL", "spin", "1", "k"], "FUNCTION KILL")]
    {
        let mut runner = circlet.client();
        let mut bytes = Vec::new();
        resp::request(&mut bytes, start);
        runner.send(&bytes);
        until_true("the script to be killed", || circlet.client().ask(kill) == "+OK\r\n");
        let reply = String::from_utf8(runner.frame()).unwrap();
        assert!(reply.starts_with("-ERR Error running script") || reply.starts_with("-ERR Script killed"), "{reply}");
        assert!(client.ask(kill).starts_with("-NOTBUSY "));
    }
}

#[test]
fn libraries_are_those_of_all_nodes() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    assert_eq!(client.call(&["FUNCTION", "LOAD", LIBRARY]), b"$3\r\nlib\r\n");
    cluster.nodes[0].client().expect("FUNCTION FLUSH", "+OK\r\n");
    let dump = client.call(&["FUNCTION", "DUMP"]);
    assert_eq!(client.value("FUNCTION LIST").list().len(), 1, "n1 has lost it, the others have it");
    assert_eq!(client.value("FUNCTION LIST LIBRARYNAME l*").list().len(), 1);
    client.expect("FUNCTION LIST LIBRARYNAME x*", "*0\r\n");
    assert!(client.ask("FUNCTION LIST NOSUCH").starts_with("-ERR Unknown argument NOSUCH"));
    let engines = client.value("FUNCTION STATS").get("engines").cloned().unwrap();
    assert_eq!(engines.get("LUA").unwrap().get("libraries_count").unwrap().number(), 1);
    client.expect("FUNCTION FLUSH", "+OK\r\n");
    client.expect("FUNCTION LIST", "*0\r\n");
    let mut restore = b"*3\r\n$8\r\nFUNCTION\r\n$7\r\nRESTORE\r\n".to_vec();
    restore.extend_from_slice(&dump);
    client.send(&restore);
    assert_eq!(client.frame(), b"+OK\r\n");
    for node in &cluster.nodes {
        assert_eq!(node.client().value("FUNCTION LIST").list().len(), 1);
    }
}

#[test]
fn a_script_that_was_run_can_be_called_by_its_digest_wherever_its_keys_are() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let text = "return redis.call('INCR', KEYS[1])";
    client.expect("SET k 0", "+OK\r\n");
    assert_eq!(client.call(&["EVAL", text, "1", "k"]), b":1\r\n");
    let sha = Value::of(&cluster.nodes[0].client().call(&["SCRIPT", "LOAD", text])).text();
    cluster.nodes[0].client().expect("SCRIPT FLUSH", "+OK\r\n");
    for number in 0..20 {
        // Also from the other worker, and in capitals.
        let mut client = cluster.client();
        client.expect(&format!("EVALSHA {} 1 n{number}", sha.to_uppercase()), ":1\r\n");
        client.expect(&format!("EVALSHA {sha} 1 n{number}"), ":2\r\n");
    }
    client.expect(&format!("SCRIPT EXISTS {sha}"), "*1\r\n:1\r\n");
    client.expect("SCRIPT FLUSH", "+OK\r\n");
    client.expect(&format!("SCRIPT EXISTS {sha}"), "*1\r\n:0\r\n");
    assert!(client.ask(&format!("EVALSHA {sha} 1 k")).starts_with("-NOSCRIPT "));
    assert!(client.ask(&format!("EVALSHA_RO {sha} 1 k")).starts_with("-NOSCRIPT "));
}

#[test]
fn a_node_that_was_flushed_behind_circlet_is_told_again() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let key = cluster.key_on(1, 0);
    let sha = Value::of(&client.call(&["SCRIPT", "LOAD", "return redis.call('INCR', KEYS[1])"])).text();
    for round in 1..4 {
        cluster.nodes[1].client().expect("SCRIPT FLUSH", "+OK\r\n");
        client.expect(&format!("EVALSHA {sha} 1 {key}"), &format!(":{}\r\n", 2 * round - 1));
        cluster.nodes[1].client().expect("SCRIPT FLUSH", "+OK\r\n");
        client.expect("MULTI", "+OK\r\n");
        client.expect(&format!("EVALSHA {sha} 1 {key}"), "+QUEUED\r\n");
        client.expect("EXEC", &format!("*1\r\n:{}\r\n", 2 * round));
    }
}

#[test]
fn without_memory_for_scripts_the_nodes_answer_is_passed_on() {
    let cluster = Cluster::with(|plan| plan.set("limits.max_scripts=0KB"));
    let mut client = cluster.client();
    let key = cluster.key_on(1, 0);
    let sha = Value::of(&client.call(&["SCRIPT", "LOAD", "return 7"])).text();
    client.expect(&format!("EVALSHA {sha} 1 {key}"), ":7\r\n");
    cluster.nodes[1].client().expect("SCRIPT FLUSH", "+OK\r\n");
    assert!(client.ask(&format!("EVALSHA {sha} 1 {key}")).starts_with("-NOSCRIPT "));
}
