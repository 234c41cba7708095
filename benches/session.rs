//! What two sessions do in a second: one publishes, the other receives, and the bytes of each are the other's input.
//!
//! `cargo bench --bench session`. Nothing but sessions and memory: no socket, no thread, no clock. A session is a
//! client, and what a client sends of a message is what a server sends of it, so neither sees that there is no server
//! between them. Every message is counted at both ends.

use std::alloc::System;
use std::error::Error;
use std::time::Instant as Clock;

use flowsdk::session::{
    ApplicationMessage, Config, ConnectOptions, Event, Fixed, Heap, HeapLimits, Misuse, Session, Storage,
};
use flowsdk::time::Instant;
use flowsdk::types::{QoS, ReasonCode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 7;
const MESSAGES: usize = 100_000;
/// Messages in flight.
const WINDOW: u16 = 100;
/// Bytes of the storage without a heap: room for that many.
const ROOM: usize = 16 * 1024;
const PAYLOAD: [u8; 64] = [b'x'; 64];
const TOPIC: &str = "bench/topic";
const NOW: Instant = Instant::from_millis(0);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A session and the bytes that are on their way to it.
struct End<S: Storage> {
    session: Session<S>,
    input: Vec<u8>,
}

impl<S: Storage> End<S> {
    fn connected(storage: S) -> Outcome<Self> {
        let mut this = Self { session: Session::new(Config::default(), storage), input: Vec::new() };
        this.session.connect(NOW, &ConnectOptions { client_id: "bench", ..Default::default() })?;
        this.transmit_to(&mut Vec::new());
        // CONNACK: accepted, no session, no properties.
        this.input.extend_from_slice(&[0x20, 3, 0, 0, 0]);
        let mut accepted = false;
        this.take_input(|event| accepted |= matches!(event, Event::Connected(_)))?;
        if accepted { Ok(this) } else { Err("CONNACK was not taken".into()) }
    }

    fn transmit_to(&mut self, input: &mut Vec<u8>) {
        while let Some(bytes) = self.session.poll_transmit(NOW) {
            let len = bytes.len();
            input.extend_from_slice(bytes);
            self.session.consume_transmit(NOW, len);
        }
    }

    /// Takes what has come, as far as there is room for the answers.
    fn take_input(&mut self, mut note: impl FnMut(Event<'_>)) -> Outcome<()> {
        let mut consumed = 0;
        loop {
            let progress = self.session.handle_input(NOW, &self.input[consumed..])?;
            if !progress.goes_on() {
                break;
            }
            consumed += progress.consumed;
            if let Some(event) = progress.event {
                note(event);
            }
        }
        self.input.drain(..consumed);
        Ok(())
    }
}

/// Publishes messages until the receiver has them all and, at QoS 1 and 2, the publisher knows.
fn exchange<S: Storage>(publisher: &mut End<S>, receiver: &mut End<S>, qos: QoS) -> Outcome<()> {
    let message = ApplicationMessage { topic: TOPIC, payload: &PAYLOAD, qos, ..Default::default() };
    let (mut accepted, mut received, mut acknowledged) = (0, 0, 0);
    let mut idle_turns = 0;
    while received < MESSAGES || (qos != QoS::AtMostOnce && acknowledged < MESSAGES) {
        let before = (accepted, received, acknowledged);
        for _ in 0..usize::from(WINDOW).min(MESSAGES - accepted) {
            match publisher.session.publish(NOW, &message) {
                Ok(_) => accepted += 1,
                Err(Misuse::Full(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        publisher.transmit_to(&mut receiver.input);
        receiver.take_input(|event| {
            received += usize::from(matches!(event, Event::Message(message) if message.payload == PAYLOAD));
        })?;
        receiver.transmit_to(&mut publisher.input);
        publisher.take_input(|event| {
            let is_good = |code| code == ReasonCode::SUCCESS;
            acknowledged += usize::from(matches!(event, Event::Published(published) if is_good(published.reason_code)));
        })?;
        // At QoS 2 some turns move nothing but PUBREC, PUBREL and PUBCOMP.
        idle_turns = if before == (accepted, received, acknowledged) { idle_turns + 1 } else { 0 };
        if idle_turns > 4 {
            return Err(format!("nothing moves at {before:?}").into());
        }
    }
    if (accepted, received) == (MESSAGES, MESSAGES) { Ok(()) } else { Err("a message came twice".into()) }
}

/// Prints a line for each QoS.
fn measure<S: Storage>(name: &str, storage: impl Fn() -> S) -> Outcome<()> {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (mut publisher, mut receiver) = (End::connected(storage())?, End::connected(storage())?);
        // Buffers grow to what they need.
        exchange(&mut publisher, &mut receiver, qos)?;
        let region = Region::new(ALLOCATOR);
        let mut rates = Vec::with_capacity(ROUNDS);
        for _ in 0..ROUNDS {
            let start = Clock::now();
            exchange(&mut publisher, &mut receiver, qos)?;
            rates.push(MESSAGES as f64 / start.elapsed().as_secs_f64());
        }
        let change = region.change();
        rates.sort_unstable_by(f64::total_cmp);
        let median = rates[ROUNDS / 2];
        println!(
            "{name:<8} QoS {}: {median:>10.0} messages/s, {:>7.1} ns and {:.4} allocations a message",
            qos.bits(),
            1e9 / median,
            (change.allocations + change.reallocations) as f64 / (ROUNDS * MESSAGES) as f64
        );
    }
    Ok(())
}

fn main() -> Outcome<()> {
    println!(
        "{} B payload, window {WINDOW}, medians of {ROUNDS} rounds of {MESSAGES} messages, both ends:",
        PAYLOAD.len()
    );
    measure("Heap", || Heap::new(HeapLimits { window: WINDOW, receive_window: WINDOW, ..HeapLimits::default() }))?;
    measure("Fixed", Fixed::<ROOM, { WINDOW as usize }>::new)
}
