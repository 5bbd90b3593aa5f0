//! Where the configuration of this process comes from, so that it can be read again.
//!
//! Io: reads the files.

use std::path::PathBuf;

use super::Pool;
use crate::config::{
    self, Mistakes, Note, Overrides,
    twemproxy::{self, Import, Served},
};

/// What was given on the command line.
#[derive(Clone, Debug)]
pub enum Source {
    /// Circlet's own file, or none, and flags over it.
    Circlet {
        /// The file.
        file: Option<PathBuf>,
        /// The flags.
        overrides: Overrides,
    },
    /// A file of twemproxy, and flags over each pool.
    Twemproxy {
        /// The file.
        file: PathBuf,
        /// The pools that are wanted; none: all that speak Redis.
        pools: Vec<String>,
        /// The flags.
        overrides: Overrides,
    },
}

/// A line for the log, and the pool that it is about, where there are several.
pub type Told = (Option<String>, Note);

impl Source {
    /// Flags alone.
    #[must_use]
    pub fn flags(overrides: Overrides) -> Self {
        Self::Circlet { file: None, overrides }
    }

    /// The file that can be read again.
    #[must_use]
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Circlet { file, .. } => file.as_ref(),
            Self::Twemproxy { file, .. } => Some(file),
        }
    }

    /// Reads it: the pools, and what is to be said of them.
    ///
    /// # Errors
    /// All mistakes found in file and flags, at once.
    pub fn load(&self) -> Result<(Vec<Pool>, Vec<Told>), Mistakes> {
        match self {
            Self::Circlet { file, overrides } => {
                config::load(file.as_deref(), overrides).map(|config| (vec![Pool::only(config)], Vec::new()))
            }
            Self::Twemproxy { file, pools, overrides } => {
                twemproxy::load(file, pools, overrides).map(|import| imported(&import))
            }
        }
    }
}

/// What twemproxy's file comes to. A pool that is alone needs no name: it is served like any other configuration.
fn imported(import: &Import) -> (Vec<Pool>, Vec<Told>) {
    let several = import.pools.len() > 1;
    let name = |pool: &Served| several.then(|| pool.name.clone());
    let told = import.pools.iter().flat_map(|pool| pool.notes.iter().map(move |note| (name(pool), note.clone())));
    let notes = import.left_out.iter().map(|note| (None, note.clone())).chain(told).collect();
    let configs = import.in_one_process();
    let pool = |(pool, config)| Pool { name: name(pool), ..Pool::only(config) };
    (import.pools.iter().zip(configs).map(pool).collect(), notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_pool_that_is_alone_is_served_without_its_name() {
        let pool = |name: &str| Served { name: name.to_owned(), config: Config::default(), notes: Vec::new() };
        let names = |names: &[&str]| -> Vec<Option<String>> {
            let import = Import { pools: names.iter().map(|name| pool(name)).collect(), ..Import::default() };
            imported(&import).0.into_iter().map(|pool| pool.name).collect()
        };
        assert_eq!(names(&["a"]), [None]);
        assert_eq!(names(&["a", "b"]), [Some("a".to_owned()), Some("b".to_owned())]);
    }

    #[test]
    fn flags_alone_are_no_file() {
        let overrides = Overrides { nodes: vec!["127.0.0.1:1".to_owned()], ..Overrides::default() };
        let source = Source::flags(overrides);
        assert_eq!(source.file(), None);
        assert_eq!(source.load().unwrap().0.len(), 1);
    }
}
