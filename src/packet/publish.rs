use super::{decode_packet_id, decode_properties, encode_properties};
use crate::codec::{
    Block, DecodeError, EncodeError, FixedHeader, PacketType, Properties, PropertyContext, PropertyId, Reader, Writer,
};
use crate::macros::{Bytes, shows};
use crate::types::{PacketId, ProtocolVersion, QoS, Role, Text, TopicError, TopicName};

const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

/// PUBLISH: carries an application message (section 3.3).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where it is published. Empty in v5.0 where a Topic Alias stands for it.
    pub topic: &'a str,
    /// The application message.
    pub payload: &'a [u8],
    /// To the server: retain this message. From the server: it was retained.
    pub retain: bool,
    /// QoS, and what belongs to it.
    pub delivery: Delivery,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

/// QoS of a PUBLISH with its Packet Identifier and DUP flag, which QoS 0 cannot have `[MQTT-2.2.1-2]` `[MQTT-3.3.1-2]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum Delivery {
    /// QoS 0.
    #[default]
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce { packet_id: PacketId, dup: bool },
    /// QoS 2.
    ExactlyOnce { packet_id: PacketId, dup: bool },
}

impl Delivery {
    /// The first transmission at a QoS above 0.
    pub const fn first(qos: QoS, packet_id: PacketId) -> Self {
        match qos {
            QoS::AtMostOnce => Self::AtMostOnce,
            QoS::AtLeastOnce => Self::AtLeastOnce { packet_id, dup: false },
            QoS::ExactlyOnce => Self::ExactlyOnce { packet_id, dup: false },
        }
    }

    /// The QoS.
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    /// The Packet Identifier; QoS 0 has none.
    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { packet_id, .. } | Self::ExactlyOnce { packet_id, .. } => Some(packet_id),
        }
    }

    /// Whether this is marked as a retransmission.
    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }
}

impl<'a> Publish<'a> {
    #[cfg_attr(feature = "std", inline)]
    pub(crate) fn decode(flags: u8, reader: &mut Reader<'a>, version: ProtocolVersion, from: Role) -> Self {
        let head = Head::decode(flags, reader, version, from);
        Self { payload: reader.rest(), ..Self::from_head(&head) }
    }

    #[cfg_attr(feature = "std", inline)]
    fn from_head(head: &Head<'a>) -> Self {
        Self {
            topic: head.topic.as_str(),
            payload: &[],
            retain: head.retain,
            delivery: head.delivery(),
            properties: Properties::from_wire(head.properties),
        }
    }

    /// The Topic Alias among the properties.
    pub fn topic_alias(&self) -> Option<u16> {
        self.properties.half(PropertyId::TopicAlias)
    }

    /// Writes the packet as `from` sends it.
    ///
    /// # Errors
    /// [`EncodeError`] for what the version or the direction does not allow.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion, from: Role) -> Result<(), EncodeError> {
        if let Some(error) = TopicName::fault(self.topic.as_bytes()) {
            if error != TopicError::Empty || !version.is_v5() {
                return writer.refuse(EncodeError::Topic(error));
            } else if self.topic_alias().is_none() {
                return writer.refuse(EncodeError::NoTopic);
            }
        }
        writer.u8(self.first_byte());
        writer.prefixed_before(self.payload.len(), |writer| {
            // It was checked above for more than a string is.
            writer.binary(self.topic.as_bytes());
            if let Some(packet_id) = self.delivery.packet_id() {
                writer.u16(packet_id.value());
            }
            encode_properties(self.properties, writer, version, context(from));
        });
        writer.bytes(self.payload);
        writer.finish()
    }

    fn first_byte(&self) -> u8 {
        let mut first = PacketType::Publish.first_byte() | self.delivery.qos().bits() << 1;
        if self.retain {
            first |= RETAIN;
        }
        if self.delivery.dup() {
            first |= DUP;
        }
        first
    }
}

shows! {
    impl[] Publish for Publish<'_>, |this| {
        topic: this.topic,
        payload: Bytes(this.payload.len()),
        retain: this.retain,
        delivery: this.delivery,
        properties: this.properties,
    }
}

