//! placeholder
#![no_std]
#[cfg(feature = "std")]
extern crate std;

pub mod codec;
pub mod packet;
pub mod session;
pub mod time;
pub mod types;
