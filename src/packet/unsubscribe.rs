use super::subscribe::filter_fault;
use super::{decode_packet_id, decode_properties, encode_list, encode_packet, encode_properties};
use crate::codec::{DecodeError, EncodeError, Entries, PacketType, Properties, PropertyContext, Reader, Writer};
use crate::types::{PacketId, ProtocolVersion};

/// UNSUBSCRIBE (section 3.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Unsubscribe<'a> {
    /// Comes back in the UNSUBACK.
    pub packet_id: PacketId,
    /// The filters to drop; at least one `[MQTT-3.10.3-2]`.
    pub filters: Filters<'a>,
    /// Properties, v5.0 only.
    pub properties: Properties<'a>,
}

/// The filters of an UNSUBSCRIBE.
pub type Filters<'a> = Entries<'a, &'a str>;

impl<'a> Unsubscribe<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>, version: ProtocolVersion) -> Self {
        let packet_id = decode_packet_id(reader);
        let properties = Properties::from_wire(decode_properties(reader, version, PropertyContext::Unsubscribe));
        let block = reader.rest();
        if block.is_empty() {
            reader.fail(DecodeError::EmptyList);
        }
        let mut entries = Reader::new(block);
        while !entries.is_empty() {
            if let Some(error) = filter_fault(entries.string(), version) {
                entries.fail(DecodeError::TopicFilter(error));
            }
        }
        entries.finish().unwrap_or_else(|error| reader.fail(error));
        Self { packet_id, filters: Filters::from_checked_block(block), properties }
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError`] for an empty list or an invalid filter.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        encode_unsubscribe(writer, version, self.packet_id, self.properties, self.filters.iter())
    }
}

/// Writes an UNSUBSCRIBE, wherever its filters come from.
pub(crate) fn encode_unsubscribe<'f>(
    writer: &mut Writer<'_>,
    version: ProtocolVersion,
    packet_id: PacketId,
    properties: Properties<'_>,
    filters: impl Iterator<Item = &'f str>,
) -> Result<(), EncodeError> {
    encode_packet(writer, PacketType::Unsubscribe, |writer| {
        writer.u16(packet_id.value());
        encode_properties(properties, writer, version, PropertyContext::Unsubscribe);
        encode_list(writer, filters, |writer, filter| {
            if let Some(error) = filter_fault(filter, version) {
                writer.fail(error.into());
            }
            writer.string(filter);
        });
    })
}
