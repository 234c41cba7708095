use super::subscribe::check_filter;
use super::{decode_packet_id, decode_properties, encode_packet, encode_properties};
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
    pub(super) fn decode(reader: &mut Reader<'a>, version: ProtocolVersion) -> Result<Self, DecodeError> {
        let packet_id = decode_packet_id(reader)?;
        let properties = decode_properties(reader, version, PropertyContext::Unsubscribe)?;
        let block = reader.rest();
        let mut entries = Reader::new(block);
        if entries.is_empty() {
            return Err(DecodeError::EmptyList);
        }
        while !entries.is_empty() {
            check_filter(entries.string()?, version).map_err(DecodeError::TopicFilter)?;
        }
        Ok(Self { packet_id, filters: Filters::from_checked_block(block), properties })
    }

    /// Writes the packet.
    ///
    /// # Errors
    /// [`EncodeError`] for an empty list or an invalid filter.
    pub fn encode(&self, writer: &mut Writer<'_>, version: ProtocolVersion) -> Result<(), EncodeError> {
        if self.filters.is_empty() {
            return Err(EncodeError::EmptyList);
        }
        encode_packet(writer, PacketType::Unsubscribe, |writer| {
            writer.u16(self.packet_id.value())?;
            encode_properties(self.properties, writer, version, PropertyContext::Unsubscribe)?;
            self.filters.iter().try_for_each(|filter| writer.string(check_filter(filter, version)?.as_str()))
        })
    }
}
