//! Why a change of the nodes is refused; each Display is one line with the value and the cure. Pure.

use std::fmt;

use crate::traffic::route::{
    Address,
    ring::{MAX_WEIGHT, RingError},
};

/// Names that are shown of those that there are.
const SHOWN: usize = 20;

/// Why a change cannot be made. Nothing was changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    /// Nothing is wished.
    Nothing,
    /// With `random` nobody owns a key.
    Random,
    /// Two wishes of one node.
    Twice(String),
    /// There is no such node.
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A name that cannot be one.
    Name(String, String),
    /// A node has the name already; where it is.
    NameTaken(String, Address),
    /// A node has the address already; its name.
    AddressTaken(Address, String),
    /// The address is Circlet's.
    OwnAddress(Address),
    /// The node is there already.
    SameAddress(String, Address),
    /// The node has that weight already.
    SameWeight(String, f64),
    /// A weight that cannot be one.
    Weight {
        /// Name of the node.
        name: String,
        /// Its weight.
        weight: f64,
        /// Whether it has to be a whole number.
        whole: bool,
    },
    /// The name that a replaced server has until its keys are gone is a node's.
    OldTaken(String, String),
    /// Two nodes are one server.
    Twins(Address, String, String),
    /// No node would be left.
    Last,
    /// The nodes would make no ring.
    Ring(RingError),
}

impl From<RingError> for Refused {
    fn from(error: RingError) -> Self {
        Self::Ring(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing is to be changed; name at least one node"),
            Self::Random => f.write_str(
                "with distribution random nobody owns a key, so none can be moved; change the nodes in the configuration \
                 and restart",
            ),
            Self::Twice(name) => write!(
                f,
                "node {name} is changed twice in one change; give one change of it, or the second when the first is done"
            ),
            Self::Unknown { name, known } => {
                write!(f, "there is no node {name}; use one of {}", some(known))
            }
            Self::Name(name, cure) => write!(f, "'{}' is no name of a node; {cure}", name.escape_debug()),
            Self::NameTaken(name, address) => write!(
                f,
                "there is a node {name} already, at {address}; give another name, or move it with NODE REPLACE {name} addr"
            ),
            Self::AddressTaken(address, name) => write!(
                f,
                "{address} is node {name} already; give another Redis, or take the node out first and wait until that is \
                 done"
            ),
            Self::OwnAddress(address) => {
                write!(f, "{address} is Circlet's own address; give a Redis server's address")
            }
            Self::SameAddress(name, address) => {
                write!(f, "node {name} is at {address} already; give the address of the server that takes its place")
            }
            Self::SameWeight(name, weight) => {
                write!(f, "node {name} has the weight {weight} already; give another one")
            }
            Self::Weight { name, weight, whole: true } => write!(
                f,
                "weight {weight} of node {name} is no whole number from 1 to {MAX_WEIGHT}, as ketama and modula want it; \
                 use 1 for a normal node"
            ),
            Self::Weight { name, weight, whole: false } => {
                write!(f, "weight {weight} of node {name} is not above 0; use 1 for a normal node")
            }
            Self::OldTaken(name, old) => write!(
                f,
                "there is a node {old}, and so the server that node {name} leaves would be called; remove node {old} first"
            ),
            Self::Twins(address, one, two) => write!(
                f,
                "nodes {one} and {two} are both at {address}, so keys cannot be moved between them; give each its own \
                 Redis in the configuration"
            ),
            Self::Last => f.write_str("no node would be left; keep at least one, or add another in the same change"),
            Self::Ring(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

/// The first names, and how many more there are.
fn some(names: &[String]) -> String {
    let text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} … ({more} more)"),
    }
}
