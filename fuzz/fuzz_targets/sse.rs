#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| taskferry_client::fuzz::sse(data));
