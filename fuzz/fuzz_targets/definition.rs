#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskferry_contract::fuzz::definition(data));
