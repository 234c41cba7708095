use super::{EncodeError, MAX_REMAINING_LENGTH, VarInt};
use crate::macros::shows;

/// Where encoded bytes go: a slice, a growing buffer, or nowhere (they are only counted).
///
/// Lengths on the wire come from running an encoding against a counting writer first, so that no length is computed
/// by a formula of its own.
pub struct Writer<'b> {
    target: Target<'b>,
    written: usize,
}

enum Target<'b> {
    Count,
    Slice(&'b mut [u8]),
    #[cfg(feature = "std")]
    Vec(&'b mut Vec<u8>),
}

impl<'b> Writer<'b> {
    /// A writer that only counts.
    pub const fn counting() -> Self {
        Self { target: Target::Count, written: 0 }
    }

    /// A writer into a slice, from its start.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { target: Target::Slice(buffer), written: 0 }
    }

    /// A writer that appends to a `Vec`.
    #[cfg(feature = "std")]
    pub const fn appending(buffer: &'b mut Vec<u8>) -> Self {
        Self { target: Target::Vec(buffer), written: 0 }
    }

    /// How many bytes were written or counted.
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Whether this writer only counts.
    pub const fn is_counting(&self) -> bool {
        matches!(self.target, Target::Count)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// [`EncodeError::NoRoom`] if a slice is full, here as in every other write.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let end = self.written.checked_add(bytes.len()).ok_or(EncodeError::TooLong)?;
        match &mut self.target {
            Target::Count => {}
            Target::Slice(buffer) => {
                buffer.get_mut(self.written..end).ok_or(EncodeError::NoRoom)?.copy_from_slice(bytes);
            }
            #[cfg(feature = "std")]
            Target::Vec(buffer) => buffer.extend_from_slice(bytes),
        }
        self.written = end;
        Ok(())
    }

    /// Writes a byte.
    ///
    /// # Errors
    /// [`EncodeError::NoRoom`].
    pub fn u8(&mut self, value: u8) -> Result<(), EncodeError> {
        self.bytes(&[value])
    }

    /// Writes a two byte integer.
    ///
    /// # Errors
    /// [`EncodeError::NoRoom`].
    pub fn u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes a four byte integer.
    ///
    /// # Errors
    /// [`EncodeError::NoRoom`].
    pub fn u32(&mut self, value: u32) -> Result<(), EncodeError> {
        self.bytes(&value.to_be_bytes())
    }

    /// Writes a variable byte integer in its shortest form `[MQTT-1.5.5-1]`.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`] above [`VarInt::MAX`].
    pub fn var_int(&mut self, value: u32) -> Result<(), EncodeError> {
        if value > VarInt::MAX {
            return Err(EncodeError::TooLong);
        }
        let mut rest = value;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                return self.u8(low);
            }
            self.u8(low | 0x80)?;
        }
    }

    /// Writes binary data behind its two byte length.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`] above 65,535 bytes.
    pub fn binary(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?;
        self.u16(len)?;
        self.bytes(bytes)
    }

    /// Writes a UTF-8 string behind its length.
    ///
    /// # Errors
    /// [`EncodeError::Nul`] if it contains U+0000 `[MQTT-1.5.4-2]`, [`EncodeError::FieldTooLong`].
    pub fn string(&mut self, text: &str) -> Result<(), EncodeError> {
        if text.as_bytes().contains(&0) {
            return Err(EncodeError::Nul);
        }
        self.binary(text.as_bytes())
    }

    /// Writes what `body` writes behind its length as a variable byte integer. `body` runs twice, first to be counted.
    ///
    /// # Errors
    /// What `body` reports, and [`EncodeError::TooLong`].
    pub fn prefixed(&mut self, body: impl Fn(&mut Writer<'_>) -> Result<(), EncodeError>) -> Result<(), EncodeError> {
        self.prefixed_before(0, body)
    }

    /// As [`Writer::prefixed`], for a body that goes on for `more` bytes, which are written elsewhere.
    ///
    /// # Errors
    /// What `body` reports, and [`EncodeError::TooLong`].
    pub fn prefixed_before(
        &mut self,
        more: usize,
        body: impl Fn(&mut Writer<'_>) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        let mut counting = Writer::counting();
        body(&mut counting)?;
        let len = counting.written();
        let whole = len.checked_add(more).ok_or(EncodeError::TooLong)?;
        let value = u32::try_from(whole).ok().filter(|len| *len <= MAX_REMAINING_LENGTH);
        self.var_int(value.ok_or(EncodeError::TooLong)?)?;
        if self.is_counting() {
            self.written = self.written.checked_add(len).ok_or(EncodeError::TooLong)?;
            return Ok(());
        }
        #[cfg(feature = "std")]
        if let Target::Vec(buffer) = &mut self.target {
            buffer.reserve(len);
        }
        body(self)
    }
}

shows! {
    impl[] Writer for Writer<'_>, |this| { written: this.written }
}
