use super::{Body, encode_packet, encode_properties};
use crate::codec::{EncodeError, PacketType, Properties, PropertyContext, Writer};
use crate::types::{CodeContext, ProtocolVersion, ReasonCode, Role};

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
    pub(crate) const fn from_body(body: &Body<'a>) -> Self {
        Self {
            session_present: body.session_present,
            reason_code: body.reason_code,
            properties: Properties::from_wire(body.properties),
        }
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError`] for what the version does not allow.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        let code = match version {
            ProtocolVersion::V5 => Some(self.reason_code.byte())
                .filter(|_| self.reason_code.is_allowed_in(CodeContext::Connack, Role::Server)),
            ProtocolVersion::V3_1_1 => self.reason_code.return_code(),
        };
        let Some(code) = code else { return writer.refuse(EncodeError::ReasonCode) };
        if self.session_present && code != 0 {
            return writer.refuse(EncodeError::SessionPresent);
        }
        encode_packet(writer, PacketType::Connack, |writer| {
            writer.u8(u8::from(self.session_present));
            writer.u8(code);
            encode_properties(self.properties, writer, version, PropertyContext::Connack);
        })
    }
}
