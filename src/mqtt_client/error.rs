use std::io;

use thiserror::Error;

use crate::codec::EncodeError;
use crate::types::TopicError;

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
    /// As many calls as [`command_queue_size`](super::AsyncClientConfig::command_queue_size) are waiting, or as many bytes
    /// as [`Limits::queue_bytes`](super::Limits::queue_bytes), or too many results have not been handled by callbacks. Try
    /// again when some are done.
    #[error("the command queue is full")]
    QueueFull,
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
            ClientError::QueueFull => io::ErrorKind::WouldBlock,
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
