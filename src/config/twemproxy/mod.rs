//! twemproxy's configuration, served: nutcracker.yml to a [`Config`] with identical placement of keys.
//!
//! ```text
//!  nutcracker.yml ──► yaml.rs ──► pool.rs, server.rs ──► choose ──► translate.rs ──► flags, check ──► Config
//!                     shape       nutcracker's rules     --pool     options, Notes                    and Notes
//! ```
//! Every mistake of the file is told at once: what nutcracker itself would refuse in any pool, and what Circlet cannot do in
//! the pool that is chosen. One Circlet serves one pool, since it has one ring; of several, `--pool` chooses one. What is
//! served, but not as nutcracker does, is in [`Import::notes`]. Io: reads the file; everything below is pure.

mod pool;
mod server;
mod translate;
mod yaml;

use std::{collections::BTreeMap, fs, path::Path};

use self::pool::Pool;
use super::{
    Config, Note, Overrides, check,
    draft::Draft,
    flags,
    mistake::{Mistakes, Place},
    nearest,
};

/// A pool, ready to be served.
#[derive(Debug)]
pub struct Import {
    /// The pool's name.
    pub pool: String,
    /// The configuration that does the same.
    pub config: Config,
    /// What is not the same, in the order of the file.
    pub notes: Vec<Note>,
}

/// Reads twemproxy's `file`, chooses `pool` (needed if there are several), and lays `overrides` over it.
///
/// # Errors
/// All mistakes found in file and flags, at once.
pub fn load(file: &Path, pool: Option<&str>, overrides: &Overrides) -> Result<Import, Mistakes> {
    let name = file.display().to_string();
    let mut draft = Draft::new();
    match fs::read_to_string(file) {
        Ok(text) => read(draft, &name, &text, pool, overrides),
        Err(error) => {
            draft.incomplete = true;
            let text = format!("{name} cannot be read ({error}); name twemproxy's own YAML file");
            draft.mistake(Place::Flag("twemproxy's configuration".to_owned()), text);
            draft.finish().map(|config| Import { pool: String::new(), config, notes: Vec::new() })
        }
    }
}

/// The same for the text of a file.
fn read(
    mut draft: Draft,
    file: &str,
    text: &str,
    wanted: Option<&str>,
    overrides: &Overrides,
) -> Result<Import, Mistakes> {
    let place = |line| Place::Line { file: file.to_owned(), line };
    let document = yaml::read(text);
    let mut faults = document.faults;
    let pools: Vec<Pool> = document.sections.iter().map(|section| Pool::read(section, &mut faults)).collect();
    twice(&pools, &mut faults);
    let broken = !faults.is_empty();
    for (line, text) in faults {
        draft.mistake(place(line), text);
    }
    draft.incomplete |= document.incomplete;
    let (mut notes, mut name) = (Vec::new(), String::new());
    match choose(&pools, wanted) {
        Ok(Some(pool)) => {
            notes = translate::apply(&mut draft, pool, file);
            name.clone_from(&pool.name);
        }
        Ok(None) => {
            draft.incomplete = true;
            if !broken {
                draft.mistake(
                    place(1),
                    "there is no pool; write a name with a colon, and its directives below".to_owned(),
                );
            }
        }
        Err(text) => {
            draft.incomplete = true;
            draft.mistake(Place::Flag("--pool".to_owned()), format!("{file} {text}"));
        }
    }
    flags::apply(&mut draft, overrides);
    check::apply(&mut draft);
    notes.sort();
    draft.finish().map(|config| Import { pool: name, config, notes })
}

/// Names and addresses that stand twice, which nutcracker refuses.
fn twice(pools: &[Pool], faults: &mut Vec<(usize, String)>) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    let mut doors: BTreeMap<String, &str> = BTreeMap::new();
    for pool in pools {
        if let Some(first) = names.insert(&pool.name, pool.line) {
            faults
                .push((pool.line, format!("two pools are called {} (the other: line {first}); rename one", pool.name)));
        }
        let Some(listen) = pool.listen() else { continue };
        if let Some(other) = doors.insert(listen.address.to_string(), &pool.name) {
            let line = pool.line_of("listen").unwrap_or(pool.line);
            let text =
                format!("pools {other} and {} both listen on {}; give each its own address", pool.name, listen.address);
            faults.push((line, text));
        }
    }
}

/// The pool that is meant; `None`: there is none at all. An `Err` is what is wrong and the cure, behind the file's name.
fn choose<'a>(pools: &'a [Pool], wanted: Option<&str>) -> Result<Option<&'a Pool>, String> {
    let list = || {
        let names: Vec<String> = pools
            .iter()
            .map(|pool| match pool.flag("redis") {
                Some(true) => pool.name.clone(),
                _ => format!("{} (memcached)", pool.name),
            })
            .collect();
        names.join(", ")
    };
    match (pools, wanted) {
        ([], _) => Ok(None),
        ([only], None) => Ok(Some(only)),
        (_, None) => Err(format!(
            "has {} pools ({}); name one with --pool: one Circlet serves one pool, and several run side by side",
            pools.len(),
            list()
        )),
        (_, Some(wanted)) => match pools.iter().find(|pool| pool.name == wanted) {
            Some(pool) => Ok(Some(pool)),
            None => Err(match nearest::among(pools.iter().map(|pool| pool.name.as_str()), wanted) {
                Some(near) => format!("has no pool {wanted}; did you mean {near}?"),
                None => format!("has no pool {wanted}; there is {}", list()),
            }),
        },
    }
}

#[cfg(test)]
mod tests;
