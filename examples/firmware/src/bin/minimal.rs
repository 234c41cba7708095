//! The smallest useful client, which `.ci/size` measures: it connects, subscribes at QoS 1, publishes at QoS 1,
//! receives what it has published, and keeps the connection alive.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::mem::MaybeUninit;

use cortex_m_rt::entry;
use firmware::board::{self, Uart};
use firmware::fact;
use flowsdk::embedded::blocking::Client;
use flowsdk::packet::Subscription;
use flowsdk::session::storage::without;
use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Event, Fixed, Session, Storage};
use flowsdk::types::{ProtocolVersion, QoS};

const TOPIC: &str = "flowsdk/minimal";

/// What this program never asks for.
const WITHOUT: u32 = if cfg!(feature = "whole") {
    0
} else {
    without::QOS_2 | without::OVERSIZE | without::EXPIRY | if IS_V5 { without::V3_1_1 } else { without::V5_0 }
};

const IS_V5: bool = cfg!(not(feature = "v3_1_1"));

const CONFIG: Config =
    Config { version: if IS_V5 { ProtocolVersion::V5 } else { ProtocolVersion::V3_1_1 }, ..Config::DEFAULT };

const OPTIONS: ConnectOptions<'_> =
    ConnectOptions { client_id: "minimal", clean_start: true, keep_alive: 2, ..ConnectOptions::DEFAULT };

type Memory = Fixed<1024, 8, WITHOUT>;

fact!(STORAGE_SIZE = size_of::<Memory>());
fact!(SESSION_SIZE = size_of::<Session<Memory>>());

#[entry]
fn main() -> ! {
    // Statics, lent to this function alone: the stack is for what a call needs while it lasts.
    static mut STORAGE: Memory = Memory::empty();
    static mut BUFFER: [u8; 1024] = [0; 1024];
    static mut CLIENT: MaybeUninit<Client<'static, Uart, &'static mut Memory>> = MaybeUninit::uninit();

    let uart = board::set_up();
    let client = CLIENT.write(Client::new(Session::new(CONFIG, STORAGE), uart, BUFFER));
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
