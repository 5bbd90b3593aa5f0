//! Every row of `commands.txt`: it is well formed, its columns do not contradict each other, and it is found.

use super::*;
use crate::traffic::command::{Flags, Gather, Local, Reason, Route, Script, Session, Split, Stepwise, spec::Access};
use crate::traffic::pubsub::Kind as Topic;

#[test]
fn every_row_is_found_by_its_name_in_any_case() {
    let table = Table::builtin();
    assert!(table.rows().count() > 430, "{}", table.rows().count());
    let mixed = |name: &str| {
        let upper = |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c };
        name.char_indices().map(upper).collect::<String>()
    };
    for row in table.commands() {
        for name in [row.name.clone(), row.name.to_ascii_uppercase(), mixed(&row.name)] {
            assert_eq!(table.lookup(name.as_bytes()).map(|found| found.id), Some(row.id), "{name}");
        }
        for near in [format!("{}x", row.name), format!(" {}", row.name), row.name.replace('e', "\u{e9}")] {
            assert!(table.lookup(near.as_bytes()).is_none_or(|found| found.name == near), "{near}");
        }
        for sub in &row.subs {
            let (_, name) = sub.name.split_once('|').unwrap();
            let Found::Row(found) = table.find(row.name.as_bytes(), Some(mixed(name).as_bytes())) else {
                panic!("{name}");
            };
            assert_eq!(found.id, sub.id);
            assert!(table.lookup(sub.name.as_bytes()).is_none(), "{} is no command of its own", sub.name);
        }
    }
}

#[test]
fn unknown_names_and_sub_commands_are_told_apart() {
    let table = Table::builtin();
    assert!(matches!(table.find(b"nosuch", None), Found::Unknown));
    assert!(matches!(table.find(b"client", Some(b"nosuch")), Found::UnknownSub(row) if row.name == "client"));
    assert!(matches!(table.find(b"client", None), Found::Row(row) if row.name == "client" && !row.arity_ok(1)));
    assert!(matches!(table.find(b"command", None), Found::Row(row) if row.arity_ok(1)));
    assert!(matches!(table.find(b"get", Some(b"list")), Found::Row(row) if row.name == "get"));
}

#[test]
fn ids_are_the_rows_in_order() {
    let table = Table::builtin();
    assert!(table.rows().enumerate().all(|(at, row)| at == usize::from(row.id)));
}

