#![cfg_attr(feature = "std", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "std"), doc = "An MQTT client without the standard library: versions 5.0 and 3.1.1.")]
//!
//! # Layers
//!
//! Each is usable by itself and knows only those above it in this list:
//!
//! - [`types`]: the small words of MQTT: `QoS`, `PacketId`, `ReasonCode`, topic names and filters;
//! - [`codec`]: reading and writing bytes, the fixed header, the table of properties;
//! - [`packet`]: one struct for each control packet, of both versions;
//! - [`session`]: the client's half of the protocol as a state machine without I/O;
//! - [`embedded`]: drivers of a session over `embedded-io` transports, without a heap;
#![cfg_attr(feature = "std", doc = "- [`mqtt_client`]: the client with a background thread and callbacks.")]
//!
#![cfg_attr(
    feature = "std",
    doc = "[`guide`] has longer pages: what exactly is [promised](guide::delivery_guarantees) about a message.\n"
)]
#![cfg_attr(feature = "arbitrary", doc = "[`mod@arbitrary`] makes valid packets by chance, for fuzzing.\n")]
//! [`time`] is how the core sees time: as a number of milliseconds that is handed in.
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// A number that may not fit is converted by `try_from`; tests may cast.
#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss, clippy::cast_lossless)]

#[cfg(feature = "arbitrary")]
pub mod arbitrary;
pub mod codec;
pub mod embedded;
#[cfg(feature = "std")]
pub mod guide;
mod macros;
#[cfg(feature = "std")]
pub mod mqtt_client;
#[cfg(feature = "std")]
pub mod mqtt_serde;
pub mod packet;
pub mod session;
pub mod time;
pub mod types;
