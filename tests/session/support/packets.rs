//! Packets of the server in few words, and packets and events of the client as text.

use flowsdk::codec::{Properties, Property, Writer};
use flowsdk::packet::{Ack, AckKind, Connack, Delivery, Packet, Publish, Suback, Unsuback};
use flowsdk::session::{ApplicationMessage, Event, Message, Topic};
use flowsdk::types::{PacketId, ProtocolVersion, QoS, ReasonCode, Role};

use super::AtMostOnce;

/// A message under the topic `t`.
pub(crate) fn message(qos: QoS, payload: &str) -> ApplicationMessage<'_> {
    ApplicationMessage { topic: "t", payload: payload.as_bytes(), qos, ..ApplicationMessage::default() }
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("not 0")
}

pub(crate) fn code(byte: u8) -> ReasonCode {
    ReasonCode::from_byte(byte).expect("a code of the standard")
}

pub(crate) fn connack<'a>(session_present: bool, properties: &'a [Property<'a>]) -> Packet<'a> {
    let properties = Properties::new(properties);
    Packet::Connack(Connack { session_present, reason_code: ReasonCode::SUCCESS, properties })
}

pub(crate) fn ack(kind: AckKind, packet_id: u16) -> Packet<'static> {
    Packet::Ack(Ack::new(kind, id(packet_id), ReasonCode::SUCCESS))
}

pub(crate) fn ack_with(kind: AckKind, packet_id: u16, byte: u8) -> Packet<'static> {
    Packet::Ack(Ack::new(kind, id(packet_id), code(byte)))
}

pub(crate) fn puback(id: u16) -> Packet<'static> {
    ack(AckKind::Puback, id)
}

pub(crate) fn pubrec(id: u16) -> Packet<'static> {
    ack(AckKind::Pubrec, id)
}

pub(crate) fn pubrel(id: u16) -> Packet<'static> {
    ack(AckKind::Pubrel, id)
}

pub(crate) fn pubcomp(id: u16) -> Packet<'static> {
    ack(AckKind::Pubcomp, id)
}

/// A message of the server under the topic `s`; the identifier is not used at QoS 0.
pub(crate) fn incoming(qos: QoS, packet_id: u16, payload: &str) -> Packet<'_> {
    let delivery = if qos == AtMostOnce { Delivery::AtMostOnce } else { Delivery::first(qos, id(packet_id)) };
    Packet::Publish(Publish { topic: "s", payload: payload.as_bytes(), delivery, ..Publish::default() })
}

/// As [`incoming`], marked as sent again.
pub(crate) fn repeated(qos: QoS, packet_id: u16, payload: &str) -> Packet<'_> {
    let Packet::Publish(mut publish) = incoming(qos, packet_id, payload) else { unreachable!() };
    publish.delivery = match publish.delivery {
        Delivery::AtLeastOnce { packet_id, .. } => Delivery::AtLeastOnce { packet_id, dup: true },
        Delivery::ExactlyOnce { packet_id, .. } => Delivery::ExactlyOnce { packet_id, dup: true },
        Delivery::AtMostOnce => Delivery::AtMostOnce,
    };
    Packet::Publish(publish)
}

pub(crate) fn suback(packet_id: u16, codes: &[u8]) -> Packet<'_> {
    Packet::Suback(Suback { packet_id: id(packet_id), codes, properties: Properties::EMPTY })
}

/// In v3.1.1 the codes are left out.
pub(crate) fn unsuback(version: ProtocolVersion, packet_id: u16, codes: &[u8]) -> Packet<'_> {
    let codes = if version.is_v5() { codes } else { &[] };
    Packet::Unsuback(Unsuback { packet_id: id(packet_id), codes, properties: Properties::EMPTY })
}

pub(crate) fn encode(packet: &Packet<'_>, version: ProtocolVersion) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(&mut Writer::appending(&mut bytes), version, Role::Server).expect("a packet of a server");
    bytes
}

/// A message as a client encodes it, with an identifier that does not matter.
pub(crate) fn frame(message: &ApplicationMessage<'_>, version: ProtocolVersion) -> Vec<u8> {
    let ApplicationMessage { topic, payload, qos, retain, properties } = *message;
    let publish = Publish { topic, payload, retain, delivery: Delivery::first(qos, PacketId::MIN), properties };
    let mut bytes = Vec::new();
    publish.encode(&mut Writer::appending(&mut bytes), version, Role::Client).expect("a message that can be written");
    bytes
}

