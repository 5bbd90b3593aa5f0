//! twemproxy's configuration, served: nutcracker.yml to a [`Config`] with identical placement of keys.
//!
//! ```text
//!  nutcracker.yml ──► yaml.rs ──► pool.rs, server.rs ──► choose ──► translate.rs ──► flags, check ──► Config
//!                     shape       nutcracker's rules     --pool     options, Notes                    and Notes
//! ```
//! Every mistake of the file is told at once: what nutcracker itself would refuse in any pool, and what Circlet cannot do in
//! the pools that are served. Those are all that speak Redis, or those that `--pool` chooses; each becomes a configuration of
//! its own. A pool for memcached among others is left out, with a note, so that the others can be moved. What is served, but
//! not as nutcracker does, is in the notes. Io: reads the file; everything below is pure.

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
use crate::traffic::settings::Facade;

/// A pool, ready to be served.
#[derive(Clone, Debug)]
pub struct Served {
    /// The pool's name.
    pub name: String,
    /// The configuration that does the same.
    pub config: Config,
    /// What is not the same, in the order of the file.
    pub notes: Vec<Note>,
}

/// What of a file is to be served.
#[derive(Debug, Default)]
pub struct Import {
    /// The pools in the order of the file, at least one.
    pub pools: Vec<Served>,
    /// Pools that are not served, and why.
    pub left_out: Vec<Note>,
    /// Whether a flag says how many workers each pool has.
    pub workers_given: bool,
}

impl Import {
    /// The configurations for one process: its cores are shared out, unless a flag says how many workers each pool has.
    #[must_use]
    pub fn in_one_process(&self) -> Vec<Config> {
        let mut configs: Vec<Config> = self.pools.iter().map(|pool| pool.config.clone()).collect();
        let pools = configs.len().max(1);
        if !self.workers_given {
            configs.iter_mut().for_each(|config| config.traffic.workers = config.traffic.workers.div_ceil(pools));
        }
        configs
    }
}

/// Reads twemproxy's `file`, chooses the pools `wanted` (none: all that speak Redis), and lays `overrides` over each.
///
/// # Errors
/// All mistakes found in file and flags, at once.
pub fn load(file: &Path, wanted: &[String], overrides: &Overrides) -> Result<Import, Mistakes> {
    let name = file.display().to_string();
    match fs::read_to_string(file) {
        Ok(text) => read(&name, &text, wanted, overrides),
        Err(error) => {
            let mut draft = Draft::new();
            draft.incomplete = true;
            let text = format!("{name} cannot be read ({error}); name twemproxy's own YAML file");
            draft.mistake(Place::Flag("twemproxy's configuration".to_owned()), text);
            draft.finish().map(|_| Import::default())
        }
    }
}

/// The same where one pool is needed.
///
/// # Errors
/// As [`load`], and if there are several and none is `wanted`.
pub fn load_one(file: &Path, wanted: Option<&str>, overrides: &Overrides) -> Result<Served, Mistakes> {
    let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
    let mut pools = load(file, &wanted, overrides)?.pools;
    if pools.len() == 1 {
        return Ok(pools.remove(0));
    }
    let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    let text = format!("{} has {} pools ({}); name one with --pool", file.display(), names.len(), names.join(", "));
    Err(Mistakes::one(Place::Flag("--pool".to_owned()), text))
}

/// The same as [`load`] for the text of a file.
fn read(file: &str, text: &str, wanted: &[String], overrides: &Overrides) -> Result<Import, Mistakes> {
    let place = |line| Place::Line { file: file.to_owned(), line };
    let document = yaml::read(text);
    let mut faults = document.faults;
    let pools: Vec<Pool> = document.sections.iter().map(|section| Pool::read(section, &mut faults)).collect();
    twice(&pools, &mut faults);
    let Choice { served, left_out, unknown } = choose(&pools, wanted);
    // What is wrong whichever pools are served.
    let mut whole = Draft::new();
    whole.incomplete = true;
    if pools.is_empty() && faults.is_empty() {
        whole.mistake(place(1), "there is no pool; write a name with a colon, and its directives below".to_owned());
    }
    faults.into_iter().for_each(|(line, text)| whole.mistake(place(line), text));
    unknown.into_iter().for_each(|text| whole.mistake(Place::Flag("--pool".to_owned()), format!("{file} {text}")));
    if served.is_empty() {
        flags::apply(&mut whole, overrides);
        check::apply(&mut whole);
    }
    let (mut ready, mut mistakes) = (Vec::new(), Vec::from_iter(whole.finish().err()));
    for pool in &served {
        match serve(pool, file, document.incomplete, served.len(), overrides) {
            Ok(served) => ready.push(served),
            Err(found) => mistakes.push(found),
        }
    }
    let left_out = left_out.into_iter().map(|pool| Note { place: place(pool.line), text: not_served(pool) }).collect();
    match Mistakes::together(mistakes) {
        Some(mistakes) => Err(mistakes),
        None => Ok(Import { pools: ready, left_out, workers_given: workers_given(overrides) }),
    }
}

