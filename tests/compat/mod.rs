//! The same commands to a plain redis-server and through Circlet over three nodes: the replies are the same bytes.
//!
//! ```text
//!  COMMAND DOCS of a live server ──► grammar ──► generate: valid, cut, prolonged, spoilt
//!                                                    │ each instance, over the same scene of keys
//!                                  plain ◄───────────┴────────► Circlet ──► n1 n2 n3
//!                                    reply                        reply        equal, or listed in differences.txt
//!                                    DEBUG DIGEST                 DEBUG DIGESTs, combined: the same data
//! ```
//! What one connection can hold (transactions, blocking, subscriptions, tracking) is compared in `stateful`.

mod compare;
mod differences;
mod generate;
mod grammar;
mod scene;
mod stateful;
