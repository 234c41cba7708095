//! From packets to bytes and back.

use arbitrary::Unstructured;
use flowsdk::arbitrary::SentPacket;
use flowsdk::codec::{Properties, Property, Writer};
use flowsdk::packet::Packet;
use flowsdk::types::{ProtocolVersion, Role};

use crate::checks::{decodes_to, encoded, holds_together};

/// Writes and reads a packet made of bytes, and one that is those bytes; see the target.
pub fn roundtrip(data: &[u8]) {
    holds_together(data);
    let mut u = Unstructured::new(data);
    let Ok(SentPacket { version, from, packet }) = u.arbitrary() else { return };
    let bytes = written_and_read(version, from, packet);

    // The same properties as a list of the caller's.
    let properties = properties_of(&packet);
    let list: Vec<_> = properties.iter().collect();
    let listed = with_properties(packet, Properties::new(&list));
    assert_eq!(listed, packet);
    assert_eq!(encoded(version, from, &listed), bytes);

    // Any properties: only what is allowed is written.
    let any: Vec<Property<'_>> = u.arbitrary_iter().map(|list| list.flatten().take(6).collect()).unwrap_or_default();
    let changed = with_properties(packet, Properties::new(&any));
    if changed.encode(&mut Writer::counting(), version, from).is_ok() {
        written_and_read(version, from, changed);
    }
}

fn written_and_read(version: ProtocolVersion, from: Role, packet: Packet<'_>) -> Vec<u8> {
    let bytes = encoded(version, from, &packet);
    decodes_to(version, from, &bytes, packet);
    let again = Packet::decode(&bytes, version, from).ok().flatten().map(|(read, _)| encoded(version, from, &read));
    assert_eq!(again.as_ref(), Some(&bytes));
    bytes
}

fn properties_of<'a>(packet: &Packet<'a>) -> Properties<'a> {
    match packet {
        Packet::Connect(packet) => packet.properties,
        Packet::Connack(packet) => packet.properties,
        Packet::Publish(packet) => packet.properties,
        Packet::Ack(packet) => packet.properties,
        Packet::Subscribe(packet) => packet.properties,
        Packet::Suback(packet) => packet.properties,
        Packet::Unsubscribe(packet) => packet.properties,
        Packet::Unsuback(packet) => packet.properties,
        Packet::Disconnect(packet) => packet.properties,
        Packet::Auth(packet) => packet.properties,
        Packet::Pingreq | Packet::Pingresp => Properties::EMPTY,
    }
}

fn with_properties<'a>(mut packet: Packet<'a>, properties: Properties<'a>) -> Packet<'a> {
    match &mut packet {
        Packet::Connect(packet) => packet.properties = properties,
        Packet::Connack(packet) => packet.properties = properties,
        Packet::Publish(packet) => packet.properties = properties,
        Packet::Ack(packet) => packet.properties = properties,
        Packet::Subscribe(packet) => packet.properties = properties,
        Packet::Suback(packet) => packet.properties = properties,
        Packet::Unsubscribe(packet) => packet.properties = properties,
        Packet::Unsuback(packet) => packet.properties = properties,
        Packet::Disconnect(packet) => packet.properties = properties,
        Packet::Auth(packet) => packet.properties = properties,
        Packet::Pingreq | Packet::Pingresp => {}
    }
    packet
}
