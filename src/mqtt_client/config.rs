/// How the client behaves around its connection. The fields and their defaults are all there are; everything else is
/// in [`MqttClientOptions`](super::MqttClientOptions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncClientConfig {
    /// Connect again after a connection is lost or an attempt fails (default: true). It needs
    /// [`MqttClientOptions::reconnect`](super::MqttClientOptions::reconnect), too.
    pub auto_reconnect: bool,
    /// Bound of the delay before the first reconnection attempt, in milliseconds (default: 1000). The bound doubles
    /// with each attempt, and the delay is a random part of it, a millisecond at least.
    pub reconnect_delay_ms: u64,
    /// Where that bound stops to grow, in milliseconds (default: 30000).
    pub max_reconnect_delay_ms: u64,
    /// Reconnection attempts before the client gives up; 0 for no end (default: 0).
    pub max_reconnect_attempts: u32,
    /// Calls that wait for the worker at a time (default: 100); one more is
    /// [`QueueFull`](super::ClientError::QueueFull). At least 1.
    pub command_queue_size: usize,
    /// Keep messages that are published without a connection and send them when there is one (default: true). If false,
    /// publishing without a connection that is open, being opened or being waited for is
    /// [`NotConnected`](super::ClientError::NotConnected), and what waits is dropped when the client gives up.
    pub buffer_messages: bool,
    /// How many messages are kept (default: 1000). For one more the oldest is dropped, or what
    /// [`Offline::overflow`](super::Offline::overflow) says.
    pub max_buffer_size: usize,
}

impl Default for AsyncClientConfig {
    fn default() -> Self {
        Self {
            auto_reconnect: true,
            reconnect_delay_ms: 1000,
            max_reconnect_delay_ms: 30_000,
            max_reconnect_attempts: 0,
            command_queue_size: 100,
            buffer_messages: true,
            max_buffer_size: 1000,
        }
    }
}
