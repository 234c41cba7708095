//! A line of the golden tables: a packet and the bytes that say it. The tables are in `golden_v3` and `golden_v5`.

use std::num::{NonZeroU16, NonZeroU32};

use flowsdk::codec::{Properties, Property};
use flowsdk::packet::{Ack, AckKind, Auth, Connack, Delivery, Disconnect, Packet, Publish};
use flowsdk::types::{PacketId, ProtocolVersion, ReasonCode, Role};

use super::notation::Wire;
use super::{golden_v3, golden_v5};

pub(crate) struct Golden {
    pub(crate) version: ProtocolVersion,
    pub(crate) from: Role,
    pub(crate) notation: &'static str,
    pub(crate) packet: Packet<'static>,
}

impl Golden {
    pub(crate) fn wire(&self) -> Wire {
        Wire::new(self.notation)
    }
}

pub(crate) const fn v5(from: Role, notation: &'static str, packet: Packet<'static>) -> Golden {
    Golden { version: ProtocolVersion::V5, from, notation, packet }
}

pub(crate) const fn v3(from: Role, notation: &'static str, packet: Packet<'static>) -> Golden {
    Golden { version: ProtocolVersion::V3_1_1, from, notation, packet }
}

/// Every line of both tables.
pub(crate) fn all() -> impl Iterator<Item = &'static Golden> {
    golden_v5::CASES.iter().chain(golden_v3::CASES)
}

pub(crate) const fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("a packet identifier above 0")
}

pub(crate) const fn nz16(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).expect("a number above 0")
}

pub(crate) const fn nz32(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).expect("a number above 0")
}

pub(crate) const fn ack(
    kind: AckKind,
    packet_id: u16,
    reason_code: ReasonCode,
    properties: &'static [Property<'static>],
) -> Packet<'static> {
    Packet::Ack(Ack { kind, packet_id: id(packet_id), reason_code, properties: Properties::new(properties) })
}

pub(crate) const fn connack(
    session_present: bool,
    reason_code: ReasonCode,
    properties: &'static [Property<'static>],
) -> Packet<'static> {
    Packet::Connack(Connack { session_present, reason_code, properties: Properties::new(properties) })
}

pub(crate) const fn publish(
    topic: &'static str,
    delivery: Delivery,
    retain: bool,
    properties: &'static [Property<'static>],
    payload: &'static [u8],
) -> Packet<'static> {
    Packet::Publish(Publish { topic, payload, retain, delivery, properties: Properties::new(properties) })
}

pub(crate) const fn disconnect(reason_code: ReasonCode, properties: &'static [Property<'static>]) -> Packet<'static> {
    Packet::Disconnect(Disconnect { reason_code, properties: Properties::new(properties) })
}

pub(crate) const fn auth(reason_code: ReasonCode, properties: &'static [Property<'static>]) -> Packet<'static> {
    Packet::Auth(Auth { reason_code, properties: Properties::new(properties) })
}

pub(crate) const QOS_0: Delivery = Delivery::AtMostOnce;

pub(crate) const fn qos_1(packet_id: u16, dup: bool) -> Delivery {
    Delivery::AtLeastOnce { packet_id: id(packet_id), dup }
}

pub(crate) const fn qos_2(packet_id: u16, dup: bool) -> Delivery {
    Delivery::ExactlyOnce { packet_id: id(packet_id), dup }
}