/// Makes one of `pools` pools ready.
fn serve(pool: &Pool, file: &str, incomplete: bool, pools: usize, overrides: &Overrides) -> Result<Served, Mistakes> {
    let mut draft = Draft::new();
    draft.incomplete = incomplete;
    let mut notes = translate::apply(&mut draft, pool, file);
    flags::apply(&mut draft, overrides);
    notes.extend(translate::ejection(&mut draft, pool, file));
    if pools > 1 {
        for_one_only(&mut draft, pools, overrides);
    }
    check::apply(&mut draft);
    notes.sort();
    draft.finish().map(|config| Served { name: pool.name.clone(), config, notes })
}

/// Flags that cannot mean every one of several pools.
fn for_one_only(draft: &mut Draft, pools: usize, overrides: &Overrides) {
    let cure = "choose one with --pool, or change the file";
    if let Some(place @ Place::Flag(_)) = draft.place("listen").cloned() {
        draft.mistake(place, format!("{pools} pools are served, and cannot all listen there; {cure}"));
    }
    if !overrides.nodes.is_empty() {
        let text = format!("{pools} pools are served, each with its own servers; {cure}");
        draft.mistake(Place::Flag("--node".to_owned()), text);
    }
    if let Facade::At(address) = draft.config.traffic.cluster_facade.clone() {
        let place = draft.place("cluster_facade").cloned().unwrap_or(Place::Nowhere);
        let text = format!("{pools} pools are served, and cannot all be reached at {address}; use \"on\", or {cure}");
        draft.mistake(place, text);
    }
}

fn workers_given(overrides: &Overrides) -> bool {
    let set = overrides.set.iter().filter_map(|set| set.split_once('=')).filter(|(key, _)| key.trim() == "workers");
    let mut given = overrides.workers.as_deref().into_iter().chain(set.map(|(_, value)| value));
    given.any(|value| value.trim_matches(['"', '\'']) != "auto")
}

/// Names that stand twice, and addresses that two pools cannot have, which nutcracker refuses.
fn twice(pools: &[Pool], faults: &mut Vec<(usize, String)>) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, pool) in pools.iter().enumerate() {
        if let Some(first) = names.insert(&pool.name, pool.line) {
            faults
                .push((pool.line, format!("two pools are called {} (the other: line {first}); rename one", pool.name)));
        }
        let Some(own) = pool.listen().map(|listen| &listen.address) else { continue };
        let before = pools[..index].iter().filter_map(|other| Some((other, &other.listen()?.address)));
        for (other, address) in before.filter(|(_, address)| address.overlaps(own)) {
            let line = pool.line_of("listen").unwrap_or(pool.line);
            let text = if address == own {
                format!("pools {} and {} both listen on {own}; give each its own address", other.name, pool.name)
            } else {
                let (first, second) = (&other.name, &pool.name);
                format!(
                    "pool {first} listens on {address} and pool {second} on {own}, one is a part of the other; give each its own port"
                )
            };
            faults.push((line, text));
        }
    }
}

/// Which pools are meant.
struct Choice<'a> {
    served: Vec<&'a Pool>,
    left_out: Vec<&'a Pool>,
    /// What is wrong with a name that was wanted, and the cure, behind the file's name.
    unknown: Vec<String>,
}

fn choose<'a>(pools: &'a [Pool], wanted: &[String]) -> Choice<'a> {
    let (mut served, mut left_out): (Vec<&Pool>, Vec<&Pool>) = match wanted {
        [] => pools.iter().partition(|pool| !pool.is_memcached()),
        names => (pools.iter().filter(|pool| names.contains(&pool.name)).collect(), Vec::new()),
    };
    if served.is_empty() && wanted.is_empty() {
        // Then each says for itself that it cannot be served.
        std::mem::swap(&mut served, &mut left_out);
    }
    let unknown = wanted.iter().filter(|name| !pools.iter().any(|pool| pool.name == **name));
    Choice { served, left_out, unknown: unknown.map(|name| no_such(pools, name)).collect() }
}

fn no_such(pools: &[Pool], wanted: &str) -> String {
    let names = || pools.iter().map(|pool| pool.name.as_str());
    let list = || -> Vec<String> {
        let kind = |pool: &Pool| if pool.is_memcached() { " (memcached)" } else { "" };
        pools.iter().map(|pool| format!("{}{}", pool.name, kind(pool))).collect()
    };
    match nearest::among(names(), wanted) {
        Some(near) => format!("has no pool {wanted}; did you mean {near}?"),
        None => format!("has no pool {wanted}; there is {}", list().join(", ")),
    }
}

/// Why a pool for memcached is left out.
fn not_served(pool: &Pool) -> String {
    let name = &pool.name;
    format!(
        "pool {name} is not served: it speaks memcached, for redis is not true; leave it to nutcracker, or write redis: true if its \
         servers are Redis"
    )
}

#[cfg(test)]
mod tests;
