//! What a node's `COMMAND` adds to the table: commands of modules and of newer servers.
//!
//! A reply in RESP2 or RESP3 goes in, a table with more rows comes out; rows that the table has stay as they are, but
//! for an arity that the node takes less strictly. A new command is routed by its keys if these are sure to be found:
//! by key specifications, else by first, last and step. Whatever is not sure is refused, because a wrong guess would
//! give wrong results: commands without keys (they may act on one node only), and commands whose module finds the
//! keys by a callback of its own. A new sub-command of a container that Circlet refuses or answers itself is refused.
//! Flags and ACL categories that Redis does not have are left out. Bounded by [`MAX_ROWS`]. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::{collections::HashMap, str};

use super::{
    Acl, Flags, Reason, Route, Row, Table,
    keys::Finder,
    spec::{Access, Begin, Find, KeySpec},
    table::MAX_ROWS,
};
use crate::traffic::resp::reply::Elements;

/// `table` and what `reply` has beyond it.
pub(super) fn add(table: &Table, reply: &[u8]) -> Result<Table, String> {
    let mut rows = table.commands().to_vec();
    let mut next = table.rows().map(|row| usize::from(row.id) + 1).max().unwrap_or(0);
    let mut places: HashMap<String, usize> = rows.iter().enumerate().map(|(at, row)| (row.name.clone(), at)).collect();
    for entry in elements(reply, "the reply to COMMAND")? {
        let Some(mut new) = row(entry, None)? else { continue };
        match places.get(&new.name).and_then(|at| rows.get_mut(*at)) {
            None => {
                number(&mut new, &mut next)?;
                places.insert(new.name.clone(), rows.len());
                rows.push(new);
            }
            Some(known) => {
                loosen(known, new.arity);
                for sub in new.subs {
                    join(known, sub, &mut next)?;
                }
            }
        }
    }
    Ok(Table::of(rows))
}

/// Lets `known` accept the numbers of arguments that this node accepts: the node is to judge them. Not for what Circlet
/// answers or takes apart itself.
fn loosen(known: &mut Row, arity: i32) {
    if matches!(known.route, Route::Keys | Route::Any) && known.arity != arity {
        known.arity = -known.arity.saturating_abs().min(arity.saturating_abs()).max(1);
    }
}

/// Puts a sub-command into its container. A command with keys never becomes a container: its second word is a key.
fn join(known: &mut Row, mut sub: Row, next: &mut usize) -> Result<(), String> {
    if let Some(same) = known.subs.iter_mut().find(|same| same.name == sub.name) {
        loosen(same, sub.arity);
    } else if known.is_container() || matches!(known.route, Route::Refuse(_)) {
        number(&mut sub, next)?;
        sub.route = route(&sub, Some(known.route));
        known.subs.push(sub);
    }
    Ok(())
}

/// Gives `row` and its sub-commands the next ids.
fn number(row: &mut Row, next: &mut usize) -> Result<(), String> {
    if *next >= MAX_ROWS {
        return Err(format!("more than {MAX_ROWS} commands"));
    }
    row.id = u16::try_from(*next).map_err(|_| "too many commands".to_owned())?;
    *next += 1;
    row.subs.iter_mut().try_for_each(|sub| number(sub, next))
}

/// The row of one entry; `None` for a command that the node has disabled by an empty name.
fn row(entry: &[u8], container: Option<&str>) -> Result<Option<Row>, String> {
    let cells: Vec<&[u8]> = elements(entry, "an entry of COMMAND")?.collect();
    let [name, arity, flags, first, last, step, rest @ ..] = cells.as_slice() else {
        return Err(format!("an entry of COMMAND has {} elements instead of 6 or more", cells.len()));
    };
    let name = text(name)?.to_ascii_lowercase();
    // Redis calls a sub-command `client|list`; older versions and some forks only `list`.
    let name = match container {
        Some(container) if !name.starts_with(&format!("{container}|")) => format!("{container}|{name}"),
        _ => name,
    };
    if name.is_empty() {
        return Ok(None);
    }
    let flags = texts(flags)?.iter().filter_map(|flag| Flags::named(flag)).fold(Flags::default(), Flags::with);
    let cell = |at: usize| rest.get(at).copied();
    let acl = cell(0).map(texts).transpose()?.unwrap_or_default();
    let acl = acl.iter().filter_map(|name| Acl::named(name.trim_start_matches('@'))).fold(Acl::default(), Acl::with);
    let tips = cell(1).map(texts).transpose()?.unwrap_or_default().into_iter().map(str::to_owned).collect();
    let mut specs = match cell(2) {
        Some(specs) => elements(specs, "key specifications")?.map(spec).collect::<Result<Vec<_>, _>>()?,
        None => Vec::new(),
    };
    if specs.is_empty() {
        specs.extend(legacy(integer(first)?, integer(last)?, integer(step)?));
    }
    let subs = match cell(3) {
        // One level, as in Redis.
        Some(subs) if container.is_none() => elements(subs, "sub-commands")?
            .filter_map(|sub| row(sub, Some(&name)).transpose())
            .collect::<Result<Vec<_>, _>>()?,
        _ => Vec::new(),
    };
    let arity = i32::try_from(integer(arity)?).map_err(|_| format!("the arity of {name} is out of range"))?;
    let mut row = Row {
        id: 0,
        name,
        arity,
        flags,
        acl,
        route: Route::Any,
        finder: Finder::of(&specs),
        specs,
        tips,
        since: String::new(),
        deprecated: None,
        group: if flags.has(Flags::MODULE) { "module".to_owned() } else { "generic".to_owned() },
        summary: String::new(),
        subs,
    };
    row.route = route(&row, None);
    let own = row.route;
    for sub in &mut row.subs {
        sub.route = route(sub, Some(own));
    }
    Ok(Some(row))
}

