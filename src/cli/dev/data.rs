//! Where the nodes of `circlet dev` keep their files: a temporary directory, or the one of `--persist`.
//!
//! ```text
//!  DIR/circlet.lock, ring.json, locks.json
//!  DIR/node-1/  redis.log, appendonlydir/ (with --persist)
//!  DIR/node-2/  …
//! ```
//!
//! The number of nodes decides which node holds a key, so a kept directory is only opened with the number it was made for.
//! A temporary directory is removed on drop, with all that is in it. Io.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::node;

/// Nodes, if nobody says how many.
const DEFAULT_NODES: u16 = 3;

/// The directory of all nodes.
#[derive(Debug)]
pub(super) struct Data {
    dir: PathBuf,
    nodes: u16,
    kept: bool,
    made: bool,
}

impl Data {
    /// Decides on directory and number of nodes; makes nothing yet.
    pub(super) fn open(persist: Option<PathBuf>, nodes: Option<u16>) -> Result<Self, String> {
        let Some(dir) = persist else {
            let name = format!("circlet-dev-{}-{:08x}", std::process::id(), fastrand::u32(..));
            let dir = std::env::temp_dir().join(name);
            return Ok(Self { dir, nodes: nodes.unwrap_or(DEFAULT_NODES), kept: false, made: false });
        };
        let held = nodes_in(&dir).map_err(|error| unusable(&dir, &error))?;
        let nodes = match (held, nodes) {
            (0, nodes) => nodes.unwrap_or(DEFAULT_NODES),
            (held, None) => held,
            (held, Some(nodes)) if held == nodes => held,
            (held, Some(nodes)) => {
                return Err(format!(
                    "{} holds the data of {held} nodes, and --nodes is {nodes}; keys would not be found: use --nodes {held} \
                     or another directory",
                    dir.display()
                ));
            }
        };
        Ok(Self { dir, nodes, kept: true, made: true })
    }

    /// How many nodes there are.
    pub(super) fn nodes(&self) -> u16 {
        self.nodes
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory, if it outlives the nodes.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.kept.then_some(self.dir.as_path())
    }

    /// Makes the directories of all nodes.
    pub(super) fn make(&mut self) -> Result<(), String> {
        let make = |dir: &Path, recursive: bool| DirBuilder::new().recursive(recursive).mode(0o700).create(dir);
        // A temporary directory must be new: somebody else's is not ours to fill or remove.
        make(&self.dir, self.kept).map_err(|error| unusable(&self.dir, &error))?;
        self.made = true;
        for index in 0..usize::from(self.nodes) {
            let dir = self.node(index);
            make(&dir, true).map_err(|error| unusable(&dir, &error))?;
        }
        Ok(())
    }

    /// The directory of the node `index`.
    pub(super) fn node(&self, index: usize) -> PathBuf {
        self.dir.join(node::name(index))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.kept || !self.made {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            super::complain(format_args!("{} cannot be removed: {error}", self.dir.display()));
        }
    }
}

fn unusable(dir: &Path, error: &io::Error) -> String {
    format!("{} cannot be used: {error}; give --persist a directory that this user may write", dir.display())
}

/// How many nodes' directories are in `dir`; none if it does not exist.
fn nodes_in(dir: &Path) -> io::Result<u16> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    }
    Ok((0..u16::MAX).take_while(|index| dir.join(node::name(usize::from(*index))).is_dir()).count() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_goes_with_its_owner() {
        let mut data = Data::open(None, Some(2)).unwrap();
        data.make().unwrap();
        let dir = data.dir.clone();
        assert!(data.node(1).ends_with("node-2") && data.node(1).is_dir());
        fs::write(data.node(0).join("redis.log"), "x").unwrap();
        drop(data);
        assert!(!dir.exists());
    }

    #[test]
    fn somebody_elses_directory_is_neither_filled_nor_removed() {
        let mut data = Data::open(None, None).unwrap();
        fs::create_dir(&data.dir).unwrap();
        let dir = data.dir.clone();
        assert!(data.make().is_err());
        drop(data);
        assert!(dir.exists());
        fs::remove_dir(dir).unwrap();
    }

    #[test]
    fn a_kept_directory_remembers_the_number_of_nodes() {
        let mut outer = Data::open(None, None).unwrap();
        outer.make().unwrap();
        let dir = outer.dir.join("a/b");
        let open = |nodes| Data::open(Some(dir.clone()), nodes);
        let mut first = open(Some(5)).unwrap();
        first.make().unwrap();
        drop(first);
        assert!(dir.join("node-5").is_dir());
        assert_eq!(open(None).unwrap().nodes(), 5);
        assert_eq!(open(Some(5)).unwrap().kept(), Some(dir.as_path()));
        let error = open(Some(3)).unwrap_err();
        assert!(error.contains("data of 5 nodes") && error.contains("--nodes 5"), "{error}");
    }

    #[test]
    fn a_file_is_no_directory() {
        let mut outer = Data::open(None, Some(1)).unwrap();
        outer.make().unwrap();
        let file = outer.dir.join("file");
        fs::write(&file, "").unwrap();
        let error = Data::open(Some(file), None).unwrap_err();
        assert!(error.contains("cannot be used") && error.contains("--persist"), "{error}");
    }
}
