//! The keeper's proofs: a simulated world with a judge, explored by seeds; the planted faults that it must find; the model's
//! scenarios by name; and the arithmetic.

mod explore;
mod judge;
mod node;
mod numbers;
mod scenarios;
mod world;
