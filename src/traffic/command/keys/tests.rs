//! Requests and the arguments of them that are keys. The plain ones were compared with `COMMAND GETKEYS` of Redis
//! 7.0.15.

use super::*;
use crate::traffic::command::{Found, Table};

const BRACES: Patterns = Patterns::Tagged(Tag::BRACES);

/// `request => argument indices`, or the error.
const CASES: &str = "
    get k                                           => 1
    GET k                                           => 1
    set k v ex 10                                   => 1
    get                                             => malformed
    ping                                            =>
    dbsize                                          =>
    del a b c                                       => 1 2 3
    del                                             => malformed
    mget a a                                        => 1 2
    mset a 1 b 2                                    => 1 3
    mset a 1 b                                      => malformed
    msetnx a 1 b 2                                  => 1 3
    msetex 2 a 1 b 2 ex 10                          => 2 4
    msetex 3 a 1 b 2                                => malformed
    rename a b                                      => 1 2
    rename a                                        => malformed
    copy a b db 1                                   => 1 2
    lmove a b left right                            => 1 2
    lmovem a b left right 2                         => 1 2
    smove a b m                                     => 1 2
    lcs a b len                                     => 1 2
    bitop and d a b                                 => 2 3 4
    bitop not d                                     => malformed
    pfcount a b                                     => 1 2
    pfmerge d a b                                   => 1 2 3
    sinter a b                                      => 1 2
    sinterstore d a b                               => 1 2 3
    sintercard 2 a b limit 1                        => 2 3
    sintercard x a b                                => malformed
    sdiffcard 2 a b                                 => 2 3
    sunioncard 1 a                                  => 2
    zunion 2 a b weights 1 2                        => 2 3
    zunion 0 a                                      => malformed
    zunion -1 a                                     => malformed
    zunion 3 a b                                    => malformed
    zunion 99999999999999999999 a                   => malformed
    zunion 9223372036854775807 a                    => malformed
    zunionstore d 2 a b                             => 1 3 4
    zinterstore d 2 a b aggregate max               => 1 3 4
    zdiffstore d 1 a                                => 1 3
    zrangestore d a 0 -1                            => 1 2
    lmpop 2 a b left count 1                        => 2 3
    zmpop 1 a min                                   => 2
    blmpop 0 2 a b left                             => 3 4
    blpop a b 0                                     => 1 2
    eval script 2 a b x y                           => 3 4
    eval script 0 x                                 =>
    eval script 3 a b                               => malformed
    eval script -1 a                                => malformed
    eval script 01 a                                => malformed
    evalsha_ro sha 1 a                              => 3
    fcall f 1 a x                                   => 3
    fcall_ro f 0                                    =>
    xadd s * f v                                    => 1
    xread streams a 0                               => 2
    xread count 2 streams a b 0 0                   => 4 5
    xread count streams streams a 0                 => 4
    xread COUNT 2 BLOCK 0 STREAMS a b $ $           => 6 7
    xread streams a b 0                             => malformed
    xread count 2 a 0                               => malformed
    xread streams                                   => malformed
    xread later streams a 0                         => 3
    xreadgroup group g c streams a >                => 5
    xreadgroup group streams streams streams a >    => 5
    xreadgroup count 1 group g streams streams a >  => 7
    xreadgroup group g c noack claim 5 streams a b > > => 8 9
    xgroup create s g $                             => 2
    xgroup help                                     =>
    xinfo stream s full                             => 2
    object encoding k                               => 2
    object help                                     =>
    memory usage k samples 5                        => 2
    memory doctor                                   =>
    sort k                                          => 1
    sort k by nosort get # limit 0 5 desc           => 1
    sort k limit by by store d                      => 1 6
    sort k store a store d                          => 1 5
    sort k by w*                                    => foreign
    sort k get obj*->name                           => foreign
    sort k get # get w*                             => foreign
    sort {t}k by {t}w*                              => 1 3
    sort {t}k by {t}w* get {t}o*->n store {t}d      => 1 3 5 7
    sort k by w*{t}                                 => foreign
    sort k by {*}                                   => foreign
    sort k by {}{t}*                                => foreign
    sort_ro k by w* alpha                           => foreign
    georadius k 1 2 3 m                             => 1
    georadius k 1 2 3 m count 1 store d             => 1 9
    georadius k 1 2 3 m store a storedist d         => 1 9
    georadiusbymember k m 3 m storedist d           => 1 6
    georadius_ro k 1 2 3 m                          => 1
    geosearchstore d k frommember m byradius 1 m    => 1 2
    migrate h 1 k 0 10                              => 3
    migrate h 1 k 0 10 copy auth keys               => 3
    migrate h 1 '' 0 10 copy keys a b               => 8 9
    migrate h 1 '' 0 10 auth keys keys a            => 9
    migrate h 1 '' 0 10 auth2 keys keys keys a      => 10
    vsim k values 2 1 1                             => 1
    hset h a 1 b 2                                  => 1
    delifeq k v                                     => 1
    watch a b                                       => 1 2
    spublish c m                                    => 1
";

