//! Seeded property loops. A failure prints its input; `SEED=n` replays another draw of all of them.

use super::*;
use crate::traffic::resp::Proto;
use crate::traffic::resp::encode;

fn random() -> fastrand::Rng {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    println!("SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Runs `check` and says for which bytes it failed.
fn on(bytes: &[u8], check: fn(&[u8])) {
    let outcome = std::panic::catch_unwind(|| check(bytes));
    assert!(outcome.is_ok(), "failed for b\"{}\"", bytes.escape_ascii());
}

fn payload(random: &mut fastrand::Rng) -> Vec<u8> {
    let longest = if random.u8(..) < 8 { 20_000 } else { 14 };
    let alphabet = b"abcxyz019 \r\n$*:+-_'\"\\\0\xff";
    (0..random.usize(0..longest)).map(|_| alphabet[random.usize(..alphabet.len())]).collect()
}

fn request(random: &mut fastrand::Rng, out: &mut Vec<u8>) {
    match random.u8(0..12) {
        0 => out.extend_from_slice(b"PING \"a\\x41\" 'b'\r\n"),
        1 => out.extend_from_slice(b"\r\n"),
        2 => out.extend_from_slice(b"*0\r\n*-1\r\n"),
        _ => {
            let count = if random.u8(..) < 3 { 300 } else { random.usize(1..6) };
            encode::array_header(out, count);
            for _ in 0..count {
                encode::bulk(out, &payload(random));
            }
        }
    }
}

fn reply(random: &mut fastrand::Rng, depth: usize, proto: Proto, out: &mut Vec<u8>) {
    let resp3 = proto == Proto::Resp3;
    let count = random.usize(0..5);
    match random.u8(0..if depth > 0 { 18 } else { 12 }) {
        0 => encode::simple(out, &String::from_utf8_lossy(&payload(random))),
        1 => encode::error(out, "ERR no\rsuch\nthing"),
        2 => encode::integer(out, random.i64(..) >> random.u8(0..64)),
        3 => encode::null(out, proto),
        4 => encode::null_array(out, proto),
        5 => encode::double(out, random.f64(), proto),
        6 => encode::boolean(out, random.bool(), proto),
        7 => encode::verbatim_text(out, &String::from_utf8_lossy(&payload(random)), proto),
        8 if resp3 => out.extend_from_slice(b"(-3492890328409238509324850943850943825024385\r\n"),
        9 if resp3 => out.extend_from_slice(b"!21\r\nSYNTAX invalid syntax\r\n"),
        8..=11 => encode::bulk(out, &payload(random)),
        kind => {
            let values = match kind {
                12 | 13 => {
                    // Keys that the oracle can hash.
                    encode::map_header(out, count, proto);
                    for key in 0..count {
                        encode::bulk(out, format!("k{key}").as_bytes());
                        reply(random, depth - 1, proto, out);
                    }
                    return;
                }
                14 if resp3 && depth > 2 => {
                    out.extend_from_slice(b"|1\r\n+ttl\r\n");
                    reply(random, 0, proto, out);
                    encode::array_header(out, count);
                    count
                }
                _ => {
                    encode::array_header(out, count);
                    count
                }
            };
            for _ in 0..values {
                reply(random, depth - 1, proto, out);
            }
        }
    }
}

/// A few bytes changed, dropped, doubled or put in, mostly such as mean something.
fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..=bytes.len());
        let alphabet = b"$*:+-%~|>_#,=!(?\r\n0123456789\"'\\ x";
        let byte = alphabet[random.usize(..alphabet.len())];
        match random.u8(0..5) {
            0 => bytes.insert(at, byte),
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.truncate(at),
            3 if at < bytes.len() => {
                let part = bytes[at..(at + 12).min(bytes.len())].to_vec();
                bytes.extend(part);
            }
            _ if at < bytes.len() => bytes[at] = byte,
            _ => {}
        }
    }
}

#[test]
fn requests_are_found_whatever_the_cuts() {
    let mut random = random();
    for _ in 0..2_000 {
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..4) {
            request(&mut random, &mut bytes);
        }
        on(&bytes, fuzz_request);
        mutate(&mut random, &mut bytes);
        on(&bytes, fuzz_request);
    }
}

#[test]
fn replies_are_found_whatever_the_cuts() {
    let mut random = random();
    for round in 0..2_000 {
        let proto = if round % 2 == 0 { Proto::Resp2 } else { Proto::Resp3 };
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..4) {
            reply(&mut random, 4, proto, &mut bytes);
        }
        on(&bytes, fuzz_reply);
        mutate(&mut random, &mut bytes);
        on(&bytes, fuzz_reply);
    }
}

#[test]
fn valid_replies_end_where_the_oracle_says() {
    let mut random = random();
    for round in 0..2_000 {
        let proto = if round % 2 == 0 { Proto::Resp2 } else { Proto::Resp3 };
        let mut bytes = Vec::new();
        reply(&mut random, 4, proto, &mut bytes);
        let len = match proto {
            Proto::Resp2 => resp2::decode::decode_range(&bytes).unwrap().unwrap().1,
            Proto::Resp3 => resp3::decode::complete::decode_range(&bytes).unwrap().unwrap().1,
        };
        assert_eq!(len, bytes.len());
        let mut scanner = ReplyScanner::new();
        assert_eq!(scanner.scan(&bytes, &Limits::default()), Ok(Some(len)), "{}", bytes.escape_ascii());
    }
}

/// Short inputs are cut at every pair of places, not only at some.
#[test]
fn short_inputs_survive_every_pair_of_cuts() {
    let requests_of: &[&[u8]] = &[
        b"*2\r\n$3\r\nGET\r\n$10\r\n0123456789\r\nPING x\r\n*0\r\n",
        b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPINGx\n",
        b"*1\r\nx",
    ];
    let replies_of: &[&[u8]] = &[
        b"$10\r\n0123456789\r\n+O\rK\r\n:12\r\n",
        b"|1\r\n+a\r\n:1\r\n%1\r\n$1\r\nk\r\n*2\r\n_\r\n#t\r\n>1\r\n$0\r\n\r\n",
        b"*2\r\n*0\r\n*1\r\n*-1\r\n$2\r\nabc\r\n",
    ];
    let limits = Limits::default();
    let pairs = |len: usize| (0..=len).flat_map(move |a| (a..=len).map(move |b| [a, b]));
    for bytes in requests_of {
        let whole = requests(bytes, &[], &limits, true);
        for cuts in pairs(bytes.len()) {
            assert_eq!(requests(bytes, &cuts, &limits, true), whole);
        }
    }
    for bytes in replies_of {
        let whole = replies(bytes, &[], &limits);
        for cuts in pairs(bytes.len()) {
            assert_eq!(replies(bytes, &cuts, &limits), whole);
        }
    }
}

#[test]
fn noise_does_no_harm() {
    let mut random = random();
    let alphabet = b"$*:+-%~|>_#,=!(?;.\r\n\r\n\r\n00112233-9\"'\\ xab\xff\0";
    for _ in 0..20_000 {
        let len = random.usize(0..40);
        let bytes: Vec<u8> = (0..len).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
        for check in [fuzz_request, fuzz_reply, fuzz_inline] {
            on(&bytes, check);
        }
    }
}
