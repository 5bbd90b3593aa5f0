//! What `COMMAND` and its sub-commands answer, from the rows, in the shapes of Redis 7.
//!
//! The words of the request come in, one complete reply goes out, in RESP2 or RESP3. The arity was checked before
//! (what is missing all the same is a syntax error). Replies are bounded by the size of the table, and by
//! [`MAX_NAMES`] where names are repeated. Not answered: history and complexity of `DOCS`, argument syntax except of
//! commands of our own, which no node describes; notes of key specifications. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod arguments;

use super::{
    Acl, Flags, Found, Local, Route, Row, Table, glob,
    keys::{self, Words},
    spec::{Access, Begin, Find, KeySpec},
};
use crate::traffic::resp::{
    Proto,
    encode::{array_header, bulk, error, integer, map_header, null, set_header, simple},
};

/// Most names that `INFO` and `DOCS` take at once: each costs a few bytes in the request and up to 5 KB in the reply.
pub const MAX_NAMES: usize = 4_096;

/// What `COMMAND HELP` says.
const HELP: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Details about all commands that Circlet knows.",
    "COUNT",
    "    How many commands Circlet knows.",
    "LIST [FILTERBY MODULE <name>|ACLCAT <category>|PATTERN <pattern>]",
    "    The names of all commands, or of some.",
    "INFO [<command-name> ...]",
    "    Details about some commands, or about all.",
    "DOCS [<command-name> ...]",
    "    Documentation of some commands, or of all.",
    "GETKEYS <full-command>",
    "    The keys of a full command.",
    "GETKEYSANDFLAGS <full-command>",
    "    The keys of a full command and what it does to them.",
    "HELP",
    "    This text.",
];

/// Appends the reply to the request `words` (`COMMAND`, the sub-command, its arguments), whose row says `which`.
/// Commands that are not answered here get a syntax error.
pub fn answer(table: &Table, which: Local, words: &[&[u8]], proto: Proto, out: &mut Vec<u8>) {
    let names = words.get(2..).unwrap_or_default();
    match which {
        Local::Command => infos(table, proto, out),
        Local::CommandInfo | Local::CommandDocs if names.len() > MAX_NAMES => {
            error(out, &format!("ERR too many command names; ask for {MAX_NAMES} at once"));
        }
        Local::CommandInfo if names.is_empty() => infos(table, proto, out),
        Local::CommandInfo => {
            array_header(out, names.len());
            for name in names {
                match by_full_name(table, name) {
                    Some(row) => info(row, proto, out),
                    None => null(out, proto),
                }
            }
        }
        Local::CommandCount => integer(out, count(table.commands().len())),
        Local::CommandList => list(table, names, out),
        Local::CommandDocs => docs(table, names, proto, out),
        Local::CommandGetKeys => get_keys(table, names, None, out),
        Local::CommandGetKeysAndFlags => get_keys(table, names, Some(proto), out),
        Local::CommandHelp => {
            array_header(out, HELP.len());
            HELP.iter().for_each(|line| simple(out, line));
        }
        _ => error(out, "ERR syntax error"),
    }
}

/// The row of `client|list` or `get`.
fn by_full_name<'a>(table: &'a Table, name: &[u8]) -> Option<&'a Row> {
    match name.iter().position(|byte| *byte == b'|') {
        Some(bar) => table.lookup(&name[..bar])?.sub(&name[bar + 1..]),
        None => table.lookup(name),
    }
}

/// Every command's details.
fn infos(table: &Table, proto: Proto, out: &mut Vec<u8>) {
    array_header(out, table.commands().len());
    table.commands().iter().for_each(|row| info(row, proto, out));
}

/// One command's ten details.
fn info(row: &Row, proto: Proto, out: &mut Vec<u8>) {
    array_header(out, 10);
    bulk(out, row.name.as_bytes());
    integer(out, row.arity.into());
    names(row.flags.names(), "", proto, out);
    let (first, last, step) = legacy_range(&row.specs);
    integer(out, first.into());
    integer(out, last.into());
    integer(out, step.into());
    names(row.acl.names(), "@", proto, out);
    set_header(out, row.tips.len(), proto);
    row.tips.iter().for_each(|tip| bulk(out, tip.as_bytes()));
    set_header(out, row.specs.len(), proto);
    row.specs.iter().for_each(|one| spec(one, proto, out));
    if row.is_container() {
        array_header(out, row.subs.len());
    } else {
        set_header(out, 0, proto);
    }
    row.subs.iter().for_each(|sub| info(sub, proto, out));
}

