//! The drivers for `embedded-io`, over a link in memory whose other end is a small server, with a clock turned by hand.

mod support;

mod blocking;
mod failing;
#[cfg(feature = "log")]
mod logging;
#[cfg(feature = "async")]
mod nonblocking;
mod oversize;
mod resuming;
