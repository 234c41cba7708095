use super::{decode_code, decode_properties, encode_packet, encode_properties};
use crate::codec::{DecodeError, EncodeError, PacketType, Properties, PropertyContext, Reader, Writer};
use crate::types::{CodeContext, ProtocolVersion, ReasonCode};

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
    pub(crate) fn decode(reader: &mut Reader<'a>, version: ProtocolVersion) -> Self {
        let flags = reader.u8();
        if flags > 1 {
            reader.fail(DecodeError::ConnackFlags);
        }
        let reason_code = if version.is_v5() {
            decode_code(reader, CodeContext::Connack)
        } else {
            let code = reader.u8();
            ReasonCode::from_return_code(code).unwrap_or_else(|| {
                reader.fail(DecodeError::ReasonCode(code));
                ReasonCode::SUCCESS
            })
        };
        let properties = decode_properties(reader, version, PropertyContext::Connack);
        let session_present = flags == 1;
        if session_present && reason_code != ReasonCode::SUCCESS {
            reader.fail(DecodeError::SessionPresent);
        }
        Self { session_present, reason_code, properties }
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError`] for what the version does not allow.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        let code = match version {
            ProtocolVersion::V5 => {
                Some(self.reason_code.byte()).filter(|_| self.reason_code.is_allowed_in(CodeContext::Connack))
            }
            ProtocolVersion::V3_1_1 => self.reason_code.return_code(),
        };
        let code = code.ok_or(EncodeError::ReasonCode)?;
        if self.session_present && code != 0 {
            return Err(EncodeError::SessionPresent);
        }
        encode_packet(writer, PacketType::Connack, &|writer| {
            writer.u8(u8::from(self.session_present));
            writer.u8(code);
            encode_properties(self.properties, writer, version, PropertyContext::Connack);
        })
    }
}
