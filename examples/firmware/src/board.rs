//! The board, QEMU's `lm3s6965evb`: a UART as the transport and a clock of milliseconds. All `unsafe` code is here.

use core::convert::Infallible;
use core::panic::PanicInfo;
use core::ptr::{read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m_rt::exception;
use cortex_m_semihosting::debug;
use embedded_io::{ErrorType, Read, ReadReady, Write};
use flowsdk::time::Instant;

/// A register of 32 bits.
#[derive(Clone, Copy)]
struct Register(usize);

impl Register {
    fn read(self) -> u32 {
        // SAFETY: only the addresses below are ever put in a `Register`, and reading them is defined.
        unsafe { read_volatile(self.0 as *const u32) }
    }

    fn write(self, value: u32) {
        // SAFETY: as above; no register here changes memory that Rust knows of.
        unsafe { write_volatile(self.0 as *mut u32, value) }
    }
}

const UART_DATA: Register = Register(0x4000_C000);
const UART_FLAGS: Register = Register(0x4000_C018);
const UART_LINE_CONTROL: Register = Register(0x4000_C02C);
const UART_CONTROL: Register = Register(0x4000_C030);
const RECEIVE_FIFO_EMPTY: u32 = 1 << 4;
const TRANSMIT_FIFO_FULL: u32 = 1 << 5;
const EIGHT_BITS_AND_FIFO: u32 = 0x70;
const ENABLE_BOTH_WAYS: u32 = 0x301;

const SYSTICK_CONTROL: Register = Register(0xE000_E010);
const SYSTICK_RELOAD: Register = Register(0xE000_E014);
const SYSTICK_CURRENT: Register = Register(0xE000_E018);
const CLOCK_TICKS_PER_MS: u32 = 12_500;
const ENABLE_WITH_INTERRUPT: u32 = 0x7;

static MILLIS: AtomicU32 = AtomicU32::new(0);

/// Writes to the transport since the start. `.ci/size` reads it in the memory of the board.
#[unsafe(no_mangle)]
static TRANSPORT_WRITES: AtomicU32 = AtomicU32::new(0);

/// Starts the clock and the UART.
pub fn set_up() -> Uart {
    SYSTICK_RELOAD.write(CLOCK_TICKS_PER_MS - 1);
    SYSTICK_CURRENT.write(0);
    SYSTICK_CONTROL.write(ENABLE_WITH_INTERRUPT);
    // QEMU asks for neither pins nor a baud rate; a board of silicon does.
    UART_LINE_CONTROL.write(EIGHT_BITS_AND_FIFO);
    UART_CONTROL.write(ENABLE_BOTH_WAYS);
    Uart(())
}

/// The time since the start.
pub fn now() -> Instant {
    Instant::from_millis(MILLIS.load(Ordering::Relaxed))
}

/// Sleeps until the next interrupt: that of the clock, after a millisecond at most.
pub fn sleep() {
    cortex_m::asm::wfi();
}

/// Ends the emulation; its exit code tells whether all went well.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        sleep();
    }
}

/// The first UART. It is polled: in a millisecond 12 bytes come at 115,200 baud, and the FIFO holds 16.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    fn has_input(&self) -> bool {
        UART_FLAGS.read() & RECEIVE_FIFO_EMPTY == 0
    }

    /// Takes what is there.
    fn receive(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        for place in buffer {
            if !self.has_input() {
                break;
            }
            *place = UART_DATA.read() as u8;
            count += 1;
        }
        count
    }

    /// Gives all of it to the line.
    fn send(&mut self, bytes: &[u8]) -> usize {
        TRANSPORT_WRITES.fetch_add(1, Ordering::Relaxed);
        for &byte in bytes {
            while UART_FLAGS.read() & TRANSMIT_FIFO_FULL != 0 {}
            UART_DATA.write(byte.into());
        }
        bytes.len()
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.has_input())
    }
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        while !self.has_input() && !buffer.is_empty() {
            sleep();
        }
        Ok(self.receive(buffer))
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(self.send(bytes))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The same for the async client. Its executor polls again after each interrupt, so nobody has to be woken.
#[cfg(feature = "async")]
mod nonblocking {
    use core::convert::Infallible;
    use core::future::poll_fn;
    use core::task::Poll;

    use embedded_io_async::{Read, Write};
    use flowsdk::embedded::nonblocking::Clock;
    use flowsdk::time::Instant;

    use super::Uart;

    impl Read for Uart {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
            poll_fn(|_| {
                if self.has_input() || buffer.is_empty() {
                    Poll::Ready(Ok(self.receive(buffer)))
                } else {
                    Poll::Pending
                }
            })
            .await
        }
    }

    impl Write for Uart {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            Ok(self.send(bytes))
        }

        async fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    /// The clock of the board.
    #[derive(Debug)]
    pub struct Millis;

    impl Clock for Millis {
        fn now(&self) -> Instant {
            super::now()
        }

        fn wait_until(&mut self, at: Instant) -> impl Future<Output = ()> {
            poll_fn(move |_| if super::now().has_reached(at) { Poll::Ready(()) } else { Poll::Pending })
        }
    }
}

#[cfg(feature = "async")]
pub use nonblocking::Millis;

/// States a number in the ELF file, for `.ci/size`. It takes no memory of the board.
#[macro_export]
macro_rules! fact {
    ($name:ident = $value:expr) => {
        const _: () = {
            #[used]
            #[unsafe(no_mangle)]
            #[unsafe(link_section = concat!(".facts.", stringify!($name)))]
            static $name: u32 = $value as u32;
        };
    };
}

#[exception]
fn SysTick() {
    MILLIS.fetch_add(1, Ordering::Relaxed);
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(false)
}
