use super::{Body, encode_packet, encode_result};
use crate::codec::{EncodeError, PacketType, Properties, PropertyContext, Writer};
use crate::types::{CodeContext, ProtocolVersion, ReasonCode, Role};

/// DISCONNECT: the last packet of a connection (section 3.14). In v3.1.1 only a client sends it, and it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Disconnect<'a> {
    /// Why the connection ends; always success in v3.1.1.
    pub reason_code: ReasonCode,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// A DISCONNECT without properties.
    pub const fn new(reason_code: ReasonCode) -> Self {
        Self { reason_code, properties: Properties::EMPTY }
    }

    pub(crate) const fn from_body(body: &Body<'a>) -> Self {
        Self { reason_code: body.reason_code, properties: Properties::from_wire(body.properties) }
    }

    /// Writes the packet as `from` sends it, in the shortest form that says it.
    ///
    /// # Errors
    /// [`EncodeError::ReasonCode`] for a code that this side does not send, [`EncodeError::NotInVersion`] for anything
    /// but success in v3.1.1 or from its server, and what properties report.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion, from: Role) -> Result<(), EncodeError> {
        if version.is_v5() {
            if !self.reason_code.is_allowed_in(CodeContext::Disconnect, from) {
                return writer.refuse(EncodeError::ReasonCode);
            }
        } else if !self.properties.is_empty() || self.reason_code != ReasonCode::SUCCESS || from == Role::Server {
            return writer.refuse(EncodeError::NotInVersion);
        }
        encode_packet(writer, PacketType::Disconnect, |writer| {
            encode_result(writer, self.reason_code, self.properties, context(from));
        })
    }
}

const fn context(from: Role) -> PropertyContext {
    match from {
        Role::Client => PropertyContext::DisconnectFromClient,
        Role::Server => PropertyContext::DisconnectFromServer,
    }
}
