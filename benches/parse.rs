//! Nanoseconds per request or reply: the scanners, and redis-protocol beside them.
//!
//! `cargo bench --bench parse`. Goals on a quiet machine (2 cores): GET 22 ns, SET of 64 bytes 31, MGET of 10 keys
//! 110, bulk reply of 64 bytes 9, array of 100 bulks 742. The last groups show that a large frame which comes in
//! pieces of 4 KB costs one pass, where a decoder that begins anew with each piece costs a pass per piece.
#![allow(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::hint::black_box;

use circlet::traffic::resp::{Elements, Limits, ReplyScanner, Scan, Scanner, encode, inline};
use criterion::{Criterion, criterion_group, criterion_main};
use redis_protocol::resp2::decode::decode_range;

const PIECE: usize = 4096;

fn array(values: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    encode::array_header(&mut out, values.len());
    for value in values {
        encode::bulk(&mut out, value);
    }
    out
}

fn requests(c: &mut Criterion) {
    let keys: Vec<String> = (0..10).map(|n| format!("key:{n:08}")).collect();
    let mget: Vec<&[u8]> = std::iter::once(&b"MGET"[..]).chain(keys.iter().map(|key| key.as_bytes())).collect();
    let cases = [
        ("get", array(&[b"GET", b"key:00000001"])),
        ("set-64", array(&[b"SET", b"key:00000001", &[b'x'; 64]])),
        ("mget-10", array(&mget)),
    ];
    let limits = Limits::default();
    for (name, bytes) in &cases {
        let mut group = c.benchmark_group(format!("request/{name}"));
        let mut scanner = Scanner::new();
        group.bench_function("scanner", |b| {
            b.iter(|| {
                let scan = scanner.scan(black_box(bytes), &limits, true);
                black_box(scanner.args());
                scan
            });
        });
        group.bench_function("redis-protocol", |b| b.iter(|| decode_range(black_box(bytes))));
    }
}

fn replies(c: &mut Criterion) {
    let hundred: Vec<&[u8]> = (0..100).map(|_| &[b'x'; 64][..]).collect();
    let mut bulk = Vec::new();
    encode::bulk(&mut bulk, &[b'x'; 64]);
    let cases = [
        ("ok", b"+OK\r\n".to_vec()),
        ("integer", b":12\r\n".to_vec()),
        ("bulk-64", bulk),
        ("array-100", array(&hundred)),
    ];
    let limits = Limits::default();
    for (name, bytes) in &cases {
        let mut group = c.benchmark_group(format!("reply/{name}"));
        let mut scanner = ReplyScanner::new();
        group.bench_function("scanner", |b| b.iter(|| scanner.scan(black_box(bytes), &limits)));
        group.bench_function("redis-protocol", |b| b.iter(|| decode_range(black_box(bytes))));
    }
    let array = &cases[3].1;
    c.bench_function("elements/array-100", |b| {
        b.iter(|| Elements::of(black_box(array)).map(|elements| elements.map(<[u8]>::len).sum::<usize>()));
    });
}

/// Ten thousand values that arrive in pieces.
fn pieces(c: &mut Criterion) {
    let values: Vec<&[u8]> = (0..10_000).map(|_| &b"0123456789abcdef"[..]).collect();
    let bytes = array(&values);
    let limits = Limits::default();
    let mut group = c.benchmark_group("pieces/10000");
    group.sample_size(10);
    group.bench_function("request scanner", |b| {
        let mut scanner = Scanner::new();
        b.iter(|| {
            let mut seen = 0;
            loop {
                seen = bytes.len().min(seen + PIECE);
                if let Ok(Scan::Command { len }) = scanner.scan(black_box(&bytes[..seen]), &limits, true) {
                    return len;
                }
            }
        });
    });
    group.bench_function("reply scanner", |b| {
        let mut scanner = ReplyScanner::new();
        b.iter(|| bytes.chunks(PIECE).find_map(|piece| scanner.scan(black_box(piece), &limits).ok().flatten()));
    });
    group.bench_function("redis-protocol", |b| {
        b.iter(|| {
            (PIECE..bytes.len() + PIECE).step_by(PIECE).find_map(|end| {
                decode_range(black_box(&bytes[..end.min(bytes.len())])).ok().flatten().map(|(_, len)| len)
            })
        });
    });
}

fn inlines(c: &mut Criterion) {
    let mut out = Vec::new();
    c.bench_function("inline/get", |b| b.iter(|| inline::split(black_box(b"GET key:00000001"), &mut out)));
}

criterion_group!(benches, requests, replies, pieces, inlines);
criterion_main!(benches);
