//! A stream of the server in any pieces gives the same events and the same answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowsdk_fuzz::chunking(data));
