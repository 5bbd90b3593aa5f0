//! A configuration while it is put together: values so far, where each was written, and the mistakes found.
//!
//! A wrong value is reported and leaves the default; its key is remembered as broken, so that no contradiction with
//! that default is reported after it. Pure.

use std::collections::{HashMap, HashSet};

use toml::de::{DeTable, DeValue};

use super::{
    Config,
    mistake::{Mistake, Mistakes, Place},
};

/// A value as written, before its option says what it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// A single value as text; `quoted` when it was a string (always on the command line).
    Scalar {
        /// Text, without quotes and, in decimal, without `_`.
        text: String,
        /// Whether it was written as a string.
        quoted: bool,
    },
    /// A list of values.
    List(Vec<Self>),
    /// A table where a value belongs.
    Table,
}

impl Raw {
    /// What was typed on the command line.
    pub(super) fn text(text: &str) -> Self {
        Self::Scalar { text: text.to_owned(), quoted: true }
    }

    /// Reads `text` as a TOML value.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let document = format!("value = {text}");
        let table = DeTable::parse(&document).ok()?.into_inner();
        table.get("value").map(|value| Self::of(value.get_ref()))
    }

    /// The value that the TOML parser found.
    pub(super) fn of(value: &DeValue<'_>) -> Self {
        let bare = |text: String| Self::Scalar { text, quoted: false };
        match value {
            DeValue::String(text) => Self::text(text),
            DeValue::Integer(number) => bare(match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => number.to_string(),
                Err(_) => number.as_str().to_owned(),
            }),
            DeValue::Float(number) => bare(number.as_str().to_owned()),
            DeValue::Boolean(yes) => bare(yes.to_string()),
            DeValue::Datetime(time) => bare(time.to_string()),
            DeValue::Array(items) => Self::List(items.iter().map(|item| Self::of(item.get_ref())).collect()),
            DeValue::Table(_) => Self::Table,
        }
    }

    /// Whether the value is an empty string.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Scalar { text, .. } if text.is_empty())
    }

    /// How the value is shown in a mistake: strings in quotes, shortened, on one line.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Scalar { text, quoted: false } => shortened(text),
            Self::Scalar { text, quoted: true } => format!("\"{}\"", shortened(text).escape_debug()),
            Self::List(items) => {
                let items: Vec<String> = items.iter().take(8).map(Self::shown).collect();
                format!("[{}]", shortened(&items.join(", ")))
            }
            Self::Table => "a table".to_owned(),
        }
    }
}

/// The first letters of a long text.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

/// A configuration while it is put together.
#[derive(Debug)]
pub(super) struct Draft {
    /// Values so far; starts as the defaults.
    pub(super) config: Config,
    /// Where each of `config.nodes` was written.
    pub(super) node_places: Vec<Place>,
    /// The file could not be read whole: what seems to be missing may stand in the rest.
    pub(super) incomplete: bool,
    /// Options that were set: where.
    places: HashMap<&'static str, Place>,
    /// Options and `nodes` that were written wrongly.
    broken: HashSet<&'static str>,
    mistakes: Vec<Mistake>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            config: Config::default(),
            node_places: Vec::new(),
            incomplete: false,
            places: HashMap::new(),
            broken: HashSet::new(),
            mistakes: Vec::new(),
        }
    }

    /// Remembers where `key` was set last.
    pub(super) fn set_at(&mut self, key: &'static str, place: Place) {
        self.broken.remove(key);
        self.places.insert(key, place);
    }

    /// Where `key` was set; `None`: it has its default.
    pub(super) fn place(&self, key: &str) -> Option<&Place> {
        self.places.get(key)
    }

    /// Whether `key` was written, but wrongly: what stands in `config` is not what its author meant.
    pub(super) fn is_broken(&self, key: &str) -> bool {
        self.broken.contains(key)
    }

    /// Reports a mistake that is no single option's.
    pub(super) fn mistake(&mut self, place: Place, text: String) {
        self.mistakes.push(Mistake { place, text });
    }

    /// Reports a wrong value of `key`.
    pub(super) fn broken(&mut self, key: &'static str, place: Place, text: String) {
        self.broken.insert(key);
        self.mistake(place, text);
    }

    /// Forgets the mistakes at `place`: they only follow from another one there.
    pub(super) fn forget(&mut self, place: &Place) {
        self.mistakes.retain(|mistake| mistake.place != *place);
    }

    /// The configuration, if nothing was wrong.
    pub(super) fn finish(self) -> Result<Config, Mistakes> {
        match Mistakes::of(self.mistakes) {
            Some(mistakes) => Err(mistakes),
            None => Ok(self.config),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_they_were_written() {
        for (toml, shown) in [
            ("\"a\"", "\"a\""),
            ("1_000", "1000"),
            ("0x10", "16"),
            ("-5", "-5"),
            ("1.5", "1.5"),
            ("true", "true"),
            ("[1, \"b\"]", "[1, \"b\"]"),
            ("{ a = 1 }", "a table"),
            ("1979-05-27", "1979-05-27"),
            ("\"line\\nbreak\"", "\"line\\nbreak\""),
        ] {
            assert_eq!(Raw::parse(toml).unwrap().shown(), shown);
        }
        assert_eq!(Raw::parse("[1"), None);
        let long = Raw::text(&"é".repeat(1_000)).shown();
        assert_eq!(long, format!("\"{}…\"", "é".repeat(80)));
    }
}
