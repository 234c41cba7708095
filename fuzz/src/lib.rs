//! What the fuzz targets run, and the checks that they share with the tests of the crate.
//!
//! A target takes its bytes from the front, so that a seed can be written down: see `examples/seeds.rs`. What one does
//! with an input, `cargo run --example replay TARGET FILE` tells.

/// Tells what is done, where an input is replayed and not fuzzed.
macro_rules! tell {
    ($($argument:tt)*) => { if cfg!(not(fuzzing)) { eprintln!($($argument)*) } };
}

mod broker;
mod chunking;
mod decode;
mod pair;
mod roundtrip;
mod session_ops;
mod setup;

#[path = "../../tests/codec/checks.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod checks;
#[path = "../../tests/session/ledger.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod ledger;
#[path = "../../tests/codec/notation.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod notation;
#[path = "../../tests/session/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod support;

pub use chunking::chunking;
pub use decode::decode;
pub use pair::pair;
pub use roundtrip::roundtrip;
pub use session_ops::session_ops;
