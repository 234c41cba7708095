//! What `minimal` is without MQTT: the runtime, the clock and the UART. The difference is what the client costs.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use embedded_io::{Read, ReadReady, Write};
use firmware::board;

#[entry]
fn main() -> ! {
    let mut uart = board::set_up();
    let mut byte = [board::now().as_millis() as u8];
    loop {
        if let Ok(true) = uart.read_ready() {
            let _ = uart.read(&mut byte);
            let _ = uart.write(&byte);
        }
        board::sleep();
    }
}
