//! Places inside an encoded PUBLISH that change between transmissions: DUP, Packet Identifier, Message Expiry Interval.

use super::error::Misuse;
use crate::codec::{Block, EncodeError, FixedHeader, PropertyId, Reader, copy};
#[cfg(feature = "std")]
use crate::types::PacketId;
use crate::types::{ProtocolVersion, QoS};

const DUP: u8 = 0x08;
const QOS: u8 = 0x06;
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
    let properties = Block::from_checked(parts.properties);
    if properties.has(PropertyId::TopicAlias) {
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
#[cfg(feature = "std")]
pub(super) fn renew(frame: &mut [u8], packet_id: PacketId) {
    if let Some(first) = frame.first_mut() {
        *first &= !DUP;
    }
    if let Some(at) = behind_topic(frame) {
        put_packet_id(frame, at, packet_id);
    }
}

/// Where the topic of an encoded PUBLISH ends, and at QoS 1 and 2 its Packet Identifier begins.
#[cfg(feature = "std")]
fn behind_topic(frame: &[u8]) -> Option<usize> {
    let length = frame.iter().skip(1).position(|byte| byte & 0x80 == 0)?;
    let (len, _) = frame.get(length + 2..)?.split_first_chunk::<2>()?;
    Some(length + 4 + usize::from(u16::from_be_bytes(*len)))
}

/// How long the first PUBLISH of QoS 1 or 2 of a run is, and where its Packet Identifier stands. `None` for one that is
/// longer than those of a run.
#[cfg(feature = "std")]
#[inline]
pub(super) fn extent(frames: &[u8]) -> Option<(usize, usize)> {
    let (head, body, rest) = match *frames {
        [_, len @ ..0x80, ref rest @ ..] => (2, usize::from(len), rest),
        [_, low, high @ ..0x80, ref rest @ ..] => (3, usize::from(low & 0x7F) | usize::from(high) << 7, rest),
        _ => return None,
    };
    let (len, _) = rest.get(..body)?.split_first_chunk::<2>()?;
    Some((head + body, head + 2 + usize::from(u16::from_be_bytes(*len))))
}

/// Puts a Packet Identifier where it stands.
#[cfg(feature = "std")]
#[inline]
pub(super) fn put_packet_id(frame: &mut [u8], at: usize, packet_id: PacketId) {
    if let Some(place) = frame.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *place = packet_id.value().to_be_bytes();
    }
}

/// The Message Expiry Interval of a message that expires.
#[derive(Clone, Copy)]
pub(super) struct Expiry {
    pub(super) seconds: u32,
    at: usize,
}

impl Expiry {
    pub(super) fn of(frame: &[u8], version: ProtocolVersion) -> Option<Self> {
        if !version.is_v5() {
            return None;
        }
        let mut reader = Reader::new(frame);
        let has_id = reader.u8() & QOS != 0;
        reader.var_int();
        reader.binary();
        if has_id {
            reader.u16();
        }
        let len = reader.var_int();
        let properties = Block::from_checked(reader.take(usize::try_from(len).unwrap_or(usize::MAX)));
        let (seconds, behind) = properties.number_place(PropertyId::MessageExpiryInterval)?;
        Some(Self { seconds, at: (frame.len() - reader.remaining()).checked_sub(behind + 4)? })
    }

    pub(super) fn set(self, frame: &mut [u8], seconds: u32) {
        put(frame, self.at, &seconds.to_be_bytes());
    }
}

/// Writes what is left of the lifetime of a message that expires.
#[cfg(feature = "persistence")]
pub(crate) fn set_expiry(frame: &mut [u8], version: ProtocolVersion, seconds: u32) {
    if let Some(expiry) = Expiry::of(frame, version) {
        expiry.set(frame, seconds);
    }
}

fn put(frame: &mut [u8], at: usize, bytes: &[u8]) {
    copy(frame.get_mut(at..).unwrap_or_default(), bytes);
}

/// Where the parts of an encoded PUBLISH begin, counted from its first byte.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "std"), expect(dead_code, reason = "only the heap storage writes variants with an alias"))]
pub(super) struct Parts<'a> {
    pub(super) topic: &'a [u8],
    pub(super) behind_topic: usize,
    /// The property block without its length; empty in v3.1.1.
    pub(super) properties: &'a [u8],
    pub(super) behind_properties: usize,
}

pub(super) fn parts(frame: &[u8], version: ProtocolVersion) -> Option<Parts<'_>> {
    let header = FixedHeader::decode(frame, version).ok()??;
    let mut reader = Reader::new(frame);
    reader.take(usize::from(header.header_len));
    let topic = reader.binary();
    let behind_topic = frame.len() - reader.remaining();
    if Flags::of(frame)?.qos != QoS::AtMostOnce {
        reader.u16();
    }
    let properties = if version.is_v5() {
        let len = reader.var_int();
        reader.take(usize::try_from(len).unwrap_or(usize::MAX))
    } else {
        &[]
    };
    let behind_properties = frame.len() - reader.remaining();
    reader.error().is_none().then_some(Parts { topic, behind_topic, properties, behind_properties })
}
