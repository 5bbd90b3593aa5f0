//! Watching nodes that are played by these tests: bytes in, bytes out.

use std::sync::Mutex;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;
use crate::traffic::route::{Address, Epoch, Ring};

fn settings() -> PipeSettings {
    PipeSettings {
        connect_timeout: Duration::from_millis(500),
        request_timeout: Duration::from_millis(500),
        backoff_min: Duration::from_millis(2),
        backoff_max: Duration::from_millis(10),
        ..PipeSettings::default()
    }
}

fn topology(port: u16, password: Option<&str>) -> Arc<Topology> {
    let address = Address::Tcp { host: "localhost".to_owned(), port };
    let node = Node { password: password.map(Into::into), ..Node::new("a", address) };
    Arc::new(Topology::new(vec![node], Ring::build(&[("a", 1.0)], 16).unwrap(), Epoch(1)))
}

/// Answers each request by the first script line whose word it contains; other requests get an error.
async fn play(mut stream: TcpStream, script: &[(&str, &str)]) {
    let mut buffer = vec![0; 4_096];
    loop {
        let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
        let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let answer = script.iter().find(|(word, _)| request.contains(word)).map_or("-ERR no\r\n", |(_, answer)| answer);
        if answer == "close" || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

const INFO: &str = "$37\r\nredis_version:6.2.14\r\nrun_id:01234567\r\n";

type Published = Arc<Mutex<Vec<Facts>>>;

/// Watches a listener's node; gives the board and what is published.
fn watched(topology: Arc<Topology>) -> (Arc<Board>, Published, tokio::task::JoinHandle<()>) {
    let (_, board, published, task) = following(topology);
    (board, published, task)
}

type Snapshots = Arc<watch::Sender<Snapshot>>;

/// As [`watched`], with what topologies are published in.
fn following(topology: Arc<Topology>) -> (Snapshots, Arc<Board>, Published, tokio::task::JoinHandle<()>) {
    following_with(topology, Box::new(|_| Vec::new()))
}

/// The same while workers suffer this.
fn following_with(
    topology: Arc<Topology>,
    signs: Signs,
) -> (Snapshots, Arc<Board>, Published, tokio::task::JoinHandle<()>) {
    let table = Arc::new(Table::builtin());
    let snapshot = Snapshot { topology, table: Arc::clone(&table), facts: Facts::default() };
    let snapshots = Arc::new(watch::Sender::new(snapshot));
    let journal = Arc::new(Journal::new(1, 0));
    let board = Arc::new(Board::new(journal, Some(Duration::ZERO), signs, Box::new(|| {})));
    let published = Published::default();
    let seen = Arc::clone(&published);
    let kept = Arc::clone(&snapshots);
    let publish = move |_table, facts| {
        seen.lock().unwrap().push(facts);
        // As the fleet does, which the probe keeps.
        kept.send_modify(|_| {});
    };
    let task =
        tokio::spawn(run(snapshots.subscribe(), Arc::new(settings), Arc::clone(&board), Known::new(table), publish));
    (snapshots, board, published, task)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(5), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn facts_are_published_and_the_nodes_end_and_return_are_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (board, published, task) = watched(topology(listener.local_addr().unwrap().port(), None));
    let script: &[(&str, &str)] = &[
        ("INFO", INFO),
        ("COUNT", ":240\r\n"),
        ("CONFIG", "*2\r\n$9\r\ndatabases\r\n$1\r\n4\r\n"),
        ("COMMAND", "*0\r\n"),
    ];
    let (stream, _) = listener.accept().await.unwrap();
    let node = tokio::spawn(play(stream, script));
    until("up", || board.answers(NodeId(0))).await;
    until("published", || !published.lock().unwrap().is_empty()).await;
    let facts = published.lock().unwrap()[0].clone();
    assert_eq!((facts.version.as_str(), facts.databases), ("6.2.14", 4));
    node.abort();
    until("down", || !board.answers(NodeId(0))).await;
    let (stream, _) = listener.accept().await.unwrap();
    let node = tokio::spawn(play(stream, script));
    until("up again", || board.answers(NodeId(0))).await;
    assert_eq!(published.lock().unwrap().len(), 1, "the same facts are not published again");
    task.abort();
    node.abort();
}

#[tokio::test]
async fn nodes_that_join_are_watched_and_those_that_leave_are_not() {
    let listeners = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let [one, other] = listeners.each_ref().map(|listener| topology(listener.local_addr().unwrap().port(), None));
    let (snapshots, board, published, task) = following(Arc::clone(&one));
    let slots = |second: f64, epoch| {
        let mut nodes = vec![one.nodes[0].clone(), Node { name: "b".to_owned(), ..other.nodes[0].clone() }];
        nodes[1].member = second > 0.0;
        let topology = Topology::new(nodes, Ring::build(&[("a", 1.0), ("b", second)], 16).unwrap(), Epoch(epoch));
        snapshots.send_modify(|snapshot| snapshot.topology = Arc::new(topology));
    };
    let lower: &[(&str, &str)] = &[("INFO", "$37\r\nredis_version:6.2.13\r\nrun_id:76543210\r\n")];
    let mut players = Vec::new();
    for (listener, script) in listeners.iter().zip([&[("INFO", INFO)][..], lower]) {
        let (stream, _) = listener.accept().await.unwrap();
        players.push(tokio::spawn(play(stream, script)));
        if players.len() == 1 {
            until("the first", || board.answers(NodeId(0))).await;
            slots(1.0, 2);
        }
    }
    until("the second", || board.answers(NodeId(1))).await;
    let version = || published.lock().unwrap().last().map(|facts| facts.version.clone());
    until("what both are", || version().as_deref() == Some("6.2.13")).await;
    slots(0.0, 3);
    until("what the first is", || version().as_deref() == Some("6.2.14")).await;
    assert!(board.answers(NodeId(0)) && !board.answers(NodeId(1)));
    // Its watcher has closed the connection, so its player ends.
    players.remove(1).await.unwrap();
    task.abort();
    players.remove(0).abort();
}

#[tokio::test]
async fn a_node_that_tells_nothing_is_up_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (board, published, task) = watched(topology(listener.local_addr().unwrap().port(), None));
    let (stream, _) = listener.accept().await.unwrap();
    let node = tokio::spawn(play(stream, &[]));
    until("up", || board.answers(NodeId(0))).await;
    assert!(published.lock().unwrap().is_empty());
    task.abort();
    node.abort();
}

#[tokio::test]
async fn wrong_passwords_garbage_and_silence_are_down_and_tried_again() {
    for (password, script) in [
        (Some("x"), &[("AUTH", "-WRONGPASS invalid\r\n")][..]),
        (None, &[("INFO", "-NOAUTH Authentication required.\r\n")][..]),
        (None, &[("INFO", "HTTP/1.1 400 Bad Request\r\n\r\n")][..]),
        (None, &[("INFO", "+OK\r\n+MORE\r\n")][..]),
        (None, &[("INFO", "$1000000000000000\r\n")][..]),
        (None, &[("INFO", "close")][..]),
        (None, &[("INFO", "$5\r\n")][..]),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (board, _, task) = watched(topology(listener.local_addr().unwrap().port(), password));
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(play(stream, script));
        }
        assert!(!board.answers(NodeId(0)), "{script:?}");
        task.abort();
    }
}

