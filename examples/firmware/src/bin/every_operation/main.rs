//! Calls every public operation of the core, with values that the compiler does not know. It is linked, never run:
//! `.ci/no-panic` looks for a way to panic in it.

#![no_std]
#![no_main]

mod client;
mod codec;
mod packets;
mod session;
mod types;

use core::hint::black_box;

use cortex_m_rt::entry;
use firmware::board;

#[entry]
fn main() -> ! {
    static mut BUFFER: [u8; 256] = [0; 256];

    let input = Input::default();
    types::all(&input);
    codec::all(&input, BUFFER);
    packets::all(&input, BUFFER);
    session::all(&input);
    client::all(&input, BUFFER);
    board::exit(true)
}

/// What could be anything.
struct Input {
    bytes: &'static [u8],
    text: &'static str,
}

impl Default for Input {
    fn default() -> Self {
        Self { bytes: black_box(b"\x10\x00"), text: black_box("a/+/#") }
    }
}

impl Input {
    /// A number that could be any.
    fn number(&self) -> u32 {
        black_box(self.bytes.len() as u32)
    }

    /// Any one of these.
    fn one_of<T: Copy>(&self, all: &[T], default: T) -> T {
        black_box(all).get(self.number() as usize).copied().unwrap_or(default)
    }
}

/// The same, in a state that the compiler cannot tell from what was done to it before.
fn any<T>(value: &mut T) -> &mut T {
    black_box(value)
}

/// Makes the compiler believe that somebody needs this.
fn used<T>(value: T) {
    let _ = black_box(value);
}
