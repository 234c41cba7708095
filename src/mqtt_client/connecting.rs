//! Options about which servers a client connects to, as whom, and what follows when that fails.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::authentication::Authentication;
use super::contain::contain;
use super::custom::TransportFactory;
use super::options::Secret;
use super::peer::without_secrets;
use super::proxy::Proxy;
use super::websocket::WebSocketOptions;
use crate::macros::opaque;

/// How a client comes to a connection, and back to one.
#[derive(Clone, PartialEq, Eq)]
pub struct Connecting {
    /// More servers, written as [`peer`](super::MqttClientOptions::peer) is (default: none). An attempt begins with the
    /// server that was connected last, at first with `peer`, and goes on to the next ones while none of the addresses
    /// of one can be reached, all within [`Timeouts::connect`](super::Timeouts::connect). A server that refuses the
    /// connection or ends it is not the first one of the next attempt. All of them should serve the same sessions, or
    /// sessions get lost.
    pub servers: Vec<String>,
    /// What is asked for the credentials of each attempt, in place of `username` and `password` (default: none).
    pub credentials: Option<CredentialsProvider>,
    /// The proxy through which connections are opened (default: none, they go straight to the server).
    pub proxy: Option<Proxy>,
    /// How the client authenticates beside that, in v5.0 (default: not at all).
    pub authentication: Option<Authentication>,
    /// How WebSockets are opened.
    pub websocket: WebSocketOptions,
    /// What opens a transport of the application's own in place of a TCP connection (default: none).
    pub transport: Option<TransportFactory>,
    /// What is done when the server says to use another one (default: stop, and say so).
    pub redirects: Redirects,
    /// How long a connection has to hold until the next loss counts as the first one (default: 10 seconds).
    pub stable_after: Duration,
    /// When subscriptions of earlier connections are made again (default: if the server has lost the session).
    pub restore_subscriptions: RestoreSubscriptions,
}

impl std::fmt::Debug for Connecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Taken apart, so that no field is forgotten.
        let Self {
            servers,
            credentials,
            authentication,
            proxy,
            websocket,
            transport,
            redirects,
            stable_after,
            restore_subscriptions,
        } = self;
        f.debug_struct("Connecting")
            .field("servers", &servers.iter().map(|server| without_secrets(server)).collect::<Vec<_>>())
            .field("credentials", credentials)
            .field("authentication", authentication)
            .field("proxy", proxy)
            .field("websocket", websocket)
            .field("transport", transport)
            .field("redirects", redirects)
            .field("stable_after", stable_after)
            .field("restore_subscriptions", restore_subscriptions)
            .finish()
    }
}

impl Default for Connecting {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            credentials: None,
            authentication: None,
            proxy: None,
            websocket: WebSocketOptions::default(),
            transport: None,
            redirects: Redirects::default(),
            stable_after: Duration::from_secs(10),
            restore_subscriptions: RestoreSubscriptions::default(),
        }
    }
}

/// What is done when the server says to use another one: reason code 0x9C or 0x9D with a Server Reference (v5.0 section
/// 4.11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirects {
    /// Nothing: the client stops, and [`ConnectionError`](super::ConnectionError) names the other server.
    #[default]
    Refuse,
    /// The next attempt goes there by the same way (`mqtts` stays `mqtts`), with the same credentials: only for servers
    /// that are trusted to name others. 0x9D Server moved replaces the servers of the options until the next
    /// [`connect`](super::AsyncMqttClient::connect); 0x9C Use another server holds for one attempt, before the others.
    /// Of a longer list the first 16 are tried. It counts as a reconnection attempt, and needs what those need.
    Follow,
}

/// When subscriptions of earlier connections are made again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestoreSubscriptions {
    /// When the server has no session, which it tells in CONNACK.
    #[default]
    IfLost,
    /// On every connection, for servers that say they have the session and forget its subscriptions. Retained messages
    /// may come again.
    Always,
    /// Never: the application subscribes again. [`subscription_topics`](super::MqttClientOptions::subscription_topics)
    /// are subscribed all the same when the server has no session.
    Never,
}

/// Who the client says it is. Shown by `Debug` as nothing of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user name.
    pub username: Option<String>,
    /// The password or token. In v3.1.1 it needs a user name.
    pub password: Option<Secret>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

/// Gives the credentials of each attempt to connect, for tokens that do not live as long as the client.
///
/// It is called before each attempt on the thread that resolves and connects, so it may take its time, which counts
/// towards [`Timeouts::connect`](super::Timeouts::connect). An error or a panic fails that attempt, and is told by
/// [`on_error`](super::MqttEventHandler::on_error). A server that does not take the credentials (0x86, 0x87) is tried
/// once more with those of another call, before the client stops.
///
/// ```
/// use flowsdk::mqtt_client::{Connecting, Credentials, CredentialsProvider, MqttClientOptions, Secret};
///
/// fn read_token() -> std::io::Result<String> {
///     # Ok(String::new())
///     // From a file that something else keeps fresh, or from a server.
/// }
///
/// let provider = CredentialsProvider::new(|| {
///     Ok(Credentials { username: Some("device-7".to_string()), password: Some(Secret::from(read_token()?)) })
/// });
/// let options = MqttClientOptions {
///     connecting: Connecting { credentials: Some(provider), ..Default::default() },
///     ..Default::default()
/// };
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct CredentialsProvider(Arc<Provide>);

type Provide = dyn Fn() -> io::Result<Credentials> + Send + Sync;

impl CredentialsProvider {
    /// A provider that calls this.
    pub fn new(provide: impl Fn() -> io::Result<Credentials> + Send + Sync + 'static) -> Self {
        Self(Arc::new(provide))
    }

    pub(super) fn provide(&self) -> io::Result<Credentials> {
        let panicked = |_| Err(io::Error::other("the credentials provider has panicked"));
        contain(|| (self.0)()).unwrap_or_else(panicked)
    }
}

opaque! { CredentialsProvider }
