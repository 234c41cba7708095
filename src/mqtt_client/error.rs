use std::io;

use thiserror::Error;

#[cfg(feature = "persistence")]
use super::persistence::PersistenceError;
use crate::codec::EncodeError;
use crate::types::{ReasonCode, TopicError};

/// Why a call was refused. Nothing was accepted, and nothing has changed.
///
/// It converts to [`std::io::Error`], so that `?` works in functions that return `io::Result`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// An option cannot be used as it is.
    #[error("option `{option}`: {reason}")]
    InvalidOption {
        /// The name of the option.
        option: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A topic name or a topic filter breaks a rule.
    #[error("topic {topic:?}: {error}")]
    InvalidTopic {
        /// The topic as it was given; a long one is cut.
        topic: String,
        /// The rule.
        error: TopicError,
    },
    /// QoS is 0, 1 or 2.
    #[error("QoS {0} does not exist; it is 0, 1 or 2")]
    InvalidQoS(u8),
    /// A reason code that does not belong to this packet.
    #[error("reason code {0:#04x} is not allowed here")]
    InvalidReasonCode(u8),
    /// The packet cannot be written in this version of the protocol.
    #[error(transparent)]
    Encode(EncodeError),
    /// As many calls as [`command_queue_size`](super::AsyncClientConfig::command_queue_size) are waiting, or as many
    /// bytes as [`Limits::queue_bytes`](super::Limits::queue_bytes), or too many results have not been handled by
    /// callbacks. Try again when some are done.
    #[error("the command queue is full")]
    QueueFull,
    /// There is no connection, as many messages wait for one as the offline buffer takes, and
    /// [`Overflow::Refuse`](super::Overflow::Refuse) is set.
    #[error("the offline buffer is full")]
    BufferFull,
    /// The call was made inside a callback and would have had to wait for room in the queue.
    #[error("the command queue is full, and a callback does not wait for room")]
    WouldDeadlock,
    /// There is no connection, and messages are not buffered without one.
    #[error("not connected, and messages are not buffered (buffer_messages is false)")]
    NotConnected,
    /// The client has been shut down.
    #[error("the client has been shut down")]
    ShutDown,
    /// The message was acknowledged before, or its connection is gone and the server sends it again.
    #[error("the message was acknowledged before, or its connection is gone")]
    StaleReceipt,
    /// The file of [`MqttClientOptions::persistence`](super::MqttClientOptions::persistence) cannot be used.
    #[cfg(feature = "persistence")]
    #[error(transparent)]
    Persistence(#[from] PersistenceError),
    /// There is no [`Connecting::authentication`](super::Connecting::authentication) that could be done again.
    #[error("CONNECT had no authentication method (connecting.authentication is none) [MQTT-4.12.0-7]")]
    NoAuthenticationMethod,
    /// A thread could not be started.
    #[error("cannot start the client: {0}")]
    Start(String),
    /// [`shutdown`](super::AsyncMqttClient::shutdown) has waited for its time and let go of a thread that goes on.
    #[error("the {thread} has not ended in time: {reason}")]
    StillRunning {
        /// Which thread.
        thread: &'static str,
        /// What it is doing.
        reason: &'static str,
    },
}

impl ClientError {
    pub(super) fn invalid_topic(topic: &str, error: TopicError) -> Self {
        Self::InvalidTopic { topic: topic.chars().take(80).collect(), error }
    }

    /// Whether it may pass when others have left.
    pub(super) const fn is_lack_of_room(&self) -> bool {
        matches!(self, Self::QueueFull | Self::BufferFull)
    }

    pub(super) fn option(option: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidOption { option, reason: reason.into() }
    }
}

impl From<EncodeError> for ClientError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        let kind = match &error {
            #[cfg(feature = "persistence")]
            ClientError::Persistence(error) => error.kind(),
            ClientError::QueueFull | ClientError::BufferFull => io::ErrorKind::WouldBlock,
            ClientError::WouldDeadlock => io::ErrorKind::Deadlock,
            ClientError::NotConnected => io::ErrorKind::NotConnected,
            ClientError::ShutDown => io::ErrorKind::BrokenPipe,
            ClientError::StillRunning { .. } => io::ErrorKind::TimedOut,
            ClientError::Start(_) => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// Why the client stays without a connection, or waits long before it tries again. It is inside the [`io::Error`] that
/// [`on_error`](super::MqttEventHandler::on_error) tells:
///
/// ```
/// use flowsdk::mqtt_client::ConnectionError;
///
/// fn on_error(error: &std::io::Error) {
///     let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectionError>());
///     if let Some(ConnectionError::ClientIdInUse { client_id, .. }) = inner {
///         eprintln!("there is another {client_id}");
///     }
/// }
/// # on_error(&std::io::Error::other("x"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// CONNACK has refused the connection with a code that will not pass by itself: nothing more is tried.
    #[error(
        "the server refuses the connection: {}; call connect() to try again",
        told(description, reason_string, server_reference)
    )]
    Refused {
        /// The reason code; that of v3.1.1 as the v5.0 code of its meaning.
        reason: ReasonCode,
        /// What the code means, in the words of the version in use.
        description: &'static str,
        /// What the server says about it.
        reason_string: Option<String>,
        /// The server to use instead.
        server_reference: Option<String>,
    },
    /// The server has ended the connection by a DISCONNECT.
    #[error(
        "the server has ended the connection: {}{}",
        told(description, reason_string, server_reference),
        if *tries_again { "" } else { "; call connect() to try again" }
    )]
    EndedByServer {
        /// The reason code.
        reason: ReasonCode,
        /// What it means.
        description: &'static str,
        /// What the server says about it.
        reason_string: Option<String>,
        /// The server to use instead.
        server_reference: Option<String>,
        /// Whether the code is one that may pass, so that the client connects again as its options say.
        tries_again: bool,
    },
    /// Another client has taken the session over, or so it seems: two clients with one identifier end each other's
    /// connection for ever. The next attempt waits at least half of
    /// [`max_reconnect_delay_ms`](super::AsyncClientConfig::max_reconnect_delay_ms).
    #[error(
        "{} another client with the same client identifier {client_id:?}{}",
        if *is_certain { "the server has ended the connection: Session taken over by" }
        else { "the server keeps closing the connection soon after it has accepted it: there may be" },
        if *is_certain { "" } else { ", or a subscribe or publish that it does not allow and that is sent again each time" }
    )]
    ClientIdInUse {
        /// The identifier.
        client_id: String,
        /// The server has said so (0x8E). If not, it has closed several connections in a row that it had just accepted.
        is_certain: bool,
    },
    /// There is no TLS with the server, so nothing was sent to it. The attempt counts like any other that has failed.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[error("cannot connect to {server}: TLS: {error}")]
    Tls {
        /// Where the server is.
        server: String,
        /// Why.
        error: super::tls::TlsError,
    },
    /// As many attempts have failed as [`max_reconnect_attempts`](super::AsyncClientConfig::max_reconnect_attempts)
    /// allows.
    #[error("gave up after {attempts} reconnection attempts; call connect() to try again")]
    GaveUp {
        /// How many.
        attempts: u32,
    },
}

