use super::{decode_code, decode_packet_id};
use crate::codec::{Block, DecodeError, PacketType, PropertyContext, PropertyId, Reader};
use crate::types::{CodeContext, PacketId, ProtocolVersion, ReasonCode, Role};

/// What CONNACK, the acknowledgements, DISCONNECT and AUTH say: each some of this.
#[derive(Clone, Copy)]
pub(crate) struct Body<'a> {
    pub(crate) packet_id: PacketId,
    pub(crate) session_present: bool,
    pub(crate) reason_code: ReasonCode,
    /// A code for each filter.
    pub(crate) codes: &'a [u8],
    pub(crate) properties: Block<'a>,
}

impl<'a> Body<'a> {
    /// Reads the body of a packet of one of these types.
    pub(crate) fn decode(
        packet_type: PacketType,
        reader: &mut Reader<'a>,
        version: ProtocolVersion,
        from: Role,
    ) -> Self {
        let shape = Shape::of(packet_type, from);
        let mut this = Self {
            packet_id: PacketId::MIN,
            session_present: false,
            reason_code: ReasonCode::SUCCESS,
            codes: &[],
            properties: Block::EMPTY,
        };
        if shape.has(ID) {
            this.packet_id = decode_packet_id(reader);
        }
        if shape.has(FLAGS) {
            let flags = reader.u8();
            if flags > 1 {
                reader.fail(DecodeError::ConnackFlags);
            }
            this.session_present = flags == 1;
        }
        let is_bare = reader.is_empty();
        if version.is_v5() && shape.has(FLAGS) && is_of_earlier_version(reader) {
            reader.rest();
            this.reason_code = ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
        } else if version.is_v5() {
            if shape.has(CODE) && !(shape.has(SHORT) && is_bare) {
                this.reason_code = decode_code(reader, shape.code, from);
            }
            if !(shape.has(SHORT) && reader.is_empty()) || (shape.has(METHOD) && !is_bare) {
                this.properties = Block::decode(reader, shape.context);
            }
            if shape.has(LIST) {
                this.codes = decode_codes(reader, shape.code, from);
            }
        } else if shape.has(FLAGS) {
            this.reason_code = decode_return_code(reader);
        } else if packet_type == PacketType::Suback {
            this.codes = decode_codes(reader, CodeContext::SubackV3, from);
        }
        if this.session_present && this.reason_code != ReasonCode::SUCCESS {
            reader.fail(DecodeError::SessionPresent);
        }
        if version.is_v5() && shape.has(METHOD) {
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

/// What a packet consists of in v5.0, in this order, and which codes and properties it may have.
#[derive(Clone, Copy)]
struct Shape {
    parts: u8,
    code: CodeContext,
    context: PropertyContext,
}

/// A Packet Identifier.
const ID: u8 = 0x01;
/// The Connect Acknowledge Flags.
const FLAGS: u8 = 0x02;
/// A reason code.
const CODE: u8 = 0x04;
/// A reason code for each filter, behind the properties.
const LIST: u8 = 0x08;
/// It may end before its code, and before its properties (sections 3.4.2.1, 3.14.2.1, 3.15.2.1).
const SHORT: u8 = 0x10;
/// It has an Authentication Method, and so properties, if it has anything.
const METHOD: u8 = 0x20;

/// By the number of the packet type, as the server sends it: what takes less room than a branch for each type.
static SHAPES: [Shape; 16] = {
    const ACK: u8 = ID | CODE | SHORT;
    const fn shape(parts: u8, code: CodeContext, context: PropertyContext) -> Shape {
        Shape { parts, code, context }
    }
    let mut shapes = [shape(FLAGS | CODE, CodeContext::Connack, PropertyContext::Connack); 16];
    shapes[PacketType::Puback as usize] = shape(ACK, CodeContext::Ack, PropertyContext::Puback);
    shapes[PacketType::Pubrec as usize] = shape(ACK, CodeContext::Ack, PropertyContext::Pubrec);
    shapes[PacketType::Pubrel as usize] = shape(ACK, CodeContext::Release, PropertyContext::Pubrel);
    shapes[PacketType::Pubcomp as usize] = shape(ACK, CodeContext::Release, PropertyContext::Pubcomp);
    shapes[PacketType::Suback as usize] = shape(ID | LIST, CodeContext::Suback, PropertyContext::Suback);
    shapes[PacketType::Unsuback as usize] = shape(ID | LIST, CodeContext::Unsuback, PropertyContext::Unsuback);
    shapes[PacketType::Disconnect as usize] =
        shape(CODE | SHORT, CodeContext::Disconnect, PropertyContext::DisconnectFromServer);
    shapes[PacketType::Auth as usize] = shape(CODE | SHORT | METHOD, CodeContext::Auth, PropertyContext::Auth);
    shapes
};

impl Shape {
    fn of(packet_type: PacketType, from: Role) -> Self {
        let connack = Self { parts: FLAGS | CODE, code: CodeContext::Connack, context: PropertyContext::Connack };
        let mut this = SHAPES.get(usize::from(packet_type.number())).copied().unwrap_or(connack);
        if from == Role::Client {
            this.context = this.context.other_side();
        }
        this
    }

    const fn has(self, part: u8) -> bool {
        self.parts & part != 0
    }
}

/// Whether this is the return code 1, and no properties: so a server without v5.0 answers its CONNECT (v3.1.1
/// [MQTT-3.1.2-2]).
fn is_of_earlier_version(reader: &Reader<'_>) -> bool {
    matches!(reader.clone().rest(), [1])
}

/// A return code of v3.1.1 (its section 3.2.2.3).
fn decode_return_code(reader: &mut Reader<'_>) -> ReasonCode {
    let code = reader.u8();
    ReasonCode::from_return_code(code).unwrap_or_else(|| {
        reader.fail(DecodeError::ReasonCode(code));
        ReasonCode::SUCCESS
    })
}

fn decode_codes<'a>(reader: &mut Reader<'a>, context: CodeContext, from: Role) -> &'a [u8] {
    let codes = reader.rest();
    if codes.is_empty() {
        reader.fail(DecodeError::EmptyList);
    }
    for code in codes {
        if ReasonCode::decode(*code, context, from).is_none() {
            reader.fail(DecodeError::ReasonCode(*code));
        }
    }
    codes
}
