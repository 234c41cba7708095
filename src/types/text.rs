/// A well-formed UTF-8 string of the peer.
///
/// With `std` it is a `str`. Without, it stays bytes that were checked, and becomes a `str` where somebody wants one: a
/// program that only compares and copies them does not link core's own check, which is made for speed and takes three
/// times the flash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Text<'a>(Inner<'a>);

#[cfg(feature = "std")]
type Inner<'a> = &'a str;
#[cfg(not(feature = "std"))]
type Inner<'a> = &'a [u8];

impl<'a> Text<'a> {
    pub(crate) const EMPTY: Self = Self::new("");

    pub(crate) const fn new(text: &'a str) -> Self {
        #[cfg(feature = "std")]
        return Self(text);
        #[cfg(not(feature = "std"))]
        Self(text.as_bytes())
    }

    /// Checks bytes; `None` for what is not well-formed.
    #[cfg_attr(feature = "std", inline)]
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        #[cfg(feature = "std")]
        return core::str::from_utf8(bytes).ok().map(Self);
        #[cfg(not(feature = "std"))]
        is_utf8(bytes).then_some(Self(bytes))
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        #[cfg(feature = "std")]
        return self.0.as_bytes();
        #[cfg(not(feature = "std"))]
        self.0
    }

    pub(crate) const fn as_str(self) -> &'a str {
        #[cfg(feature = "std")]
        return self.0;
        #[cfg(not(feature = "std"))]
        match core::str::from_utf8(self.0) {
            Ok(text) => text,
            // It was checked before.
            Err(_) => "",
        }
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl core::fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Text<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", self.as_str());
    }
}

/// Whether bytes are well-formed UTF-8 (table 3-7 of the Unicode standard): nothing overlong, no surrogates, nothing
/// above U+10FFFF.
#[cfg(any(test, not(feature = "std")))]
fn is_utf8(bytes: &[u8]) -> bool {
    // A bit for each upper half that the next byte may have.
    const FIRST: u16 = 0xF0FF;
    const BEHIND: u16 = 0x0F00;

    let mut allowed = FIRST;
    let mut due = 0u8;
    for &byte in bytes {
        if allowed >> (byte >> 4) & 1 == 0 {
            return false;
        }
        due = match byte {
            0x00..=0x7F => 0,
            0x80..=0xBF => due.wrapping_sub(1),
            0xC0..=0xDF => 1,
            0xE0..=0xEF => 2,
            0xF0.. => 3,
        };
        allowed = match byte {
            0xC0 | 0xC1 | 0xF5.. => return false,
            0xE0 => 0x0C00,
            0xED => 0x0300,
            0xF0 => 0x0E00,
            0xF4 => 0x0100,
            _ if due > 0 => BEHIND,
            _ => FIRST,
        };
    }
    due == 0
}

#[cfg(test)]
mod tests {
    use super::is_utf8;

    fn check(bytes: &[u8]) {
        assert_eq!(is_utf8(bytes), core::str::from_utf8(bytes).is_ok(), "{bytes:02X?}");
    }

    #[test]
    fn bytes_are_text_where_core_says_so() {
        let all = || 0..=u8::MAX;
        // Every way to fall on one side of a bound of the standard's table, and in its middle.
        let bounds = [
            0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF,
            0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF7, 0xF8, 0xFB, 0xFC, 0xFE, 0xFF,
        ];
        check(&[]);
        for first in all() {
            check(&[first]);
            for second in all() {
                check(&[first, second]);
                // An interpreter takes minutes for all of them.
                let is_bound = bounds.contains(&first) && bounds.contains(&second);
                all().filter(|_| is_bound || !cfg!(miri)).for_each(|third| check(&[first, second, third]));
            }
        }
        let some = || bounds.into_iter().step_by(if cfg!(miri) { 8 } else { 1 });
        for first in some() {
            for second in bounds {
                for third in some() {
                    for fourth in bounds {
                        check(&[first, second, third, fourth]);
                        check(&[first, second, third, 0x80, fourth]);
                    }
                }
            }
        }
    }

    #[test]
    fn every_character_is_text_and_no_part_of_it_is() {
        // An interpreter takes minutes for all of them.
        for character in ('\0'..=char::MAX).step_by(if cfg!(miri) { 0x101 } else { 1 }) {
            let mut bytes = [0; 4];
            let bytes = character.encode_utf8(&mut bytes).as_bytes();
            assert!(is_utf8(bytes), "{character:?}");
            for part in 1..bytes.len() {
                assert!(!is_utf8(&bytes[..part]) && !is_utf8(&bytes[part..]), "{character:?} {part}");
            }
        }
    }
}
