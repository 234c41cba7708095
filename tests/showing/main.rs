//! What `Debug` and `defmt::Format` show of the core's types, and what stays in memory.

#[cfg(feature = "defmt")]
mod formats;
#[cfg(all(feature = "tls", feature = "ring", target_os = "linux"))]
#[path = "../support/pki.rs"]
mod pki;
mod secrets;
#[cfg(target_os = "linux")]
mod wiped;
