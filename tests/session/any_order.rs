//! Any commands, packets, cuts and pauses in any order: nothing panics, and no message is lost or told twice.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use flowsdk::codec::Property;
use flowsdk::packet::{AckKind, Auth, Delivery, Disconnect, Packet, Publish};
use flowsdk::session::{
    Acknowledgement, ApplicationMessage, Config, ConnectOptions, DropReason, Event, Fixed, Heap, HeapLimits, Misuse,
    Oversize, Session,
};
use flowsdk::types::{PacketId, QoS, ReasonCode, Role};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::*;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        qos: QoS,
        len: usize,
        topic: &'static str,
        expiry: Option<u32>,
    },
    Subscribe,
    Unsubscribe,
    Acknowledge {
        nth: usize,
        code: u8,
    },
    Authenticate,
    Ping,
    Disconnect {
        with_reason: bool,
    },
    Transmit(usize),
    Wait(u32),
    Pause(bool),
    Collect,
    Cut,
    Connect {
        clean_start: bool,
        other_client: bool,
    },
    Accept {
        session_present: bool,
        receive_maximum: u16,
        aliases: u16,
    },
    Serve {
        qos: QoS,
        id: u16,
        len: usize,
        alias: Option<u16>,
    },
    Acknowledged {
        kind: AckKind,
        id: u16,
        code: u8,
    },
    /// The server answers everything it has had, as it should.
    AnswerAll,
    Garbage(Vec<u8>),
    Deliver(usize),
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&[AtMostOnce, AtLeastOnce, ExactlyOnce][..])
}

fn command() -> impl Strategy<Value = Step> {
    let topic = select(&["t", "a topic", "another/topic"][..]);
    let expiry = proptest::option::weighted(0.2, 0..5_u32);
    prop_oneof![
        8 => (qos(), 0..40_usize, topic, expiry)
            .prop_map(|(qos, len, topic, expiry)| Step::Publish { qos, len, topic, expiry }),
        1 => Just(Step::Subscribe),
        1 => Just(Step::Unsubscribe),
        3 => (0..8_usize, select(&[0, 0, 0, 0x83, 0x92][..]))
            .prop_map(|(nth, code)| Step::Acknowledge { nth, code }),
        1 => Just(Step::Authenticate),
        1 => Just(Step::Ping),
        1 => any::<bool>().prop_map(|with_reason| Step::Disconnect { with_reason }),
    ]
}

fn surroundings() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => select(&[1, 2, 7, 30, 1000][..]).prop_map(Step::Transmit),
        2 => select(&[1, 900, 5_000, 70_000, 1 << 30][..]).prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Pause),
        2 => Just(Step::Collect),
        1 => Just(Step::Cut),
        3 => (proptest::bool::weighted(0.1), proptest::bool::weighted(0.05))
            .prop_map(|(clean_start, other_client)| Step::Connect { clean_start, other_client }),
        3 => (proptest::bool::weighted(0.8), 1..5_u16, 0..3_u16).prop_map(|(session_present, receive_maximum, aliases)| {
            Step::Accept { session_present, receive_maximum, aliases }
        }),
    ]
}

fn servers() -> impl Strategy<Value = Step> {
    let kind = select(&[AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp][..]);
    let alias = proptest::option::weighted(0.1, 1..4_u16);
    prop_oneof![
        4 => (qos(), 1..4_u16, 0..60_usize, alias)
            .prop_map(|(qos, id, len, alias)| Step::Serve { qos, id, len, alias }),
        4 => (kind, 1..6_u16, select(&[0, 0, 0x80][..]))
            .prop_map(|(kind, id, code)| Step::Acknowledged { kind, id, code }),
        6 => Just(Step::AnswerAll),
        1 => vec(any::<u8>(), 1..6).prop_map(Step::Garbage),
        8 => select(&[1, 3, 1000][..]).prop_map(Step::Deliver),
    ]
}

/// What the application and the server know.
struct Ledger {
    rig: Rig,
    /// Messages accepted and not ended, each with its number.
    accepted: BTreeMap<u16, u32>,
    numbers: u32,
    requests: BTreeSet<u16>,
    /// Messages that were seen whole on an earlier connection.
    seen: BTreeSet<u16>,
    /// A connection was cut in the middle of a packet.
    cut_inside: bool,
    connection: Connection,
    /// Bytes of the server that have not been delivered.
    inbox: Vec<u8>,
}