#[tokio::test]
async fn the_password_is_sent_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (_board, _, task) = watched(topology(listener.local_addr().unwrap().port(), Some("secret")));
    let (mut stream, _) = listener.accept().await.unwrap();
    let expected = b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n";
    let mut request = vec![0; expected.len()];
    stream.read_exact(&mut request).await.unwrap();
    assert_eq!(request, expected);
    task.abort();
}

#[tokio::test]
async fn a_deeply_nested_reply_is_refused_before_it_is_decoded() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (board, _, task) = watched(topology(listener.local_addr().unwrap().port(), None));
    let deep = "*1\r\n".repeat(100_000);
    for _ in 0..2 {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 256];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(deep.as_bytes()).await;
    }
    assert!(!board.answers(NodeId(0)));
    task.abort();
}

#[tokio::test]
async fn what_workers_suffer_makes_a_node_suspect_until_it_has_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let lost = Arc::new(std::sync::atomic::AtomicU64::new(7));
    let signs = Arc::clone(&lost);
    let (_, board, _, task) = following_with(
        topology(listener.local_addr().unwrap().port(), None),
        Box::new(move |_| vec![0, signs.load(std::sync::atomic::Ordering::SeqCst)]),
    );
    let (stream, _) = listener.accept().await.unwrap();
    let node = tokio::spawn(play(stream, &[("INFO", INFO)]));
    let standing = || board.journal.census().of(NodeId(0)).standing;
    until("up", || standing() == Some(Standing::Up)).await;
    lost.fetch_add(3, std::sync::atomic::Ordering::SeqCst);
    until("suspect", || standing() == Some(Standing::Suspect)).await;
    until("cleared", || standing() == Some(Standing::Up)).await;
    task.abort();
    node.abort();
}

#[tokio::test]
async fn a_node_that_is_left_out_is_watched_and_down_until_it_has_proved_itself() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = topology(listener.local_addr().unwrap().port(), None);
    let there = Node::new("b", Address::Unix("/nowhere".into()));
    let nodes = vec![there, Node { member: false, out: true, ..one.nodes[0].clone() }];
    let ring = || Ring::build(&[("b", 1.0), ("", 0.0)], 16).unwrap();
    let (snapshots, board, _, task) = following(Arc::new(Topology::new(nodes.clone(), ring(), Epoch(1))));
    let (stream, _) = listener.accept().await.unwrap();
    let node = tokio::spawn(play(stream, &[("INFO", INFO)]));
    let standing = || board.journal.census().of(NodeId(1)).standing;
    until("it to answer", || board.answers(NodeId(1))).await;
    until("it to be judged", || standing().is_some()).await;
    assert_eq!(standing(), Some(Standing::Down));
    // Once it has left for good nobody watches it.
    let mut gone = nodes;
    gone[1].out = false;
    snapshots.send_modify(|snapshot| snapshot.topology = Arc::new(Topology::new(gone, ring(), Epoch(2))));
    node.await.unwrap();
    until("it to be forgotten", || standing().is_none()).await;
    task.abort();
}
