//! The state directory: made, checked, and its lock file opened. Io.
//!
//! A state directory belongs to one running Circlet. The file `circlet.lock` in it is locked by whoever serves
//! (`File::try_lock` on what [`Config::open_state`] returns, held until the process ends); it is never deleted, since
//! deleting a lock file is a race.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use super::Config;

/// Name of the lock file in a state directory.
pub const LOCK_FILE: &str = "circlet.lock";

impl Config {
    /// Creates the state directory if it is missing and opens its lock file for writing; the caller locks it. `None`
    /// without a state directory.
    ///
    /// # Errors
    /// One line that names the path, the system's reason and the cure.
    pub fn open_state(&self) -> Result<Option<File>, String> {
        self.state.as_deref().map(open).transpose()
    }
}

fn open(dir: &Path) -> Result<File, String> {
    let cure = "give --state a directory that this user may write";
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(dir)
        .map_err(|error| format!("state directory {} cannot be created: {error}; {cure}", dir.display()))?;
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o640)
        .open(dir.join(LOCK_FILE))
        .map_err(|error| format!("state directory {} cannot be written: {error}; {cure}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn with_state(path: &Path) -> Config {
        Config { state: Some(path.to_path_buf()), ..Config::default() }
    }

    #[test]
    fn the_directory_is_made_and_its_lock_keeps_others_out() {
        let dir = Scratch::new("state");
        let config = with_state(&dir.path().join("a/b"));
        let first = config.open_state().unwrap().unwrap();
        assert!(first.try_lock().is_ok());
        let second = config.open_state().unwrap().unwrap();
        assert!(second.try_lock().is_err());
        drop(first);
        assert!(second.try_lock().is_ok());
    }

    #[test]
    fn without_a_directory_there_is_nothing_to_lock() {
        assert!(Config::default().open_state().unwrap().is_none());
    }

    #[test]
    fn a_path_that_is_no_directory_is_named_with_the_cure() {
        let dir = Scratch::new("state-file");
        dir.write("plain", "");
        let error = with_state(&dir.path().join("plain")).open_state().unwrap_err();
        assert!(error.contains("plain") && error.contains("--state"), "{error}");
    }
}