/// The words of a case as a scanner would give them.
pub(in super::super) fn scanned(case: &str) -> (Vec<Arg>, Vec<u8>) {
    let mut request = Vec::new();
    let args = case
        .split_whitespace()
        .map(|word| {
            let word = word.trim_matches('\'');
            let head = request.len() as u32;
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            let start = request.len() as u32;
            request.extend_from_slice(word.as_bytes());
            let end = request.len() as u32;
            request.extend_from_slice(b"\r\n");
            Arg { head, start, end }
        })
        .collect();
    (args, request)
}

/// The row that the first two words of a request name.
fn row<'a>(table: &'a Table, args: &[Arg], request: &[u8]) -> &'a Row {
    match table.find(args[0].of(request), args.get(1).map(|arg| arg.of(request))) {
        Found::Row(row) => row,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_found() {
    let table = Table::builtin();
    for case in CASES.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (text, expected) = case.split_once("=>").unwrap();
        let (args, request) = scanned(text);
        let mut out = vec![77];
        let found = row(&table, &args, &request).find_keys(&args, &request, BRACES, &mut out);
        assert_eq!(out.remove(0), 77, "what was there before stays: {case}");
        let found = match found {
            Ok(()) => out.iter().map(u32::to_string).collect::<Vec<_>>().join(" "),
            Err(KeysError::Malformed) => "malformed".to_owned(),
            Err(KeysError::ForeignPattern) => "foreign".to_owned(),
        };
        assert!(found.starts_with(['m', 'f']) <= out.is_empty(), "an error leaves nothing behind: {case}");
        assert_eq!(found, expected.trim(), "{case}");
    }
}

/// What the ring says about a pattern decides, not the pattern alone.
#[test]
fn patterns_of_sort_go_where_their_keys_are() {
    let table = Table::builtin();
    let keys = |text: &str, patterns: Patterns| {
        let (args, request) = scanned(text);
        let mut out = Vec::new();
        row(&table, &args, &request).find_keys(&args, &request, patterns, &mut out).map(|()| out)
    };
    let bars = Patterns::Tagged(Tag { open: b'|', close: b'|' });
    assert_eq!(keys("sort k by w* get o*->n store d", Patterns::Together), Ok(vec![1, 7]), "one node has them all");
    assert_eq!(keys("sort |t|k by |t|w*", bars), Ok(vec![1, 3]));
    assert_eq!(keys("sort |t|k by |*|", bars), Err(KeysError::ForeignPattern), "the tag is not whole");
    assert_eq!(keys("sort {t}k by {t}w*", bars), Err(KeysError::ForeignPattern), "braces are no tag here");
    assert_eq!(keys("sort {t}k by {t}w*", Patterns::Anywhere), Err(KeysError::ForeignPattern));
    assert_eq!(keys("sort k by nosort get #", Patterns::Anywhere), Ok(vec![1]), "no names are made up");
}

#[test]
fn a_single_key_is_known_without_arguments() {
    let table = Table::builtin();
    let single = |name: &str, sub: Option<&str>| {
        let row = table.lookup(name.as_bytes()).unwrap();
        sub.map_or(row, |sub| row.sub(sub.as_bytes()).unwrap()).single_key()
    };
    assert_eq!(single("get", None), Some(1));
    assert_eq!(single("zadd", None), Some(1));
    assert_eq!(single("object", Some("freq")), Some(2));
    for name in ["del", "mget", "rename", "eval", "sort", "xread", "ping", "lcs"] {
        assert_eq!(single(name, None), None, "{name}");
    }
}

#[test]
fn only_xread_asks_its_options_whether_it_blocks() {
    let table = Table::builtin();
    for (text, expected) in [
        ("blpop a 0", true),
        ("bzmpop 0 1 a min", true),
        ("xread streams a 0", false),
        ("xread count 1 block 0 streams a 0", true),
        ("xread BLOCK 0 streams a 0", true),
        ("xread streams block 0", false),
        ("xreadgroup group block block streams a >", false),
        ("xreadgroup group g c block 0 streams a >", true),
        ("get block", false),
    ] {
        let (args, request) = scanned(text);
        assert_eq!(row(&table, &args, &request).blocks(&args, &request), expected, "{text}");
    }
}

/// Any words after any command's name: an answer, no panic, and only indices that exist.
#[test]
fn any_arguments_are_answered() {
    const WORDS: &[&str] = &[
        "k",
        "{t}k",
        "1",
        "2",
        "0",
        "-1",
        "18446744073709551615",
        "store",
        "storedist",
        "streams",
        "by",
        "get",
        "limit",
        "keys",
        "count",
        "block",
        "group",
        "w*",
        "''",
        "auth",
        "auth2",
        "claim",
    ];
    let table = Table::builtin();
    let mut seed: u64 = 7;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut out = Vec::new();
    for row in table.rows() {
        for _ in 0..200 {
            let mut text = row.name.replace('|', " ");
            for _ in 0..next(9) {
                text.push(' ');
                text.push_str(WORDS[next(WORDS.len())]);
            }
            let (args, request) = scanned(&text);
            out.clear();
            let found = row.find_keys(&args, &request, BRACES, &mut out);
            assert!(out.iter().all(|index| (1..args.len()).contains(&(*index as usize))), "{text}: {out:?}");
            assert!(found.is_ok() || out.is_empty(), "{text}");
            assert!(!row.blocks(&args, &request) || row.flags.has(Flags::BLOCKING), "{text}");
        }
    }
}
