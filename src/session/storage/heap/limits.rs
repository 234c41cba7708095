/// The bounds of a [`Heap`](super::Heap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HeapLimits {
    /// Messages of QoS 1 and 2 in flight to the server; at most 65,535.
    pub window: u16,
    /// Bytes of those messages. One longer message is taken when there is no other.
    pub held_bytes: usize,
    /// Bytes ready for the transport, beyond which QoS 0 messages and requests are refused.
    pub wire_bytes: usize,
    /// Messages of QoS 1 and 2 from the server that are not complete; at most 65,535.
    pub receive_window: u16,
    /// The highest alias that a topic of the server is kept for.
    pub topic_aliases: u16,
}

impl Default for HeapLimits {
    fn default() -> Self {
        Self {
            window: u16::MAX,
            held_bytes: 256 * 1024 * 1024,
            wire_bytes: 256 * 1024,
            receive_window: u16::MAX,
            topic_aliases: 32,
        }
    }
}
