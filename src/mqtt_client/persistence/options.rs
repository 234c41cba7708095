use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Where messages are kept that have to survive the process.
///
/// Publishes of QoS 1 and 2 that are queued or in flight, and the identifiers of received messages of QoS 2, are kept
/// in a file. A client that is made with the same file and the same client identifier goes on where the one before has
/// ended, be it by a crash: see [`guide::delivery_guarantees`](crate::guide::delivery_guarantees#with-persistence).
///
/// It needs a session that outlives its connections: a client identifier, `clean_start: false`, `sessionless: false`,
/// `buffer_messages: true`, and in v5.0 a session expiry interval above 0.
///
/// ```
/// use flowsdk::mqtt_client::{MqttClientOptions, Persistence, ProtocolOptions};
///
/// let options = MqttClientOptions {
///     client_id: "sensor-7".to_string(),
///     clean_start: false,
///     protocol: ProtocolOptions { session_expiry_interval: 7 * 24 * 3600, ..Default::default() },
///     persistence: Some(Persistence::new("/var/lib/sensor/outbox.redb")),
///     ..Default::default()
/// };
/// # assert!(options.persistence.is_some());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// The file. It is made where there is none, in a directory that has to exist; one client at a time can have it
    /// open.
    pub path: PathBuf,
    /// When a received message of QoS 2 counts as received.
    pub inbound: InboundStorage,
}

impl Persistence {
    /// Keeps messages in that file, and loses no received one.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), inbound: InboundStorage::default() }
    }
}

/// When a received message of QoS 2 counts as received, which decides what a crash in between does to it. Without a
/// crash each is handed over once in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InboundStorage {
    /// When the application has acknowledged it, by returning from its handler or by hand. Messages that it had and
    /// that were not stored as acknowledged when the process ended come again: none is lost (at least once).
    #[default]
    AckAfter,
    /// Before the application sees it, which waits for the disk. Messages that were stored and not handled when the
    /// process ended do not come again: none comes twice (at most once).
    IdFirst,
}

/// Why the file of [`Persistence`] cannot be used. It is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PersistenceError {
    /// Another client has it open, in this process or in another one.
    #[error("{} is in use by another client", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is no file of this crate's, or it is damaged.
    #[error("{} is no store of messages, or it is damaged: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It belongs to another client identifier.
    #[error("{} is the store of client {client_id:?}", path.display())]
    OtherClient {
        /// The file.
        path: PathBuf,
        /// The identifier that it belongs to.
        client_id: String,
    },
    /// It holds messages that were encoded for the other version of the protocol.
    #[error("{} holds messages for MQTT {version}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// The version that can go on with it: `5.0` or `3.1.1`.
        version: &'static str,
    },
    /// A later version of this crate has written it in a format that this one does not know.
    #[error("{} has format {format}; this version of flowsdk knows formats up to {known}", path.display())]
    LaterFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The last one that is known.
        known: u32,
    },
    /// The file cannot be opened, read or written. Also told by [`on_error`](super::super::MqttEventHandler::on_error)
    /// while a client runs: what was accepted stays in memory and waits, and the disk is tried again and again.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
}

impl PersistenceError {
    pub(in crate::mqtt_client) const fn kind(&self) -> io::ErrorKind {
        match self {
            Self::InUse { .. } => io::ErrorKind::WouldBlock,
            Self::Io { .. } => io::ErrorKind::Other,
            _ => io::ErrorKind::InvalidData,
        }
    }
}

impl From<PersistenceError> for io::Error {
    fn from(error: PersistenceError) -> Self {
        Self::new(error.kind(), error)
    }
}
