//! A session and a broker that talk over a bad link.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use flowsdk::packet::Disconnect;
use flowsdk::session::{ApplicationMessage, Config, DropReason, Event, Message, Misuse, Oversize, Receipt};
use flowsdk::types::{QoS, ReasonCode};

use crate::broker::{Broker, Numbered};
use crate::setup::{Kind, config, one_of};
use crate::support::{Rig, code};

/// Lets the two talk as the bytes say, and compares what was accepted with what arrived; see the target.
pub fn pair(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    // A message that is refused or passed over for its length never arrives.
    let mut config = Config { oversize: Oversize::Stream, ..config(u)? };
    // The longest topic with what stands before the payload has to be seen whole.
    if config.receive_limit > 0 {
        config.receive_limit = config.receive_limit.max(40);
    }
    let kind = Kind::new(u)?;
    let broker = Broker::new(config.version, u.int_in_range(1..=4)?, u.int_in_range(0..=2)?);
    tell!("{kind:?} {config:?}");
    let mut rig = Rig::new(config, kind.session(config));
    rig.keep_alive = one_of(u, &[0, 3])?;
    let mut pair = Pair::new(rig, broker);
    while !u.is_empty() {
        pair.step(u)?;
        pair.close_if_ended();
    }
    pair.settle();
    Ok(())
}

/// How a message of the client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Published,
    Dropped(DropReason),
}

struct Pair {
    rig: Rig,
    broker: Broker,
    /// Bytes on their way.
    up: Vec<u8>,
    down: Vec<u8>,
    /// What the client has read and not taken.
    buffer: Vec<u8>,
    /// A message that has come in part.
    part: Option<(String, QoS, Vec<u8>)>,
    receipts: Vec<Receipt>,
    has_connected: bool,
    /// Messages of the client in the order they were accepted, and how they ended.
    accepted: Vec<(Numbered, Option<End>)>,
    /// Those that have not ended, by their identifiers.
    open: BTreeMap<u16, usize>,
    /// Messages of the broker in their order; those of a session it has forgotten need not arrive.
    served: Vec<(Numbered, bool)>,
    arrived: Vec<Numbered>,
}

