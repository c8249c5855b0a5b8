#![no_main]
#[path = "../conntrackd/mod.rs"]
mod conntrackd;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| conntrackd::property::codec(bytes));
