//! Doors against real sockets of this machine.

use std::{
    fs,
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    sync::{Arc, Mutex},
};

use super::*;
use crate::{scratch::Scratch, traffic::route::Address};

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp { host: host.to_owned(), port }
}

fn port_of(door: &Door) -> u16 {
    door.name().rsplit_once(':').unwrap().1.parse().unwrap()
}

#[test]
fn a_taken_port_is_told_with_its_address() {
    let door = bind(&tcp("127.0.0.1", 0), 0).unwrap().remove(0);
    let error = bind(&tcp("127.0.0.1", port_of(&door)), 0).unwrap_err();
    assert!(matches!(error.reason, Reason::Taken), "{error}");
    assert!(error.to_string().starts_with(&format!("cannot listen on {}: it is taken", door.name())), "{error}");
}

#[test]
fn an_address_of_another_machine_is_told_so() {
    let error = bind(&tcp("192.0.2.1", 6380), 0).unwrap_err();
    assert!(matches!(error.reason, Reason::NotOurs), "{error}");
}

#[test]
fn ipv4_and_ipv6_wildcards_stand_side_by_side() {
    let four = bind(&tcp("0.0.0.0", 0), 0).unwrap().remove(0);
    match bind(&tcp("::", port_of(&four)), 0) {
        Ok(six) => assert_eq!(six[0].name(), format!("[::]:{}", port_of(&four))),
        // A machine without IPv6.
        Err(error) => assert!(matches!(error.reason, Reason::NotOurs | Reason::Other(_)), "{error}"),
    }
}

#[test]
fn a_host_name_is_resolved() {
    let doors = bind(&tcp("localhost", 0), 0).unwrap();
    assert!(doors.iter().all(|door| door.name().starts_with("127.0.0.1:") || door.name().starts_with("[::1]:")));
}

#[test]
fn a_socket_file_has_its_mode_and_goes_with_its_door() {
    let dir = Scratch::new("door-mode");
    let path = dir.path().join("mode.sock");
    let doors = bind(&Address::Unix(path.clone()), 0o600).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(doors);
    assert!(!path.exists());
}

#[test]
fn a_stale_socket_is_replaced_a_living_one_is_not() {
    let dir = Scratch::new("door-stale");
    let path = dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves the file behind");
    let living = bind(&Address::Unix(path.clone()), 0o660).unwrap();
    let error = bind(&Address::Unix(path), 0o660).unwrap_err();
    assert!(matches!(error.reason, Reason::Taken), "{error}");
    drop(living);
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let dir = Scratch::new("door-plain");
    let path = dir.path().join("plain.txt");
    fs::write(&path, "precious").unwrap();
    let error = bind(&Address::Unix(path.clone()), 0o660).unwrap_err();
    assert!(matches!(error.reason, Reason::NoSocket), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_socket_that_somebody_else_made_meanwhile_is_not_removed() {
    let dir = Scratch::new("door-swapped");
    let path = dir.path().join("swapped.sock");
    let doors = bind(&Address::Unix(path.clone()), 0o660).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(doors);
    assert!(path.exists());
}

#[tokio::test]
async fn accepted_sockets_are_handed_on_with_their_local_address() {
    let dir = Scratch::new("door-accept");
    let path = dir.path().join("accept.sock");
    let mut doors = bind(&tcp("127.0.0.1", 0), 0).unwrap();
    doors.extend(bind(&tcp("0.0.0.0", 0), 0).unwrap());
    doors.extend(bind(&Address::Unix(path.clone()), 0o660).unwrap());
    let ports = [port_of(&doors[0]), port_of(&doors[1])];
    let locals = Arc::new(Mutex::new(Vec::new()));
    let loops: Vec<_> = doors
        .into_iter()
        .map(|door| {
            let locals = Arc::clone(&locals);
            tokio::spawn(async move {
                accept(door, &AtomicU64::new(0), move |_stream, local| locals.lock().unwrap().push(local)).await
            })
        })
        .collect();
    let _clients = ports.map(|port| TcpStream::connect(("127.0.0.1", port)).unwrap());
    let _client = UnixStream::connect(&path).unwrap();
    let mut expected =
        vec![format!("127.0.0.1:{}", ports[0]), format!("127.0.0.1:{}", ports[1]), format!("{}:0", path.display())];
    while locals.lock().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut seen = locals.lock().unwrap().clone();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    for accepting in loops {
        accepting.abort();
        assert!(accepting.await.unwrap_err().is_cancelled());
    }
    assert!(!path.exists(), "a closed door takes its file with it");
    assert!(TcpStream::connect(("127.0.0.1", ports[0])).is_err());
}
