//! placeholder
#![cfg_attr(not(feature = "std"), no_std)]

pub mod codec;
#[cfg(feature = "std")]
pub mod mqtt_client;
#[cfg(feature = "std")]
pub mod mqtt_serde;
pub mod packet;
pub mod session;
pub mod time;
pub mod types;
