use super::encode_packet;
use crate::codec::{DecodeError, EncodeError, PacketType, Properties, Property, PropertyContext, Reader, Writer};
use crate::types::{ProtocolVersion, ReasonCode, Role};

/// AUTH: a step of enhanced authentication (section 3.15). v5.0 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Auth<'a> {
    /// Success (from the server), continue, or re-authenticate (from the client).
    pub reason_code: ReasonCode,
    /// The method and its data, a reason string, user properties.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn decode(reader: &mut Reader<'a>, from: Role) -> Result<Self, DecodeError> {
        // Code and properties may be left out for a bare success (section 3.15.2.1).
        if reader.is_empty() {
            return if from == Role::Server {
                Ok(Self { reason_code: ReasonCode::SUCCESS, properties: Properties::EMPTY })
            } else {
                Err(DecodeError::ReasonCode(ReasonCode::SUCCESS.byte()))
            };
        }
        let code = reader.u8()?;
        let reason_code =
            ReasonCode::from_byte(code).filter(|code| is_allowed(*code, from)).ok_or(DecodeError::ReasonCode(code))?;
        let properties = Properties::decode(reader, PropertyContext::Auth)?;
        if method(&properties).is_none() {
            return Err(DecodeError::AuthenticationMethod);
        }
        Ok(Self { reason_code, properties })
    }

    /// The Authentication Method; a bare success has none.
    pub fn method(&self) -> Option<&'a str> {
        method(&self.properties)
    }

    /// Writes the packet as `from` sends it.
    ///
    /// # Errors
    /// [`EncodeError::NotInVersion`] in v3.1.1, [`EncodeError::ReasonCode`] for a code that this side does not send,
    /// [`EncodeError::AuthenticationMethod`] if the method is missing in anything but a bare success.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion, from: Role) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return Err(EncodeError::NotInVersion);
        }
        if !is_allowed(self.reason_code, from) {
            return Err(EncodeError::ReasonCode);
        }
        let bare = self.properties.is_empty() && self.reason_code == ReasonCode::SUCCESS;
        if !bare && self.method().is_none() {
            return Err(EncodeError::AuthenticationMethod);
        }
        encode_packet(writer, PacketType::Auth, |writer| {
            if bare {
                return Ok(());
            }
            writer.u8(self.reason_code.byte())?;
            self.properties.encode(writer, PropertyContext::Auth)
        })
    }
}

fn method<'a>(properties: &Properties<'a>) -> Option<&'a str> {
    properties.find(|property| match property {
        Property::AuthenticationMethod(method) => Some(method),
        _ => None,
    })
}

/// The reason codes of section 3.15.2.1 `[MQTT-3.15.2-1]`, by the side that may send them.
const fn is_allowed(code: ReasonCode, from: Role) -> bool {
    match code.byte() {
        0x00 => matches!(from, Role::Server),
        0x18 => true,
        0x19 => matches!(from, Role::Client),
        _ => false,
    }
}
