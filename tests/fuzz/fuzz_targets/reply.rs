//! Any bytes as replies of a node.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| circlet::traffic::resp::fuzz::fuzz_reply(bytes));