/// A set of simple strings.
fn names<'a>(names: impl Iterator<Item = &'a str>, prefix: &str, proto: Proto, out: &mut Vec<u8>) {
    let names: Vec<&str> = names.collect();
    set_header(out, names.len(), proto);
    names.iter().for_each(|name| simple(out, &format!("{prefix}{name}")));
}

/// First key, last key and step, as `COMMAND` told them before there were key specifications: the specifications of
/// fixed positions joined as far as they follow each other.
fn legacy_range(specs: &[KeySpec]) -> (u32, i32, u32) {
    if let [only] = specs {
        return only.fixed().unwrap_or_default();
    }
    let mut range: Option<(u32, i32)> = None;
    for (first, last, step) in specs.iter().filter_map(KeySpec::fixed) {
        let follows = range.is_none_or(|(_, before)| i64::from(first) == i64::from(before) + 1);
        if step == 1 && follows {
            // As unsigned numbers, the negative ones (from the end) are the larger ones.
            let after = |before: i32| if before.cast_unsigned() > last.cast_unsigned() { before } else { last };
            range = Some(range.map_or((first, last), |(start, before)| (start.min(first), after(before))));
        }
    }
    range.map_or((0, 0, 0), |(first, last)| (first, last, 1))
}

/// One key specification.
fn spec(spec: &KeySpec, proto: Proto, out: &mut Vec<u8>) {
    let text = |out: &mut Vec<u8>, name: &str, value: &str| {
        bulk(out, name.as_bytes());
        bulk(out, value.as_bytes());
    };
    let number = |out: &mut Vec<u8>, name: &str, value: i64| {
        bulk(out, name.as_bytes());
        integer(out, value);
    };
    let typed = |out: &mut Vec<u8>, name: &str, kind: &str, fields: usize| {
        bulk(out, name.as_bytes());
        map_header(out, 2, proto);
        text(out, "type", kind);
        bulk(out, b"spec");
        map_header(out, fields, proto);
    };
    map_header(out, 3, proto);
    bulk(out, b"flags");
    names(spec.access.names(), "", proto, out);
    match &spec.begin {
        Begin::Index(index) => {
            typed(out, "begin_search", "index", 1);
            number(out, "index", (*index).into());
        }
        Begin::Keyword { word, from } => {
            typed(out, "begin_search", "keyword", 2);
            text(out, "keyword", word);
            number(out, "startfrom", (*from).into());
        }
        Begin::Unknown => typed(out, "begin_search", "unknown", 0),
    }
    match &spec.find {
        Find::Range { last, step, limit } => {
            typed(out, "find_keys", "range", 3);
            number(out, "lastkey", (*last).into());
            number(out, "keystep", (*step).into());
            number(out, "limit", (*limit).into());
        }
        Find::Count { at, first, step } => {
            typed(out, "find_keys", "keynum", 3);
            number(out, "keynumidx", (*at).into());
            number(out, "firstkey", (*first).into());
            number(out, "keystep", (*step).into());
        }
        Find::Unknown => typed(out, "find_keys", "unknown", 0),
    }
}

/// `LIST [FILTERBY …]`.
fn list(table: &Table, filter: &[&[u8]], out: &mut Vec<u8>) {
    let by = |kind: &[u8]| filter.get(1).is_some_and(|word| word.eq_ignore_ascii_case(kind));
    let rows: Vec<&Row> = match filter {
        [] => table.rows().collect(),
        // Rows do not keep which module they come from; builtin rows come from none.
        [by_word, _, _] if by_word.eq_ignore_ascii_case(b"filterby") && by(b"module") => Vec::new(),
        [by_word, _, name] if by_word.eq_ignore_ascii_case(b"filterby") && by(b"aclcat") => {
            let category = std::str::from_utf8(name).ok().and_then(Acl::named);
            table.rows().filter(|row| category.is_some_and(|category| row.acl.has(category))).collect()
        }
        [by_word, _, pattern] if by_word.eq_ignore_ascii_case(b"filterby") && by(b"pattern") => {
            table.rows().filter(|row| glob::matches(pattern, row.name.as_bytes())).collect()
        }
        _ => return error(out, "ERR syntax error"),
    };
    array_header(out, rows.len());
    rows.iter().for_each(|row| bulk(out, row.name.as_bytes()));
}

