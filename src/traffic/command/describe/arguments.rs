//! Arguments of the commands about locks, as COMMAND DOCS shows them; redis-cli makes its hints of them. Pure.

use crate::traffic::resp::{
    Proto,
    encode::{array_header, bulk, map_header, set_header, simple},
};

/// One argument.
#[derive(Debug)]
pub(super) struct Argument {
    name: &'static str,
    /// As COMMAND DOCS names it.
    kind: &'static str,
    /// The word that stands before it, or that it is.
    token: Option<&'static str>,
    optional: bool,
    /// Of several one is given.
    either: &'static [Self],
}

const fn must(name: &'static str, kind: &'static str) -> Argument {
    Argument { name, kind, token: None, optional: false, either: &[] }
}

const fn word(name: &'static str, kind: &'static str, token: &'static str, optional: bool) -> Argument {
    Argument { name, kind, token: Some(token), optional, either: &[] }
}

const NAME: Argument = must("name", "string");
const TTL: Argument = must("ttl-ms", "integer");
const TOKEN: Argument = must("token", "string");

const ACQUIRE: &[Argument] = &[
    NAME,
    TTL,
    word("ms", "integer", "WAIT", true),
    word("text", "string", "OWNER", true),
    word("session", "pure-token", "SESSION", true),
];

const RELEASE: &[Argument] = &[
    NAME,
    Argument {
        name: "whose",
        kind: "oneof",
        token: None,
        optional: false,
        either: &[TOKEN, word("force", "pure-token", "FORCE", false)],
    },
];

/// Those of the command `name`; empty: not known here.
pub(super) fn of(name: &str) -> &'static [Argument] {
    match name {
        "lock.acquire" => ACQUIRE,
        "lock.extend" => &[NAME, TOKEN, TTL],
        "lock.info" => &[NAME],
        "lock.list" => &[Argument { name: "pattern", kind: "pattern", token: None, optional: true, either: &[] }],
        "lock.release" => RELEASE,
        _ => &[],
    }
}

pub(super) fn write(arguments: &[Argument], proto: Proto, out: &mut Vec<u8>) {
    array_header(out, arguments.len());
    for argument in arguments {
        let Argument { name, kind, token, optional, either } = argument;
        let others = usize::from(token.is_some()) + usize::from(*optional) + usize::from(!either.is_empty());
        map_header(out, 2 + others, proto);
        let texts = [("name", Some(*name)), ("type", Some(*kind)), ("token", *token)];
        for (field, text) in texts.into_iter().filter_map(|(field, text)| Some((field, text?))) {
            bulk(out, field.as_bytes());
            bulk(out, text.as_bytes());
        }
        if *optional {
            bulk(out, b"flags");
            set_header(out, 1, proto);
            simple(out, "optional");
        }
        if !either.is_empty() {
            bulk(out, b"arguments");
            write(either, proto, out);
        }
    }
}
