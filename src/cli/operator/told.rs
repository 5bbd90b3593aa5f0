//! A reply of names and values for people: single values as aligned lines, maps in it under their names, lists of maps as
//! tables. Pure.

use redis_protocol::resp2::types::OwnedFrame;

use super::{
    fields,
    table::{Column, table},
    text,
};

/// The reply as text: a map, or a list of maps with the same fields; anything else as it is.
pub(in crate::cli) fn told(frame: &OwnedFrame) -> String {
    match frame {
        OwnedFrame::Array(items) => match (fields(items), rows(items)) {
            (Some(map), _) => map_of(&map),
            (None, Some(rows)) => table_of(&rows),
            (None, None) => items.iter().map(told).collect::<Vec<_>>().join("\n"),
        },
        other => cell(other),
    }
}

type Map<'a> = Vec<(String, &'a OwnedFrame)>;

/// The maps of a list, if it is one of maps.
fn rows(items: &[OwnedFrame]) -> Option<Vec<Map<'_>>> {
    fn map(item: &OwnedFrame) -> Option<Map<'_>> {
        match item {
            OwnedFrame::Array(items) => fields(items),
            _ => None,
        }
    }
    if items.is_empty() { None } else { items.iter().map(map).collect() }
}

/// First what is single, then what is more than that, each under its name.
fn map_of(map: &Map<'_>) -> String {
    let (single, more): (Map<'_>, Map<'_>) =
        map.iter().cloned().partition(|(_, value)| !matches!(value, OwnedFrame::Array(items) if !items.is_empty()));
    let mut text = aligned(&single, "");
    for (name, value) in more {
        text += &match value {
            OwnedFrame::Array(items) => match (fields(items), rows(items)) {
                (Some(map), _) => format!("\n{name}\n{}", aligned(&map, "  ")),
                (None, Some(rows)) => format!("\n{name}\n{}", table_of(&rows)),
                (None, None) => format!("\n{name}\n  {}\n", items.iter().map(cell).collect::<Vec<_>>().join("\n  ")),
            },
            single => format!("\n{name}\n  {}\n", told(single)),
        };
    }
    text
}

fn aligned(map: &Map<'_>, before: &str) -> String {
    let width = map.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(String, &OwnedFrame)| {
        format!("{}\n", format!("{before}{name:width$}  {}", cell(value)).trim_end())
    };
    map.iter().map(line).collect()
}

/// Columns are the fields of the first row; a column of numbers only stands to the right.
fn table_of(rows: &[Map<'_>]) -> String {
    let names: Vec<String> = rows.first().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let columns: Vec<Column<'_>> = names
        .iter()
        .map(|name| {
            let mut values = rows.iter().filter_map(|row| value(row, name));
            let numbers = values.all(|value| matches!(value, OwnedFrame::Integer(_) | OwnedFrame::Null));
            if numbers { Column::Number(name) } else { Column::Text(name) }
        })
        .collect();
    let row = |row: &Map<'_>| names.iter().map(|name| value(row, name).map(cell).unwrap_or_default()).collect();
    table(&columns, &rows.iter().map(row).collect::<Vec<_>>())
}

fn value<'a>(row: &Map<'a>, name: &str) -> Option<&'a OwnedFrame> {
    row.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
}

/// A value in one line. Names and texts are whatever clients chose: a terminal is told no commands.
fn cell(value: &OwnedFrame) -> String {
    match value {
        OwnedFrame::Null => "-".to_owned(),
        OwnedFrame::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => {
            let mut shown = String::new();
            for letter in text(other).chars() {
                if letter.is_control() {
                    shown.extend(letter.escape_default());
                } else {
                    shown.push(letter);
                }
            }
            shown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> OwnedFrame {
        OwnedFrame::BulkString(text.into())
    }

    fn map(fields: &[(&str, OwnedFrame)]) -> OwnedFrame {
        OwnedFrame::Array(fields.iter().flat_map(|(name, value)| [bulk(name), value.clone()]).collect())
    }

    #[test]
    fn a_map_is_lines_and_what_is_in_it_stands_below() {
        let node =
            |name: &str, state: &str, left| map(&[("name", bulk(name)), ("state", bulk(state)), ("left-ms", left)]);
        let frame = map(&[
            ("state", bulk("held")),
            ("holder", map(&[("token", bulk("c0ffee")), ("validity-ms", OwnedFrame::Integer(7))])),
            ("obstacle", OwnedFrame::Null),
            (
                "nodes",
                OwnedFrame::Array(vec![
                    node("a", "held", OwnedFrame::Integer(1_200)),
                    node("long", "down", OwnedFrame::Null),
                ]),
            ),
            ("window", OwnedFrame::Array(vec![])),
            ("before", OwnedFrame::Array(vec![bulk("a\nb"), bulk("c d"), bulk("e")])),
        ]);
        let expected = "state     held\n\
                        obstacle  -\n\
                        window\n\
                        \n\
                        holder\n\
                        \x20 token        c0ffee\n\
                        \x20 validity-ms  7\n\
                        \n\
                        nodes\n\
                        \x20 name  state  left-ms\n\
                        \x20 a     held      1200\n\
                        \x20 long  down         -\n\
                        \n\
                        before\n\
                        \x20 a\\nb\n\
                        \x20 c d\n\
                        \x20 e\n";
        assert_eq!(told(&frame), expected);
    }

    #[test]
    fn other_replies_are_told_as_they_are() {
        assert_eq!(told(&OwnedFrame::Integer(1)), "1");
        assert_eq!(told(&OwnedFrame::Array(vec![])), "");
        let row = |name: &str| map(&[("name", bulk(name)), ("fence", OwnedFrame::Integer(3))]);
        assert_eq!(
            told(&OwnedFrame::Array(vec![row("\u{1b}[2J"), row("b")])),
            "  name       fence\n  \\u{1b}[2J      3\n  b              3\n"
        );
    }
}
