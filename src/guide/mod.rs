//! Longer pages on one subject each. Their code runs as the tests of this crate.

#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub mod connecting;
pub mod delivery_guarantees;
pub mod performance;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub mod tls;
