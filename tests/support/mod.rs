//! What the tests talk to: a broker that plays exact bytes, a real broker in the process, `mosquitto`, and `openssl
//! s_server`.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

pub mod embedded_broker;
pub mod mosquitto;
pub mod openssl;
pub mod proxy;
pub mod referee;
pub mod scripted_broker;
#[cfg(feature = "websocket")]
pub mod websocket;
pub mod wire;

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for something that must happen, on the slowest machine that runs it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not hold within `limit`; the message names the place of the call.
#[track_caller]
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, &mut condition), "what the test waits for did not happen within {limit:?}");
}

/// Whether `condition` comes to hold within `limit`.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}
