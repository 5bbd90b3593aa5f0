//! Replies of nodes that know more than the table, written as text and encoded here.

use super::*;
use crate::traffic::{
    command::Found,
    resp::{Proto, encode},
};

/// A RESP value.
enum V {
    N(i64),
    S(&'static str),
    A(Vec<Self>),
    Set(Vec<Self>),
    Map(Vec<Self>),
}
use V::{A, Map, N, S, Set};

fn write(value: &V, proto: Proto, out: &mut Vec<u8>) {
    let items = match value {
        N(number) => return encode::integer(out, *number),
        S(text) if text.starts_with('+') => return encode::simple(out, &text[1..]),
        S(text) => return encode::bulk(out, text.as_bytes()),
        A(items) => {
            encode::array_header(out, items.len());
            items
        }
        Set(items) => {
            encode::set_header(out, items.len(), proto);
            items
        }
        Map(items) => {
            encode::map_header(out, items.len() / 2, proto);
            items
        }
    };
    items.iter().for_each(|item| write(item, proto, out));
}

/// An entry of `COMMAND` in the shape of Redis 7.
fn entry(name: &'static str, flags: &[&'static str], range: [i64; 3], specs: Vec<V>, subs: Vec<V>) -> V {
    let [first, last, step] = range;
    let flags = Set(flags.iter().map(|flag| S(flag)).collect());
    let (acl, tips) = (Set(vec![S("+@write"), S("+@json")]), Set(vec![S("nondeterministic_output")]));
    A(vec![S(name), N(-2), flags, N(first), N(last), N(step), acl, tips, Set(specs), A(subs)])
}

/// A key specification.
fn spec(begin: [V; 2], find: [V; 2]) -> V {
    let ([begin, begin_spec], [find, find_spec]) = (begin, find);
    Map(vec![
        S("flags"),
        Set(vec![S("+RW"), S("+update")]),
        S("begin_search"),
        Map(vec![S("type"), begin, S("spec"), begin_spec]),
        S("find_keys"),
        Map(vec![S("type"), find, S("spec"), find_spec]),
    ])
}

/// A specification of the numbered kind at `at`.
fn counted(at: i64) -> V {
    let find = Map(vec![S("keynumidx"), N(0), S("firstkey"), N(1), S("keystep"), N(1)]);
    spec([S("index"), Map(vec![S("index"), N(at)])], [S("keynum"), find])
}

fn unknown() -> V {
    spec([S("unknown"), Map(vec![])], [S("unknown"), Map(vec![])])
}

fn with(entries: Vec<V>, proto: Proto) -> Result<Table, String> {
    let mut reply = Vec::new();
    write(&A(entries), proto, &mut reply);
    Table::builtin().with_live(&reply)
}

#[test]
fn new_commands_are_routed_by_their_keys_or_refused() {
    for proto in [Proto::Resp2, Proto::Resp3] {
        let table = with(
            vec![
                entry("get", &["+write"], [5, 5, 1], vec![], vec![]),
                entry("JSON.SET", &["+write", "+module"], [1, 1, 1], vec![], vec![]),
                entry("json.mget", &["+readonly", "+module"], [1, -2, 1], vec![], vec![]),
                entry("new.union", &["+readonly", "+movablekeys"], [0, 0, 0], vec![counted(1)], vec![]),
                entry("new.odd", &["+readonly", "+movablekeys"], [1, 1, 1], vec![unknown()], vec![]),
                entry("new.callback", &["+write", "+module", "+getkeys", "+movablekeys"], [1, 1, 1], vec![], vec![]),
                entry("ft.search", &["+readonly", "+module"], [0, 0, 0], vec![], vec![]),
                entry("new.wait", &["+write", "+blocking"], [1, 1, 1], vec![], vec![]),
                entry("", &[], [0, 0, 0], vec![], vec![]),
            ],
            proto,
        )
        .unwrap();
        let route = |name: &str| table.lookup(name.as_bytes()).unwrap_or_else(|| panic!("{name}")).route;
        assert_eq!(table.lookup(b"get").unwrap().single_key(), Some(1), "what is known stays");
        assert_eq!(route("json.set"), Route::Keys);
        assert_eq!(table.lookup(b"JSON.SET").unwrap().single_key(), Some(1));
        assert_eq!(route("json.mget"), Route::Keys);
        assert_eq!(route("new.union"), Route::Keys);
        for name in ["new.odd", "new.callback", "ft.search"] {
            assert_eq!(route(name), Route::Refuse(Reason::OneNode), "{name}");
        }
        assert_eq!(route("new.wait"), Route::Refuse(Reason::Pinned));
        assert_eq!(table.commands().len(), Table::builtin().commands().len() + 7);
        let set = table.lookup(b"json.set").unwrap();
        assert!(set.acl.has(Acl::named("write").unwrap()) && set.tips == ["nondeterministic_output"]);
        assert_eq!(set.flags, Flags::WRITE.with(Flags::MODULE));
    }
}

