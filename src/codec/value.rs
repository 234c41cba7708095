use core::num::{NonZeroU16, NonZeroU32};

use super::{DecodeError, EncodeError, Reader, Writer};
use crate::types::{QoS, TopicName};

/// A variable byte integer as it stands on the wire (v5.0 section 1.5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VarInt {
    value: u32,
    len: u8,
}

impl VarInt {
    /// The largest value: 268,435,455.
    pub const MAX: u32 = 0x0FFF_FFFF;

    /// Decodes the integer at the start of `bytes`; `Ok(None)` while its last byte is not there.
    ///
    /// # Errors
    /// [`DecodeError::VariableByteInteger`] if a fifth byte would be needed.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut value = 0u32;
        let mut len = 0u8;
        for &byte in bytes.iter().take(4) {
            value |= u32::from(byte & 0x7F) << (7 * u32::from(len));
            len += 1;
            if byte & 0x80 == 0 {
                return Ok(Some(Self { value, len }));
            }
        }
        if len == 4 { Err(DecodeError::VariableByteInteger) } else { Ok(None) }
    }

    /// The number.
    pub const fn value(self) -> u32 {
        self.value
    }

    /// How many bytes it took: 1 to 4.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether the form is the shortest one `[MQTT-1.5.5-1]`.
    pub const fn is_minimal(self) -> bool {
        self.len() == Self::len_of(self.value)
    }

    /// Bytes of the shortest form of a value.
    pub const fn len_of(value: u32) -> usize {
        match value {
            0..=0x7F => 1,
            0x80..=0x3FFF => 2,
            0x4000..=0x1F_FFFF => 3,
            _ => 4,
        }
    }
}

/// How a property's value is read and written. A value out of its range is `Ok(None)` when read.
pub(super) trait Value<'a>: Sized {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError>;
    /// `Ok(false)` if the value is out of range.
    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError>;
}

impl<'a> Value<'a> for bool {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        Ok(match reader.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        })
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.u8(u8::from(*self)).map(|()| true)
    }
}

/// Maximum QoS: only 0 and 1 can be said (v5.0 section 3.2.2.3.4).
impl<'a> Value<'a> for QoS {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        Ok(QoS::from_bits(reader.u8()?).filter(|qos| *qos != QoS::ExactlyOnce))
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.u8(self.bits()).map(|()| *self != QoS::ExactlyOnce)
    }
}

impl<'a> Value<'a> for u16 {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        reader.u16().map(Some)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.u16(*self).map(|()| true)
    }
}

impl<'a> Value<'a> for NonZeroU16 {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        reader.u16().map(Self::new)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.u16(self.get()).map(|()| true)
    }
}

impl<'a> Value<'a> for u32 {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        reader.u32().map(Some)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.u32(*self).map(|()| true)
    }
}

impl<'a> Value<'a> for NonZeroU32 {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        reader.u32().map(Self::new)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.u32(self.get()).map(|()| true)
    }
}

/// A number from 1 to [`VarInt::MAX`], which is what a Subscription Identifier is.
#[derive(Clone, Copy)]
pub(super) struct Identifier(pub(super) u32);

impl<'a> Value<'a> for Identifier {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(reader.var_int()?).filter(|value| *value != 0).map(Self))
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        if self.0 == 0 || self.0 > VarInt::MAX {
            return Ok(false);
        }
        writer.var_int(self.0).map(|()| true)
    }
}

impl<'a> Value<'a> for &'a str {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        reader.string().map(Some)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.string(self).map(|()| true)
    }
}

/// A string that is a Topic Name: no wildcards, not empty `[MQTT-3.3.2-14]`.
pub(super) struct Topic<'a>(pub(super) &'a str);

impl<'a> Value<'a> for Topic<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        let topic = reader.string()?;
        Ok(TopicName::new(topic).ok().map(|name| Self(name.as_str())))
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        TopicName::new(self.0)?;
        writer.string(self.0).map(|()| true)
    }
}

impl<'a> Value<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        reader.binary().map(Some)
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.binary(self).map(|()| true)
    }
}

/// A string pair (v5.0 section 1.5.7).
pub(super) struct Pair<'a>(pub(super) &'a str, pub(super) &'a str);

impl<'a> Value<'a> for Pair<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Option<Self>, DecodeError> {
        let key = reader.string()?;
        let value = reader.string()?;
        Ok(Some(Self(key, value)))
    }

    fn encode(&self, writer: &mut Writer<'_>) -> Result<bool, EncodeError> {
        writer.string(self.0)?;
        writer.string(self.1).map(|()| true)
    }
}
