//! What is wrong in a configuration, told to the person who wrote it.
//!
//! A [`Mistake`] names where it stands (line of the file, or flag), what was found and the cure. [`Mistakes`] holds
//! all that were found in one pass, the file's in the order of its lines, then the flags', so that one run shows
//! everything. No message ever holds a password. Pure.

use std::fmt;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line of the configuration file, counted from 1.
    Line {
        /// Path of the file as it was given.
        file: String,
        /// Line, counted from 1.
        line: usize,
    },
    /// A flag of the command line, without its value.
    Flag(String),
    /// Nowhere: something is missing, or a default takes part.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Flag(flag) => f.write_str(flag),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// One mistake; its Display is one line: `conf/circlet.toml:12: ring.points is 0; use 1 to 1048576`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where the wrong value stands.
    pub place: Place,
    /// What is wrong and the cure.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// What is right, but not quite as somebody may expect it; its Display is one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Where it comes from.
    pub place: Place,
    /// What is so, and where to change it.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// All mistakes of a configuration, at least one; its Display has a line for each, without a final line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// The first one.
    #[must_use]
    pub fn first(&self) -> Option<&Mistake> {
        self.0.first()
    }

    /// Puts what was found into the order of the file; `None` when nothing was.
    pub(super) fn of(mut found: Vec<Mistake>) -> Option<Self> {
        found.sort();
        found.dedup();
        if found.is_empty() { None } else { Some(Self(found)) }
    }

    /// A single one.
    pub(super) fn one(place: Place, text: String) -> Self {
        Self(vec![Mistake { place, text }])
    }

    /// All of several passes, each once.
    pub(super) fn together(found: Vec<Self>) -> Option<Self> {
        Self::of(found.into_iter().flat_map(|mistakes| mistakes.0).collect())
    }

    /// The mistakes, those of the file first, by line.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_come_in_the_order_of_the_file_then_the_flags() {
        let line = |line| Place::Line { file: "c.toml".to_owned(), line };
        let mistake = |place, text: &str| Mistake { place, text: text.to_owned() };
        let mistakes = Mistakes::of(vec![
            mistake(Place::Flag("--workers".to_owned()), "workers is 0; use 1 to 1024"),
            mistake(line(10), "b"),
            mistake(line(9), "a"),
            mistake(line(9), "a"),
        ])
        .unwrap();
        assert_eq!(mistakes.to_string(), "c.toml:9: a\nc.toml:10: b\n--workers: workers is 0; use 1 to 1024");
        assert_eq!(mistakes.iter().count(), 3);
        assert_eq!(Mistakes::of(Vec::new()), None);
    }
}
