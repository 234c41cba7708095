use super::DecodeError;

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
    #[cfg_attr(feature = "std", inline)]
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        // Most are that short. On a microcontroller the loop below is enough.
        if cfg!(feature = "std")
            && let [value @ 0..=0x7F, ..] = *bytes
        {
            return Ok(Some(Self { value: u32::from(value), len: 1 }));
        }
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

    pub(super) const fn len_byte(self) -> u8 {
        self.len
    }

    /// Whether the form is the shortest one `[MQTT-1.5.5-1]`.
    #[cfg_attr(feature = "std", inline)]
    pub const fn is_minimal(self) -> bool {
        self.len <= 1 || self.value >> (7 * (self.len - 1)) != 0
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
