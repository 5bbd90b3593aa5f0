//! Where clients connect and where nodes listen: unix sockets, IPv6, host names, several addresses.

use std::{net::TcpListener, os::unix::fs::PermissionsExt};

use crate::support::{Client, Redis, circlet::Plan, dir::Dir, port::Port};

#[test]
fn unix_sockets_on_both_sides() {
    let dir = Dir::new();
    let (near, far) = (dir.file("c.sock"), dir.file("n.sock"));
    let node = Redis::with(&["--unixsocket", &far.display().to_string()]);
    let circlet = Plan::default()
        .node(format!("n1=unix:{}", far.display()))
        .argument("--listen")
        .argument(format!("unix:{}", near.display()))
        .start();
    let mut client = Client::connect(&format!("unix:{}", near.display()));
    client.expect("SET k v", "+OK\r\n");
    circlet.client().expect("GET k", "$1\r\nv\r\n");
    node.client().expect("GET k", "$1\r\nv\r\n");
    let mode = std::fs::metadata(&near).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660, "{mode:o}");
    let list = client.value("CLIENT LIST").text();
    assert!(list.contains("c.sock"), "{list}");
    drop(circlet);
    assert!(!near.exists(), "the socket file is removed");
}

#[test]
fn a_socket_file_that_nobody_serves_is_replaced() {
    let dir = Dir::new();
    let path = dir.file("c.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let node = Redis::start();
    let listen = format!("unix:{}", path.display());
    let _circlet = Plan::default().node(node.address()).argument("--listen").argument(&listen).start();
    Client::connect(&listen).expect("PING", "+PONG\r\n");
}

#[test]
fn ipv6_and_host_names() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("this machine has no IPv6: only the host name is tried");
    }
    let six = TcpListener::bind("[::1]:0").is_ok();
    let (node_host, bind) = if six { ("[::1]", "::1") } else { ("127.0.0.1", "127.0.0.1") };
    let node = Redis::with(&["--bind", "127.0.0.1", bind]);
    let named = Port::lease();
    let sixth = Port::lease();
    let mut plan = Plan::default()
        .node(format!("n1={node_host}:{}", node.port()))
        .node(format!("n2=localhost:{}", node.port()))
        .argument("--listen")
        .argument(format!("localhost:{}", named.number()));
    if six {
        plan = plan.argument("--listen").argument(format!("[::1]:{}", sixth.number()));
    }
    let circlet = plan.start();
    circlet.client().expect("SET k v", "+OK\r\n");
    Client::connect(&format!("localhost:{}", named.number())).expect("GET k", "$1\r\nv\r\n");
    if six {
        Client::connect(&format!("[::1]:{}", sixth.number())).expect("GET k", "$1\r\nv\r\n");
    }
}
