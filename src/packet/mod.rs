//! One struct per control packet, for both versions: its fields, its decoding and its encoding.
//!
//! A packet borrows the bytes it was decoded from. The structs are the v5.0 superset; the version is a value that is
//! passed to [`Packet::decode`] and [`Packet::encode`], and what v3.1.1 cannot say is an error when encoded for it.
//!
//! ```
//! use flowsdk::codec::Writer;
//! use flowsdk::packet::{Delivery, Packet, Publish};
//! use flowsdk::types::{ProtocolVersion, Role};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let publish = Publish { topic: "a/b", payload: b"hello", ..Publish::default() };
//! let mut buffer = [0; 64];
//! let mut writer = Writer::new(&mut buffer);
//! Packet::Publish(publish).encode(&mut writer, ProtocolVersion::V5, Role::Client)?;
//! let len = writer.written();
//! assert_eq!(&buffer[..len], b"\x30\x0b\x00\x03a/b\x00hello");
//!
//! let decoded = Packet::decode(&buffer[..len], ProtocolVersion::V5, Role::Client)?;
//! assert_eq!(decoded, Some((Packet::Publish(publish), len)));
//! assert_eq!(publish.delivery, Delivery::AtMostOnce);
//! # Ok(())
//! # }
//! ```

mod ack;
mod auth;
mod body;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod unsubscribe;

pub use ack::{Ack, AckKind};
pub use auth::Auth;
pub(crate) use body::Body;
pub use connack::Connack;
pub use connect::{Connect, ConnectOptions, Will};
pub use disconnect::Disconnect;
pub(crate) use publish::Head;
pub use publish::{Delivery, Publish, PublishHead};
pub use suback::{ReasonCodeIter, Suback, Unsuback};
pub(crate) use subscribe::encode_subscribe;
pub use subscribe::{RetainHandling, Subscribe, Subscription, Subscriptions};
pub(crate) use unsubscribe::encode_unsubscribe;
pub use unsubscribe::{Filters, Unsubscribe};

use crate::codec::{
    Block, DecodeError, EncodeError, FixedHeader, PacketType, Properties, PropertyContext, Reader, Writer,
};
use crate::types::{CodeContext, PacketId, ProtocolVersion, ReasonCode, Role};

/// Any control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    Connack(Connack<'a>),
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP: they differ in their kind alone.
    Ack(Ack<'a>),
    Subscribe(Subscribe<'a>),
    Suback(Suback<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Unsuback(Unsuback<'a>),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Decodes the packet at the start of `input` that `from` has sent, and says how long it was. `Ok(None)` until it
    /// is whole. A CONNECT carries its own version; for all others `version` is the connection's.
    ///
    /// # Errors
    /// [`DecodeError`] for everything the standard calls malformed or a protocol error in a packet by itself.
    #[cfg_attr(feature = "std", inline)]
    pub fn decode(input: &'a [u8], version: ProtocolVersion, from: Role) -> Result<Option<(Self, usize)>, DecodeError> {
        let Some(header) = FixedHeader::decode(input, version)? else { return Ok(None) };
        check_sender(header.packet_type, version, from)?;
        let len = header.packet_len();
        let Some(body) = input.get(usize::from(header.header_len)..len) else { return Ok(None) };
        Self::decode_body(header, body, version, from).map(|packet| Some((packet, len)))
    }

    /// Decodes the `body` behind a fixed header. The sender was checked by [`Packet::decode`].
    #[cfg_attr(feature = "std", inline)]
    fn decode_body(
        header: FixedHeader,
        body: &'a [u8],
        version: ProtocolVersion,
        from: Role,
    ) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        let packet = match header.packet_type {
            PacketType::Connect => Self::Connect(Connect::decode(header, &mut reader)),
            PacketType::Publish => Self::Publish(Publish::decode(header.flags, &mut reader, version, from)),
            PacketType::Subscribe => Self::Subscribe(Subscribe::decode(&mut reader, version)),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::decode(&mut reader, version)),
            PacketType::Pingreq => Self::Pingreq,
            PacketType::Pingresp => Self::Pingresp,
            other => Self::from_body(other, &Body::decode(other, &mut reader, version, from)),
        };
        reader.finish()?;
        Ok(packet)
    }

    const fn from_body(packet_type: PacketType, body: &Body<'a>) -> Self {
        match packet_type {
            PacketType::Puback => Self::Ack(Ack::from_body(AckKind::Puback, body)),
            PacketType::Pubrec => Self::Ack(Ack::from_body(AckKind::Pubrec, body)),
            PacketType::Pubrel => Self::Ack(Ack::from_body(AckKind::Pubrel, body)),
            PacketType::Pubcomp => Self::Ack(Ack::from_body(AckKind::Pubcomp, body)),
            PacketType::Suback => Self::Suback(Suback::from_body(body)),
            PacketType::Unsuback => Self::Unsuback(Unsuback::from_body(body)),
            PacketType::Disconnect => Self::Disconnect(Disconnect::from_body(body)),
            PacketType::Auth => Self::Auth(Auth::from_body(body)),
            _ => Self::Connack(Connack::from_body(body)),
        }
    }

    /// Writes the packet as `from` sends it. A CONNECT is written in its own version.
    ///
    /// # Errors
    /// [`EncodeError`] for what the version, the direction or the standard does not allow, and if there is no room;
    /// what was written is then a part of the packet, and the writer is used up.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion, from: Role) -> Result<(), EncodeError> {
        match self {
            Self::Connect(packet) => packet.encode(writer),
            Self::Connack(packet) => packet.encode(writer, version),
            Self::Publish(packet) => packet.encode(writer, version, from),
            Self::Ack(packet) => packet.encode(writer, version, from),
            Self::Subscribe(packet) => packet.encode(writer, version),
            Self::Suback(packet) => packet.encode(writer, version),
            Self::Unsubscribe(packet) => packet.encode(writer, version),
            Self::Unsuback(packet) => packet.encode(writer, version),
            Self::Pingreq => encode_packet(writer, PacketType::Pingreq, |_| {}),
            Self::Pingresp => encode_packet(writer, PacketType::Pingresp, |_| {}),
            Self::Disconnect(packet) => packet.encode(writer, version, from),
            Self::Auth(packet) => packet.encode(writer, version, from),
        }
    }
}

