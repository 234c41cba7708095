//! What the storage offers for many messages at once.

use super::Heap;
use crate::codec::PacketType;
use crate::types::{PacketId, ReasonCode};

impl Heap {
    /// How many messages of QoS 1 can be noted in a row by [`Heap::push_in_line`], where `limit` is what the server may
    /// send.
    pub(crate) fn room_for_run(&self, limit: usize) -> usize {
        self.received.room_for_run(limit.min(usize::from(self.limits.receive_window)))
    }

    /// Notes a message of QoS 1 if its identifier is the one after the last message's; whether it is noted.
    pub(crate) fn push_in_line(&mut self, packet_id: PacketId, serial: u16, code: Option<ReasonCode>) -> bool {
        self.received.push_in_line(packet_id, serial, code)
    }

    /// Acknowledges the messages of QoS 1 with `count` serial numbers from `serial` on, the first of which has this
    /// identifier, unless they are acknowledged already.
    pub(crate) fn acknowledge_run(&mut self, packet_id: PacketId, serial: u16, count: u16) {
        self.received.acknowledge_run(packet_id, serial, count);
    }

    /// Puts PUBACKs on the wire for as long as it has room and their messages are acknowledged without a reason.
    pub(super) fn load_plain_pubacks(&mut self) -> bool {
        let Self { received, wire, limits, .. } = self;
        let Some(first) = received.pop_plain() else { return false };
        // As for packets one by one: one is begun while there is room.
        let room = limits.wire_bytes.saturating_sub(wire.waiting());
        let _: Result<(), ()> = wire.gather(|buffer| {
            let full = buffer.len().saturating_add(room);
            let mut next = Some(first);
            while let Some(packet_id) = next {
                let [high, low] = packet_id.value().to_be_bytes();
                buffer.extend_from_slice(&[PacketType::Puback.first_byte(), 2, high, low]);
                next = if buffer.len() < full { received.pop_plain() } else { None };
            }
            Ok(())
        });
        true
    }
}
