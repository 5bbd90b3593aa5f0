//! The configuration file: TOML text to [`Draft`].
//!
//! The text is parsed with recovery, so that broken lines and wrong values elsewhere are reported in one run. Every
//! value keeps its line. What a key may be is the business of its row (`option.rs`) or of `nodes.rs`.
//! Relative paths in the file start from the file's directory. Io: reads the file.

use std::{fs, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    draft::{Draft, Raw},
    mistake::Place,
    nearest, nodes, option,
};

/// Turns offsets into places.
pub(super) struct Source<'a> {
    name: String,
    text: &'a str,
    /// Directory of the file.
    pub(super) base: &'a Path,
}

impl Source<'_> {
    /// The place of the byte at `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Place::Line { file: self.name.clone(), line }
    }
}

/// Reads the file at `path` over the draft.
pub(super) fn apply(draft: &mut Draft, path: &Path) {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => {
            let source = Source { name, text: &text, base: path.parent().unwrap_or(Path::new("")) };
            read(draft, &source);
        }
        Err(error) => {
            draft.incomplete = true;
            let text = format!("{name} cannot be read ({error}); give --config a readable TOML file");
            draft.mistake(Place::Flag("--config".to_owned()), text);
        }
    }
}

fn read(draft: &mut Draft, source: &Source<'_>) {
    let (table, errors) = DeTable::parse_recoverable(source.text);
    walk(draft, source, "", table.get_ref());
    let places: Vec<Place> =
        errors.iter().map(|error| source.place(error.span().map_or(0, |span| span.start))).collect();
    // What was read on a broken line is not what its author meant.
    for place in &places {
        draft.forget(place);
    }
    // One fault can give several errors; the first on a line tells it.
    let mut told = None;
    for (error, place) in errors.iter().zip(places) {
        if told.as_ref() == Some(&place) {
            continue;
        }
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        let cure = "write each key once, as key = value, with text in quotes";
        draft.incomplete = true;
        draft.mistake(place.clone(), format!("this line is not TOML ({message}); {cure}"));
        told = Some(place);
    }
}

/// Applies the keys of one table; `section` is its name with a dot, or empty at the top.
fn walk(draft: &mut Draft, source: &Source<'_>, section: &str, table: &DeTable<'_>) {
    for (name, value) in table {
        let key = format!("{section}{}", name.get_ref());
        let place = source.place(name.span().start);
        if key == "nodes" {
            nodes::read(draft, source, place, value);
        } else if let Some(row) = option::row(&key) {
            // The value's line: with a list over several lines the key's line is what people look for.
            row.set(draft, &Raw::of(value.get_ref()), place, source.base);
        } else if nearest::is_section(&key) {
            enter(draft, source, &key, place, value);
        } else if matches!(value.get_ref(), DeValue::Table(_)) {
            draft.mistake(place, nearest::unknown_section(&key));
        } else {
            draft.mistake(place, nearest::unknown(&key));
        }
    }
}

fn enter(draft: &mut Draft, source: &Source<'_>, key: &str, place: Place, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::Table(inner) => walk(draft, source, &format!("{key}."), inner),
        other => {
            let shown = Raw::of(other).shown();
            draft.mistake(place, format!("{key} is {shown}; write [{key}] and its options on the lines below"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::draft::Draft;

    fn mistakes(text: &str) -> String {
        let mut draft = Draft::new();
        read(&mut draft, &Source { name: "c.toml".to_owned(), text, base: Path::new("") });
        draft.finish().map_or_else(|mistakes| mistakes.to_string(), |_| String::new())
    }

    #[test]
    fn broken_lines_are_reported_together_with_wrong_values() {
        let found = mistakes("workers = 0\nadmin = \"127\nstate = = 3\n\n[limits]\nmax_args = 1\nmax_bulk\n");
        let lines: Vec<&str> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(lines, ["c.toml:1", "c.toml:2", "c.toml:3", "c.toml:6", "c.toml:7"], "{found}");
        assert!(found.contains("not TOML"), "{found}");
    }

    #[test]
    fn a_key_given_twice_is_named_at_its_second_line() {
        let found = mistakes("workers = 1\n\nworkers = 2\n");
        assert!(found.starts_with("c.toml:3: ") && found.contains("duplicate key"), "{found}");
    }

    #[test]
    fn unknown_keys_and_sections_are_reported_with_the_nearest_known_one() {
        for (text, cure) in [
            ("worker = 1", "c.toml:1: worker is no option; did you mean workers?"),
            ("max_pending = 1", "c.toml:1: max_pending is no option; did you mean session.max_pending?"),
            ("[session]\n\nmax_bulk = 1", "c.toml:3: session.max_bulk is no option; did you mean limits.max_bulk?"),
            (
                "[session]\nidle_time = 1",
                "c.toml:2: session.idle_time is no option; did you mean session.idle_timeout?",
            ),
            ("frobnicate = 1", "c.toml:1: frobnicate is no option; remove it (conf/circlet.toml lists all)"),
            ("[sesion]\nx = 1\ny = 2", "c.toml:1: [sesion] is no section; did you mean [session]?"),
            ("[node]\nname = \"a\"", "c.toml:1: [node] is no section; did you mean [[nodes]]?"),
            (
                "[databases]\nx = 1",
                "c.toml:1: [databases] is no section; use keys, latency, limits, lock, log, pipe, rebalance, ring, session, slowlog or [[nodes]]",
            ),
            (
                "[limits.more]\nx = 1",
                "c.toml:1: [limits.more] is no section; use keys, latency, limits, lock, log, pipe, rebalance, ring, session, slowlog or [[nodes]]",
            ),
            ("limits = 3", "c.toml:1: limits is 3; write [limits] and its options on the lines below"),
            (
                "[[limits]]\nmax_args = 5",
                "c.toml:1: limits is [a table]; write [limits] and its options on the lines below",
            ),
        ] {
            assert_eq!(mistakes(text), cure);
        }
    }

    #[test]
    fn any_text_at_all_gives_a_configuration_or_mistakes() {
        let sample = include_str!("../../conf/circlet.toml");
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let mut text: Vec<char> = sample.chars().collect();
            let start = random.usize(..text.len());
            text.truncate(start + 400);
            text.drain(..start);
            for _ in 0..random.usize(1..6) {
                let at = random.usize(..text.len());
                text[at] = *random.choice(&['"', '[', ']', '=', '\n', '0', '-', 'é', '.', '#', '{']).unwrap();
            }
            let _ = mistakes(&text.into_iter().collect::<String>());
        }
    }
}
