//! Keys on their way between nodes.

mod mover;
