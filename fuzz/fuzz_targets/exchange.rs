#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ctnetlink::exchange::model::check(bytes));
