//! A program that can panic: by it `.ci/no-panic` shows that it would find one.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use firmware::board;

#[entry]
fn main() -> ! {
    let bytes = black_box([0; 4]);
    board::exit(bytes[black_box(4)] == 0)
}
