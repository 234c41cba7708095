use super::{Body, encode_packet, encode_result};
use crate::codec::{EncodeError, PacketType, Properties, PropertyContext, Writer};
use crate::types::{CodeContext, PacketId, ProtocolVersion, ReasonCode, Role};

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ack<'a> {
    /// Which of the four.
    pub kind: AckKind,
    /// The identifier of the PUBLISH it belongs to `[MQTT-2.2.1-5]`.
    pub packet_id: PacketId,
    /// The result; always success in v3.1.1.
    pub reason_code: ReasonCode,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

/// The four packets that share one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AckKind {
    /// Answers QoS 1.
    Puback,
    /// Answers QoS 2: received.
    Pubrec,
    /// Answers PUBREC: release.
    Pubrel,
    /// Answers PUBREL: complete.
    Pubcomp,
}

impl AckKind {
    /// The packet type.
    pub const fn packet_type(self) -> PacketType {
        match self {
            Self::Puback => PacketType::Puback,
            Self::Pubrec => PacketType::Pubrec,
            Self::Pubrel => PacketType::Pubrel,
            Self::Pubcomp => PacketType::Pubcomp,
        }
    }

    /// Whether a v5.0 packet of this kind from that side may carry the code `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]`
    /// `[MQTT-3.6.2-1]` `[MQTT-3.7.2-1]`.
    pub fn allows(self, code: ReasonCode, from: Role) -> bool {
        let context = match self {
            Self::Puback | Self::Pubrec => CodeContext::Ack,
            Self::Pubrel | Self::Pubcomp => CodeContext::Release,
        };
        code.is_allowed_in(context, from)
    }

    const fn context(self) -> PropertyContext {
        match self {
            Self::Puback => PropertyContext::Puback,
            Self::Pubrec => PropertyContext::Pubrec,
            Self::Pubrel => PropertyContext::Pubrel,
            Self::Pubcomp => PropertyContext::Pubcomp,
        }
    }
}

impl<'a> Ack<'a> {
    /// An acknowledgement without properties.
    pub const fn new(kind: AckKind, packet_id: PacketId, reason_code: ReasonCode) -> Self {
        Self { kind, packet_id, reason_code, properties: Properties::EMPTY }
    }

    pub(crate) const fn from_body(kind: AckKind, body: &Body<'a>) -> Self {
        Self {
            kind,
            packet_id: body.packet_id,
            reason_code: body.reason_code,
            properties: Properties::from_wire(body.properties),
        }
    }

    /// What a client sends without properties, in the shortest form, as [`Ack::encode`] would write it: its bytes and
    /// how many of them count. The code is one that the kind allows.
    pub(crate) const fn short(
        kind: AckKind,
        packet_id: PacketId,
        reason_code: ReasonCode,
        version: ProtocolVersion,
    ) -> ([u8; 5], usize) {
        let has_code = version.is_v5() && reason_code.byte() != 0;
        let [high, low] = packet_id.value().to_be_bytes();
        let len = if has_code { 3 } else { 2 };
        ([kind.packet_type().first_byte(), len, high, low, reason_code.byte()], len as usize + 2)
    }

    /// Writes the packet as `from` sends it, in the shortest form that says it.
    ///
    /// An acknowledgement of v3.1.1 has no code and means the same with any: the identifier alone is written.
    ///
    /// # Errors
    /// [`EncodeError::ReasonCode`] for a code that this side cannot send in it, [`EncodeError::NotInVersion`] for
    /// properties in v3.1.1, and what properties report.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion, from: Role) -> Result<(), EncodeError> {
        if !self.kind.allows(self.reason_code, from) {
            return writer.refuse(EncodeError::ReasonCode);
        }
        if !version.is_v5() && !self.properties.is_empty() {
            return writer.refuse(EncodeError::NotInVersion);
        }
        encode_packet(writer, self.kind.packet_type(), |writer| {
            writer.u16(self.packet_id.value());
            if version.is_v5() {
                encode_result(writer, self.reason_code, self.properties, self.kind.context());
            }
        })
    }
}
