//! SIGHUP: the configuration is read again; what can follow does, sessions stay, and a wrong file changes nothing.

use std::fs;

use rustix::process::Signal;

use crate::support::{
    Redis,
    circlet::{Circlet, Plan},
    dir::Dir,
    wait::until_true,
};

/// A file with one node and some options.
fn file(options: &str, nodes: &[&Redis]) -> String {
    let node =
        |(index, node): (usize, &&Redis)| format!("[[nodes]]\nname = \"n{index}\"\naddress = \"{}\"\n", node.address());
    options.to_owned() + &nodes.iter().enumerate().map(node).collect::<String>()
}

/// Has it read another file, and waits until it says `done`.
fn reload(circlet: &mut Circlet, text: &str, done: &str) {
    let before = circlet.output().matches(done).count();
    fs::write(circlet.dir().file("circlet.toml"), text).unwrap();
    circlet.signal(Signal::HUP);
    until_true(done, || circlet.output().matches(done).count() > before);
}

#[test]
fn what_can_follow_another_file_does_and_sessions_stay() {
    let node = Redis::start();
    let mut circlet = Plan::default().config(file("", &[&node])).wait_for(1).start();
    let mut client = circlet.client();
    client.expect("SET k v", "+OK\r\n");
    client.expect("WATCH k", "+OK\r\n");
    client.expect("CONFIG SET circlet.session.max_queued 5", "+OK\r\n");
    let options =
        "drain_timeout = \"3s\"\nrequirepass = \"hush\"\n[session]\nmax_pending = 7\n[slowlog]\nmax_len = 3\n";
    let done = "changed: session.max_pending = 7, session.max_queued = 100000, slowlog.max_len = 3; these differ and need a \
                restart: drain_timeout, requirepass";
    reload(&mut circlet, &file(options, &[&node]), done);
    let shown = client.ask("CONFIG GET circlet.session.max_pending");
    assert_eq!(shown, "*2\r\n$27\r\ncirclet.session.max_pending\r\n$1\r\n7\r\n");
    // What was begun before goes on.
    client.expect("MULTI", "+OK\r\n");
    client.expect("GET k", "+QUEUED\r\n");
    client.expect("EXEC", "*1\r\n$1\r\nv\r\n");
    let events = client.ask("CIRCLET EVENTS");
    assert!(events.contains("session.max_pending = 7 (reload)") && events.contains("was read again"), "{events}");
    assert!(!circlet.output().contains("hush") && !events.contains("hush"));
    // The same file again is nothing new, but for what still waits for a restart.
    let done = "nothing was changed; these differ and need a restart: drain_timeout, requirepass";
    reload(&mut circlet, &file(options, &[&node]), done);
    // Every worker goes by it.
    reload(&mut circlet, &file("[session]\nmax_queued = 1\n", &[&node]), "session.max_queued = 1");
    for mut client in [circlet.client(), circlet.client(), circlet.client()] {
        until_true("the worker to go by it", || {
            client.expect("MULTI", "+OK\r\n");
            client.expect("GET k", "+QUEUED\r\n");
            let refused = client.ask("GET k").starts_with('-');
            client.ask("DISCARD");
            refused
        });
    }
}

#[test]
fn a_wrong_file_changes_nothing_and_every_mistake_is_told() {
    let node = Redis::start();
    let mut circlet = Plan::default().config(file("[session]\nmax_pending = 9\n", &[&node])).wait_for(1).start();
    let mut client = circlet.client();
    let wrong = "workers = 0\n[session]\nmax_pending = 8\nmax_queue = 3\n";
    reload(&mut circlet, &file(wrong, &[&node]), "session.max_queue is no option");
    let output = circlet.output();
    assert!(output.contains("circlet.toml:1: workers is 0; use 1 to 1024"), "{output}");
    let value = "*2\r\n$27\r\ncirclet.session.max_pending\r\n$1\r\n9\r\n";
    client.expect("CONFIG GET circlet.session.max_pending", value);
    let events = client.ask("CIRCLET EVENTS");
    assert!(
        events.contains("was not read again, what was before holds: ") && events.contains("workers is 0"),
        "{events}"
    );
    // Without the file, too; and then it can be right again.
    fs::remove_file(circlet.dir().file("circlet.toml")).unwrap();
    circlet.signal(Signal::HUP);
    until_true("the missing file to be told", || circlet.output().contains("cannot be read"));
    client.expect("CONFIG GET circlet.session.max_pending", value);
    reload(&mut circlet, &file("[session]\nmax_pending = 8\n", &[&node]), "changed: session.max_pending = 8");
}