/// A code's meaning with what the server says about it.
fn told(description: &str, reason_string: &Option<String>, server_reference: &Option<String>) -> String {
    let text = reason_string.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
    let reference = server_reference.as_ref().map(|server| format!(" (use {server})")).unwrap_or_default();
    format!("{description}{text}{reference}")
}

impl From<ConnectionError> for io::Error {
    fn from(error: ConnectionError) -> Self {
        let kind = match &error {
            ConnectionError::Refused { .. } => io::ErrorKind::ConnectionRefused,
            ConnectionError::EndedByServer { .. } | ConnectionError::ClientIdInUse { .. } => {
                io::ErrorKind::ConnectionAborted
            }
            #[cfg(feature = "tls")]
            ConnectionError::Tls { error, .. } => error.kind(),
            ConnectionError::GaveUp { .. } => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

/// Why a wait has ended without a result. The operation goes on, and another wait may see its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over.
    #[error("no result within the time given")]
    TimedOut,
    /// The wait was made inside a callback, and the result can only come after that callback has returned: so many
    /// messages wait for it that the client has stopped reading, or callbacks run on the thread that would read it.
    #[error("waiting here would never end: the result comes only after this callback has returned")]
    WouldDeadlock,
}

impl From<WaitError> for io::Error {
    fn from(error: WaitError) -> Self {
        let kind = match error {
            WaitError::TimedOut => io::ErrorKind::TimedOut,
            WaitError::WouldDeadlock => io::ErrorKind::Deadlock,
        };
        Self::new(kind, error)
    }
}
