use super::{DecodeError, VarInt};
use crate::types::ProtocolVersion;

/// The largest Remaining Length: 268,435,455 bytes (section 2.1.4).
pub const MAX_REMAINING_LENGTH: u32 = VarInt::MAX;

/// The kind of a control packet (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the standard's")]
pub enum PacketType {
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type of a number; `None` for 0 and above 15.
    #[cfg_attr(feature = "std", inline)]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The number in the upper four bits of the first byte.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// A bit for each type.
    pub(crate) const fn bit(self) -> u16 {
        1 << self as u8
    }

    /// The first byte of a packet of this type, with the flags that all but PUBLISH have fixed `[MQTT-2.1.3-1]`.
    #[cfg_attr(feature = "std", inline)]
    pub const fn first_byte(self) -> u8 {
        let flags = match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        self.number() << 4 | flags
    }
}

/// The first two to five bytes of every packet (section 2.1).
///
/// ```
/// use flowsdk::codec::{FixedHeader, PacketType};
/// use flowsdk::types::ProtocolVersion;
/// # fn main() -> Result<(), flowsdk::codec::DecodeError> {
/// // Enough to know how long a packet will be before its body has arrived.
/// let header = FixedHeader::decode(&[0x32, 0x80, 0x01], ProtocolVersion::V5)?.expect("whole header");
/// assert_eq!(header.packet_type, PacketType::Publish);
/// assert_eq!(header.packet_len(), 3 + 128);
/// assert_eq!(FixedHeader::decode(&[0x32, 0x80], ProtocolVersion::V5)?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FixedHeader {
    /// The kind of packet.
    pub packet_type: PacketType,
    /// The low four bits of the first byte. Only those of PUBLISH carry something.
    pub flags: u8,
    /// Bytes of the packet after the fixed header.
    pub remaining_length: u32,
    /// Bytes of the fixed header itself: 2 to 5.
    pub header_len: u8,
}

impl FixedHeader {
    /// Decodes the start of `input`; `Ok(None)` while the header is not whole.
    ///
    /// # Errors
    /// [`DecodeError::PacketType`], [`DecodeError::HeaderFlags`], [`DecodeError::VariableByteInteger`]. A CONNECT says
    /// its version only behind this header, so the form of its length is checked with its body.
    #[cfg_attr(feature = "std", inline)]
    pub fn decode(input: &[u8], version: ProtocolVersion) -> Result<Option<Self>, DecodeError> {
        let Some((&first, rest)) = input.split_first() else { return Ok(None) };
        let packet_type = match PacketType::from_number(first >> 4) {
            Some(packet_type) if packet_type != PacketType::Auth || version.is_v5() => packet_type,
            _ => return Err(DecodeError::PacketType(first >> 4)),
        };
        if packet_type != PacketType::Publish && packet_type.first_byte() != first {
            return Err(DecodeError::HeaderFlags);
        }
        let Some(length) = VarInt::decode(rest)? else { return Ok(None) };
        if version.is_v5() && packet_type != PacketType::Connect && !length.is_minimal() {
            return Err(DecodeError::VariableByteInteger);
        }
        Ok(Some(Self {
            packet_type,
            flags: first & 0x0F,
            remaining_length: length.value(),
            header_len: 1 + length.len_byte(),
        }))
    }

    /// Bytes of the whole packet.
    #[cfg_attr(feature = "std", inline)]
    pub fn packet_len(&self) -> usize {
        let body = usize::try_from(self.remaining_length).unwrap_or(usize::MAX);
        usize::from(self.header_len).saturating_add(body)
    }

    /// Whether the Remaining Length was written in its shortest form.
    pub(crate) fn is_minimal(&self) -> bool {
        usize::from(self.header_len) == 1 + VarInt::len_of(self.remaining_length)
    }
}
