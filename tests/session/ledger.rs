//! A session under any steps, with a server that keeps the books: what may be seen is checked at every step.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use flowsdk::codec::Property;
use flowsdk::packet::{AckKind, Auth, Delivery, Disconnect, Packet, Publish};
use flowsdk::session::{ApplicationMessage, ConnectOptions, DropReason, Event, Misuse};
use flowsdk::types::{PacketId, QoS, ReasonCode, Role};

use crate::support::*;

/// One thing that happens to a session.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Publish {
        qos: QoS,
        len: usize,
        topic: &'static str,
        expiry: Option<u32>,
        /// Handed over as a frame, where the storage takes one.
        encoded: bool,
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

/// What the application and the server know.
pub(crate) struct Ledger {
    rig: Rig,
    /// Messages accepted and not ended, each with its number.
    accepted: BTreeMap<u16, u32>,
    numbers: u32,
    requests: BTreeSet<u16>,
    /// Messages that were seen whole on an earlier connection.
    seen: BTreeSet<u16>,
    /// A connection was cut in the middle of a packet.
    cut_inside: bool,
    /// CONNECT had room once, and so always has.
    has_connected: bool,
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
    /// Of a session that has never been connected.
    pub(crate) fn new(rig: Rig) -> Self {
        Self {
            rig,
            accepted: BTreeMap::new(),
            numbers: 0,
            requests: BTreeSet::new(),
            seen: BTreeSet::new(),
            cut_inside: false,
            has_connected: false,
            connection: Connection::default(),
            inbox: Vec::new(),
        }
    }

    /// Of a session whose CONNECT the server has had and accepted.
    pub(crate) fn connected(mut rig: Rig) -> Self {
        rig.up();
        let connection = Connection { spoken: true, receive_maximum: usize::MAX, ..Connection::default() };
        Self { has_connected: true, connection, ..Self::new(rig) }
    }

    pub(crate) fn step(&mut self, step: Step) {
        let now = self.rig.now;
        match step {
            Step::Publish { qos, len, topic, expiry, encoded } => self.publish(qos, len, topic, expiry, encoded),
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

    fn publish(&mut self, qos: QoS, len: usize, topic: &str, expiry: Option<u32>, encoded: bool) {
        let mut payload = self.numbers.to_string().into_bytes();
        payload.resize(payload.len().max(len), b' ');
        let expiry = expiry.filter(|_| self.rig.is_v5()).map(Property::MessageExpiryInterval);
        let properties = flowsdk::codec::Properties::new(expiry.as_slice());
        let message = ApplicationMessage { topic, payload: &payload, qos, retain: false, properties };
        let now = self.rig.now;
        let published = encoded.then(|| self.rig.session.publish_frame(now, &message)).flatten();
        match published.unwrap_or_else(|| self.rig.session.publish(now, &message)) {
            Ok(Some(id)) => {
                self.check_unused(id.value());
                self.accepted.insert(id.value(), self.numbers);
                self.numbers += 1;
            }
            Ok(None) => assert_eq!(qos, AtMostOnce),
            Err(Misuse::QoSNotSupported(maximum)) => assert!(qos > maximum),
            Err(other) => check_refusal(other),
        }
    }

    fn note_request(&mut self, result: Result<u16, Misuse>) {
        match result {
            Ok(id) => {
                self.check_unused(id);
                self.requests.insert(id);
            }
            Err(other) => check_refusal(other),
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
            Ok(()) => {
                self.inbox.clear();
                self.has_connected = true;
            }
            // What was published before the first CONNECT may leave no room for it.
            Err(Misuse::Full(_)) if !self.has_connected => {}
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
    pub(crate) fn settle(&mut self) {
        self.cut();
        self.connect(false, false);
        if !self.has_connected {
            return;
        }
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

/// Why a command may be refused at any time.
fn check_refusal(misuse: Misuse) {
    match misuse {
        Misuse::Full(_) | Misuse::NotConnected => {}
        Misuse::PacketTooLarge { limit } => assert!(limit < u32::MAX),
        other => panic!("{other:?}"),
    }
}
