//! Drivers that run a [`Session`](crate::session::Session) over `embedded-io` transports, without a heap.
//!
//! A session is a state machine; something has to carry its bytes. These clients do so over whatever implements the
//! traits of `embedded-io`: a UART, a modem, a TCP socket of smoltcp or lwIP, a TLS stream above one. [`blocking`] is
//! for a main loop, [`nonblocking`](self#async-transports) for an executor.
//!
//! # What belongs to whom
//!
//! - The session, with its storage, outlives connections. It keeps what the server has not acknowledged.
//! - The transport is the caller's: he opens it, hands it in, and replaces it once it is lost.
//! - The receive buffer is the caller's too. A received message borrows it, nothing is copied.
//! - The time is passed in, as [`Instant`](crate::time::Instant), or comes from a clock that the caller implements.
//!
//! # When a connection is lost
//!
//! A poll ends with an [`Error`] that tells why. Open a new transport, hand it in by `replace_transport` (one that
//! works again can stay), and call `connect` with the same client identifier and `clean_start: false`: messages of
//! QoS 1 and 2 without an acknowledgement are sent again by the session, if the server has kept its half. If it has
//! not, they come out of `poll_dropped`. Nothing reconnects by itself: a device knows best when to try again.
//!
//! # Async transports
//!
//! The feature `async` adds `embedded::nonblocking`, the same client over `embedded-io-async`.

pub mod blocking;
mod commands;
mod driver;
mod error;
#[cfg(feature = "async")]
pub mod nonblocking;
mod place;

pub use error::Error;
