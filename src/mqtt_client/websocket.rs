//! The options of WebSockets.

use std::io;
use std::sync::Arc;

#[cfg(feature = "websocket")]
use super::contain::contain;
use super::error::ClientError;
use super::options::Secret;
use crate::macros::opaque;

/// How a WebSocket is opened, for servers of `ws://` and `wss://` (feature `websocket`; v5.0 section 6).
///
/// The path and the query are those of the URL; without a path it is `/mqtt`, which most brokers listen at.
///
/// ```
/// use flowsdk::mqtt_client::{Connecting, MqttClientOptions, WebSocketOptions};
///
/// let headers = vec![("Authorization".to_string(), "Bearer from-your-secret-store".into())];
/// let options = MqttClientOptions {
///     connecting: Connecting { websocket: WebSocketOptions { headers, ..Default::default() }, ..Default::default() },
///     ..Default::default()
/// };
/// assert!(!format!("{options:?}").contains("from-your-secret-store"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocketOptions {
    /// Names and values of more fields in the request (default: none). Those that the handshake itself needs are not
    /// among them: `Host`, `Connection`, `Upgrade` and whatever begins with `Sec-WebSocket-`.
    pub headers: Vec<(String, Secret)>,
    /// What is asked for path and headers of each attempt (default: none).
    pub request: Option<WebSocketRequestProvider>,
}

/// What is special to the request of one attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebSocketRequest {
    /// Path and query in place of those of the URL, written as there: `/mqtt?X-Amz-Signature=…`.
    pub path: Option<Secret>,
    /// Headers beside [`WebSocketOptions::headers`].
    pub headers: Vec<(String, Secret)>,
}

/// Gives path and headers of each attempt to open a WebSocket, for signatures and tokens that do not live as long as
/// the client.
///
/// It is called with the host, and the port if it is not that of the scheme, as the header `Host` has them, before each
/// connection to a server is opened. It runs on the thread that resolves and connects, so it may take its time, which
/// counts towards [`Timeouts::connect`](super::Timeouts::connect). An error or a panic fails the attempt with that
/// server, and is told by [`on_error`](super::MqttEventHandler::on_error).
///
/// ```
/// use flowsdk::mqtt_client::{
///     Connecting, MqttClientOptions, Secret, WebSocketOptions, WebSocketRequest, WebSocketRequestProvider,
/// };
///
/// /// A query that is signed for this host and the next few minutes.
/// fn signed_query(host: &str) -> std::io::Result<String> {
///     # let _ = host;
///     # Ok(String::new())
/// }
///
/// let provider = WebSocketRequestProvider::new(|host| {
///     let path = Secret::from(format!("/mqtt?{}", signed_query(host)?));
///     Ok(WebSocketRequest { path: Some(path), ..Default::default() })
/// });
/// let websocket = WebSocketOptions { request: Some(provider), ..Default::default() };
/// let options = MqttClientOptions {
///     peer: "wss://broker.example".to_string(),
///     connecting: Connecting { websocket, ..Default::default() },
///     ..Default::default()
/// };
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct WebSocketRequestProvider(Arc<Provide>);

type Provide = dyn Fn(&str) -> io::Result<WebSocketRequest> + Send + Sync;

impl WebSocketOptions {
    /// Finds what would break the request.
    pub(super) fn check(&self) -> Result<(), ClientError> {
        let invalid = |reason| ClientError::option("connecting.websocket.headers", reason);
        check_headers(&self.headers).map_err(invalid)
    }

    /// What a server is asked for, whatever its URL says.
    #[cfg(feature = "websocket")]
    pub(super) fn request(&self, authority: &str) -> io::Result<WebSocketRequest> {
        let mut headers = self.headers.clone();
        let Some(provider) = &self.request else { return Ok(WebSocketRequest { path: None, headers }) };
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let mut request = provider.provide(authority)?;
        check_headers(&request.headers).map_err(invalid)?;
        if request.path.as_ref().is_some_and(|path| !is_path(path.expose())) {
            return Err(invalid("what it is to be asked for is no path that begins with / or ?".to_string()));
        }
        headers.append(&mut request.headers);
        Ok(WebSocketRequest { headers, ..request })
    }
}

impl WebSocketRequestProvider {
    /// A provider that calls this.
    pub fn new(provide: impl Fn(&str) -> io::Result<WebSocketRequest> + Send + Sync + 'static) -> Self {
        Self(Arc::new(provide))
    }

    #[cfg(feature = "websocket")]
    fn provide(&self, authority: &str) -> io::Result<WebSocketRequest> {
        let panicked = |_| Err(io::Error::other("the provider has panicked"));
        contain(|| (self.0)(authority)).unwrap_or_else(panicked)
    }
}

opaque! { WebSocketRequestProvider }

fn check_headers(headers: &[(String, Secret)]) -> Result<(), String> {
    for (name, value) in headers {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("{name:?} is no name of a header"));
        }
        if is_reserved(&name.to_ascii_lowercase()) {
            return Err(format!("{name} is set by the client itself"));
        }
        if value.expose().iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(format!("the value of {name} has a control character"));
        }
    }
    Ok(())
}

/// Whether it can stand in a request; what is not ASCII is encoded there.
#[cfg(feature = "websocket")]
fn is_path(path: &[u8]) -> bool {
    matches!(path.first(), Some(b'/' | b'?')) && !path.iter().any(|byte| matches!(byte, 0..=b' ' | 0x7F | b'#'))
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
