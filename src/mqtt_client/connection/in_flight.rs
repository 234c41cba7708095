use std::collections::HashMap;

use crate::mqtt_client::command::Publishing;
use crate::types::{PacketId, ProtocolVersion, QoS};

/// Messages of QoS 2 at once to a server that cannot say how many it takes. mosquitto takes 20: for one more it closes the
/// connection, and with all 20 places taken it acknowledges a message of QoS 1 and drops it.
const UNTOLD_EXACTLY_ONCE: usize = 19;

/// Messages that the session has, by their packet id.
#[derive(Default)]
pub(super) struct InFlight {
    messages: HashMap<PacketId, Publishing>,
    exactly_once: usize,
}

impl InFlight {
    /// Whether the session may have another message, as far as it does not decide that itself.
    pub(super) fn admits(&self, qos: QoS, version: ProtocolVersion) -> bool {
        version.is_v5() || qos != QoS::ExactlyOnce || self.exactly_once < UNTOLD_EXACTLY_ONCE
    }

    pub(super) fn insert(&mut self, packet_id: PacketId, publishing: Publishing) {
        self.exactly_once += usize::from(publishing.qos == QoS::ExactlyOnce);
        self.messages.insert(packet_id, publishing);
    }

    pub(super) fn remove(&mut self, packet_id: PacketId) -> Option<Publishing> {
        let publishing = self.messages.remove(&packet_id)?;
        self.exactly_once -= usize::from(publishing.qos == QoS::ExactlyOnce);
        Some(publishing)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(super) fn into_messages(self) -> impl Iterator<Item = Publishing> {
        self.messages.into_values()
    }
}