#[test]
fn an_arity_becomes_as_loose_as_the_node_s() {
    let text = |name, arity| {
        let mut reply = Vec::new();
        let (flags, range) = (Set(vec![S("+readonly")]), [N(1), N(1), N(1)]);
        let [first, last, step] = range;
        write(&A(vec![A(vec![S(name), N(arity), flags, first, last, step])]), Proto::Resp3, &mut reply);
        Table::builtin().with_live(&reply).unwrap().lookup(name.as_bytes()).unwrap().arity
    };
    for (name, arity, expected) in [
        ("get", 2, 2),
        ("get", -2, -2),
        ("get", 3, -2),
        ("zrank", 3, -3),
        ("zrank", -2, -2),
        ("zrank", i64::from(i32::MIN), -3),
        ("echo", 5, 2),
        ("mget", -1, -2),
    ] {
        assert_eq!(text(name, arity), expected, "{name} {arity}");
    }
}

#[test]
fn new_sub_commands_join_their_container() {
    let range = [0, 0, 0];
    let table = with(
        vec![
            entry(
                "object",
                &[],
                range,
                vec![],
                vec![entry("object|digest", &["+readonly"], [2, 2, 1], vec![], vec![])],
            ),
            entry("get", &[], range, vec![], vec![entry("get|odd", &["+fast"], range, vec![], vec![])]),
            entry("client", &[], range, vec![], vec![entry("client|dance", &["+fast"], range, vec![], vec![])]),
            entry("cluster", &[], range, vec![], vec![entry("cluster|new", &["+fast"], range, vec![], vec![])]),
            entry(
                "zoo",
                &[],
                range,
                vec![],
                vec![
                    entry("zoo|feed", &["+write"], [2, 2, 1], vec![], vec![]),
                    entry("list", &["+readonly"], range, vec![], vec![]),
                    entry("zoo|help", &[], range, vec![], vec![]),
                ],
            ),
        ],
        Proto::Resp3,
    )
    .unwrap();
    assert!(!table.lookup(b"get").unwrap().is_container(), "a command with keys does not become a container");
    for (name, sub, route) in [
        ("object", "digest", Route::Keys),
        ("object", "freq", Route::Keys),
        ("client", "dance", Route::Refuse(Reason::Pinned)),
        ("cluster", "new", Route::Refuse(Reason::Cluster)),
        ("zoo", "feed", Route::Keys),
        ("zoo", "list", Route::Refuse(Reason::OneNode)),
        ("zoo", "help", Route::Any),
    ] {
        let Found::Row(row) = table.find(name.as_bytes(), Some(sub.as_bytes())) else { panic!("{name} {sub}") };
        assert_eq!((row.name.as_str(), row.route), (format!("{name}|{sub}").as_str(), route));
    }
}

#[test]
fn ids_stay_and_new_ones_are_unique() {
    let old = Table::builtin();
    let new = with(vec![entry("a.b", &[], [1, 1, 1], vec![], vec![])], Proto::Resp2).unwrap();
    for row in old.rows() {
        assert!(new.rows().any(|same| same.id == row.id && same.name == row.name));
    }
    let mut ids: Vec<u16> = new.rows().map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), new.rows().count());
}

/// What one server tells another's table: a table's own `COMMAND` reply adds nothing to it.
#[test]
fn its_own_reply_adds_nothing() {
    use crate::traffic::command::{Local, describe};
    let table = Table::builtin();
    for proto in [Proto::Resp2, Proto::Resp3] {
        let mut reply = Vec::new();
        describe::answer(&table, Local::Command, &[b"command"], proto, &mut reply);
        let again = table.with_live(&reply).unwrap();
        assert_eq!(again.rows().count(), table.rows().count());
        // Read back from the reply alone, every row has the same facts.
        let alone = Table::of(Vec::new()).with_live(&reply).unwrap();
        for (read, row) in alone.rows().zip(table.rows()) {
            assert_eq!(read.name, row.name);
            assert_eq!((read.arity, read.flags, read.acl), (row.arity, row.flags, row.acl), "{}", row.name);
            assert_eq!((&read.specs, &read.tips), (&row.specs, &row.tips), "{}", row.name);
        }
    }
}

#[test]
fn what_is_no_command_reply_is_an_error() {
    let table = Table::builtin();
    for reply in [
        "-ERR unknown command\r\n",
        "+OK\r\n",
        "$-1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n+get\r\n:2\r\n",
        "*1\r\n*6\r\n:1\r\n:2\r\n*0\r\n:1\r\n:1\r\n:1\r\n",
        "*1\r\n*6\r\n+a.b\r\n+x\r\n*0\r\n:1\r\n:1\r\n:1\r\n",
        "*1\r\n*6\r\n+a.b\r\n:99999999999\r\n*0\r\n:1\r\n:1\r\n:1\r\n",
    ] {
        assert!(table.with_live(reply.as_bytes()).is_err(), "{reply:?}");
    }
    // As before Redis 7, without tips and key specifications.
    let old = table.with_live(b"*1\r\n*6\r\n$3\r\na.b\r\n:2\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n").unwrap();
    assert_eq!(old.lookup(b"a.b").unwrap().single_key(), Some(1));
}