/// What the server has seen of the connection.
#[derive(Default)]
struct Connection {
    bytes: Vec<u8>,
    spoken: bool,
    ended: bool,
    /// The number of the last PUBLISH above QoS 0.
    last: u32,
    open: BTreeSet<u16>,
    receive_maximum: usize,
    /// Packets of the client that wait for an answer.
    unanswered: Vec<(AckKind, u16)>,
}

impl Ledger {
    fn new(rig: Rig) -> Self {
        Self {
            rig,
            accepted: BTreeMap::new(),
            numbers: 0,
            requests: BTreeSet::new(),
            seen: BTreeSet::new(),
            cut_inside: false,
            connection: Connection::default(),
            inbox: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.rig.now;
        match step {
            Step::Publish { qos, len, topic, expiry } => self.publish(qos, len, topic, expiry),
            Step::Subscribe => {
                let result = self.rig.try_subscribe(&["f"], &[]);
                self.note_request(result);
            }
            Step::Unsubscribe => {
                let result = self.rig.try_unsubscribe(&["f"]);
                self.note_request(result);
            }
            Step::Acknowledge { nth, code: byte } => {
                if let Some(receipt) = self.rig.receipts.iter().rev().nth(nth) {
                    let _ = self.rig.session.acknowledge(now, *receipt, code(byte));
                }
            }
            Step::Authenticate => {
                let auth = Auth { reason_code: ReasonCode::CONTINUE_AUTHENTICATION, properties: Default::default() };
                assert!(self.rig.session.authenticate(now, &auth).is_err());
            }
            Step::Ping => drop(self.rig.session.ping(now)),
            Step::Disconnect { with_reason } => {
                let reason = [Property::ReasonString("because")];
                let reason = &reason[..usize::from(with_reason && self.rig.is_v5())];
                let properties = flowsdk::codec::Properties::new(reason);
                let _ = self.rig.session.disconnect(now, &Disconnect { reason_code: ReasonCode::SUCCESS, properties });
            }
            Step::Transmit(most) => self.transmit(most),
            Step::Wait(millis) => {
                self.rig.wait(millis);
                let _ = self.rig.session.handle_timeout(self.rig.now);
            }
            Step::Pause(paused) => self.rig.session.set_reading_paused(now, paused),
            Step::Collect => self.collect(),
            Step::Cut => self.cut(),
            Step::Connect { clean_start, other_client } => self.connect(clean_start, other_client),
            server => self.serve(server),
        }
    }

    /// What the server says joins the inbox; v3.1.1 has no codes and no aliases.
    fn serve(&mut self, step: Step) {
        let version = self.rig.config.version;
        let code = |byte| if version.is_v5() { byte } else { 0 };
        let mut say = |packet: Packet<'_>| self.inbox.extend(encode(&packet, version));
        match step {
            Step::Accept { session_present, receive_maximum, aliases } => {
                let receive_maximum = NonZeroU16::new(receive_maximum).expect("not 0");
                let limits = [Property::ReceiveMaximum(receive_maximum), Property::TopicAliasMaximum(aliases)];
                say(connack(session_present, if version.is_v5() { &limits } else { &[] }));
            }
            Step::Serve { qos, id: packet_id, len, alias } => {
                let payload = vec![b'x'; len];
                let alias = alias.filter(|_| version.is_v5()).and_then(NonZeroU16::new).map(Property::TopicAlias);
                let topic = if alias.is_some() && len > 30 { "" } else { "s" };
                let delivery =
                    if qos == AtMostOnce { Delivery::AtMostOnce } else { Delivery::first(qos, id(packet_id)) };
                let properties = flowsdk::codec::Properties::new(alias.as_slice());
                say(Packet::Publish(Publish { topic, payload: &payload, delivery, properties, retain: false }));
            }
            Step::Acknowledged { kind, id, code: byte } => {
                let byte = if matches!(kind, AckKind::Puback | AckKind::Pubrec) { code(byte) } else { 0 };
                say(ack_with(kind, id, byte));
            }
            Step::AnswerAll => {
                for (kind, id) in std::mem::take(&mut self.connection.unanswered) {
                    say(ack(kind, id));
                }
            }
            Step::Garbage(bytes) => self.inbox.extend(bytes),
            Step::Deliver(most) => self.deliver(most),
            _ => unreachable!("not a step of the server"),
        }
    }

    fn publish(&mut self, qos: QoS, len: usize, topic: &str, expiry: Option<u32>) {
        let mut payload = self.numbers.to_string().into_bytes();
        payload.resize(payload.len().max(len), b' ');
        let expiry = expiry.filter(|_| self.rig.is_v5()).map(Property::MessageExpiryInterval);
        let properties = flowsdk::codec::Properties::new(expiry.as_slice());
        let message = ApplicationMessage { topic, payload: &payload, qos, retain: false, properties };
        match self.rig.session.publish(self.rig.now, &message) {
            Ok(Some(id)) => {
                self.check_unused(id.value());
                self.accepted.insert(id.value(), self.numbers);
                self.numbers += 1;
            }
            Ok(None) => assert_eq!(qos, AtMostOnce),
            Err(Misuse::Full(_) | Misuse::NotConnected) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn note_request(&mut self, result: Result<u16, Misuse>) {
        match result {
            Ok(id) => {
                self.check_unused(id);
                self.requests.insert(id);
            }
            Err(Misuse::Full(_) | Misuse::NotConnected) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    /// No identifier is given out twice.
    fn check_unused(&self, id: u16) {
        assert!(!self.accepted.contains_key(&id) && !self.requests.contains(&id), "{id} is in use");
    }

    fn finish(&mut self, id: u16) {
        assert!(self.accepted.remove(&id).is_some(), "{id} has ended before");
        self.seen.remove(&id);
        self.connection.open.remove(&id);
    }

    fn collect(&mut self) {
        while let Some((id, reason)) = self.rig.session.poll_dropped() {
            assert!(reason != DropReason::Expired || !self.seen.contains(&id), "{id} was sent, so it cannot expire");
            self.finish(id);
        }
    }

    fn connect(&mut self, clean_start: bool, other_client: bool) {
        let client_id = if other_client { "reader" } else { "client" };
        let options = ConnectOptions { clean_start, client_id, ..self.rig.options() };
        match self.rig.session.connect(self.rig.now, &options) {
            Ok(()) => self.inbox.clear(),
            Err(error) => assert_eq!(error, Misuse::AlreadyConnected, "CONNECT always has room"),
        }
    }

    fn cut(&mut self) {
        self.rig.cut();
        self.inbox.clear();
        self.requests.clear();
        self.cut_inside |= !self.connection.bytes.is_empty();
        let open = std::mem::take(&mut self.connection.open);
        self.seen.extend(open);
        self.connection = Connection::default();
    }

    fn transmit(&mut self, most: usize) {
        let bytes = self.rig.transmit(most);
        self.connection.bytes.extend(bytes);
        let version = self.rig.config.version;
        let bytes = std::mem::take(&mut self.connection.bytes);
        let mut rest = &bytes[..];
        while let Some((packet, len)) = Packet::decode(rest, version, Role::Client).expect("valid packets") {
            self.see(packet);
            rest = &rest[len..];
        }
        self.connection.bytes = rest.to_vec();
    }

    /// The server has received a packet.
    fn see(&mut self, packet: Packet<'_>) {
        let connection = &mut self.connection;
        assert!(!connection.ended, "{packet:?} behind DISCONNECT");
        let is_first = !std::mem::replace(&mut connection.spoken, true);
        assert_eq!(matches!(packet, Packet::Connect(_)), is_first, "{packet:?}");
        match packet {
            Packet::Publish(publish) => self.see_publish(&publish),
            Packet::Ack(ack) if ack.kind == AckKind::Pubrel => {
                connection.unanswered.push((AckKind::Pubcomp, ack.packet_id.value()));
            }
            Packet::Disconnect(_) => connection.ended = true,
            _ => {}
        }
    }

    fn see_publish(&mut self, publish: &Publish<'_>) {
        let connection = &mut self.connection;
        let Some(id) = publish.delivery.packet_id().map(PacketId::value) else { return };
        let text = std::str::from_utf8(publish.payload).expect("a number").trim();
        let number: u32 = text.parse().expect("a number");
        // Acknowledged before its last byte left, or else what was accepted under this identifier.
        if let Some(accepted) = self.accepted.get(&id) {
            assert_eq!(number, *accepted);
            connection.open.insert(id);
        }
        assert!(number >= connection.last, "{number} behind {}", connection.last);
        connection.last = number + 1;
        let dup = publish.delivery.dup();
        assert!(dup || !self.seen.contains(&id), "{id} was sent before");
        assert!(!dup || self.seen.contains(&id) || self.cut_inside, "{id} was never sent");
        assert!(connection.open.len() <= connection.receive_maximum, "{:?}", connection.open);
        let exactly_once = publish.delivery.qos() == ExactlyOnce;
        connection.unanswered.push((if exactly_once { AckKind::Pubrec } else { AckKind::Puback }, id));
    }

    fn deliver(&mut self, most: usize) {
        let mut buffer = std::mem::take(&mut self.inbox);
        let later = buffer.split_off(most.min(buffer.len()));
        loop {
            let Ok(progress) = self.rig.session.handle_input(self.rig.now, &buffer) else {
                // What the server says from now on does not matter; the link is cut some time.
                return;
            };
            let (consumed, goes_on) = (progress.consumed, progress.goes_on());
            match progress.event {
                Some(Event::Connected(connack)) => {
                    let maximum = connack.properties.find(|property| match property {
                        Property::ReceiveMaximum(maximum) => Some(usize::from(maximum.get())),
                        _ => None,
                    });
                    self.connection.receive_maximum = maximum.unwrap_or(usize::MAX);
                }
                Some(Event::Message(message)) => self.rig.receipts.extend(message.receipt),
                Some(Event::MessageEnd(receipt)) => self.rig.receipts.extend(receipt),
                Some(Event::Published(published)) => self.finish(published.packet_id.value()),
                Some(Event::Subscribed(suback)) => drop(self.requests.remove(&suback.packet_id.value())),
                Some(Event::Unsubscribed(unsuback)) => drop(self.requests.remove(&unsuback.packet_id.value())),
                _ => {}
            }
            buffer.drain(..consumed);
            if !goes_on {
                break;
            }
        }
        buffer.extend(later);
        self.inbox = buffer;
    }

    /// A server that does all it should sees every message to its end.
    fn settle(&mut self) {
        self.cut();
        self.connect(false, false);
        self.transmit(usize::MAX);
        self.serve(Step::Accept { session_present: true, receive_maximum: 2, aliases: 0 });
        for _ in 0..10_000 {
            if self.accepted.is_empty() {
                break;
            }
            self.deliver(usize::MAX);
            self.collect();
            self.transmit(usize::MAX);
            self.serve(Step::AnswerAll);
        }
        assert!(self.accepted.is_empty(), "never ended: {:?}", self.accepted);
        self.deliver(usize::MAX);
        self.transmit(usize::MAX);
        let quota = if self.rig.is_v5() { 2 } else { u16::MAX };
        assert_eq!(self.rig.session.send_quota(), quota);
    }
}

fn config() -> impl Strategy<Value = Config> {
    let oversize = select(&[Oversize::Refuse, Oversize::Skip, Oversize::Stream][..]);
    let version = select(&[V5, V3_1_1][..]);
    (version, any::<bool>(), oversize, any::<bool>(), 0..4_u16, any::<bool>()).prop_map(
        |(version, manual, oversize, limited, receive_maximum, outbound_topic_aliases)| Config {
            version,
            acknowledgement: if manual { Acknowledgement::Manual } else { Acknowledgement::Automatic },
            receive_limit: if limited { 40 } else { 0 },
            oversize,
            receive_maximum,
            topic_alias_maximum: 2,
            outbound_topic_aliases,
            ..Config::DEFAULT
        },
    )
}

fn sessions(config: Config) -> [Box<dyn Endpoint>; 5] {
    let tight = HeapLimits { window: 3, held_bytes: 100, wire_bytes: 50, receive_window: 3, topic_aliases: 2 };
    [
        Box::new(Session::new(config, Fixed::<100, 1>::new())),
        Box::new(Session::new(config, Fixed::<200, 3>::new())),
        Box::new(Session::new(config, Fixed::<2000, 16>::new())),
        Box::new(Session::new(config, Heap::new(tight))),
        Box::new(Session::new(config, Heap::new(HeapLimits::default()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// [MQTT-2.2.1-3] [MQTT-3.1.0-1] [MQTT-3.1.0-2] [MQTT-3.3.1-1] [MQTT-3.3.4-7] [MQTT-3.14.4-1] [MQTT-4.6.0-1]
    /// [MQTT-4.9.0-2]
    #[test]
    fn every_message_ends_once_whatever_happens_in_whatever_order(
        config in config(),
        keep_alive in select(&[0, 3][..]),
        steps in vec(prop_oneof![command(), surroundings(), servers()], 0..150),
    ) {
        for session in sessions(config) {
            let mut rig = Rig::new(config, session);
            rig.keep_alive = keep_alive;
            rig.up();
            let mut ledger = Ledger::new(rig);
            ledger.connection = Connection { spoken: true, receive_maximum: usize::MAX, ..Connection::default() };
            for step in &steps {
                ledger.step(step.clone());
            }
            ledger.settle();
        }
    }
}
