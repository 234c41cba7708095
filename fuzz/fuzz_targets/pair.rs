//! A session and a broker over a link that cuts and delays: everything accepted arrives as its QoS promises.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowsdk_fuzz::pair(data));