#[test]
fn without_a_file_there_is_nothing_to_be_read_again() {
    let node = Redis::start();
    let mut circlet = Plan::default().node(node.address()).start();
    circlet.signal(Signal::HUP);
    until_true("it to be told", || circlet.output().contains("there is no configuration file to be read again"));
    circlet.client().expect("PING", "+PONG\r\n");
    assert!(circlet.runs());
}

/// Waits until no change of the nodes is under way.
fn wait_idle(circlet: &Circlet) {
    let mut client = circlet.client();
    until_true("the change to be done", || {
        let status = client.ask("CIRCLET REBALANCE STATUS");
        status.contains("\r\nidle\r\n")
            && status.contains("$6\r\nchange\r\n$1\r\n0\r\n")
            && status.contains("queued\r\n$1\r\n0")
    });
}

#[test]
fn nodes_in_the_file_become_a_change_and_no_key_is_lost() {
    let (nodes, dir) = (Redis::several(3), Dir::new());
    let state = format!("state = \"{}\"\n", dir.file("state").display());
    let text = |nodes: &[&Redis]| file(&state, nodes);
    let mut circlet = Plan::default().config(text(&[&nodes[0], &nodes[1]])).wait_for(2).start();
    let mut client = circlet.client();
    (0..300).for_each(|number| client.expect(&format!("SET k{number} v{number}"), "+OK\r\n"));
    let all_are_there = |circlet: &Circlet| {
        let mut client = circlet.client();
        for number in 0..300 {
            let value = format!("v{number}");
            client.expect(&format!("GET k{number}"), &format!("${}\r\n{value}\r\n", value.len()));
        }
    };
    fs::write(circlet.dir().file("circlet.toml"), text(&[&nodes[0], &nodes[1], &nodes[2]])).unwrap();
    let told = client.ask("CIRCLET RELOAD");
    assert!(told.starts_with("*6\r\n$7\r\nchanged\r\n*0\r\n") && told.contains("change 1 begins"), "{told}");
    wait_idle(&circlet);
    all_are_there(&circlet);
    assert!(nodes[2].client().value("DBSIZE").number() > 0);
    // The file was followed: the same again is nothing new, also after a restart.
    assert_eq!(
        client.ask("CIRCLET RELOAD"),
        "*6\r\n$7\r\nchanged\r\n*0\r\n$7\r\nrestart\r\n*0\r\n$5\r\nnodes\r\n*0\r\n"
    );
    circlet.restart();
    wait_idle(&circlet);
    all_are_there(&circlet);
    // What differs at the start becomes a change, too.
    fs::write(circlet.dir().file("circlet.toml"), text(&[&nodes[0], &nodes[1]])).unwrap();
    circlet.restart();
    until_true("the node to be empty", || nodes[2].client().value("DBSIZE").number() == 0);
    wait_idle(&circlet);
    all_are_there(&circlet);
    let ring = circlet.client().ask("CIRCLET RING");
    assert!(ring.contains(&nodes[1].address()) && !ring.contains(&nodes[2].address()), "{ring}");
}

#[test]
fn nodes_that_cannot_be_followed_change_nothing_else_either() {
    let nodes = Redis::several(2);
    let circlet = Plan::default().config(file("", &[&nodes[0]])).wait_for(1).start();
    let mut client = circlet.client();
    let other = file("[session]\nmax_pending = 7\n", &[&nodes[0], &nodes[1]]);
    fs::write(circlet.dir().file("circlet.toml"), other).unwrap();
    let refused = client.ask("CIRCLET RELOAD");
    assert!(refused.starts_with("-ERR") && refused.contains("--state DIR"), "{refused}");
    client
        .expect("CONFIG GET circlet.session.max_pending", "*2\r\n$27\r\ncirclet.session.max_pending\r\n$4\r\n1024\r\n");
    fs::write(circlet.dir().file("circlet.toml"), "workers = 0\nlisten = 3\n").unwrap();
    let refused = client.ask("CIRCLET RELOAD");
    assert!(refused.contains("circlet.toml:1: workers is 0") && refused.contains(" | "), "{refused}");
}
