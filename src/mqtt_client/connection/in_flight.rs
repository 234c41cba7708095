use crate::mqtt_client::command::Publishing;
use crate::session::Fifo;
use crate::types::{PacketId, ProtocolVersion, QoS};

/// Messages of QoS 2 at once to a server that cannot say how many it takes. mosquitto takes 20: for one more it closes the
/// connection, and with all 20 places taken it acknowledges a message of QoS 1 and drops it.
const UNTOLD_EXACTLY_ONCE: usize = 19;

/// Messages that the session has, by their packet id.
pub(super) struct InFlight {
    messages: Fifo<Publishing>,
    exactly_once: usize,
}

impl InFlight {
    pub(super) fn new() -> Self {
        Self { messages: Fifo::new(), exactly_once: 0 }
    }

    /// Whether the session may have another message, as far as it does not decide that itself.
    pub(super) fn admits(&self, qos: QoS, version: ProtocolVersion) -> bool {
        version.is_v5() || qos != QoS::ExactlyOnce || self.exactly_once < UNTOLD_EXACTLY_ONCE
    }

    pub(super) fn insert(&mut self, packet_id: PacketId, publishing: Publishing) {
        self.exactly_once += usize::from(publishing.qos == QoS::ExactlyOnce);
        self.messages.push(packet_id, publishing);
    }

    pub(super) fn remove(&mut self, packet_id: PacketId) -> Option<Publishing> {
        let publishing = self.messages.remove(packet_id)?;
        self.exactly_once -= usize::from(publishing.qos == QoS::ExactlyOnce);
        Some(publishing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.len() == 0
    }

    /// Takes all out.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Publishing> {
        self.exactly_once = 0;
        self.messages.drain()
    }

    /// Gives back the memory of a burst, if nothing is left of it.
    pub(super) fn shrink(&mut self) {
        self.messages.shrink();
    }
}
