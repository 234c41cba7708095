use std::io::{self, Read, Write};

use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use zeroize::Zeroizing;

use crate::mqtt_client::options::Secret;
use crate::mqtt_client::transport::http::{Head, shown};

/// What a server is asked for.
pub(in crate::mqtt_client) struct Request<'r> {
    /// Host, and port if it is not the scheme's own, as they stand in a URL.
    pub(in crate::mqtt_client) authority: &'r str,
    /// Path and query as they stand in a URL; `/mqtt` if there is no path.
    pub(in crate::mqtt_client) path: &'r [u8],
    /// More fields of the head.
    pub(in crate::mqtt_client) headers: &'r [(String, Secret)],
}

/// The opening handshake of RFC 6455 section 4, for the subprotocol `mqtt` [MQTT-6.0.0-3]. Nothing is read beyond it.
pub(in crate::mqtt_client) fn upgrade(stream: &mut (impl Read + Write), request: &Request<'_>) -> io::Result<()> {
    let key = generate_key();
    stream.write_all(&head(request, &key))?;
    stream.flush()?;
    check(&Head::read(stream)?, &key)
}

fn head(request: &Request<'_>, key: &str) -> Zeroizing<Vec<u8>> {
    let Request { authority, path, headers } = request;
    let headers_len: usize = headers.iter().map(|(name, value)| name.len() + value.expose().len() + 4).sum();
    // Long enough for all of it: a buffer that grows leaves a copy of what is secret behind.
    let mut head = Zeroizing::new(Vec::with_capacity(3 * path.len() + authority.len() + headers_len + 256));
    head.extend_from_slice(b"GET ");
    if !path.starts_with(b"/") {
        head.extend_from_slice(b"/mqtt");
    }
    for byte in *path {
        if byte.is_ascii_graphic() {
            head.push(*byte);
        } else {
            head.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    let fixed = format!(
        " HTTP/1.1\r\nHost: {authority}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Key: {key}\r\n"
    );
    head.extend_from_slice(fixed.as_bytes());
    for (name, value) in *headers {
        for part in [name.as_bytes(), b": ", value.expose(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What RFC 6455 section 4.1 asks of the answer.
fn check(head: &Head, key: &str) -> io::Result<()> {
    let refused = |kind, text: String| Err(io::Error::new(kind, text));
    let wrong = |text: String| refused(io::ErrorKind::InvalidData, text);
    let status = head.shown_status();
    match head.status() {
        Some(101) => {}
        Some(401 | 403) => return refused(io::ErrorKind::PermissionDenied, format!("it answers {status}")),
        Some(300..=399) => {
            let to = head.values("Location").next().map(shown).unwrap_or_default();
            return refused(io::ErrorKind::ConnectionRefused, format!("it answers {status}, and refers to {to:?}"));
        }
        _ => {
            let text = format!("it answers {status}, where 101 Switching Protocols was due");
            return refused(io::ErrorKind::ConnectionRefused, text);
        }
    }
    if !has_token(head, "Upgrade", "websocket") || !has_token(head, "Connection", "upgrade") {
        return wrong("its answer does not say that it upgrades to a WebSocket".to_string());
    }
    if head.values("Sec-WebSocket-Accept").next() != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return wrong("its answer does not belong to the request (Sec-WebSocket-Accept)".to_string());
    }
    if let Some(extensions) = head.values("Sec-WebSocket-Extensions").find(|value| !value.is_empty()) {
        return wrong(format!("it uses an extension that it was not offered: {}", shown(extensions)));
    }
    let mut protocols = head.values("Sec-WebSocket-Protocol");
    match (protocols.next(), protocols.next()) {
        (Some(b"mqtt"), None) => Ok(()),
        (None, _) => wrong("its answer has no subprotocol, where mqtt was due [MQTT-6.0.0-4]".to_string()),
        (Some(other), _) => {
            let other = shown(other);
            wrong(format!("its answer has the subprotocol {other:?}, where mqtt was due [MQTT-6.0.0-4]"))
        }
    }
}

/// Whether a field lists a word, in whatever case.
fn has_token(head: &Head, name: &str, token: &str) -> bool {
    let mut words = head.values(name).flat_map(|value| value.split(|byte| *byte == b','));
    words.any(|word| word.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}
