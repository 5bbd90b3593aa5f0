//! Look-ups on the ring, the hash and the tag, and what building a ring takes.
//!
//! `cargo bench --bench ring`. "owner" has independent look-ups, as in a batch of requests; in "owner, chained" each
//! look-up waits for the one before, which shows the latency of the memory the ring lies in.

use std::hint::black_box;

use circlet::traffic::route::{
    KeyHash, Ring, Scheme, hash_tag,
    ring::{Circle, Hashing},
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// The default points per weight.
const POINTS: u32 = 8192;

/// Numbers of nodes.
const SIZES: [usize; 4] = [3, 10, 100, 1000];

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("cache-{number}")).collect()
}

fn nodes(names: &[String]) -> Vec<(&str, f64)> {
    names.iter().map(|name| (name.as_str(), 1.0)).collect()
}

/// The next of a row of well-spread numbers (Weyl sequence with a multiplication).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mixed ^ (mixed >> 32)
}

fn look_up(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    for size in SIZES {
        let names = names(size);
        let circle = Circle::build(&nodes(&names), POINTS).expect("a circle of equal nodes");
        let ring = Ring::build(&nodes(&names), POINTS).expect("a ring of equal nodes");
        let mut state = 1;
        group.bench_function(BenchmarkId::new("hash only", size), |b| b.iter(|| black_box(next(&mut state))));
        group.bench_function(BenchmarkId::new("owner", size), |b| b.iter(|| black_box(circle.owner(next(&mut state)))));
        group.bench_function(BenchmarkId::new("owner, chained", size), |b| {
            b.iter(|| state ^= u64::from(black_box(circle.owner(next(&mut state))).0));
        });
        let keys: Vec<String> = (0..4096).map(|number| format!("user:{number}:profile")).collect();
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("owner_of a key", size), |b| {
            b.iter(|| {
                turn = (turn + 1) % keys.len();
                black_box(ring.owner_of(keys[turn].as_bytes()))
            });
        });
    }
    group.finish();
}

fn hash(c: &mut Criterion) {
    let mut group = c.benchmark_group("key");
    for length in [10, 30, 100] {
        let key = vec![b'k'; length];
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("tag", length), |b| b.iter(|| hash_tag::tag(black_box(&key)).len()));
        group.bench_function(BenchmarkId::new("hash", length), |b| b.iter(|| Circle::hash(black_box(&key))));
    }
    group.finish();
}

/// A key's owner by twemproxy's distributions, for each hash.
fn twemproxy(c: &mut Criterion) {
    let mut group = c.benchmark_group("twemproxy");
    let names = names(10);
    let keys: Vec<String> = (0..4096).map(|number| format!("user:{number}:profile")).collect();
    for (name, hash) in KeyHash::NAMES {
        for (kind, scheme) in [("ketama", Scheme::Ketama as fn(_) -> _), ("modula", Scheme::Modula)] {
            let ring = Ring::of(&nodes(&names), &scheme(Hashing { hash, tag: None })).expect("a ring of equal nodes");
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(kind, name), |b| {
                b.iter(|| {
                    turn = (turn + 1) % keys.len();
                    black_box(ring.owner_of(keys[turn].as_bytes()))
                });
            });
        }
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring build");
    group.sample_size(10);
    for size in SIZES {
        let names = names(size);
        let nodes = nodes(&names);
        group.bench_function(BenchmarkId::from_parameter(size), |b| b.iter(|| Ring::build(black_box(&nodes), POINTS)));
    }
    group.finish();
}

criterion_group!(benches, hash, look_up, twemproxy, build);
criterion_main!(benches);
