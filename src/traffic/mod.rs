//! The data plane: one thread per worker, nothing shared, nothing locked.
//!
//! The folders stand in the order in which a request travels:
//!
//! ```text
//!  worker ─► client ─► resp ─► command ─► route ─► core ─► pipe ─► node
//!  (thread,  (session, (bytes   (its row)  (ring,   (what is   │
//!  sockets)  slots)    to                  topo-    done with  ▼
//!                      request)            logy)    it)      merge ─► slots ─► client
//! ```
//! * [`worker`]: threads, sockets, the flusher; the only part that does io.
//! * [`core`]: a worker's state and what happens to the bytes; sans-IO.
//! * [`client`]: a session, its ordered reply slots, the registry of all sessions.
//! * [`resp`]: request and reply scanners, encoding; whole replies, for `control` and `cli`.
//! * [`command`]: the table of all commands.
//! * [`route`]: hash tag, hash, ring, topology.
//! * [`pipe`]: connections to nodes and what is in flight on them.
//! * [`pubsub`]: who listens to which channels.
//! * [`merge`]: replies of several nodes become one.
//! * [`outbox`]: ordered bytes on their way out. [`refusal`]: every error line. [`counters`]: what is measured;
//!   [`observe`]: of single commands. [`settings`]: bounds; [`options`]: how they are changed at run time.
//!   [`scripts`]: texts of scripts.
//!
//! Nothing here names `control`.

pub mod client;
pub mod command;
pub mod control;
pub mod core;
pub mod counters;
pub mod lock;
pub mod merge;
pub mod observe;
pub mod options;
pub mod outbox;
pub mod pipe;
pub mod pubsub;
pub mod refusal;
pub mod resp;
pub mod route;
pub mod scripts;
pub mod settings;
pub mod worker;

pub use settings::Settings;
