//! The wire format in both directions: golden bytes, malformed input, round trips, and the small types beneath.
//!
//! The bytes of the tables are derived from the two standards by hand, never printed by this crate.

mod arbitrary;
mod checks;
mod connect;
mod decoding;
mod encoding;
mod frames;
mod golden;
mod golden_v3;
mod golden_v5;
mod header;
mod malformed;
mod notation;
mod properties;
mod publish;
mod reason_codes;
mod round_trips;
mod strings;
mod subscribe;
mod topics;
mod types;
