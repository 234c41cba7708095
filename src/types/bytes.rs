/// Whether one of the `wanted` bytes is there. Looking at every byte lets the compiler look at many at a time.
#[cfg(not(feature = "std"))]
pub(crate) fn has_any<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> bool {
    bytes.iter().fold(false, |found, byte| wanted.iter().fold(found, |found, wanted| found | (byte == wanted)))
}

/// Whether one of the `wanted` bytes is there. Strings of a packet are mostly short: eight bytes at a time beat wider
/// steps.
#[cfg(feature = "std")]
#[inline]
pub(crate) fn has_any<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> bool {
    let Some(last) = bytes.last_chunk() else { return bytes.iter().any(|byte| wanted.contains(byte)) };
    // The last eight bytes may be some of those before once more.
    let mut found = found_in(u64::from_ne_bytes(*last), wanted);
    for chunk in bytes.as_chunks().0 {
        found |= found_in(u64::from_ne_bytes(*chunk), wanted);
    }
    found != 0
}

/// Not 0 if one of the eight bytes is wanted.
#[cfg(feature = "std")]
#[inline]
fn found_in<const N: usize>(word: u64, wanted: [u8; N]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    // What is 0 now was wanted, and only below it a borrow can come to a top bit.
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
    wanted.iter().fold(0, |found, wanted| found | is_zero(word ^ (ONES * u64::from(*wanted))))
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::has_any;

    #[test]
    fn a_wanted_byte_is_found_wherever_it_stands() {
        for len in 0..40 {
            for filler in [1, b'"', b'$', b'*', b',', 0x7F, 0x80, 0x81, 0xA3, 0xFF] {
                let mut bytes = std::vec![filler; len];
                assert!(!has_any(&bytes, [0, b'+', b'#']), "{filler} {len}");
                for place in 0..len {
                    for wanted in [0, b'+', b'#'] {
                        bytes[place] = wanted;
                        assert!(has_any(&bytes, [0, b'+', b'#']), "{filler} {len} {place}");
                        bytes[place] = filler;
                    }
                }
            }
        }
    }
}
