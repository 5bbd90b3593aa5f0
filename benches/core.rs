//! What a request costs in the core, without sockets: from a client's bytes to the node's pipe and back.
//!
//! One iteration is a batch: each of two clients sends it, three nodes answer, everything is flushed. Divide by the
//! number of requests in the name. Hash, table row, pipe, slot, reply and latency bucket are all in it.

use std::{hint::black_box, rc::Rc, sync::Arc};

use circlet::traffic::{
    client::{ClientKey, Record},
    command::Table,
    core::{Core, Facts, Snapshot, Todo},
    pipe::PipeId,
    route::{Address, Epoch, Node, Ring, Topology},
    settings::Settings,
};
use criterion::{Criterion, criterion_group, criterion_main};

const NODES: usize = 3;

fn core() -> Core {
    let names: Vec<String> = (0..NODES).map(|node| format!("node-{node}")).collect();
    let node = |name: &String| Node::new(name.clone(), Address::Tcp { host: "127.0.0.1".into(), port: 1 });
    let ring = Ring::build(&names.iter().map(|name| (name.as_str(), 1.0)).collect::<Vec<_>>(), 8192).expect("a ring");
    let topology = Arc::new(Topology::new(names.iter().map(node).collect(), ring, Epoch(1)));
    let snapshot = Snapshot { topology, table: Arc::new(Table::builtin()), facts: Facts::default() };
    let mut core = Core::new(Arc::new(Settings::default()), snapshot, Arc::default(), 0, 1);
    core.open_all();
    for todo in core.take_todo() {
        if let Todo::Connect(id, attempt) = todo {
            assert!(core.pipe_connected(id, attempt));
        }
    }
    core.take_todo();
    core
}

fn client(core: &mut Core, id: u64) -> ClientKey {
    core.add_client(Arc::new(Record::new(id, "127.0.0.1:1".into(), "l".into(), 0, 0)))
}

fn flush(core: &mut Core) {
    while let Some(id) = core.next_dirty_pipe() {
        let (pipe, pool) = core.pipe_out(id);
        let len = pipe.out.len();
        pipe.out.advance(len, pool);
        core.pipe_wrote(id, len);
    }
    while let Some(key) = core.next_dirty_client() {
        if let Some((client, pool)) = core.client_out(key) {
            let len = black_box(client.out.len());
            client.out.advance(len, pool);
            core.settle_client(key);
        }
    }
    if core.measures_flush() {
        core.flushed();
    }
}

/// Runs `requests` (each a command of its own) for two clients; `reply` is what a node says to each sub-command.
fn round_trip(criterion: &mut Criterion, name: &str, requests: &[Vec<u8>], reply: impl Fn(&[u8]) -> Vec<u8>) {
    let mut core = core();
    let clients = [client(&mut core, 1), client(&mut core, 2)];
    let batch = requests.concat();
    // What each node will be asked decides what it answers.
    core.feed_client(clients[0], &batch);
    let mut replies = Vec::new();
    for node in 0..NODES {
        let id = PipeId(node as u32);
        let (pipe, pool) = core.pipe_out(id);
        let mut asked = Vec::new();
        pipe.out.copy_to(&mut asked);
        pipe.out.clear(pool);
        replies.push((id, reply(&asked)));
    }
    let chunks: Vec<_> = replies
        .iter()
        .map(|(id, text)| {
            let mut chunk = core.pool().take();
            Rc::get_mut(&mut chunk).expect("a fresh chunk")[..text.len()].copy_from_slice(text);
            (*id, chunk, text.len())
        })
        .collect();
    for (id, chunk, len) in &chunks {
        core.feed_node(*id, chunk, *len).expect("replies");
    }
    flush(&mut core);
    let mut now_us = 0;
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            now_us += 100;
            core.set_now(now_us);
            for key in clients {
                core.feed_client(key, black_box(&batch));
            }
            flush(&mut core);
            for _ in clients {
                for (id, chunk, len) in &chunks {
                    core.feed_node(*id, chunk, *len).expect("replies");
                }
            }
            flush(&mut core);
        });
    });
}

fn command(words: &[&[u8]]) -> Vec<u8> {
    let mut text = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        text.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        text.extend_from_slice(word);
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// The number after `*` of each command in `asked`.
fn lengths(asked: &[u8]) -> Vec<usize> {
    let text = String::from_utf8_lossy(asked);
    text.split("\r\n").filter_map(|line| line.strip_prefix('*')?.parse().ok()).collect()
}

fn benches(criterion: &mut Criterion) {
    let key = |n: u64| format!("key:{:012}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 1_000_000).into_bytes();
    let value = [b'x'; 64];
    let bulk = command(&[&value])[4..].to_vec();
    let gets: Vec<_> = (0..64).map(|n| command(&[b"GET", &key(n)])).collect();
    round_trip(criterion, "core/get x 128", &gets, |asked| bulk.repeat(lengths(asked).len()));
    let sets: Vec<_> = (0..64).map(|n| command(&[b"SET", &key(n), &value])).collect();
    round_trip(criterion, "core/set x 128", &sets, |asked| b"+OK\r\n".repeat(lengths(asked).len()));
    let mget = |n: u64| {
        let keys: Vec<_> = (0..10).map(|k| key(n * 10 + k)).collect();
        command(&[&[&b"MGET"[..]], &keys.iter().map(Vec::as_slice).collect::<Vec<_>>()[..]].concat())
    };
    let mgets: Vec<_> = (0..16).map(mget).collect();
    round_trip(criterion, "core/mget of 10 x 32", &mgets, |asked| {
        lengths(asked)
            .iter()
            .flat_map(|n| [format!("*{}\r\n", n - 1).into_bytes(), bulk.repeat(n - 1)].concat())
            .collect()
    });
}

criterion_group!(all, benches);
criterion_main!(all);
