//! Reads `commands.txt`; what its columns mean is told at its top.
//!
//! Runs once per process. Malformed lines are mistakes of the source tree, found by the tests. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use super::{Acl, Flags, Route, Row, keys::Finder, spec::KeySpec};

/// The facts.
pub(super) const COMMANDS: &str = include_str!("commands.txt");

/// A cell without a value.
const NOTHING: &str = "-";

/// The rows of a text in the form of `commands.txt`, numbered in the order of its lines, sub-commands in their
/// containers.
pub(super) fn rows(text: &str) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    for (id, (at, line)) in lines.enumerate() {
        let id = u16::try_from(id).map_err(|_| format!("line {}: too many rows", at + 1))?;
        let row = row(id, line).map_err(|mistake| format!("line {}: {mistake}: {line}", at + 1))?;
        match (row.name.split_once('|'), rows.last_mut()) {
            (None, _) => rows.push(row),
            (Some((container, _)), Some(last)) if last.name == container => last.subs.push(row),
            _ => return Err(format!("line {}: {} does not follow its container", at + 1, row.name)),
        }
    }
    Ok(rows)
}

/// The row of one line.
fn row(id: u16, line: &str) -> Result<Row, String> {
    let mut rest = line;
    let mut cell = |name: &str| {
        let (cell, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after.trim_start();
        if cell.is_empty() { Err(format!("no {name}")) } else { Ok(cell) }
    };
    let name = cell("name")?;
    let arity = cell("arity")?.parse().map_err(|_| "the arity is no number")?;
    let route = cell("route")?;
    let route = Route::parse(route).ok_or_else(|| format!("unknown route {route}"))?;
    let (specs, finder) = keys(cell("keys")?)?;
    let flags = list(cell("flags")?).try_fold(Flags::default(), |set, flag| {
        Flags::named(flag).map(|flag| set.with(flag)).ok_or_else(|| format!("unknown flag {flag}"))
    })?;
    let acl = list(cell("acl")?).try_fold(Acl::default(), |set, category| {
        Acl::named(category).map(|category| set.with(category)).ok_or_else(|| format!("unknown category {category}"))
    })?;
    let group = cell("group")?.to_owned();
    let since = cell("since")?;
    let (since, deprecated) = match since.split_once("..") {
        Some((since, deprecated)) => (since.to_owned(), Some(deprecated.to_owned())),
        None => (since.to_owned(), None),
    };
    let tips = list(cell("tips")?).map(str::to_owned).collect();
    let acl = acl.implied_by(flags);
    let (name, summary, subs) = (name.to_owned(), rest.to_owned(), Vec::new());
    Ok(Row { id, name, arity, flags, acl, route, specs, tips, since, deprecated, group, summary, subs, finder })
}

/// The entries of a cell.
fn list(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(',').filter(|entry| *entry != NOTHING)
}

/// The key specifications of a cell, and how the keys are found.
fn keys(cell: &str) -> Result<(Vec<KeySpec>, Finder), String> {
    let (finder, specs) = match cell.split_once('=') {
        Some((finder, specs)) => {
            let found = Finder::named(finder).ok_or_else(|| format!("unknown way to find keys {finder}"))?;
            (Some(found), specs)
        }
        None => (None, cell),
    };
    let specs = list(specs)
        .map(|spec| KeySpec::parse(spec).ok_or_else(|| format!("unknown key specification {spec}")))
        .collect::<Result<Vec<_>, _>>()?;
    let finder = finder.unwrap_or_else(|| Finder::of(&specs));
    Ok((specs, finder))
}
