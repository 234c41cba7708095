/// What is done with messages while there is no connection. How many are kept is
/// [`max_buffer_size`](super::AsyncClientConfig::max_buffer_size) and
/// [`Limits::buffer_bytes`](super::Limits::buffer_bytes); one with a Message Expiry Interval leaves when that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offline {
    /// Which message has to go when there is one too many (default: the oldest).
    pub overflow: Overflow,
    /// Of each topic only the newest message is kept; the others end with
    /// [`DropCause::Superseded`](super::DropCause::Superseded) (default: false).
    pub latest_per_topic: bool,
}

/// Which message has to go when the offline buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The one that has waited longest ends with [`DropCause::BufferFull`](super::DropCause::BufferFull).
    #[default]
    DropOldest,
    /// The one that was published last ends with [`DropCause::BufferFull`](super::DropCause::BufferFull).
    DropNewest,
    /// None: further calls fail with [`ClientError::BufferFull`](super::ClientError::BufferFull), and
    /// [`publish_wait`](super::AsyncMqttClient::publish_wait) waits for room. What was accepted before the connection
    /// was lost is kept even beyond the bound.
    Refuse,
}
