//! The program of `minimal.rs` with the async client, on an executor of ten lines.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::pin::{Pin, pin};
use core::task::{Context, Waker};

use cortex_m_rt::entry;
use firmware::board::{self, Millis};
use firmware::fact;
use flowsdk::embedded::nonblocking::Client;
use flowsdk::packet::Subscription;
use flowsdk::session::storage::without;
use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Event, Fixed, Session, Storage};
use flowsdk::types::QoS;

const TOPIC: &str = "flowsdk/minimal";

type Memory = Fixed<1024, 8, WITHOUT>;

/// What this program never asks for.
const WITHOUT: u32 =
    if cfg!(feature = "whole") { 0 } else { without::QOS_2 | without::OVERSIZE | without::EXPIRY | without::V3_1_1 };

const OPTIONS: ConnectOptions<'_> =
    ConnectOptions { client_id: "minimal", clean_start: true, keep_alive: 2, ..ConnectOptions::DEFAULT };

fact!(FUTURE_SIZE = future_size(&run));

#[entry]
fn main() -> ! {
    static mut STORAGE: Memory = Fixed::empty();
    static mut BUFFER: [u8; 1024] = [0; 1024];

    // The future stays where it is made: moving it would take its room on the stack twice.
    block_on(pin!(run(STORAGE, BUFFER)));
    board::exit(false)
}

async fn run(storage: &'static mut Memory, buffer: &'static mut [u8]) {
    let uart = board::set_up();
    let mut client = Client::new(Session::new(Config::DEFAULT, storage), uart, Millis, buffer);
    let _ = client.connect(&OPTIONS);
    while client.poll_with(on_event).await.is_ok() {}
}

fn on_event<S: Storage>(event: Event<'_>, session: &mut Session<S>) {
    match event {
        Event::Connected(_) => {
            let subscription = [Subscription::new(TOPIC, QoS::AtLeastOnce)];
            let _ = session.subscribe(board::now(), &subscription, &[]);
        }
        Event::Subscribed(_) => {
            let message =
                ApplicationMessage { topic: TOPIC, payload: b"21.5", qos: QoS::AtLeastOnce, ..Default::default() };
            let _ = session.publish(board::now(), &message);
        }
        Event::Message(message) => {
            black_box(message.payload);
        }
        _ => {}
    }
}

/// Polls after each interrupt. The clock's comes every millisecond.
fn block_on(mut future: Pin<&mut impl Future>) {
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {
        board::sleep();
    }
}

const fn future_size<F: Future>(_: &impl FnOnce(&'static mut Memory, &'static mut [u8]) -> F) -> usize {
    size_of::<F>()
}
