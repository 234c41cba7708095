//! A device on a serial line to its broker. It subscribes, publishes at QoS 1 and 2, and gets its own messages back;
//! when the line falls silent it connects again, and the session goes on where it was.
//!
//! With a broker on this machine, such as `mosquitto`, this runs it on an emulated board:
//!
//! ```sh
//! cargo run --release --bin demo
//! MQTT_VERSION=3.1.1 cargo run --release --bin demo
//! ```

#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m_rt::entry;
use cortex_m_semihosting::hprintln;
use firmware::board::{self, Uart};
use flowsdk::embedded::Error;
use flowsdk::embedded::blocking::Client;
use flowsdk::packet::{Disconnect, Subscription};
use flowsdk::session::{ApplicationMessage, Config, ConnectOptions, Event, Fixed, Misuse, Session};
use flowsdk::types::{ProtocolVersion, QoS, ReasonCode};

const TOPIC: &str = "flowsdk/demo";

const CONFIG: Config = Config {
    version: match option_env!("MQTT_VERSION") {
        Some(version) if matches!(version.as_bytes(), b"3.1.1") => ProtocolVersion::V3_1_1,
        _ => ProtocolVersion::V5,
    },
    // On a serial line nothing tells that it is cut but an answer that does not come.
    ping_timeout_ms: 1_000,
    ..Config::DEFAULT
};

const OPTIONS: ConnectOptions<'_> = ConnectOptions {
    client_id: "demo",
    // Both ends keep the session over a lost connection: in v5.0 the broker for a minute, in v3.1.1 as long as it
    // likes.
    clean_start: false,
    session_expiry_interval: if CONFIG.version.is_v5() { 60 } else { 0 },
    keep_alive: 2,
    username: None,
    password: None,
    will: None,
    properties: &[],
};

/// What is sent, and what is kept until the broker has it.
type Memory = Fixed<512, 4>;
type Device = Client<'static, Uart, &'static mut Memory>;

#[entry]
fn main() -> ! {
    // All the memory there is. `entry` lends such statics to this function alone.
    static mut MEMORY: Memory = Fixed::new();
    static mut BUFFER: [u8; 512] = [0; 512];

    let uart = board::set_up();
    let mut device = Client::new(Session::new(CONFIG, MEMORY), uart, BUFFER);
    let mut diary = Diary::default();
    for _ in 0..5 {
        match connection(&mut device, &mut diary) {
            Ok(()) => {
                hprintln!("{:?}", diary);
                board::exit(diary.is_as_promised());
            }
            Err(error) => hprintln!("the connection is over: {}", error),
        }
    }
    board::exit(false)
}

/// One connection, until all is done or it is lost.
fn connection(device: &mut Device, diary: &mut Diary) -> Result<(), Error<Infallible>> {
    device.connect(board::now(), &OPTIONS)?;
    while !diary.is_complete() {
        match device.poll_with(board::now(), |event, session| diary.take(event, session))? {
            Some(taken) => taken?,
            None => board::sleep(),
        }
    }
    // Behind the last acknowledgements. Polling goes on until it has left.
    device.disconnect(board::now(), &Disconnect::new(ReasonCode::SUCCESS))?;
    loop {
        match device.poll(board::now()) {
            Ok(_) => {}
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// What has happened so far.
#[derive(Debug, Default)]
struct Diary {
    subscribed: bool,
    /// Exchanges of messages of ours that the broker has completed.
    published: u32,
    /// How often each message has come back.
    one: u32,
    two: u32,
    last: u32,
}

impl Diary {
    fn take(&mut self, event: Event<'_>, session: &mut Session<&mut Memory>) -> Result<(), Misuse> {
        match event {
            Event::Connected(connack) => {
                hprintln!("connected, session present: {}", connack.session_present);
                while let Some(dropped) = session.poll_dropped() {
                    hprintln!("the broker has forgotten message {}", dropped.packet_id);
                }
                if !connack.session_present {
                    *self = Self::default();
                }
                if !self.subscribed {
                    let subscription = [Subscription::new(TOPIC, QoS::ExactlyOnce)];
                    session.subscribe(board::now(), &subscription, &[])?;
                }
            }
            Event::Subscribed(suback) => {
                hprintln!("subscribed: {:?}", suback.reason_codes().next());
                self.subscribed = true;
                publish(session, b"one", QoS::AtLeastOnce)?;
                publish(session, b"two", QoS::ExactlyOnce)?;
            }
            Event::Published(published) => {
                hprintln!("message {} ended: {}", published.packet_id, published.reason_code);
                self.published += 1;
                if self.published == 2 {
                    publish(session, b"last", QoS::ExactlyOnce)?;
                }
            }
            Event::Message(message) => {
                hprintln!("message of {} bytes, {:?}", message.payload.len(), message.qos);
                match message.payload {
                    b"one" => self.one += 1,
                    b"two" => self.two += 1,
                    _ => self.last += 1,
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The broker has all messages, and the last one has come back behind the others.
    fn is_complete(&self) -> bool {
        self.published == 3 && self.last > 0
    }

    /// QoS 1 is at least once, QoS 2 exactly once.
    fn is_as_promised(&self) -> bool {
        self.one >= 1 && self.two == 1 && self.last == 1
    }
}

/// Enqueues a message: the next poll sends it.
fn publish(session: &mut Session<&mut Memory>, payload: &[u8], qos: QoS) -> Result<(), Misuse> {
    let message = ApplicationMessage { topic: TOPIC, payload, qos, ..Default::default() };
    session.publish(board::now(), &message).map(drop)
}
