use super::{DecodeError, VarInt};
use crate::macros::{Bytes, shows};
use crate::types::{Text, has_any};

/// A cursor over bytes of the peer.
///
/// A read that fails notes why and ends the input; what it and all later reads give is zero or empty. So a packet is
/// read field by field, and [`Reader::finish`] tells once whether all of it was well-formed.
///
/// ```
/// use flowsdk::codec::{DecodeError, Reader};
///
/// let mut reader = Reader::new(b"\x00\x03abc\x01");
/// assert_eq!(reader.string(), "abc");
/// assert_eq!(reader.u16(), 0);
/// assert_eq!(reader.finish(), Err(DecodeError::Truncated));
/// ```
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    error: Option<DecodeError>,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, error: None }
    }

    /// Whether nothing is left; so it is after a failed read.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// What has failed first, if anything has.
    pub const fn error(&self) -> Option<DecodeError> {
        self.error
    }

    /// Notes that what was read is not allowed, and ends the input.
    #[cold]
    #[inline(never)]
    pub const fn fail(&mut self, error: DecodeError) {
        if self.error.is_none() {
            self.error = Some(error);
        }
        self.bytes = &[];
    }

    /// Takes all that is left.
    #[cfg_attr(feature = "std", inline)]
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    /// Takes `len` bytes. Fails with [`DecodeError::Truncated`] if fewer are left, as every other read does.
    #[cfg_attr(feature = "std", inline)]
    pub const fn take(&mut self, len: usize) -> &'a [u8] {
        match self.bytes.split_at_checked(len) {
            Some((taken, rest)) => {
                self.bytes = rest;
                taken
            }
            None => {
                self.fail(DecodeError::Truncated);
                &[]
            }
        }
    }

    /// Reads a byte.
    #[cfg_attr(feature = "std", inline)]
    pub fn u8(&mut self) -> u8 {
        match *self.take(1) {
            [byte] => byte,
            _ => 0,
        }
    }

    /// Reads a two byte integer.
    #[cfg_attr(feature = "std", inline)]
    pub fn u16(&mut self) -> u16 {
        match *self.take(2) {
            [b0, b1] => u16::from_be_bytes([b0, b1]),
            _ => 0,
        }
    }

    /// Reads a four byte integer.
    pub fn u32(&mut self) -> u32 {
        match *self.take(4) {
            [b0, b1, b2, b3] => u32::from_be_bytes([b0, b1, b2, b3]),
            _ => 0,
        }
    }

    /// Reads a variable byte integer in its shortest form (v5.0 section 1.5.5). Fails with
    /// [`DecodeError::VariableByteInteger`] for a fifth byte or a longer form than needed.
    #[cfg_attr(feature = "std", inline)]
    pub fn var_int(&mut self) -> u32 {
        match VarInt::decode(self.bytes) {
            Ok(Some(decoded)) if decoded.is_minimal() => {
                self.take(decoded.len());
                return decoded.value();
            }
            Ok(None) => self.fail(DecodeError::Truncated),
            _ => self.fail(DecodeError::VariableByteInteger),
        }
        0
    }

    /// Reads binary data behind its two byte length (v5.0 section 1.5.6).
    #[cfg_attr(feature = "std", inline)]
    pub fn binary(&mut self) -> &'a [u8] {
        let len = self.u16();
        self.take(usize::from(len))
    }

    /// Reads a UTF-8 string (v5.0 section 1.5.4). A byte order mark is kept `[MQTT-1.5.4-3]`. Fails with
    /// [`DecodeError::Utf8`] or [`DecodeError::Nul`] for what a string must not contain.
    #[cfg_attr(feature = "std", inline)]
    pub fn string(&mut self) -> &'a str {
        self.text().as_str()
    }

    /// As [`Reader::string`].
    #[cfg_attr(feature = "std", inline)]
    pub(crate) fn text(&mut self) -> Text<'a> {
        let bytes = self.binary();
        match Text::from_bytes(bytes) {
            Some(text) if !has_nul(bytes) => return text,
            Some(_) => self.fail(DecodeError::Nul),
            None => self.fail(DecodeError::Utf8),
        }
        Text::EMPTY
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// What has failed first, or [`DecodeError::TrailingBytes`] if something is left.
    #[cfg_attr(feature = "std", inline)]
    pub const fn finish(self) -> Result<(), DecodeError> {
        match self.end() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// What [`Reader::finish`] would report.
    #[cfg_attr(feature = "std", inline)]
    pub(crate) const fn end(&self) -> Option<DecodeError> {
        match self.error {
            None if !self.bytes.is_empty() => Some(DecodeError::TrailingBytes),
            error => error,
        }
    }
}

shows! {
    impl[] Reader for Reader<'_>, |this| { bytes: Bytes(this.bytes.len()), error: this.error }
}

/// A string must not contain U+0000 `[MQTT-1.5.4-2]`.
pub(super) fn has_nul(bytes: &[u8]) -> bool {
    has_any(bytes, [0])
}