#[test]
fn names_are_lower_case_sorted_and_once() {
    let table = Table::builtin();
    for rows in std::iter::once(table.commands()).chain(table.commands().iter().map(|row| row.subs.as_slice())) {
        assert!(rows.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
    assert!(table.rows().all(|row| row.name == row.name.to_ascii_lowercase()));
}

#[test]
fn columns_agree_with_each_other() {
    for row in Table::builtin().rows() {
        let name = &row.name;
        let keys = row.specs.iter().any(|spec| !spec.access.has(Access::NOT_KEY));
        let routed_by_keys = matches!(
            row.route,
            Route::Keys | Route::ScanKey | Route::Split(_) | Route::Script(Script::Eval | Script::EvalSha)
        );
        assert!(!routed_by_keys || keys, "{name} is routed by keys that it does not have");
        assert!(
            !keys || routed_by_keys || matches!(row.route, Route::Refuse(_) | Route::Session(_)),
            "{name} has keys that nobody asks for"
        );
        assert!(!(row.flags.has(Flags::WRITE) && row.flags.has(Flags::READONLY)), "{name} writes and only reads");
        assert!(row.arity != 0 && !row.summary.is_empty() && !row.since.is_empty() && !row.group.is_empty(), "{name}");
        assert!(row.subs.iter().all(|sub| sub.arity.unsigned_abs() >= 2), "{name}");
        let blocking = row.flags.has(Flags::BLOCKING);
        let pinned = matches!(row.route, Route::Refuse(Reason::Pinned) | Route::Session(_));
        assert!(!blocking || pinned || matches!(row.route, Route::Keys | Route::Lock(_)), "{name} blocks");
        let counts = matches!(row.route, Route::All(Gather::Max | Gather::Union));
        assert!(!row.flags.has(Flags::PUBSUB) || pinned || counts, "{name} is of publish/subscribe");
        if let Some(index) = row.single_key() {
            assert!(row.arity.unsigned_abs() > index, "{name}: the arity does not promise its key");
        }
    }
}

#[test]
fn routes_are_the_intended_ones() {
    let table = Table::builtin();
    for (names, route) in [
        (
            "get set incr zadd xread fcall sort msetnx msetex zunionstore object|freq memory|usage xgroup|create",
            Route::Keys,
        ),
        ("mget", Route::Split(Split::Values)),
        ("mset", Route::Split(Split::Pairs)),
        ("del unlink exists touch", Route::Split(Split::Sum)),
        ("dbsize", Route::All(Gather::DbSize)),
        ("flushall flushdb function|flush function|delete", Route::All(Gather::Ok)),
        ("lastsave", Route::All(Gather::Min)),
        ("script|exists", Route::Script(Script::Exists)),
        ("script|load", Route::Script(Script::Load)),
        ("script|flush", Route::Script(Script::Flush)),
        ("eval eval_ro", Route::Script(Script::Eval)),
        ("evalsha evalsha_ro", Route::Script(Script::EvalSha)),
        ("function|load", Route::All(Gather::First)),
        ("keys", Route::All(Gather::Keys)),
        ("randomkey", Route::All(Gather::RandomKey)),
        ("script|kill function|kill", Route::All(Gather::AnyOk)),
        ("scan", Route::Scan),
        ("hscan sscan zscan", Route::ScanKey),
        ("memory|doctor memory|malloc-stats", Route::All(Gather::Texts)),
        ("memory|stats", Route::All(Gather::MemoryStats)),
        ("function|list", Route::All(Gather::Libraries)),
        ("info", Route::Info),
        ("lolwut object|help xinfo|help role", Route::Any),
        ("config|rewrite", Route::All(Gather::Ok)),
        ("slowlog|get", Route::Local(Local::SlowlogGet)),
        ("latency|latest", Route::Local(Local::LatencyLatest)),
        ("ping", Route::Local(Local::Ping)),
        ("client|setinfo", Route::Local(Local::ClientSetInfo)),
        ("command|getkeysandflags", Route::Local(Local::CommandGetKeysAndFlags)),
        ("blpop blmove bzmpop xread", Route::Keys),
        ("wait", Route::Session(Session::Wait)),
        ("config|set", Route::Steps(Stepwise::ConfigSet)),
        ("debug", Route::Steps(Stepwise::Debug)),
        ("save bgsave", Route::Refuse(Reason::Save)),
        ("replicaof slaveof failover", Route::Refuse(Reason::Replication)),
        ("acl|setuser acl|deluser", Route::Refuse(Reason::Users)),
        ("psubscribe", Route::Session(Session::Subscribe(Topic::Pattern))),
        ("sunsubscribe", Route::Session(Session::Unsubscribe(Topic::Shard))),
        ("publish", Route::Session(Session::Publish(Topic::Channel))),
        ("pubsub|shardnumsub", Route::Session(Session::Numsub(Topic::Shard))),
        ("pubsub|numpat", Route::All(Gather::Max)),
        ("pubsub|channels pubsub|shardchannels", Route::All(Gather::Union)),
        ("cluster cluster|meet cluster|setslot", Route::Refuse(Reason::Cluster)),
        ("cluster|nodes cluster|slots", Route::Local(Local::Cluster)),
        ("readonly asking", Route::Local(Local::ClusterMode)),
        ("psync replconf restore-asking pfdebug", Route::Refuse(Reason::Internal)),
    ] {
        for name in names.split(' ') {
            let row = table.rows().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(row.route, route, "{name}");
        }
    }
}

#[test]
fn a_malformed_line_is_told_with_its_number() {
    for (text, mistake) in [
        ("get", "no arity"),
        ("get x", "no number"),
        ("get 2 somewhere", "unknown route somewhere"),
        ("get 2 keys 1", "unknown key specification 1"),
        ("get 2 keys odd=1:ro", "unknown way to find keys odd"),
        ("get 2 keys 1:ro wrong", "unknown flag wrong"),
        ("get 2 keys 1:ro fast wrong", "unknown category wrong"),
        ("get 2 keys 1:ro fast string string 1.0.0", "no tips"),
        ("a|b 2 any - - - g 1 -", "does not follow its container"),
    ] {
        let error = parse::rows(&format!("# comment\n\n{text}\n")).unwrap_err();
        assert!(error.contains("line 3") && error.contains(mistake), "{text}: {error}");
    }
}
