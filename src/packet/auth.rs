use super::{Body, encode_packet};
use crate::codec::{EncodeError, PacketType, Properties, Property, PropertyContext, PropertyId, Writer};
use crate::types::{CodeContext, ProtocolVersion, ReasonCode, Role};

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
    pub(crate) const fn from_body(body: &Body<'a>) -> Self {
        Self { reason_code: body.reason_code, properties: Properties::from_wire(body.properties) }
    }

    /// The Authentication Method; a bare success has none.
    pub fn method(&self) -> Option<&'a str> {
        self.properties.find(|property| match property {
            Property::AuthenticationMethod(method) => Some(method),
            _ => None,
        })
    }

    /// As [`Auth::encode`], without what may be left out where the receiver takes no packet as long as that: reason
    /// string and user properties.
    pub(crate) fn encode_essence(
        &self,
        writer: &mut Writer<'_>,
        version: ProtocolVersion,
        from: Role,
    ) -> Result<(), EncodeError> {
        let method = Property::AuthenticationMethod(self.method().unwrap_or_default());
        let data = self.properties.find(|property| match property {
            Property::AuthenticationData(_) => Some([method, property]),
            _ => None,
        });
        let alone = [method];
        let properties = data.as_ref().map_or(Properties::from(&alone), Properties::from);
        Auth { reason_code: self.reason_code, properties }.encode(writer, version, from)
    }

    /// Writes the packet as `from` sends it.
    ///
    /// # Errors
    /// [`EncodeError::NotInVersion`] in v3.1.1, [`EncodeError::ReasonCode`] for a code that this side does not send,
    /// [`EncodeError::AuthenticationMethod`] if the method is missing in anything but a bare success.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion, from: Role) -> Result<(), EncodeError> {
        if !version.is_v5() {
            return writer.refuse(EncodeError::NotInVersion);
        }
        if !self.reason_code.is_allowed_in(CodeContext::Auth, from) {
            return writer.refuse(EncodeError::ReasonCode);
        }
        let bare = self.properties.is_empty() && self.reason_code == ReasonCode::SUCCESS;
        if !bare && !self.properties.has(PropertyId::AuthenticationMethod) {
            return writer.refuse(EncodeError::AuthenticationMethod);
        }
        encode_packet(writer, PacketType::Auth, |writer| {
            if !bare {
                writer.u8(self.reason_code.byte());
                self.properties.encode(writer, PropertyContext::Auth);
            }
        })
    }
}
