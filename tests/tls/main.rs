//! The client over TLS, against servers of the test's own, good and bad ones. Their certificates are made here.

#[path = "../support/pki.rs"]
mod pki;
#[path = "../client/recorder.rs"]
mod recorder;
#[path = "../support/mod.rs"]
mod support;

mod hostile;
mod identity;
mod offers;
mod scene;
mod server;
mod streams;
mod trust;
mod veto;
#[cfg(feature = "websocket")]
mod websocket;
