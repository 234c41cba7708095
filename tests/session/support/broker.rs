//! A server that keeps sessions, answers at once, and sends again what the client has not acknowledged.

use flowsdk::packet::{AckKind, Packet, Publish};
use flowsdk::types::{PacketId, ProtocolVersion, QoS, Role};

use super::{ack, connack, encode, incoming, pubrel, repeated, suback, unsuback};

pub(crate) struct Broker {
    version: ProtocolVersion,
    /// Whether it has the client's session.
    has_session: bool,
    input: Vec<u8>,
    output: Vec<u8>,
    /// What the client has published: QoS 1 as often as it came, QoS 2 once.
    pub(crate) received: Vec<String>,
    /// Identifiers of QoS 2 messages between PUBLISH and PUBREL.
    known: Vec<u16>,
    /// Messages for the client that are not acknowledged.
    outgoing: Vec<Outgoing>,
    pub(crate) subscriptions: Vec<String>,
}

struct Outgoing {
    id: u16,
    qos: QoS,
    payload: String,
    /// Its PUBREC has come.
    released: bool,
}

impl Broker {
    pub(crate) fn new(version: ProtocolVersion) -> Self {
        Self {
            version,
            has_session: false,
            input: Vec::new(),
            output: Vec::new(),
            received: Vec::new(),
            known: Vec::new(),
            outgoing: Vec::new(),
            subscriptions: Vec::new(),
        }
    }

    /// The link is gone, with all that was on it.
    pub(crate) fn cut(&mut self) {
        self.input.clear();
        self.output.clear();
    }

    /// Has a message for the connected client.
    pub(crate) fn send(&mut self, qos: QoS, payload: &str) {
        let id = (1..).find(|id| self.outgoing.iter().all(|it| it.id != *id)).expect("an identifier");
        self.say(&incoming(qos, id, payload));
        self.outgoing.push(Outgoing { id, qos, payload: payload.to_owned(), released: false });
    }

    /// Messages for the client that are not complete.
    pub(crate) fn open(&self) -> usize {
        self.outgoing.len()
    }

    /// Bytes for the client.
    pub(crate) fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Bytes of the client.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.input.extend(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some((packet, len)) = Packet::decode(rest, self.version, Role::Client).expect("a valid packet") {
            self.handle(packet);
            rest = &rest[len..];
        }
        self.input = rest.to_vec();
    }

    fn say(&mut self, packet: &Packet<'_>) {
        self.output.extend(encode(packet, self.version));
    }

    fn handle(&mut self, packet: Packet<'_>) {
        match packet {
            Packet::Connect(_) => self.resume(),
            Packet::Publish(publish) => self.handle_publish(&publish),
            Packet::Ack(answer) => self.handle_ack(answer.kind, answer.packet_id),
            Packet::Subscribe(packet) => {
                self.subscriptions.extend(packet.subscriptions.iter().map(|entry| entry.filter.to_owned()));
                let codes = vec![1; packet.subscriptions.iter().count()];
                self.say(&suback(packet.packet_id.value(), &codes));
            }
            Packet::Unsubscribe(packet) => {
                for filter in packet.filters.iter() {
                    self.subscriptions.retain(|known| known != filter);
                }
                let codes = vec![0; packet.filters.iter().count()];
                self.say(&unsuback(self.version, packet.packet_id.value(), &codes));
            }
            other => panic!("{other:?} is not of this test"),
        }
    }

    /// A connection begins: all that is not complete is sent again, in its order.
    fn resume(&mut self) {
        self.say(&connack(self.has_session, &[]));
        self.has_session = true;
        for Outgoing { id, qos, payload, released } in std::mem::take(&mut self.outgoing) {
            self.say(&if released { pubrel(id) } else { repeated(qos, id, &payload) });
            self.outgoing.push(Outgoing { id, qos, payload, released });
        }
    }

    fn handle_publish(&mut self, publish: &Publish<'_>) {
        let payload = String::from_utf8_lossy(publish.payload).into_owned();
        let id = publish.delivery.packet_id().map_or(0, PacketId::value);
        match publish.delivery.qos() {
            QoS::AtMostOnce => self.received.push(payload),
            QoS::AtLeastOnce => {
                self.received.push(payload);
                self.say(&ack(AckKind::Puback, id));
            }
            QoS::ExactlyOnce => {
                if !self.known.contains(&id) {
                    self.known.push(id);
                    self.received.push(payload);
                }
                self.say(&ack(AckKind::Pubrec, id));
            }
        }
    }

    fn handle_ack(&mut self, kind: AckKind, packet_id: PacketId) {
        let id = packet_id.value();
        match kind {
            AckKind::Puback | AckKind::Pubcomp => self.outgoing.retain(|it| it.id != id),
            AckKind::Pubrec => {
                self.outgoing.iter_mut().filter(|it| it.id == id).for_each(|it| it.released = true);
                self.say(&pubrel(id));
            }
            AckKind::Pubrel => {
                self.known.retain(|known| *known != id);
                self.say(&ack(AckKind::Pubcomp, id));
            }
        }
    }
}
