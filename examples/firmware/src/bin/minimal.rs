//! The smallest useful client, which `.ci/size` measures: it connects, subscribes at QoS 1, publishes at QoS 1, receives
//! what it has published, and keeps the connection alive.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use firmware::{board, fact};
use flowsdk::embedded::blocking::Client;
use flowsdk::packet::Subscription;
use flowsdk::session::storage::without;
use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Event, Fixed, Session, Storage};
use flowsdk::types::QoS;

const TOPIC: &str = "flowsdk/minimal";

/// What this program never asks for.
const WITHOUT: u32 = if cfg!(feature = "whole") { 0 } else { without::QOS_2 | without::OVERSIZE };

const OPTIONS: ConnectOptions<'_> =
    ConnectOptions { client_id: "minimal", clean_start: true, keep_alive: 2, ..ConnectOptions::DEFAULT };

fact!(STORAGE_SIZE = size_of::<Fixed<1024, 8, WITHOUT>>());
fact!(SESSION_SIZE = size_of::<Session<Fixed<1024, 8, WITHOUT>>>());

#[entry]
fn main() -> ! {
    // Statics, lent to this function alone: nothing of a kilobyte is ever on the stack.
    static mut STORAGE: Fixed<1024, 8, WITHOUT> = Fixed::empty();
    static mut BUFFER: [u8; 1024] = [0; 1024];

    let uart = board::set_up();
    let mut client = Client::new(Session::new(Config::DEFAULT, STORAGE), uart, BUFFER);
    let _ = client.connect(board::now(), &OPTIONS);
    while client.poll_with(board::now(), on_event).is_ok() {
        board::sleep();
    }
    board::exit(false)
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