/// The route of a row that the table does not know; `container` is the route of its container if it is a sub-command.
fn route(row: &Row, container: Option<Route>) -> Route {
    let refused = match container {
        Some(Route::Refuse(reason)) => Some(reason),
        Some(Route::Local(_)) => Some(Reason::Pinned),
        _ => None,
    };
    let found = !row.specs.is_empty()
        && !row.flags.has(Flags::GETKEYS)
        && row.specs.iter().all(|spec| {
            spec.begin != Begin::Unknown
                && spec.find != Find::Unknown
                && !spec.access.has(Access::INCOMPLETE)
                && !spec.access.has(Access::NOT_KEY)
        });
    match refused {
        Some(reason) => Route::Refuse(reason),
        None if row.flags.has(Flags::BLOCKING) || row.flags.has(Flags::PUBSUB) => Route::Refuse(Reason::Pinned),
        None if !row.subs.is_empty() || row.name.ends_with("|help") => Route::Any,
        None if found => Route::Keys,
        None => Route::Refuse(Reason::OneNode),
    }
}

/// First, last and step of servers before Redis 7 and of modules, as a key specification.
fn legacy(first: i64, last: i64, step: i64) -> Option<KeySpec> {
    let begin = u32::try_from(first).ok().filter(|first| *first > 0)?;
    let last = i32::try_from(if last < 0 { last } else { last - first }).ok()?;
    let step = u32::try_from(step).ok().filter(|step| *step > 0)?;
    let access = Access::parse("RW+access+update").unwrap_or_default();
    Some(KeySpec { begin: Begin::Index(begin), find: Find::Range { last, step, limit: 0 }, access })
}

/// One key specification.
fn spec(frame: &[u8]) -> Result<KeySpec, String> {
    let spec = Fields::of(frame)?;
    let access = match spec.get("flags") {
        Some(flags) => {
            texts(flags)?.iter().filter_map(|flag| Access::named(flag)).fold(Access::default(), Access::with)
        }
        None => Access::default(),
    };
    let begin = Fields::of(spec.get("begin_search").ok_or("a key specification without begin_search")?)?;
    let find = Fields::of(spec.get("find_keys").ok_or("a key specification without find_keys")?)?;
    let inner = begin.get("spec").map(Fields::of).transpose()?.unwrap_or_default();
    let begin = match begin.get("type").map(text).transpose()? {
        Some("index") => Begin::Index(inner.number("index")?),
        Some("keyword") => Begin::Keyword {
            word: text(inner.get("keyword").ok_or("no keyword")?)?.to_owned(),
            from: inner.number("startfrom")?,
        },
        _ => Begin::Unknown,
    };
    let inner = find.get("spec").map(Fields::of).transpose()?.unwrap_or_default();
    let find = match find.get("type").map(text).transpose()? {
        Some("range") => Find::Range {
            last: inner.number("lastkey")?,
            step: inner.number("keystep")?,
            limit: inner.number("limit")?,
        },
        Some("keynum") => Find::Count {
            at: inner.number("keynumidx")?,
            first: inner.number("firstkey")?,
            step: inner.number("keystep")?,
        },
        _ => Find::Unknown,
    };
    Ok(KeySpec { begin, find, access })
}

/// A map, or in RESP2 an array of names and values.
#[derive(Default)]
struct Fields<'a>(Vec<&'a [u8]>);

impl<'a> Fields<'a> {
    fn of(frame: &'a [u8]) -> Result<Self, String> {
        Ok(Self(elements(frame, "a map")?.collect()))
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.chunks_exact(2).find(|pair| text(pair[0]) == Ok(name)).map(|pair| pair[1])
    }

    fn number<T: TryFrom<i64>>(&self, name: &str) -> Result<T, String> {
        let value = integer(self.get(name).ok_or_else(|| format!("a key specification without {name}"))?)?;
        T::try_from(value).map_err(|_| format!("{name} is {value}, which is out of range"))
    }
}

/// The elements of an aggregate; `what` names it in the error.
fn elements<'a>(frame: &'a [u8], what: &str) -> Result<Elements<'a>, String> {
    Elements::of(frame).ok_or_else(|| format!("{what} is no array: {}", start(frame)))
}

/// The texts of an aggregate of strings.
fn texts(frame: &[u8]) -> Result<Vec<&str>, String> {
    elements(frame, "a list of names")?.map(text).collect()
}

/// The text of a simple or bulk string.
fn text(frame: &[u8]) -> Result<&str, String> {
    let end = frame.len().saturating_sub(2);
    let payload = match frame.first() {
        Some(b'+') => frame.get(1..end),
        Some(b'$') => frame.iter().position(|byte| *byte == b'\n').and_then(|at| frame.get(at + 1..end)),
        _ => None,
    };
    payload.and_then(|bytes| str::from_utf8(bytes).ok()).ok_or_else(|| format!("no text: {}", start(frame)))
}

/// The value of an integer.
fn integer(frame: &[u8]) -> Result<i64, String> {
    let digits = match frame {
        [b':', digits @ .., b'\r', b'\n'] => str::from_utf8(digits).ok(),
        _ => None,
    };
    digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| format!("no integer: {}", start(frame)))
}

/// The start of a frame, for messages.
fn start(frame: &[u8]) -> String {
    frame[..frame.len().min(40)].escape_ascii().to_string()
}

#[cfg(test)]
mod tests;
