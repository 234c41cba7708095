use super::{Body, encode_packet, encode_properties};
use crate::codec::{EncodeError, PacketType, Properties, PropertyContext, Writer};
use crate::types::{CodeContext, PacketId, ProtocolVersion, ReasonCode, Role};

/// SUBACK: a code for each filter of the SUBSCRIBE (section 3.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Suback<'a> {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// A byte for each filter, in order; [`Suback::reason_codes`] reads them.
    pub codes: &'a [u8],
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

/// UNSUBACK: in v5.0 with a code for each filter of the UNSUBSCRIBE, in v3.1.1 without any (section 3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Unsuback<'a> {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// A byte for each filter, in order; empty in v3.1.1.
    pub codes: &'a [u8],
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

impl<'a> Suback<'a> {
    pub(crate) const fn from_body(body: &Body<'a>) -> Self {
        Self { packet_id: body.packet_id, codes: body.codes, properties: Properties::from_wire(body.properties) }
    }

    /// The codes: a granted QoS or a failure for each filter.
    pub fn reason_codes(&self) -> ReasonCodeIter<'a> {
        ReasonCodeIter(self.codes.iter())
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError::ReasonCode`] for a code that the version does not have here, [`EncodeError::EmptyList`].
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        check_codes(writer, self.codes, codes(version));
        encode_packet(writer, PacketType::Suback, |writer| {
            writer.u16(self.packet_id.value());
            encode_properties(self.properties, writer, version, PropertyContext::Suback);
            writer.bytes(self.codes);
        })
    }
}

impl<'a> Unsuback<'a> {
    pub(crate) const fn from_body(body: &Body<'a>) -> Self {
        Self { packet_id: body.packet_id, codes: body.codes, properties: Properties::from_wire(body.properties) }
    }

    /// The codes: a result for each filter.
    pub fn reason_codes(&self) -> ReasonCodeIter<'a> {
        ReasonCodeIter(self.codes.iter())
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError::ReasonCode`] for a code that does not belong here, [`EncodeError::EmptyList`], and
    /// [`EncodeError::NotInVersion`] for codes in v3.1.1.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        match version {
            ProtocolVersion::V5 => check_codes(writer, self.codes, CodeContext::Unsuback),
            ProtocolVersion::V3_1_1 if self.codes.is_empty() => {}
            ProtocolVersion::V3_1_1 => return writer.refuse(EncodeError::NotInVersion),
        }
        encode_packet(writer, PacketType::Unsuback, |writer| {
            writer.u16(self.packet_id.value());
            encode_properties(self.properties, writer, version, PropertyContext::Unsuback);
            writer.bytes(self.codes);
        })
    }
}

/// Iterator over the codes of a SUBACK or UNSUBACK.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReasonCodeIter<'a>(core::slice::Iter<'a, u8>);

impl Iterator for ReasonCodeIter<'_> {
    type Item = ReasonCode;

    fn next(&mut self) -> Option<ReasonCode> {
        ReasonCode::from_byte(*self.0.next()?)
    }
}

fn check_codes(writer: &mut Writer<'_>, codes: &[u8], context: CodeContext) {
    if codes.is_empty() {
        writer.fail(EncodeError::EmptyList);
    }
    if !codes.iter().all(|code| ReasonCode::decode(*code, context, Role::Server).is_some()) {
        writer.fail(EncodeError::ReasonCode);
    }
}

/// Section 3.9.3; of v3.1.1 `[MQTT-3.9.3-2]`.
const fn codes(version: ProtocolVersion) -> CodeContext {
    match version {
        ProtocolVersion::V3_1_1 => CodeContext::SubackV3,
        ProtocolVersion::V5 => CodeContext::Suback,
    }
}
