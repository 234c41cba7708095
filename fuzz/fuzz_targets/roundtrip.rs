//! What is written is read as the same, and written as the same again.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowsdk_fuzz::roundtrip(data));
