//! Requests that are no RESP, or nearly none: answered as a live redis-server answers the same bytes.

use std::time::Duration;

use crate::support::{Client, Cluster, Redis, circlet::Plan, client::shown, cluster::named, resp};

/// Everything that comes back for `bytes` until the connection is closed.
fn all_of(mut client: Client, bytes: &[u8]) -> Vec<u8> {
    client.send(bytes);
    client.finish_sending();
    client.rest()
}

/// Inputs; a PING follows each, so that it shows whether the connection is still open.
fn inputs() -> Vec<Vec<u8>> {
    let texts = [
        // Arrays that are none.
        "*\r\n",
        "*abc\r\n",
        "*1x\r\n",
        "* 1\r\n",
        "*+1\r\n",
        "*01\r\n",
        "*-5\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*99999999999999999999\r\n",
        "*2147483648\r\n",
        "*9223372036854775807\r\n",
        // Elements that are no bulk strings.
        "*1\r\n+PING\r\n",
        "*1\r\n:1\r\n",
        "*1\r\nPING\r\n",
        "*2\r\n$4\r\nPING\r\n*1\r\n$1\r\nx\r\n",
        "*1\r\n\r\n",
        // Bulk strings of impossible length.
        "*1\r\n$abc\r\n",
        "*1\r\n$\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$-2\r\n",
        "*1\r\n$ 4\r\n",
        "*1\r\n$+4\r\nPING\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "*1\r\n$536870913\r\n",
        "*1\r\n$4294967296\r\n",
        "*1\r\n$99999999999999999999\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n",
        // Requests that are fine.
        "*1\r\n$4\r\nPING\r\n",
        "*1\r\n$4\r\npInG\r\n",
        "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        "*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n",
        "*0\r\n*1\r\n$4\r\nPING\r\n",
        "*1\r\n$0\r\n\r\n",
        "*2\r\n$0\r\n\r\n$1\r\na\r\n",
        // Typed as lines.
        "PING\r\n",
        "PING\n",
        "ping\r\n",
        "\r\n",
        "\n",
        "   \r\n",
        "  PING  \r\n",
        "\tPING\t\r\n",
        "ECHO hello\r\n",
        "ECHO \"hello world\"\r\n",
        "ECHO 'hello world'\r\n",
        "ECHO 'it\\'s'\r\n",
        "ECHO \"\\x41\\x0a\\n\\t\\\\ \\\"\"\r\n",
        "ECHO \"\\xZZ\"\r\n",
        "ECHO ''\r\n",
        "ECHO \"\"\r\n",
        "ECHO a\"b\r\n",
        "ECHO \"a\"b\r\n",
        "ECHO 'a'b\r\n",
        "ECHO \"a\r\n",
        "ECHO 'a\r\n",
        "ECHO \"a\\\r\n",
        "ECHO 'a\\'\r\n",
        "SET a\r\n",
        "ECHO a b c\r\n",
        "\"PING\"\r\n",
        "\"\"\r\n",
        "'' a b\r\n",
        "nosuch a b c\r\n",
        "GET\r\n",
        "\u{7f}\r\n",
        "$4\r\n",
        "+OK\r\n",
        "-ERR\r\n",
        ":1\r\n",
        // A foreign protocol.
        "PING HTTP/1.1\r\nAccept: */*\r\n\r\n",
    ];
    texts.iter().map(|text| [text.as_bytes(), b"PING\r\n"].concat()).collect()
}

