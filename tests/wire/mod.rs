//! Bytes in, bytes out: what a client sees of Circlet on the wire.

mod acl;
mod blocking;
mod blocks;
mod circlet;
mod clients;
mod cluster;
mod commands;
mod config;
mod info;
mod keyspace;
mod locks;
mod memory;
mod monitor;
mod pipelines;
mod protocol;
mod pubsub;
mod refused;
mod scripts;
mod server;
mod session;
mod slowlog;
mod sockets;
mod split;
mod tracking;
mod transactions;
