use core::cell::Cell;

use super::reader::has_nul;
use super::{EncodeError, MAX_REMAINING_LENGTH, VarInt};
use crate::macros::shows;
use crate::types::Text;

/// Where encoded bytes go: a slice, a growing buffer, or nowhere (they are only counted).
///
/// Lengths on the wire are put before what was written, so that no length is computed by a formula of its own. A write
/// that fails notes why, and [`Writer::finish`] tells; a writer that has failed goes on counting, and is else used up.
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

    /// Notes that what is asked for cannot be written. That it is wrong counts before that there is no room.
    #[cold]
    #[inline(never)]
    pub fn fail(&mut self, error: EncodeError) {
        if matches!(self.error, None | Some(EncodeError::NoRoom)) {
            self.error = Some(error);
        }
    }

    /// As [`Writer::fail`], for an encoding that ends there.
    ///
    /// # Errors
    /// What has failed first.
    pub fn refuse(&mut self, error: EncodeError) -> Result<(), EncodeError> {
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
        let start = self.written;
        self.written = start.saturating_add(bytes.len());
        match &mut self.target {
            Target::Count => {}
            Target::Slice(buffer) => match buffer.get_mut(start..self.written) {
                Some(place) => copy(place, bytes),
                None => self.fail(EncodeError::NoRoom),
            },
            #[cfg(feature = "std")]
            Target::Vec(buffer) => {
                if self.error.is_none() {
                    buffer.extend_from_slice(bytes);
                }
            }
        }
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
    #[cfg_attr(not(feature = "std"), inline(never))]
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
        self.text(Text::new(text));
    }

    /// As [`Writer::string`].
    pub(crate) fn text(&mut self, text: Text<'_>) {
        if has_nul(text.as_bytes()) {
            self.fail(EncodeError::Nul);
        }
        self.binary(text.as_bytes());
    }

    /// Writes what `body` writes behind its length as a variable byte integer.
    pub fn prefixed(&mut self, body: impl FnOnce(&mut Self)) {
        self.prefixed_before(0, body);
    }

    /// As [`Writer::prefixed`], for a body that goes on for `more` bytes, which are written elsewhere.
    pub fn prefixed_before(&mut self, more: usize, body: impl FnOnce(&mut Self)) {
        let prefix = self.leave_prefix(more);
        body(self);
        self.put_length(prefix, more);
    }

    /// Leaves a place for a length, and says where.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn leave_prefix(&mut self, more: usize) -> usize {
        let prefix = self.written;
        self.bytes([0; 4].get(..shortest_prefix(more)).unwrap_or(&[]));
        #[cfg(feature = "std")]
        if let Target::Vec(buffer) = &mut self.target {
            buffer.reserve(more);
        }
        prefix
    }

    /// Puts the length where a place was left for it, and moves up what is behind for each byte that it takes more.
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn put_length(&mut self, prefix: usize, more: usize) {
        let mut left = shortest_prefix(more);
        // Both were written.
        let whole = self.written.wrapping_sub(prefix).wrapping_sub(left).saturating_add(more);
        let mut rest = u32::try_from(whole).unwrap_or(u32::MAX);
        if rest > MAX_REMAINING_LENGTH {
            return self.fail(EncodeError::TooLong);
        }
        let mut place = prefix;
        loop {
            let [low, ..] = rest.to_le_bytes();
            rest >>= 7;
            if let Some(byte) = self.behind(place).first_mut() {
                *byte = if rest == 0 { low } else { low | 0x80 };
            }
            if rest == 0 {
                return;
            }
            place += 1;
            left = left.saturating_sub(1);
            if left == 0 {
                self.u8(0);
                let mut moved = 0;
                for byte in self.behind(place) {
                    core::mem::swap(byte, &mut moved);
                }
                left = 1;
            }
        }
    }

    /// What was written from that place on; nothing where it was only counted.
    fn behind(&mut self, place: usize) -> &mut [u8] {
        match &mut self.target {
            Target::Count => &mut [],
            Target::Slice(buffer) => buffer.get_mut(place..self.written).unwrap_or_default(),
            #[cfg(feature = "std")]
            Target::Vec(buffer) => {
                let start = buffer.len().saturating_sub(self.written.saturating_sub(place));
                buffer.get_mut(start..).unwrap_or_default()
            }
        }
    }
}

/// How many bytes the length of a body takes at least that goes on for `more` bytes. On a microcontroller moving a
/// short body is cheaper than to know.
fn shortest_prefix(more: usize) -> usize {
    if cfg!(feature = "std") { VarInt::len_of(u32::try_from(more).unwrap_or(u32::MAX)) } else { 1 }
}

shows! {
    impl[] Writer for Writer<'_>, |this| { written: this.written, error: this.error }
}

/// Moves what is behind the first `by` bytes to the front, and zeros behind it, as what has gone may have been a
/// password. A loop of cells: `copy_within` links memmove, 1.5 KB of flash.
pub(crate) fn shift_down(bytes: &mut [u8], by: usize) {
    let cells = Cell::from_mut(bytes).as_slice_of_cells();
    for (place, to) in cells.iter().enumerate() {
        to.set(cells.get(place + by).map_or(0, Cell::get));
    }
}

/// Copies as far as both reach. There is no length that could panic.
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
