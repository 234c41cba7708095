//! What `Debug` and `defmt::Format` show of the core's types.

#[cfg(feature = "defmt")]
mod formats;
mod secrets;
#[cfg(target_os = "linux")]
mod wiped;
