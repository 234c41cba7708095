use super::{decode_code, decode_packet_id};
use crate::codec::{DecodeError, PacketType, Properties, PropertyContext, PropertyId, Reader};
use crate::types::{CodeContext, PacketId, ProtocolVersion, ReasonCode, Role};

/// What CONNACK, the acknowledgements, DISCONNECT and AUTH say: each some of this.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) packet_id: PacketId,
    pub(crate) session_present: bool,
    pub(crate) reason_code: ReasonCode,
    /// A code for each filter.
    pub(crate) codes: &'a [u8],
    pub(crate) properties: Properties<'a>,
}

impl<'a> Body<'a> {
    /// Reads the body of a packet of one of these types.
    pub(crate) fn decode(
        packet_type: PacketType,
        reader: &mut Reader<'a>,
        version: ProtocolVersion,
        from: Role,
    ) -> Self {
        let (code, context) = contexts(packet_type, version, from);
        let mut this = Self {
            packet_id: PacketId::MIN,
            session_present: false,
            reason_code: ReasonCode::SUCCESS,
            codes: &[],
            properties: Properties::EMPTY,
        };
        // Acknowledgements of messages, DISCONNECT and AUTH may end before their code and before their properties
        // (sections 3.4.2.1, 3.14.2.1, 3.15.2.1). v3.1.1 has neither there.
        let mut may_end = true;
        match packet_type {
            PacketType::Connack => {
                let flags = reader.u8();
                if flags > 1 {
                    reader.fail(DecodeError::ConnackFlags);
                }
                this.session_present = flags == 1;
                this.reason_code = if version.is_v5() { decode_code(reader, code) } else { decode_return_code(reader) };
                may_end = false;
            }
            PacketType::Disconnect | PacketType::Auth => {}
            _ => this.packet_id = decode_packet_id(reader),
        }
        let is_list = matches!(packet_type, PacketType::Suback | PacketType::Unsuback);
        let is_bare = reader.is_empty();
        if version.is_v5() {
            if !is_list && may_end && !is_bare {
                this.reason_code = decode_code(reader, code);
            }
            let has_properties = is_list || !may_end || (packet_type == PacketType::Auth && !is_bare);
            if has_properties || !reader.is_empty() {
                this.properties = Properties::decode(reader, context);
            }
        }
        if is_list && (version.is_v5() || packet_type == PacketType::Suback) {
            this.codes = decode_codes(reader, code);
        }
        if this.session_present && this.reason_code != ReasonCode::SUCCESS {
            reader.fail(DecodeError::SessionPresent);
        }
        if packet_type == PacketType::Auth {
            this.check_auth(reader, is_bare, from);
        }
        this
    }

    /// Only a server's success may be bare; anything else has a method.
    fn check_auth(&self, reader: &mut Reader<'_>, is_bare: bool, from: Role) {
        if is_bare && from == Role::Client {
            reader.fail(DecodeError::ReasonCode(self.reason_code.byte()));
        } else if !is_bare && !self.properties.has(PropertyId::AuthenticationMethod) {
            reader.fail(DecodeError::AuthenticationMethod);
        }
    }
}

/// Which codes and which properties a packet may have.
const fn contexts(packet_type: PacketType, version: ProtocolVersion, from: Role) -> (CodeContext, PropertyContext) {
    let is_client = matches!(from, Role::Client);
    let ack = if is_client { CodeContext::AckFromClient } else { CodeContext::AckFromServer };
    match packet_type {
        PacketType::Puback => (ack, PropertyContext::Puback),
        PacketType::Pubrec => (ack, PropertyContext::Pubrec),
        PacketType::Pubrel => (CodeContext::Release, PropertyContext::Pubrel),
        PacketType::Pubcomp => (CodeContext::Release, PropertyContext::Pubcomp),
        PacketType::Suback if version.is_v5() => (CodeContext::Suback, PropertyContext::Suback),
        PacketType::Suback => (CodeContext::SubackV3, PropertyContext::Suback),
        PacketType::Unsuback => (CodeContext::Unsuback, PropertyContext::Unsuback),
        PacketType::Disconnect if is_client => {
            (CodeContext::DisconnectFromClient, PropertyContext::DisconnectFromClient)
        }
        PacketType::Disconnect => (CodeContext::DisconnectFromServer, PropertyContext::DisconnectFromServer),
        PacketType::Auth if is_client => (CodeContext::AuthFromClient, PropertyContext::Auth),
        PacketType::Auth => (CodeContext::AuthFromServer, PropertyContext::Auth),
        _ => (CodeContext::Connack, PropertyContext::Connack),
    }
}

/// A return code of v3.1.1 (its section 3.2.2.3).
fn decode_return_code(reader: &mut Reader<'_>) -> ReasonCode {
    let code = reader.u8();
    ReasonCode::from_return_code(code).unwrap_or_else(|| {
        reader.fail(DecodeError::ReasonCode(code));
        ReasonCode::SUCCESS
    })
}

fn decode_codes<'a>(reader: &mut Reader<'a>, context: CodeContext) -> &'a [u8] {
    let codes = reader.rest();
    if codes.is_empty() {
        reader.fail(DecodeError::EmptyList);
    }
    for code in codes {
        if ReasonCode::decode(*code, context).is_none() {
            reader.fail(DecodeError::ReasonCode(*code));
        }
    }
    codes
}
