//! A directory for one test, removed with it. Only in tests.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

/// A directory that is removed when the test ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty directory; `name` is unique among the tests.
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("circlet-unit-{}-{name}", process::id()));
        // Left over from a process of the same number.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns its path.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing to do about a directory that does not go away.
        let _ = fs::remove_dir_all(&self.0);
    }
}