/// The packets of a client, and nothing behind them.
#[track_caller]
pub(crate) fn packets(mut bytes: &[u8], version: ProtocolVersion) -> Vec<String> {
    let mut list = Vec::new();
    while !bytes.is_empty() {
        let (packet, len) = Packet::decode(bytes, version, Role::Client)
            .expect("a valid packet of a client")
            .unwrap_or_else(|| panic!("half a packet: {bytes:02x?}"));
        list.push(describe(&packet));
        bytes = &bytes[len..];
    }
    list
}

fn text(bytes: &[u8]) -> String {
    if bytes.len() > 100 { format!("[{}]", bytes.len()) } else { String::from_utf8_lossy(bytes).into_owned() }
}

fn unless_success(reason_code: ReasonCode) -> String {
    if reason_code == ReasonCode::SUCCESS { String::new() } else { format!(" {:#04x}", reason_code.byte()) }
}

fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Connect(_) => "CONNECT".to_owned(),
        Packet::Publish(publish) => {
            let mut line = "PUBLISH".to_owned();
            if let Some(packet_id) = publish.delivery.packet_id() {
                line += &format!(" {}", packet_id.value());
            }
            line += &format!(" q{} {} {}", publish.delivery.qos().bits(), publish.topic, text(publish.payload));
            for property in &publish.properties {
                match property {
                    Property::TopicAlias(alias) => line += &format!(" alias={alias}"),
                    Property::MessageExpiryInterval(seconds) => line += &format!(" expiry={seconds}"),
                    _ => {}
                }
            }
            if publish.delivery.dup() {
                line += " dup";
            }
            if publish.retain {
                line += " retain";
            }
            line
        }
        Packet::Ack(ack) => {
            let name = format!("{:?}", ack.kind).to_uppercase();
            format!("{name} {}{}", ack.packet_id.value(), unless_success(ack.reason_code))
        }
        Packet::Subscribe(packet) => {
            let filters: Vec<_> = packet.subscriptions.iter().map(|entry| entry.filter).collect();
            format!("SUBSCRIBE {} {}", packet.packet_id.value(), filters.join(","))
        }
        Packet::Unsubscribe(packet) => {
            let filters: Vec<_> = packet.filters.iter().collect();
            format!("UNSUBSCRIBE {} {}", packet.packet_id.value(), filters.join(","))
        }
        Packet::Pingreq => "PINGREQ".to_owned(),
        Packet::Disconnect(packet) => format!("DISCONNECT{}", unless_success(packet.reason_code)),
        Packet::Auth(packet) => format!("AUTH{}", unless_success(packet.reason_code)),
        other => format!("{other:?}"),
    }
}

pub(super) fn describe_event(event: &Event<'_>, topic: impl Fn(Topic<'_>) -> String) -> String {
    let head = |message: &Message<'_>| {
        let dup = if message.dup { " dup" } else { "" };
        format!("q{} {}{dup}", message.qos.bits(), topic(message.topic))
    };
    match event {
        Event::Connected(connack) => format!("Connected{}", if connack.session_present { " present" } else { "" }),
        Event::Refused(connack) => format!("Refused{}", unless_success(connack.reason_code)),
        Event::Message(message) => format!("Message {} {}", head(message), text(message.payload)),
        Event::MessageStart { message, payload_len } => format!("Start {} {payload_len}", head(message)),
        Event::Chunk(chunk) => format!("Chunk {}", text(chunk)),
        Event::MessageEnd(_) => "End".to_owned(),
        Event::MessageSkipped { message, payload_len } => format!("Skipped {} {payload_len}", head(message)),
        Event::Published(published) => {
            let (id, qos) = (published.packet_id.value(), published.qos.bits());
            format!("Published {id} q{qos}{}", unless_success(published.reason_code))
        }
        Event::Subscribed(suback) => format!("Subscribed {} {:02x?}", suback.packet_id.value(), suback.codes),
        Event::Unsubscribed(unsuback) => format!("Unsubscribed {} {:02x?}", unsuback.packet_id.value(), unsuback.codes),
        Event::PingResponse => "PingResponse".to_owned(),
        Event::Auth(auth) => format!("Auth{}", unless_success(auth.reason_code)),
        Event::Disconnected(packet) => format!("Disconnected{}", unless_success(packet.reason_code)),
        other => format!("{other:?}"),
    }
}
