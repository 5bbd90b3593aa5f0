//! Flags of the command line laid over the file: [`Overrides`] to [`Draft`].
//!
//! Values come as the text that was typed, so that wrong ones are reported together with the file's mistakes.
//! Lists replace the file's list: with one `--node`, no node of the file is used. Io only through password files.

use std::path::{Path, PathBuf};

use super::{
    draft::{Draft, Raw},
    mistake::Place,
    nearest, nodes, option,
};

/// What was given on the command line, as typed; `None` and empty lists leave what the file says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen ADDRESS`, may be repeated.
    pub listen: Vec<String>,
    /// `--admin ADDRESS|off`.
    pub admin: Option<String>,
    /// `--state DIR`.
    pub state: Option<PathBuf>,
    /// `--workers N|auto`.
    pub workers: Option<String>,
    /// `--node [NAME=]ADDRESS[*WEIGHT]`, may be repeated.
    pub nodes: Vec<String>,
    /// `--lock-bootstrap`.
    pub lock_bootstrap: bool,
    /// `--log FILTER`.
    pub log: Option<String>,
    /// `--log-format human|json`.
    pub log_format: Option<String>,
    /// `--requirepass-file FILE`; a password itself is no flag, because every user of the machine sees those.
    pub requirepass_file: Option<PathBuf>,
    /// `--set KEY=VALUE`, any option by its key, may be repeated.
    pub set: Vec<String>,
}

/// Lays `overrides` over the draft.
pub(super) fn apply(draft: &mut Draft, overrides: &Overrides) {
    if !overrides.listen.is_empty() {
        let items = overrides.listen.iter().map(|text| Raw::text(text)).collect();
        set(draft, "--listen", "listen", &Raw::List(items));
    }
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    for (flag, key, value) in [
        ("--admin", "admin", overrides.admin.clone()),
        ("--state", "state", path(&overrides.state)),
        ("--workers", "workers", overrides.workers.clone()),
        ("--lock-bootstrap", "lock.bootstrap", overrides.lock_bootstrap.then(|| "true".to_owned())),
        ("--log", "log.filter", overrides.log.clone()),
        ("--log-format", "log.format", overrides.log_format.clone()),
        ("--requirepass-file", "requirepass_file", path(&overrides.requirepass_file)),
    ] {
        if let Some(value) = value {
            set(draft, flag, key, &Raw::text(&value));
        }
    }
    for assignment in &overrides.set {
        any(draft, assignment);
    }
    if !overrides.nodes.is_empty() {
        nodes::replace(draft, &overrides.nodes);
    }
}

/// `--set KEY=VALUE`; a value that begins like a TOML list or string is read as one, any other as it stands.
fn any(draft: &mut Draft, assignment: &str) {
    let Some((key, value)) = assignment.split_once('=') else {
        let place = Place::Flag("--set".to_owned());
        draft.mistake(place, format!("\"{assignment}\" has no value; write --set KEY=VALUE"));
        return;
    };
    let key = key.trim();
    let raw = if value.starts_with(['[', '"', '\'']) { Raw::parse(value) } else { None };
    set(draft, &format!("--set {key}"), key, &raw.unwrap_or_else(|| Raw::text(value)));
}

fn set(draft: &mut Draft, flag: &str, key: &str, value: &Raw) {
    let place = Place::Flag(flag.to_owned());
    match option::row(key) {
        // Paths on the command line are relative to the working directory.
        Some(row) => row.set(draft, value, place, Path::new("")),
        None => draft.mistake(place, nearest::unknown(key)),
    }
}
