#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ctnetlink::events::property::holds(bytes));
