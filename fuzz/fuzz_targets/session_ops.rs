//! A session of any storage under any commands, input, timeouts and cuts: the books stay in order.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| flowsdk_fuzz::session_ops(data));
