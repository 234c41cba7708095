use super::{DecodeError, VarInt};
use crate::macros::{Bytes, shows};

/// A cursor over bytes of the peer. Every read either succeeds or fails without moving past the end.
#[derive(Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are left.
    pub const fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.bytes)
    }

    /// Takes `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if fewer are left, here as in every other read.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A reader over the next `len` bytes, which this one skips.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn sub(&mut self, len: usize) -> Result<Reader<'a>, DecodeError> {
        self.take(len).map(Reader::new)
    }

    /// Reads a byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    /// Reads a two byte integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Reads a four byte integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads a variable byte integer in its shortest form (v5.0 section 1.5.5).
    ///
    /// # Errors
    /// [`DecodeError::VariableByteInteger`] for a fifth byte or a longer form than needed.
    pub fn var_int(&mut self) -> Result<u32, DecodeError> {
        let decoded = VarInt::decode(self.bytes)?.ok_or(DecodeError::Truncated)?;
        if !decoded.is_minimal() {
            return Err(DecodeError::VariableByteInteger);
        }
        self.take(decoded.len())?;
        Ok(decoded.value())
    }

    /// Reads binary data behind its two byte length (v5.0 section 1.5.6).
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// Reads a UTF-8 string (v5.0 section 1.5.4). A byte order mark is kept `[MQTT-1.5.4-3]`.
    ///
    /// # Errors
    /// [`DecodeError::Utf8`] or [`DecodeError::Nul`] for what a string must not contain.
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = core::str::from_utf8(bytes).map_err(|_| DecodeError::Utf8)?;
        if bytes.contains(&0) { Err(DecodeError::Nul) } else { Ok(text) }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`] if something is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }
}

shows! {
    impl[] Reader for Reader<'_>, |this| { bytes: Bytes(this.bytes.len()) }
}
