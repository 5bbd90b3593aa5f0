//! Circlet as a whole: the real binary over real redis-server processes.
//!
//! ```text
//!  support/   servers, clients, relays, waiting: what all tests stand on
//!  wire/      bytes in, bytes out
//!  voters/    the nodes of locks: scripts, connections, which of them count
//!  compat/    the same commands to a plain redis-server and through Circlet
//!  crowd      ten thousand clients that wait
//!  faults/    nodes that are down, hang, restart, cut connections
//!  leftovers  nobody meets what another client left behind
//!  mixup      nobody ever gets another client's reply
//!  change     nodes join, leave, change weight, are replaced
//!  followers  who listens, tracks or looks, while nodes join and leave
//!  cache      the same without copies: a miss, and never an old value
//!  locks/     one client at a time has a lock, and fences grow, whatever happens
//!  eject      nodes of a cache that are down are left out, and come back without anything old
//!  moves/     everything stays as on one machine (linearizable), whatever happens
//!  rebalance/ keys move between nodes, and none is lost
//!  process/   command line, start, signals, exit codes, `circlet dev`
//!  twemproxy  in place of a real nutcracker, with the same file (golden data in data/); pools: all of its pools at once
//!  metrics    the admin address; page/ the status page in Chromium
//!  prometheus a real one over Circlet: scrapes, alerts (made-up numbers in data/), dashboard
//!  memory     what a client may cost
//!  clients/   real clients with their defaults
//! ```
//! `tests/setup.sh` installs what they need. `SEED=n` repeats a test that uses random numbers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cache;
mod change;
mod clients;
mod compat;
mod crowd;
mod eject;
mod faults;
mod followers;
mod leftovers;
mod locks;
mod memory;
mod metrics;
mod mixup;
mod moves;
mod page;
mod pools;
mod process;
mod prometheus;
mod rebalance;
mod support;
mod twemproxy;
mod voters;
mod wire;
