use super::{decode_packet_id, encode_packet};
use crate::codec::{DecodeError, EncodeError, PacketType, Properties, PropertyContext, Reader, Writer};
use crate::types::{PacketId, ProtocolVersion, ReasonCode, Role};

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
    /// `[MQTT-3.6.2-1]` `[MQTT-3.7.2-1]`. That nobody subscribes only a server can say.
    pub const fn allows(self, code: ReasonCode, from: Role) -> bool {
        match (self, code.byte()) {
            (_, 0x00) => true,
            (Self::Puback | Self::Pubrec, 0x10) => matches!(from, Role::Server),
            (Self::Puback | Self::Pubrec, byte) => matches!(byte, 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99),
            (Self::Pubrel | Self::Pubcomp, byte) => byte == 0x92,
        }
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

    pub(super) fn decode(
        kind: AckKind,
        reader: &mut Reader<'a>,
        version: ProtocolVersion,
        from: Role,
    ) -> Result<Self, DecodeError> {
        let mut this = Self::new(kind, decode_packet_id(reader)?, ReasonCode::SUCCESS);
        // A v5.0 packet may end behind the identifier or behind the code (section 3.4.2.1).
        if version.is_v5() && !reader.is_empty() {
            let code = reader.u8()?;
            this.reason_code = ReasonCode::from_byte(code)
                .filter(|code| kind.allows(*code, from))
                .ok_or(DecodeError::ReasonCode(code))?;
            if !reader.is_empty() {
                this.properties = Properties::decode(reader, kind.context())?;
            }
        }
        Ok(this)
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
            return Err(EncodeError::ReasonCode);
        }
        let bare = self.properties.is_empty();
        if !version.is_v5() && !bare {
            return Err(EncodeError::NotInVersion);
        }
        let shortest = !version.is_v5() || (bare && self.reason_code == ReasonCode::SUCCESS);
        encode_packet(writer, self.kind.packet_type(), |writer| {
            writer.u16(self.packet_id.value())?;
            if shortest {
                return Ok(());
            }
            writer.u8(self.reason_code.byte())?;
            if bare { Ok(()) } else { self.properties.encode(writer, self.kind.context()) }
        })
    }
}