impl Pair {
    fn new(rig: Rig, broker: Broker) -> Self {
        Self {
            rig,
            broker,
            up: Vec::new(),
            down: Vec::new(),
            buffer: Vec::new(),
            part: None,
            receipts: Vec::new(),
            has_connected: false,
            accepted: Vec::new(),
            open: BTreeMap::new(),
            served: Vec::new(),
            arrived: Vec::new(),
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let some = |u: &mut Unstructured<'_>| one_of(u, &[usize::MAX, 1, 2, 5, 20, 100]);
        let step = u.int_in_range(0..=17)?;
        tell!("step {step}: {} bytes up, {} down", self.up.len(), self.down.len());
        match step {
            0..=2 => self.publish(u.arbitrary()?),
            3 => self.serve(u.arbitrary()?),
            4 | 5 => self.transmit(some(u)?),
            6 | 7 => self.move_up(some(u)?),
            8 | 9 => self.move_down(some(u)?),
            10 => self.connect(),
            11 => self.cut(),
            12 => self.acknowledge(u.int_in_range(0..=3)?),
            13 => self.collect(),
            14 => self.broker.is_slow = u.arbitrary()?,
            15 => {
                self.rig.wait(one_of(u, &[100, 2_000, 20_000])?);
                let _ = self.rig.session.handle_timeout(self.rig.now);
            }
            16 => match u.int_in_range(0..=3)? {
                0 => self.forget(),
                1 => drop(self.rig.session.disconnect(self.rig.now, &Disconnect::new(ReasonCode::SUCCESS))),
                2 => drop(self.rig.try_subscribe(&["f"], &[])),
                _ => drop(self.rig.try_unsubscribe(&["f"])),
            },
            // All that waits goes its way.
            _ => self.flow(),
        }
        Ok(())
    }

    fn publish(&mut self, qos: QoS) {
        let number = u32::try_from(self.accepted.len()).expect("not so many");
        let message = Numbered { number, qos };
        let (topic, payload) = (message.topic(), message.payload());
        let message = ApplicationMessage { topic, payload: &payload, qos, ..ApplicationMessage::default() };
        let published = self.rig.session.publish(self.rig.now, &message);
        tell!("publish {number} at {qos:?}: {published:?}");
        match published {
            Ok(Some(id)) => {
                let clash = self.open.insert(id.value(), self.accepted.len());
                assert_eq!(clash, None, "{id} is in use");
                self.accepted.push((Numbered { number, qos }, None));
            }
            Ok(None) => self.accepted.push((Numbered { number, qos }, None)),
            Err(Misuse::Full(_) | Misuse::NotConnected) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn serve(&mut self, qos: QoS) {
        // A broker owes nothing at QoS 0, and this one sends none.
        let qos = if qos == QoS::AtMostOnce { QoS::ExactlyOnce } else { qos };
        let message = Numbered { number: u32::try_from(self.served.len()).expect("not so many"), qos };
        if self.broker.publish(message) {
            self.served.push((message, true));
        }
    }

    fn forget(&mut self) {
        if self.broker.forget() {
            for (_, must_arrive) in &mut self.served {
                *must_arrive = false;
            }
        }
    }

    fn transmit(&mut self, most: usize) {
        let bytes = self.rig.transmit(most);
        tell!("sent {bytes:02x?}");
        self.up.extend(bytes);
    }

    fn move_up(&mut self, most: usize) {
        let bytes: Vec<_> = self.up.drain(..most.min(self.up.len())).collect();
        self.broker.take(&bytes);
        self.down.extend(self.broker.give());
    }

    fn move_down(&mut self, most: usize) {
        self.down.extend(self.broker.give());
        self.buffer.extend(self.down.drain(..most.min(self.down.len())));
        loop {
            let progress = self.rig.session.handle_input(self.rig.now, &self.buffer);
            let progress = progress.expect("the broker keeps to the protocol");
            let (consumed, goes_on) = (progress.consumed, progress.goes_on());
            if let Some(event) = progress.event {
                tell!("{event:?}");
                let topic = match &event {
                    Event::Message(message) | Event::MessageStart { message, .. } => {
                        self.rig.session.topic(message.topic).map(str::to_owned)
                    }
                    _ => None,
                };
                hear(&mut self.part, &mut self.receipts, &mut self.arrived, &event, topic);
                if let Event::Published(published) = event {
                    assert!(!published.reason_code.is_error());
                    end(&mut self.accepted, &mut self.open, published.packet_id.value(), End::Published);
                }
            }
            self.buffer.drain(..consumed);
            if !goes_on {
                return;
            }
        }
    }

    fn connect(&mut self) {
        match self.rig.session.connect(self.rig.now, &self.rig.options()) {
            Ok(()) => {
                self.has_connected = true;
                self.broker.open();
            }
            // What was published before the first CONNECT may leave no room for it.
            Err(Misuse::Full(_)) if !self.has_connected => {}
            Err(error) => assert_eq!(error, Misuse::AlreadyConnected),
        }
    }

    fn cut(&mut self) {
        self.rig.cut();
        self.broker.close();
        self.up.clear();
        self.down.clear();
        self.buffer.clear();
        self.part = None;
    }

    /// A driver closes the transport when the session has nothing more to say.
    fn close_if_ended(&mut self) {
        if self.rig.session.is_closing() && self.rig.session.poll_transmit(self.rig.now).is_none() && self.up.is_empty()
        {
            self.cut();
        }
    }

    fn acknowledge(&mut self, nth: usize) {
        if nth < self.receipts.len() {
            let receipt = self.receipts.remove(nth);
            let _ = self.rig.session.acknowledge(self.rig.now, receipt, code(0));
        }
    }

    fn collect(&mut self) {
        while let Some((id, reason)) = self.rig.session.poll_dropped() {
            assert_eq!(reason, DropReason::SessionLost);
            end(&mut self.accepted, &mut self.open, id, End::Dropped(reason));
        }
    }

    fn flow(&mut self) {
        self.transmit(usize::MAX);
        self.move_up(usize::MAX);
        self.move_down(usize::MAX);
    }

    /// After one more reconnection nothing disturbs them.
    fn settle(&mut self) {
        self.cut();
        self.broker.is_slow = false;
        self.connect();
        if !self.has_connected {
            return;
        }
        for _ in 0..1000 {
            if self.open.is_empty() && self.broker.is_done() {
                break;
            }
            self.flow();
            self.collect();
            while !self.receipts.is_empty() {
                self.acknowledge(0);
            }
        }
        assert!(self.open.is_empty(), "without an end: {:?}", self.open);
        assert!(self.broker.is_done(), "the broker could not deliver all");
        self.check_upwards();
        self.check_downwards();
    }

    fn check_upwards(&self) {
        let delivered = &self.broker.delivered;
        for (message, end) in &self.accepted {
            let times = delivered.iter().filter(|other| *other == message).count();
            let is_right = match (message.qos, end) {
                (QoS::AtMostOnce, None) => times <= 1,
                (QoS::AtLeastOnce, Some(End::Published)) => times >= 1,
                (QoS::ExactlyOnce, Some(End::Published)) => times == 1 || (times > 1 && self.broker.was_confused),
                (QoS::ExactlyOnce, Some(End::Dropped(DropReason::SessionLost))) => times <= 1,
                (QoS::AtLeastOnce, Some(End::Dropped(DropReason::SessionLost))) => true,
                _ => false,
            };
            assert!(is_right, "{message:?} ended as {end:?} and arrived {times} times");
        }
        check_order(delivered.iter().filter(|message| message.qos != QoS::AtMostOnce));
    }

    fn check_downwards(&self) {
        for (message, must_arrive) in &self.served {
            let times = self.arrived.iter().filter(|other| *other == message).count();
            let may_be_lost = !must_arrive || self.broker.was_confused;
            assert!(times > 0 || may_be_lost, "{message:?} did not arrive");
            assert!(times <= 1 || message.qos == QoS::AtLeastOnce, "{message:?} arrived {times} times");
        }
        check_order(self.arrived.iter());
    }
}

/// Messages arrive for the first time in the order of their numbers `[MQTT-4.6.0-1]`.
fn check_order<'a>(messages: impl Iterator<Item = &'a Numbered>) {
    let mut seen = std::collections::BTreeSet::new();
    for message in messages {
        if seen.insert(message.number) {
            assert_eq!(seen.last(), Some(&message.number), "{message:?} came late");
        }
    }
}

fn end(accepted: &mut [(Numbered, Option<End>)], open: &mut BTreeMap<u16, usize>, id: u16, end: End) {
    let at = open.remove(&id).unwrap_or_else(|| panic!("{id} has ended before"));
    assert_eq!(accepted[at].1.replace(end), None);
}

/// Notes what an event says of a message of the broker.
fn hear(
    part: &mut Option<(String, QoS, Vec<u8>)>,
    receipts: &mut Vec<Receipt>,
    arrived: &mut Vec<Numbered>,
    event: &Event<'_>,
    topic: Option<String>,
) {
    match event {
        Event::Message(Message { payload, qos, receipt, .. }) => {
            arrived.push(Numbered::read(&topic.expect("a known topic"), payload, *qos));
            receipts.extend(*receipt);
        }
        Event::MessageStart { message, .. } => {
            let begun = part.replace((topic.expect("a known topic"), message.qos, Vec::new()));
            assert_eq!(begun, None, "a message inside another");
        }
        Event::Chunk(chunk) => part.as_mut().expect("a message that has begun").2.extend_from_slice(chunk),
        Event::MessageEnd(receipt) => {
            let (topic, qos, payload) = part.take().expect("a message that has begun");
            arrived.push(Numbered::read(&topic, &payload, qos));
            receipts.extend(*receipt);
        }
        _ => {}
    }
}
