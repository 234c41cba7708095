//! How threads are started.

use std::io;
use std::thread;

/// Starts a thread that nobody waits for. What it does comes boxed, so that the code that starts one is there once.
pub(super) fn spawn(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    thread::Builder::new().name(name.to_string()).spawn(body).map(drop)
}