/// PINGREQ is the same in every version.
pub(crate) const PINGREQ: [u8; 2] = [PacketType::Pingreq.first_byte(), 0];

/// Some packets only one side sends (table 2-1).
#[cfg_attr(feature = "std", inline)]
pub(crate) fn check_sender(packet_type: PacketType, version: ProtocolVersion, from: Role) -> Result<(), DecodeError> {
    const OF_CLIENT: u16 = PacketType::Connect.bit()
        | PacketType::Subscribe.bit()
        | PacketType::Unsubscribe.bit()
        | PacketType::Pingreq.bit();
    const OF_SERVER: u16 =
        PacketType::Connack.bit() | PacketType::Suback.bit() | PacketType::Unsuback.bit() | PacketType::Pingresp.bit();
    let forbidden = match from {
        Role::Client => OF_SERVER,
        Role::Server if version.is_v5() => OF_CLIENT,
        Role::Server => OF_CLIENT | PacketType::Disconnect.bit(),
    };
    if packet_type.bit() & forbidden == 0 { Ok(()) } else { Err(DecodeError::PacketType(packet_type.number())) }
}

/// Writes a packet of this type around its body.
fn encode_packet(
    writer: &mut Writer<'_>,
    packet_type: PacketType,
    body: impl FnOnce(&mut Writer<'_>),
) -> Result<(), EncodeError> {
    writer.u8(packet_type.first_byte());
    writer.prefixed(body);
    writer.finish()
}

#[cfg_attr(feature = "std", inline)]
fn decode_packet_id(reader: &mut Reader<'_>) -> PacketId {
    PacketId::new(reader.u16()).unwrap_or_else(|| {
        reader.fail(DecodeError::PacketId);
        PacketId::MIN
    })
}

/// Reads a reason code that this side may send there.
fn decode_code(reader: &mut Reader<'_>, context: CodeContext, from: Role) -> ReasonCode {
    let byte = reader.u8();
    ReasonCode::decode(byte, context, from).unwrap_or_else(|| {
        reader.fail(DecodeError::ReasonCode(byte));
        ReasonCode::SUCCESS
    })
}

/// Writes the code and the properties at the end of a v5.0 packet, in the shortest form that says them.
fn encode_result(writer: &mut Writer<'_>, code: ReasonCode, properties: Properties<'_>, context: PropertyContext) {
    if !properties.is_empty() || code != ReasonCode::SUCCESS {
        writer.u8(code.byte());
    }
    if !properties.is_empty() {
        properties.encode(writer, context);
    }
}

/// Properties of a v5.0 packet; v3.1.1 has none.
fn decode_properties<'a>(reader: &mut Reader<'a>, version: ProtocolVersion, context: PropertyContext) -> Block<'a> {
    if version.is_v5() { Block::decode(reader, context) } else { Block::EMPTY }
}

/// Writes the entries of a packet that has at least one `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`.
fn encode_list<T>(writer: &mut Writer<'_>, mut entries: impl Iterator<Item = T>, write: impl Fn(&mut Writer<'_>, T)) {
    let Some(first) = entries.next() else { return writer.fail(EncodeError::EmptyList) };
    write(writer, first);
    entries.for_each(|entry| write(writer, entry));
}

/// Writes properties where the version has them. Inlined, so that a program of v3.1.1 alone links nothing of them.
#[inline(always)]
fn encode_properties(
    properties: Properties<'_>,
    writer: &mut Writer<'_>,
    version: ProtocolVersion,
    context: PropertyContext,
) {
    if version.is_v5() {
        properties.encode(writer, context);
    } else if !properties.is_empty() {
        writer.fail(EncodeError::NotInVersion);
    }
}
