//! Why the state cannot be used; each Display is one line with the cure. Pure.

use std::{fmt, io, path::PathBuf};

use super::FORMAT;
use crate::{control::sealed::Fault, traffic::route::Scheme};

/// Why Circlet does not start, or could not write.
#[derive(Debug)]
pub enum StateError {
    /// The system refused.
    Io {
        /// The file.
        path: PathBuf,
        /// What could not be done.
        doing: &'static str,
        /// Why.
        error: io::Error,
    },
    /// The content is not what was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It is of a newer Circlet.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// A node's credentials were in the configuration, which no longer lists the node.
    Credentials {
        /// The file.
        path: PathBuf,
        /// The node.
        name: String,
    },
    /// The configuration spreads keys in another way.
    Scheme {
        /// The way of the state.
        file: Scheme,
        /// The way of the configuration.
        configuration: Scheme,
    },
    /// Nodes are left out, as only a cache may.
    Out(Vec<String>),
    /// The nodes make no ring with this configuration.
    Ring(String),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, doing, error } => write!(
                f,
                "{} cannot be {doing}: {error}; let this user read and write it, with room on the disk",
                path.display()
            ),
            Self::Damaged { path, what } => write!(
                f,
                "{} is damaged ({what}); put back a copy of it, or, if no change of nodes was under way and the \
                 configuration lists the nodes as they are now, move it away",
                path.display()
            ),
            Self::Newer { path, format } => write!(
                f,
                "{} is of a newer Circlet (format {format}, this one knows {FORMAT}); start that version",
                path.display()
            ),
            Self::Credentials { path, name } => write!(
                f,
                "node {name} is still among the nodes of {}, but its password was in the configuration, which no longer lists \
                 it; put it back there, start, and then take it out with CIRCLET RELOAD or CIRCLET NODE REMOVE {name}",
                path.display()
            ),
            Self::Scheme { file, configuration } => write!(
                f,
                "the keys lie by {}, but the configuration says {}; put section [ring] back as it was, since another one \
                 leaves most keys where they are not looked for",
                told(file),
                told(configuration)
            ),
            Self::Out(names) => write!(
                f,
                "nodes are left out since they were down ({}), but profile is not \"cache\": what is written meanwhile would be \
                 lost when they return; start with profile = \"cache\", wait until CIRCLET NODES shows all of them up, then \
                 change it",
                names.join(", ")
            ),
            Self::Ring(why) => write!(f, "the nodes of the state directory make no ring: {why}"),
        }
    }
}

impl std::error::Error for StateError {}

impl From<Fault> for StateError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io { path, doing, error } => Self::Io { path, doing, error },
            Fault::Damaged { path, what } => Self::Damaged { path, what },
            Fault::Newer { path, format } => Self::Newer { path, format },
        }
    }
}

/// A scheme with everything that decides.
fn told(scheme: &Scheme) -> String {
    match scheme {
        Scheme::Ketama(hashing) | Scheme::Modula(hashing) => {
            let tag = hashing.tag.map_or_else(
                || "none".to_owned(),
                |tag| format!("{}{}", tag.open.escape_ascii(), tag.close.escape_ascii()),
            );
            format!("{}, hash tag {tag}", scheme.title())
        }
        Scheme::Xxh3 { .. } | Scheme::Random => scheme.title(),
    }
}
