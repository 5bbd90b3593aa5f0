//! Nodes that are down, hang, restart, lie or lose connections: what clients are told, and that others notice nothing.

mod blocked;
mod cut;
mod down;
mod hung;
mod lying;
mod partial;
mod pubsub;
mod scan;
mod scripts;
mod transactions;