/// Whether a command is Circlet's own, which no node can document.
fn is_own(row: &Row) -> bool {
    row.name == "circlet" || matches!(row.route, Route::Lock(_))
}

/// Whether one of these names is a command of Circlet's own.
#[must_use]
pub fn names_own(table: &Table, names: &[&[u8]]) -> bool {
    names
        .iter()
        .any(|name| by_full_name(table, name).is_some_and(|row| is_own(row) || row.name.starts_with("circlet|")))
}

/// Appends names and documentation of all commands of Circlet's own; gives their number.
pub fn own_docs(table: &Table, proto: Proto, out: &mut Vec<u8>) -> usize {
    let own: Vec<&Row> = table.commands().iter().filter(|row| is_own(row)).collect();
    own.iter().for_each(|row| doc(row, proto, out));
    own.len()
}

/// `DOCS [name …]`; unknown names are left out.
fn docs(table: &Table, wanted: &[&[u8]], proto: Proto, out: &mut Vec<u8>) {
    let rows: Vec<&Row> = match wanted {
        [] => table.commands().iter().collect(),
        _ => wanted.iter().filter_map(|name| by_full_name(table, name)).collect(),
    };
    map_header(out, rows.len(), proto);
    rows.iter().for_each(|row| doc(row, proto, out));
}

/// Name and documentation of one command.
fn doc(row: &Row, proto: Proto, out: &mut Vec<u8>) {
    let deprecated = row.deprecated.as_deref();
    let arguments = arguments::of(&row.name);
    bulk(out, row.name.as_bytes());
    let others = usize::from(row.is_container()) + usize::from(!arguments.is_empty());
    map_header(out, 3 + 2 * usize::from(deprecated.is_some()) + others, proto);
    // Always all three: redis-cli prints what is missing as garbage.
    for (name, value) in [("summary", &row.summary), ("since", &row.since), ("group", &row.group)] {
        bulk(out, name.as_bytes());
        bulk(out, value.as_bytes());
    }
    if let Some(version) = deprecated {
        bulk(out, b"doc_flags");
        names(std::iter::once("deprecated"), "", proto, out);
        bulk(out, b"deprecated_since");
        bulk(out, version.as_bytes());
    }
    if !arguments.is_empty() {
        bulk(out, b"arguments");
        arguments::write(arguments, proto, out);
    }
    if row.is_container() {
        bulk(out, b"subcommands");
        map_header(out, row.subs.len(), proto);
        row.subs.iter().for_each(|sub| doc(sub, proto, out));
    }
}

/// `GETKEYS` and, with a protocol, `GETKEYSANDFLAGS`.
fn get_keys(table: &Table, request: &[&[u8]], flags: Option<Proto>, out: &mut Vec<u8>) {
    let name = request.first().copied().unwrap_or_default();
    let Found::Row(row) = table.find(name, request.get(1).copied()) else {
        return error(out, "ERR Invalid command specified");
    };
    if row.specs.iter().all(|spec| spec.access.has(Access::NOT_KEY)) {
        return error(out, "ERR The command has no key arguments");
    }
    if !row.arity_ok(request.len()) {
        return error(out, "ERR Invalid number of arguments specified for command");
    }
    let mut found = Vec::new();
    match keys::walk(row, request, None, &mut |index, access| found.push((index as usize, access))) {
        Ok(()) => {}
        Err(_) if row.flags.has(Flags::NO_MANDATORY_KEYS) => found.clear(),
        Err(_) => return error(out, "ERR Invalid arguments specified for command"),
    }
    array_header(out, found.len());
    for (index, access) in found {
        match flags {
            None => bulk(out, request.word(index)),
            Some(proto) => {
                array_header(out, 2);
                bulk(out, request.word(index));
                names(actual(row, access, request).names(), "", proto, out);
            }
        }
    }
}

/// What happens to a key when that depends on the options: `SET … GET` reads, `BITFIELD` without `SET` and `INCRBY`
/// does not write.
fn actual(row: &Row, access: Access, request: &[&[u8]]) -> Access {
    let has = |from: usize, word: &[u8]| request.iter().skip(from).any(|arg| arg.eq_ignore_ascii_case(word));
    let names = match row.name.as_str() {
        "set" if has(3, b"get") => "RW+access+update",
        "set" => "OW+update",
        "bitfield" if has(2, b"set") || has(2, b"incrby") => "RW+access+update",
        "bitfield" => "RO+access",
        _ => return access,
    };
    Access::parse(names).unwrap_or(access)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
