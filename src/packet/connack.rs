use super::{decode_properties, encode_packet, encode_properties};
use crate::codec::{DecodeError, EncodeError, PacketType, Properties, PropertyContext, Reader, Writer};
use crate::types::{ProtocolVersion, ReasonCode};

/// CONNACK: the server's answer to CONNECT (section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Connack<'a> {
    /// Whether the server has kept a session for this client.
    pub session_present: bool,
    /// Success, or why the connection is refused. Return codes of v3.1.1 stand as the v5.0 code of their meaning.
    pub reason_code: ReasonCode,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    pub(super) fn decode(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let flags = reader.u8()?;
        if flags > 1 {
            return Err(DecodeError::ConnackFlags);
        }
        let code = reader.u8()?;
        let reason_code = match version {
            ProtocolVersion::V5 => ReasonCode::from_byte(code).filter(|code| is_allowed(*code)),
            ProtocolVersion::V3_1_1 => ReasonCode::from_return_code(code),
        };
        let this = Self {
            session_present: flags == 1,
            reason_code: reason_code.ok_or(DecodeError::ReasonCode(code))?,
            properties: decode_properties(reader, version, PropertyContext::Connack)?,
        };
        if this.session_present && this.reason_code != ReasonCode::SUCCESS {
            return Err(DecodeError::SessionPresent);
        }
        Ok(this)
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError`] for what the version does not allow.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        let code = match version {
            ProtocolVersion::V5 => Some(self.reason_code.byte()).filter(|_| is_allowed(self.reason_code)),
            ProtocolVersion::V3_1_1 => self.reason_code.return_code(),
        };
        let code = code.ok_or(EncodeError::ReasonCode)?;
        if self.session_present && code != 0 {
            return Err(EncodeError::SessionPresent);
        }
        encode_packet(writer, PacketType::Connack, |writer| {
            writer.u8(u8::from(self.session_present))?;
            writer.u8(code)?;
            encode_properties(self.properties, writer, version, PropertyContext::Connack)
        })
    }
}

/// The reason codes of section 3.2.2.2 `[MQTT-3.2.2-8]`.
const fn is_allowed(code: ReasonCode) -> bool {
    matches!(code.byte(), 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
}
