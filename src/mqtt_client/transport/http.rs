//! As much of HTTP/1.1 (RFC 9112) as a proxy or the upgrade to a WebSocket needs: the head of one response.

use std::io::{self, Read};

/// The longest head of a response that is read.
const LONGEST_HEAD: usize = 8 * 1024;

/// The head of a response.
pub(super) struct Head(Vec<u8>);

impl Head {
    /// Reads a head byte by byte: what follows it is not HTTP.
    pub(super) fn read(stream: &mut impl Read) -> io::Result<Self> {
        const START: &[u8] = b"HTTP/1.";
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
            if head.len() == LONGEST_HEAD {
                return Err(invalid(format!("its answer is longer than {LONGEST_HEAD} bytes")));
            }
            head.extend(read_array::<1>(stream)?);
            if head.iter().zip(START).any(|(byte, expected)| byte != expected) {
                return Err(invalid(format!("its answer is not HTTP/1: it begins with {}", shown(&head))));
            }
        }
        Ok(Self(head))
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// Three digits; none if there are none.
    pub(super) fn status(&self) -> Option<u16> {
        let code = self.lines().next()?.split(|byte| *byte == b' ').nth(1)?;
        let text = str::from_utf8(code).ok().filter(|text| text.len() == 3 && code.iter().all(u8::is_ascii_digit))?;
        text.parse().ok()
    }

    /// The status line, for an error.
    pub(super) fn shown_status(&self) -> String {
        shown(self.lines().next().unwrap_or_default())
    }

    /// The values of a field, in their order, without the space around them.
    #[cfg(feature = "websocket")]
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.lines().skip(1).filter_map(move |line| {
            let (field, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
            field.eq_ignore_ascii_case(name.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii())
        })
    }
}

/// What a stranger has sent, as one line of bounded length.
pub(super) fn shown(bytes: &[u8]) -> String {
    bytes.get(..100).unwrap_or(bytes).escape_ascii().to_string()
}

/// The next bytes.
pub(super) fn read_array<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let explain = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "it has closed the connection before its answer was whole")
        }
        _ => error,
    };
    stream.read_exact(&mut bytes).map_err(explain)?;
    Ok(bytes)
}

pub(super) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_three_digits_and_a_field_any_number_of_values() {
        let head = Head::read(&mut &b"HTTP/1.1 200 OK\r\nA: 1\r\nb:\r\na:\t2 \r\nodd\r\n\r\nrest"[..]).unwrap();
        assert_eq!(head.status(), Some(200));
        assert_eq!(head.shown_status(), "HTTP/1.1 200 OK");
        #[cfg(feature = "websocket")]
        {
            assert_eq!(head.values("A").collect::<Vec<_>>(), [b"1", b"2"]);
            assert_eq!(head.values("B").collect::<Vec<_>>(), [b""]);
            assert_eq!(head.values("odd").count(), 0);
        }
        for odd in ["HTTP/1.1\n\n", "HTTP/1.1 2000\n\n", "HTTP/1.1 +20\n\n", "HTTP/1.1  200\n\n"] {
            assert_eq!(Head::read(&mut odd.as_bytes()).unwrap().status(), None, "{odd}");
        }
    }
}
