//! Any bytes as the line of an inline request.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| circlet::traffic::resp::fuzz::fuzz_inline(bytes));
