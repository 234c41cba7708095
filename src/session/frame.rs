//! Places inside an encoded PUBLISH that change between transmissions: DUP, Packet Identifier, Message Expiry Interval.

use super::error::Misuse;
use crate::codec::{EncodeError, Entry, FixedHeader, Properties, Property, Reader};
use crate::packet::Delivery;
use crate::types::{PacketId, ProtocolVersion, QoS};

const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

/// What the first byte of an encoded PUBLISH says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) qos: QoS,
    pub(super) retain: bool,
}

impl Flags {
    /// `None` if the bytes are no PUBLISH.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        let first = *frame.first()?;
        let qos = QoS::from_bits(first >> 1 & 3)?;
        (first >> 4 == 3).then_some(Self { qos, retain: first & RETAIN != 0 })
    }
}

/// The placeholder in a frame whose identifier the session will choose.
pub(super) const fn unnumbered(qos: QoS) -> Delivery {
    Delivery::first(qos, PacketId::MIN)
}

/// Checks what the session relies on in a frame that the caller has encoded: it is one whole PUBLISH, has a topic, and
/// no Topic Alias.
pub(super) fn check(frame: &[u8], version: ProtocolVersion) -> Result<Flags, Misuse> {
    let is_whole = FixedHeader::decode(frame, version).ok().flatten().is_some_and(|it| it.packet_len() == frame.len());
    let (Some(flags), Some(parts), true) = (Flags::of(frame), parts(frame, version), is_whole) else {
        return Err(EncodeError::NoTopic.into());
    };
    if parts.topic.is_empty() {
        return Err(EncodeError::NoTopic.into());
    }
    let properties = Properties::from_checked_block(parts.properties);
    if properties.iter().any(|property| matches!(property, Property::TopicAlias(_))) {
        return Err(Misuse::TopicAliasByHand);
    }
    Ok(flags)
}

pub(super) fn set_dup(frame: &mut [u8]) {
    if let Some(first) = frame.first_mut() {
        *first |= DUP;
    }
}

/// Makes a new message of a frame that may have been sent before.
pub(super) fn renew(frame: &mut [u8], packet_id: PacketId) {
    if let Some(first) = frame.first_mut() {
        *first &= !DUP;
    }
    if let Some(at) = parts(frame, ProtocolVersion::V3_1_1).map(|parts| parts.behind_topic)
        && let Some(place) = frame.get_mut(at..at + 2)
    {
        place.copy_from_slice(&packet_id.value().to_be_bytes());
    }
}

/// The Message Expiry Interval in seconds; `None` if the message does not expire.
pub(super) fn expiry(frame: &[u8], version: ProtocolVersion) -> Option<u32> {
    let at = expiry_at(frame, version)?;
    let (seconds, _) = frame.get(at..)?.split_first_chunk()?;
    Some(u32::from_be_bytes(*seconds))
}

pub(super) fn set_expiry(frame: &mut [u8], version: ProtocolVersion, seconds: u32) {
    if let Some(at) = expiry_at(frame, version)
        && let Some(place) = frame.get_mut(at..at + 4)
    {
        place.copy_from_slice(&seconds.to_be_bytes());
    }
}

/// Where the parts of an encoded PUBLISH begin, counted from its first byte.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "std"), expect(dead_code, reason = "only the heap storage writes variants with an alias"))]
pub(super) struct Parts<'a> {
    pub(super) topic: &'a str,
    pub(super) behind_topic: usize,
    /// The property block without its length; empty in v3.1.1.
    pub(super) properties: &'a [u8],
    pub(super) properties_at: usize,
    pub(super) behind_properties: usize,
}

pub(super) fn parts(frame: &[u8], version: ProtocolVersion) -> Option<Parts<'_>> {
    let qos = Flags::of(frame)?.qos;
    let header = FixedHeader::decode(frame, version).ok()??;
    let mut reader = Reader::new(frame);
    reader.take(usize::from(header.header_len)).ok()?;
    let topic = reader.binary().ok()?;
    let topic = core::str::from_utf8(topic).ok()?;
    let behind_topic = frame.len() - reader.remaining();
    if qos != QoS::AtMostOnce {
        reader.u16().ok()?;
    }
    let (properties, properties_at) = if version.is_v5() {
        let len = usize::try_from(reader.var_int().ok()?).ok()?;
        let at = frame.len() - reader.remaining();
        (reader.take(len).ok()?, at)
    } else {
        (&[][..], frame.len() - reader.remaining())
    };
    let behind_properties = frame.len() - reader.remaining();
    Some(Parts { topic, behind_topic, properties, properties_at, behind_properties })
}

fn expiry_at(frame: &[u8], version: ProtocolVersion) -> Option<usize> {
    let parts = parts(frame, version)?;
    let mut reader = Reader::new(parts.properties);
    while !reader.is_empty() {
        let before = reader.remaining();
        if let Property::MessageExpiryInterval(_) = Property::decode_entry(&mut reader).ok()? {
            return Some(parts.properties_at + parts.properties.len() - before + 1);
        }
    }
    None
}
