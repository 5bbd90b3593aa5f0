//! Replies byte by byte, as Redis 7.0.15 gave them to the same requests (unless they name what Circlet words
//! differently).

use super::*;

/// The reply to a request of words between single spaces.
fn reply(request: &str, proto: Proto) -> String {
    let table = Table::builtin();
    let words: Vec<&[u8]> = request.split(' ').map(str::as_bytes).collect();
    let Found::Row(row) = table.find(words[0], words.get(1).copied()) else { panic!("{request}") };
    let super::super::Route::Local(which) = row.route else { panic!("{request}") };
    let mut out = Vec::new();
    answer(&table, which, &words, proto, &mut out);
    String::from_utf8(out).unwrap().replace("\r\n", " ")
}

#[test]
fn info_is_as_redis_shapes_it() {
    let resp2 = "*3 *10 $4 echo :2 *3 +loading +stale +fast :0 :0 :0 *2 +@fast +@connection *0 *0 *0 $-1 \
                 *10 $11 object|help :2 *2 +loading +stale :0 :0 :0 *2 +@keyspace +@slow *0 *0 *0 ";
    assert_eq!(reply("command info ECHO nosuch object|help", Proto::Resp2), resp2);
    let resp3 = "*2 _ *10 $5 bitop :-4 ~2 +write +denyoom :2 :-1 :1 ~3 +@write +@bitmap +@slow ~0 ~2 \
                 %3 $5 flags ~2 +OW +update \
                 $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :2 \
                 $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 \
                 %3 $5 flags ~2 +RO +access \
                 $12 begin_search %2 $4 type $5 index $4 spec %1 $5 index :3 \
                 $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :-1 $7 keystep :1 $5 limit :0 ~0 ";
    assert_eq!(reply("command info nosuch bitop", Proto::Resp3), resp3);
}

#[test]
fn old_key_ranges_are_derived() {
    for (name, range) in [
        ("get", ":1 :1 :1"),
        ("mset", ":1 :-1 :2"),
        ("rename", ":1 :2 :1"),
        ("bitop", ":2 :-1 :1"),
        ("blpop", ":1 :-2 :1"),
        ("zunionstore", ":1 :1 :1"),
        ("eval", ":0 :0 :0"),
        ("xread", ":0 :0 :0"),
        ("sort", ":1 :1 :1"),
        ("migrate", ":3 :3 :1"),
        ("lcs", ":1 :2 :1"),
        ("ping", ":0 :0 :0"),
    ] {
        let reply = reply(&format!("command info {name}"), Proto::Resp2);
        assert!(reply.contains(&format!(" {range} *")), "{name}: {reply}");
    }
}

#[test]
fn count_and_whole_replies_agree() {
    let count = Table::builtin().commands().len();
    assert_eq!(reply("command count", Proto::Resp2), format!(":{count} "));
    for request in ["command", "command info"] {
        assert!(reply(request, Proto::Resp3).starts_with(&format!("*{count} *10 ")));
    }
    assert!(reply("command list", Proto::Resp3).starts_with(&format!("*{} ", Table::builtin().rows().count())));
    assert!(reply("command docs", Proto::Resp3).starts_with(&format!("%{count} ")));
}

#[test]
fn list_filters() {
    for (request, expected) in [
        ("command list filterby pattern XAC*", "*2 $4 xack $7 xackdel "),
        ("command list FILTERBY pattern client|no-*", "*2 $15 client|no-evict $15 client|no-touch "),
        ("command list filterby aclcat TRANSACTION", "*5 $7 discard $4 exec $5 multi $7 unwatch $5 watch "),
        ("command list filterby aclcat nosuch", "*0 "),
        ("command list filterby module any", "*0 "),
        ("command list filterby", "-ERR syntax error "),
        ("command list foo", "-ERR syntax error "),
        ("command list filterby nosuch x", "-ERR syntax error "),
        ("command list filterby pattern x y", "-ERR syntax error "),
    ] {
        assert_eq!(reply(request, Proto::Resp3), expected, "{request}");
    }
}

#[test]
fn keys_and_what_happens_to_them() {
    for (request, expected) in [
        ("command getkeys get k", "*1 $1 k "),
        ("command getkeys object freq k", "*1 $1 k "),
        ("command getkeys mset a b c", "*2 $1 a $1 c "),
        ("command getkeys eval x 0", "*0 "),
        ("command getkeys xread count 1 streams a b 1 1", "*2 $1 a $1 b "),
        ("command getkeys sort k by w* store d", "*2 $1 k $1 d "),
        ("command getkeys nosuch k", "-ERR Invalid command specified "),
        ("command getkeys client nosuch", "-ERR Invalid command specified "),
        ("command getkeys client list", "-ERR The command has no key arguments "),
        ("command getkeys spublish c m", "-ERR The command has no key arguments "),
        ("command getkeys get k k", "-ERR Invalid number of arguments specified for command "),
        ("command getkeys zunion 9 a", "-ERR Invalid arguments specified for command "),
        ("command getkeysandflags set k v", "*1 *2 $1 k ~2 +OW +update "),
        ("command getkeysandflags set k v get", "*1 *2 $1 k ~3 +RW +access +update "),
        ("command getkeysandflags bitfield k get u8 0", "*1 *2 $1 k ~2 +RO +access "),
        ("command getkeysandflags bitfield k set u8 0 1", "*1 *2 $1 k ~3 +RW +access +update "),
        ("command getkeysandflags sort a get # store c", "*2 *2 $1 a ~2 +RO +access *2 $1 c ~2 +OW +update "),
    ] {
        assert_eq!(reply(request, Proto::Resp3), expected, "{request}");
    }
    assert_eq!(reply("command getkeysandflags get k", Proto::Resp2), "*1 *2 $1 k *2 +RO +access ");
}

#[test]
fn docs_have_what_every_client_expects() {
    let docs = reply("command docs SUBSTR nosuch", Proto::Resp3);
    assert_eq!(
        docs,
        "%1 $6 substr %5 $7 summary $16 Part of a string $5 since $5 1.0.0 $5 group $6 string \
         $9 doc_flags ~1 +deprecated \
         $16 deprecated_since $5 2.0.0 "
    );
    let docs = reply("command docs object", Proto::Resp2);
    assert!(docs.starts_with("*2 $6 object *8 $7 summary "), "{docs}");
    assert!(docs.contains("$11 subcommands *10 $15 object|encoding *6 "), "{docs}");
    assert_eq!(reply("command docs nosuch", Proto::Resp3), "%0 ");
}

#[test]
fn a_short_request_gets_no_endless_reply() {
    let names = " cluster".repeat(MAX_NAMES);
    assert!(reply(&format!("command info{names}"), Proto::Resp3).len() < 40 << 20);
    for sub in ["info", "docs"] {
        assert!(reply(&format!("command {sub}{names} get"), Proto::Resp3).starts_with("-ERR too many command names"));
    }
}

#[test]
fn help_and_what_is_not_answered_here() {
    assert!(reply("command help", Proto::Resp2).starts_with("*17 +COMMAND <subcommand>"));
    assert_eq!(reply("ping", Proto::Resp2), "-ERR syntax error ");
}
