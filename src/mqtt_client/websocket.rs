//! The options of WebSockets.

use super::error::ClientError;
use super::options::Secret;

/// How a WebSocket is opened, for servers of `ws://` and `wss://` (feature `websocket`; v5.0 section 6).
///
/// The path and the query are those of the URL; without a path it is `/mqtt`, which most brokers listen at.
///
/// ```
/// use flowsdk::mqtt_client::{Connecting, MqttClientOptions, WebSocketOptions};
///
/// let headers = vec![("Authorization".to_string(), "Bearer from-your-secret-store".into())];
/// let options = MqttClientOptions {
///     connecting: Connecting { websocket: WebSocketOptions { headers }, ..Default::default() },
///     ..Default::default()
/// };
/// assert!(!format!("{options:?}").contains("from-your-secret-store"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// Names and values of more fields in the request (default: none). Those that the handshake itself needs are not among
    /// them: `Host`, `Connection`, `Upgrade` and whatever begins with `Sec-WebSocket-`.
    pub headers: Vec<(String, Secret)>,
}

impl WebSocketOptions {
    /// Finds what would break the request.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        let invalid = |reason: &str| Err(ClientError::option("connecting.websocket.headers", reason));
        for (name, value) in &self.headers {
            if name.is_empty() || !name.bytes().all(is_token) {
                return invalid(&format!("{name:?} is no name of a header"));
            }
            if is_reserved(&name.to_ascii_lowercase()) {
                return invalid(&format!("{name} is set by the client itself"));
            }
            if value.expose().iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
                return invalid(&format!("the value of {name} has a control character"));
            }
        }
        Ok(())
    }
}

/// What names of fields are made of (RFC 9110 section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

fn is_reserved(name: &str) -> bool {
    const BY_HANDSHAKE: [&str; 5] = ["host", "connection", "upgrade", "content-length", "transfer-encoding"];
    BY_HANDSHAKE.contains(&name) || name.starts_with("sec-websocket-")
}
