//! Bounds of a ring, and what an operator can get wrong about it. Pure.

use std::fmt;

/// Most nodes of one ring: the last 16-bit number marks a crowded line.
pub const MAX_NODES: usize = u16::MAX as usize;

/// Most points of all nodes of one ring together; of `modula`, most slots.
pub const MAX_POINTS: u64 = 1 << 24;

/// Largest weight of a node in `ketama` and `modula`, nutcracker's own bound.
pub const MAX_WEIGHT: u32 = i32::MAX as u32;

/// Why there is no ring; the Display names the cure.
#[derive(Clone, Debug, PartialEq)]
pub enum RingError {
    /// No node was given.
    NoNodes,
    /// More than [`MAX_NODES`] nodes.
    TooManyNodes(usize),
    /// `points_per_weight` is 0.
    NoPoints,
    /// More than [`MAX_POINTS`] points.
    TooManyPoints(u64),
    /// A weight that is not a number above 0.
    Weight {
        /// Name of the node.
        name: String,
        /// Its weight.
        weight: f64,
    },
    /// A weight so small that the node has no point.
    TooLight {
        /// Name of the node.
        name: String,
        /// Its weight.
        weight: f64,
        /// The weight of one point.
        least: f64,
    },
    /// A weight that twemproxy's distributions cannot take.
    Fraction {
        /// Name of the node.
        name: String,
        /// Its weight.
        weight: f64,
    },
    /// Weights that `ketama` cannot add up in 32 bits, as nutcracker cannot.
    TooHeavy(u64),
    /// More than [`MAX_POINTS`] slots of `modula`.
    TooManySlots(u64),
    /// Two nodes have this name.
    SameName(String),
}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => write!(f, "the ring has no node; give at least one"),
            Self::TooManyNodes(nodes) => write!(f, "{nodes} nodes are too many for one ring; use at most {MAX_NODES}"),
            Self::NoPoints => {
                write!(f, "0 points per weight leave the ring empty; use at least 1 (8192 is the default)")
            }
            Self::TooManyPoints(points) => write!(
                f,
                "the weights ask for {points} points, the ring holds {MAX_POINTS}; use smaller weights (1 is a normal \
                 node, decimals are allowed) or fewer points per weight"
            ),
            Self::Weight { name, weight } => {
                write!(f, "weight {weight} of node '{name}' is not above 0; use 1 for a normal node")
            }
            Self::TooLight { name, weight, least } => {
                write!(f, "weight {weight} gives node '{name}' no point on the ring; use at least {least}")
            }
            Self::Fraction { name, weight } => {
                write!(
                    f,
                    "weight {weight} of node '{name}' is no whole number, as ketama and modula want it; use 1 to {MAX_WEIGHT}"
                )
            }
            Self::TooHeavy(total) => {
                write!(
                    f,
                    "the weights add up to {total}, ketama holds {}; use smaller ones in the same proportion",
                    u32::MAX
                )
            }
            Self::TooManySlots(total) => {
                write!(f, "the weights add up to {total} slots, modula holds {MAX_POINTS}; use smaller weights")
            }
            Self::SameName(name) => write!(f, "two nodes are called '{name}'; give each its own name"),
        }
    }
}

impl std::error::Error for RingError {}
