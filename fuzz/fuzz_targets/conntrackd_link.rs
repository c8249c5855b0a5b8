#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ctnetlink_tools::conntrackd::property::link(bytes));