#[test]
fn nonsense_is_answered_as_redis_answers_it() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let mut wrong = Vec::new();
    for input in inputs() {
        let (expected, got) = (all_of(plain.client(), &input), all_of(cluster.client(), &input));
        if expected != got {
            wrong.push(format!("{}\n   Redis: {}\n Circlet: {}", shown(&input), shown(&expected), shown(&got)));
        }
    }
    assert!(wrong.is_empty(), "{} inputs are answered differently:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn nonsense_is_answered_alike_when_it_comes_byte_by_byte() {
    let cluster = Cluster::start();
    let mut wrong = Vec::new();
    for input in inputs() {
        let whole = all_of(cluster.client(), &input);
        let mut client = cluster.client();
        for &byte in &input {
            // Closed half-way: the rest is not wanted.
            if client.try_send(&[byte]).is_err() {
                break;
            }
        }
        client.finish_sending();
        let parts = client.rest();
        // What is sent to a closed connection may wipe out the answer on its way; then nothing is there to compare.
        if whole != parts && !(parts.is_empty() && whole.starts_with(b"-ERR Protocol")) {
            wrong.push(format!("{}\n at once: {}\nby bytes: {}", shown(&input), shown(&whole), shown(&parts)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn endless_headers_are_refused_as_redis_refuses_them() {
    let plain = Redis::start();
    let cluster = Cluster::start();
    let long = |start: &str, byte: &str| [start, &byte.repeat(65_600)].concat().into_bytes();
    for input in [long("", "a"), long("*", "1"), long("*1\r\n$", "1"), long("PING ", " ")] {
        let refusal = |mut client: Client| {
            client.send(&input);
            client.rest()
        };
        let (expected, got) = (refusal(plain.client()), refusal(cluster.client()));
        assert!(expected.starts_with(b"-ERR Protocol error: too big"), "{}", shown(&expected));
        assert_eq!(shown(&got), shown(&expected), "{}", shown(&input));
    }
}

#[test]
fn a_line_just_below_the_limit_is_taken() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let word = "a".repeat(65_000);
    client.send(format!("ECHO {word}\r\n").as_bytes());
    assert_eq!(client.frame(), format!("$65000\r\n{word}\r\n").into_bytes());
}

#[test]
fn too_many_arguments_are_refused() {
    let cluster = Cluster::start();
    let got = all_of(cluster.client(), b"*1048577\r\n$4\r\nPING\r\n");
    assert_eq!(shown(&got), shown(b"-ERR Protocol error: invalid multibulk length\r\n"));
}

#[test]
fn the_most_arguments_are_taken() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    let mut args = vec!["EXISTS"];
    args.resize(1_048_576, "k");
    assert_eq!(client.call(&args), b":0\r\n");
}

#[test]
fn limits_are_those_of_the_configuration() {
    let node = Redis::start();
    let circlet = Plan::default()
        .node(named(0, &node.address()))
        .set("limits.max_bulk=1KB")
        .set("limits.max_args=16")
        .set("limits.max_inline=1KB")
        .set("limits.max_request=16KB")
        .start();
    let mut fine = circlet.client();
    assert_eq!(fine.call(&[&b"SET"[..], b"k", &[b'v'; 1024]]), b"+OK\r\n");
    fine.expect("EXISTS a b c d e f g h i j k l m n o", ":1\r\n");
    for (input, text) in [
        ("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1025\r\n".to_owned(), "invalid bulk length"),
        ("*17\r\n$6\r\nEXISTS\r\n".to_owned(), "invalid multibulk length"),
        ("a".repeat(1_100), "too big inline request"),
    ] {
        let mut client = circlet.client();
        client.send(input.as_bytes());
        assert_eq!(shown(&client.rest()), shown(format!("-ERR Protocol error: {text}\r\n").as_bytes()));
    }
    let mut large = Vec::new();
    resp::request(&mut large, &vec!["x".repeat(1_023); 16]);
    let mut client = circlet.client();
    // It may be refused before all of it is sent.
    let _ = client.try_send(&large);
    fine.expect("PING", "+PONG\r\n");
    assert!(client.try_frame(Duration::from_secs(30)).map_or(true, |reply| reply.starts_with(b"-ERR")));
}

#[test]
fn before_authentication_less_is_taken_as_in_redis() {
    let plain = Redis::with(&["--requirepass", "secret"]);
    let cluster = Cluster::with(|plan| plan.set("requirepass=secret"));
    for input in [
        "*11\r\n$4\r\nPING\r\n".to_owned(),
        "*2\r\n$4\r\nECHO\r\n$16385\r\n".to_owned(),
        "*10\r\n$4\r\nPING\r\n".to_owned() + &"$1\r\na\r\n".repeat(9),
        "PING\r\nGET k\r\nAUTH wrong\r\nPING\r\nAUTH secret\r\nPING\r\n".to_owned(),
        "HELLO 3\r\nHELLO 3 AUTH default wrong\r\nHELLO 4 AUTH default secret\r\nAUTH default secret\r\nPING\r\n"
            .to_owned(),
        "AUTH\r\nAUTH a b c\r\nAUTH nobody secret\r\nnosuch\r\nGET\r\nQUIT\r\nPING\r\n".to_owned(),
        "RESET\r\nPING\r\n".to_owned(),
        "COMMAND\r\nCLIENT ID\r\nINFO\r\nSELECT 1\r\nMULTI\r\n".to_owned(),
    ] {
        let (expected, got) = (all_of(plain.client(), input.as_bytes()), all_of(cluster.client(), input.as_bytes()));
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(&expected), "{input:?}");
    }
}

#[test]
fn only_the_connection_with_the_error_is_closed() {
    let cluster = Cluster::start();
    let mut other = cluster.client();
    other.expect("SET k v", "+OK\r\n");
    for _ in 0..50 {
        assert!(all_of(cluster.client(), b"*1\r\n$-9\r\n").starts_with(b"-ERR Protocol error: invalid bulk length"));
    }
    other.expect("GET k", "$1\r\nv\r\n");
}

#[test]
fn what_came_before_an_error_is_answered_first() {
    let cluster = Cluster::start();
    let mut client = cluster.client();
    client.expect("SET k v", "+OK\r\n");
    let keys: String = (0..100).map(|_| "GET k\r\n").collect();
    let got = all_of(cluster.client(), format!("{keys}*x\r\n").as_bytes());
    let expected = "$1\r\nv\r\n".repeat(100) + "-ERR Protocol error: invalid multibulk length\r\n";
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

#[test]
fn an_unfinished_request_costs_nobody_anything() {
    let cluster = Cluster::start();
    let mut halves: Vec<Client> = (0..100).map(|_| cluster.client()).collect();
    for half in &mut halves {
        half.send(b"*2\r\n$3\r\nGET\r\n$3\r\nab");
    }
    cluster.client().expect("PING", "+PONG\r\n");
    for half in &mut halves {
        half.send(b"c\r\n");
        assert_eq!(half.frame(), b"$-1\r\n");
    }
}
