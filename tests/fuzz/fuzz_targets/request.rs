//! Any bytes as requests of a client.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| circlet::traffic::resp::fuzz::fuzz_request(bytes));
