//! How the tables write bytes.

/// Bytes written as pairs of hex digits and `'text'`, with spaces anywhere. The marks say what a packet cut short at
/// that place would be.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    /// `|`: a whole packet too.
    pub(crate) ends: Vec<usize>,
    /// `*`: a whole packet too, here and behind every byte that follows.
    pub(crate) open_from: Option<usize>,
    /// `!`: a packet whose list is empty.
    pub(crate) empty_list_at: Option<usize>,
}

impl Wire {
    #[track_caller]
    pub(crate) fn new(notation: &str) -> Self {
        let mut this = Self::default();
        let mut rest = notation;
        while let Some(first) = rest.chars().next() {
            let mut taken = 1;
            match first {
                ' ' | '\n' => {}
                '|' => this.ends.push(this.bytes.len()),
                '*' => this.open_from = Some(this.bytes.len()),
                '!' => this.empty_list_at = Some(this.bytes.len()),
                '\'' => {
                    let (text, _) = rest[1..].split_once('\'').expect("a quote that ends");
                    this.bytes.extend(text.as_bytes());
                    taken = text.len() + 2;
                }
                _ => {
                    this.bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two hex digits"));
                    taken = 2;
                }
            }
            rest = &rest[taken..];
        }
        this
    }
}

/// The bytes of a notation.
#[track_caller]
pub(crate) fn wire(notation: &str) -> Vec<u8> {
    Wire::new(notation).bytes
}

/// A packet of this first byte around a body; the length is written here, not by the crate.
pub(crate) fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    [&[first_byte], &var_int(body.len())[..], body].concat()
}

/// A variable byte integer, by the pseudo code of the standard (section 1.5.5).
pub(crate) fn var_int(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = u8::try_from(value % 128).expect("below 128");
        value /= 128;
        if value == 0 {
            bytes.push(digit);
            return bytes;
        }
        bytes.push(digit | 0x80);
    }
}

/// Bytes behind their two byte length.
pub(crate) fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("at most 65,535 bytes").to_be_bytes(), bytes].concat()
}

/// Bytes for a message of a failed test.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X} ")).collect()
}
