use core::cell::Cell;

use super::reader::has_nul;
use super::{EncodeError, MAX_REMAINING_LENGTH, VarInt};
use crate::macros::shows;

/// Where encoded bytes go: a slice, a growing buffer, or nowhere (they are only counted).
///
/// Lengths on the wire come from running an encoding against a counting writer first, so that no length is computed
/// by a formula of its own. A write that fails notes why, and [`Writer::finish`] tells; nothing is written behind it, so
/// a writer that has failed is used up.
pub struct Writer<'b> {
    target: Target<'b>,
    written: usize,
    error: Option<EncodeError>,
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
        Self::over(Target::Count)
    }

    /// A writer into a slice, from its start.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self::over(Target::Slice(buffer))
    }

    /// A writer that appends to a `Vec`.
    #[cfg(feature = "std")]
    pub const fn appending(buffer: &'b mut Vec<u8>) -> Self {
        Self::over(Target::Vec(buffer))
    }

    const fn over(target: Target<'b>) -> Self {
        Self { target, written: 0, error: None }
    }

    /// How many bytes were written or counted.
    pub const fn written(&self) -> usize {
        self.written
    }

    /// Whether this writer only counts.
    pub const fn is_counting(&self) -> bool {
        matches!(self.target, Target::Count)
    }

    /// Notes that what is asked for cannot be written.
    #[cold]
    #[inline(never)]
    pub const fn fail(&mut self, error: EncodeError) {
        if self.error.is_none() {
            self.error = Some(error);
        }
    }

    /// As [`Writer::fail`], for an encoding that ends there.
    ///
    /// # Errors
    /// What has failed first.
    pub const fn refuse(&mut self, error: EncodeError) -> Result<(), EncodeError> {
        self.fail(error);
        self.finish()
    }

    /// Tells whether everything was written.
    ///
    /// # Errors
    /// What has failed first.
    pub const fn finish(&self) -> Result<(), EncodeError> {
        match self.error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Writes bytes as they are. Fails with [`EncodeError::NoRoom`] if a slice is full, as every other write does.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        let end = self.written.saturating_add(bytes.len());
        match &mut self.target {
            Target::Count => {}
            Target::Slice(buffer) => match buffer.get_mut(self.written..end) {
                Some(place) => copy(place, bytes),
                None => return self.fail(EncodeError::NoRoom),
            },
            #[cfg(feature = "std")]
            Target::Vec(buffer) => buffer.extend_from_slice(bytes),
        }
        self.written = end;
    }

    /// Writes a byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Writes a two byte integer.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes a four byte integer.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Writes a variable byte integer in its shortest form `[MQTT-1.5.5-1]`. Fails with [`EncodeError::TooLong`] above
    /// [`VarInt::MAX`].
    pub fn var_int(&mut self, value: u32) {
        if value > VarInt::MAX {
            return self.fail(EncodeError::TooLong);
        }
        let mut rest = value;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if rest == 0 {
                return self.u8(low);
            }
            self.u8(low | 0x80);
        }
    }

    /// Writes binary data behind its two byte length. Fails with [`EncodeError::FieldTooLong`] above 65,535 bytes.
    pub fn binary(&mut self, bytes: &[u8]) {
        match u16::try_from(bytes.len()) {
            Ok(len) => self.u16(len),
            Err(_) => self.fail(EncodeError::FieldTooLong),
        }
        self.bytes(bytes);
    }

    /// Writes a UTF-8 string behind its length. Fails with [`EncodeError::Nul`] if it contains U+0000 `[MQTT-1.5.4-2]`,
    /// and as [`Writer::binary`].
    pub fn string(&mut self, text: &str) {
        if has_nul(text.as_bytes()) {
            self.fail(EncodeError::Nul);
        }
        self.binary(text.as_bytes());
    }

    /// Writes what `body` writes behind its length as a variable byte integer. Into a slice
    /// `body` runs twice, first to be counted.
    pub fn prefixed(&mut self, body: &dyn Fn(&mut Writer<'_>)) {
        self.prefixed_before(0, body);
    }

    /// As [`Writer::prefixed`], for a body that goes on for `more` bytes, which are written elsewhere.
    pub fn prefixed_before(&mut self, more: usize, body: &dyn Fn(&mut Writer<'_>)) {
        #[cfg(feature = "std")]
        if let Target::Vec(_) = self.target {
            return self.prefixed_afterwards(more, body);
        }
        let mut counting = Writer::counting();
        body(&mut counting);
        let len = counting.written;
        if let Some(error) = counting.error {
            return self.fail(error);
        }
        match u32::try_from(len.saturating_add(more)) {
            Ok(whole) if whole <= MAX_REMAINING_LENGTH => self.var_int(whole),
            _ => return self.fail(EncodeError::TooLong),
        }
        match &mut self.target {
            Target::Count => self.written = self.written.saturating_add(len),
            _ => body(self),
        }
    }

    /// As [`Writer::prefixed_before`], in one run: bytes in a `Vec` can make room for the length when it is known.
    #[cfg(feature = "std")]
    fn prefixed_afterwards(&mut self, more: usize, body: &dyn Fn(&mut Writer<'_>)) {
        let Target::Vec(buffer) = &mut self.target else { return };
        buffer.reserve(more);
        let start = buffer.len();
        let guess = VarInt::len_of(u32::try_from(more).unwrap_or(u32::MAX));
        self.bytes([0; 4].get(..guess).unwrap_or(&[]));
        let before = self.written;
        body(self);
        let whole = (self.written - before).saturating_add(more);
        let mut prefix = [0; 4];
        let mut writer = Writer::new(&mut prefix);
        writer.var_int(u32::try_from(whole).unwrap_or(u32::MAX));
        let (len, result) = (writer.written, writer.finish());
        if let Err(error) = result {
            return self.fail(error);
        }
        let prefix = prefix.get(..len).unwrap_or(&[]);
        self.bytes(prefix.get(guess..).unwrap_or(&[]));
        let Target::Vec(buffer) = &mut self.target else { return };
        let written = buffer.get_mut(start..).unwrap_or(&mut []);
        if len > guess {
            written.rotate_right(len - guess);
        }
        copy(written, prefix);
    }
}

shows! {
    impl[] Writer for Writer<'_>, |this| { written: this.written, error: this.error }
}

/// Moves what is behind the first `by` bytes to the front. A loop of cells: `copy_within` links memmove, 1.5 KB of flash.
pub(crate) fn shift_down(bytes: &mut [u8], by: usize) {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    for (to, from) in cells.iter().zip(cells.get(by..).unwrap_or_default()) {
        to.set(from.get());
    }
}

/// Copies as far as both reach. There is no length that could panic.
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
