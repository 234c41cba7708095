//! Any bytes, as either version from either side: nothing panics, and what decodes holds together.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowsdk_fuzz::decode(data));