/// A PUBLISH up to its payload, decoded before the payload has arrived. It serves messages too long for a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct PublishHead<'a> {
    /// The packet with an empty payload.
    pub publish: Publish<'a>,
    /// Bytes from the start of the packet to its payload.
    pub head_len: usize,
    /// Bytes of the payload.
    pub payload_len: usize,
}

impl<'a> PublishHead<'a> {
    /// Decodes the start of a PUBLISH; `Ok(None)` until its payload begins.
    ///
    /// # Errors
    /// [`DecodeError`] as for a whole packet, and [`DecodeError::PacketType`] for another one.
    pub fn decode(input: &'a [u8], version: ProtocolVersion, from: Role) -> Result<Option<Self>, DecodeError> {
        let Some(header) = FixedHeader::decode(input, version)? else { return Ok(None) };
        if header.packet_type != PacketType::Publish {
            return Err(DecodeError::PacketType(header.packet_type.number()));
        }
        let packet_len = header.packet_len();
        let available = input.get(..packet_len).unwrap_or(input);
        let mut reader = Reader::new(available);
        reader.take(usize::from(header.header_len));
        let head = Head::decode(header.flags, &mut reader, version, from);
        match reader.error() {
            None => {}
            Some(DecodeError::Truncated) if available.len() < packet_len => return Ok(None),
            Some(error) => return Err(error),
        }
        let head_len = available.len() - reader.remaining();
        let publish = Publish::from_head(&head);
        Ok(Some(Self { publish, head_len, payload_len: packet_len.saturating_sub(head_len) }))
    }
}

/// A PUBLISH up to its payload.
pub(crate) struct Head<'a> {
    /// A Topic Name; empty where a Topic Alias stands for it.
    pub(crate) topic: Text<'a>,
    pub(crate) retain: bool,
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    /// QoS 0 has none.
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) properties: Block<'a>,
}

impl<'a> Head<'a> {
    #[cfg_attr(feature = "std", inline(always))]
    #[cfg_attr(not(feature = "std"), inline(never))]
    pub(crate) fn decode(flags: u8, reader: &mut Reader<'a>, version: ProtocolVersion, from: Role) -> Self {
        let qos = QoS::from_bits(flags >> 1 & 3).unwrap_or_else(|| {
            reader.fail(DecodeError::QoS);
            QoS::AtMostOnce
        });
        let dup = flags & DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            reader.fail(DecodeError::DupAtQoS0);
        }
        let topic = reader.text();
        let packet_id = (qos != QoS::AtMostOnce).then(|| decode_packet_id(reader));
        let properties = decode_properties(reader, version, context(from));
        if let Some(error) = TopicName::fault(topic.as_bytes()) {
            if error != TopicError::Empty || !version.is_v5() {
                reader.fail(DecodeError::Topic(error));
            } else if !properties.has(PropertyId::TopicAlias) {
                reader.fail(DecodeError::NoTopic);
            }
        }
        Self { topic, retain: flags & RETAIN != 0, dup, qos, packet_id, properties }
    }

    #[cfg_attr(feature = "std", inline)]
    fn delivery(&self) -> Delivery {
        match (self.qos, self.packet_id) {
            (QoS::AtLeastOnce, Some(packet_id)) => Delivery::AtLeastOnce { packet_id, dup: self.dup },
            (QoS::ExactlyOnce, Some(packet_id)) => Delivery::ExactlyOnce { packet_id, dup: self.dup },
            _ => Delivery::AtMostOnce,
        }
    }

    pub(crate) fn topic_alias(&self) -> Option<u16> {
        // A look that spares a call where there is room for it.
        if cfg!(feature = "std") && self.properties.is_empty() {
            return None;
        }
        self.properties.half(PropertyId::TopicAlias)
    }
}

const fn context(from: Role) -> PropertyContext {
    match from {
        Role::Client => PropertyContext::PublishFromClient,
        Role::Server => PropertyContext::PublishFromServer,
    }
}
