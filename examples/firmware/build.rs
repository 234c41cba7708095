//! Links for the board, whatever directory cargo is called from.

use std::env;

fn main() {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo::rustc-link-search={here}");
    for script in ["link.x", "facts.x"] {
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
    for file in ["build.rs", "memory.x", "facts.x"] {
        println!("cargo::rerun-if-changed={file}");
    }
}
