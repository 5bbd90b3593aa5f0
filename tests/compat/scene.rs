//! The keys that every instance finds: one of each type, put there anew each time.

use crate::support::resp;

/// Types, as the keys are called.
pub const KINDS: [&str; 10] = ["string", "number", "list", "set", "zset", "hash", "stream", "hll", "geo", "ints"];

/// The types that fit commands of a documentation group.
pub fn fitting(group: &str) -> &'static [&'static str] {
    match group {
        "string" => &["string", "number"],
        "bitmap" => &["string"],
        "list" => &["list"],
        "set" => &["set", "ints"],
        "sorted-set" => &["zset", "geo"],
        "hash" => &["hash"],
        "stream" => &["stream"],
        "hyperloglog" => &["hll"],
        "geo" => &["geo"],
        _ => &KINDS,
    }
}

/// The key of a type: with a tag, so that all lie on one node, or without.
pub fn key(kind: &str, tagged: bool) -> String {
    if tagged { format!("{{t}}{kind}") } else { format!("{kind}:key") }
}

/// The requests that set the scene for a group of commands, and how many they are. Both kinds of keys are there, and
/// enough others to leave no node empty.
pub fn requests(group: &str) -> (Vec<u8>, usize) {
    let mut lines = vec!["FLUSHALL".to_owned()];
    if group == "scripting" {
        // One script is known everywhere, whatever was run before.
        lines.extend(["SCRIPT FLUSH".to_owned(), "SCRIPT LOAD return\u{a0}1".to_owned()]);
    }
    for tagged in [true, false] {
        let key = |kind| key(kind, tagged);
        lines.extend([
            format!("SET {} hello-world", key("string")),
            format!("SET {} 42 EX 1000", key("number")),
            format!("RPUSH {} a b c d e a 7", key("list")),
            format!("SADD {} one two three four", key("set")),
            format!("SADD {} 1 2 3 10", key("ints")),
            format!("ZADD {} 1 one 2 two 2.5 half 3 three 3 trois", key("zset")),
            format!("HSET {} f1 v1 f2 22 f3 3.5", key("hash")),
            format!("XADD {} 1-1 f v", key("stream")),
            format!("XADD {} 2-1 f w g x", key("stream")),
            format!("XADD {} 3-0 f y", key("stream")),
            format!("XGROUP CREATE {} group 0", key("stream")),
            format!("XREADGROUP GROUP group alice COUNT 1 STREAMS {} >", key("stream")),
            format!("PFADD {} a b c", key("hll")),
            format!("GEOADD {} 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", key("geo")),
        ]);
    }
    lines.extend((0..12).map(|number| format!("SET filler:{number} v")));
    let mut bytes = Vec::new();
    for line in &lines {
        let words: Vec<String> = line.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        resp::request(&mut bytes, &words);
    }
    (bytes, lines.len())
}
