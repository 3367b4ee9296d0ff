#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskferry::fuzz::peers(data));
