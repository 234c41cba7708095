use super::encode_packet;
use crate::codec::{DecodeError, EncodeError, PacketType, Properties, PropertyContext, Reader, Writer};
use crate::types::{ProtocolVersion, ReasonCode, Role};

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

    pub(super) fn decode(reader: &mut Reader<'a>, version: ProtocolVersion, from: Role) -> Result<Self, DecodeError> {
        let mut this = Self::new(ReasonCode::SUCCESS);
        // A v5.0 packet may be empty or end behind the code (section 3.14.2.1).
        if version.is_v5() && !reader.is_empty() {
            let code = reader.u8()?;
            this.reason_code = ReasonCode::from_byte(code)
                .filter(|code| is_allowed(*code, from))
                .ok_or(DecodeError::ReasonCode(code))?;
            if !reader.is_empty() {
                this.properties = Properties::decode(reader, context(from))?;
            }
        }
        Ok(this)
    }

    /// Writes the packet as `from` sends it, in the shortest form that says it.
    ///
    /// # Errors
    /// [`EncodeError::ReasonCode`] for a code that this side does not send, [`EncodeError::NotInVersion`] for anything
    /// but success in v3.1.1 or from its server, and what properties report.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion, from: Role) -> Result<(), EncodeError> {
        let bare = self.properties.is_empty();
        if version.is_v5() {
            if !is_allowed(self.reason_code, from) {
                return Err(EncodeError::ReasonCode);
            }
        } else if !bare || self.reason_code != ReasonCode::SUCCESS || from == Role::Server {
            return Err(EncodeError::NotInVersion);
        }
        encode_packet(writer, PacketType::Disconnect, |writer| {
            if bare && self.reason_code == ReasonCode::SUCCESS {
                return Ok(());
            }
            writer.u8(self.reason_code.byte())?;
            if bare { Ok(()) } else { self.properties.encode(writer, context(from)) }
        })
    }
}

const fn context(from: Role) -> PropertyContext {
    match from {
        Role::Client => PropertyContext::DisconnectFromClient,
        Role::Server => PropertyContext::DisconnectFromServer,
    }
}

/// The reason codes of section 3.14.2.1 `[MQTT-3.14.2-1]`, by the side that may send them, and 0x8C, which only the
/// table of section 2.4 gives to DISCONNECT.
const fn is_allowed(code: ReasonCode, from: Role) -> bool {
    match code.byte() {
        0x00 | 0x80..=0x83 | 0x90 | 0x93..=0x99 => true,
        0x04 => matches!(from, Role::Client),
        0x87 | 0x89 | 0x8B..=0x8F | 0x9A..=0xA2 => matches!(from, Role::Server),
        _ => false,
    }
}
